-- lint(): tables, indexes and views; each fix is run, and its finding gone.
\set VERBOSITY terse
SET client_min_messages = warning;
-- but what the server itself lacks, which depends on where the test runs
CREATE FUNCTION rg_findings() RETURNS SETOF relay_guard.lint_finding LANGUAGE sql
AS $$ SELECT * FROM relay_guard.lint() WHERE code <> 'server_outdated' $$;
CREATE SCHEMA rg_lint;
CREATE ROLE rg_owner; CREATE ROLE rg_login LOGIN; CREATE ROLE rg_reader; CREATE ROLE rg_app;
SELECT relay_guard.grant_role('app', 'rg_app');
CREATE FUNCTION rg_lint.found() RETURNS TABLE (severity text, code text, object text, detail text, fix text) LANGUAGE sql
AS $$ SELECT * FROM rg_findings() l WHERE l.object ~ '^rg_lint' $$;
SELECT severity, code, object FROM rg_findings();

-- litellm#28864, Helicone#5597: rows are visible across tenants
-- whose rows, and shown to all: a warning; an error where clients reach it
CREATE TABLE rg_lint.bare (id int PRIMARY KEY, user_id text);
SELECT * FROM rg_lint.found() \gx
GRANT SELECT (id) ON rg_lint.bare TO rg_app;
SELECT severity, code, detail FROM rg_lint.found();
-- what is meant so is a notice, but not what an owner has no say in
COMMENT ON TABLE rg_lint.bare IS 'What everybody may read; lint: allow rls_missing, lint: allow role_owns';
SELECT severity, code FROM rg_lint.found();
ALTER TABLE rg_lint.bare OWNER TO rg_app; ALTER TABLE rg_lint.bare ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
SELECT severity, code FROM rg_lint.found();
ALTER TABLE rg_lint.bare DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY;
SELECT severity, code FROM rg_lint.found();
ALTER TABLE rg_lint.bare OWNER TO CURRENT_USER;
COMMENT ON TABLE rg_lint.bare IS NULL;
SELECT fix FROM rg_lint.found() \gexec
SELECT * FROM rg_lint.found();
CREATE TABLE rg_lint.spend (id int PRIMARY KEY, user_id text, workspace_id uuid);
CREATE TABLE rg_lint.tenants (id int PRIMARY KEY, org_id uuid);
CREATE TABLE rg_lint.numbered (id int PRIMARY KEY, user_id int, tenant_id bigint);
CREATE TABLE rg_lint.shared (id int PRIMARY KEY, name text);
SELECT severity, code, object FROM rg_lint.found();
SELECT fix FROM rg_lint.found() \gexec
SELECT * FROM rg_lint.found();
BEGIN;
INSERT INTO rg_lint.numbered VALUES (1, 7, 9), (2, 8, 9);
SELECT relay_guard.assume('7', '9'); GRANT USAGE ON SCHEMA rg_lint TO rg_reader; GRANT SELECT ON rg_lint.numbered TO rg_reader; SET LOCAL ROLE rg_reader;
SELECT * FROM rg_lint.numbered;
ROLLBACK;

-- policies that do nothing
ALTER TABLE rg_lint.spend DISABLE ROW LEVEL SECURITY;
SELECT severity, code, object, detail FROM rg_lint.found();
SELECT fix FROM rg_lint.found() \gexec
SELECT * FROM rg_lint.found();

-- not forced: worse when the owner logs in
ALTER TABLE rg_lint.spend NO FORCE ROW LEVEL SECURITY;
SELECT severity, code, object, detail FROM rg_lint.found();
ALTER TABLE rg_lint.spend OWNER TO rg_owner;
SELECT severity, code, object, detail FROM rg_lint.found();
SELECT fix FROM rg_lint.found() \gexec
SELECT * FROM rg_lint.found();

-- partitions and children are reached past their parent
CREATE TABLE rg_lint.event (id int, user_id text, PRIMARY KEY (user_id, id)) PARTITION BY RANGE (user_id);
CREATE TABLE rg_lint.event_all PARTITION OF rg_lint.event DEFAULT;
SELECT relay_guard.protect('rg_lint.event');
CREATE TABLE rg_lint.child () INHERITS (rg_lint.spend);
GRANT SELECT ON rg_lint.child TO rg_reader;
SELECT severity, code, object, detail FROM rg_lint.found() WHERE code = 'child_without_rls';
SELECT fix FROM rg_lint.found() WHERE code = 'child_without_rls' \gexec
SELECT * FROM rg_lint.found();

-- foreign tables have no policies
CREATE FOREIGN DATA WRAPPER rg_fdw; CREATE SERVER rg_server FOREIGN DATA WRAPPER rg_fdw;
CREATE FOREIGN TABLE rg_lint.remote (user_id text) SERVER rg_server;
SELECT * FROM rg_lint.found();
GRANT SELECT ON rg_lint.remote TO rg_reader, PUBLIC;
SELECT severity, code, object, detail FROM rg_lint.found();
SELECT fix FROM rg_lint.found() \gexec
SELECT * FROM rg_lint.found();
CREATE FOREIGN TABLE rg_lint.remote_child () INHERITS (rg_lint.spend) SERVER rg_server;
SELECT severity, code, object, detail FROM rg_lint.found();
SELECT fix FROM rg_lint.found() \gexec
SELECT * FROM rg_lint.found();

