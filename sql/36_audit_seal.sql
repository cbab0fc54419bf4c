
-- Seals of the audit log.

CREATE FUNCTION audit_seal() RETURNS integer
LANGUAGE C SECURITY DEFINER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'relay_guard_audit_seal';
COMMENT ON FUNCTION audit_seal() IS
'Seals the rows of audit_log that are in no seal yet, one seal a month; returns how many seals it made. The background worker does it every relay_guard.audit_seal_interval in relay_guard.databases.';

CREATE FUNCTION audit_head(OUT seal_id bigint, OUT root bytea, OUT sealed_at timestamptz) RETURNS record
LANGUAGE sql STABLE SECURITY DEFINER PARALLEL SAFE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT s.seal_id, s.root, s.sealed_at FROM audit_seal s ORDER BY s.seal_id DESC LIMIT 1;
END;
COMMENT ON FUNCTION audit_head() IS
'The last seal. Kept elsewhere, its root shows later that no seal up to it was changed or cut off.';
