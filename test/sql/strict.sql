-- relay_guard.strict: what outlives the transaction and an identity do not meet in one.
\set VERBOSITY terse
CREATE ROLE rg_app LOGIN;
CREATE TABLE rg_note (user_id text, body text);
INSERT INTO rg_note VALUES ('alice', 'hers'), ('bob', 'his');
SELECT relay_guard.protect('rg_note', grant_to => 'rg_app');
GRANT EXECUTE ON FUNCTION relay_guard.assume(text, text, text, text, inet) TO rg_app;
GRANT CREATE ON SCHEMA public TO rg_app;

-- a caller cannot switch it off
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET relay_guard.strict = on', current_database()); END $$;
\c
SHOW relay_guard.strict;
SET ROLE rg_app;
SET relay_guard.strict = off;
SELECT set_config('relay_guard.strict', 'off', true);
ALTER ROLE rg_app SET relay_guard.strict = off;
CREATE FUNCTION rg_lax() RETURNS text LANGUAGE sql SET relay_guard.strict = off AS 'SELECT NULL::text';
RESET relay_guard.strict;
RESET ALL;
SHOW relay_guard.strict;
RESET ROLE;
\! PGUSER=rg_app PGOPTIONS='-c relay_guard.strict=off' psql -X -d contrib_regression -c 'SELECT 1' 2>&1 | sed 's/.*FATAL/FATAL/'

