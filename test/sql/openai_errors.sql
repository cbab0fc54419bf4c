-- Paths that speak OpenAI's API: the form of problems, and what is told of limits.
\set VERBOSITY terse
CREATE ROLE rg_app;
SELECT relay_guard.grant_role('app', 'rg_app');
INSERT INTO relay_guard.rate_policy (name, identify_by, quota, "window") VALUES ('oe_user', 'user', 5, '1 h');
INSERT INTO relay_guard.quota_policy (name, scope, cap, "window", unit) VALUES
	('oe_tokens', 'user', 100, 'lifetime', 'token'), ('oe_requests', 'user', 3, 'lifetime', 'request');
INSERT INTO relay_guard.budget_policy (name, scope, "window", hard, enabled) VALUES ('oe_none', 'user', 'day', 0, true);
INSERT INTO relay_guard.route (method, path, query, auth, rate, quota, budget, parameters, request_body, run_as) VALUES
	('GET', '/v1/models/{n}', 'SELECT request.n', 'user', '{oe_user}', '{}', NULL,
	'[{"name": "n", "in": "path", "required": true, "schema": {"type": "integer"}}]', NULL, 'rg_app'),
	('POST', '/v1/embeddings', 'SELECT 1', 'user', '{oe_user}', '{oe_tokens,oe_requests}', NULL, '[]', '{"type": "object",
	"properties": {"input": {"type": "array", "items": {"type": "object", "properties": {"text": {"type": "string"}}}}}}', 'rg_app'),
	('POST', '/v1/chat/completions', 'SELECT relay_guard.fail(409, ''of_mine'', ''mine'', ''Ask.'')', 'user', '{oe_user}', '{}', NULL, '[]', NULL, 'rg_app'),
	('POST', '/v1/completions', 'SELECT 1', 'user', '{}', '{}', 'oe_none', '[]', NULL, 'rg_app'),
	('POST', '/api/v1/embeddings', 'SELECT 1', 'user', '{oe_user}', '{}', NULL, '[]', NULL, 'rg_app');

CREATE FUNCTION pg_temp.ask(method text, path text, body text DEFAULT '', who text DEFAULT 'bob')
RETURNS TABLE (status int, type text, limits text, answer text) LANGUAGE plpgsql AS $$
DECLARE
	answer record;
BEGIN
	SELECT * INTO answer FROM relay_guard.serve(method, path, '', '{content-type,application/json}'::text[]
		|| CASE WHEN who <> '' THEN ARRAY['authorization', 'Bearer ' || relay_guard.issue_token(who)] ELSE '{}' END,
		convert_to(body, 'UTF8'), '192.0.2.7');
	RETURN QUERY SELECT answer.status, h ->> 'content-type',
		(SELECT string_agg(regexp_replace(key, '^x-ratelimit-', '') || '=' || regexp_replace(value, '^(\d+[hms])+$|^\d{9,}$', '…'), ' ' ORDER BY key)
		FROM jsonb_each_text(h) WHERE key LIKE 'x-%'), regexp_replace(convert_from(answer.body, 'UTF8'), 'Wait \d+ s|until \S+Z', '…')
	FROM (SELECT jsonb_object_agg(lower(answer.headers[i]), answer.headers[i + 1]) AS h
		FROM generate_series(1, array_length(answer.headers, 1), 2) AS i) AS headers;
END $$;

-- All four members, whatever is refused
SELECT status, type, answer FROM pg_temp.ask('GET', '/v1/models');
SELECT status, type, answer FROM pg_temp.ask('PUT', '/v1/models/1');
SELECT status, type, answer FROM pg_temp.ask('GET', '/v1/models/1', who => '');
SELECT status, type, answer FROM pg_temp.ask('GET', '/v1/models/x');
SELECT status, type, answer FROM pg_temp.ask('POST', '/v1/embeddings', '{"input": [{}, {"text": 5}]}');
SELECT status, type, answer FROM pg_temp.ask('POST', '/v1/embeddings', '{');
SELECT * FROM pg_temp.ask('POST', '/v1/completions');
SELECT * FROM pg_temp.ask('POST', '/v1/chat/completions');
SELECT status, type, answer FROM pg_temp.ask('GET', '/v1/events');

-- Limits, of tokens where a quota counts them
SELECT * FROM pg_temp.ask('GET', '/v1/models/1', who => 'carol');
SELECT * FROM pg_temp.ask('POST', '/v1/embeddings', '{}', 'carol');
SELECT * FROM pg_temp.ask('POST', '/api/v1/embeddings', who => 'carol');
SELECT * FROM pg_temp.ask('GET', '/v1/models/1', who => 'carol');
SELECT * FROM pg_temp.ask('GET', '/v1/models/1', who => 'carol');
SELECT * FROM pg_temp.ask('GET', '/v1/models/1', who => 'carol');

-- For SQL
SELECT path, relay_guard.is_openai_path(path) FROM unnest('{/v1/chat/completions,/v1/completions/a,/v1/embeddings?a,"/v1/models/{id}",/v1/model,/v1/modelsX,/V1/models}'::text[]) path;
SELECT relay_guard.openai_error(403, 'forbidden', 'it is not', 'Do "not".');

-- The description
WITH document AS (SELECT relay_guard.openapi()::jsonb AS d), operation AS (
	SELECT o.path, o.method, d #> ARRAY['paths', o.path, o.method, 'responses'] AS responses, d -> 'components' AS components
	FROM document, (VALUES ('/v1/embeddings', 'post'), ('/api/v1/embeddings', 'post')) o(path, method)
)
SELECT path, status, jsonb_object_keys(components -> 'responses' -> replace(r.value ->> '$ref', '#/components/responses/', '') -> 'content') AS type,
	components -> 'responses' -> replace(r.value ->> '$ref', '#/components/responses/', '') #>> '{content,application/json,schema}' AS schema
FROM operation, jsonb_each(responses) r(status, value) WHERE status IN ('404', '422', '429', 'default') ORDER BY 1, 2;
SELECT (SELECT string_agg(key, ' ' ORDER BY key) FROM jsonb_object_keys(relay_guard.openapi()::jsonb #> ARRAY['paths', r.path, lower(r.method), 'responses', '200', 'headers']) key) AS headers, r.path
FROM relay_guard.route r WHERE 'oe_user' = ANY (r.rate) ORDER BY r.path;
SELECT relay_guard.openapi()::jsonb #> '{components,examples,openai_429_rate_limited}';

DELETE FROM relay_guard.route WHERE run_as = 'rg_app'::regrole;
DELETE FROM relay_guard.rate_policy WHERE name = 'oe_user';
DELETE FROM relay_guard.budget_policy WHERE name = 'oe_none';
DELETE FROM relay_guard.quota_policy WHERE name LIKE 'oe\_%';
SELECT relay_guard.openapi()::text ~ 'OpenAIError' AS named_without_need;
DROP OWNED BY rg_app;
DROP ROLE rg_app;
