-- The audit log is read through its own policies: one's own rows, or all of them as admin.
\set VERBOSITY terse
\set SHOW_CONTEXT never
CREATE DATABASE rg_log;
\c rg_log
CREATE EXTENSION relay_guard;
CREATE ROLE rg_reader;
CREATE ROLE rg_admin;
CREATE ROLE rg_none;
CREATE ROLE rg_all_data;
GRANT pg_read_all_data TO rg_all_data;
ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO rg_reader, PUBLIC;
SELECT relay_guard.audit_maintain() > 0 AS made;
ALTER DEFAULT PRIVILEGES REVOKE SELECT ON TABLES FROM rg_reader, PUBLIC;
SELECT relay_guard.grant_role('auditor', 'rg_reader'), relay_guard.grant_role('admin', 'rg_admin');

CREATE PROCEDURE as_user(user_id text, role text DEFAULT 'user', workspace text DEFAULT NULL)
LANGUAGE sql AS $$ SELECT relay_guard.assume(user_id, workspace, role, 'req-1', '203.0.113.7') $$;

-- what alice, bob and somebody anonymous of two workspaces do, and what is done without an identity
BEGIN; CALL as_user('alice', workspace => 'w1'); SELECT relay_guard.audit_event('export', 'report', 'a') > 0 AS written; COMMIT;
BEGIN; CALL as_user('bob', workspace => 'w1'); SELECT relay_guard.audit_event('export', 'report', 'b') > 0 AS written; COMMIT;
BEGIN; CALL as_user('carol', workspace => 'w2'); SELECT relay_guard.audit_event('export', 'report', 'c', '{"secret": "hers"}') > 0 AS written; COMMIT;
BEGIN; CALL as_user('anon:1', 'anonymous'); SELECT relay_guard.audit_event('export', 'report', 'd') > 0 AS written; COMMIT;
SELECT relay_guard.audit_event('export', 'report', 'e', status => 'error') > 0 AS written;

CREATE VIEW seen AS SELECT actor, action, resource_id, workspace_id, request_id, client_ip, via, status
FROM relay_guard.audit_log WHERE resource_type = 'report';
ALTER VIEW seen SET (security_invoker = true);
GRANT SELECT ON seen TO rg_reader, rg_admin, rg_none, rg_all_data;

-- audit rows visible across tenants: each sees what is his, and of that what he did in this workspace
BEGIN; CALL as_user('alice', workspace => 'w1'); SET LOCAL ROLE rg_reader; SELECT * FROM seen; COMMIT;
BEGIN; CALL as_user('bob', workspace => 'w1'); SET LOCAL ROLE rg_reader; SELECT * FROM seen; COMMIT;
BEGIN; CALL as_user('bob', workspace => 'w2'); SET LOCAL ROLE rg_reader; SELECT * FROM seen; COMMIT;
BEGIN; CALL as_user('bob'); SET LOCAL ROLE rg_reader; SELECT * FROM seen; COMMIT;
BEGIN; CALL as_user('anon:1', 'anonymous'); SET LOCAL ROLE rg_reader; SELECT * FROM seen; COMMIT;
BEGIN; CALL as_user('dora'); SET LOCAL ROLE rg_reader; SELECT count(*) FROM seen; COMMIT;

-- nobody sees rows without an identity
SET ROLE rg_reader;
SELECT count(*) FROM seen;
RESET ROLE;
BEGIN; SET LOCAL relay_guard.missing_context = 'error'; SET LOCAL ROLE rg_reader; SELECT count(*) FROM seen; ROLLBACK;

-- admins see every row, the kind admin included; a database role alone is not enough
BEGIN; CALL as_user('root', 'admin'); SET LOCAL ROLE rg_reader; SELECT * FROM seen ORDER BY resource_id; COMMIT;
BEGIN; CALL as_user('root', 'admin', 'w2'); SET LOCAL ROLE rg_admin; SELECT count(*) FROM seen; COMMIT;
BEGIN; CALL as_user('root', 'administrator'); SET LOCAL ROLE rg_admin; SELECT count(*) FROM seen; COMMIT;
SET ROLE rg_admin; SELECT count(*) FROM seen; RESET ROLE;
-- without a grant the identity is not enough either
BEGIN; CALL as_user('root', 'admin'); SET LOCAL ROLE rg_none; SELECT count(*) FROM seen; ROLLBACK;
BEGIN; CALL as_user('root', 'admin'); SET LOCAL ROLE rg_none; SELECT count(*) FROM relay_guard.audit_seal; ROLLBACK;

