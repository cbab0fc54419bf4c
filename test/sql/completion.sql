-- Routes of result completion: what may be stored, what is reserved, what the gateway is told to ask.
\set VERBOSITY terse
CREATE ROLE rg_app;
SELECT relay_guard.grant_role('app', 'rg_app');
INSERT INTO relay_guard.model (name, provider, input_price, output_price, max_input_tokens, max_output_tokens, enabled) VALUES
    ('c-large', 'p-bearer', 3000000, 15000000, 100000, 4000, true), ('c-small', 'p-bearer', 100000, 400000, 100000, 1000, true),
    ('c-own', 'p-signed', 0, 0, 100000, 1000, true), ('c-nowhere', 'p-none', 1, 1, 100000, 1000, true),
    ('c-embed', 'p-bearer', 1, 0, 100000, 0, true), ('c-off', 'p-bearer', 1, 1, 100000, 1000, false), ('c-cheap', 'p-bearer', 1000, 10000, 100000, 1000, true);
INSERT INTO relay_guard.upstream (name, url, auth, connect_timeout, answer_timeout, idle_timeout, max_response) VALUES
    ('p-bearer', 'https://provider.example/v1', 'bearer', '1 s', '2 s', '3 s', NULL), ('p-signed', 'http://127.0.0.1:9', DEFAULT, '1 s', '2 s', '3 s', 4096);
INSERT INTO relay_guard.budget_policy (name, scope, "window", hard) VALUES ('c_user', 'user', 'month', 10000000);

-- which routes may be
CREATE FUNCTION rg_stores(result text, shape text, method text DEFAULT 'POST', idempotency text DEFAULT 'none', result_key text DEFAULT NULL,
                          query text DEFAULT 'SELECT jsonb ''{}'' AS body') RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO relay_guard.route (method, path, query, result, shape, idempotency, result_key, run_as)
    VALUES (method, '/c/try', query, result, shape, idempotency, result_key, 'rg_app');
    DELETE FROM relay_guard.route WHERE path = '/c/try';
    RETURN 'stored';
EXCEPTION WHEN check_violation THEN
    RETURN 'refused';
WHEN invalid_parameter_value THEN
    RETURN sqlerrm;
END $$;
SELECT rg_stores('completion', 'openai') AS openai, rg_stores('completion', 'reply') AS reply, rg_stores('completion', 'events') AS events;
SELECT rg_stores('completion', NULL) AS no_shape, rg_stores('completion', 'other') AS unknown, rg_stores('row', 'openai') AS no_completion,
       rg_stores('completion', 'openai', 'GET') AS get, rg_stores('completion', 'openai', idempotency => 'optional') AS idempotent,
       rg_stores('completion', 'openai', result_key => 'k') AS key;
SELECT rg_stores('completion', 'openai', query => 'SELECT jsonb ''{}'' AS request');
SELECT rg_stores('completion', 'openai', query => 'SELECT text ''{}'' AS body');
SELECT rg_stores('completion', 'openai', query => 'SELECT jsonb ''{}'' AS body, 1 AS more');

INSERT INTO relay_guard.route (method, path, query, auth, result, shape, request_body, run_as)
SELECT 'POST', '/c/' || shape, 'SELECT request.body AS body WHERE NOT request.body ? ''missing''', 'optional', 'completion', shape, '{"type": "object"}', 'rg_app'
FROM unnest('{openai,reply,events}'::text[]) shape;
CREATE FUNCTION rg_ask(body jsonb, path text DEFAULT '/c/openai', token text DEFAULT NULL, OUT status int, OUT answer jsonb, OUT stream jsonb) LANGUAGE sql AS
$$ SELECT s.status, convert_from(nullif(s.body, ''), 'UTF8')::jsonb, s.stream
   FROM relay_guard.serve('POST', path, headers => '{content-type,application/json}' || CASE WHEN token IS NULL THEN '{}' ELSE ARRAY['authorization', 'Bearer ' || token] END,
                          body => convert_to(body::text, 'UTF8'), client_ip => '203.0.113.7', request_id => 'r-1') s $$;

