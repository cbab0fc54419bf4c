-- Reading through the view that decrypts: who, which rows, and by which index.
SET client_min_messages = warning;
\set SHOW_CONTEXT never
CREATE ROLE rg_owner; CREATE ROLE rg_app; CREATE ROLE rg_blind_app; CREATE ROLE rg_writer; CREATE ROLE rg_columns;
SELECT relay_guard.grant_role('admin', 'rg_owner'), relay_guard.grant_role('app', 'rg_app'), relay_guard.grant_role('app', 'rg_columns');
CREATE SCHEMA rg AUTHORIZATION rg_owner;
GRANT USAGE ON SCHEMA rg TO PUBLIC;

-- by the table's owner, who is no superuser
SET ROLE rg_owner;
CREATE TABLE rg.file (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, user_id text NOT NULL DEFAULT relay_guard.user_id(),
	title text NOT NULL, metadata jsonb, created_at timestamptz NOT NULL DEFAULT '2026-01-01');
INSERT INTO rg.file (user_id, title, metadata, created_at)
SELECT CASE i % 20 WHEN 0 THEN 'alice' ELSE 'u' || i % 20 END, 't' || i, jsonb_build_object('i', i), timestamptz '2026-01-01' + i * interval '1 minute'
FROM generate_series(1, 4000) i;
CREATE INDEX ON rg.file (user_id, created_at DESC, id DESC);
GRANT INSERT ON rg.file TO rg_writer;
GRANT SELECT, INSERT ON rg.file TO rg_blind_app;
GRANT SELECT (id, title), INSERT (title, metadata, user_id), UPDATE (title) ON rg.file TO rg_columns;
SELECT relay_guard.protect('rg.file', grant_to => 'rg_app');
SELECT relay_guard.encrypt_column('rg.file', 'metadata', '{user_id,id}');
SELECT relowner::regrole, reloptions FROM pg_class WHERE oid = 'rg.decrypted_file'::regclass;
SELECT grantee, privilege_type FROM information_schema.role_table_grants WHERE table_name = 'decrypted_file' AND grantee <> 'rg_owner' ORDER BY 1, 2;
SELECT grantee, privilege_type, column_name FROM information_schema.column_privileges
WHERE table_name = 'decrypted_file' AND grantee = 'rg_columns' ORDER BY 1, 2, 3;
RESET ROLE;
ANALYZE rg.file;
-- by somebody who does not own it, or may not
SET ROLE rg_app;
SELECT relay_guard.encrypt_column('rg.file', 'title', '{id}');
RESET ROLE;
CREATE ROLE rg_other_admin;
SELECT relay_guard.grant_role('admin', 'rg_other_admin');
SET ROLE rg_other_admin;
SELECT relay_guard.encrypt_column('rg.file', 'title', '{id}');
SELECT relay_guard.encrypt_column_stop('rg.file', 'metadata');
SELECT relay_guard.encrypt_column_refresh('rg.file');
RESET ROLE;