-- each of these with an identity; the verdict is the error's message
CREATE FUNCTION rg_with(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE detail text;
BEGIN
    PERFORM relay_guard.assume('alice');
    EXECUTE command;
    RETURN 'allowed';
EXCEPTION WHEN invalid_transaction_state THEN RETURN SQLERRM;
END $$;
SELECT rg_with('DECLARE c CURSOR WITH HOLD FOR SELECT * FROM rg_note') AS held_cursor;
SELECT rg_with('DECLARE c CURSOR FOR SELECT * FROM rg_note') AS cursor;
SELECT rg_with('LISTEN rg_channel') AS listen;
SELECT rg_with('UNLISTEN *') AS unlisten;
SELECT rg_with($$NOTIFY rg_channel, 'to whoever listens'$$) AS notify;
SELECT rg_with('PREPARE rg_kept AS SELECT body FROM rg_note') AS prepare;
DEALLOCATE rg_kept;
SELECT command, rg_with(command) FROM unnest(ARRAY[
    'CREATE TEMP TABLE rg_temp (a int)',
    'CREATE TEMP TABLE rg_temp (a int) ON COMMIT DROP',
    'CREATE TEMP TABLE rg_temp AS SELECT * FROM rg_note',
    'CREATE TABLE pg_temp.rg_temp (a int)',
    'CREATE TEMP TABLE rg_temp (LIKE rg_note)',
    'EXPLAIN ANALYZE CREATE TEMP TABLE rg_temp AS SELECT * FROM rg_note',
    'CREATE TEMP VIEW rg_temp AS SELECT * FROM rg_note',
    'CREATE TEMP SEQUENCE rg_temp',
    'CREATE TYPE pg_temp.rg_temp AS (a int)']) command;
SELECT rg_with('CREATE TABLE rg_table (a int)') AS ordinary_table;
DROP TABLE rg_table;
BEGIN; SELECT relay_guard.assume('alice'); SELECT * INTO TEMP rg_temp FROM rg_note; ROLLBACK;
SET search_path = pg_temp, public;
SELECT rg_with('CREATE TABLE rg_temp (a int)') AS search_path_says_temporary;
RESET search_path;

-- session advisory locks, by whatever name; those of the transaction are free
SELECT p.oid::regprocedure AS lock, rg_with(format('SELECT %I(%s)', proname, CASE pronargs WHEN 1 THEN '1' ELSE '1, 1' END))
FROM pg_proc p WHERE proname ~ '^pg_(try_)?advisory_(xact_)?lock' ORDER BY p.oid::regprocedure::text COLLATE "C";
SELECT rg_with('SELECT pg_advisory_unlock_all()') AS unlock;
CREATE FUNCTION rg_lock(bigint) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT pg_try_advisory_lock($1)';
CREATE OPERATOR ## (RIGHTARG = bigint, FUNCTION = pg_try_advisory_lock);
CREATE OPERATOR ## (LEFTARG = int, RIGHTARG = int, FUNCTION = pg_try_advisory_lock);
SELECT command, rg_with(command) FROM unnest(ARRAY[
    'SELECT rg_lock(1)', 'SELECT ## 1::bigint', 'SELECT * FROM pg_try_advisory_lock(1)', 'SELECT 1 ## ANY (ARRAY[1])',
    'SELECT FROM rg_note WHERE CASE WHEN pg_try_advisory_lock(1) THEN true END',
    'DO $do$ DECLARE b boolean; BEGIN b := pg_try_advisory_lock(1); END $do$']) command;
SELECT count(*) AS locks FROM pg_locks WHERE locktype = 'advisory';

-- in one statement, and before the identity
BEGIN; SELECT relay_guard.assume('alice'), pg_advisory_lock(1); ROLLBACK;
SELECT pg_advisory_unlock_all();
BEGIN; SELECT pg_advisory_lock(1); SELECT relay_guard.assume('alice'); ROLLBACK;
SELECT pg_advisory_unlock_all();
BEGIN; SELECT pg_advisory_lock(1); SELECT pg_advisory_unlock(1); PREPARE TRANSACTION 'rg';
BEGIN; SELECT relay_guard.assume('alice'); COMMIT; ROLLBACK PREPARED 'rg';
BEGIN; LISTEN rg_channel; SELECT relay_guard.assume('alice'); ROLLBACK;
BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT * FROM rg_note; SELECT relay_guard.assume('alice'); ROLLBACK;
BEGIN; CREATE TEMP TABLE rg_temp (a int); SELECT relay_guard.assume('alice'); ROLLBACK;
CREATE FUNCTION rg_assume() RETURNS text LANGUAGE plpgsql AS $$
BEGIN PERFORM relay_guard.assume('alice'); RETURN 'alice'; END $$;
BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT rg_assume(), * FROM rg_note; COMMIT;
SELECT count(*) AS held FROM pg_cursors WHERE is_holdable;
CREATE TEMP TABLE rg_temp AS SELECT rg_assume();

-- a temporary table of before: neither read nor written with an identity, nor
-- written first; an earlier transaction may have anything
CREATE TEMP TABLE rg_temp (a text);
INSERT INTO rg_temp VALUES ('left behind');
CREATE TEMP TABLE rg_other (a text);
CREATE TEMP VIEW rg_view AS SELECT * FROM rg_temp;
SELECT command, rg_with(command) FROM unnest(ARRAY[
    'SELECT * FROM rg_temp', 'SELECT * FROM rg_view', 'SELECT FROM rg_note WHERE EXISTS (SELECT FROM rg_temp)',
    'INSERT INTO rg_temp SELECT body FROM rg_note', 'UPDATE rg_temp SET a = relay_guard.user_id()',
    'WITH x AS (INSERT INTO rg_temp VALUES (1)) SELECT 1', 'DELETE FROM rg_temp',
    'ALTER TABLE rg_temp ADD b text DEFAULT relay_guard.user_id()',
    'ALTER TABLE rg_other ALTER a TYPE text USING relay_guard.user_id()', 'CREATE INDEX ON rg_temp (a)']) command;
BEGIN; SELECT relay_guard.assume('alice'); COPY rg_temp TO STDOUT; ROLLBACK;
BEGIN; SELECT relay_guard.assume('alice'); COPY rg_temp FROM '/dev/null'; ROLLBACK;
INSERT INTO rg_temp SELECT rg_assume();
BEGIN; INSERT INTO rg_temp VALUES (1); SELECT relay_guard.assume('alice'); ROLLBACK;
BEGIN; COPY rg_temp FROM '/dev/null'; SELECT relay_guard.assume('alice'); ROLLBACK;
BEGIN; SELECT * FROM rg_temp; SELECT relay_guard.assume('alice'); SELECT * FROM rg_note WHERE user_id = relay_guard.user_id(); ROLLBACK;
BEGIN; SELECT relay_guard.assume('alice'); DROP TABLE rg_temp CASCADE; COMMIT;

-- serve() gives its route an identity as well
INSERT INTO relay_guard.route (method, path, query, result, run_as)
VALUES ('GET', '/rg/notes', 'SELECT body FROM public.rg_note', 'rows', 'rg_app');
CREATE FUNCTION rg_serve() RETURNS text LANGUAGE sql AS $$
    SELECT convert_from(body, 'UTF8') FROM relay_guard.serve('GET', '/rg/notes',
        headers => ARRAY['authorization', 'Bearer ' || relay_guard.issue_token('alice')]) $$;
SELECT rg_serve();
CREATE TEMP TABLE rg_temp (a text);
INSERT INTO rg_temp SELECT rg_serve();
BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT rg_serve(); COMMIT;
DROP TABLE rg_temp;
DROP FUNCTION rg_serve;
DELETE FROM relay_guard.route WHERE path = '/rg/notes';

-- an identity that was rolled back has been here all the same
BEGIN; SAVEPOINT s; SELECT relay_guard.assume('alice'); ROLLBACK TO s; CREATE TEMP TABLE rg_temp (a int); ROLLBACK;
-- and the next transaction is free again
BEGIN; CREATE TEMP TABLE rg_temp (a int); SELECT pg_advisory_lock(1); LISTEN rg_channel; COMMIT;
BEGIN; SELECT relay_guard.assume('alice'); SELECT relay_guard.user_id(); COMMIT;
DISCARD ALL;

-- without it: the hazard
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I RESET relay_guard.strict', current_database()); END $$;
\c
SET ROLE rg_app;
BEGIN; SELECT relay_guard.assume('alice'); DECLARE c CURSOR WITH HOLD FOR SELECT * FROM rg_note; COMMIT;
SELECT relay_guard.user_id() IS NULL AS nobody;
FETCH ALL FROM c;
RESET ROLE;
DISCARD ALL;

DROP OPERATOR ## (NONE, bigint), ## (int, int);
DROP FUNCTION rg_with, rg_lock, rg_assume;
DROP TABLE rg_note;
DROP OWNED BY rg_app;
DROP ROLE rg_app;
