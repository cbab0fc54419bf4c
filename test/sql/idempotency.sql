-- Requests that name themselves: carried out once, answered the same.
\set VERBOSITY terse
\set SHOW_CONTEXT never
CREATE ROLE rg_app;
SELECT relay_guard.grant_role('app', 'rg_app');
CREATE TABLE rg_order (id int GENERATED ALWAYS AS IDENTITY, by text, item text, CONSTRAINT known CHECK (item <> 'none'));
CREATE TABLE rg_unique (n int UNIQUE DEFERRABLE INITIALLY DEFERRED);
INSERT INTO rg_unique VALUES (1);
GRANT SELECT, INSERT, UPDATE ON rg_order, rg_unique TO rg_app;
INSERT INTO relay_guard.quota_policy (name, scope, cap, "window") VALUES ('rg_two', 'user', 2, 'lifetime');
INSERT INTO relay_guard.route (method, path, query, auth, idempotency, quota, status, result, parameters, request_body, run_as) VALUES
('POST', '/orders', 'INSERT INTO public.rg_order (by, item) VALUES (relay_guard.user_id(), request.item) RETURNING id, item',
 'optional', 'optional', '{}', 201, 'row', '[]', '{"type":"object","properties":{"item":{"type":"string"}}}', 'rg_app'),
('POST', '/shops/{shop}/orders', 'INSERT INTO public.rg_order (by, item) VALUES (relay_guard.user_id(), request.shop) RETURNING id, item',
 'user', 'optional', '{}', 201, 'row', '[{"name":"shop","in":"path","required":true,"schema":{"type":"string"}}]', NULL, 'rg_app'),
('PUT', '/orders', 'INSERT INTO public.rg_order (by, item) VALUES (relay_guard.user_id(), request.item) RETURNING id, item',
 'user', 'required', '{}', 200, 'row', '[]', '{"type":"object","properties":{"item":{"type":"string"}}}', 'rg_app'),
('POST', '/counted', 'INSERT INTO public.rg_order (by) VALUES (relay_guard.user_id())', 'user', 'optional', '{rg_two}', 204, 'none', '[]', NULL, 'rg_app'),
('POST', '/deferred', 'INSERT INTO public.rg_unique VALUES (request.n) RETURNING n', 'user', 'optional', '{}', 200, 'row',
 '[{"name":"n","in":"query","schema":{"type":"integer"}}]', NULL, 'rg_app'),
('POST', '/nothing', 'SELECT 1 WHERE false', 'user', 'optional', '{}', 200, 'row', '[]', NULL, 'rg_app'),
('POST', '/nothing-but', 'WITH made AS (INSERT INTO public.rg_order (by) VALUES (''nothing-but'')) SELECT 1 WHERE false', 'user', 'optional', '{}', 200, 'row', '[]', NULL, 'rg_app'),
('POST', '/large', 'INSERT INTO public.rg_order (by) VALUES (''large'') RETURNING repeat(''x'', request.n::int)', 'user', 'optional', '{}', 200, 'value',
 '[{"name":"n","in":"query","schema":{"type":"integer"}}]', NULL, 'rg_app'),
('POST', '/ignored', 'INSERT INTO public.rg_order (by) VALUES (''ignored'') RETURNING id', 'user', 'none', '{}', 200, 'row', '[]', NULL, 'rg_app');
-- Reading twice is no harm
DO $$ BEGIN
	INSERT INTO relay_guard.route (method, path, query, idempotency, run_as) VALUES ('GET', '/orders', 'SELECT 1', 'optional', 'rg_app');
	RAISE 'it was taken';
EXCEPTION WHEN check_violation THEN
END $$;

CREATE FUNCTION rg_send(path text, key text, body text DEFAULT '{"item":"tea"}', who text DEFAULT 'alice', method text DEFAULT 'POST',
                        query text DEFAULT '', ip inet DEFAULT NULL, workspace text DEFAULT NULL, role text DEFAULT 'user')
