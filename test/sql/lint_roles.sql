-- lint(): roles, server and routes; each fix is run, and its finding gone.
\set VERBOSITY terse
SET client_min_messages = warning;
-- but what the server itself lacks, which depends on where the test runs
CREATE FUNCTION rg_findings() RETURNS SETOF relay_guard.lint_finding LANGUAGE sql
AS $$ SELECT * FROM relay_guard.lint() WHERE code <> 'server_outdated' $$;
CREATE SCHEMA rg_lint;
CREATE ROLE relay_owner; CREATE ROLE rg_gate; CREATE ROLE rg_app; CREATE ROLE rg_login LOGIN IN ROLE rg_gate; CREATE ROLE rg_group;
SELECT relay_guard.grant_role('gateway', 'rg_gate'), relay_guard.grant_role('app', 'rg_app'), relay_guard.grant_role('trusted', 'relay_owner');
CREATE TABLE rg_lint.note (id int, user_id text PRIMARY KEY);
SELECT relay_guard.protect('rg_lint.note', grant_to => 'rg_app');
ALTER TABLE rg_lint.note OWNER TO relay_owner;
GRANT rg_app TO relay_owner;
SELECT * FROM rg_findings();

-- attributes and memberships, of what the gateway logs in as and of routes' roles
ALTER ROLE rg_login BYPASSRLS CREATEROLE REPLICATION;
ALTER ROLE rg_app SUPERUSER;
SELECT severity, code, object, detail FROM rg_findings();
SELECT fix FROM rg_findings() \gexec
SELECT * FROM rg_findings();
ALTER ROLE rg_group BYPASSRLS;
GRANT rg_group, pg_read_all_data TO rg_gate;
GRANT pg_execute_server_program TO rg_app;
SELECT severity, code, object, detail FROM rg_findings();
SELECT DISTINCT fix FROM rg_findings() ORDER BY 1 \gexec
SELECT * FROM rg_findings();

-- pinchy#826: the app role owns the table and disables the trigger
CREATE FUNCTION rg_lint.keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'the trail is kept'; END $$;
CREATE TABLE rg_lint.trail (id int);
CREATE TRIGGER keep BEFORE DELETE ON rg_lint.trail FOR EACH ROW EXECUTE FUNCTION rg_lint.keep();
GRANT USAGE ON SCHEMA rg_lint TO rg_app;
ALTER TABLE rg_lint.trail OWNER TO rg_app;
SET ROLE rg_app; ALTER TABLE rg_lint.trail DISABLE TRIGGER keep; ALTER TABLE rg_lint.trail ENABLE TRIGGER keep; RESET ROLE;
SELECT severity, code, object, detail FROM rg_findings();
SELECT fix FROM rg_findings() \gexec
SELECT * FROM rg_findings();
SET ROLE rg_app;
INSERT INTO rg_lint.trail VALUES (1);
ALTER TABLE rg_lint.trail DISABLE TRIGGER keep;
DELETE FROM rg_lint.trail;
RESET ROLE;
-- as a member of the owner it could do the same
GRANT relay_owner TO rg_gate;
SELECT severity, code, object, detail FROM rg_findings() WHERE code = 'role_owns';
SELECT DISTINCT fix FROM rg_findings() WHERE code = 'role_owns' ORDER BY 1 \gexec
SELECT * FROM rg_findings();

-- nor may its sessions begin without triggers
ALTER ROLE rg_login SET session_replication_role = replica;
DO $$ BEGIN EXECUTE format('ALTER ROLE rg_gate IN DATABASE %I SET session_replication_role = replica', current_database()); END $$;
SELECT severity, code, object, detail FROM rg_findings();
SELECT fix FROM rg_findings() \gexec
SELECT * FROM rg_findings();

-- the gateway's role needs serve() only
GRANT SELECT, DELETE ON rg_lint.note TO rg_gate;
SELECT severity, code, object, detail FROM rg_findings();
SELECT fix FROM rg_findings() \gexec
SELECT * FROM rg_findings();
SELECT relay_guard.grant_role('trusted', 'rg_gate'), relay_guard.grant_role('admin', 'rg_app');
GRANT EXECUTE ON FUNCTION relay_guard.issue_token(text, text, text, text[], interval) TO rg_app;
GRANT EXECUTE ON FUNCTION relay_guard.assume(text, text, text, text, inet) TO PUBLIC;
SELECT relay_guard.grant_role('keys', 'rg_gate');
GRANT EXECUTE ON FUNCTION relay_guard.api_key_set(text, text, text) TO rg_app;
SELECT severity, code, object, detail FROM rg_findings();
SELECT fix FROM rg_findings() \gexec
SELECT * FROM rg_findings();

-- whoever serves sees the same, without the table of routes
INSERT INTO relay_guard.route (method, path, query, auth, result, run_as) VALUES
    ('GET', '/rg/a', 'SELECT 1', 'none', 'rows', 'rg_app'), ('POST', '/rg/b', 'DELETE FROM rg_lint.note', 'none', 'none', 'rg_app');
INSERT INTO relay_guard.route (method, path, query, auth, rate, result, run_as) VALUES ('POST', '/rg/c', 'DELETE FROM rg_lint.note', 'none', '{ip}', 'none', 'rg_app');
ALTER TABLE rg_lint.note NO FORCE ROW LEVEL SECURITY; GRANT TRUNCATE ON rg_lint.note TO rg_app;
SELECT severity, code, object, detail FROM rg_findings();
SET ROLE rg_gate;
SELECT severity, code, object, detail FROM rg_findings();
SELECT relay_guard.lint_routes();
RESET ROLE;
SELECT fix FROM rg_findings() WHERE severity = 'notice' \gexec
SELECT fix FROM rg_findings() \gexec
SELECT * FROM rg_findings();
DELETE FROM relay_guard.route;
-- nobody else may look
SET ROLE rg_group; SELECT * FROM rg_findings(); RESET ROLE;

-- fixes of row-level security, by version
SELECT object, detail, fix FROM unnest('{150000,150008,150018,150019,160002,160004,170000,180004,180005,190000}'::int[]) v,
    relay_guard.lint_server_outdated(v) ORDER BY v, detail COLLATE "C";

DROP SCHEMA rg_lint CASCADE;
DROP OWNED BY rg_gate, rg_app, relay_owner;
DROP ROLE relay_owner, rg_gate, rg_app, rg_login, rg_group;
