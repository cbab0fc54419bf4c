
-- /openapi.json: what is the same whatever routes there are.

CREATE FUNCTION openapi_info() RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
SELECT jsonb_build_object(
	'title', 'relay_guard',
	'version', (SELECT extversion FROM pg_extension WHERE extname = 'relay_guard'),
	'summary', 'Endpoints that are rows of a table, guarded by the database.',
	'license', jsonb_build_object('name', 'All rights reserved', 'identifier', 'LicenseRef-Proprietary'),
	'contact', jsonb_build_object('name', 'Whoever runs this service'),
	'description', $text$
Every request is answered by PostgreSQL, in one transaction: who it comes from is verified there, limits are taken
there, and rows are seen under row-level security. An answer leaves when its transaction has committed.

**Requests.** Query parameters that an operation does not name are ignored, but must be percent-encoded UTF-8; one that
it names may come once. Members of a body that its schema does not name are ignored where `additionalProperties` is not
`false`. GET is served for HEAD too, without the body, and OPTIONS lists the methods of a path. `X-Request-ID` of up to
128 of `A-Z a-z 0-9 . _ -` becomes the id of the request; else it gets one.

**Credentials.** One of those that the operation lists; two are refused. What needs none ignores them.

**Limits.** `RateLimit-Policy` and `RateLimit` say what binds a request and what is left; the answer 429 says in
`Retry-After` how many seconds to wait. What is refused counts against no quota or budget.

**Errors** are `application/problem+json` (RFC 9457). Decide by `code`; `suggestion` says what to do, and `request_id`
is what to ask about. Codes may be added, so take unknown ones by their status. Under `/v1/chat/completions`, `/v1/models`
and their like errors have the form that clients of OpenAI's API read, with the same codes.
$text$)
$$;
COMMENT ON FUNCTION openapi_info() IS 'openapi(): about the document.';

