-- /openapi.json from rows of route: what follows from each column.
\set VERBOSITY terse
CREATE ROLE rg_openapi; GRANT rg_openapi TO CURRENT_USER;
SELECT relay_guard.grant_role('app', 'rg_openapi');
CREATE FUNCTION rg_operation(method text, path text) RETURNS jsonb LANGUAGE sql AS
$$SELECT relay_guard.openapi()::jsonb #> ARRAY['paths', path, method]$$;
CREATE FUNCTION rg_problems(path text) RETURNS TABLE (status int, codes text) LANGUAGE sql AS $$
    SELECT p.status, string_agg(p.code, ' ' ORDER BY p.code)
    FROM relay_guard.route t, relay_guard.openapi_problems(t) p
    WHERE t.path = rg_problems.path AND p.code !~ '^(token|api_key|session)_' GROUP BY 1 ORDER BY 1
$$;
BEGIN;
INSERT INTO relay_guard.route (method, path, query, auth, scopes, parameters, request_body, idempotency, cache_seconds,
    result, result_key, status, keyset, run_as, summary, responses) VALUES
('GET', '/o/open', 'SELECT 1', 'none', '{}', '[]', NULL, 'none', NULL, 'value', NULL, 200, '{}', 'rg_openapi', NULL, NULL),
('GET', '/o/list', 'SELECT i AS id FROM generate_series(1, 3) i WHERE (i) > (request.after_id) LIMIT request.limit', 'user', '{}',
    '[{"name": "limit", "in": "query", "schema": {"type": "integer", "default": 2}}]', NULL, 'none', 60,
    'rows', 'items', 200, '{id}', 'rg_openapi', 'List', '{"200": {"type": "object", "properties": {"id": {"type": "integer"}}}}'),
('PUT', '/o/{id}', 'SELECT request.id AS id', 'admin', '{notes:write}',
    '[{"name": "id", "in": "path", "schema": {"type": "string"}}]', '{"type": "object", "x-optional": true}', 'required', NULL,
    'row', NULL, 202, '{}', 'rg_openapi', NULL,
    '{"303": "elsewhere", "404": null, "409": {"conflict": null, "locked": {"detail": "it is locked", "suggestion": "Wait."}}}'),
('POST', '/o/none', 'SELECT 1', 'optional', '{}', '[]', NULL, 'optional', NULL, 'none', NULL, 204, '{}', 'rg_openapi', NULL, NULL);

-- problems
SELECT * FROM rg_problems('/o/open');
SELECT * FROM rg_problems('/o/list');
SELECT * FROM rg_problems('/o/{id}');
SELECT * FROM rg_problems('/o/none');

-- credentials
SELECT path, rg_operation(lower(method), path) -> 'security' AS security FROM relay_guard.route WHERE path LIKE '/o/%' ORDER BY path;
-- parameters, each as declared, and those of the route itself
SELECT path, p ->> 'name' AS name, p ->> 'in' AS "in", p -> 'required' AS required
FROM relay_guard.route, jsonb_array_elements(rg_operation(lower(method), path) -> 'parameters') p
WHERE path LIKE '/o/%' ORDER BY path, 2;
-- answers
SELECT jsonb_object_keys(rg_operation('get', '/o/list') -> 'responses') AS list;
SELECT rg_operation('get', '/o/list') #> '{responses,200,content,application/json,schema}' AS schema;
SELECT rg_operation('put', '/o/{id}') #>> '{responses,303,description}' AS elsewhere,
       rg_operation('put', '/o/{id}') #> '{requestBody,required}' AS body_required;
SELECT rg_operation('post', '/o/none') #> '{responses,204}' ? 'content' AS has_content;
SELECT k FROM jsonb_object_keys(rg_operation('put', '/o/{id}') #> '{responses,202,headers}') k ORDER BY k COLLATE "C";
-- what a route does not say of itself
SELECT rg_operation('get', '/o/open') ->> 'summary' AS summary, rg_operation('get', '/o/open') ->> 'operationId' AS id;

-- names are unique, and stay when others come
INSERT INTO relay_guard.route (method, path, query, auth, result, run_as) VALUES
('GET', '/o/a-b', 'SELECT 1', 'none', 'value', 'rg_openapi'), ('GET', '/o/a/b', 'SELECT 1', 'none', 'value', 'rg_openapi');
SELECT path, rg_operation('get', path) ->> 'operationId' AS id FROM relay_guard.route WHERE path LIKE '/o/a%' ORDER BY path;

-- the document is kept, and made anew when something has changed
SELECT relay_guard.openapi_kept() = relay_guard.openapi_kept() AS kept;
UPDATE relay_guard.route SET summary = 'Changed' WHERE path = '/o/open';
SELECT rg_operation('get', '/o/open') ->> 'summary' AS changed;
SAVEPOINT s;
UPDATE relay_guard.route SET summary = 'Undone' WHERE path = '/o/open';
SELECT rg_operation('get', '/o/open') ->> 'summary' AS within;
ROLLBACK TO s;
SELECT rg_operation('get', '/o/open') ->> 'summary' AS after_rollback;
ROLLBACK;
SELECT rg_operation('get', '/o/open') IS NULL AS gone;
-- by a snapshot of before it is not kept
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT relay_guard.openapi()::jsonb -> 'paths' ? '/o/open' AS there;
COMMIT;

-- about itself
SELECT relay_guard.openapi('{"title": "Mine", "version": "7"}') -> 'info' ->> 'title' AS title,
       relay_guard.openapi() ->> 'openapi' AS openapi;
SET ROLE rg_openapi;
SELECT relay_guard.openapi() IS NOT NULL AS an_app_may;
SELECT count(*) FROM relay_guard.openapi_routes();
RESET ROLE;

-- what cannot be
INSERT INTO relay_guard.route (method, path, query, auth, result, run_as, responses) VALUES
('GET', '/o/wrong', 'SELECT 1', 'none', 'value', 'rg_openapi', '{"201": {}}');
INSERT INTO relay_guard.route (method, path, query, auth, result, run_as, responses) VALUES
('GET', '/o/wrong', 'SELECT 1', 'none', 'value', 'rg_openapi', '[]');
\set VERBOSITY default
INSERT INTO relay_guard.route (method, path, query, auth, result, run_as, responses) VALUES
('GET', '/o/wrong', 'SELECT 1', 'none', 'value', 'rg_openapi', '{"409": {"mine": {}}}');
DROP FUNCTION rg_operation, rg_problems;
DROP OWNED BY rg_openapi; DROP ROLE rg_openapi;
