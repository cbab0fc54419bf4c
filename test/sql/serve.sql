-- A request becomes an answer: routes, identities, values, statuses.
\set VERBOSITY terse
\set SHOW_CONTEXT never
CREATE ROLE rg_app;
CREATE TABLE rg_note (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
                      user_id text NOT NULL DEFAULT relay_guard.user_id(), title text NOT NULL UNIQUE);
SELECT relay_guard.protect('rg_note', grant_to => 'rg_app');
CREATE FUNCTION rg_fail() RETURNS int LANGUAGE plpgsql AS $$
BEGIN PERFORM relay_guard.fail(409, 'already_there', 'it is there', 'Take another.'); END $$;
SELECT relay_guard.grant_role('app', 'rg_app');
INSERT INTO relay_guard.rate_policy (name, identify_by, quota, "window")
VALUES ('rg_ip', 'ip', 100000, '1 min'), ('rg_user', 'user', 100000, '1 min');

INSERT INTO relay_guard.route (method, path, query, auth, scopes, parameters, request_body, rate, max_body, result, result_key, status, keyset, keyset_start, run_as)
VALUES
('GET', '/notes', 'SELECT id, title FROM public.rg_note WHERE id > request.after_id AND title LIKE request.like ORDER BY id LIMIT request.limit',
 'anonymous', '{}', '[{"name":"limit","in":"query","schema":{"type":"integer","minimum":1,"maximum":3,"default":2,"x-clamp":true}},
                      {"name":"like","in":"query","schema":{"type":"string","default":"%"}}]',
 NULL, '{rg_ip,rg_user}', 0, 'rows', 'notes', 200, '{id}', '{0}', 'rg_app'),
('POST', '/notes', 'INSERT INTO public.rg_note (title) VALUES (request.title) RETURNING id > 0 AS made, title, request.body AS body',
 'user', '{}', '[]', '{"type":"object","required":["title"],"additionalProperties":false,"properties":{"title":{"type":"string","minLength":1,"maxLength":10},"tags":{"type":"array","items":{"type":"string"}}}}',
 '{rg_user}', 200, 'row', NULL, 201, '{}', NULL, 'rg_app'),
('GET', '/notes/{id}', 'SELECT title FROM public.rg_note WHERE id = request.id', 'anonymous', '{}',
 '[{"name":"id","in":"path","required":true,"schema":{"type":"integer"}}]', NULL, '{}', 0, 'row', 'note', 200, '{}', NULL, 'rg_app'),
('DELETE', '/notes/{id}', 'DELETE FROM public.rg_note WHERE id = request.id RETURNING 1 AS gone', 'user', '{notes:write}',
 '[{"name":"id","in":"path","required":true,"schema":{"type":"integer"}}]', NULL, '{}', 0, 'row', NULL, 204, '{}', NULL, 'rg_app'),
('GET', '/me', 'SELECT relay_guard.user_id() AS me, relay_guard.role() AS role, relay_guard.client_ip() AS ip, relay_guard.request_id() AS request, current_user AS runs_as',
 'optional', '{}', '[]', NULL, '{}', 0, 'row', NULL, 200, '{}', NULL, 'rg_app'),
('GET', '/admin', 'SELECT 1 AS ok', 'admin', '{}', '[]', NULL, '{}', 0, 'value', NULL, 200, '{}', NULL, 'rg_app'),
('POST', '/fail', 'SELECT public.rg_fail()', 'none', '{}', '[]', NULL, '{}', 0, 'none', NULL, 200, '{}', NULL, 'rg_app'),
('GET', '/divide', 'SELECT 1 / request.by AS v', 'none', '{}', '[{"name":"by","in":"query","required":true,"schema":{"type":"integer"}}]', NULL, '{}', 0, 'value', 'v', 200, '{}', NULL, 'rg_app');

CREATE FUNCTION rg_call(method text, path text, query text DEFAULT '', who text DEFAULT 'alice', body text DEFAULT '',
                        role text DEFAULT 'user', scopes text[] DEFAULT '{}', extra text[] DEFAULT '{}') RETURNS text
LANGUAGE plpgsql AS $$
DECLARE answer record; headers text[] := extra;
BEGIN
    IF who IS NOT NULL THEN
        headers := headers || ARRAY['authorization', 'Bearer ' || relay_guard.issue_token(who, role => role, scopes => scopes)];
    END IF;
    SELECT * INTO answer FROM relay_guard.serve(method, path, query, headers || '{content-type,application/json}',
                                                convert_to(body, 'UTF8'), '192.0.2.7', 'req-1');
    RETURN answer.status || ' ' || regexp_replace(convert_from(answer.body, 'UTF8'), '"next":"[^"]+"', '"next":"…"');
