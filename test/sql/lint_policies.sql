-- lint(): policies and functions; each fix is run, and its finding gone.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE SCHEMA rg_lint;
CREATE ROLE rg_owner; CREATE ROLE rg_reader; CREATE ROLE rg_app;
SELECT relay_guard.grant_role('app', 'rg_app');
CREATE FUNCTION rg_lint.found() RETURNS TABLE (severity text, code text, object text, detail text, fix text) LANGUAGE sql
AS $$ SELECT * FROM relay_guard.lint() l WHERE l.object ~ '^rg_lint' $$;
CREATE TABLE rg_lint.note (id int PRIMARY KEY, user_id text, workspace_id uuid, "Odd id" text, open boolean);
ALTER TABLE rg_lint.note ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE INDEX ON rg_lint.note (user_id); CREATE INDEX ON rg_lint.note (workspace_id, user_id); CREATE INDEX ON rg_lint.note ("Odd id");
SELECT * FROM rg_lint.found();

-- a setting can be SET by anyone
CREATE POLICY p ON rg_lint.note USING (user_id = current_setting('app.user_id', true))
    WITH CHECK (user_id = current_setting('app.user_id') AND workspace_id = nullif(current_setting('app.user_id', true), '')::uuid);
CREATE POLICY q ON rg_lint.note AS RESTRICTIVE USING (workspace_id = current_setting('app.tenant')::uuid);
SELECT severity, code, object, detail FROM rg_lint.found();
SELECT fix FROM rg_lint.found() \gexec
SELECT * FROM rg_lint.found();
-- also behind a function
CREATE FUNCTION rg_lint.uid() RETURNS uuid LANGUAGE sql STABLE AS $$ SELECT nullif(current_setting('request.jwt.claim.sub', true), '')::uuid $$;
CREATE FUNCTION rg_lint.tenant() RETURNS text LANGUAGE sql STABLE BEGIN ATOMIC SELECT current_setting('app.tenant'); END;
ALTER POLICY p ON rg_lint.note USING (user_id = rg_lint.uid()::text) WITH CHECK (user_id = (SELECT rg_lint.uid())::text);
ALTER POLICY q ON rg_lint.note USING (workspace_id::text = rg_lint.tenant());
SELECT severity, code, object, detail FROM rg_lint.found();
SELECT fix FROM rg_lint.found() \gexec
SELECT * FROM rg_lint.found();
DROP POLICY p ON rg_lint.note; DROP POLICY q ON rg_lint.note;

-- readers outside a sub-select: the first tenant's plan serves all
CREATE POLICY p ON rg_lint.note USING (user_id = relay_guard.user_id() AND (open OR relay_guard.has_scope('all')))
    WITH CHECK (user_id = (SELECT relay_guard.user_id()));
SELECT severity, code, object, detail FROM rg_lint.found();
SELECT fix FROM rg_lint.found() \gexec
SELECT * FROM rg_lint.found();
ALTER POLICY p ON rg_lint.note USING (EXISTS (SELECT FROM rg_lint.note m WHERE m.user_id = relay_guard.user_id()));
SELECT * FROM rg_lint.found();
CREATE FUNCTION rg_lint.whoami() RETURNS text LANGUAGE sql STABLE AS 'SELECT relay_guard.user_id()';
ALTER POLICY p ON rg_lint.note USING (user_id = rg_lint.whoami());
SELECT severity, code, object, detail FROM rg_lint.found();
SELECT fix FROM rg_lint.found() \gexec
SELECT * FROM rg_lint.found();

-- pgx#2007, graphile/crystal#1699: an IMMUTABLE reader is folded into a cached plan
CREATE FUNCTION rg_lint.me() RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT relay_guard.user_id()';
CREATE FUNCTION rg_lint.me_plpgsql() RETURNS text LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN "relay_guard"."user_id"(); END';
CREATE FUNCTION rg_lint.me_atomic() RETURNS text LANGUAGE sql IMMUTABLE BEGIN ATOMIC SELECT relay_guard.user_id(); END;
CREATE FUNCTION rg_lint.setting() RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT current_setting('a.b') $$;
CREATE FUNCTION rg_lint.comment() RETURNS text LANGUAGE sql IMMUTABLE AS $$ /* not current_setting('x'), */ SELECT 'a' -- nor relay_guard.user_id()
$$;
CREATE FUNCTION rg_lint.stable() RETURNS text LANGUAGE sql STABLE AS 'SELECT relay_guard.user_id()';
SELECT severity, code, object, detail FROM rg_lint.found();
SELECT fix FROM rg_lint.found() \gexec
SELECT * FROM rg_lint.found();

