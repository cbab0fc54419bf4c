-- Sessions: a cookie stands for a row, and for nobody else.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE ROLE rg_app;
SELECT relay_guard.grant_role('app', 'rg_app');
-- what an application's function does that may start sessions
CREATE FUNCTION rg_start(who text, workspace text DEFAULT NULL, role text DEFAULT 'user', lifetime interval DEFAULT '14 days',
                         idle interval DEFAULT '1 day') RETURNS text LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN relay_guard.session_start(who, workspace, role, lifetime, idle) IS NOT NULL THEN relay_guard.csrf_token() END $$;
CREATE FUNCTION rg_rotate(role text) RETURNS text LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN relay_guard.session_rotate(role) IS NOT NULL THEN 'rotated' END $$;
CREATE FUNCTION rg_caught() RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM relay_guard.session_start('alice');
    RETURN 'started';
EXCEPTION WHEN active_sql_transaction THEN
    RETURN SQLERRM;
END $$;
INSERT INTO relay_guard.route (method, path, query, auth, result, status, request_body, run_as)
SELECT method, path, query, auth, result, status, body, 'rg_app'
FROM (VALUES
    ('POST', '/login', 'SELECT public.rg_start(request.who, request.workspace, request.role, request.lifetime::interval, request.idle::interval)', 'none', 'value', 200,
        '{"type": "object", "properties": {"who": {"type": "string"}, "workspace": {"type": "string"}, "role": {"type": "string", "default": "user"},
          "lifetime": {"type": "string", "default": "14 days"}, "idle": {"type": "string", "default": "1 day"}}}'::jsonb),
    ('POST', '/logout', 'SELECT relay_guard.session_end(''/bye'')', 'none', 'none', 204, NULL),
    ('POST', '/rotate', 'SELECT public.rg_rotate(''admin'')', 'none', 'value', 200, NULL),
    ('POST', '/twice', 'SELECT public.rg_start(''alice'') || public.rg_start(''bob'')', 'none', 'value', 200, NULL),
    ('POST', '/caught', 'SELECT public.rg_caught()', 'none', 'value', 200, NULL),
    ('GET', '/csrf', 'SELECT relay_guard.csrf_token()', 'optional', 'value', 200, NULL),
    ('GET', '/who', 'SELECT relay_guard.user_id(), relay_guard.role(), relay_guard.via(), relay_guard.workspace_id()', 'user', 'row', 200, NULL),
    ('GET', '/anyone', 'SELECT coalesce(relay_guard.user_id(), ''nobody'')', 'optional', 'value', 200, NULL),
    ('GET', '/key', 'SELECT relay_guard.user_id()', 'api_key', 'value', 200, NULL),
    ('GET', '/admin', 'SELECT relay_guard.user_id()', 'admin', 'value', 200, NULL),
    ('POST', '/write', 'SELECT ''written by '' || relay_guard.user_id()', 'user', 'value', 200, NULL),
    ('DELETE', '/write', 'SELECT ''deleted by '' || relay_guard.user_id()', 'user', 'value', 200, NULL)
) r (method, path, query, auth, result, status, body);

-- an answer in a line: what is random is left out
CREATE FUNCTION rg_ask(method text, path text, cookie text DEFAULT NULL, more text[] DEFAULT '{}', body text DEFAULT '',
                       OUT answer text, OUT given text, OUT said text) LANGUAGE plpgsql AS $$
DECLARE
    s record;
    i int;
BEGIN
    SELECT * INTO s FROM relay_guard.serve(method, path, headers => more
        || CASE WHEN cookie IS NULL THEN '{}' ELSE ARRAY['cookie', cookie] END
        || CASE WHEN body = '' THEN '{}' ELSE ARRAY['content-type', 'application/json'] END, body => convert_to(body, 'UTF8'), client_ip => '192.0.2.7');
    said := convert_from(s.body, 'UTF8');
    answer := s.status || CASE WHEN s.status >= 400 THEN ' ' || (said::jsonb ->> 'code') || ': ' || (said::jsonb ->> 'detail')
                               WHEN said ~ '^"[A-Za-z0-9_-]{86}"$' THEN ' a token' ELSE ' ' || said END;
    said := btrim(said, '"');
    FOR i IN 1 .. coalesce(cardinality(s.headers), 0) BY 2 LOOP
        IF s.headers[i] IN ('Set-Cookie', 'Clear-Site-Data', 'Location') THEN
            answer := answer || ' [' || regexp_replace(regexp_replace(s.headers[i + 1], '=[A-Za-z0-9_-]{43};', '=...;'), 'Age=1209\d+', 'Age=...') || ']';
        END IF;
        IF s.headers[i] = 'Set-Cookie' THEN
            given := split_part(s.headers[i + 1], ';', 1);
        END IF;
    END LOOP;
