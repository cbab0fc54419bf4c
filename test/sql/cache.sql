-- Cached answers: what a route may say of them, and whose a validator is.
\set VERBOSITY terse
\set QUIET on
CREATE ROLE rg_app;
GRANT USAGE ON SCHEMA public TO rg_app;

CREATE FUNCTION add_route(query text, seconds int, tags text[], parameters jsonb DEFAULT '[]', path text DEFAULT '/bad')
RETURNS void LANGUAGE sql AS $$
    INSERT INTO relay_guard.route (method, path, query, auth, result, run_as, cache_seconds, cache_tags, parameters)
    VALUES ('GET', path, query, 'optional', 'value', 'rg_app', seconds, tags, parameters);
$$;
CREATE FUNCTION refusal(query text, seconds int, tags text[], parameters jsonb DEFAULT '[]')
RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM add_route(query, seconds, tags, parameters);
    RAISE USING ERRCODE = 'RG200';
EXCEPTION WHEN OTHERS THEN
    RETURN CASE SQLSTATE WHEN 'RG200' THEN 'none' ELSE SQLSTATE || ': ' || SQLERRM END;
END $$;

-- What a route may say
SELECT refusal('SELECT 1', 60, '{files}');
SELECT refusal('SELECT 1', 60, '{"files:{user_id}:{workspace_id}"}');
SELECT refusal('SELECT 1', 60, '{"files:{id}"}');
SELECT refusal('SELECT 1', 0, '{}');
SELECT refusal('SELECT 1', NULL, '{files}');
SELECT refusal('INSERT INTO relay_guard.model SELECT * FROM relay_guard.model RETURNING 1', 60, '{}');
CREATE TABLE locked (n int);
GRANT SELECT, UPDATE ON locked TO rg_app;
SELECT refusal('SELECT n FROM public.locked FOR UPDATE', 60, '{}');
SELECT kind, refusal('SELECT 1', 60, '{"files:{v}"}',
                     jsonb_build_array(jsonb_build_object('name', 'v', 'in', 'query', 'schema', schema)))
FROM (VALUES ('integer', '{"type": "integer"}'::jsonb), ('string', '{"type": "string"}'),
             ('boolean', '{"type": "boolean"}'), ('uuid', '{"type": "string", "format": "uuid"}'),
             ('number', '{"type": "number"}'), ('date-time', '{"type": "string", "format": "date-time"}')) k (kind, schema);
-- A brace without its fellow is a character
SELECT refusal('SELECT 1', 60, '{"files:{"}');

-- What is invalidated
SELECT count(relay_guard.cache_invalidate(pattern)) FROM unnest(ARRAY['', 'a*b', 'a*', repeat(':', 100)]) pattern;
SELECT relay_guard.cache_invalidate(NULL);

-- Whose a validator is
CREATE FUNCTION request(headers text[], query text DEFAULT '', address text DEFAULT repeat('00', 16), id text DEFAULT 'id', path text DEFAULT '/own')
RETURNS bytea LANGUAGE sql AS $$
    SELECT convert_to('GET', 'UTF8') || '\x00' || convert_to(path, 'UTF8') || '\x00' || convert_to(query, 'UTF8') || '\x00'
        || decode(address, 'hex') || convert_to(id, 'UTF8') || '\x00' || int4send(cardinality(headers) / 2)
        || string_agg(convert_to(h, 'UTF8') || '\x00', '' ORDER BY n)
    FROM unnest(headers) WITH ORDINALITY u (h, n);
$$;
CREATE FUNCTION number(reply bytea, at int) RETURNS int LANGUAGE sql
RETURN ('x' || encode(substr(reply, at + 1, 4), 'hex'))::bit(32)::int;
CREATE FUNCTION validator(reply bytea) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    at int := 4;
BEGIN
    FOR i IN 1..5 LOOP
        at := at + 4 + number(reply, at);
    END LOOP;
    RETURN convert_from(substr(reply, at + 5, number(reply, at)), 'UTF8');
