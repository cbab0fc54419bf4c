-- Other numbers for one key, or for a role.
\set VERBOSITY terse
INSERT INTO relay_guard.rate_policy (name, identify_by, quota, "window", algorithm, burst) VALUES
	('over_user', 'user', 3, '1 day', 'sliding_window', NULL),
	('over_bucket', 'user', 3, '1 day', 'token_bucket', 4),
	('over_fixed', 'workspace', 3, '3660 days', 'fixed_window', NULL),
	('over_ip', 'ip', 3, '1 day', 'sliding_window', NULL),
	('over_all', 'global', 3, '1 day', 'sliding_window', NULL);
INSERT INTO relay_guard.rate_override (policy, kind, value, quota, "window", burst) VALUES
	('over_user', 'role', 'pro', 6, '2 days', NULL),
	('over_user', 'key', 'alice', 9, '3 days', NULL),
	('over_user', 'key', 'mallory', 0, '1 s', NULL),
	('over_user', 'role', 'banned', 0, '1 s', NULL),
	('over_bucket', 'role', 'pro', 8, '1 day', 16),
	('over_bucket', 'key', 'alice', 7, '1 day', NULL),
	('over_fixed', 'key', 'w1', 5, '3660 days', NULL),
	('over_ip', 'key', '10.0.0.1', 5, '1 day', NULL),
	('over_ip', 'key', '2001:db8::7', 6, '1 day', NULL),
	('over_ip', 'key', '::ffff:10.0.0.2', 7, '1 day', NULL),
	('over_all', 'key', '*', 4, '1 day', NULL);
SELECT policy, kind, value FROM relay_guard.rate_override WHERE policy = 'over_ip' ORDER BY value;

