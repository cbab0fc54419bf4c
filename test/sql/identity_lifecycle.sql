-- An identity lives as long as its transaction or savepoint, no longer.
\set VERBOSITY terse
SELECT relay_guard.assume('alice');
SELECT relay_guard.user_id() IS NULL AS gone_with_its_statement;

BEGIN; SELECT relay_guard.assume('alice'); COMMIT;
SELECT relay_guard.user_id() IS NULL AS gone_after_commit;
BEGIN; SELECT relay_guard.assume('alice'); ROLLBACK;
SELECT relay_guard.user_id() IS NULL AS gone_after_rollback;
BEGIN; SELECT relay_guard.assume('alice'); SELECT 1/0; ROLLBACK;
SELECT relay_guard.user_id() IS NULL AS gone_after_error;
BEGIN; SELECT relay_guard.assume('alice'); COMMIT AND CHAIN;
SELECT relay_guard.user_id() IS NULL AS gone_after_chain;
ROLLBACK;

-- savepoints
BEGIN;
SAVEPOINT a;
SELECT relay_guard.assume('alice');
ROLLBACK TO a;
SELECT relay_guard.user_id() IS NULL AS gone_after_rollback_to;
SELECT relay_guard.assume('bob');
SAVEPOINT b;
SELECT relay_guard.user_id();
SELECT relay_guard.assume('bob');
ROLLBACK TO b;
SELECT relay_guard.user_id() AS kept;
COMMIT;
BEGIN;
SAVEPOINT a;
SELECT relay_guard.assume('alice');
RELEASE a;
SELECT relay_guard.user_id() AS kept_after_release;
SELECT relay_guard.assume('bob');
ROLLBACK;

-- exception blocks
DO $$
BEGIN
    BEGIN
        PERFORM relay_guard.assume('alice');
        PERFORM 1/0;
    EXCEPTION WHEN division_by_zero THEN
        RAISE NOTICE 'in the handler: %', relay_guard.user_id();
    END;
    PERFORM relay_guard.assume('bob');
    RAISE NOTICE 'after the block: %', relay_guard.user_id();
END $$;

-- procedures that commit
CREATE PROCEDURE rg_commits() LANGUAGE plpgsql AS $$
BEGIN
    PERFORM relay_guard.assume('alice');
    RAISE NOTICE 'before COMMIT: %', relay_guard.user_id();
    COMMIT;
    RAISE NOTICE 'after COMMIT: %', relay_guard.user_id();
    PERFORM relay_guard.assume('bob');
    RAISE NOTICE 'next transaction: %', relay_guard.user_id();
END $$;
CALL rg_commits();
DROP PROCEDURE rg_commits();

-- deferred triggers still see it
CREATE TABLE rg_deferred (a int);
CREATE FUNCTION rg_notice() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE NOTICE 'at commit: %', relay_guard.user_id(); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER t AFTER INSERT ON rg_deferred DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION rg_notice();
BEGIN; SELECT relay_guard.assume('alice'); INSERT INTO rg_deferred VALUES (1); COMMIT;
DROP TABLE rg_deferred;
DROP FUNCTION rg_notice();

-- prepared statements are planned for nobody in particular
PREPARE who AS SELECT relay_guard.user_id();
SET plan_cache_mode = force_generic_plan;
BEGIN; SELECT relay_guard.assume('alice'); EXECUTE who; COMMIT;
BEGIN; SELECT relay_guard.assume('bob'); EXECUTE who; COMMIT;
EXECUTE who;
BEGIN; SELECT relay_guard.assume('bob'); DISCARD PLANS; SELECT relay_guard.user_id(); RESET ALL; SELECT relay_guard.user_id(); COMMIT;
DISCARD ALL;

-- types of user ids: only the canonical spelling is the number or uuid
BEGIN; SELECT relay_guard.assume('7'); SELECT relay_guard.user_bigint(); COMMIT;
BEGIN; SELECT relay_guard.assume('007'); SELECT relay_guard.user_bigint(); COMMIT;
BEGIN; SELECT relay_guard.assume('+7'); SELECT relay_guard.user_bigint(); COMMIT;
BEGIN; SELECT relay_guard.assume('-9223372036854775808'); SELECT relay_guard.user_bigint(); COMMIT;
BEGIN; SELECT relay_guard.assume('9223372036854775808'); SELECT relay_guard.user_bigint(); COMMIT;
BEGIN; SELECT relay_guard.assume('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'); SELECT relay_guard.user_uuid(), relay_guard.user_bigint(); COMMIT;
BEGIN; SELECT relay_guard.assume('alice'); SELECT relay_guard.user_uuid(); COMMIT;

-- without an identity: NULL, or an error for those who want one
SELECT relay_guard.user_id(), relay_guard.user_uuid(), relay_guard.workspace_id(), relay_guard.role(), relay_guard.has_scope('x');
SET relay_guard.missing_context = error;
SELECT relay_guard.user_id();
RESET relay_guard.missing_context;

-- a value of the identity outlives the identity: COMMIT in a procedure ends the
-- one while the other is still an argument
CREATE PROCEDURE rg_keeps(who text, what uuid) LANGUAGE plpgsql AS $$
BEGIN
    COMMIT;
    PERFORM relay_guard.assume('somebody else, with a rather longer user id than before');
    RAISE NOTICE 'still % %', who, what;
END $$;
DO $$ BEGIN
    PERFORM relay_guard.assume('alice');
    CALL rg_keeps(relay_guard.user_id(), relay_guard.user_uuid());
END $$;
DROP PROCEDURE rg_keeps(text, uuid);