RETURNS TABLE (status int, type text, replayed text, again text, answer text) LANGUAGE sql AS $$
	SELECT a.status, h ->> 'Content-Type', h ->> 'Idempotent-Replayed', h ->> 'Retry-After',
		CASE WHEN a.status < 400 THEN left(convert_from(a.body, 'UTF8'), 60) ELSE
			(SELECT concat_ws(' | ', b ->> 'code', b ->> 'detail', b ->> 'suggestion') FROM convert_from(a.body, 'UTF8') AS t, LATERAL (SELECT t::jsonb AS b) j) END
	FROM relay_guard.serve(method, path, query,
		CASE WHEN who IS NULL THEN '{}' ELSE ARRAY['authorization', 'Bearer ' || relay_guard.issue_token(who, workspace => workspace, role => role)] END
		|| CASE WHEN key IS NULL THEN '{}' ELSE ARRAY['idempotency-key', key] END || CASE WHEN body = '' THEN '{}' ELSE ARRAY['content-type', 'application/json'] END,
		body::bytea, ip) a
	CROSS JOIN LATERAL (SELECT jsonb_object_agg(a.headers[i], a.headers[i + 1]) AS h FROM generate_series(1, cardinality(a.headers), 2) i) AS headers
$$;

-- Once, and then its answer
SELECT * FROM rg_send('/orders', 'k1');
SELECT * FROM rg_send('/orders', 'k1');
SELECT * FROM rg_send('/orders', NULL);
SELECT * FROM rg_send('/orders', 'k2');
SELECT count(*) FROM rg_order;

-- The same key is another request elsewhere: a route, a method, a user, a workspace
SELECT * FROM rg_send('/orders', 'k1', method => 'PUT');
SELECT * FROM rg_send('/orders', 'k1', who => 'bob');
SELECT * FROM rg_send('/orders', 'k1', who => 'bob');
SELECT * FROM rg_send('/orders', 'k1', workspace => 'w1');
SELECT * FROM rg_send('/orders', 'k1', workspace => 'w2');
SELECT * FROM rg_send('/ignored', 'k1', '');
SELECT * FROM rg_send('/ignored', 'k1', '');

-- Another payload: the body, the query, a path of the same route, the role
SELECT * FROM rg_send('/orders', 'k1', '{"item":"salt"}');
SELECT status, answer FROM rg_send('/orders', 'k1', '{"item": "tea"}');
SELECT status, answer FROM rg_send('/orders', 'k1', role => 'admin');
SELECT * FROM rg_send('/shops/a/orders', 'k1', '');
SELECT * FROM rg_send('/shops/a/orders', 'k1', '');
SELECT status, answer FROM rg_send('/shops/b/orders', 'k1', '');
SELECT status, answer FROM rg_send('/shops/%61/orders', 'k1', '');
SELECT * FROM rg_send('/deferred', 'q', '', query => 'n=7');
SELECT status, answer FROM rg_send('/deferred', 'q', '', query => 'n=8');

-- Keys
SELECT * FROM rg_send('/orders', NULL, method => 'PUT');
SELECT k.what, s.status, s.answer FROM (VALUES (1, 'empty', ''), (2, '255', repeat('k', 255)), (3, '256', repeat('k', 256)), (4, 'space', 'a b'),
	(5, 'tab', E'a\tb'), (6, 'control', E'a\x7f'), (7, 'umlaut', 'schlüssel'), (8, 'quoted', '"8e03978e-40d5"')) AS k (n, what, key),
	LATERAL rg_send('/orders', k.key) s ORDER BY n;

-- Without credentials an address is who it is, and the key must be hard to meet
SELECT status, answer FROM rg_send('/orders', 'short', who => NULL, ip => '192.0.2.1');
SELECT status, replayed, answer FROM rg_send('/orders', 'sixteen-letters-', who => NULL, ip => '192.0.2.1');
SELECT status, replayed, answer FROM rg_send('/orders', 'sixteen-letters-', who => NULL, ip => '192.0.2.1');
SELECT status, replayed FROM rg_send('/orders', 'sixteen-letters-', who => NULL, ip => '192.0.2.2');
SELECT status, replayed FROM rg_send('/orders', 'sixteen-letters-', who => NULL);
SELECT status, replayed FROM rg_send('/orders', 'sixteen-letters-', who => NULL, ip => '2001:db8::1');
SELECT status, replayed FROM rg_send('/orders', 'sixteen-letters-', who => NULL, ip => '2001:db8::2');
SELECT status, replayed FROM rg_send('/orders', 'sixteen-letters-', who => '192.0.2.1');
SELECT principal, count(*) FROM relay_guard.idempotency_key WHERE principal LIKE '%:%' OR principal LIKE '%.%' OR principal = 'unknown' GROUP BY 1 ORDER BY 1;