-- the policy of the table is the view's
BEGIN;
SELECT relay_guard.assume('alice');
SET LOCAL ROLE rg_app;
SELECT count(*), min(user_id), max(user_id) FROM rg.decrypted_file;
INSERT INTO rg.decrypted_file (title, metadata) VALUES ('mine', '{"new": 1}') RETURNING id, user_id, metadata;
SAVEPOINT s;
INSERT INTO rg.decrypted_file (title, user_id) VALUES ('forged', 'u1');
ROLLBACK TO s;
UPDATE rg.decrypted_file SET user_id = 'u1' WHERE id = 4001;
ROLLBACK TO s;
UPDATE rg.decrypted_file SET title = 'x' WHERE id = 1;
DELETE FROM rg.decrypted_file WHERE id = 1;
UPDATE rg.decrypted_file SET metadata = '[]' WHERE id = 4001 RETURNING metadata;
DELETE FROM rg.decrypted_file WHERE id = 4001 RETURNING metadata;
-- a function in WHERE sees no rows of others
CREATE FUNCTION pg_temp.spy(text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS
$$ BEGIN IF $1 <> 'alice' THEN RAISE EXCEPTION 'seen: %', $1; END IF; RETURN true; END $$;
SELECT count(*) FROM rg.decrypted_file WHERE pg_temp.spy(user_id);
-- as one plans the table
SET LOCAL enable_seqscan = off;
SET LOCAL enable_bitmapscan = off;
EXPLAIN (COSTS OFF) SELECT * FROM rg.decrypted_file WHERE id = 20 \g (format=unaligned tuples_only=on) | sed 's/ (returns $0)//; s/$0/(InitPlan 1).col1/'
EXPLAIN (COSTS OFF) SELECT * FROM rg.decrypted_file ORDER BY created_at DESC, id DESC LIMIT 50 \g (format=unaligned tuples_only=on) | sed 's/ (returns $0)//; s/$0/(InitPlan 1).col1/'
EXPLAIN (COSTS OFF) SELECT * FROM rg.decrypted_file WHERE (created_at, id) < ('2026-01-02', 7) ORDER BY created_at DESC, id DESC LIMIT 50 \g (format=unaligned tuples_only=on) | sed 's/ (returns $0)//; s/$0/(InitPlan 1).col1/'
EXPLAIN (COSTS OFF) SELECT * FROM rg.decrypted_file WHERE id = 20 FOR UPDATE \g (format=unaligned tuples_only=on) | sed 's/ (returns $0)//; s/$0/(InitPlan 1).col1/'
COMMIT;
-- every value is expected to open
EXPLAIN SELECT * FROM rg.file \g (format=unaligned tuples_only=on) | grep -o 'rows=[0-9]*'
EXPLAIN SELECT * FROM rg.decrypted_file \g (format=unaligned tuples_only=on) | grep -o 'rows=[0-9]*'

-- only rows that are returned are decrypted
SET track_functions = 'all';
CREATE FUNCTION rg_calls() RETURNS TABLE (name name, calls bigint) LANGUAGE sql VOLATILE AS
$$ SELECT proname, pg_stat_get_xact_function_calls(oid) FROM pg_proc
   WHERE pronamespace = 'relay_guard'::regnamespace AND proname IN ('opens', 'opened_jsonb') ORDER BY 1 $$;
BEGIN;
SELECT relay_guard.assume('alice');
SET LOCAL ROLE rg_app;
SELECT count(*) FROM (SELECT * FROM rg.decrypted_file ORDER BY created_at DESC, id DESC LIMIT 50 OFFSET 0) page WHERE metadata IS NOT NULL;
RESET ROLE;
SELECT * FROM rg_calls();
COMMIT;

-- a row that does not open is not there
SET session_replication_role = replica;
UPDATE rg.file SET metadata = (SELECT metadata FROM rg.file WHERE id = 40) WHERE id = 20;
RESET session_replication_role;
BEGIN;
SELECT relay_guard.assume('alice');
SET LOCAL ROLE rg_app;
SELECT id, metadata FROM rg.decrypted_file WHERE id IN (20, 40);
SELECT count(*) FROM rg.decrypted_file;
SELECT count(*) FROM rg.file;
COMMIT;
-- a key that is missing is an error
BEGIN;
SET LOCAL session_replication_role = replica;
UPDATE rg.file SET metadata = set_byte(metadata, 4, 99) WHERE id = 60;
SELECT count(*) FROM rg.decrypted_file;
ROLLBACK;

-- who may read the table but not decrypt reads envelopes only
SELECT relay_guard.unprotect('rg.file');
SET ROLE rg_blind_app;
SELECT octet_length(metadata) > 40 AS sealed FROM rg.file WHERE id = 1;
SELECT * FROM rg.decrypted_file WHERE id = 1;
INSERT INTO rg.decrypted_file (title, user_id, metadata) VALUES ('by one who cannot read', 'x', '{"s": 1}');
INSERT INTO rg.decrypted_file (title, user_id, metadata) VALUES ('by one who cannot read', 'x', '{"s": 1}') RETURNING id > 0 AS stored;
SET ROLE rg_writer;
INSERT INTO rg.decrypted_file (title, user_id) VALUES ('without SELECT', 'x');
SET ROLE rg_columns;
SELECT id FROM rg.decrypted_file WHERE id = 1;
RESET ROLE;
GRANT SELECT ON rg.file, rg.decrypted_file TO rg_columns;
SET ROLE rg_columns;
UPDATE rg.decrypted_file SET title = 'retitled' WHERE id = 1 RETURNING id, title;
UPDATE rg.decrypted_file SET metadata = '1' WHERE id = 1;
INSERT INTO rg.decrypted_file (title, created_at) VALUES ('x', now());
RESET ROLE;
-- whose privileges count in a function is the function's affair
CREATE FUNCTION rg.put(title text) RETURNS jsonb LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ INSERT INTO rg.decrypted_file (title, user_id, metadata) VALUES (title, 'definer', '{"by": "definer"}') RETURNING metadata $$;
SET ROLE rg_writer;
SELECT rg.put('x');
RESET ROLE;

-- lint() finds nothing wrong with it
SELECT relay_guard.protect('rg.file', grant_to => 'rg_app');
SELECT severity, code, object FROM relay_guard.lint() WHERE object ~ '^rg\.|crypt';

DROP SCHEMA rg CASCADE;
DROP OWNED BY rg_owner, rg_app, rg_blind_app, rg_writer, rg_columns, rg_other_admin;
DROP ROLE rg_owner, rg_app, rg_blind_app, rg_writer, rg_columns, rg_other_admin;
DROP FUNCTION rg_calls;
