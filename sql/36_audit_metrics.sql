
-- Seals, and refusals on their way into the audit log, for monitoring.

CREATE FUNCTION read_denials(OUT class text, OUT noted bigint, OUT left_out bigint)
RETURNS SETOF record
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'relay_guard_read_denials';
COMMENT ON FUNCTION read_denials() IS
'Refusals of this database since its worker first asked for them: all, and those without a row of their own. No rows where shared_preload_libraries does not name relay_guard.';

CREATE FUNCTION read_denials_dropped() RETURNS bigint
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'relay_guard_read_denials_dropped';
COMMENT ON FUNCTION read_denials_dropped() IS
'How many of them neither a row nor a count of the audit log tells of: there is no log, or no worker writes it.';

CREATE FUNCTION audit_metrics(OUT name text, OUT type text, OUT help text,
	OUT labels jsonb, OUT value float8)
RETURNS SETOF record
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
SELECT 'relay_guard_audit_denials_total', 'counter',
	'Refusals for the audit log: credentials, what is forbidden, values that do not open, quotas and budgets that are used up.',
	jsonb_build_object('class', class), noted FROM relay_guard.read_denials()
UNION ALL
SELECT 'relay_guard_audit_denials_left_out_total', 'counter',
	'Of them those without a row of their own, because there were too many.',
	jsonb_build_object('class', class), left_out FROM relay_guard.read_denials()
UNION ALL
SELECT 'relay_guard_audit_denials_dropped_total', 'counter',
	'Of them those that nothing in the audit log tells of.', jsonb '{}', dropped
FROM relay_guard.read_denials_dropped() AS dropped WHERE dropped IS NOT NULL
UNION ALL
SELECT 'relay_guard_audit_seal_age_seconds', 'gauge', 'Time since the audit log was last sealed.',
	jsonb '{}', extract(epoch FROM clock_timestamp() - sealed_at)
FROM (SELECT sealed_at FROM relay_guard.audit_seal ORDER BY seal_id DESC LIMIT 1) AS head
$$;
COMMENT ON FUNCTION audit_metrics() IS 'The part of metrics() that tells of the audit log.';
