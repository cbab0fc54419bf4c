-- Quotas and budgets of routes, in transactions of SQL's own.
\set VERBOSITY terse
\set SHOW_CONTEXT never
-- No day and no month ends while this runs
SELECT FROM pg_sleep(CASE WHEN date_trunc('day', now() + interval '15 s', 'UTC') > now() THEN 16 ELSE 0 END);
CREATE ROLE rg_app;
SELECT relay_guard.grant_role('app', 'rg_app');
INSERT INTO relay_guard.quota_policy (name, scope, cap, "window") VALUES
	('ru_ever', 'user', 3, 'lifetime'), ('ru_month', 'user', 2, 'month'), ('ru_ip', 'ip', 2, 'lifetime'),
	('ru_gone', 'user', 1, 'month');
INSERT INTO relay_guard.budget_policy (name, scope, "window", warn, hard) VALUES
	('ru_poor', 'workspace', 'month', NULL, 0), ('ru_gone', 'user', 'month', NULL, 0);
INSERT INTO relay_guard.route (method, path, query, auth, quota, budget, parameters, result, run_as) VALUES
	('GET', '/ever', 'SELECT 1 / request.n', 'anonymous', '{ru_ever}', NULL, '[{"name":"n","in":"query","schema":{"type":"integer","default":1}}]', 'value', 'rg_app'),
	('GET', '/month', 'SELECT 1', 'anonymous', '{ru_month,ru_ever}', NULL, '[]', 'value', 'rg_app'),
	('GET', '/nobody', 'SELECT 1', 'none', '{ru_ever,ru_ip}', NULL, '[]', 'value', 'rg_app'),
	('GET', '/poor', 'SELECT 1', 'user', '{ru_ever}', 'ru_poor', '[]', 'value', 'rg_app'),
	('GET', '/all', 'SELECT 1', 'user', '{}', 'all', '[]', 'value', 'rg_app'),
	('GET', '/gone', 'SELECT 1', 'user', '{ru_gone}', NULL, '[]', 'value', 'rg_app'),
	('GET', '/gone-too', 'SELECT 1', 'user', '{}', 'ru_gone', '[]', 'value', 'rg_app');

CREATE FUNCTION rg_ask(path text, who text, query text DEFAULT '', method text DEFAULT 'GET', ip inet DEFAULT NULL, workspace text DEFAULT NULL)
RETURNS TABLE (status int, policies text, limits text, again text, problem text) LANGUAGE sql AS $$
	SELECT a.status, regexp_replace(h ->> 'RateLimit-Policy', 'w=\d+', 'w=…', 'g'), regexp_replace(h ->> 'RateLimit', 't=\d+', 't=…', 'g'),
		coalesce('after ' || regexp_replace(h ->> 'Retry-After', '\d+', '…'), h ->> 'x-should-retry'),
		CASE WHEN a.status >= 400 THEN regexp_replace(concat_ws(' | ', b ->> 'code', b ->> 'detail', b ->> 'suggestion', b ->> 'violated-policies'), '20\d\d-\d\d-01T|Wait \d+', '…', 'g') END
	FROM relay_guard.serve(method, path, query, CASE WHEN who IS NULL THEN '{}' ELSE
		ARRAY['authorization', 'Bearer ' || relay_guard.issue_token(who, workspace => workspace)] END, '', ip) a
	CROSS JOIN LATERAL (SELECT jsonb_object_agg(a.headers[i], a.headers[i + 1]) AS h FROM generate_series(1, cardinality(a.headers), 2) i) AS headers
	CROSS JOIN LATERAL (SELECT CASE WHEN a.status >= 400 AND a.body <> '' THEN convert_from(a.body, 'UTF8')::jsonb END AS b) AS body
$$;
CREATE FUNCTION rg_taken(quota text) RETURNS TABLE (value text, units bigint) LANGUAGE sql AS $$
	SELECT l.value, sum(l.units)::bigint FROM relay_guard.usage_ledger l JOIN relay_guard.quota_policy p ON p.id = l.policy
	WHERE p.name = quota GROUP BY 1 ORDER BY 1
$$;

-- What a transaction takes is gone with it, with a savepoint, and with an error
BEGIN; SELECT * FROM rg_ask('/ever', 'alice'); ROLLBACK;
BEGIN;
SAVEPOINT s; SELECT limits FROM rg_ask('/ever', 'alice'); ROLLBACK TO s;
SELECT limits FROM rg_ask('/ever', 'alice');
SAVEPOINT s; SELECT limits FROM rg_ask('/ever', 'alice', 'n=0'); ROLLBACK TO s;
SELECT limits FROM rg_ask('/ever', 'alice');
COMMIT;
SELECT * FROM rg_taken('ru_ever');
SELECT status, limits FROM rg_ask('/ever', 'alice', 'n=x');
SELECT * FROM rg_ask('/ever', 'alice');
SELECT * FROM rg_ask('/ever', 'alice');
SELECT * FROM rg_taken('ru_ever');

-- An error that is caught gives back, too
DO $$ BEGIN
	FOR i IN 1 .. 5 LOOP
		BEGIN PERFORM rg_ask('/ever', 'bob', 'n=0'); EXCEPTION WHEN division_by_zero THEN END;
	END LOOP;
	IF (SELECT status FROM rg_ask('/ever', 'bob')) <> 200 THEN RAISE 'it was not given back'; END IF;
