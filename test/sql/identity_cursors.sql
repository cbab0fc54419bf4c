-- An open cursor shows nobody another user's rows.
\set VERBOSITY terse
CREATE ROLE rg_app;
CREATE TABLE rg_note (user_id text, body text);
INSERT INTO rg_note SELECT who, who || n FROM unnest('{alice,bob}'::text[]) who, generate_series(1, 3) n;
SELECT relay_guard.protect('rg_note', grant_to => 'rg_app', build_index => false);
GRANT EXECUTE ON FUNCTION relay_guard.assume(text, text, text, text, inet) TO rg_app;
CREATE SCHEMA rg_evil AUTHORIZATION rg_app;
SET ROLE rg_app;

-- opened as alice, read as bob: there is no bob in her transaction
BEGIN;
SELECT relay_guard.assume('alice');
DECLARE c CURSOR FOR SELECT body FROM rg_note;
FETCH 1 FROM c;
SAVEPOINT s;
SELECT relay_guard.assume('bob');
ROLLBACK TO s;
FETCH 1 FROM c;
COMMIT;
FETCH 1 FROM c;

-- opened before, first read as alice in a savepoint that is rolled back: the
-- cursor survives with her rows, so nobody else may follow while it is open
BEGIN;
DECLARE c CURSOR FOR SELECT body FROM rg_note;
SAVEPOINT s;
SELECT relay_guard.assume('alice');
FETCH 1 FROM c;
ROLLBACK TO s;
SELECT relay_guard.user_id() IS NULL AS gone;
SELECT relay_guard.assume('bob');
ROLLBACK TO s;
SELECT relay_guard.assume('alice');
FETCH 1 FROM c;
COMMIT;

BEGIN;
DECLARE c CURSOR FOR SELECT body FROM rg_note;
SAVEPOINT s;
SELECT relay_guard.assume('alice');
FETCH 1 FROM c;
ROLLBACK TO s;
CLOSE c;
SELECT relay_guard.assume('bob');
SELECT body FROM rg_note;
SAVEPOINT t;
SELECT relay_guard.assume('alice');
ROLLBACK TO t;
SELECT relay_guard.assume('bob');
ROLLBACK TO s;
SELECT relay_guard.assume('alice');
RELEASE s;
SELECT body FROM rg_note;
SELECT relay_guard.assume('bob');
COMMIT;

-- nor does an operator of hers hide the cursor
CREATE FUNCTION rg_evil.never(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT false';
CREATE OPERATOR rg_evil.<> (LEFTARG = text, RIGHTARG = text, FUNCTION = rg_evil.never);
BEGIN;
SET LOCAL search_path = rg_evil, pg_catalog, public;
DECLARE c CURSOR FOR SELECT body FROM rg_note;
SAVEPOINT s;
SELECT relay_guard.assume('alice');
FETCH 1 FROM c;
ROLLBACK TO s;
SELECT relay_guard.assume('bob');
COMMIT;

-- a function's cursor does not get there either
CREATE FUNCTION pg_temp.reads() RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE notes CURSOR FOR SELECT body FROM public.rg_note; note text;
BEGIN
    OPEN notes;
    BEGIN
        PERFORM relay_guard.assume('alice');
        FETCH notes INTO note; RETURN NEXT note;
        RAISE EXCEPTION 'undone';
    EXCEPTION WHEN raise_exception THEN NULL;
    END;
    PERFORM relay_guard.assume('bob');
    FETCH notes INTO note; RETURN NEXT note;
END $$;
SELECT * FROM pg_temp.reads();
DROP FUNCTION pg_temp.reads();

-- opened and read by nobody: it stays empty, whoever comes
BEGIN;
DECLARE c CURSOR FOR SELECT body FROM rg_note;
FETCH 1 FROM c;
SELECT relay_guard.assume('alice');
FETCH 1 FROM c;
COMMIT;

-- a function's cursor
CREATE FUNCTION pg_temp.notes() RETURNS refcursor LANGUAGE plpgsql AS $$
DECLARE c refcursor := 'notes';
BEGIN OPEN c FOR SELECT body FROM public.rg_note; RETURN c; END $$;
BEGIN; SELECT relay_guard.assume('alice'); SELECT pg_temp.notes(); FETCH ALL FROM notes; COMMIT;
FETCH ALL FROM notes;

-- a loop's rows are those of its start, though COMMIT ends the identity in it
DO $$
DECLARE note text;
BEGIN
    PERFORM relay_guard.assume('alice');
    FOR note IN SELECT body FROM rg_note ORDER BY body LOOP
        RAISE NOTICE '%, read for alice; now %', note, relay_guard.user_id();
        COMMIT;
    END LOOP;
    RAISE NOTICE 'rows now: %', (SELECT count(*) FROM rg_note);
END $$;

-- held over the end of the transaction: they are alice's still, which strict mode prevents
BEGIN; SELECT relay_guard.assume('alice'); DECLARE c CURSOR WITH HOLD FOR SELECT body FROM rg_note; COMMIT;
FETCH 1 FROM c;
BEGIN; SELECT relay_guard.assume('bob'); FETCH 1 FROM c; COMMIT;
CLOSE c;

RESET ROLE;
DROP SCHEMA rg_evil CASCADE;
DROP TABLE rg_note;
DROP OWNED BY rg_app;
DROP ROLE rg_app;