-- pg_read_all_data is bound by the log's policies, and of a partition that is named sees nothing
BEGIN; CALL as_user('alice', workspace => 'w1'); SET LOCAL ROLE rg_all_data; SELECT count(*) FROM seen; COMMIT;
SELECT to_char(now() AT TIME ZONE 'UTC', '"relay_guard.audit_log_"YYYY_MM') AS partition \gset
BEGIN; CALL as_user('root', 'admin'); SET LOCAL ROLE rg_all_data; SELECT count(*) FROM :partition; ROLLBACK;
SELECT has_table_privilege('rg_reader', :'partition', 'SELECT') AS reader_may_read_it;
BEGIN; SET LOCAL row_security = off; SET LOCAL ROLE rg_all_data; SELECT count(*) FROM seen; ROLLBACK;
-- partitions: nobody's but the owner's, with policies on and none there
SELECT count(*) > 12 AS partitions, bool_and(relrowsecurity) AS hidden,
       bool_and(NOT EXISTS (SELECT FROM aclexplode(relacl) a WHERE a.grantee <> relowner)) AS granted_to_nobody
FROM pg_class WHERE oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'relay_guard.audit_log'::regclass);
SELECT polname, polcmd, pg_get_expr(polqual, polrelid) AS qual FROM pg_policy
WHERE polrelid = 'relay_guard.audit_log'::regclass ORDER BY 1;
SELECT grantee, privilege_type FROM information_schema.role_table_grants
WHERE table_schema = 'relay_guard' AND table_name IN ('audit_log', 'audit_seal') AND grantee LIKE 'rg%' ORDER BY table_name, 1, 2;

-- an identity is not to be had by a setting
SET ROLE rg_reader;
SELECT set_config('relay_guard.context', 'alice', false);
SET relay_guard.context = 'alice';
SELECT relay_guard.assume('alice');
RESET ROLE;
-- nor a second one
BEGIN; CALL as_user('alice', workspace => 'w1'); SET LOCAL ROLE rg_reader; SELECT count(*) FROM seen; RESET ROLE; CALL as_user('root', 'admin'); ROLLBACK;

-- a cheap function of the reader's sees no row of others before the policy has decided
CREATE FUNCTION leak(value text) RETURNS boolean LANGUAGE plpgsql COST 0.000001 AS $$ BEGIN RAISE NOTICE 'leak: %', value; RETURN true; END $$;
BEGIN; CALL as_user('alice', workspace => 'w1'); SET LOCAL ROLE rg_reader; SELECT resource_id FROM relay_guard.audit_log WHERE leak(details::text) AND leak(actor); COMMIT;

-- and readers do not write
BEGIN; CALL as_user('root', 'admin'); SET LOCAL ROLE rg_admin; UPDATE relay_guard.audit_log SET actor = 'x'; ROLLBACK;
BEGIN; CALL as_user('root', 'admin'); SET LOCAL ROLE rg_admin; DELETE FROM relay_guard.audit_log; ROLLBACK;
BEGIN; CALL as_user('root', 'admin'); SET LOCAL ROLE rg_admin; DELETE FROM relay_guard.audit_seal; ROLLBACK;
BEGIN; CALL as_user('root', 'admin'); SET LOCAL ROLE rg_reader; TRUNCATE relay_guard.audit_log; ROLLBACK;
BEGIN; CALL as_user('root', 'admin'); SET LOCAL ROLE rg_reader; INSERT INTO relay_guard.audit_log SELECT * FROM relay_guard.audit_log; ROLLBACK;

-- what a query asks for is an index condition beside the policies
CREATE FUNCTION plan_of(query text) RETURNS TABLE (line text) LANGUAGE plpgsql AS $$
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
        line := (regexp_match(line, '(Index Cond.*|Seq Scan|Sort Key.*|Index Scan (?:Backward )?using)'))[1];
        CONTINUE WHEN line IS NULL;
        RETURN NEXT;
    END LOOP;
END $$;
BEGIN;
SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL ROLE rg_reader;
SELECT DISTINCT line FROM plan_of($$SELECT id FROM relay_guard.audit_log WHERE resource_id = 'a'$$) ORDER BY 1;
SELECT DISTINCT line FROM plan_of($$SELECT id FROM relay_guard.audit_log WHERE (occurred_at, id) < (timestamptz '2099-01-01Z', 7)
                                    ORDER BY occurred_at DESC, id DESC LIMIT 50$$) ORDER BY 1;
ROLLBACK;
\c contrib_regression
DROP DATABASE rg_log WITH (FORCE);
DROP ROLE rg_reader, rg_admin, rg_none, rg_all_data;
