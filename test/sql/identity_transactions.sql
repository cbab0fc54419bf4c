-- Every way a transaction ends, or does not.
\set VERBOSITY terse
\set who 'SELECT coalesce(relay_guard.user_id(), $$nobody$$) AS who'
CREATE TABLE rg_note (user_id text DEFAULT relay_guard.user_id(), body text);

-- chained
BEGIN; SELECT relay_guard.assume('alice'); COMMIT AND CHAIN; :who; SELECT relay_guard.assume('bob'); :who; ROLLBACK AND CHAIN; :who; COMMIT;

-- several statements in one simple query are one transaction, without BEGIN
SELECT relay_guard.assume('alice') \; :who \; INSERT INTO rg_note VALUES (DEFAULT, 'one query');
:who;
SELECT relay_guard.assume('alice') \; SELECT 1/0 \; :who;
:who;
SELECT relay_guard.assume('alice') \; COMMIT \; :who;
SELECT relay_guard.assume('alice') \; SELECT relay_guard.assume('bob');
-- a handle of alice's that is used too late, in bob's transaction, does not make it hers
BEGIN; SELECT relay_guard.assume('bob'); SAVEPOINT s; SELECT relay_guard.authenticate(relay_guard.issue_token('alice')); ROLLBACK TO s; :who; COMMIT;
-- but a statement alone is one: it warns
SELECT relay_guard.authenticate(relay_guard.issue_token('alice'));
:who;

-- COMMIT and ROLLBACK inside of procedures and DO
CREATE PROCEDURE rg_ends() LANGUAGE plpgsql AS $$
BEGIN
    PERFORM relay_guard.assume('alice');
    ROLLBACK;
    RAISE NOTICE 'after ROLLBACK: %', relay_guard.user_id();
    PERFORM relay_guard.assume('bob');
    COMMIT AND CHAIN;
    RAISE NOTICE 'after COMMIT AND CHAIN: %', relay_guard.user_id();
    PERFORM relay_guard.assume('carol');
    PERFORM 1/0;
END $$;
CALL rg_ends();
:who;
DO $$ BEGIN
    PERFORM relay_guard.assume('alice'); COMMIT;
    PERFORM relay_guard.assume('bob'); COMMIT;
    RAISE NOTICE 'between: %', relay_guard.user_id();
    PERFORM relay_guard.assume('carol');
END $$;
:who;
BEGIN; SELECT relay_guard.assume('alice'); CALL rg_ends(); ROLLBACK;

-- nested savepoints
BEGIN;
SAVEPOINT a; SAVEPOINT b;
SELECT relay_guard.assume('alice');
RELEASE b; :who; ROLLBACK TO a; :who;
SELECT relay_guard.assume('bob'); :who; ROLLBACK TO a;
SELECT relay_guard.assume('alice');
SAVEPOINT c; SELECT relay_guard.assume('alice'); ROLLBACK TO c; :who;
SAVEPOINT d; SELECT 1/0; ROLLBACK TO d; :who;
RELEASE a; :who;
COMMIT;
:who;

-- a function's settings, and its handlers, end before the identity that it gave
CREATE FUNCTION rg_login(name text) RETURNS text LANGUAGE plpgsql SET work_mem = '1MB' AS $$
BEGIN
    BEGIN
        PERFORM relay_guard.assume('mallory');
        RAISE EXCEPTION 'not her';
    EXCEPTION WHEN raise_exception THEN NULL;
    END;
    RETURN coalesce(relay_guard.user_id(), 'nobody');
END $$;
BEGIN; SELECT rg_login('alice'); :who; SELECT relay_guard.assume('alice'); ROLLBACK;
CREATE OR REPLACE FUNCTION rg_login(name text) RETURNS text LANGUAGE plpgsql SET work_mem = '1MB' AS $$
BEGIN PERFORM relay_guard.assume(name); RETURN relay_guard.user_id(); END $$;
BEGIN; SELECT rg_login('alice'); :who; SELECT rg_login('bob'); ROLLBACK;
:who;
-- one that fails takes it along
CREATE FUNCTION rg_tries() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM rg_login('alice'), 1/0;
    RETURN 'no';
EXCEPTION WHEN division_by_zero THEN RETURN coalesce(relay_guard.user_id(), 'nobody'); END $$;
SELECT rg_tries();

-- in two phases: it ends with the first, and is not there for the second
BEGIN; SELECT relay_guard.assume('alice'); INSERT INTO rg_note VALUES (DEFAULT, 'prepared'); PREPARE TRANSACTION 'rg';
:who;
BEGIN; SELECT relay_guard.assume('bob'); :who; COMMIT;
COMMIT PREPARED 'rg';
:who;
BEGIN; SELECT relay_guard.assume('alice'); PREPARE TRANSACTION 'rg'; ROLLBACK PREPARED 'rg'; :who;
BEGIN; SELECT relay_guard.assume('alice'); PREPARE TRANSACTION 'rg';
BEGIN; SELECT relay_guard.assume('bob'); ROLLBACK; ROLLBACK PREPARED 'rg';
-- PREPARE that fails
BEGIN; SELECT relay_guard.assume('alice'); LISTEN rg_channel; PREPARE TRANSACTION 'rg';
:who;

