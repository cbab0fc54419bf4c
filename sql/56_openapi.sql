
-- GET /openapi.json: the routes, as OpenAPI 3.1.  What stands in a column of route is
-- said as it stands there; what follows from the columns, here.

-- The problems of one route: those that its columns make possible, but where
-- responses says null, and those that responses names.
CREATE FUNCTION openapi_problems(r route, OUT status int, OUT code text, OUT detail text, OUT suggestion text)
RETURNS SETOF record
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
	RETURN QUERY
	WITH fact AS (
		SELECT r.auth <> 'none' AS identified,
			r.auth IN ('admin', 'api_key') AS takes_key,
			r.method <> 'GET' AS writes,
			r.auth <> 'none' AND r.scopes = '{}' AS takes_session,
			r.request_body IS NOT NULL AS has_body,
			r.result = 'proxy' AS proxied,
			r.request_body IS NOT NULL OR r.parameters <> '[]' OR r.keyset <> '{}' AS has_values,
			r.quota <> '{}' OR r.budget IS NOT NULL OR r.result = 'completion' AS counted,
			r.result = 'completion' AS completed
	), possible AS (
		SELECT c.status, c.code, c.meaning AS detail, c.suggestion
		FROM fact f CROSS JOIN relay_guard.problem_catalog() c
		WHERE CASE c.code
			WHEN 'too_many_parameters' THEN true
			WHEN 'two_credentials' THEN f.identified
			WHEN 'csrf_failed' THEN f.takes_session AND f.writes
			WHEN 'invalid_json' THEN f.has_body
			WHEN 'unauthenticated' THEN f.identified AND r.auth <> 'optional'
			WHEN 'authorization_scheme' THEN f.identified
			WHEN 'sign_in_required' THEN r.auth IN ('user', 'api_key')
			WHEN 'admin_required' THEN r.auth = 'admin'
			WHEN 'workspace_required' THEN r.auth = 'api_key'
			WHEN 'insufficient_scope' THEN r.scopes <> '{}'
			WHEN 'forbidden' THEN f.identified
			WHEN 'idempotency_key_required' THEN r.idempotency = 'required'
			WHEN 'idempotency_key_invalid' THEN r.idempotency <> 'none'
			WHEN 'idempotency_in_flight' THEN r.idempotency <> 'none'
			WHEN 'idempotency_answer_not_kept' THEN r.idempotency <> 'none'
			WHEN 'idempotency_key_reused' THEN r.idempotency <> 'none'
			WHEN 'not_found' THEN r.result IN ('row', 'value', 'file', 'proxy', 'stream', 'completion')
			WHEN 'range_not_satisfiable' THEN r.result = 'file' AND r.method = 'GET'
			WHEN 'invalid_last_event_id' THEN r.result = 'stream'
			WHEN 'events_expired' THEN r.result = 'stream'
			WHEN 'conflict' THEN r.method IN ('POST', 'PUT', 'PATCH') AND NOT f.proxied AND NOT f.completed
			WHEN 'body_too_large' THEN f.has_body OR (f.proxied AND f.writes)
			WHEN 'body_too_complex' THEN f.has_body
			WHEN 'unsupported_media_type' THEN f.has_body
			WHEN 'missing_parameter' THEN f.has_body OR r.parameters @? '$[*] ? (@.in == "query" && @.required == true)'
			WHEN 'invalid_parameter' THEN f.has_values
			WHEN 'duplicate_parameter' THEN r.keyset <> '{}' OR r.parameters @> '[{"in": "query"}]'
			WHEN 'invalid_value' THEN f.has_body
			WHEN 'rate_limited' THEN r.rate <> '{}' OR f.takes_key
			WHEN 'quota_exhausted' THEN r.quota <> '{}'
			WHEN 'insufficient_quota' THEN r.budget IS NOT NULL OR f.completed
			WHEN 'model_not_allowed' THEN f.completed
			WHEN 'too_many_tokens' THEN f.completed
			WHEN 'model_unavailable' THEN f.completed
			WHEN 'completion_refused' THEN f.completed
			WHEN 'provider_busy' THEN f.completed
			WHEN 'internal' THEN true
			WHEN 'overloaded' THEN true
			WHEN 'unavailable' THEN true
			WHEN 'outcome_unknown' THEN f.writes
			WHEN 'needs_primary' THEN f.counted OR f.writes
			WHEN 'promotion_unconfirmed' THEN f.counted
			WHEN 'timeout' THEN true
			ELSE (c.code LIKE 'token\_%' AND f.identified) OR (c.code LIKE 'api\_key\_%' AND f.takes_key)
				OR (c.code LIKE 'session\_%' AND f.takes_session AND r.auth <> 'optional')
				OR (c.code LIKE 'upstream\_%' AND (f.proxied OR f.completed))
		END
	), raised AS (
		SELECT s.key::int AS status, p.key AS code, p.value ->> 'detail' AS detail, p.value ->> 'suggestion' AS suggestion,
			p.value <> 'null' AS happens
		FROM jsonb_each(r.responses) s
		CROSS JOIN LATERAL jsonb_each(CASE jsonb_typeof(s.value) WHEN 'object' THEN s.value ELSE '{}' END) p
		WHERE s.key >= '400'
	)
	SELECT status, code, coalesce(w.detail, p.detail, c.meaning), coalesce(w.suggestion, p.suggestion, c.suggestion)
	FROM possible p FULL JOIN raised w USING (status, code)
		LEFT JOIN relay_guard.problem_catalog() c USING (status, code)
	WHERE r.responses -> status::text IS DISTINCT FROM 'null' AND w.happens IS NOT FALSE;
