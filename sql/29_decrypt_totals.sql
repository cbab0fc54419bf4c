
-- Values that did not open, for monitoring.

CREATE FUNCTION read_decrypt_failures() RETURNS bigint
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'relay_guard_read_decrypt_failures';
COMMENT ON FUNCTION read_decrypt_failures() IS
'How many encrypted values of this database did not open since the server started; NULL where shared_preload_libraries does not name relay_guard.';

CREATE FUNCTION decrypt_metrics(OUT name text, OUT type text, OUT help text,
	OUT labels jsonb, OUT value float8)
RETURNS SETOF record
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
SELECT 'relay_guard_decrypt_failures_total', 'counter',
	'Encrypted values that did not open: changed, or moved from another place.', jsonb '{}', failures
FROM relay_guard.read_decrypt_failures() AS failures WHERE failures IS NOT NULL
$$;
COMMENT ON FUNCTION decrypt_metrics() IS 'The part of metrics() that tells of encrypted values.';
