-- Webhooks on their way: what is written, what is handed out, and what becomes of it.
\set VERBOSITY terse
\set secret 'whsec_q1HPm3uaNAP0svHB9VhOYfCXFrsyK2N7JUQbbDDWLGY='
\set text_secret 'f3b9ac70e1d24685b7c04fa1829d36e5'
CREATE VIEW rg_deliveries AS
SELECT h.endpoint, h.type, h.state, h.attempts, h.last_status, h.last_error FROM relay_guard.webhook_history h ORDER BY h.delivery;
-- hands out, and says what; the number stays for later
CREATE TABLE rg_claimed (n int GENERATED ALWAYS AS IDENTITY, delivery bigint, attempt int, url text, headers text[], body bytea, timeout_ms int);
CREATE FUNCTION rg_claim(most int DEFAULT 100, lease interval DEFAULT '2 minutes', OUT url text, OUT type text, OUT attempt int, OUT timeout_ms int) RETURNS SETOF record LANGUAGE sql AS $$
    WITH kept AS (INSERT INTO rg_claimed (delivery, attempt, url, headers, body, timeout_ms) SELECT * FROM relay_guard.webhook_claim(most, lease) RETURNING *)
    SELECT url, convert_from(body, 'UTF8')::jsonb ->> 'type', attempt, timeout_ms FROM kept ORDER BY n $$;
CREATE FUNCTION rg_done(status int, error text DEFAULT NULL, retry_after int DEFAULT NULL) RETURNS text LANGUAGE sql AS
$$ SELECT relay_guard.webhook_done(delivery, attempt, status, error, retry_after) FROM rg_claimed ORDER BY n DESC LIMIT 1 $$;
CREATE FUNCTION rg_header(name text, c rg_claimed) RETURNS text LANGUAGE sql AS
$$ SELECT c.headers[2 * i] FROM generate_series(1, cardinality(c.headers) / 2) i WHERE c.headers[2 * i - 1] = name $$;
CREATE FUNCTION rg_due() RETURNS void LANGUAGE sql AS
$$ UPDATE relay_guard.webhook_delivery SET next_at = now() - interval '1 s', leased_until = least(leased_until, now() - interval '1 s') WHERE state = 'pending' $$;
CREATE FUNCTION rg_try(command text) RETURNS text LANGUAGE plpgsql AS
$$ BEGIN EXECUTE command; RETURN 'taken'; EXCEPTION WHEN OTHERS THEN RETURN SQLSTATE; END $$;