END $$;
CREATE FUNCTION rg_says(method text, path text, cookie text DEFAULT NULL, more text[] DEFAULT '{}', body text DEFAULT '') RETURNS text
LANGUAGE sql AS $$ SELECT answer FROM rg_ask(method, path, cookie, more, body) $$;

-- signing in
SELECT answer, given AS alice, said AS alice_csrf FROM rg_ask('POST', '/login', body => '{"who": "alice", "workspace": "w1"}') \gset
\echo :answer
SELECT given AS bob, said AS bob_csrf FROM rg_ask('POST', '/login', body => '{"who": "bob"}') \gset
SELECT rg_says('GET', '/who', :'alice') AS alice, rg_says('GET', '/who', :'bob') AS bob;
SELECT user_id, workspace_id, role, octet_length(hash) AS hash, expires_at - created_at AS lifetime, idle, ended_at FROM relay_guard.session ORDER BY user_id;
-- the row is under a hash, which is no cookie
SELECT count(*) AS found FROM relay_guard.session WHERE strpos(session::text, split_part(:'alice', '=', 2)) > 0;
SELECT rg_says('GET', '/who', '__Host-relay_sid=' || translate(encode(hash, 'base64'), '+/=', '-_')) FROM relay_guard.session WHERE user_id = 'alice';

-- no session, no good one, two
SELECT rg_says('GET', '/who') AS none, rg_says('GET', '/who', 'theme=dark') AS another, rg_says('GET', '/who', '__Host-relay_sid=') AS empty;
SELECT rg_says('GET', '/who', '__Host-relay_sid=abc') AS short, rg_says('GET', '/who', :'alice' || 'A') AS long,
       rg_says('GET', '/who', '__Host-relay_sid=' || repeat('A', 43)) AS unknown;
SELECT rg_says('GET', '/who', '__Host-relay_sid=' || repeat('x', 8000)) AS oversized, rg_says('GET', '/who', '__Host-relay_sid=''; DROP TABLE x; --') AS strange;
SELECT rg_says('GET', '/who', :'alice' || '; ' || :'bob') AS duplicate, rg_says('GET', '/who', 'a=b; ' || :'alice' || ';c=d') AS among_others;
-- a cookie that another host or http could have planted does not count
SELECT rg_says('GET', '/who', replace(:'alice', '__Host-', '')) AS without_prefix,
       rg_says('GET', '/who', replace(:'alice', '__Host-', ''), ARRAY['x-relay-flags', 'plain-cookies']) AS where_http_is_allowed,
       rg_says('GET', '/who', :'alice', ARRAY['x-relay-flags', 'plain-cookies']) AS the_other_there;
-- where anybody is served it is nobody's
SELECT rg_says('GET', '/anyone') AS none, rg_says('GET', '/anyone', :'alice') AS alice, rg_says('GET', '/anyone', '__Host-relay_sid=abc') AS malformed;

-- other routes
SELECT rg_says('GET', '/key', :'alice') AS workspace, rg_says('GET', '/key', :'bob') AS no_workspace, rg_says('GET', '/admin', :'alice') AS no_admin;

-- two credentials
SELECT rg_says('GET', '/who', :'alice', ARRAY['authorization', 'Bearer ' || relay_guard.issue_token('carol')]) AS token,
       rg_says('GET', '/key', :'alice', ARRAY['x-api-key', 'rgk_x']) AS api_key,
       rg_says('GET', '/who', 'theme=dark', ARRAY['authorization', 'Bearer ' || relay_guard.issue_token('carol')]) AS another_cookie,
       rg_says('GET', '/who', '__Host-relay_sid=abc', ARRAY['authorization', 'Bearer ' || relay_guard.issue_token('carol')]) AS malformed;

-- CSRF: where it comes from
SELECT v AS sent, rg_says('POST', '/write', :'alice', v || ARRAY['x-csrf-token', :'alice_csrf', 'x-relay-origin', 'https://a.example']) AS answer
FROM (VALUES (1, ARRAY['sec-fetch-site', 'same-origin']), (2, ARRAY['sec-fetch-site', 'none']), (3, ARRAY['sec-fetch-site', 'same-site']), (4, ARRAY['sec-fetch-site', 'cross-site']),
    (5, ARRAY['origin', 'https://a.example']), (6, ARRAY['origin', 'https://b.example']), (7, ARRAY['origin', 'null']), (8, ARRAY['referer', 'https://a.example/x']),
    (9, ARRAY['referer', 'https://a.example.b/x']), (10, '{}'::text[])) s (n, v) ORDER BY n;