-- a key that somebody else gave

SELECT status, answer FROM rg_ask('{"messages": [{"role": "user", "content": "Hello, world"}], "model": "c-large"}');
SELECT relay_guard.upstream_secret_set('p-bearer');
SELECT relay_guard.upstream_secret_set('p-bearer', '');
SELECT relay_guard.upstream_secret_set('p-bearer', 'with a space in it');
SELECT relay_guard.upstream_secret_set('p-bearer', 'sk-former-0123456789') IS NULL AS not_shown;
SELECT relay_guard.upstream_secret_set('p-bearer', 'sk-current"0123\456789') IS NULL AS not_shown;
SELECT count(*) FROM relay_guard.webhook_secret WHERE name = 'upstream/p-bearer';

-- the order; in SQL without the key
SELECT status, answer, jsonb_pretty(stream - 'reservation' - 'body') AS stream, (stream ->> 'body')::jsonb - 'user' AS body
FROM rg_ask('{"messages": [{"role": "user", "content": "Hello, world"}], "model": "c-large"}');
-- what the gateway gets
CREATE FUNCTION rg_frame(body text) RETURNS bytea LANGUAGE sql AS
$$ SELECT relay_guard.serve(convert_to('POST', 'UTF8') || '\x00'::bytea || convert_to('/c/openai', 'UTF8') || '\x0000'::bytea || '\x00000000000000000000ffffcb007107'::bytea || '\x00'::bytea
   || '\x00000001'::bytea || convert_to('content-type', 'UTF8') || '\x00'::bytea || convert_to('application/json', 'UTF8') || '\x00'::bytea || convert_to(body, 'UTF8')) $$;
SELECT position(convert_to('["authorization","Bearer sk-current\"0123\\456789"]', 'UTF8') IN f) > 0 AS current, position('former'::bytea IN f) AS former
FROM rg_frame('{"messages": [{"role": "user", "content": "Hello, world"}], "model": "c-large"}') f;

-- what the provider is asked for: held to what is reserved, told nothing of who asks, the rest to the byte
CREATE FUNCTION rg_asked(body jsonb, path text DEFAULT '/c/openai', OUT tokens bigint, OUT output bigint, OUT stream boolean, OUT asked boolean, OUT request text) LANGUAGE sql AS
$$ SELECT (a.stream ->> 'input_tokens')::bigint, (a.stream ->> 'max_output_tokens')::bigint, (a.stream ->> 'stream')::boolean, (a.stream ->> 'usage_asked')::boolean,
          regexp_replace(a.stream ->> 'body', '"user":"[0-9a-f]{32}"', '"user":"..."')
   FROM rg_ask('{"model": "c-large", "messages": [{"role": "user", "content": "Hi"}]}' || body, path) a $$;
SELECT request FROM rg_asked('{}');
SELECT output, request FROM rg_asked('{"max_tokens": 7, "temperature": 0.10, "logit_bias": {"50256": -100}, "seed": 12345678901234567}');
SELECT output, request FROM rg_asked('{"max_completion_tokens": 9999, "max_tokens": 5000, "user": "alice", "safety_identifier": "alice"}');
SELECT output, request FROM rg_asked('{"max_tokens": null, "n": 3, "stop": "\u000a\"\\"}');
SELECT output, request FROM rg_asked('{"n": 2, "best_of": 4, "max_tokens": 10}');
SELECT stream, asked, request FROM rg_asked('{"stream": true}');
SELECT stream, asked, request FROM rg_asked('{"stream": true, "stream_options": {"include_usage": true, "other": 1}}');
SELECT stream, asked, request FROM rg_asked('{"stream": false, "stream_options": null}');
SELECT stream, request FROM rg_asked('{"stream": true}', '/c/reply');
SELECT stream, request FROM rg_asked('{"stream": false}', '/c/events');
-- one user is one name there, and two are two
SELECT relay_guard.upstream_secret_set('p-signed') ~ '^whsec_' AS shown;
SELECT relay_guard.issue_token('alice', 'w1', 'user') AS alice \gset
SELECT relay_guard.issue_token('bob', 'w1', 'user') AS bob \gset
CREATE FUNCTION rg_user(token text) RETURNS text LANGUAGE sql AS
$$ SELECT (stream ->> 'body')::jsonb ->> 'user' FROM rg_ask('{"messages": [{"role": "user", "content": "Hi"}]}', token => token) $$;
SELECT rg_user(:'alice') = rg_user(:'alice') AS same, rg_user(:'alice') = rg_user(:'bob') AS other, rg_user(NULL) ~ '^[0-9a-f]{32}$' AS anonymous;

