
-- Routes: an HTTP endpoint is a row, and its work one SQL statement.

CREATE TABLE route (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    method       text NOT NULL CHECK (method IN ('GET', 'POST', 'PUT', 'PATCH', 'DELETE')),
    path         text NOT NULL CHECK (path ~ '^(/([A-Za-z0-9._~!$&''()*+,;=:@-]+|\{[a-z_][a-z0-9_]*\}))*(/\{[a-z_][a-z0-9_]*\.\.\.\})?$' AND path <> ''),
    query        text NOT NULL,
    auth         text NOT NULL DEFAULT 'user' CHECK (auth IN ('none', 'optional', 'anonymous', 'user', 'admin', 'api_key')),
    scopes       text[] NOT NULL DEFAULT '{}' CHECK (array_position(scopes, NULL) IS NULL
                               AND array_to_string(scopes, ' ') ~ '^([!#-[\]-~]+ ?)*$'),
    parameters   jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(parameters) = 'array'),
    request_body jsonb CHECK (jsonb_typeof(request_body) = 'object'),
    rate         text[] NOT NULL DEFAULT '{}' CHECK (array_position(rate, NULL) IS NULL AND cardinality(rate) <= 8),
    quota        text[] NOT NULL DEFAULT '{}' CHECK (array_position(quota, NULL) IS NULL AND cardinality(quota) <= 4),
    budget       text CHECK (budget <> ''),
    max_body     int NOT NULL DEFAULT 1048576 CHECK (max_body >= 0),
    idempotency  text NOT NULL DEFAULT 'none' CHECK (idempotency IN ('none', 'optional', 'required')),
    slow         boolean NOT NULL DEFAULT false,
    cache_seconds int CHECK (cache_seconds BETWEEN 1 AND 86400),
    cache_tags   text[] NOT NULL DEFAULT '{}' CHECK (array_position(cache_tags, NULL) IS NULL AND cardinality(cache_tags) <= 8),
    upstream     text CHECK (upstream <> ''),
    shape        text CHECK (shape IN ('openai', 'reply', 'events')),
    result       text NOT NULL DEFAULT 'rows' CHECK (result IN ('rows', 'row', 'value', 'none', 'file', 'stream', 'proxy', 'completion')),
    result_key   text CHECK (result_key <> ''),
    status       int NOT NULL DEFAULT 200 CHECK (status BETWEEN 200 AND 299),
    keyset       name[] NOT NULL DEFAULT '{}' CHECK (array_position(keyset, NULL) IS NULL AND cardinality(keyset) <= 8),
    keyset_start text[] CHECK (array_position(keyset_start, NULL) IS NULL
                               AND cardinality(keyset_start) = cardinality(keyset)),
    plan         text NOT NULL DEFAULT 'generic' CHECK (plan IN ('generic', 'custom')),
    max_response int NOT NULL DEFAULT 8388608 CHECK (max_response > 0),
    run_as       regrole NOT NULL,
    search_path  text NOT NULL DEFAULT 'pg_catalog, pg_temp',
    summary      text,
    description  text,
    responses    jsonb CHECK (jsonb_typeof(responses) = 'object'),
    UNIQUE (method, path),
    CHECK (result = 'rows' OR cardinality(keyset) = 0),
    CHECK (result_key IS NOT NULL OR cardinality(keyset) = 0),
    CHECK (idempotency = 'none' OR (method <> 'GET' AND result NOT IN ('file', 'stream', 'proxy', 'completion'))),
    CHECK (cache_seconds IS NULL OR (method = 'GET' AND result IN ('rows', 'row', 'value', 'file') AND status = 200)),
    CHECK (cache_seconds IS NOT NULL OR cardinality(cache_tags) = 0),
    CHECK (result <> 'file' OR (result_key IS NULL AND status = 200)),
    CHECK ((result = 'proxy') = (upstream IS NOT NULL)),
    CHECK ((result = 'completion') = (shape IS NOT NULL)),
    CHECK (result <> 'completion' OR (method = 'POST' AND result_key IS NULL AND status = 200)),
    CHECK (result = 'proxy' OR path !~ '\.\.\.\}$'),
    CHECK (result <> 'proxy' OR (idempotency = 'none' AND result_key IS NULL AND status = 200))
);
COMMENT ON TABLE route IS 'The HTTP endpoints that serve() answers.';
COMMENT ON COLUMN route.path IS 'Template such as /api/v1/files/{id}; a literal segment wins over {...}. Of routes of result proxy a last {name...} takes all segments that are left.';
COMMENT ON COLUMN route.query IS 'One SQL statement; it reads its parameters as request.<name>.';
COMMENT ON COLUMN route.auth IS 'none, optional, anonymous (or better), user, admin (a token or an API key of role admin), api_key (an API key, or a user with a workspace).';
COMMENT ON COLUMN route.scopes IS 'Scopes that the token must grant, all of them.';
COMMENT ON COLUMN route.parameters IS 'OpenAPI parameter objects; each is request.<name> in the statement.';
COMMENT ON COLUMN route.request_body IS 'JSON Schema of the body; its properties are request.<name>, the whole is request.body.';
COMMENT ON COLUMN route.rate IS 'Names of rate policies that bind the route; those by address are taken first.';
COMMENT ON COLUMN route.quota IS 'Names of quota policies that a request takes 1 of, all of them or none; a request that fails gives it back.';
COMMENT ON COLUMN route.budget IS 'Before a request there must be room in this budget policy, or in all that bind the caller (all).';
COMMENT ON COLUMN route.max_body IS 'Largest body in bytes.';
COMMENT ON COLUMN route.idempotency IS 'Whether the header Idempotency-Key is looked at: none, optional, required.';
COMMENT ON COLUMN route.slow IS 'Whether the statement may take long: then it has connections of its own and ends when its client leaves.';
COMMENT ON COLUMN route.cache_seconds IS 'How long the gateway may answer with the body it holds, after all checks; NULL: not at all.';
COMMENT ON COLUMN route.cache_tags IS 'Names under which cache_invalidate() ends that earlier; {user_id}, {workspace_id} and parameters stand for their values.';
COMMENT ON COLUMN route.upstream IS 'The row of upstream that a route of result proxy passes its requests to.';
COMMENT ON COLUMN route.shape IS 'How a route of result completion answers: openai, what the provider answers; reply, one object; events, a stream of events that is kept.';
COMMENT ON COLUMN route.result IS 'rows: an array, under result_key where there is one; row: one object, 404 without; value: the first column; none; file: the bytes of the column content, 404 without; stream: the events of the stream that the row names; proxy: the upstream answers, and the row goes with the request; completion: a language model answers the request of OpenAI''s chat completions that is the row''s one column.';
COMMENT ON COLUMN route.status IS 'Status of success; 204 sends no body.';
COMMENT ON COLUMN route.keyset IS 'Result columns that order the rows; their values on the page before are request.after_<column>.';
COMMENT ON COLUMN route.keyset_start IS 'What request.after_<column> is on the first page, such as infinity; NULL when this is NULL.';
COMMENT ON COLUMN route.plan IS 'generic: one plan for all tenants; custom: planned anew for the values.';
COMMENT ON COLUMN route.max_response IS 'Largest answer in bytes; more is an error.';
COMMENT ON COLUMN route.run_as IS 'The role that the statement runs as; no superuser, no BYPASSRLS, no owner of protected tables.';
COMMENT ON COLUMN route.summary IS 'What it does, in a few words, for /openapi.json.';
COMMENT ON COLUMN route.description IS 'More about it, in CommonMark.';
COMMENT ON COLUMN route.responses IS
'For /openapi.json: {"200": JSON Schema of a row or the value; "303": when; "409": {code: {"detail", "suggestion"}}, problems that the statement raises; "404": null, none here}.';
COMMENT ON COLUMN route.search_path IS 'Pinned while the statement is prepared and runs.';

SELECT pg_catalog.pg_extension_config_dump('route', '');
SELECT pg_catalog.pg_extension_config_dump('route_id_seq', '');

CREATE FUNCTION route_check() RETURNS trigger
LANGUAGE C AS 'MODULE_PATHNAME', 'relay_guard_route_check';
COMMENT ON FUNCTION route_check() IS
'Trigger of route: refuses a statement or a declaration that could not be served.';

CREATE TRIGGER route_check AFTER INSERT OR UPDATE ON route
FOR EACH ROW EXECUTE FUNCTION route_check();
CREATE TRIGGER config_changed AFTER INSERT OR UPDATE OR DELETE ON route
FOR EACH ROW EXECUTE FUNCTION config_changed();
CREATE TRIGGER config_truncated AFTER TRUNCATE ON route
FOR EACH STATEMENT EXECUTE FUNCTION config_changed();
ALTER TABLE route ENABLE ALWAYS TRIGGER route_check;
ALTER TABLE route ENABLE ALWAYS TRIGGER config_changed;
ALTER TABLE route ENABLE ALWAYS TRIGGER config_truncated;
