-- Routes to applications behind the gateway: what may be stored, what is ordered, and what is signed.
\set VERBOSITY terse
\set rest '[{"name": "rest", "in": "path", "required": true, "schema": {"type": "string"}}]'
CREATE ROLE rg_app;
SELECT relay_guard.grant_role('app', 'rg_app');

-- where an application may be
CREATE FUNCTION rg_takes(url text, prefix text DEFAULT '') RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO relay_guard.upstream (name, url, strip_prefix) VALUES ('try', url, prefix);
    DELETE FROM relay_guard.upstream WHERE name = 'try';
    RETURN 'taken';
EXCEPTION WHEN check_violation THEN
    RETURN 'refused';
END $$;
SELECT u AS url, rg_takes(u) FROM unnest('{http://a,https://a.example:8443/base/v1,http://10.0.0.1:3000,http://[::1]:80,
    ftp://a,http://,http://u:p@a,http://a/,http://a/b/,http://a?x,http://a#x,http://a/../b,http://a/..;/b,"http://a b",http://a/%2e%2e,HTTP://a,file:///etc}'::text[]) u;
SELECT p AS prefix, rg_takes('http://a', p) FROM unnest('{"",/app,/app/v1,app,/app/,/,/a%20b,"/{x}"}'::text[]) p;
INSERT INTO relay_guard.upstream (name, url) VALUES ('Up', 'http://a');
INSERT INTO relay_guard.upstream (name, url, answer_timeout) VALUES ('a', 'http://a', '0');
INSERT INTO relay_guard.upstream (name, url, open_rate) VALUES ('a', 'http://a', 'NaN');
INSERT INTO relay_guard.upstream (name, url, open_methods) VALUES ('a', 'http://a', '{TRACE}');
INSERT INTO relay_guard.upstream (name, url, strip_prefix) VALUES ('app', 'http://127.0.0.1:3000/base', '/app');

-- which routes may lead there
CREATE FUNCTION rg_route(path text, method text DEFAULT 'GET', query text DEFAULT 'SELECT 7 AS plan', upstream text DEFAULT 'app', auth text DEFAULT 'optional') RETURNS void LANGUAGE sql AS
$$ INSERT INTO relay_guard.route (method, path, query, auth, result, upstream, parameters, run_as)
   SELECT method, path, query, auth, 'proxy', upstream,
          CASE WHEN path LIKE '%{%' THEN jsonb '[{"name": "rest", "in": "path", "required": true, "schema": {"type": "string"}}]' ELSE '[]' END, 'rg_app' $$;
SELECT rg_route('/app/{rest...}', upstream => 'none');
SELECT rg_route('/application/{rest...}');
SELECT rg_route('/{rest...}');
SELECT rg_route('/app/{rest...}/more');
SELECT rg_route('/app/{rest..}');
SELECT rg_route('/app/{rest...}', query => 'UPDATE pg_class SET relname = relname');
CREATE FUNCTION rg_stores(path text, result text, upstream text DEFAULT NULL, idempotency text DEFAULT 'none', result_key text DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO relay_guard.route (method, path, query, result, upstream, idempotency, result_key, parameters, run_as)
    VALUES ('POST', path, 'SELECT 1', result, upstream, idempotency, result_key, CASE WHEN path LIKE '%{%' THEN jsonb '[{"name": "rest", "in": "path", "required": true, "schema": {"type": "string"}}]' ELSE '[]' END, 'rg_app');
    RETURN 'stored';
EXCEPTION WHEN check_violation THEN
    RETURN 'refused';
END $$;
SELECT rg_stores('/rows/{rest...}', 'rows') AS rest_of_rows, rg_stores('/app/x', 'proxy') AS no_upstream, rg_stores('/app/x', 'rows', 'app') AS no_proxy,
       rg_stores('/app/x', 'proxy', 'app', 'required') AS idempotent, rg_stores('/app/x', 'proxy', 'app', result_key => 'k') AS key, rg_stores('/app/x', 'proxy', 'app') AS proxy;
DELETE FROM relay_guard.route WHERE path = '/app/x';
SELECT rg_route('/app/{rest...}');
SELECT rg_route('/app/{rest...}', 'POST', 'SELECT request.rest WHERE request.rest <> ''none''');
SELECT rg_route('/app/large', query => 'SELECT repeat(''x'', 5000) AS x');
SELECT rg_route('/app/empty', query => 'SELECT');

-- without a secret nothing is ordered
SELECT status FROM relay_guard.serve('GET', '/app/x');
SELECT relay_guard.upstream_secret_set('none');
SELECT relay_guard.upstream_secret_set('app', 'short');
SELECT relay_guard.upstream_secret_set('app', keep_old => NULL);
SELECT relay_guard.upstream_secret_set('app') ~ '^whsec_' AS shown;
SELECT relay_guard.upstream_secret_set('app', 'f3b9ac70e1d24685b7c04fa1829d36e5', '0') IS NULL AS not_shown;
SELECT name, version FROM relay_guard.webhook_secret;
-- nobody else signs with it
SELECT relay_guard.webhook_sign('upstream/app', 'msg_1', 'hello');
SELECT relay_guard.webhook_verify_body('upstream/app', 'sha256=', 'hello');
SELECT relay_guard.webhook_secret_set('upstream/app');

CREATE FUNCTION rg_header(stream jsonb, name text) RETURNS text LANGUAGE sql AS
$$ SELECT stream -> 'headers' ->> (h.n::int) FROM jsonb_array_elements_text(stream -> 'headers') WITH ORDINALITY h(value, n) WHERE h.n % 2 = 1 AND h.value = name $$;
CREATE FUNCTION rg_context(stream jsonb) RETURNS text LANGUAGE sql AS
$$ SELECT convert_from(decode(rpad(c, (length(c) + 3) / 4 * 4, '='), 'base64'), 'UTF8') FROM translate(rg_header(stream, 'x-relay-context'), '-_', '+/') c $$;

-- the order: what is signed is what the page says
CREATE FUNCTION rg_signed(method text, stream jsonb) RETURNS boolean LANGUAGE sql AS
$$ SELECT rg_header(stream, 'x-relay-signature') = 'v1=' || substr(s."x-signature", 8)
   FROM (SELECT string_agg(h.value || ':' || (stream -> 'headers' ->> (h.n::int)) || E'\n', '' ORDER BY h.value COLLATE "C") AS lines
         FROM jsonb_array_elements_text(stream -> 'headers') WITH ORDINALITY h(value, n) WHERE h.n % 2 = 1 AND h.value <> 'x-relay-signature') l,
        relay_guard.webhook_sign('copy', 'x', convert_to(E'relay-v1\n' || method || E'\n' || (stream ->> 'target') || E'\n' || lines, 'UTF8')) s $$;
SELECT relay_guard.webhook_secret_set('copy', 'f3b9ac70e1d24685b7c04fa1829d36e5');
SELECT status, body, headers, stream - 'headers' AS stream FROM relay_guard.serve('GET', '/app/a%2Fb/', 'x=%26');
SELECT rg_signed('POST', stream) AS signed, rg_header(stream, 'x-relay-upstream') AS upstream, rg_header(stream, 'x-relay-client') AS client,
       rg_header(stream, 'x-relay-request-id') AS request, rg_header(stream, 'x-relay-user') AS "user",
       rg_header(stream, 'x-relay-body-sha256') = encode(sha256('body'), 'hex') AS body,
       rg_context(stream) AS context
FROM relay_guard.serve('POST', '/app/abcde', body => 'body', client_ip => '2001:db8::1', request_id => 'r 1');
SELECT relay_guard.issue_token('jürgen', 'ws 1', 'user', '{a:b,c%d}') AS token \gset
SELECT rg_signed('HEAD', stream) AS signed, stream ->> 'public' AS public, rg_header(stream, 'x-relay-user') AS "user", rg_header(stream, 'x-relay-workspace') AS workspace,
       rg_header(stream, 'x-relay-scopes') AS scopes, rg_header(stream, 'x-relay-role') AS role, rg_header(stream, 'x-relay-via') AS via
FROM relay_guard.serve('HEAD', '/app/x', headers => ARRAY['authorization', 'Bearer ' || :'token', 'x-relay-user', 'root']);
SELECT rg_context(stream) AS context FROM relay_guard.serve('GET', '/app/empty');

-- what is not
SELECT p AS path, status, (convert_from(body, 'UTF8')::jsonb) ->> 'code' AS code, stream
FROM unnest('{/app/../x,/app/%2e%2e/x,/app/..;/x,/app//x,/app/./x,/app/a%5cb,/app/%0a}'::text[]) p, relay_guard.serve('GET', p);
SELECT status, stream FROM relay_guard.serve('GET', '/app/x', body => 'x');
SELECT status, stream FROM relay_guard.serve('POST', '/app/none');
SELECT status, stream FROM relay_guard.serve('GET', '/app');
SELECT status, stream FROM relay_guard.serve('GET', '/app/large');
-- a more exact route goes first
INSERT INTO relay_guard.route (method, path, query, auth, result, parameters, run_as)
VALUES ('GET', '/app/{rest}/own', 'SELECT request.rest', 'none', 'value', :'rest', 'rg_app');
SELECT status, convert_from(body, 'UTF8') AS body, stream IS NULL AS own FROM relay_guard.serve('GET', '/app/7/own');

-- two secrets sign for a while
SELECT relay_guard.upstream_secret_set('app', '0d1c9b58a7f64e23b0a1c2d3e4f5a6b7', '1 hour');
SELECT array_length(string_to_array(rg_header(stream, 'x-relay-signature'), ' '), 1) AS signatures FROM relay_guard.serve('GET', '/app/x');

-- what stays open while the database is away
SELECT relay_guard.proxy_fallback();
UPDATE relay_guard.upstream SET fail_mode = 'open';
SELECT rg_route('/app/private', auth => 'user');
SELECT r ->> 'method' AS method, r ->> 'path' AS path, r - 'method' - 'path' AS open FROM jsonb_array_elements(relay_guard.proxy_fallback()::jsonb) r ORDER BY r ->> 'path' COLLATE "C", 1;
UPDATE relay_guard.upstream SET open_methods = '{POST,HEAD}', open_protected = true;
SELECT r ->> 'method' AS method, r ->> 'path' AS path, r ->> 'own' AS own, r ->> 'head' AS head, r ? 'order' AS open FROM jsonb_array_elements(relay_guard.proxy_fallback()::jsonb) r ORDER BY r ->> 'path' COLLATE "C", 1;

-- /openapi.json knows the variable by its name
SELECT jsonb_object_keys(relay_guard.openapi()::jsonb -> 'paths' -> '/app/{rest}') AS method;

-- a secret goes with its upstream
UPDATE relay_guard.upstream SET url = 'http://127.0.0.1:3001' WHERE name = 'app';
SELECT count(*) FROM relay_guard.webhook_secret WHERE name LIKE 'upstream/%';
DELETE FROM relay_guard.upstream;
SELECT count(*) FROM relay_guard.webhook_secret WHERE name LIKE 'upstream/%';
SELECT status FROM relay_guard.serve('GET', '/app/x');
DELETE FROM relay_guard.route;
DELETE FROM relay_guard.webhook_secret;
DROP FUNCTION rg_takes, rg_route, rg_stores, rg_context, rg_signed, rg_header;
DROP OWNED BY rg_app;
DROP ROLE rg_app;