CREATE FUNCTION openapi_tag_text(tag text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
RETURN CASE tag
	WHEN 'gateway' THEN 'What the gateway answers by itself, and about itself.'
	WHEN 'anon_session' THEN 'Tokens for whoever has no account.'
	WHEN 'auth' THEN 'Accounts and sessions.'
	WHEN 'knowledge' THEN 'Files of a user, which nobody else sees.'
	WHEN 'llm' THEN 'Reservations of what calls of language models cost.'
	WHEN 'usage' THEN 'What language models have cost, and what is left.'
	WHEN 'audit' THEN 'The audit log, for admins.'
	WHEN 'admin' THEN 'For admins.'
	WHEN 'events' THEN 'Feeds of events, for whoever follows them.'
	WHEN 'dev' THEN 'For development alone.'
	WHEN 'other' THEN 'Everything else.'
	ELSE format('Paths under %s.', tag)
END;
COMMENT ON FUNCTION openapi_tag_text(text) IS 'openapi(): what a tag stands for.';

-- Those that can happen to whatever comes, before it is known which route it is for.
CREATE FUNCTION openapi_common_problems(OUT status int, OUT code text, OUT detail text, OUT suggestion text)
RETURNS SETOF record
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
SELECT status, code, meaning, suggestion FROM relay_guard.problem_catalog()
WHERE code LIKE 'malformed\_%' OR code IN ('route_not_found', 'method_not_allowed', 'unknown_host',
	'unknown_method', 'https_required', 'origin_not_allowed')
$$;
COMMENT ON FUNCTION openapi_common_problems() IS 'openapi(): the problems that can happen to any request.';

-- A problem as an answer's body
CREATE FUNCTION openapi_example(status int, code text, detail text, suggestion text) RETURNS json
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
	RETURN (
	SELECT json_object_agg(m.name, m.value ORDER BY m.place)
	FROM (VALUES
		(1, 'type', to_json('about:blank'::text)),
		(2, 'title', to_json(relay_guard.status_title(status))),
		(3, 'status', to_json(status)),
		(4, 'code', to_json(code)),
		(5, 'detail', to_json(detail)),
		(6, 'suggestion', to_json(suggestion)),
		(7, 'pointer', CASE WHEN status = 422 AND code LIKE '%\_parameter' THEN json '"/query/limit"' END),
		(8, 'instance', json '"/api/v1/example"'),
		(9, 'request_id', json '"0199c2f0-7a3e-7b51-9c64-2f1d8e5a6b07"'),
		(10, 'violated-policies', CASE WHEN code IN ('rate_limited', 'quota_exhausted') THEN json '["user"]' END),
		(11, 'resets_at', CASE code WHEN 'insufficient_quota' THEN json '"2026-02-01T00:00:00Z"' END)
	) m(place, name, value)
	WHERE m.value IS NOT NULL);
END
$$;
COMMENT ON FUNCTION openapi_example(int, text, text, text) IS 'openapi(): a problem as it looks in an answer.';

CREATE FUNCTION openapi_example_name(status int, code text, openai boolean) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
RETURN CASE WHEN openai THEN 'openai_' ELSE '' END || status || '_' || code;
COMMENT ON FUNCTION openapi_example_name(int, text, boolean) IS 'openapi(): what a problem of the catalog is called among the examples.';

-- The header lines of an answer, each by reference.
CREATE FUNCTION openapi_headers(names text[]) RETURNS json
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
	RETURN (
	SELECT json_object_agg(h.name, json_build_object('$ref', '#/components/headers/' || h.name) ORDER BY h.place)
	FROM unnest(names) WITH ORDINALITY h(name, place));
END
$$;
COMMENT ON FUNCTION openapi_headers(text[]) IS 'openapi(): headers of an answer.';

-- An answer that is one of several problems of one status; status NULL: of any.  Clients of OpenAI's API get them in its form.
CREATE FUNCTION openapi_problem_response(status int, problems json, headers text[], openai boolean) RETURNS json
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
	RETURN (
	SELECT json_build_object(
		'description', coalesce(relay_guard.status_title(status), 'No request that can be served') || ': ' || p.codes,
		'headers', relay_guard.openapi_headers('{X-Request-ID}' || headers),
		'content', CASE WHEN openai THEN json_build_object('application/json', json_build_object(
			'schema', json_build_object('type', 'object', 'required', json '["error"]', 'properties', json_build_object('error',
				json_build_object('allOf', json_build_array(
					json_build_object('$ref', '#/components/schemas/OpenAIError'),
					json_build_object('type', 'object', 'properties', json_build_object('code', json_build_object('enum', p.list))))))),
			'examples', p.examples))
		ELSE json_build_object('application/problem+json', json_build_object(
			'schema', json_build_object('allOf', json_build_array(
				json_build_object('$ref', '#/components/schemas/Problem'),
				json_build_object('type', 'object', 'properties',
					CASE WHEN status IS NULL THEN json_build_object('code', json_build_object('enum', p.list))
					ELSE json_build_object('status', json_build_object('const', status),
						'code', json_build_object('enum', p.list)) END))),
			'examples', p.examples)) END)
	FROM (SELECT string_agg(DISTINCT e ->> 'code', ', ') AS codes, json_agg(DISTINCT e ->> 'code') AS list,
			json_object_agg(CASE WHEN openapi_problem_response.status IS NULL THEN (e ->> 'status') || '_' ELSE '' END || (e ->> 'code'),
				e -> 'example') AS examples
		FROM json_array_elements(problems) e) p);
END
$$;
COMMENT ON FUNCTION openapi_problem_response(int, json, text[], boolean) IS 'openapi(): an answer that is a problem.';

-- The catalog's problems as examples, in both forms
CREATE FUNCTION openapi_examples() RETURNS json
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
SELECT json_object_agg(e.name, json_build_object('summary', c.meaning, 'value', e.value))
FROM relay_guard.problem_catalog() c
CROSS JOIN LATERAL (VALUES
	(relay_guard.openapi_example_name(c.status, c.code, false), relay_guard.openapi_example(c.status, c.code, c.meaning, c.suggestion)),
	(relay_guard.openapi_example_name(c.status, c.code, true), relay_guard.openai_error(c.status, c.code, c.meaning, c.suggestion))) e(name, value)
$$;
COMMENT ON FUNCTION openapi_examples() IS 'openapi(): examples of problems.';

-- What the answer is that no operation names
CREATE FUNCTION openapi_common_response(openai boolean) RETURNS json
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
SELECT relay_guard.openapi_problem_response(NULL, json_agg(json_build_object('status', status, 'code', code, 'example',
	json_build_object('$ref', '#/components/examples/' || relay_guard.openapi_example_name(status, code, openai)))), '{}', openai)
FROM relay_guard.openapi_common_problems()
$$;
COMMENT ON FUNCTION openapi_common_response(boolean) IS 'openapi(): the answer that is any problem.';

-- What the gateway answers without serve(): src/gateway/health.c
CREATE FUNCTION openapi_gateway(OUT path text, OUT method text, OUT body json)
RETURNS SETOF record
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
SELECT o.path, 'get', json_build_object('tags', json '["gateway"]', 'summary', o.summary, 'description', o.description,
	'operationId', o.id, 'security', json '[]', 'responses', o.responses)
FROM (VALUES
	('/health', 'Whether the gateway lives', 'health'),
	('/healthz', 'The same as /health', 'healthz'),
	('/_stcore/health', 'The same as /health', 'stcore_health')
) h(path, summary, id)
CROSS JOIN LATERAL (SELECT h.path, h.summary, 'Answered without the database, and so while it is away.', h.id, json_build_object(
	'200', json_build_object('description', 'It lives', 'headers', relay_guard.openapi_headers('{X-Request-ID}'),
		'content', json '{"application/json": {"schema": {"$ref": "#/components/schemas/Health"}}}'),
	'4XX', json '{"$ref": "#/components/responses/Problem"}', 'default', json '{"$ref": "#/components/responses/Problem"}')) o(path, summary, description, id, responses)
UNION ALL
SELECT '/ready', 'get', json_build_object('tags', json '["gateway"]', 'summary', 'Whether it can serve',
	'description', 'Asks the database for what it needs to serve. redis repeats counters, for clients of older systems.',
	'operationId', 'ready', 'security', json '[]', 'responses', json_build_object(
	'200', json_build_object('description', 'Ready', 'headers', relay_guard.openapi_headers('{X-Request-ID}'),
		'content', json '{"application/json": {"schema": {"$ref": "#/components/schemas/Readiness"}}}'),
	'503', json_build_object('description', 'Not ready: missing names the checks that failed',
		'headers', relay_guard.openapi_headers('{X-Request-ID,Retry-After}'),
		'content', json '{"application/json": {"schema": {"$ref": "#/components/schemas/Readiness"}}}'),
	'4XX', json '{"$ref": "#/components/responses/Problem"}', 'default', json '{"$ref": "#/components/responses/Problem"}'))
$$;
COMMENT ON FUNCTION openapi_gateway() IS 'openapi(): what the gateway answers without the database.';

CREATE FUNCTION openapi_schemas() RETURNS json
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
RETURN json_strip_nulls($json$ {
"Problem": {
	"type": "object",
	"description": "Why a request was refused (RFC 9457).",
	"required": ["type", "title", "status", "code", "suggestion", "request_id"],
	"properties": {
		"type": {"type": "string", "format": "uri-reference", "const": "about:blank"},
		"title": {"type": "string", "description": "The status in words."},
		"status": {"type": "integer", "minimum": 400, "maximum": 599},
		"code": {"type": "string", "pattern": "^[a-z0-9_]+$", "description": "What happened, for programs."},
		"detail": {"type": "string", "description": "What is wrong here, for people."},
		"suggestion": {"type": "string", "description": "What to do about it."},
		"pointer": {"type": "string", "format": "json-pointer", "description": "Which value is wrong: a JSON pointer into path, query or body."},
		"instance": {"type": "string", "format": "uri-reference", "description": "The path of the request."},
		"request_id": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,128}$", "description": "What the request is called in every log."},
		"violated-policies": {"type": "array", "items": {"type": "string"}, "description": "The limits that refused."},
		"resets_at": {"type": "string", "format": "date-time", "description": "When the budget has room again."}
	}
},
"OpenAIError": {
	"type": "object",
	"description": "Why a request was refused, as OpenAI's API tells it.",
	"required": ["message", "type", "param", "code"],
	"properties": {
		"message": {"type": "string", "description": "What is wrong here and what to do about it, for people."},
		"type": {"type": "string", "enum": ["invalid_request_error", "authentication_error", "permission_error", "not_found_error",
			"rate_limit_error", "insufficient_quota", "server_error"]},
		"param": {"type": ["string", "null"], "description": "Which value is wrong, as in messages[0].content."},
		"code": {"type": "string", "pattern": "^[a-z0-9_]+$", "description": "What happened, for programs."}
	}
},
"Health": {
	"type": "object",
	"required": ["status", "ok", "timestamp", "version"],
	"properties": {
		"status": {"type": "string", "const": "ok"},
		"ok": {"type": "boolean", "const": true},
		"timestamp": {"type": "string", "format": "date-time"},
		"version": {"type": "string"}
	}
},
"Readiness": {
	"type": "object",
	"required": ["ready", "checks", "versions"],
	"properties": {
		"ready": {"type": "boolean"},
		"checks": {"type": "object", "additionalProperties": {"type": "boolean"}, "description": "Each thing that is needed, and whether it is there."},
		"versions": {"type": "object", "required": ["gateway", "extension"], "properties": {
			"gateway": {"type": "string"}, "extension": {"type": ["string", "null"]}}},
		"missing": {"type": "array", "items": {"type": "string"}, "description": "The checks that failed."}
	}
}} $json$);
COMMENT ON FUNCTION openapi_schemas() IS 'openapi(): schemas of what is no route''s.';

