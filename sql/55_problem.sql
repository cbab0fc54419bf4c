
-- What the gateway and the extension refuse, and why.

CREATE FUNCTION problem_catalog(OUT status int, OUT code text, OUT title text, OUT meaning text,
                                OUT suggestion text)
RETURNS SETOF record
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'relay_guard_problem_catalog';
COMMENT ON FUNCTION problem_catalog() IS
'Every problem that the gateway and the extension answer with by themselves; codes are part of the API.';

CREATE FUNCTION status_title(status int) RETURNS text
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'relay_guard_status_title';
COMMENT ON FUNCTION status_title(int) IS 'The reason phrase of an HTTP status.';