-- the estimate: a third of the bytes, 4 a message, and what media are taken for
SELECT b AS messages, (SELECT tokens FROM rg_asked(jsonb_build_object('messages', b))) FROM unnest(ARRAY[
    '[{"role": "u", "content": ""}]', '[{"role": "u", "content": "ab"}]', '[{"role": "u", "content": "abc"}]', '[{"role": "u", "content": "日本"}]',
    '[{"role": "u", "content": "ab"}, {"role": "v", "content": null, "name": "x"}]',
    '[{"role": "u", "content": [{"type": "text", "text": "ab"}]}]',
    '[{"role": "u", "content": [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]}]',
    '[{"role": "u", "content": [{"type": "file", "file": {"file_data": "0123456789012345678901234567890123456789012345678901234567890123"}}, {"type": "input_audio"}]}]',
    '[{"role": "u", "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{}"}}]}]']::jsonb[]) b;
SELECT tokens FROM rg_asked('{"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]}');
SELECT tokens FROM rg_asked('{"functions": [1, 2], "response_format": {"type": "text"}}');
-- what images and files hide is reserved as well, as far as the model takes so much
SELECT stream ->> 'input_tokens' AS estimated FROM unnest(ARRAY['{"type": "image_url", "image_url": {"url": "https://a", "detail": "low"}}',
    '{"type": "image_url", "image_url": {"url": "https://a"}}', '{"type": "file", "file": {"file_id": "file-1"}}']::jsonb[]) p,
    rg_ask(jsonb_build_object('messages', jsonb_build_array(jsonb_build_object('role', 'u', 'content', jsonb_build_array(p)))));
SELECT input_tokens AS reserved FROM (SELECT id, input_tokens FROM relay_guard.usage_ledger WHERE kind = 'reserve' ORDER BY id DESC LIMIT 3) l ORDER BY id;

-- where no model is named, the one whose output costs least of those that chat
SELECT stream ->> 'model' AS model FROM rg_ask('{"messages": [{"role": "user", "content": "Hi"}]}');
UPDATE relay_guard.model SET enabled = false WHERE name = 'c-own';
SELECT stream ->> 'model' AS model FROM rg_ask('{"model": null, "messages": [{"role": "user", "content": "Hi"}]}', token => :'alice');
UPDATE relay_guard.model SET enabled = true WHERE name = 'c-own';
SELECT name, provider FROM relay_guard.completion_models();

