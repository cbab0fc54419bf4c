-- Nothing but authenticate() and assume() changes the identity.
\set VERBOSITY terse
CREATE ROLE rg_plain LOGIN;
CREATE ROLE rg_trusted;
CREATE ROLE rg_super LOGIN SUPERUSER;
SELECT relay_guard.grant_role('trusted', 'rg_trusted');

-- as a superuser
SET relay_guard.context = '1:x';
SET SESSION relay_guard.context = '5:alice-4:user6:assume----';
SET LOCAL relay_guard.context = '';
SELECT set_config('relay_guard.context', '5:alice-4:user6:assume----', true);
SELECT set_config('relay_guard.context', '5:alice-4:user6:assume----', false);
ALTER SYSTEM SET relay_guard.context = 'x';
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET relay_guard.context = %L', current_database(), 'x'); END $$;
ALTER ROLE rg_plain SET relay_guard.context = 'x';
CREATE FUNCTION rg_set_clause() RETURNS text LANGUAGE sql SET relay_guard.context = 'x' AS 'SELECT 1::text';
UPDATE pg_settings SET setting = 'x' WHERE name = 'relay_guard.context';
GRANT SET ON PARAMETER relay_guard.context TO rg_plain;

-- as an ordinary role, with the right to set the parameter
SET ROLE rg_plain;
SET relay_guard.context = 'x';
SELECT set_config('relay_guard.context', '5:alice-4:user6:assume----', true);
RESET relay_guard.context;
SELECT relay_guard.assume('alice');
SELECT relay_guard.issue_token('alice');
SELECT relay_guard.user_id() IS NULL AS nobody;
RESET ROLE;
REVOKE SET ON PARAMETER relay_guard.context FROM rg_plain;

-- nor at connection; no placeholder takes the name either
\! PGOPTIONS='-c relay_guard.context=x' psql -X -d contrib_regression -c 'SELECT 1' 2>&1 | sed 's/.*FATAL/FATAL/'
SET relay_guard.other = 'x';
SET allow_system_table_mods = on;
INSERT INTO pg_db_role_setting
SELECT 0, oid, '{relay_guard.context=5:alice-4:user6:assume----}' FROM pg_roles WHERE rolname IN ('rg_plain', 'rg_super');
\! for who in rg_plain rg_super; do PGUSER=$who psql -X -At -d contrib_regression -c 'SELECT current_user, relay_guard.user_id() IS NULL' 2>&1 | sed 's/.*WARNING/WARNING/'; done
DELETE FROM pg_db_role_setting WHERE setrole = 'rg_plain'::regrole OR setrole = 'rg_super'::regrole;
RESET allow_system_table_mods;

-- nor code with a superuser's rights, whatever it catches or promises
CREATE FUNCTION rg_definer() RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    BEGIN SET LOCAL relay_guard.context = '5:alice-4:user6:assume----';
    EXCEPTION WHEN insufficient_privilege THEN NULL; END;
    BEGIN PERFORM set_config('relay_guard.context', '5:alice-4:user6:assume----', false);
    EXCEPTION WHEN insufficient_privilege THEN RETURN relay_guard.user_id(); END;
    RETURN 'changed';
END $$;
SET ROLE rg_plain;
SELECT rg_definer() IS NULL AS nobody;
RESET ROLE;
DROP FUNCTION rg_definer;

-- a superuser can clear it up to PostgreSQL 15, and then no second identity may follow
\set ON_ERROR_ROLLBACK on
BEGIN;
SELECT relay_guard.assume('alice');
SELECT relay_guard.user_id();
RESET ALL;
SELECT relay_guard.user_id();
RESET relay_guard.context;
SELECT relay_guard.user_id() IS NULL AS nobody;
SAVEPOINT s;
DISCARD ALL;
ROLLBACK TO s;
SELECT relay_guard.assume('bob');
ROLLBACK TO s;
SELECT relay_guard.assume('alice');
SELECT relay_guard.user_id();
COMMIT;

-- nor after one that was rolled back
BEGIN;
SAVEPOINT s;
SELECT relay_guard.assume('alice');
ROLLBACK TO s;
SELECT relay_guard.assume('bob');
RESET relay_guard.context;
SELECT relay_guard.assume('carol');
COMMIT;
\set ON_ERROR_ROLLBACK off

-- a trusted role may assume, and the identity says so
BEGIN;
SET LOCAL ROLE rg_trusted;
SELECT relay_guard.assume('alice', 'w1', 'admin', 'r-1', '2001:db8::1');
SELECT relay_guard.user_id(), relay_guard.workspace_id(), relay_guard.role(),
       relay_guard.request_id(), relay_guard.client_ip(), relay_guard.via(),
       relay_guard.claims() IS NULL AS no_claims;
SHOW relay_guard.context;
SELECT relay_guard.assume('bob');
ROLLBACK;
SELECT relay_guard.assume('');
SELECT relay_guard.assume('a', role => NULL);

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA relay_guard FROM rg_trusted;
DROP ROLE rg_plain, rg_trusted, rg_super;
