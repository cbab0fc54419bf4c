-- Whether the audit log can be written, as monitoring sees it.
SELECT relay_guard.ready() -> 'audit' AS nothing_is_audited;

CREATE TABLE ready_note (id int PRIMARY KEY, body text);
SELECT relay_guard.audit('ready_note');
SELECT relay_guard.ready() -> 'audit' AS all_is_there;

-- Without a partition for now no change can be recorded
BEGIN;
DO $$ BEGIN EXECUTE 'DROP TABLE relay_guard.audit_log_' || to_char(now() AT TIME ZONE 'UTC', 'YYYY_MM'); END $$;
SELECT relay_guard.ready() -> 'audit' AS no_partition;
ROLLBACK;
SELECT relay_guard.ready() -> 'audit' AS there_again;

-- The age of the last seal
BEGIN;
SELECT relay_guard.audit_seal() >= 0 AS sealed;
SELECT type, labels, value BETWEEN 0 AND 600 AS fresh FROM relay_guard.metrics()
WHERE name = 'relay_guard_audit_seal_age_seconds';
ROLLBACK;

-- Refusals: this database is looked after by no worker, so they may be dropped, but they are counted
DO $$
BEGIN
    FOR i IN 1 .. 30 LOOP
        BEGIN
            PERFORM relay_guard.authenticate('not.a.token');
        EXCEPTION WHEN OTHERS THEN NULL;
        END;
    END LOOP;
END $$;
SELECT class FROM relay_guard.read_denials();
SELECT DISTINCT labels FROM relay_guard.metrics() WHERE name = 'relay_guard_audit_denials_total' ORDER BY 1;
SELECT count(*) FROM relay_guard.metrics() WHERE name ~ '^relay_guard_audit' AND labels::text ~ 'token';

SELECT relay_guard.audit_stop('ready_note');
DROP TABLE ready_note;