-- policies that let everything through
DROP POLICY p ON rg_lint.note;
CREATE POLICY p ON rg_lint.note USING (true);
CREATE POLICY backup ON rg_lint.note FOR SELECT TO rg_reader USING (true);
SELECT severity, code, object, detail FROM rg_lint.found();
SELECT fix FROM rg_lint.found() \gexec
SELECT * FROM rg_lint.found();
DROP POLICY backup ON rg_lint.note;
CREATE POLICY p ON rg_lint.note FOR INSERT TO rg_app WITH CHECK (true);
SELECT severity, code, object, detail FROM rg_lint.found();
SELECT fix FROM rg_lint.found() \gexec
SELECT * FROM rg_lint.found();

-- permissive policies beside protect()'s
SELECT relay_guard.protect('rg_lint.note', tenant => 'workspace_id');
CREATE POLICY open ON rg_lint.note FOR SELECT TO rg_reader, rg_app USING (open);
SELECT severity, code, object, detail FROM rg_lint.found();
ALTER POLICY open ON rg_lint.note USING ("Odd id" = (SELECT relay_guard.user_id()));
SELECT severity, code, object, detail FROM rg_lint.found();
SELECT fix FROM rg_lint.found() \gexec
SELECT * FROM rg_lint.found();

-- columns that no index begins with; of OR, each
DROP INDEX rg_lint.note_workspace_id_user_id_idx, rg_lint."note_Odd id_idx";
SELECT severity, code, object, detail FROM rg_lint.found();
SELECT fix FROM rg_lint.found() \gexec
SELECT * FROM rg_lint.found();
DROP INDEX rg_lint.note_workspace_id_user_id_idx, rg_lint.note_user_id_idx;
DROP POLICY open ON rg_lint.note;
DROP POLICY relay_guard ON rg_lint.note;
CREATE POLICY p ON rg_lint.note USING (user_id = (SELECT relay_guard.user_id()) OR workspace_id = (SELECT relay_guard.workspace_uuid()));
SELECT severity, code, object, detail FROM rg_lint.found();
SELECT fix FROM rg_lint.found() \gexec
SELECT * FROM rg_lint.found();

-- SECURITY DEFINER
CREATE FUNCTION rg_lint.pathless(int) RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1';
CREATE FUNCTION rg_lint.tempting() RETURNS int LANGUAGE sql SECURITY DEFINER SET search_path = rg_lint, pg_catalog AS 'SELECT 1';
CREATE FUNCTION rg_lint.temp_first() RETURNS int LANGUAGE sql SECURITY DEFINER SET search_path = pg_temp, rg_lint AS 'SELECT 1';
CREATE FUNCTION rg_lint.empty() RETURNS int LANGUAGE sql SECURITY DEFINER SET search_path = '' AS 'SELECT 1';
CREATE FUNCTION rg_lint.good() RETURNS int LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, rg_lint, pg_temp AS 'SELECT 1';
CREATE FUNCTION rg_lint.atomic() RETURNS int LANGUAGE sql SECURITY DEFINER BEGIN ATOMIC SELECT 1; END;
CREATE FUNCTION rg_lint.fires() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS 'BEGIN RETURN NULL; END';
CREATE PROCEDURE rg_lint.proc() LANGUAGE sql SECURITY DEFINER AS 'SELECT 1';
SELECT severity, code, object, detail FROM rg_lint.found();
SELECT fix FROM rg_lint.found() \gexec
SELECT * FROM rg_lint.found();
GRANT CREATE ON SCHEMA rg_lint TO PUBLIC, rg_reader;
SELECT severity, code, object, detail FROM rg_lint.found();
SELECT DISTINCT fix FROM rg_lint.found() ORDER BY 1 \gexec
SELECT * FROM rg_lint.found();
CREATE FUNCTION rg_lint.reads() RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS 'SELECT count(*) FROM rg_lint.note';
REVOKE ALL ON FUNCTION rg_lint.reads() FROM PUBLIC;
SELECT severity, code, detail, fix FROM rg_lint.found();
ALTER TABLE rg_lint.note OWNER TO rg_owner; GRANT CREATE ON SCHEMA rg_lint TO rg_owner;
SELECT fix FROM rg_lint.found() WHERE code = 'definer_bypasses' \gexec
REVOKE CREATE ON SCHEMA rg_lint FROM rg_owner;
SELECT * FROM rg_lint.found();

DROP SCHEMA rg_lint CASCADE;
DROP OWNED BY rg_app, rg_owner;
DROP ROLE rg_owner, rg_reader, rg_app;
