-- ALTER DEFAULT PRIVILEGES of before does not open the extension.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE ROLE rg_lucky;
CREATE DATABASE rg_generous;
\c rg_generous
SET client_min_messages = warning;
ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO rg_lucky;
ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO PUBLIC;
ALTER DEFAULT PRIVILEGES GRANT EXECUTE ON FUNCTIONS TO rg_lucky;
ALTER DEFAULT PRIVILEGES GRANT CREATE ON SCHEMAS TO rg_lucky;
-- a schema that another role owns, or has put something into
CREATE SCHEMA relay_guard AUTHORIZATION rg_lucky;
CREATE EXTENSION relay_guard;
ALTER SCHEMA relay_guard OWNER TO CURRENT_USER;
CREATE FUNCTION relay_guard.aad(text, text) RETURNS bytea LANGUAGE sql RETURN ''::bytea;
CREATE EXTENSION relay_guard;
DROP SCHEMA relay_guard CASCADE;
CREATE EXTENSION relay_guard;
SELECT has_schema_privilege('rg_lucky', 'relay_guard', 'CREATE') AS schema;
SELECT count(*) AS functions FROM pg_proc
WHERE pronamespace = 'relay_guard'::regnamespace AND has_function_privilege('rg_lucky', oid, 'EXECUTE')
  AND NOT has_function_privilege('pg_monitor', oid, 'EXECUTE');
SELECT count(*) AS relations FROM pg_class
WHERE relnamespace = 'relay_guard'::regnamespace AND relkind IN ('r', 'p', 'v', 'S')
  AND CASE relkind WHEN 'S' THEN has_sequence_privilege('rg_lucky', oid, 'USAGE') ELSE has_table_privilege('rg_lucky', oid, 'SELECT') END;
SET ROLE rg_lucky;
SELECT relay_guard.assume('alice');
SELECT count(*) FROM relay_guard.jwt_key;
RESET ROLE;
\c contrib_regression
DROP DATABASE rg_generous WITH (FORCE);
DROP ROLE rg_lucky;
