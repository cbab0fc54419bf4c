-- What serve() tells a client of limits that an override changed.
\set VERBOSITY terse
CREATE ROLE rg_app;
SELECT relay_guard.grant_role('app', 'rg_app');
INSERT INTO relay_guard.rate_policy (name, identify_by, quota, "window", algorithm, shadow) VALUES
	('rs_ip', 'ip', 50, '1 min', 'sliding_window', false), ('rs_user', 'user', 2, '1 min', 'sliding_window', false),
	('rs_bucket', 'user', 40, '1 h', 'token_bucket', false), ('rs_shadow', 'user', 1, '1 min', 'sliding_window', true);
INSERT INTO relay_guard.rate_override (policy, kind, value, quota, "window", burst) VALUES
	('rs_ip', 'key', '192.0.2.7', 70, '2 min', NULL), ('rs_ip', 'key', '192.0.2.9', 0, '1 min', NULL),
	('rs_user', 'role', 'pro', 3, '5 min', NULL), ('rs_user', 'key', 'vip', 9, '10 min', NULL),
	('rs_bucket', 'key', 'vip', 60, '2 h', 80);
INSERT INTO relay_guard.route (method, path, query, auth, rate, result, run_as)
VALUES ('GET', '/limited', 'SELECT 1 AS ok', 'anonymous', '{rs_ip,rs_user,rs_bucket,rs_shadow}', 'row', 'rg_app');

CREATE FUNCTION pg_temp.ask(who text, role text DEFAULT 'user', ip inet DEFAULT '192.0.2.7')
RETURNS TABLE (status int, policies text, limits text, x_limit text, violated text) LANGUAGE plpgsql AS $$
DECLARE
	answer record;
BEGIN
	SELECT * INTO answer FROM relay_guard.serve('GET', '/limited', '',
		ARRAY['authorization', 'Bearer ' || relay_guard.issue_token(who, role => role)], '', ip);
	RETURN QUERY SELECT answer.status, h ->> 'ratelimit-policy',
		regexp_replace(h ->> 'ratelimit', 't=\d+', 't=…', 'g'), h ->> 'x-ratelimit-limit',
		CASE WHEN answer.status = 429 THEN convert_from(answer.body, 'UTF8')::jsonb ->> 'violated-policies' END
	FROM (SELECT jsonb_object_agg(lower(answer.headers[i]), answer.headers[i + 1]) AS h
		FROM generate_series(1, array_length(answer.headers, 1), 2) AS i) AS headers;
END $$;

-- The numbers are those that bind: the policies', a role's, a key's
SELECT * FROM pg_temp.ask('bob', ip => '192.0.2.8');
SELECT * FROM pg_temp.ask('bob');
SELECT * FROM pg_temp.ask('carol', 'pro');
SELECT * FROM pg_temp.ask('vip', 'pro');

-- So are those of a refusal; a shadow refuses nothing
SELECT * FROM pg_temp.ask('bob');
SELECT count(*) FILTER (WHERE status = 200) AS admitted, max(violated) AS violated
FROM unnest(array_fill('carol'::text, '{5}')) AS who, pg_temp.ask(who, 'pro');
SELECT * FROM pg_temp.ask('dora', ip => '192.0.2.9');
SELECT policy, admitted, denied, shadow_denied FROM relay_guard.rate_status WHERE policy LIKE 'rs\_%' ORDER BY policy;

-- What one limit refuses, none of the others takes
SELECT name, used, "limit" FROM relay_guard.counter WHERE policy IN ('rs_ip', 'rs_bucket') ORDER BY name COLLATE "C";

-- Nothing is left of an override that is dropped
DELETE FROM relay_guard.rate_override WHERE policy LIKE 'rs\_%';
SELECT * FROM pg_temp.ask('vip', 'pro', '192.0.2.10');

DELETE FROM relay_guard.route WHERE path = '/limited';
DELETE FROM relay_guard.rate_policy WHERE name LIKE 'rs\_%';
DROP OWNED BY rg_app;
DROP ROLE rg_app;