-- and the token
SELECT what, rg_says('POST', '/write', :'alice', ARRAY['sec-fetch-site', 'same-origin'] || CASE WHEN t IS NULL THEN '{}' ELSE ARRAY['x-csrf-token', t] END) AS answer
FROM (VALUES (1, 'missing', NULL), (2, 'empty', ''), (3, 'no token', 'abc'), (4, 'another session''s', :'bob_csrf'), (5, 'too long', repeat('A', 9000)),
    (6, 'forged', left(:'alice_csrf', 50) || translate(substr(:'alice_csrf', 51, 1), 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_', 'bcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_a') || substr(:'alice_csrf', 52)),
    (7, 'its own', :'alice_csrf')) s (n, what, t) ORDER BY n;
SELECT rg_says('DELETE', '/write', :'alice', ARRAY['sec-fetch-site', 'same-origin']) AS "DELETE", rg_says('GET', '/who', :'alice', ARRAY['sec-fetch-site', 'cross-site']) AS "GET",
       rg_says('POST', '/write', more => ARRAY['authorization', 'Bearer ' || relay_guard.issue_token('carol'), 'sec-fetch-site', 'cross-site']) AS token;
SELECT answer, said AS fresh FROM rg_ask('GET', '/csrf', :'alice') \gset
\echo :answer
SELECT rg_says('POST', '/write', :'alice', ARRAY['sec-fetch-site', 'same-origin', 'x-csrf-token', :'fresh']) AS fresh, :'fresh' <> :'alice_csrf' AS differs;
SELECT answer, said AS nobodys FROM rg_ask('GET', '/csrf') \gset
\echo :answer
SELECT rg_says('POST', '/write', :'alice', ARRAY['sec-fetch-site', 'same-origin', 'x-csrf-token', :'nobodys']) AS nobodys;

-- signing in and out is not for other sites
SELECT rg_says('POST', '/login', more => ARRAY['sec-fetch-site', 'cross-site'], body => '{"who": "mallory"}') AS login;
SELECT rg_says('POST', '/login', more => ARRAY['origin', 'https://b.example', 'x-relay-origin', 'https://a.example'], body => '{"who": "mallory"}') AS login_by_origin;
SELECT rg_says('POST', '/logout', :'alice', ARRAY['sec-fetch-site', 'cross-site']) AS logout;
SELECT count(*) AS mallory FROM relay_guard.session WHERE user_id = 'mallory';

-- a cookie given before is not adopted, and ends what it named
SELECT answer, given AS fixed FROM rg_ask('POST', '/login', '__Host-relay_sid=' || repeat('A', 43), body => '{"who": "victim"}') \gset
SELECT :'fixed' <> '__Host-relay_sid=' || repeat('A', 43) AS another_cookie, rg_says('GET', '/who', '__Host-relay_sid=' || repeat('A', 43)) AS attacker;
SELECT given AS again FROM rg_ask('POST', '/login', :'fixed', body => '{"who": "victim"}') \gset
SELECT rg_says('GET', '/who', :'fixed') AS before, rg_says('GET', '/who', :'again') AS after;

-- rotation
SELECT answer, given AS rotated FROM rg_ask('POST', '/rotate', :'again') \gset
\echo :answer
SELECT rg_says('GET', '/who', :'again') AS before, rg_says('GET', '/who', :'rotated') AS after, rg_says('GET', '/admin', :'rotated') AS admin;
SELECT count(*) AS rows, count(*) FILTER (WHERE ended_at IS NULL) AS live FROM relay_guard.session WHERE user_id = 'victim';
SELECT rg_says('POST', '/rotate') AS without_session;
SELECT rg_says('POST', '/rotate', :'again') AS with_former;

-- once in a request, and not where it could be rolled back
SELECT rg_says('POST', '/twice');
SELECT rg_says('POST', '/caught');
SELECT relay_guard.session_start('alice');
SELECT relay_guard.session_end();
SELECT relay_guard.csrf_token() IS NULL AS no_token, relay_guard.gateway_flag('dev') AS dev;

-- signing out
SELECT rg_says('POST', '/logout') AS without, rg_says('POST', '/logout', '__Host-relay_sid=abc') AS malformed, rg_says('POST', '/logout', :'bob') AS "with", rg_says('POST', '/logout', :'bob') AS twice;
SELECT rg_says('GET', '/who', :'bob') AS bob, rg_says('POST', '/logout', :'alice', ARRAY['content-type', 'application/x-www-form-urlencoded']) AS form, rg_says('GET', '/who', :'alice') AS alice;
-- where the cookie is that of http it is removed under that name
SELECT rg_says('POST', '/logout', more => ARRAY['x-relay-flags', 'plain-cookies']);

-- revocation, of one and of all of a user, counts in the next request
SELECT given AS one FROM rg_ask('POST', '/login', body => '{"who": "dora"}') \gset
SELECT given AS two FROM rg_ask('POST', '/login', body => '{"who": "dora"}') \gset
SELECT given AS three FROM rg_ask('POST', '/login', body => '{"who": "dora"}') \gset
SELECT relay_guard.session_revoke(id), relay_guard.session_revoke(id) AS again FROM (SELECT id FROM relay_guard.session WHERE user_id = 'dora' ORDER BY created_at LIMIT 1) s;
SELECT rg_says('GET', '/who', :'one') AS one, rg_says('GET', '/who', :'two') AS two;
SELECT relay_guard.revoke(session => id::text) FROM (SELECT id FROM relay_guard.session WHERE user_id = 'dora' ORDER BY created_at LIMIT 1 OFFSET 1) s;
SELECT rg_says('GET', '/who', :'two') AS two, rg_says('GET', '/who', :'three') AS three;
SELECT relay_guard.revoke(user_id => 'dora');
SELECT rg_says('GET', '/who', :'three') AS three;
SELECT given AS four FROM rg_ask('POST', '/login', body => '{"who": "dora"}') \gset
SELECT rg_says('GET', '/who', :'four') AS later;
DELETE FROM relay_guard.revocation;

-- expiry: absolute, by idleness, and use puts that off
SELECT rg_says('POST', '/login', body => '{"who": "eve", "lifetime": "0"}');
SELECT rg_says('POST', '/login', body => '{"who": "eve", "lifetime": "2 years"}');
SELECT rg_says('POST', '/login', body => '{"who": "eve", "idle": "-1 s"}');
SELECT given AS eve FROM rg_ask('POST', '/login', body => '{"who": "eve", "idle": "1 hour"}') \gset
UPDATE relay_guard.session SET seen_at = seen_at - interval '2 min' WHERE user_id = 'eve';
SELECT rg_says('GET', '/who', :'eve') AS used;
SELECT clock_timestamp() - seen_at BETWEEN '2 min' AND '3 min' AS not_written FROM relay_guard.session WHERE user_id = 'eve';
UPDATE relay_guard.session SET seen_at = clock_timestamp() - interval '59 min' WHERE user_id = 'eve';
SELECT rg_says('GET', '/who', :'eve') AS just_in_time;
SELECT clock_timestamp() - seen_at < '1 min' AS written FROM relay_guard.session WHERE user_id = 'eve';
UPDATE relay_guard.session SET seen_at = clock_timestamp() - interval '1 hour' WHERE user_id = 'eve';
SELECT rg_says('GET', '/who', :'eve') AS idle;
UPDATE relay_guard.session SET seen_at = clock_timestamp(), created_at = clock_timestamp() - interval '14 days', expires_at = clock_timestamp() WHERE user_id = 'eve';
SELECT rg_says('GET', '/who', :'eve') AS expired;
-- a transaction that may not write serves it all the same
UPDATE relay_guard.session SET seen_at = clock_timestamp() - interval '59 min', expires_at = clock_timestamp() + interval '1 day' WHERE user_id = 'eve';
BEGIN READ ONLY;
SELECT rg_says('GET', '/who', :'eve') AS read_only;
COMMIT;
SELECT clock_timestamp() - seen_at > '50 min' AS not_written FROM relay_guard.session WHERE user_id = 'eve';
-- a session's owner may not be made up
SELECT rg_says('POST', '/login', body => '{"who": "anon:1"}');
SELECT rg_says('POST', '/login', body => '{"who": "key:1"}');
SELECT rg_says('POST', '/login', body => '{"who": "x", "role": "anonymous"}');

-- cleaning up: those that begin take some along
INSERT INTO relay_guard.session (hash, user_id, role, idle, created_at, expires_at, seen_at)
SELECT sha256(n::text::bytea), 'old', 'user', '1 day', now() - interval '3 days', now() - interval '1 day', now() FROM generate_series(1, 50) n;
SELECT given IS NOT NULL AS started FROM rg_ask('POST', '/login', body => '{"who": "fay"}');
SELECT count(*) AS left_over FROM relay_guard.session WHERE user_id = 'old';
SELECT relay_guard.session_expire(25);
SELECT relay_guard.session_expire() AS again;
SELECT count(*) AS left_over FROM relay_guard.session WHERE user_id = 'old';

-- nobody reads the table
SET ROLE rg_app;
SELECT count(*) FROM relay_guard.session;
SELECT relay_guard.session_start('root', role => 'admin');
SELECT relay_guard.password_hash('x');
RESET ROLE;
-- sessions are not dumped: a restore would bring back those that have ended
SELECT count(*) AS dumped FROM pg_extension, unnest(extconfig) AS t WHERE extname = 'relay_guard' AND t = 'relay_guard.session'::regclass;

DELETE FROM relay_guard.route WHERE run_as = 'rg_app'::regrole;
DROP FUNCTION rg_ask, rg_says, rg_start, rg_rotate, rg_caught;
TRUNCATE relay_guard.session;
DROP OWNED BY rg_app; DROP ROLE rg_app;
