
-- Retention: whole months leave the audit log, and their seals stay.

CREATE PROCEDURE audit_retire(before timestamptz)
LANGUAGE C AS 'MODULE_PATHNAME', 'relay_guard_audit_retire';
COMMENT ON PROCEDURE audit_retire(timestamptz) IS
'Detaches and drops the partitions of audit_log that hold months before it, beside whoever writes the log; the rest stays verifiable. It records this as event audit.retire and commits that first, so CALL it by itself, not in a transaction block; broken off, the next CALL goes on. Rows that no seal has are not dropped.';
