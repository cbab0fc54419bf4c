
-- Whether the audit log is what was written.

CREATE FUNCTION audit_verify(since timestamptz DEFAULT NULL, until timestamptz DEFAULT NULL)
RETURNS TABLE (problem text, id bigint, detail text)
LANGUAGE C VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'relay_guard_audit_verify';
COMMENT ON FUNCTION audit_verify(timestamptz, timestamptz) IS
'What is wrong with the audit log: no rows when nothing is. id is that of the row in audit_log, or of the seal where the problem begins with seal_. since and until leave out other months; the chain is checked from the first month on. What whoever has the key ring changed is found by ops/audit-verify with the first key of the ratchet or an anchor.';
