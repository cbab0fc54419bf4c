-- X-API-Key counts on routes of auth api_key or admin, and nowhere else.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE ROLE rg_app;
INSERT INTO relay_guard.rate_policy (name, identify_by, quota, "window") VALUES
    ('rg_key', 'api_key', 3, '1 h'), ('rg_wide', 'ip', 1000, '1 h');
INSERT INTO relay_guard.route (method, path, query, auth, rate, result, run_as, scopes)
SELECT 'GET', '/' || coalesce(path, auth), 'SELECT relay_guard.user_id() ~ ''^key:'' AS key, relay_guard.via() AS via, relay_guard.role() AS role',
       auth, rate, 'row', 'rg_app', scopes
FROM (VALUES (NULL, 'none', '{}'::text[], '{}'::text[]), (NULL, 'optional', '{}', '{}'), (NULL, 'user', '{}', '{}'),
             (NULL, 'admin', '{}', '{}'), (NULL, 'api_key', '{rg_wide}', '{}'), ('scoped', 'api_key', '{}', '{write}')) r(path, auth, rate, scopes);

SELECT key AS plain FROM relay_guard.api_key_create('plain', scopes => '{read}') \gset
SELECT key AS admin FROM relay_guard.api_key_create('admin', 'admin', scopes => '{write}') \gset
SELECT key AS limited FROM relay_guard.api_key_create('limited', rate => '{rg_key,rg_wide}') \gset
SELECT key AS gone, id AS gone_id FROM relay_guard.api_key_create('gone') \gset
SELECT relay_guard.api_key_revoke(:'gone_id');
SELECT relay_guard.issue_token('alice') AS alice, relay_guard.issue_token('bob', 'w1') AS bob,
       relay_guard.issue_token('root', role => 'admin') AS root,
       relay_guard.issue_token('anon:1', 'w1', 'anonymous') AS anon \gset

CREATE FUNCTION rg_get(path text, key text DEFAULT NULL, token text DEFAULT NULL) RETURNS text
LANGUAGE sql AS $$
    SELECT status || ' ' || CASE WHEN status < 400 THEN convert_from(body, 'UTF8')
                                 ELSE convert_from(body, 'UTF8')::jsonb ->> 'code' END
    FROM relay_guard.serve('GET', path, headers =>
        CASE WHEN key IS NULL THEN '{}' ELSE ARRAY['x-api-key', key] END
        || CASE WHEN token IS NULL THEN '{}' ELSE ARRAY['authorization', 'Bearer ' || token] END,
        client_ip => '192.0.2.1');
$$;

SELECT rg_get('/api_key', :'plain') AS api_key, rg_get('/api_key', :'admin') AS admin_key;
SELECT rg_get('/admin', :'plain') AS plain_key, rg_get('/admin', :'admin') AS admin_key, rg_get('/admin', token => :'root') AS admin_token;
SELECT rg_get('/api_key') AS nothing, rg_get('/api_key', 'rgk_wrong') AS wrong, rg_get('/api_key', :'gone') AS gone, rg_get('/api_key', '') AS empty;
SELECT rg_get('/api_key', token => :'alice') AS no_workspace, rg_get('/api_key', token => :'bob') AS workspace, rg_get('/api_key', token => :'anon') AS anonymous;
SELECT rg_get('/api_key', :'plain', :'bob') AS two, rg_get('/admin', :'admin', :'root') AS two_admins;
SELECT rg_get('/scoped', :'plain') AS scope_missing, rg_get('/scoped', :'admin') AS scope;

-- elsewhere it is no credential, good or not
SELECT rg_get('/none', :'plain') AS none, rg_get('/optional', 'rgk_wrong') AS optional, rg_get('/user', :'admin') AS "user",
       rg_get('/user', :'plain', :'alice') AS token_counts;
-- nor is a key a token, or a token a key
SELECT rg_get('/user', token => :'admin') AS key_as_token, rg_get('/api_key', :'bob') AS token_as_key;

-- the key's own limits, beside the route's, each once
SELECT string_agg(h.name || ': ' || h.value, E'\n') AS headers FROM (
    SELECT a.name, lead(a.name) OVER () AS value, n FROM relay_guard.serve('GET', '/api_key', headers => ARRAY['x-api-key', :'limited'], client_ip => '192.0.2.1') s,
         unnest(s.headers) WITH ORDINALITY a(name, n)) h
WHERE n % 2 = 1 AND h.name = 'RateLimit-Policy';
SELECT rg_get('/api_key', :'limited') AS second, rg_get('/api_key', :'limited') AS third, rg_get('/api_key', :'limited') AS fourth,
       rg_get('/api_key', :'plain') AS other_key;
-- a policy that is gone closes the key, not opens it
DELETE FROM relay_guard.rate_policy WHERE name = 'rg_key';
SELECT rg_get('/api_key', :'limited');

-- a revoked key stops in the next transaction
SELECT relay_guard.api_key_revoke(id) FROM relay_guard.api_key WHERE name = 'plain';
SELECT rg_get('/api_key', :'plain') AS revoked;

DELETE FROM relay_guard.route WHERE run_as = 'rg_app'::regrole;
DELETE FROM relay_guard.rate_policy WHERE name = 'rg_wide';
TRUNCATE relay_guard.api_key, relay_guard.api_key_pepper;
DROP FUNCTION rg_get(text, text, text);
DROP ROLE rg_app;
