
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

CREATE FUNCTION is_openai_path(path text) RETURNS boolean
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'relay_guard_is_openai_path';
COMMENT ON FUNCTION is_openai_path(text) IS
'Whether a path, or a route''s, speaks OpenAI''s API: its problems have the form of openai_error().';

CREATE FUNCTION openai_error(status int, code text, detail text, suggestion text) RETURNS json
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'relay_guard_openai_error';
COMMENT ON FUNCTION openai_error(int, text, text, text) IS
'A problem as OpenAI''s API tells it: {"error": {"message", "type", "param", "code"}}.';