END
$$;
COMMENT ON FUNCTION openapi_problems(route) IS 'openapi(): the problems that can happen at a route.';

CREATE FUNCTION openapi_limit_headers(r route) RETURNS text[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
	IF r.rate = '{}' AND r.quota = '{}' AND r.auth NOT IN ('admin', 'api_key') THEN
		RETURN '{}';
	END IF;
	RETURN '{RateLimit-Policy,RateLimit,X-RateLimit-Limit,X-RateLimit-Remaining,X-RateLimit-Reset}'::text[]
	|| CASE WHEN NOT relay_guard.is_openai_path(r.path) THEN '{}' ELSE ARRAY(
		SELECT format('x-ratelimit-%s-%ss', what, unit)
		FROM unnest('{limit,remaining,reset}'::text[]) what, unnest('{request,token}'::text[]) unit
		WHERE unit = 'request' OR EXISTS (SELECT FROM relay_guard.quota_policy q WHERE q.name = ANY (r.quota) AND q.unit = 'token')) END;
END
$$;
COMMENT ON FUNCTION openapi_limit_headers(route) IS 'openapi(): the headers about limits that a route''s answers have.';

CREATE FUNCTION openapi_problem_headers(r route, status int) RETURNS text[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
	RETURN CASE WHEN status < 500 THEN relay_guard.openapi_limit_headers(r) ELSE '{}' END
	|| CASE WHEN status IN (429, 503) OR (status = 409 AND r.idempotency <> 'none') THEN '{Retry-After}'::text[] ELSE '{}' END
	|| CASE WHEN status = 429 AND (r.quota <> '{}' OR r.budget IS NOT NULL OR r.result = 'completion') THEN '{x-should-retry}'::text[] ELSE '{}' END
	|| CASE WHEN status < 500 AND r.idempotency <> 'none' THEN '{Idempotent-Replayed}'::text[] ELSE '{}' END
	|| CASE WHEN status = 416 THEN '{Content-Range}'::text[] ELSE '{}' END
	|| CASE WHEN status = 401 OR (status = 403 AND r.scopes <> '{}') THEN '{WWW-Authenticate}'::text[] ELSE '{}' END;
END
$$;
COMMENT ON FUNCTION openapi_problem_headers(route, int) IS 'openapi(): the headers of a problem.';

-- A problem as the catalog words it is an example by reference.
CREATE FUNCTION openapi_problem_responses(r route, OUT status int, OUT response json)
RETURNS SETOF record
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
	RETURN QUERY
	SELECT p.status, relay_guard.openapi_problem_response(p.status,
		json_agg(json_build_object('code', p.code, 'example',
			CASE WHEN c.code IS NOT NULL THEN json_build_object('$ref', '#/components/examples/' || relay_guard.openapi_example_name(p.status, p.code, o.openai))
			WHEN o.openai THEN json_build_object('value', relay_guard.openai_error(p.status, p.code, p.detail, p.suggestion))
			ELSE json_build_object('value', relay_guard.openapi_example(p.status, p.code, p.detail, p.suggestion)) END)
			ORDER BY p.code),
		relay_guard.openapi_problem_headers(r, p.status), o.openai)
	FROM relay_guard.openapi_problems(r) p
	CROSS JOIN relay_guard.is_openai_path(r.path) o(openai)
	LEFT JOIN relay_guard.problem_catalog() c
		ON (c.status, c.code, c.meaning, c.suggestion) = (p.status, p.code, p.detail, p.suggestion)
	GROUP BY p.status, o.openai;
END
$$;
COMMENT ON FUNCTION openapi_problem_responses(route) IS 'openapi(): a route''s answers that are problems.';

-- The body of success, as serve() puts it together
CREATE FUNCTION openapi_body(r route) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
	RETURN (
	SELECT CASE WHEN r.result_key IS NULL THEN b.schema
		ELSE jsonb_build_object('type', 'object',
			'required', to_jsonb(ARRAY[r.result_key] || CASE WHEN r.keyset <> '{}' THEN '{next}'::text[] ELSE '{}' END),
			'properties', jsonb_build_object(r.result_key, b.schema) || CASE WHEN r.keyset = '{}' THEN '{}'
				ELSE jsonb '{"next": {"type": ["string", "null"], "description": "Send it as after to get the page behind this one; null: this was the last."}}' END)
		END
	FROM (SELECT CASE r.result WHEN 'rows' THEN jsonb_build_object('type', 'array', 'items', a.schema) ELSE a.schema END
		FROM (SELECT coalesce(r.responses -> r.status::text,
			CASE r.result WHEN 'value' THEN jsonb '{}' ELSE '{"type": "object"}' END)) a(schema)) b(schema));
END
$$;
COMMENT ON FUNCTION openapi_body(route) IS 'openapi(): the schema of a route''s success.';

-- What an application behind a path answers is its own.
CREATE FUNCTION openapi_success(r route) RETURNS json
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
	RETURN (
	SELECT json_object_agg(m.name, m.value ORDER BY m.place)
	FROM (VALUES
		(1, 'description', to_json(CASE r.result WHEN 'proxy' THEN 'What the application behind this path answers'
			ELSE relay_guard.status_title(r.status) END)),
		(2, 'headers', relay_guard.openapi_headers('{X-Request-ID}' || relay_guard.openapi_limit_headers(r)
			|| CASE r.idempotency WHEN 'none' THEN '{}' ELSE '{Idempotent-Replayed}'::text[] END
			|| CASE WHEN r.cache_seconds IS NULL THEN '{}' ELSE '{ETag}'::text[] END
			|| CASE r.result WHEN 'file' THEN '{Content-Disposition,Last-Modified,Accept-Ranges}'::text[] ELSE '{}' END)),
		(3, 'content', CASE WHEN r.result = 'proxy' THEN json '{"*/*": {}}'
			WHEN r.result = 'file' THEN json '{"*/*": {"schema": {"type": "string", "format": "binary"}}}'
			WHEN r.result = 'stream' OR r.shape = 'events' THEN
				json '{"text/event-stream": {"schema": {"type": "string", "description": "Server-sent events, each with its id."}}}'
			WHEN r.shape = 'openai' THEN
				json_build_object('application/json', json_build_object('schema', relay_guard.openapi_body(r)),
					'text/event-stream', json '{"schema": {"type": "string", "description": "Where stream is true: chunks, each the data of an event, and [DONE]."}}')
			WHEN r.status <> 204 AND r.result <> 'none' THEN
				json_build_object('application/json', json_build_object('schema', relay_guard.openapi_body(r))) END)
	) m(place, name, value)
	WHERE m.value IS NOT NULL);
END
$$;
COMMENT ON FUNCTION openapi_success(route) IS 'openapi(): a route''s answer of success.';

-- All answers of a route but its problems
CREATE FUNCTION openapi_answers(r route, OUT status text, OUT response json) RETURNS SETOF record
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
	RETURN QUERY
	SELECT CASE r.result WHEN 'proxy' THEN '2XX' ELSE r.status::text END, relay_guard.openapi_success(r)
	UNION ALL
	SELECT '206', jsonb_set(jsonb_set(relay_guard.openapi_success(r)::jsonb, '{description}', '"The bytes that Range asks for"'),
		'{headers,Content-Range}', '{"$ref": "#/components/headers/Content-Range"}')::json
	WHERE r.result = 'file' AND r.method = 'GET'
	UNION ALL
	SELECT '304', json_build_object('description', 'What If-None-Match names is current',
		'headers', relay_guard.openapi_headers('{X-Request-ID}' || relay_guard.openapi_limit_headers(r) || '{ETag}'
			|| CASE r.result WHEN 'file' THEN '{Content-Disposition,Last-Modified,Accept-Ranges}'::text[] ELSE '{}' END))
	WHERE r.cache_seconds IS NOT NULL
	UNION ALL
	SELECT '204', json_build_object('description', 'The stream has ended, and there is nothing left of it',
		'headers', relay_guard.openapi_headers('{X-Request-ID}' || relay_guard.openapi_limit_headers(r)))
	WHERE r.result = 'stream'
	UNION ALL
	SELECT s.key, json_build_object('description', s.value #>> '{}',
		'headers', relay_guard.openapi_headers('{X-Request-ID}' || relay_guard.openapi_limit_headers(r) || '{Location}'))
	FROM jsonb_each(r.responses) s WHERE s.key LIKE '3%'
	UNION ALL
	SELECT 'default', CASE r.result
		WHEN 'proxy' THEN json '{"description": "What the application behind this path answers, or a problem", "content": {"*/*": {}}}'
		ELSE json_build_object('$ref', '#/components/responses/' || CASE WHEN relay_guard.is_openai_path(r.path) THEN 'OpenAIError' ELSE 'Problem' END) END;
END
$$;
COMMENT ON FUNCTION openapi_answers(route) IS 'openapi(): a route''s answers that are no problems, and the rest.';

CREATE FUNCTION openapi_parameters(r route) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
	RETURN (
	SELECT jsonb_agg(p.parameter ORDER BY p.place)
	FROM (SELECT d.place, CASE d.parameter ->> 'in' WHEN 'path' THEN d.parameter || '{"required": true}' ELSE d.parameter END
		FROM jsonb_array_elements(r.parameters) WITH ORDINALITY d(parameter, place)
		UNION ALL
		SELECT 100, '{"name": "after", "in": "query", "description": "next of the page before",
			"schema": {"type": "string", "minLength": 1, "maxLength": 4096}}'
		WHERE r.keyset <> '{}'
		UNION ALL
		SELECT 101, jsonb_build_object('name', 'Idempotency-Key', 'in', 'header', 'required', r.idempotency = 'required',
			'description', 'names the request, so that it is carried out once however often it is sent within a day; a UUID',
			'schema', jsonb '{"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"}')
		WHERE r.idempotency <> 'none'
		UNION ALL
		SELECT 102, jsonb '{"name": "X-CSRF-Token", "in": "header", "required": false,
			"description": "the csrfToken of GET /api/auth/csrf, where the credential is the session''s cookie",
			"schema": {"type": "string", "maxLength": 1024}}'
		WHERE r.auth <> 'none' AND r.scopes = '{}' AND r.method <> 'GET'
		UNION ALL
		SELECT 103, jsonb '{"name": "If-None-Match", "in": "header", "required": false,
			"description": "an ETag that was answered before: 304 if nothing has changed", "schema": {"type": "string"}}'
		WHERE r.cache_seconds IS NOT NULL
		UNION ALL
		SELECT 104, jsonb '{"name": "Last-Event-ID", "in": "header", "required": false,
			"description": "the id of the last event that was received: those after it follow", "schema": {"type": "string", "pattern": "^[0-9]+$"}}'
		WHERE r.result = 'stream'
		UNION ALL
		SELECT f.place, jsonb_build_object('name', f.name, 'in', 'header', 'required', false, 'description', f.what, 'schema', '{"type": "string"}'::jsonb)
		FROM (VALUES (105, 'Range', 'one range of bytes, as in bytes=0-499: 206 with these alone'),
			(106, 'If-Range', 'an ETag or a Last-Modified that was answered before: Range counts only if that is still so')) f(place, name, what)
		WHERE r.result = 'file' AND r.method = 'GET') p(place, parameter));