-- grants that go too far
GRANT SELECT ON rg_lint.spend TO PUBLIC;
GRANT TRUNCATE, TRIGGER ON rg_lint.spend TO rg_reader;
GRANT REFERENCES ON rg_lint.tenants TO rg_reader;
SELECT severity, code, object, detail FROM rg_lint.found();
SELECT fix FROM rg_lint.found() \gexec
SELECT * FROM rg_lint.found();

-- what is published leaves the policies behind
SET client_min_messages = error; -- wal_level
CREATE PUBLICATION rg_one FOR TABLE rg_lint.spend; CREATE PUBLICATION rg_schema FOR TABLES IN SCHEMA rg_lint;
SELECT severity, code, object, detail FROM rg_lint.found() WHERE object = 'rg_lint.spend';
SELECT DISTINCT fix FROM rg_lint.found() ORDER BY 1 \gexec
SELECT * FROM rg_lint.found();
CREATE PUBLICATION rg_all FOR ALL TABLES;
SELECT severity, code, fix FROM rg_lint.found() WHERE object = 'rg_lint.spend';
DROP PUBLICATION rg_one, rg_schema, rg_all;
SET client_min_messages = warning;

-- triggers
CREATE FUNCTION rg_lint.nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER "Rg audit" AFTER INSERT ON rg_lint.spend FOR EACH ROW EXECUTE FUNCTION rg_lint.nothing();
ALTER TABLE rg_lint.spend DISABLE TRIGGER "Rg audit";
SELECT severity, code, object, detail FROM rg_lint.found();
SELECT fix FROM rg_lint.found() \gexec
SELECT * FROM rg_lint.found();
ALTER TABLE relay_guard.issuer ENABLE TRIGGER config_changed;
ALTER TABLE relay_guard.rate_policy DISABLE TRIGGER rate_policy_updated;
SELECT severity, code, object, detail FROM rg_findings();
SELECT fix FROM rg_findings() WHERE object = 'relay_guard.issuer' \gexec
ALTER TABLE relay_guard.rate_policy ENABLE TRIGGER rate_policy_updated;
SELECT * FROM rg_findings();

-- indexes that policies keep from being used, and those that they do not
CREATE TYPE rg_lint.mood AS ENUM ('good', 'bad');
ALTER TABLE rg_lint.spend ADD amount numeric, ADD at timestamptz, ADD mood rg_lint.mood, ADD data jsonb, ADD tags text[], ADD words tsvector, ADD name text, ADD big bigint, ADD during tstzrange;
CREATE INDEX spend_amount ON rg_lint.spend (amount); CREATE INDEX spend_mood ON rg_lint.spend (mood);
CREATE INDEX spend_data ON rg_lint.spend USING gin (data); CREATE INDEX spend_tags ON rg_lint.spend USING gin (tags);
CREATE INDEX spend_words ON rg_lint.spend USING gin (words); CREATE INDEX spend_pattern ON rg_lint.spend (name text_pattern_ops);
CREATE INDEX spend_lower ON rg_lint.spend (lower(name)); CREATE INDEX spend_during ON rg_lint.spend USING gist (during);
CREATE INDEX spend_good_1 ON rg_lint.spend (at); CREATE INDEX spend_good_2 ON rg_lint.spend (user_id, amount);
CREATE INDEX spend_good_3 ON rg_lint.spend (name); CREATE INDEX spend_good_4 ON rg_lint.spend USING brin (big);
CREATE UNIQUE INDEX spend_good_5 ON rg_lint.spend (amount, mood); CREATE INDEX spend_good_6 ON rg_lint.spend USING hash (name);
SELECT severity, code, object, detail FROM rg_lint.found();
SELECT fix FROM rg_lint.found() \gexec
SELECT * FROM rg_lint.found();

-- views
CREATE VIEW rg_lint.as_super AS SELECT * FROM rg_lint.spend;
CREATE VIEW rg_lint.as_owner AS SELECT * FROM rg_lint.spend;
ALTER VIEW rg_lint.as_owner OWNER TO rg_owner;
CREATE VIEW rg_lint.as_caller WITH (security_invoker) AS SELECT * FROM rg_lint.spend;
CREATE VIEW rg_lint.over_caller AS SELECT * FROM rg_lint.as_caller;
SELECT severity, code, object, detail FROM rg_lint.found();
SELECT fix FROM rg_lint.found() \gexec
SELECT * FROM rg_lint.found();
CREATE MATERIALIZED VIEW rg_lint.kept AS SELECT id, user_id FROM rg_lint.over_caller;
CREATE MATERIALIZED VIEW rg_lint.harmless AS SELECT * FROM rg_lint.shared;
SELECT severity, code, object, detail FROM rg_lint.found();
-- PostgreSQL 15 says over_caller.id where later ones say id
SELECT replace(fix, 'over_caller.', '') FROM rg_lint.found() \gexec
SELECT * FROM rg_lint.found();

DROP SCHEMA rg_lint CASCADE;
DROP FOREIGN DATA WRAPPER rg_fdw CASCADE;
DROP OWNED BY rg_app;
DROP ROLE rg_owner, rg_login, rg_reader, rg_app;
DROP FUNCTION rg_findings();