CREATE FUNCTION openapi_header_list() RETURNS json
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
RETURN json_strip_nulls($json$ {
"X-Request-ID": {"description": "What the request is called in every log.", "required": true, "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,128}$"}},
"RateLimit-Policy": {"description": "The limits that bind the request: q units in w seconds each.", "schema": {"type": "string", "examples": ["\"user\";q=30;w=30, \"ip\";q=60;w=30"]}},
"RateLimit": {"description": "What is left of each: r units, and more in t seconds.", "schema": {"type": "string", "examples": ["\"user\";r=12;t=7, \"ip\";r=40;t=7"]}},
"X-RateLimit-Limit": {"description": "Of the limit that is closest to denial: how many.", "schema": {"type": "integer", "minimum": 0}},
"X-RateLimit-Remaining": {"description": "How many are left of it.", "schema": {"type": "integer", "minimum": 0}},
"X-RateLimit-Reset": {"description": "When there are more, in seconds since 1970.", "schema": {"type": "integer", "minimum": 0}},
"x-ratelimit-limit-requests": {"description": "Of the limit of requests that is closest to denial: how many.", "schema": {"type": "integer", "minimum": 0}},
"x-ratelimit-remaining-requests": {"description": "How many are left of it.", "schema": {"type": "integer", "minimum": 0}},
"x-ratelimit-reset-requests": {"description": "In how long there are more.", "schema": {"type": "string", "pattern": "^(([0-9]+h)?[0-9]+m)?[0-9]+s$", "examples": ["6m0s"]}},
"x-ratelimit-limit-tokens": {"description": "Of the quota of tokens that is closest to denial: how many.", "schema": {"type": "integer", "minimum": 0}},
"x-ratelimit-remaining-tokens": {"description": "How many are left of it.", "schema": {"type": "integer", "minimum": 0}},
"x-ratelimit-reset-tokens": {"description": "In how long there are more.", "schema": {"type": "string", "pattern": "^(([0-9]+h)?[0-9]+m)?[0-9]+s$", "examples": ["6m0s"]}},
"Retry-After": {"description": "How many seconds to wait.", "schema": {"type": "integer", "minimum": 0}},
"x-should-retry": {"description": "Trying again does not help.", "schema": {"type": "string", "const": "false"}},
"WWW-Authenticate": {"description": "What is wrong with the credentials (RFC 6750).", "schema": {"type": "string", "examples": ["Bearer realm=\"relay\", error=\"invalid_token\""]}},
"Idempotent-Replayed": {"description": "The request was carried out before; this is its answer again.", "schema": {"type": "string", "const": "true"}},
"Location": {"description": "Where to go on.", "schema": {"type": "string", "format": "uri-reference"}},
"Content-Disposition": {"description": "Whether to show or to save it, and its name (RFC 6266).", "schema": {"type": "string"}},
"Last-Modified": {"description": "When it was changed.", "schema": {"type": "string"}},
"Accept-Ranges": {"description": "Range may ask for a part of it.", "schema": {"type": "string", "const": "bytes"}},
"Content-Range": {"description": "Which bytes these are, of how many.", "schema": {"type": "string", "pattern": "^bytes ([0-9]+-[0-9]+|\\*)/[0-9]+$"}},
"ETag": {"description": "What If-None-Match may ask for.", "schema": {"type": "string"}}
} $json$);
COMMENT ON FUNCTION openapi_header_list() IS 'openapi(): headers of answers.';