-- what is refused; nothing is reserved then
SELECT count(*) AS reservations FROM relay_guard.usage_ledger WHERE kind = 'reserve' \gset
CREATE FUNCTION rg_refused(body jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    code text; hint text;
BEGIN
    PERFORM rg_ask(body);
    RETURN 'taken';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(' | ', sqlstate, code, sqlerrm, hint);
END $$;
SELECT rg_refused('{"model": "c-large", "messages": [{"role": "user", "content": "Hi"}]}' || b) AS refused FROM unnest(ARRAY[
    '{"model": "nothing"}', '{"model": "c-off"}', '{"model": "c-embed"}', '{"model": "c-nowhere"}', '{"model": ""}', '{"model": 7}',
    '{"messages": []}', '{"messages": "Hi"}', '{"messages": [{"role": "user"}, "Hi"]}', '{"messages": [{"content": "Hi"}]}',
    '{"max_tokens": 0}', '{"max_completion_tokens": 1.5}', '{"max_tokens": "7"}', '{"n": 0}', '{"n": 129}', '{"best_of": -1}',
    '{"stream": "yes"}', '{"stream_options": [1]}']::jsonb[]) b;
SELECT rg_refused(jsonb_build_object('model', 'c-large', 'messages', jsonb_build_array(jsonb_build_object('role', 'user', 'content', repeat('x', 300000))))) AS refused;
SELECT status, answer ->> 'code' AS code FROM rg_ask('{"missing": true}');
SELECT count(*) = :reservations AS same FROM relay_guard.usage_ledger WHERE kind = 'reserve';
BEGIN READ ONLY;
SELECT rg_ask('{"messages": [{"role": "user", "content": "Hi"}]}');
ROLLBACK;

-- an upstream that checks signatures gets one, of what it is sent
SELECT stream ->> 'target' AS target, stream ->> 'max_response' AS max_response, name.value AS header,
       CASE name.value WHEN 'x-relay-body-sha256' THEN (stream -> 'headers' ->> name.n::int = encode(sha256(convert_to(stream ->> 'body', 'UTF8')), 'hex'))::text END AS is_of_body
FROM rg_ask('{"model": "c-own", "messages": [{"role": "user", "content": "Hi"}]}', token => :'alice'), jsonb_array_elements_text(stream -> 'headers') WITH ORDINALITY name(value, n)
WHERE name.n % 2 = 1;

-- the reservation is of whoever asked, and ended by the gateway as that
SELECT stream ->> 'reservation' AS id FROM rg_ask('{"model": "c-large", "max_tokens": 100, "messages": [{"role": "user", "content": "Hi"}]}', token => :'alice') \gset
SELECT relay_guard.completion_extend(:'id', '1 hour');
SELECT relay_guard.completion_settle(:'id', 10, 20), relay_guard.completion_settle(:'id', 99, 99), relay_guard.completion_release(:'id'), relay_guard.completion_extend(:'id', '1 hour');
SELECT kind, user_id, workspace_id, request_id, model, input_tokens, output_tokens, reserved, spent, lease_until > recorded_at + '65 s' AS leased
FROM relay_guard.usage_ledger WHERE reservation = :'id' ORDER BY id;
SELECT stream ->> 'reservation' AS id FROM rg_ask('{"model": "c-large", "messages": [{"role": "user", "content": "Hi"}]}') \gset
SELECT relay_guard.completion_release(:'id'), relay_guard.completion_settle(:'id', 1, 1);
SELECT kind, user_id, request_id, spent FROM relay_guard.usage_ledger WHERE reservation = :'id' ORDER BY id;
-- nonsense of a provider settles as well
SELECT stream ->> 'reservation' AS id FROM rg_ask('{"model": "c-cheap", "messages": [{"role": "user", "content": "Hi"}]}') \gset
SELECT relay_guard.completion_settle(:'id', 0, 9223372036854775807);
SELECT spent FROM relay_guard.usage_ledger WHERE reservation = :'id' AND kind = 'settle';
SELECT relay_guard.completion_settle(:'id', -1, 0);
SELECT relay_guard.completion_settle(gen_random_uuid(), 1, 1);
-- where a budget has nothing left, a lease can be extended all the same
SELECT stream ->> 'reservation' AS id FROM rg_ask('{"model": "c-own", "messages": [{"role": "user", "content": "Hi"}]}', token => :'bob') \gset
UPDATE relay_guard.budget_policy SET hard = 0 WHERE name = 'c_user';
SELECT relay_guard.completion_extend(:'id', '1 hour');
SELECT rg_refused('{"messages": [{"role": "user", "content": "Hi"}]}') ~ '^RG429 \| insufficient_quota \| the budget c_user has no room for this until 20' AS refused;
UPDATE relay_guard.budget_policy SET hard = 1000000000 WHERE name = 'c_user';
-- how long a reservation lasts
SET relay_guard.completion_grace = '1 s';
SELECT stream ->> 'lease_ms' AS lease_ms FROM rg_ask('{"messages": [{"role": "user", "content": "Hi"}]}');
RESET relay_guard.completion_grace;

-- events: a stream of the reservation's name, which nobody else finds
SELECT stream ->> 'reservation' AS id, stream #>> '{events,number}' AS number, stream #>> '{events,token}' AS token
FROM rg_ask('{"messages": [{"role": "user", "content": "Hi"}]}', '/c/events', :'alice') \gset
SELECT name = 'completion/' || :'id' AS named, permanent, ended_at IS NULL AS goes_on FROM relay_guard.event_stream WHERE number = :number;
SELECT relay_guard.completion_events(:number, :'token', '{a,1,b,2}', false) AS last;
SELECT relay_guard.completion_events(:number, :'token', '{b,2,c,3}', false, 0) AS last;
SELECT relay_guard.completion_events(:number, :'token', '{b,2,c,3}', false, 0) AS last;
SELECT relay_guard.completion_events(:number, :'token', '{d,4}', false, 7) AS last;
SELECT relay_guard.completion_events(:number, gen_random_uuid(), '{d,4}', false) AS last;
SELECT relay_guard.completion_events(:number, :'token', '{d,4}', true, 2) AS last;
SELECT relay_guard.completion_events(:number, :'token', '{d,4}', true, 2) AS last;
SELECT relay_guard.completion_events(:number, :'token', '{e,5}', true, 3) AS last;
SELECT first_id, last_id, ended, id, event, data FROM relay_guard.event_read(:number, :'token', -1, 10);
INSERT INTO relay_guard.route (method, path, query, auth, result, parameters, run_as)
VALUES ('GET', '/c/events/{id}', 'SELECT relay_guard.completion_stream(request.id) AS stream, -1 AS after', 'user', 'stream',
        '[{"name": "id", "in": "path", "required": true, "schema": {"type": "string", "format": "uuid"}}]', 'rg_app');
SELECT status, stream - 'token' - 'number' AS stream FROM relay_guard.serve('GET', '/c/events/' || :'id', headers => ARRAY['authorization', 'Bearer ' || :'alice']);
SELECT status, stream FROM relay_guard.serve('GET', '/c/events/' || :'id', headers => ARRAY['authorization', 'Bearer ' || :'bob']);
SELECT status, stream FROM relay_guard.serve('GET', '/c/events/' || gen_random_uuid(), headers => ARRAY['authorization', 'Bearer ' || :'alice']);
-- one that is broken off ends, once
SELECT stream ->> 'reservation' AS id, stream #>> '{events,number}' AS number, stream #>> '{events,token}' AS token
FROM rg_ask('{"messages": [{"role": "user", "content": "Hi"}]}', '/c/events', :'alice') \gset
SELECT relay_guard.completion_events(:number, :'token', '{a,1}', false) AS last;
SELECT relay_guard.completion_abandon(:'id');
SELECT relay_guard.completion_abandon(:'id');
SELECT last_id, ended, id, event, data FROM relay_guard.event_read(:number, :'token', -1, 10);
SELECT event_open AS other FROM relay_guard.event_open('other');
SELECT relay_guard.completion_events(number, token, '{a,1}', false) FROM relay_guard.event_stream WHERE name = 'other';

-- /openapi.json
SELECT m.key AS method, p.key AS path, jsonb_path_query_array(m.value, '$.responses."200".content.keyvalue().key') AS content
FROM jsonb_each(relay_guard.openapi()::jsonb -> 'paths') p, jsonb_each(p.value) m WHERE p.key LIKE '/c/%' ORDER BY 2;

-- a key is not what requests are signed with: it goes when that changes
UPDATE relay_guard.upstream SET auth = 'signature' WHERE name = 'p-bearer';
SELECT name FROM relay_guard.webhook_secret ORDER BY 1;
DELETE FROM relay_guard.route;
DELETE FROM relay_guard.upstream;
DELETE FROM relay_guard.budget_policy WHERE name = 'c_user';
DELETE FROM relay_guard.model;
DELETE FROM relay_guard.event_stream;
DELETE FROM relay_guard.event;
DROP FUNCTION rg_stores, rg_ask, rg_frame, rg_asked, rg_user, rg_refused;
DROP OWNED BY rg_app;
DROP ROLE rg_app;