END $$;

-- All or none; the one that never comes back decides what is said
SELECT status, policies, limits FROM rg_ask('/month', 'carol');
SELECT status, limits FROM rg_ask('/month', 'carol');
SELECT * FROM rg_ask('/month', 'carol');
SELECT status FROM rg_ask('/ever', 'carol');
SELECT * FROM rg_ask('/month', 'carol');

-- HEAD holds, and keeps nothing
SELECT status, limits FROM rg_ask('/ever', 'dave', method => 'HEAD') a, generate_series(1, 5);
SELECT * FROM rg_taken('ru_ever') WHERE value = 'dave';

-- Nobody goes uncounted: of an address, of its network, or of none
SELECT status, limits FROM rg_ask('/nobody', NULL, ip => '192.0.2.1');
SELECT status, limits FROM rg_ask('/nobody', NULL, ip => '192.0.2.1');
SELECT * FROM rg_ask('/nobody', NULL, ip => '192.0.2.1');
SELECT status, limits FROM rg_ask('/nobody', NULL, ip => '192.0.2.2');
SELECT status, limits FROM rg_ask('/nobody', NULL, ip => '2001:db8::1');
SELECT status, limits FROM rg_ask('/nobody', NULL, ip => '2001:db8::2');
SELECT status, limits FROM rg_ask('/nobody', NULL, ip => '2001:db8::3');
SELECT status, limits FROM rg_ask('/nobody', NULL);
SELECT status, limits FROM rg_ask('/nobody', NULL);
SELECT * FROM rg_taken('ru_ever') WHERE value LIKE 'anon:%';
SELECT * FROM rg_taken('ru_ip');

-- A budget without room stops before quotas are asked; of others it says nothing
SELECT * FROM rg_ask('/poor', 'erin', workspace => 'w');
SELECT * FROM rg_ask('/all', 'erin', workspace => 'w');
SELECT status FROM rg_ask('/poor', 'erin');
SELECT * FROM rg_taken('ru_ever') WHERE value = 'erin';

-- Nothing passes where it could not be counted, as on a standby
BEGIN READ ONLY; SELECT status FROM rg_ask('/ever', 'henry', 'n=x'); SELECT * FROM rg_ask('/ever', 'henry'); ROLLBACK;
BEGIN READ ONLY; SELECT * FROM rg_ask('/poor', 'henry'); ROLLBACK;

-- What a route names and is gone lets nobody pass
DELETE FROM relay_guard.quota_policy WHERE name = 'ru_gone';
DELETE FROM relay_guard.budget_policy WHERE name = 'ru_gone';
SELECT * FROM rg_ask('/gone', 'frank');
SELECT * FROM rg_ask('/gone-too', 'frank');

-- What is raised in SQL says when to try again, and nothing else that it likes
CREATE FUNCTION rg_refuse(code text, word text) RETURNS int LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION USING ERRCODE = CASE code WHEN 'conflict' THEN 'RG409' ELSE 'RG429' END, MESSAGE = 'no', DETAIL = code, CONSTRAINT = word; END $$;
INSERT INTO relay_guard.route (method, path, query, auth, quota, parameters, result, run_as) VALUES
	('GET', '/refuse', 'SELECT public.rg_refuse(request.code, request.word)', 'user', '{ru_month}',
	 '[{"name":"code","in":"query","schema":{"type":"string","default":"rate_limited"}},{"name":"word","in":"query","schema":{"type":"string","default":""}}]', 'value', 'rg_app');
CREATE FUNCTION rg_lines(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE lines text;
BEGIN
	PERFORM relay_guard.serve('GET', '/refuse', query, ARRAY['authorization', 'Bearer ' || relay_guard.issue_token('grace')]);
EXCEPTION WHEN SQLSTATE 'RG429' OR SQLSTATE 'RG409' THEN
	GET STACKED DIAGNOSTICS lines = CONSTRAINT_NAME;
	RETURN substring(regexp_replace(lines, '\r\n', ' / ', 'g') FROM 'X-RateLimit-Reset: \d+ / (.*)$');
END $$;
SELECT word, rg_lines('word=' || word) FROM (VALUES ('retry_after=30'), ('no_retry'), ('retry_after='), ('retry_after=-1'), ('retry_after=1.5'),
	('retry_after=0123456789'), ('Evil:%20x'), ('retry_after=1%0d%0aEvil:%20x'), ('no_retry%0d%0aEvil:%20x'), ('')) w (word);
SELECT rg_lines('code=insufficient_quota');
SELECT rg_lines('code=conflict&word=no_retry');
SELECT rg_lines('code=insufficient_quota&word=retry_after=30');

-- Dollars are exact
SELECT micro, relay_guard.usd(micro) FROM (VALUES (0::bigint), (1), (20000000), (123456), (999999999999999999),
	(9223372036854775807), (-9223372036854775807), (NULL)) m (micro);

DELETE FROM relay_guard.route;
DELETE FROM relay_guard.quota_policy WHERE name LIKE 'ru%';
DELETE FROM relay_guard.budget_policy WHERE name LIKE 'ru%';
DROP FUNCTION rg_ask, rg_taken, rg_refuse, rg_lines;
DROP OWNED BY rg_app;
DROP ROLE rg_app;