END
$$;
COMMENT ON FUNCTION openapi_parameters(route) IS 'openapi(): what a route takes in path, query and headers.';

CREATE FUNCTION openapi_security(r route) RETURNS json
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
	RETURN (
	SELECT coalesce(json_agg(s.requirement ORDER BY s.place), '[]')
	FROM (VALUES
		(1, r.auth = 'optional', json '{}'),
		(2, r.auth <> 'none', json_build_object('bearer', to_json(r.scopes))),
		(3, r.auth IN ('admin', 'api_key'), json_build_object('api_key', to_json(r.scopes))),
		(4, r.auth <> 'none' AND r.scopes = '{}', json '{"session": []}')
	) s(place, applies, requirement)
	WHERE s.applies);
END
$$;
COMMENT ON FUNCTION openapi_security(route) IS 'openapi(): the credentials that a route takes.';

-- Limits as they are now; overrides for single clients are not told.
CREATE FUNCTION openapi_limits(r route) RETURNS json
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
	RETURN (
	SELECT json_agg(json_build_object('policy', p.name, 'kind', p.kind, 'per', p.per, 'limit', p.most, 'window', p.span)
		ORDER BY p.kind DESC, p.name)
	FROM (SELECT name, 'rate' AS kind, identify_by AS per, quota AS most, extract(epoch FROM "window")::bigint || ' s' AS span
		FROM relay_guard.rate_policy WHERE name = ANY (r.rate) AND enabled AND NOT shadow
		UNION ALL
		SELECT name, 'quota', scope, cap, "window"
		FROM relay_guard.quota_policy WHERE name = ANY (r.quota) AND enabled) p);