END $$;

-- rows, pages and values
SELECT rg_call('POST', '/notes', body => format('{"title":"n%s","tags":["x"]}', n)) FROM generate_series(1, 5) n;
SELECT rg_call('GET', '/notes');
SELECT rg_call('GET', '/notes', 'limit=1000');
SELECT rg_call('GET', '/notes', 'limit=3&like=n%255');
SELECT rg_call('GET', '/notes', 'like=n%25');
SELECT rg_call('GET', '/notes', who => 'bob');
CREATE FUNCTION rg_pages(who text, first text DEFAULT '') RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE page jsonb; query text := first;
BEGIN
    LOOP
        SELECT convert_from(body, 'UTF8')::jsonb INTO page
        FROM relay_guard.serve('GET', '/notes', query, ARRAY['authorization', 'Bearer ' || relay_guard.issue_token(who)]);
        RETURN NEXT coalesce(page #>> '{notes,0,title}', page ->> 'code') || ' … ' || coalesce(jsonb_array_length(page -> 'notes'), 0);
        query := 'after=' || (page ->> 'next');
        EXIT WHEN query IS NULL;
    END LOOP;
END $$;
SELECT rg_pages('alice');
-- another user's cursor, a changed one and nonsense
SELECT convert_from(body, 'UTF8')::jsonb ->> 'next' AS cursor
FROM relay_guard.serve('GET', '/notes', '', ARRAY['authorization', 'Bearer ' || relay_guard.issue_token('alice')]) \gset
SELECT rg_pages('bob', 'after=' || :'cursor');
SELECT rg_pages('alice', 'after=' || overwrite) FROM (SELECT overlay(:'cursor' placing CASE substr(:'cursor', 60, 1) WHEN 'A' THEN 'B' ELSE 'A' END from 60 for 1) AS overwrite) o;
SELECT rg_pages('alice', 'after=nonsense');

-- SELECT * goes on when its table changes, with the right columns in the cursor
CREATE TABLE rg_star (pad int, id bigint, name text);
INSERT INTO rg_star SELECT n, n, 'row ' || n FROM generate_series(1, 4) n;
GRANT SELECT ON rg_star TO rg_app;
INSERT INTO relay_guard.route (method, path, query, auth, parameters, result, result_key, keyset, keyset_start, run_as)
VALUES ('GET', '/star', 'SELECT * FROM public.rg_star WHERE name > request.after_name ORDER BY name LIMIT request.limit', 'user',
        '[{"name":"limit","in":"query","schema":{"type":"integer","default":2}}]', 'rows', 'rows', '{name}', '{""}', 'rg_app');
SELECT rg_call('GET', '/star');
ALTER TABLE rg_star DROP COLUMN pad;
SELECT rg_call('GET', '/star');
ALTER TABLE rg_star ALTER COLUMN name TYPE varchar(20);
SELECT rg_call('GET', '/star');
SELECT rg_call('GET', '/star');

-- rows without a key are a bare array
INSERT INTO relay_guard.route (method, path, query, auth, run_as)
VALUES ('GET', '/bare', 'SELECT id FROM public.rg_star ORDER BY id LIMIT 2', 'user', 'rg_app');
SELECT rg_call('GET', '/bare');

-- rows may be locked below the top level
GRANT UPDATE ON rg_star TO rg_app;
INSERT INTO relay_guard.route (method, path, query, auth, result, run_as)
VALUES ('GET', '/locking', 'WITH q AS (SELECT id FROM public.rg_star FOR UPDATE SKIP LOCKED) SELECT count(*) AS v FROM q', 'user', 'value', 'rg_app');
SELECT rg_call('GET', '/locking');

-- a literal segment wins over a variable, whatever its letters
INSERT INTO relay_guard.route (method, path, query, auth, parameters, result, run_as)
VALUES ('GET', '/p/{x}/{y}', 'SELECT ''variable'' AS v', 'none', '[{"name":"x","in":"path","required":true,"schema":{"type":"string"}},{"name":"y","in":"path","required":true,"schema":{"type":"string"}}]', 'value', 'rg_app'),
       ('GET', '/p/~a/{y}', 'SELECT ''literal'' AS v', 'none', '[{"name":"y","in":"path","required":true,"schema":{"type":"string"}}]', 'value', 'rg_app');
SELECT rg_call('GET', '/p/~a/1'), rg_call('GET', '/p/b/1');

-- one object; somebody else's is not there
SELECT min(id) AS id FROM rg_note \gset
SELECT rg_call('GET', '/notes/' || :id);
SELECT rg_call('GET', '/notes/' || :id, who => 'bob');
SELECT rg_call('GET', '/notes/0');
SELECT rg_call('DELETE', '/notes/' || :id, who => 'bob', scopes => '{notes:write}');
SELECT rg_call('DELETE', '/notes/' || :id);
SELECT rg_call('DELETE', '/notes/' || :id, scopes => '{notes:write}');
SELECT rg_call('DELETE', '/notes/' || :id, scopes => '{notes:write}');

-- who
SELECT rg_call('GET', '/me');
SELECT rg_call('GET', '/me', who => NULL);
SELECT rg_call('GET', '/me', who => 'anon:1', role => 'anonymous');
SELECT rg_call('GET', '/notes', who => NULL);
SELECT rg_call('POST', '/notes', who => 'anon:1', role => 'anonymous', body => '{"title":"x"}');
SELECT rg_call('GET', '/admin');
SELECT rg_call('GET', '/admin', role => 'admin');
SELECT rg_call('GET', '/me', who => NULL, extra => '{authorization,Basic abc}');
SELECT rg_call('GET', '/me', who => NULL, extra => '{authorization,Bearer abc}');
SELECT rg_call('GET', '/me', who => NULL, extra => ARRAY['authorization', 'bearer   ' || relay_guard.issue_token('carol')]);
SELECT headers[array_position(headers, 'WWW-Authenticate') + 1] AS www_authenticate FROM relay_guard.serve('GET', '/notes');
SELECT headers[array_position(headers, 'WWW-Authenticate') + 1] AS www_authenticate FROM relay_guard.serve('GET', '/notes', '', '{authorization,Bearer x}');

-- paths and methods
SELECT rg_call('GET', '/nope');
SELECT rg_call('PUT', '/notes');
SELECT status, headers FROM relay_guard.serve('PUT', '/notes');
SELECT status, headers FROM relay_guard.serve('OPTIONS', '/notes/1');
SELECT rg_call('HEAD', '/me');
SELECT rg_call('GET', '/m%65');
SELECT rg_call('GET', '/notes/1%2F2');
SELECT rg_call('GET', '');

-- values
SELECT rg_call('GET', '/notes', 'limit=0');
SELECT rg_call('GET', '/notes', 'limit=-1');
SELECT rg_call('GET', '/notes', 'limit=x');
SELECT rg_call('GET', '/notes', 'limit=1&limit=2');
SELECT rg_call('GET', '/notes', 'limit=9223372036854775808');
SELECT rg_call('GET', '/notes', 'like=%');
SELECT rg_call('GET', '/notes', 'like=%00');
SELECT rg_call('GET', '/notes', $$like=' OR true --$$);
SELECT rg_call('GET', '/notes/x');
SELECT rg_call('GET', '/divide');
SELECT rg_call('POST', '/notes', body => '{"title":');
SELECT rg_call('POST', '/notes', body => '{"title":"a","title":"b"}');
SELECT rg_call('POST', '/notes', body => '{}');
SELECT rg_call('POST', '/notes', body => '{"title":1}');
SELECT rg_call('POST', '/notes', body => '{"title":"a","tags":["x",5]}');
SELECT rg_call('POST', '/notes', body => '{"title":"a","user_id":"bob"}');
SELECT rg_call('POST', '/notes', body => '"' || repeat('x', 300) || '"');
SELECT rg_call('POST', '/notes');
SELECT rg_call('POST', '/notes', body => '{"title":"x"}', extra => '{content-type,text/plain}');

-- what fails is an error, with its SQLSTATE
\set VERBOSITY sqlstate
SELECT rg_call('POST', '/notes', body => '{"title":"n2"}');
SELECT rg_call('POST', '/fail');
SELECT rg_call('GET', '/divide', 'by=0');
\set VERBOSITY default
SELECT rg_call('POST', '/fail');
\set VERBOSITY terse
SELECT relay_guard.fail(200, 'x');
SELECT relay_guard.serve('GET', '/me', '', '{a}');
SELECT relay_guard.serve(NULL, '/me');
SELECT relay_guard.serve('\x00'::bytea);

DELETE FROM relay_guard.route;
DELETE FROM relay_guard.rate_policy WHERE name LIKE 'rg%';
DROP TABLE rg_note, rg_star;
DROP FUNCTION rg_fail, rg_call, rg_pages;
DROP OWNED BY rg_app;
DROP ROLE rg_app;