END $$;
CREATE FUNCTION is_held(reply bytea) RETURNS boolean LANGUAGE sql
RETURN number(reply, octet_length(reply) - 4) & 8 <> 0;

SELECT add_route('SELECT relay_guard.user_id()', 600, '{own}', '[]', '/own');
SELECT 'Bearer ' || relay_guard.issue_token('ann') AS ann, 'Bearer ' || relay_guard.issue_token('bob') AS bob,
       'Bearer ' || relay_guard.issue_token('ann', workspace => 'w') AS ann_at_work \gset
CREATE FUNCTION is_held_for(validator text, token text, query text DEFAULT '', address text DEFAULT repeat('00', 16), id text DEFAULT 'id')
RETURNS boolean LANGUAGE sql
RETURN is_held(relay_guard.serve(request(CASE WHEN token IS NULL THEN '{}' ELSE ARRAY['authorization', token] END
                                         || ARRAY['x-relay-held', validator], query, address, id)));
INSERT INTO relay_guard.route (method, path, query, auth, result, run_as, cache_seconds)
VALUES ('GET', '/own/key', 'SELECT 1', 'api_key', 'value', 'rg_app', 600);
SELECT key AS key_1 FROM relay_guard.api_key_create('one', workspace => 'w') \gset
SELECT key AS key_2 FROM relay_guard.api_key_create('two', workspace => 'w') \gset

-- Made last: every change of a catalog ends them
SELECT validator(relay_guard.serve(request(ARRAY['authorization', :'ann', 'x-relay-held', '']))) AS of_ann \gset
SELECT validator(relay_guard.serve(request(ARRAY['x-relay-held', '']))) AS of_nobody \gset
SELECT validator(relay_guard.serve(request(ARRAY['x-api-key', :'key_1', 'x-relay-held', ''], path => '/own/key'))) AS of_key \gset
SELECT is_held_for(:'of_ann', :'ann') AS own, is_held_for(:'of_ann', :'ann', id => 'another') AS request_id,
       is_held_for(:'of_ann', :'ann_at_work') AS workspace, is_held_for(:'of_ann', :'bob') AS user_id,
       is_held_for(:'of_ann', NULL) AS nobody, is_held_for(:'of_ann', :'ann', 'a=1') AS query,
       is_held_for(:'of_ann', :'ann', '', repeat('00', 15) || '01') AS address;
SELECT is_held_for(:'of_nobody', NULL) AS own, is_held_for(:'of_nobody', NULL, '', repeat('00', 15) || '01') AS address,
       is_held_for(:'of_nobody', :'ann') AS user_id;
SELECT key = :'key_1' AS own, is_held(relay_guard.serve(request(ARRAY['x-api-key', key, 'x-relay-held', :'of_key'], path => '/own/key')))
FROM unnest(ARRAY[:'key_1', :'key_2']) key;
-- Changed by one character, another time in front, cut off, of another form
SELECT count(*) FILTER (WHERE is_held_for(overlay(:'of_ann' PLACING 'x' FROM n FOR 1), :'ann'))
       - count(*) FILTER (WHERE substr(:'of_ann', n, 1) = 'x') AS forged
FROM generate_series(1, 32) n;
SELECT is_held_for(left(:'of_ann', 31), :'ann') AS short, is_held_for(:'of_ann' || 'A', :'ann') AS long,
       is_held_for('AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA', :'ann') AS zeros, is_held_for('"''\x', :'ann') AS text;

-- More patterns than a transaction can name are all of them
SELECT count(relay_guard.cache_invalidate('another')) FROM generate_series(1, 300);
SELECT is_held_for(:'of_ann', :'ann');
SELECT count(relay_guard.cache_invalidate(n::text)) FROM generate_series(1, 300) n;
SELECT is_held_for(:'of_ann', :'ann');

DELETE FROM relay_guard.route;
DELETE FROM relay_guard.api_key;
DROP FUNCTION add_route, refusal, request, is_held_for, is_held, validator, number;
DROP TABLE locked;
DROP OWNED BY rg_app;
DROP ROLE rg_app;