-- The key's counts before the role's, and that before the policy's
CREATE FUNCTION pg_temp.limits(who text, role text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	answer text;
BEGIN
	PERFORM relay_guard.assume(who, 'w1', role, client_ip => '10.0.0.1');
	SELECT string_agg(policy || ' ' || remaining || '/' || "limit", ', ') INTO answer
	FROM relay_guard.rate_take_all('{over_user,over_bucket,over_fixed,over_ip,over_all}');
	RETURN answer;
END $$;
SELECT pg_temp.limits('bob', 'user');
SELECT pg_temp.limits('carol', 'pro');
SELECT pg_temp.limits('alice', 'pro');
SELECT pg_temp.limits('alice', 'user');
SELECT allowed, "limit", remaining FROM relay_guard.rate_take_key('over_ip', '2001:db8::1', 2);
SELECT allowed, "limit", remaining FROM relay_guard.rate_take_key('over_ip', '2001:db8:0:1::1', 2);
SELECT allowed, "limit", remaining FROM relay_guard.rate_take_key('over_ip', '10.0.0.2', 2);

-- A quota of 0 shuts out
SELECT pg_temp.limits('mallory', 'user');
SELECT pg_temp.limits('mallory', 'pro');
SELECT pg_temp.limits('eve', 'banned');

-- A role is counted apart: by what it has, and not by going from one to another
BEGIN; SELECT relay_guard.assume('dora', role => 'user'); SELECT remaining FROM relay_guard.rate_take('over_user', 3); COMMIT;
BEGIN; SELECT relay_guard.assume('dora', role => 'pro'); SELECT remaining FROM relay_guard.rate_take('over_user', 6); COMMIT;
BEGIN; SELECT relay_guard.assume('dora', role => 'user'); SELECT allowed, remaining FROM relay_guard.rate_take('over_user'); COMMIT;
BEGIN; SELECT relay_guard.assume('dora', role => 'pro'); SELECT allowed, remaining FROM relay_guard.rate_take('over_user'); COMMIT;

-- The view says what binds; a fixed window ends on the same day for everybody
SELECT name, used, "limit", remaining, ruled_by,
       CASE WHEN policy <> 'over_fixed' THEN round(reset_after / 86400) END AS days
FROM relay_guard.counter WHERE policy LIKE 'over\_%' ORDER BY name COLLATE "C", "limit";

-- A cost is held against the numbers that bind
SELECT relay_guard.rate_take_key('over_user', 'alice', 10);
SELECT relay_guard.rate_take_key('over_user', 'nobody', 4);

-- Changes carry over what was taken, whatever becomes of quota, window and burst
SELECT remaining FROM relay_guard.rate_take_key('over_user', 'frank', 2);
INSERT INTO relay_guard.rate_override VALUES ('over_user', 'key', 'frank', 10, '1 h');
SELECT "limit", remaining, ruled_by FROM relay_guard.counter WHERE name = 'rl:over_user:frank';
SELECT remaining, reset_after BETWEEN 3600 AND 7200 AS within_the_hours FROM relay_guard.rate_take_key('over_user', 'frank');
UPDATE relay_guard.rate_override SET quota = 5, "window" = '10 days' WHERE value = 'frank';
SELECT remaining, reset_after > 10 * 86400 AS within_the_days FROM relay_guard.rate_take_key('over_user', 'frank');
UPDATE relay_guard.rate_override SET quota = 0 WHERE value = 'frank';
SELECT allowed, remaining FROM relay_guard.rate_take_key('over_user', 'frank');
UPDATE relay_guard.rate_override SET quota = 5 WHERE value = 'frank';
SELECT allowed, remaining FROM relay_guard.rate_take_key('over_user', 'frank');
DELETE FROM relay_guard.rate_override WHERE value = 'frank';
SELECT "limit", remaining, ruled_by FROM relay_guard.counter WHERE name = 'rl:over_user:frank';
SELECT allowed, "limit", remaining FROM relay_guard.rate_take_key('over_user', 'frank');

SELECT remaining FROM relay_guard.rate_take_key('over_bucket', 'frank', 4);
INSERT INTO relay_guard.rate_override VALUES ('over_bucket', 'key', 'frank', 10, '1 h', 5);
SELECT allowed, remaining FROM relay_guard.rate_take_key('over_bucket', 'frank');
SELECT remaining, reset_after BETWEEN 1435 AND 1800 AS within_the_hour FROM relay_guard.rate_take_key('over_bucket', 'frank');
UPDATE relay_guard.rate_override SET "window" = '10 days' WHERE value = 'frank';
SELECT allowed, remaining, reset_after BETWEEN 345000 AND 432000 AS within_the_days FROM relay_guard.rate_take_key('over_bucket', 'frank');

-- It goes with its policy's name, and with its policy
UPDATE relay_guard.rate_policy SET name = 'over_renamed' WHERE name = 'over_user';
SELECT "limit" FROM relay_guard.rate_take_key('over_renamed', 'alice', 1);
DELETE FROM relay_guard.rate_policy WHERE name = 'over_renamed';
SELECT count(*) FROM relay_guard.rate_override WHERE policy IN ('over_user', 'over_renamed');

-- What an override cannot be
CREATE FUNCTION pg_temp.try("values" text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('INSERT INTO relay_guard.rate_override (policy, kind, value, quota, "window", burst) VALUES (%s)', "values");
	RETURN 'inserted';
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE || ' ' || SQLERRM;
END $$;
SELECT candidate, pg_temp.try(candidate) FROM unnest(ARRAY[
	$$'over_bucket', 'key', 'x', 0, '1 us', 5$$,
	$$'nothing', 'key', 'x', 1, '1 s', NULL$$,
	$$'over_bucket', 'cookie', 'x', 1, '1 s', NULL$$,
	$$'over_bucket', 'key', '', 1, '1 s', NULL$$,
	$$'over_bucket', 'key', 'x1', -1, '1 s', NULL$$,
	$$'over_bucket', 'key', 'x2', 1000000000000001, '1 s', NULL$$,
	$$'over_bucket', 'key', 'x3', 1, '0', NULL$$,
	$$'over_bucket', 'key', 'x4', 1, '1 month', NULL$$,
	$$'over_bucket', 'key', 'x5', 1, '3661 days', NULL$$,
	$$'over_bucket', 'key', 'x6', 1, '1 s', 0$$,
	$$'over_bucket', 'key', 'x7', 1, '1 day', 3661$$,
	$$'over_fixed', 'key', 'x', 1, '1 day', 5$$,
	$$'over_ip', 'role', 'pro', 1, '1 day', NULL$$,
	$$'over_all', 'role', 'pro', 1, '1 day', NULL$$,
	$$'over_ip', 'key', 'alice', 1, '1 day', NULL$$,
	$$'over_ip', 'key', '10.0.0.0/8', 1, '1 day', NULL$$,
	$$'over_ip', 'key', '2001:db8::/48', 1, '1 day', NULL$$,
	$$'over_ip', 'key', '2001:db8::9', 1, '1 day', NULL$$]) AS candidate;

DELETE FROM relay_guard.rate_policy WHERE name LIKE 'over\_%';
SELECT count(*) FROM relay_guard.rate_override;
