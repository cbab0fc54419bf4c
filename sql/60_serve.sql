
-- serve(): a request in, an answer out.

CREATE FUNCTION serve(request bytea) RETURNS bytea
LANGUAGE C STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'relay_guard_serve_frame';
COMMENT ON FUNCTION serve(bytea) IS
'Answers one HTTP request; the gateway''s transport, one binary frame each way.';

CREATE FUNCTION serve(method text, path text, query text DEFAULT '', headers text[] DEFAULT '{}',
                      body bytea DEFAULT '', client_ip inet DEFAULT NULL, request_id text DEFAULT NULL,
                      OUT status int, OUT headers text[], OUT body bytea, OUT stream jsonb)
LANGUAGE C PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'relay_guard_serve';
COMMENT ON FUNCTION serve(text, text, text, text[], bytea, inet, text) IS
'The same for psql, tests and other front-ends; headers are name, value, name, value, ..., names in lower case.';

CREATE FUNCTION fail(status int, code text, detail text DEFAULT NULL, suggestion text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF status IS NULL OR status NOT BETWEEN 400 AND 599 THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'status must be from 400 to 599';
    END IF;
    RAISE EXCEPTION USING ERRCODE = 'RG' || status,
        MESSAGE = coalesce(detail, code, 'the request was refused'),
        DETAIL = coalesce(code, ''), HINT = coalesce(suggestion, '');
END
$$;
COMMENT ON FUNCTION fail(int, text, text, text) IS
'Ends the request with that HTTP status; code, detail and suggestion go into the problem document.';

CREATE FUNCTION keyring_available() RETURNS boolean
LANGUAGE C STABLE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'relay_guard_keyring_available';
COMMENT ON FUNCTION keyring_available() IS 'Whether the server has a key ring.';

CREATE FUNCTION audit_ready() RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT NOT EXISTS (SELECT FROM pg_trigger WHERE tgfoid = 'audit_change()'::regprocedure)
        OR (keyring_available() AND EXISTS (
            SELECT FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
            WHERE i.inhparent = 'audit_log'::regclass AND NOT i.inhdetachpending
              AND c.relname = 'audit_log_' || to_char(now() AT TIME ZONE 'UTC', 'YYYY_MM')));
END;
COMMENT ON FUNCTION audit_ready() IS
'Whether changes to audited tables can be recorded: there is a key ring, and a partition for now. True where no table is audited.';

CREATE FUNCTION ready() RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT jsonb_build_object(
        'extension', true,
        'routes', EXISTS (SELECT FROM route),
        'keyring', keyring_available(),
        'counters', (SELECT preloaded FROM counter_status),
        'audit', audit_ready(),
        'version', (SELECT extversion FROM pg_extension WHERE extname = 'relay_guard'));
END;
COMMENT ON FUNCTION ready() IS
'What of the extension is ready to serve: {"extension", "routes", "keyring", "counters", "audit", "version"}.';