-- triggers at COMMIT: immediate, deferred and failing
CREATE FUNCTION rg_trigger() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE NOTICE '%: % for %', TG_NAME, NEW.body, relay_guard.user_id();
    IF NEW.body = 'fail' THEN PERFORM 1/0; END IF;
    IF NEW.body = 'change' THEN PERFORM relay_guard.assume('mallory'); END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER deferred AFTER INSERT ON rg_note DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION rg_trigger();
CREATE TRIGGER immediate AFTER INSERT ON rg_note FOR EACH ROW EXECUTE FUNCTION rg_trigger();
BEGIN; SELECT relay_guard.assume('alice'); INSERT INTO rg_note VALUES (DEFAULT, 'ok'); COMMIT; :who;
BEGIN; INSERT INTO rg_note VALUES (DEFAULT, 'before'); SELECT relay_guard.assume('bob'); COMMIT; :who;
BEGIN; SELECT relay_guard.assume('alice'); SET CONSTRAINTS ALL IMMEDIATE; INSERT INTO rg_note VALUES (DEFAULT, 'set immediate'); COMMIT;
BEGIN; SELECT relay_guard.assume('alice'); INSERT INTO rg_note VALUES (DEFAULT, 'change'); ROLLBACK; :who;
ALTER TABLE rg_note DISABLE TRIGGER immediate;
BEGIN; SELECT relay_guard.assume('alice'); INSERT INTO rg_note VALUES (DEFAULT, 'fail'); COMMIT; :who;
BEGIN; SELECT relay_guard.assume('alice'); INSERT INTO rg_note VALUES (DEFAULT, 'change'); COMMIT; :who;
SELECT * FROM rg_note;

-- cancelled in the middle
BEGIN; SELECT relay_guard.assume('alice'); SET LOCAL statement_timeout = '5ms'; SELECT pg_sleep(10); ROLLBACK; :who;
SELECT relay_guard.assume('alice') \; SET LOCAL statement_timeout = '5ms' \; SELECT pg_sleep(10);
:who;
BEGIN; SELECT relay_guard.assume('alice'); SELECT pg_cancel_backend(pg_backend_pid()), pg_sleep(10); ROLLBACK; :who;

-- what stays in the session: statements, and settings that are not ours
PREPARE rg_mine AS SELECT relay_guard.user_id();
BEGIN; SELECT relay_guard.assume('alice'); PREPARE rg_hers AS SELECT relay_guard.user_id(); EXECUTE rg_hers; SET app.said = 'by alice'; COMMIT;
BEGIN; SELECT relay_guard.assume('bob'); EXECUTE rg_hers; EXECUTE rg_mine; SHOW app.said; COMMIT;
EXECUTE rg_hers;
BEGIN; SELECT relay_guard.assume('alice'); SAVEPOINT s; DISCARD ALL; ROLLBACK TO s; :who; RESET ALL; :who; RESET SESSION AUTHORIZATION; :who; SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY; :who; COMMIT;
DISCARD ALL;

-- an app's IMMUTABLE wrapper is folded into a generic plan; policies are not
CREATE ROLE rg_app;
TRUNCATE rg_note;
INSERT INTO rg_note VALUES ('alice', 'hers'), ('bob', 'his');
SELECT relay_guard.protect('rg_note', grant_to => 'rg_app', build_index => false);
GRANT EXECUTE ON FUNCTION relay_guard.assume(text, text, text, text, inet) TO rg_app;
CREATE FUNCTION rg_folded() RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT relay_guard.user_id()';
SET plan_cache_mode = force_generic_plan;
SET ROLE rg_app;
PREPARE rg_folded AS SELECT body, rg_folded() FROM rg_note;
PREPARE rg_where AS SELECT body FROM rg_note WHERE user_id = rg_folded();
BEGIN; SELECT relay_guard.assume('alice'); EXECUTE rg_folded; EXECUTE rg_where; COMMIT;
BEGIN; SELECT relay_guard.assume('bob'); EXECUTE rg_folded; EXECUTE rg_where; COMMIT;
EXECUTE rg_folded;
RESET ALL; RESET ROLE;
DEALLOCATE ALL;

DROP TABLE rg_note;
DROP FUNCTION rg_trigger, rg_login, rg_tries, rg_folded;
DROP PROCEDURE rg_ends();
DROP OWNED BY rg_app;
DROP ROLE rg_app;