-- A wrong value is found before; what fails is not kept, and leaves the key free
SELECT status FROM rg_send('/orders', 'v', '{"item":7}');
SELECT status FROM rg_send('/orders', 'v', '{"item":"none"}');
SELECT status, replayed FROM rg_send('/orders', 'v', '{"item":"some"}');
SELECT status FROM rg_send('/deferred', 'd', '', query => 'n=1');
SELECT status, replayed FROM rg_send('/deferred', 'd', '', query => 'n=2');
-- … and a refusal that changed nothing; one that did is kept
SELECT status, replayed FROM rg_send('/nothing', 'n', '');
SELECT status, replayed FROM rg_send('/nothing', 'n', '');
SELECT status, replayed FROM rg_send('/nothing-but', 'n', '');
SELECT status, type, replayed, answer FROM rg_send('/nothing-but', 'n', '');
SELECT count(*) FROM rg_order WHERE by = 'nothing-but';

-- What was asked again costs no quota; a refusal by quota is not kept
SELECT status, replayed FROM rg_send('/counted', 'c1', '');
SELECT status, replayed FROM rg_send('/counted', 'c1', ''), generate_series(1, 3);
SELECT status, replayed FROM rg_send('/counted', 'c2', '');
SELECT status, replayed FROM rg_send('/counted', 'c3', '');
SELECT status, replayed FROM rg_send('/counted', 'c1', '');
UPDATE relay_guard.quota_policy SET cap = 3 WHERE name = 'rg_two';
SELECT status, replayed FROM rg_send('/counted', 'c3', '');

-- The row is its transaction's: a savepoint that is rolled back frees the key
BEGIN;
SAVEPOINT s;
SELECT status, replayed FROM rg_send('/orders', 'save');
ROLLBACK TO s;
SELECT status, replayed FROM rg_send('/orders', 'save');
SELECT status, replayed FROM rg_send('/orders', 'save');
ROLLBACK;
SELECT status, replayed FROM rg_send('/orders', 'save');

-- A transaction that may only read carries nothing out, and still answers again
BEGIN READ ONLY;
SAVEPOINT s; SELECT status FROM rg_send('/orders', 'ro'); ROLLBACK TO s;
SELECT status, replayed FROM rg_send('/orders', 'save');
ROLLBACK;

-- Answers that are too large are not kept, but their requests are known
SELECT status, replayed, length(answer) FROM rg_send('/large', 'l1', '', query => 'n=262142');
SELECT status, replayed, length(answer) FROM rg_send('/large', 'l1', '', query => 'n=262142');
SELECT status, replayed FROM rg_send('/large', 'l2', '', query => 'n=262143');
SELECT * FROM rg_send('/large', 'l2', '', query => 'n=262143');
SELECT count(*) FROM rg_order WHERE by = 'large';

-- Answers are sealed, each for its own request
SELECT bool_and(sealed), count(*) FILTER (WHERE position('tea'::bytea IN answer) > 0) FROM relay_guard.idempotency_key;
UPDATE relay_guard.idempotency_key k SET answer = o.answer FROM relay_guard.idempotency_key o
WHERE k.principal = 'alice' AND o.principal = 'bob' AND k.route = '/orders' AND k.method = 'PUT';
SELECT status FROM rg_send('/orders', 'k1', method => 'PUT');

-- A day later: nobody is answered from it, and it is deleted
UPDATE relay_guard.idempotency_key SET created_at = created_at - interval '24 hours' WHERE principal = 'bob';
SELECT status, replayed FROM rg_send('/orders', 'k1', who => 'bob');
SELECT status, replayed FROM rg_send('/orders', 'k1', who => 'bob');
UPDATE relay_guard.idempotency_key SET created_at = created_at - interval '23 hours 59 min' WHERE principal = 'bob';
SELECT status, replayed FROM rg_send('/orders', 'k1', who => 'bob');
SELECT relay_guard.idempotency_expire();
UPDATE relay_guard.idempotency_key SET created_at = created_at - interval '25 hours' WHERE route = '/orders';
SELECT count(*) > 5 AS more FROM relay_guard.idempotency_key WHERE created_at < now() - interval '24 hours';
SELECT relay_guard.idempotency_expire(3), relay_guard.idempotency_expire(1000) > 2;
SELECT count(*) FROM relay_guard.idempotency_key WHERE created_at < now() - interval '24 hours';

-- Nobody reads the table
SELECT grantee, privilege_type FROM information_schema.table_privileges WHERE table_name = 'idempotency_key' AND grantee <> current_user;
DELETE FROM relay_guard.route WHERE run_as = 'rg_app'::regrole;
DROP TABLE rg_order, rg_unique;
DROP FUNCTION rg_send;
DELETE FROM relay_guard.idempotency_key;
DELETE FROM relay_guard.quota_policy WHERE name = 'rg_two';
DROP OWNED BY rg_app;
DROP ROLE rg_app;