CREATE FUNCTION openapi_security_schemes() RETURNS json
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
RETURN json_strip_nulls($json$ {
"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "A token of an identity provider, or of POST /api/v1/anon_session."},
"api_key": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "An API key."},
"session": {"type": "apiKey", "in": "cookie", "name": "__Host-relay_sid", "description": "The cookie of POST /api/auth/login; without TLS it is called relay_sid. What is not GET needs the header X-CSRF-Token beside it."}
} $json$);
COMMENT ON FUNCTION openapi_security_schemes() IS 'openapi(): kinds of credentials.';

-- The members of a list that the document refers to by <prefix><name>
CREATE FUNCTION openapi_used(list json, document text, prefix text) RETURNS json
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
SELECT coalesce(json_object_agg(e.key, e.value), '{}') FROM json_each(list) e
WHERE strpos(document, prefix || e.key || '"') > 0
$$;
COMMENT ON FUNCTION openapi_used(json, text, text) IS 'openapi(): of a list of components, those that are used.';

CREATE FUNCTION openapi_components(responses json, paths json) RETURNS json
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
WITH whole AS (
	SELECT (SELECT json_object_agg(e.key, e.value) FROM (
		SELECT 'Problem' AS key, relay_guard.openapi_common_response(false) AS value
		UNION ALL SELECT 'OpenAIError', relay_guard.openapi_common_response(true)
		WHERE strpos(paths::text, '"#/components/responses/OpenAIError"') > 0
		UNION ALL SELECT key, value FROM json_each(responses)) e) AS responses
), text AS (
	SELECT whole.responses, paths::text || whole.responses AS all FROM whole
)
SELECT json_build_object(
	'schemas', relay_guard.openapi_used(relay_guard.openapi_schemas(), t.all, '"#/components/schemas/'),
	'responses', t.responses,
	'headers', relay_guard.openapi_used(relay_guard.openapi_header_list(), t.all, '"#/components/headers/'),
	'examples', relay_guard.openapi_used(relay_guard.openapi_examples(), t.all, '"#/components/examples/'),
	'securitySchemes', relay_guard.openapi_used(relay_guard.openapi_security_schemes(), paths::text, '{"'))
FROM text t
$$;
COMMENT ON FUNCTION openapi_components(json, json) IS 'openapi(): what the paths refer to.';