-- where webhooks may go: nothing but http, nobody's password, nothing that means something else to another parser
SELECT u AS url, rg_try(format('INSERT INTO relay_guard.webhook_endpoint (name, url) VALUES (''try%s'', %L)', n, u))
FROM unnest('{https://a.example,http://127.0.0.1:3000/hook,https://a.example/T0/B0?token=x&y=%20,"https://[2001:db8::1]:8443/x",https://a.example?x,
    ftp://a,file:///etc/passwd,//a,https://,https://u:p@a/,https://u@a,"https://a b/","https://a/ b",https://a\\b,https://a/#x,HTTPS://a,https://a:0/,https://a:x/,"https://a/\r\nx: y",gopher://a}'::text[]) WITH ORDINALITY AS t (u, n);
SELECT t AS types, rg_try(format('UPDATE relay_guard.webhook_endpoint SET types = %L WHERE name = ''try1''', t))
FROM unnest(ARRAY['{}', '{order.paid,order}', '{order paid}', '{"a,b"}', '{NULL}', '{""}', '{a.}', '{a*}']) t;
SELECT t AS timeout, rg_try(format('UPDATE relay_guard.webhook_endpoint SET timeout = %L WHERE name = ''try1''', t)) FROM unnest('{1 s,60 s,0.9 s,61 s,-1 s}'::text[]) t;
SELECT rg_try($$INSERT INTO relay_guard.webhook_endpoint (name, url) VALUES ('Up', 'https://a')$$), rg_try($$INSERT INTO relay_guard.webhook_endpoint (name, url) VALUES ('try1', 'https://a')$$),
       rg_try($$UPDATE relay_guard.webhook_endpoint SET disabled_reason = 'x' WHERE name = 'try1'$$);
DELETE FROM relay_guard.webhook_endpoint;

-- nobody listens: nothing is kept
SELECT relay_guard.webhook_send('order.paid', '{}') IS NULL AS nobody, (SELECT count(*) FROM relay_guard.webhook_message) AS kept;
-- but what is wrong is wrong all the same
SELECT relay_guard.webhook_send('order paid', '{}');
SELECT relay_guard.webhook_send('', '{}');
SELECT relay_guard.webhook_send(NULL, '{}');
SELECT relay_guard.webhook_send('order.paid', NULL);

-- who gets what: by type and by workspace; a message of no workspace goes to nobody's in particular
INSERT INTO relay_guard.webhook_endpoint (name, url, types, workspace, timeout) VALUES
    ('all', 'https://all.example/', '{}', NULL, '15 s'), ('orders', 'https://orders.example/', '{order.paid,order.sent}', NULL, '1.5 s'),
    ('acme', 'https://acme.example/', '{}', 'acme', '60 s'), ('globex', 'https://globex.example/', '{order.paid}', 'globex', '5 s');
SELECT count(relay_guard.webhook_endpoint_secret_set(name, :'secret')) AS shown FROM relay_guard.webhook_endpoint;
SELECT relay_guard.webhook_send('order.paid', '{"n": 1}', 'acme') ~ '^msg_[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$' AS id;
SELECT relay_guard.webhook_send('order.lost', '{"n": 2}', 'globex') IS NOT NULL AS sent;
SELECT relay_guard.webhook_send('order.paid', '{"n": 3}') IS NOT NULL AS sent;
SELECT * FROM rg_deliveries;

-- handed out once, first what waited longest, to each as much as makes eight
SELECT * FROM rg_claim(1);
SELECT url, type FROM rg_claim(100) ORDER BY url, type;
SELECT * FROM rg_claim();
SELECT DISTINCT state, attempts, next_at = leased_until AS leased, leased_until - now() BETWEEN '1 min 50 s' AND '2 min 10 s' AS two_minutes FROM relay_guard.webhook_delivery;

-- the request to make: bytes as they are kept, and headers that any receiver of either form verifies
SELECT convert_from(body, 'UTF8') ~ '^{"type":"order.paid","timestamp":"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z","data":{"n": 1}}$' AS standard
FROM rg_claimed ORDER BY n LIMIT 1;
SELECT relay_guard.webhook_secret_set('receiver', :'secret');
SELECT bool_and(relay_guard.webhook_verify('receiver', rg_header('webhook-id', c), rg_header('webhook-timestamp', c), rg_header('webhook-signature', c), c.body)) AS standard,
       bool_and(relay_guard.webhook_verify_body('receiver', rg_header('x-signature', c), c.body)) AS body_alone,
       bool_and(rg_header('webhook-id', c) = m.public_id) AS id,
       array_agg(DISTINCT c.headers[1:4]) AS others, bool_or(rg_header('x-request-id', c) IS NOT NULL) AS request
FROM rg_claimed c JOIN relay_guard.webhook_delivery d ON d.id = delivery JOIN relay_guard.webhook_message m ON m.id = d.message;
-- another endpoint's, another body's, another message's: refused
SELECT relay_guard.webhook_verify('receiver', rg_header('webhook-id', c), rg_header('webhook-timestamp', c), rg_header('webhook-signature', c), body || ' ') AS changed,
       relay_guard.webhook_verify('receiver', 'msg_x', rg_header('webhook-timestamp', c), rg_header('webhook-signature', c), body) AS other
FROM rg_claimed c LIMIT 1;

-- how it went: once, and only by the attempt that is the present one
SELECT rg_done(200), rg_done(200), rg_done(500);
SELECT relay_guard.webhook_done(delivery, 2, 200), relay_guard.webhook_done(delivery, 0, 200), relay_guard.webhook_done(-1, 1, 200), relay_guard.webhook_done(NULL, NULL, 200) FROM rg_claimed LIMIT 1;
SELECT state, count(*) FROM relay_guard.webhook_delivery GROUP BY 1 ORDER BY 1;
SELECT status, relay_guard.webhook_done(delivery, attempt, status, 'e') FROM rg_claimed JOIN (VALUES (1, 204), (2, 301), (3, 404), (4, 500), (5, NULL)) v (i, status) ON i = n ORDER BY n;
SELECT * FROM rg_deliveries;
SELECT relay_guard.webhook_done(delivery, attempt, 0, repeat('x', 3000)) FROM rg_claimed WHERE n = 6;
TRUNCATE relay_guard.webhook_message CASCADE;

-- pain better-auth#8844: retries reuse the first timestamp. Id and body stay, timestamp and signatures are the attempt's
SELECT relay_guard.webhook_send('order.paid', '{}', 'globex') IS NOT NULL AS sent;
DELETE FROM relay_guard.webhook_endpoint WHERE name <> 'globex';
TRUNCATE rg_claimed RESTART IDENTITY;
SELECT * FROM rg_claim();
SELECT rg_done(503), pg_sleep(1.1);
SELECT rg_due();
SELECT * FROM rg_claim();
SELECT rg_header('webhook-id', a) = rg_header('webhook-id', b) AS same_id, a.body = b.body AS same_body,
       rg_header('webhook-timestamp', b)::int > rg_header('webhook-timestamp', a)::int AS fresh_timestamp,
       rg_header('webhook-signature', b) <> rg_header('webhook-signature', a) AS fresh_signature
FROM rg_claimed a, rg_claimed b WHERE a.n = 1 AND b.n = 2;

-- the schedule: each later by up to a tenth, and after the tenth attempt it is given up
CREATE FUNCTION rg_rounds(OUT attempt int, OUT outcome text, OUT wait interval, OUT within boolean) RETURNS SETOF record LANGUAGE plpgsql AS $$
DECLARE
    delays CONSTANT interval[] := '{5 s,5 min,30 min,2 h,5 h,10 h,14 h,20 h,24 h}';
    exact interval;
BEGIN
    LOOP
        PERFORM rg_due();
        SELECT c.attempt INTO attempt FROM rg_claim() c;
        EXIT WHEN attempt IS NULL;
        outcome := rg_done(500);
        SELECT next_at - clock_timestamp() INTO exact FROM relay_guard.webhook_delivery;
        wait := delays[attempt];
        within := exact BETWEEN wait - interval '1 s' AND wait * 1.1 + interval '1 s';
        RETURN NEXT;
    END LOOP;
END $$;
UPDATE relay_guard.webhook_delivery SET attempts = 0;
SELECT * FROM rg_rounds();
SELECT * FROM rg_deliveries;
-- by hand all over again, under the same id; an answer to what came before is of no account
SELECT relay_guard.webhook_replay(delivery) AS again, relay_guard.webhook_replay(-1) AS unknown FROM rg_claimed LIMIT 1;
SELECT relay_guard.webhook_done(delivery, 10, 200) FROM rg_claimed LIMIT 1;
SELECT * FROM rg_claim();
SELECT relay_guard.webhook_replay(delivery) AS under_way FROM rg_claimed LIMIT 1;
SELECT rg_done(500);
SELECT next_at - clock_timestamp() < '6 s' AS soon FROM relay_guard.webhook_delivery;
SELECT attempts, attempts_before, rg_header('webhook-id', c) = (SELECT public_id FROM relay_guard.webhook_message) AS same_id
FROM relay_guard.webhook_delivery, rg_claimed c ORDER BY n DESC LIMIT 1;
-- and what is delivered, too
SELECT rg_due();
SELECT * FROM rg_claim();
SELECT rg_done(200);
SELECT relay_guard.webhook_replay_failed('globex', '-infinity') AS failed, relay_guard.webhook_replay(delivery) AS delivered FROM rg_claimed LIMIT 1;
SELECT * FROM rg_claim();

-- Retry-After: never sooner than the schedule, and a day at most
CREATE FUNCTION rg_waits(retry_after int) RETURNS interval LANGUAGE sql AS $$
    UPDATE relay_guard.webhook_delivery SET attempts = 1, attempts_before = 0, leased_until = now() + '1 min', state = 'pending', next_at = now() + '1 min', finished_at = NULL;
    SELECT relay_guard.webhook_done(id, 1, 429, NULL, retry_after) FROM relay_guard.webhook_delivery;
    SELECT date_trunc('second', next_at - now()) FROM relay_guard.webhook_delivery $$;
SELECT rg_waits(NULL) BETWEEN '4 s' AND '6 s' AS none, rg_waits(3) BETWEEN '4 s' AND '6 s' AS sooner, rg_waits(100) BETWEEN '99 s' AND '101 s' AS later,
       rg_waits(2000000000) BETWEEN '23:59:58' AND '24:00:02' AS for_ever, rg_waits(-5) BETWEEN '4 s' AND '6 s' AS before, rg_waits(-2147483648) BETWEEN '4 s' AND '6 s' AS long_before;

-- 410: nothing more is written for it or sent to it until somebody enables it again
SELECT rg_due();
SELECT relay_guard.webhook_send('order.paid', '{"n": 2}', 'globex') IS NOT NULL AS sent;
SELECT count(*) FROM rg_claim(1);
SELECT rg_done(410, 'gone');
SELECT relay_guard.webhook_send('order.paid', '{"n": 3}', 'globex') IS NOT NULL AS sent;
SELECT count(*) FROM rg_claim();
SELECT endpoint, pending, under_way, failed, oldest_pending < '1 min' AS young, disabled_at IS NOT NULL AS disabled, disabled_reason FROM relay_guard.webhook_status();
SELECT name, value FROM relay_guard.webhook_metrics() WHERE name LIKE 'relay%';
SELECT relay_guard.webhook_enable('globex'), relay_guard.webhook_enable('globex'), relay_guard.webhook_enable('nobody');
SELECT name, value > 0 AS waits FROM relay_guard.webhook_metrics() WHERE name LIKE 'relay%';
SELECT count(*) FROM rg_claim();
SELECT relay_guard.webhook_replay_failed('globex', now() + '1 day') AS newer, relay_guard.webhook_replay_failed('nobody', '-infinity') AS elsewhere, relay_guard.webhook_replay_failed('globex', '-infinity') AS all;
SELECT count(*) FROM rg_claim();

-- a lease that is lost is handed out anew, as another attempt; after the tenth it is given up
TRUNCATE relay_guard.webhook_message CASCADE;
SELECT relay_guard.webhook_send('order.paid', '{}', 'globex') IS NOT NULL AS sent;
SELECT attempt FROM rg_claim();
SELECT rg_due();
SELECT attempt FROM rg_claim();
SELECT relay_guard.webhook_done(delivery, 1, 200) AS late FROM rg_claimed ORDER BY n DESC LIMIT 1;
-- but who is late and not replaced yet is believed
SELECT rg_due();
SELECT rg_done(200);
UPDATE relay_guard.webhook_delivery SET state = 'pending', next_at = now() - interval '1 s', leased_until = now() - interval '1 s', attempts = 10, finished_at = NULL;
SELECT attempt FROM rg_claim();
SELECT * FROM rg_deliveries;
-- what gateways lose again and again is not given up within the hour: it waits as what was refused does
UPDATE relay_guard.webhook_delivery SET state = 'pending', next_at = now(), leased_until = NULL, attempts = 0, attempts_before = 0, finished_at = NULL;
CREATE FUNCTION rg_lost(OUT attempt int, OUT leased boolean, OUT wait interval, OUT within boolean) RETURNS SETOF record LANGUAGE plpgsql AS $$
DECLARE
    delays CONSTANT interval[] := '{2 min,5 min,30 min,2 h,5 h,10 h,14 h,20 h,24 h,2 min}';
    left_over interval;
BEGIN
    LOOP
        PERFORM rg_due();
        SELECT c.attempt INTO attempt FROM rg_claim() c;
        EXIT WHEN attempt IS NULL;
        wait := delays[attempt];
        SELECT d.leased_until - clock_timestamp() BETWEEN '110 s' AND '120 s', d.next_at - clock_timestamp() INTO leased, left_over FROM relay_guard.webhook_delivery d;
        within := left_over BETWEEN wait - interval '10 s' AND wait * 1.1;
        RETURN NEXT;
    END LOOP;
END $$;
SELECT * FROM rg_lost();
SELECT * FROM rg_deliveries;
-- no lease is shorter than the endpoint's timeout, and none is for ever
SELECT relay_guard.webhook_replay(id) FROM relay_guard.webhook_delivery;
SELECT attempt FROM rg_claim(1, '1 s');
SELECT leased_until - now() > '4 s' AS of_the_timeout FROM relay_guard.webhook_delivery;
SELECT * FROM rg_claim(1, '2 h');
SELECT * FROM rg_claim(1, '0');
SELECT * FROM rg_claim(-1);
SELECT * FROM rg_claim(0);
SELECT * FROM rg_claim(NULL);

-- eight at once for an endpoint, and the backlog of one keeps nobody waiting
DELETE FROM relay_guard.webhook_endpoint;
INSERT INTO relay_guard.webhook_endpoint (name, url) VALUES ('busy', 'https://busy.example/'), ('mute', 'https://mute.example/');
SELECT count(relay_guard.webhook_endpoint_secret_set(name, :'secret')) AS shown FROM relay_guard.webhook_endpoint WHERE name = 'busy';
SELECT count(relay_guard.webhook_send('a', '{}')) FROM generate_series(1, 20);
INSERT INTO relay_guard.webhook_endpoint (name, url) VALUES ('late', 'https://late.example/');
SELECT relay_guard.webhook_endpoint_secret_set('late', :'text_secret');
SELECT count(relay_guard.webhook_send('b', '{}')) FROM generate_series(1, 3);
SELECT url, type FROM rg_claim(6);
SELECT url, count(*) FROM rg_claim(100) GROUP BY 1 ORDER BY 1;
SELECT count(*) FROM rg_claim();
SELECT rg_done(200);
SELECT count(*) FROM rg_claim();
-- without a secret nothing is sent: what was to be next says why, and waits without an attempt
SELECT state, attempts, last_error, count(*) FROM relay_guard.webhook_history WHERE endpoint = 'mute' GROUP BY 1, 2, 3 ORDER BY 4;
SELECT relay_guard.webhook_endpoint_secret_set('mute') ~ '^whsec_' AS made;
SELECT rg_due();
SELECT url, count(*) FROM rg_claim(100) GROUP BY 1 ORDER BY 1;
-- a secret that is no whsec_ is for the form without an id alone
SELECT DISTINCT rg_header('webhook-signature', c) IS NULL AS no_standard, rg_header('x-signature', c) ~ '^sha256=' AS body_alone FROM rg_claimed c WHERE url LIKE '%late%';

-- endpoints without a secret whose backlogs are older do not keep the others from those that ask for little
INSERT INTO relay_guard.webhook_endpoint (name, url) SELECT 'bare' || n, 'https://bare.example/' FROM generate_series(1, 5) n;
SELECT count(relay_guard.webhook_send('c', '{}')) FROM generate_series(1, 3);
UPDATE relay_guard.webhook_delivery SET next_at = CASE WHEN endpoint IN (SELECT id FROM relay_guard.webhook_endpoint WHERE name LIKE 'bare%') THEN now() - interval '1 h' ELSE now() + interval '1 h' END,
    leased_until = NULL WHERE state = 'pending';
UPDATE relay_guard.webhook_delivery SET next_at = now() WHERE id = (SELECT max(delivery) FROM relay_guard.webhook_history WHERE endpoint = 'late');
SELECT url FROM rg_claim(1);
DELETE FROM relay_guard.webhook_endpoint WHERE name LIKE 'bare%';

-- however much waits, no claim reads it all, whatever is known of it
CREATE FUNCTION rg_read() RETURNS bigint LANGUAGE sql AS
$$ SELECT sum(pg_stat_get_xact_tuples_returned(c))::bigint FROM unnest(ARRAY['relay_guard.webhook_delivery'::regclass, 'relay_guard.webhook_delivery_due'::regclass]) c $$;
BEGIN;
DELETE FROM relay_guard.webhook_message;
INSERT INTO relay_guard.webhook_message (public_id, type, body) SELECT 'msg_' || gen_random_uuid(), 'a', '{}' FROM generate_series(1, 5000);
INSERT INTO relay_guard.webhook_delivery (message, endpoint) SELECT m.id, e.id FROM relay_guard.webhook_message m, relay_guard.webhook_endpoint e WHERE e.name = 'busy';
ANALYZE relay_guard.webhook_delivery, relay_guard.webhook_endpoint;
SELECT rg_read() AS before \gset
SELECT count(*) FROM rg_claim(4);
SELECT count(*) FROM rg_claim(16);
SELECT rg_read() - :before BETWEEN 1 AND 200 AS few_read;
ROLLBACK;

-- what one endpoint's secret signed is nothing to another
TRUNCATE rg_claimed RESTART IDENTITY; TRUNCATE relay_guard.webhook_message CASCADE;
DELETE FROM relay_guard.webhook_endpoint WHERE name = 'late';
SELECT relay_guard.webhook_send('a', '{}') IS NOT NULL AS sent;
SELECT url FROM rg_claim() ORDER BY 1;
SELECT url, relay_guard.webhook_verify('receiver', rg_header('webhook-id', c), rg_header('webhook-timestamp', c), rg_header('webhook-signature', c), body) FROM rg_claimed c ORDER BY 1;
-- both secrets sign while one replaces the other
SELECT relay_guard.webhook_endpoint_secret_set('busy') IS NOT NULL AS replaced;
SELECT rg_due();
SELECT url FROM rg_claim() ORDER BY 1;
SELECT cardinality(string_to_array(rg_header('webhook-signature', c), ' ')) AS signatures,
       relay_guard.webhook_verify('receiver', rg_header('webhook-id', c), rg_header('webhook-timestamp', c), rg_header('webhook-signature', c), body) AS by_the_former
FROM rg_claimed c WHERE url LIKE '%busy%' ORDER BY n DESC LIMIT 1;

-- whoever signs webhooks does not sign these, whatever he may call
SELECT relay_guard.webhook_sign('endpoint/busy', 'msg_1', 'x');
SELECT relay_guard.webhook_secret_set('endpoint/busy');
SELECT relay_guard.webhook_verify('endpoint/busy', 'msg_1', '1', 'v1,', 'x');
SELECT relay_guard.webhook_endpoint_secret_set('nobody');
SELECT relay_guard.webhook_endpoint_secret_set(NULL);
SELECT relay_guard.webhook_endpoint_secret_set('busy', 'short');
SELECT relay_guard.webhook_endpoint_secret_set('busy', keep_old => NULL);
-- secrets go with the endpoint, and with its name
SELECT name, count(*) FROM relay_guard.webhook_secret WHERE name LIKE 'endpoint/%' GROUP BY 1 ORDER BY 1;
UPDATE relay_guard.webhook_endpoint SET name = 'renamed' WHERE name = 'busy';
UPDATE relay_guard.webhook_endpoint SET name = 'mute', url = 'https://b.example/' WHERE name = 'mute';
SELECT name, count(*) FROM relay_guard.webhook_secret WHERE name LIKE 'endpoint/%' GROUP BY 1 ORDER BY 1;
DELETE FROM relay_guard.webhook_endpoint;
SELECT count(*) AS secrets, (SELECT count(*) FROM relay_guard.webhook_delivery) AS deliveries FROM relay_guard.webhook_secret WHERE name LIKE 'endpoint/%';

-- roles: an application sends if it is told that it may, and reaches nothing of it otherwise
CREATE ROLE rg_app; CREATE ROLE rg_gate;
SELECT relay_guard.grant_role('app', 'rg_app'), relay_guard.grant_role('gateway', 'rg_gate');
INSERT INTO relay_guard.webhook_endpoint (name, url) VALUES ('all', 'https://all.example/');
SELECT relay_guard.webhook_endpoint_secret_set('all', :'secret');
SET ROLE rg_app;
SELECT relay_guard.webhook_send('a', '{}');
SELECT FROM relay_guard.webhook_endpoint;
SELECT FROM relay_guard.webhook_message;
SELECT FROM relay_guard.webhook_history;
SELECT relay_guard.webhook_claim(1);
SELECT relay_guard.webhook_endpoint_sign('all', 'msg_1', 'x', NULL);
RESET ROLE;
GRANT EXECUTE ON FUNCTION relay_guard.webhook_send(text, jsonb, text) TO rg_app;
SET ROLE rg_app;
SELECT relay_guard.webhook_send('a', '{}') IS NOT NULL AS sent;
SET ROLE rg_gate;
SELECT count(*), min(relay_guard.webhook_done(delivery, attempt, 200)) FROM relay_guard.webhook_claim(1);
SELECT relay_guard.webhook_send('a', '{}');
SELECT FROM relay_guard.webhook_delivery;
SELECT relay_guard.webhook_replay(1);
RESET ROLE;

-- a route sends: its request is named, the gateway is told, and what it rolls back is not sent
INSERT INTO relay_guard.route (method, path, query, auth, result, run_as) VALUES
    ('POST', '/order', 'SELECT relay_guard.webhook_send(''order.paid'', ''{}'') IS NOT NULL AS sent', 'none', 'row', 'rg_app'),
    ('POST', '/silent', 'SELECT 1 AS sent', 'none', 'row', 'rg_app'),
    ('POST', '/broken', 'SELECT relay_guard.webhook_send(''order.paid'', ''{}'') IS NOT NULL AS sent, relay_guard.fail(409, ''no'', ''no'', ''no'')', 'none', 'row', 'rg_app');
TRUNCATE relay_guard.webhook_message CASCADE;
CREATE FUNCTION rg_request(path text) RETURNS bytea LANGUAGE sql AS $$
    SELECT convert_to('POST', 'UTF8') || '\x00' || convert_to(path, 'UTF8') || '\x0000' || decode(repeat('00', 16), 'hex') || convert_to('req-7', 'UTF8') || '\x00' || int4send(0) $$;
CREATE FUNCTION rg_told(path text) RETURNS boolean LANGUAGE sql AS $$ SELECT get_byte(reply, length(reply) - 1) & 16 > 0 FROM relay_guard.serve(rg_request(path)) reply $$;
SELECT rg_told('/order') AS order, rg_told('/silent') AS silent, rg_told('/order') AS again;
SELECT rg_try('SELECT rg_told(''/broken'')') AS broken;
SELECT type, request_id FROM relay_guard.webhook_history;
TRUNCATE rg_claimed;
SELECT count(*) FROM rg_claim();
SELECT DISTINCT rg_header('x-request-id', c) AS request FROM rg_claimed c;
-- outside of a request it is that of the identity
BEGIN;
SELECT relay_guard.assume('alice', request_id => 'req-8') IS NOT NULL AS assumed;
SELECT relay_guard.webhook_send('of.alice', '{}') IS NOT NULL AS sent;
COMMIT;
SELECT request_id FROM relay_guard.webhook_history WHERE type = 'of.alice';

-- an id that would be more than a header is none
BEGIN;
SELECT relay_guard.assume('alice', request_id => E'req\r\nx-forged: 1') IS NOT NULL AS assumed;
SELECT relay_guard.webhook_send('forged', '{}') IS NOT NULL AS sent;
COMMIT;
SELECT request_id IS NULL AS none FROM relay_guard.webhook_history WHERE type = 'forged';
-- as much as a gateway may have to hold for each that is under way
SELECT relay_guard.webhook_send('large', to_jsonb(repeat('x', 262144 - 65))) IS NOT NULL AS sent;
SELECT octet_length(body) FROM relay_guard.webhook_message WHERE type = 'large';
SELECT relay_guard.webhook_send('large', to_jsonb(repeat('x', 262144 - 64)));
SELECT relay_guard.webhook_send(repeat('x', 256), '{}');

-- what is over is deleted after thirty days; what waits is not, unless its endpoint is disabled
TRUNCATE relay_guard.webhook_message CASCADE;
SELECT count(relay_guard.webhook_send(t, '{}')) FROM unnest('{delivered,failed,waiting}'::text[]) t;
UPDATE relay_guard.webhook_delivery d SET state = m.type, next_at = NULL, finished_at = now() FROM relay_guard.webhook_message m WHERE m.id = d.message AND m.type <> 'waiting';
SELECT current_setting('relay_guard.webhook_keep_days') AS days, relay_guard.webhook_expire() AS young;
UPDATE relay_guard.webhook_message SET created_at = now() - interval '30 days 1 second';
SELECT relay_guard.webhook_expire(1) AS first, relay_guard.webhook_expire() AS others;
SELECT type FROM relay_guard.webhook_message;
UPDATE relay_guard.webhook_endpoint SET disabled_at = now();
SELECT relay_guard.webhook_expire() AS disabled, (SELECT count(*) FROM relay_guard.webhook_delivery) AS deliveries;

-- signatures that are not true are counted, whichever form they have
CREATE FUNCTION rg_failures() RETURNS float8 LANGUAGE sql AS $$ SELECT value FROM relay_guard.metrics() WHERE name = 'webhook_signature_failures_total' $$;
SELECT rg_failures() AS before \gset
SELECT relay_guard.webhook_verify('receiver', 'msg_1', '1', 'v1,', 'x'), relay_guard.webhook_verify_body('receiver', 'sha256=', 'x'), relay_guard.webhook_verify_slack('receiver', '1', 'v0=', 'x');
SELECT rg_failures() - :before AS refused;
SELECT relay_guard.webhook_verify_body('receiver', "x-signature", 'x') AS true FROM relay_guard.webhook_sign('receiver', 'msg_1', 'x');
SELECT relay_guard.webhook_verify_body('nobody', 'sha256=', 'x');
SELECT rg_failures() - :before AS refused;

DELETE FROM relay_guard.route;
DELETE FROM relay_guard.webhook_endpoint;
DELETE FROM relay_guard.webhook_message;
SELECT relay_guard.webhook_secret_drop('receiver');
DROP FUNCTION rg_claim, rg_done, rg_due, rg_try, rg_rounds, rg_waits, rg_request, rg_told, rg_failures;
DROP FUNCTION rg_header;
DROP TABLE rg_claimed;
DROP VIEW rg_deliveries;
DROP OWNED BY rg_app, rg_gate;
DROP ROLE rg_app, rg_gate;