END
$$;
COMMENT ON FUNCTION openapi_limits(route) IS 'openapi(): the limits that a route names.';

CREATE FUNCTION openapi_tag(path text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
RETURN CASE WHEN path ~ '/healthz?$' THEN 'gateway'
	WHEN path ~ '^(/api)?(/v[0-9]+)?/[a-z0-9_-]+(/|$)'
	THEN substring(path FROM '^(?:/api)?(?:/v[0-9]+)?/([a-z0-9_-]+)')
	WHEN path LIKE '%.json' THEN 'gateway' ELSE 'other' END;
COMMENT ON FUNCTION openapi_tag(text) IS 'openapi(): what a path is about, by its first word.';

CREATE FUNCTION openapi_operation_id(method text, path text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
RETURN lower(method) || regexp_replace(regexp_replace(path, '\{([a-z0-9_]+)\}', 'by_\1', 'g'), '[^A-Za-z0-9]+', '_', 'g');
COMMENT ON FUNCTION openapi_operation_id(text, text) IS 'openapi(): a name for code, from the method and the path.';

CREATE FUNCTION openapi_digest(value text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
RETURN left(encode(sha256(convert_to(value, 'UTF8')), 'hex'), 8);
COMMENT ON FUNCTION openapi_digest(text) IS 'openapi(): a short name for a text, always the same.';

CREATE FUNCTION openapi_operation(r route, operation_id text, responses json) RETURNS json
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
	RETURN (
	SELECT json_object_agg(m.name, m.value ORDER BY m.place)
	FROM (VALUES
		(1, 'tags', json_build_array(relay_guard.openapi_tag(r.path))),
		(2, 'summary', to_json(coalesce(r.summary, r.method || ' ' || r.path))),
		(3, 'description', to_json(coalesce(r.description, r.summary, r.method || ' ' || r.path) || '')),
		(4, 'operationId', to_json(operation_id)),
		(5, 'security', relay_guard.openapi_security(r)),
		(6, 'parameters', relay_guard.openapi_parameters(r)::json),
		(7, 'requestBody', CASE WHEN r.request_body IS NOT NULL THEN json_build_object(
			'required', NOT coalesce((r.request_body ->> 'x-optional')::boolean, false),
			'content', json_build_object('application/json', json_build_object('schema', r.request_body)))
			WHEN r.result = 'proxy' AND r.method <> 'GET' THEN json '{"content": {"*/*": {}}}' END),
		(8, 'responses', responses),
		(9, 'x-limits', relay_guard.openapi_limits(r)),
		(10, 'x-budget', to_json(r.budget))
	) m(place, name, value)
	WHERE m.value IS NOT NULL);
END
$$;
COMMENT ON FUNCTION openapi_operation(route, text, json) IS 'openapi(): one route.';

-- {rest...} has no counterpart in OpenAPI, and is {rest}.  Answers that are the same are told once: a problem's is called by its status and by
-- what it says.
CREATE FUNCTION openapi_routes() RETURNS json
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
WITH named AS MATERIALIZED (
	SELECT DISTINCT ON (p.path, t.method) t AS route, t.id, p.path, t.method, t.status, o.operation_id
		|| CASE WHEN row_number() OVER (PARTITION BY o.operation_id ORDER BY t.id) > 1
			THEN '_' || relay_guard.openapi_digest(t.path) ELSE '' END AS operation_id
	FROM relay_guard.route t
	CROSS JOIN LATERAL (SELECT replace(t.path, '...}', '}')) p(path)
	CROSS JOIN LATERAL (SELECT relay_guard.openapi_operation_id(t.method, p.path)) o(operation_id)
	ORDER BY p.path, t.method, t.path DESC
), problem AS MATERIALIZED (
	SELECT n.operation_id, p.status, p.response, format('Problem%s_%s', p.status, relay_guard.openapi_digest(p.response::text)) AS name
	FROM named n CROSS JOIN LATERAL relay_guard.openapi_problem_responses(n.route) p
), operation AS (
	SELECT n.path, lower(n.method) AS method, relay_guard.openapi_operation(n.route, n.operation_id,
		(SELECT json_object_agg(a.status, a.response ORDER BY a.status)
		FROM (SELECT status, response FROM relay_guard.openapi_answers(n.route)
			UNION ALL
			SELECT p.status::text, json_build_object('$ref', '#/components/responses/' || p.name)
			FROM problem p WHERE p.operation_id = n.operation_id) a(status, response))) AS body
	FROM named n
	UNION ALL
	SELECT g.path, g.method, g.body
	FROM relay_guard.openapi_gateway() g
	WHERE NOT EXISTS (SELECT FROM named n WHERE n.path = g.path AND lower(n.method) = g.method)
), paths AS (
	SELECT json_object_agg(p.path, p.methods ORDER BY p.path COLLATE "C") AS list
	FROM (SELECT path, json_object_agg(method, body ORDER BY array_position('{get,post,put,patch,delete}', method)) AS methods
		FROM operation GROUP BY path) p
)
SELECT json_build_object(
	'servers', json '[{"url": "/", "description": "Where this document came from"}]',
	'tags', (SELECT json_agg(json_build_object('name', t.tag, 'description', relay_guard.openapi_tag_text(t.tag)) ORDER BY t.tag COLLATE "C")
		FROM (SELECT DISTINCT body -> 'tags' ->> 0 AS tag FROM operation) t),
	'paths', paths.list,
	'components', relay_guard.openapi_components(
		(SELECT json_object_agg(r.name, r.response ORDER BY r.name)
		FROM (SELECT DISTINCT ON (name) name, response FROM problem ORDER BY name) r), paths.list))
FROM paths
$$;
COMMENT ON FUNCTION openapi_routes() IS 'openapi(): all of the document but what it says about itself.';

CREATE FUNCTION openapi_kept() RETURNS text
LANGUAGE C VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'relay_guard_openapi_kept';
COMMENT ON FUNCTION openapi_kept() IS 'openapi(): openapi_routes(), made anew when routes or limits have changed.';

CREATE FUNCTION openapi(info jsonb DEFAULT '{}') RETURNS json
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
RETURN (format('{"openapi": "3.1.0", "info": %s, ', relay_guard.openapi_info() || info)
	|| substr(relay_guard.openapi_kept(), 2))::json;
COMMENT ON FUNCTION openapi(jsonb) IS
'The routes as an OpenAPI 3.1 document; members of info (title, version, license, contact, ...) replace its own.';
