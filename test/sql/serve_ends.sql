-- Everything that a request changes but its data ends with its call.
\set VERBOSITY terse
\set SHOW_CONTEXT never
CREATE ROLE rg_app;
CREATE ROLE rg_gate;
CREATE TABLE rg_log (a int, who text DEFAULT current_user);
CREATE TABLE rg_unique (a int UNIQUE DEFERRABLE INITIALLY DEFERRED);
INSERT INTO rg_unique VALUES (1);
CREATE FUNCTION rg_deferred() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE NOTICE 'deferred trigger runs as %, for %', current_user, relay_guard.user_id(); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER t AFTER INSERT ON rg_log DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION rg_deferred();
GRANT SELECT, INSERT ON rg_log, rg_unique TO rg_app;
INSERT INTO relay_guard.route (method, path, query, auth, result, result_key, run_as) VALUES
('POST', '/log', 'INSERT INTO public.rg_log VALUES (1) RETURNING a', 'optional', 'row', NULL, 'rg_app'),
('POST', '/set', $$SELECT set_config('search_path', 'evil', false) || set_config('work_mem', '64kB', false) AS v$$, 'none', 'value', 'v', 'rg_app'),
('POST', '/lock', 'SELECT pg_try_advisory_lock(42) AS v', 'none', 'value', 'v', 'rg_app'),
('POST', '/role', $$SELECT set_config('role', 'postgres', false) AS v$$, 'none', 'value', 'v', 'rg_app'),
('POST', '/identity', $$SELECT set_config('relay_guard.context', '', true) AS v$$, 'user', 'value', 'v', 'rg_app'),
('POST', '/unique', 'INSERT INTO public.rg_unique VALUES (1) RETURNING a', 'none', 'row', NULL, 'rg_app'),
('GET', '/who', 'SELECT relay_guard.user_id() AS v', 'optional', 'value', 'v', 'rg_app'),
('GET', '/path', $$SELECT current_setting('search_path') || ' ' || upper('x') AS v$$, 'none', 'value', 'v', 'rg_app'),
('GET', '/error', 'SELECT 1 / 0 AS v', 'user', 'value', 'v', 'rg_app');
GRANT EXECUTE ON FUNCTION relay_guard.serve(text, text, text, text[], bytea, inet, text),
    relay_guard.issue_token(text, text, text, text[], interval), relay_guard.assume(text, text, text, text, inet) TO rg_gate, rg_app;
INSERT INTO relay_guard.route (method, path, query, auth, result, result_key, run_as)
VALUES ('GET', '/again', $$SELECT status AS v FROM relay_guard.serve('GET', '/who')$$, 'none', 'value', 'v', 'rg_app');
CREATE FUNCTION rg_call(method text, path text, who text DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
    SELECT status || ' ' || convert_from(body, 'UTF8') FROM relay_guard.serve(method, path, '',
        CASE WHEN who IS NULL THEN '{}' ELSE ARRAY['authorization', 'Bearer ' || relay_guard.issue_token(who)] END)
$$;
CREATE FUNCTION rg_execute(command text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN EXECUTE command; RETURN command; END $$;
INSERT INTO relay_guard.route (method, path, query, auth, result, parameters, run_as)
VALUES ('POST', '/run', 'SELECT public.rg_execute(request.command) AS v', 'user', 'value',
        '[{"name":"command","in":"query","required":true,"schema":{"type":"string"}}]', 'rg_app');
CREATE FUNCTION rg_run(command text) RETURNS text LANGUAGE sql AS $$
    SELECT status || ' ' || convert_from(body, 'UTF8')
    FROM relay_guard.serve('POST', '/run', 'command=' || replace(command, ' ', '%20'),
                           ARRAY['authorization', 'Bearer ' || relay_guard.issue_token('alice')])
$$;
SET ROLE rg_gate;

-- deferred triggers run with the route's rights, before the answer
SELECT rg_call('POST', '/log', 'alice');
-- a deferred constraint fails before the answer, not after it
SELECT rg_call('POST', '/unique');
-- settings and session locks
SELECT rg_call('POST', '/set');
SHOW search_path;
SHOW work_mem;
SELECT rg_call('POST', '/lock');
SELECT count(*) AS locks FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid();
-- another role, another identity, another request
SELECT rg_call('POST', '/role');
SELECT rg_call('POST', '/identity', 'alice');
SELECT rg_call('GET', '/again');
SELECT current_user;

-- what belongs to the session, by dynamic SQL of a route's function
SELECT rg_run('PREPARE serve(bytea) AS SELECT 1');
SELECT rg_run('DEALLOCATE ALL');
SELECT rg_run('LISTEN x');
SELECT rg_run('UNLISTEN *');
SELECT rg_run('DISCARD PLANS');
SELECT rg_run($$LOAD 'plpgsql'$$);
SELECT rg_run('DECLARE c CURSOR WITH HOLD FOR SELECT 1');
SELECT rg_run($$SELECT relay_guard.assume('mallory')$$);
SELECT rg_run($$SELECT relay_guard.authenticate(relay_guard.issue_token('mallory'))$$);
PREPARE rg_after AS SELECT 1 AS the_guard_is_lifted;
EXECUTE rg_after;

-- two requests in one transaction, and what surrounds them
BEGIN;
SELECT rg_call('GET', '/who', 'alice'), rg_call('GET', '/who', 'bob'), rg_call('GET', '/who');
SELECT relay_guard.user_id() IS NULL AS nobody_after, current_user;
SELECT relay_guard.assume('carol');
SELECT rg_call('GET', '/who', 'alice') AS alices, rg_call('GET', '/who') AS nobodys;
SELECT relay_guard.user_id() AS still;
SAVEPOINT s;
SELECT rg_call('GET', '/error', 'alice');
ROLLBACK TO s;
SELECT relay_guard.user_id() AS still, current_user, rg_call('GET', '/who', 'bob') AS next;
COMMIT;
DO $$ BEGIN
    BEGIN PERFORM public.rg_call('GET', '/error', 'alice');
    EXCEPTION WHEN division_by_zero THEN RAISE NOTICE 'in the handler: % %', relay_guard.user_id(), current_user; END;
    RAISE NOTICE 'after it: %', public.rg_call('GET', '/who', 'bob');
END $$;

-- the caller's search_path does not reach the statement
RESET ROLE;
CREATE SCHEMA rg_evil AUTHORIZATION rg_gate;
GRANT USAGE ON SCHEMA rg_evil TO PUBLIC;
SET ROLE rg_gate;
CREATE FUNCTION rg_evil.upper(text) RETURNS text LANGUAGE sql AS $$ SELECT 'EVIL as ' || current_user $$;
CREATE TEMP TABLE rg_log (a int, who text);
SET search_path = rg_evil, pg_temp, public, pg_catalog;
SELECT public.rg_call('GET', '/path');
SET standard_conforming_strings = off;
SELECT public.rg_call('GET', '/path');
RESET ALL;
RESET ROLE;

DELETE FROM relay_guard.route;
DROP SCHEMA rg_evil CASCADE;
DROP TABLE pg_temp.rg_log, public.rg_log, rg_unique;
DROP FUNCTION rg_call, rg_deferred, rg_run, rg_execute;
DROP OWNED BY rg_gate, rg_app;
DROP ROLE rg_app, rg_gate;
