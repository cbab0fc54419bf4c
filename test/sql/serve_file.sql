-- Result file: the bytes of a row, what is said of them, and what a route may return.
\set VERBOSITY terse
CREATE ROLE rg_app;
SELECT relay_guard.grant_role('app', 'rg_app');
GRANT USAGE ON SCHEMA public TO rg_app;
CREATE TABLE file (name text PRIMARY KEY, content bytea, content_type text, modified timestamptz);
GRANT SELECT ON file TO rg_app;
INSERT INTO file VALUES
	('a.txt', 'plain', 'text/plain; charset=utf-8', '2026-01-31 13:45:07.9+02'),
	('page.html', '<script>alert(1)</script>', 'text/html', NULL),
	('ä€"\.svg', '<svg/>', 'image/svg+xml', '1960-01-01'),
	(E'x\r\nSet-Cookie: a=b', '\x00ff', E'text/plain\r\nSet-Cookie: a=b', 'infinity'),
	('none', NULL, 'text/plain', NULL), ('empty', '', NULL, '3000-01-01'), ('large', decode(repeat('ab', 2000), 'hex'), NULL, NULL);

CREATE FUNCTION pg_temp.refusal(query text, more text DEFAULT '') RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('INSERT INTO relay_guard.route (method, path, query, auth, result, run_as%s) VALUES (''GET'', ''/try'', %L, ''none'', ''file'', ''rg_app''%s)',
		CASE WHEN more <> '' THEN ', ' || split_part(more, '=', 1) ELSE '' END, query, CASE WHEN more <> '' THEN ', ' || split_part(more, '=', 2) ELSE '' END);
	RAISE USING ERRCODE = 'RG200';
EXCEPTION WHEN OTHERS THEN
	RETURN CASE SQLSTATE WHEN 'RG200' THEN 'none' WHEN '23514' THEN 'a CHECK' ELSE SQLSTATE || ': ' || SQLERRM END;
END $$;

-- What a route may return
SELECT pg_temp.refusal('SELECT ''a''::bytea AS content');
SELECT pg_temp.refusal('SELECT content, name::varchar AS file_name, content_type, modified FROM public.file');
SELECT pg_temp.refusal('SELECT 1 AS n');
SELECT pg_temp.refusal('SELECT name AS file_name FROM public.file');
SELECT pg_temp.refusal('SELECT name AS content FROM public.file');
SELECT pg_temp.refusal('SELECT content, name FROM public.file');
SELECT pg_temp.refusal('SELECT content, modified::date AS modified FROM public.file');
SELECT pg_temp.refusal('SELECT content, content FROM public.file');
SELECT pg_temp.refusal('UPDATE public.file SET name = name');
SELECT pg_temp.refusal('SELECT ''''::bytea AS content', 'status=201');
SELECT pg_temp.refusal('SELECT ''''::bytea AS content', 'result_key=''a''');
SELECT pg_temp.refusal('SELECT ''''::bytea AS content', 'keyset=''{content}''');
SELECT pg_temp.refusal('SELECT ''''::bytea AS content', 'idempotency=''optional''');
SELECT pg_temp.refusal('SELECT ''''::bytea AS content', 'responses=''{"200": {"type": "string"}}''');
SELECT pg_temp.refusal('SELECT ''''::bytea AS content', 'cache_seconds=60');

-- What it answers
INSERT INTO relay_guard.route (method, path, query, auth, result, max_response, parameters, run_as) VALUES
	('GET', '/file', 'SELECT name AS file_name, modified, content_type, content FROM public.file WHERE name = request.name', 'none', 'file', 1000,
	'[{"name": "name", "in": "query", "schema": {"type": "string"}}]', 'rg_app'),
	('GET', '/bare', 'SELECT ''bare''::bytea AS content', 'none', 'file', 4, '[]', 'rg_app'),
	('GET', '/two', 'SELECT content FROM public.file', 'none', 'file', 1000, '[]', 'rg_app'),
	('GET', '/own', 'SELECT ''a''::bytea AS content, relay_guard.response_header(''Content-Disposition'', ''inline'')::text AS file_name', 'none', 'file', 1000, '[]', 'rg_app');
CREATE FUNCTION pg_temp.ask(path text, name text DEFAULT NULL, method text DEFAULT 'GET') RETURNS TABLE (status int, header text, body bytea) LANGUAGE sql AS $$
	SELECT s.status, h, CASE WHEN s.status = 200 THEN s.body END
	FROM relay_guard.serve(method, path, coalesce('name=' || replace(replace(replace(replace(name, E'\r', '%0D'), E'\n', '%0A'), '"', '%22'), '\', '%5C'), '')) s,
		unnest(ARRAY(SELECT s.headers[i] || ': ' || s.headers[i + 1] FROM generate_series(1, array_length(s.headers, 1), 2) i)) h
$$;
SELECT name, a.* FROM file CROSS JOIN LATERAL pg_temp.ask('/file', name) a WHERE name NOT IN ('large', 'empty') ORDER BY name COLLATE "C", header COLLATE "C";
SELECT status, count(*) FILTER (WHERE header ~ '^Last-Modified: ..., [0-9]{2} ... 20[0-9]{2} ') AS modified_now, body FROM pg_temp.ask('/file', 'empty') GROUP BY status, body;
SELECT DISTINCT status FROM pg_temp.ask('/file', 'nothing');
SELECT * FROM pg_temp.ask('/bare');
SELECT * FROM pg_temp.ask('/bare', method => 'HEAD');
SELECT * FROM pg_temp.ask('/file', 'large');
SELECT * FROM pg_temp.ask('/two');
SELECT * FROM pg_temp.ask('/own');

-- ALTER TABLE changes what SELECT * returns
CREATE TABLE file_star (content bytea);
GRANT SELECT ON file_star TO rg_app;
INSERT INTO file_star VALUES ('before');
INSERT INTO relay_guard.route (method, path, query, auth, result, run_as) VALUES ('GET', '/star', 'SELECT * FROM public.file_star', 'none', 'file', 'rg_app');
SELECT body FROM pg_temp.ask('/star') LIMIT 1;
ALTER TABLE file_star ADD file_name text DEFAULT 'b';
SELECT header FROM pg_temp.ask('/star') WHERE header LIKE 'Content-D%';
ALTER TABLE file_star ALTER content TYPE text USING '<p>';
SELECT body FROM pg_temp.ask('/star') LIMIT 1;

-- The description
SELECT status, answer -> 'content' AS content, (SELECT string_agg(key, ' ' ORDER BY key) FROM jsonb_object_keys(answer -> 'headers') key) AS headers
FROM jsonb_each(relay_guard.openapi()::jsonb #> '{paths,/file,get,responses}') r(status, answer) WHERE status < '400' ORDER BY 1;
SELECT relay_guard.openapi()::jsonb #> '{paths,/file,get,responses}' ? '416' AS has_416, jsonb_path_query_array(relay_guard.openapi()::jsonb, '$.paths."/file".get.parameters[*].name');

DELETE FROM relay_guard.route WHERE run_as = 'rg_app'::regrole;
DROP OWNED BY rg_app;
DROP ROLE rg_app;
DROP TABLE file, file_star;
