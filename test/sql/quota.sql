-- What the functions of quotas answer.
\set VERBOSITY terse
-- No hour ends while this runs
SELECT FROM pg_sleep(CASE WHEN date_trunc('hour', now() + interval '15 s', 'UTC') > now() THEN 16 ELSE 0 END);
INSERT INTO relay_guard.quota_policy (name, scope, cap, "window", unit) VALUES
	('q_user', 'user', 5, 'lifetime', 'message'), ('q_hour', 'user', 5, 'hour', 'message'), ('q_day', 'user', 5, 'day', 'message'),
	('q_month', 'user', 5, 'month', 'message'), ('q_workspace', 'workspace', 5, 'lifetime', 'message'),
	('q_anonymous', 'anonymous', 2, 'lifetime', 'message'), ('q_key', 'api_key', 2, 'lifetime', 'message'),
	('q_ip', 'ip', 2, 'lifetime', 'message'), ('q_global', 'global', 5, 'lifetime', 'message'), ('q_zero', 'user', 0, 'lifetime', 'message');
INSERT INTO relay_guard.quota_policy (name, scope, cap, "window", enabled) VALUES ('q_off', 'user', 1, 'lifetime', false);

-- Taken up to the cap, and what is refused takes nothing
BEGIN;
SELECT relay_guard.assume('quota alice', 'quota w');
SELECT * FROM relay_guard.quota_status('q_user');
SELECT * FROM relay_guard.quota_take('q_user');
SELECT * FROM relay_guard.quota_take('q_user', 3);
SELECT * FROM relay_guard.quota_take('q_user', 2);
SELECT * FROM relay_guard.quota_take('q_user', 1);
SELECT * FROM relay_guard.quota_take('q_user');
SELECT * FROM relay_guard.quota_status('q_user');
COMMIT;

-- It lasts, for this user
BEGIN;
SELECT relay_guard.assume('quota alice', 'quota w2');
SELECT allowed, used FROM relay_guard.quota_take('q_user');
SELECT allowed, used FROM relay_guard.quota_take('q_workspace', 2);
COMMIT;
BEGIN;
SELECT relay_guard.assume('quota bob', 'quota w2');
SELECT allowed, used FROM relay_guard.quota_take('q_user');
SELECT allowed, used FROM relay_guard.quota_take('q_workspace', 2);
SELECT allowed, used FROM relay_guard.quota_take('q_global', 2);
ROLLBACK;

-- A rollback gives back, also to a savepoint
BEGIN;
SELECT relay_guard.assume('quota bob', 'quota w2');
SELECT used FROM relay_guard.quota_status('q_user');
SAVEPOINT s;
SELECT used FROM relay_guard.quota_take('q_user', 5);
ROLLBACK TO s;
SELECT used FROM relay_guard.quota_take('q_user', 2);
COMMIT;

-- Windows end when the calendar says
SET timezone = 'UTC';
BEGIN;
SELECT relay_guard.assume('quota alice');
SELECT name, allowed, used, resets_at = date_trunc(name, resets_at) AS at_an_end,
	resets_at > now() AND resets_at <= clock_timestamp() + ('1 ' || name)::interval AS at_its_end
FROM unnest('{hour,day,month}'::text[]) AS name, relay_guard.quota_take('q_' || name, 2);
COMMIT;
RESET timezone;

-- quota_require() raises what quota_take() tells
BEGIN;
SELECT relay_guard.assume('quota carol');
SELECT * FROM relay_guard.quota_require('q_user', 4);
SAVEPOINT s;
SELECT relay_guard.quota_require('q_user', 2);
ROLLBACK TO s;
DO $$
DECLARE
	detail text;
BEGIN
	PERFORM relay_guard.quota_require('q_user', 2);
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
	RAISE NOTICE '% %', SQLSTATE, detail;
END $$;
SELECT used FROM relay_guard.quota_require('q_user', 1);
COMMIT;

-- A cap of 0 denies everything
BEGIN;
SELECT relay_guard.assume('quota alice');
SELECT * FROM relay_guard.quota_take('q_zero');
SELECT * FROM relay_guard.quota_take('q_zero', 1000);
COMMIT;

-- A quota that is not enabled binds nobody and takes nothing
BEGIN;
SELECT relay_guard.assume('quota alice');
SELECT allowed, remaining FROM relay_guard.quota_take('q_off', 1);
SELECT allowed, remaining FROM relay_guard.quota_take('q_off', 1);
COMMIT;

-- Who has an account is free of what binds those without; and the other way round
BEGIN;
SELECT relay_guard.assume('quota alice');
SELECT allowed FROM relay_guard.quota_take('q_anonymous', 2);
SELECT allowed FROM relay_guard.quota_take('q_anonymous', 2);
SELECT allowed FROM relay_guard.quota_take('q_key', 2);
ROLLBACK;
BEGIN;
SELECT relay_guard.assume('anon:quota', NULL, 'anonymous');
SELECT allowed, remaining FROM relay_guard.quota_take('q_anonymous');
SELECT allowed, remaining FROM relay_guard.quota_take('q_anonymous');
SELECT allowed, remaining FROM relay_guard.quota_take('q_anonymous');
COMMIT;

-- Addresses: IPv6 by /64
BEGIN; SELECT relay_guard.assume('quota a', client_ip => '2001:db8::1'); SELECT allowed FROM relay_guard.quota_take('q_ip', 2); COMMIT;
BEGIN; SELECT relay_guard.assume('quota b', client_ip => '2001:db8::2'); SELECT allowed FROM relay_guard.quota_take('q_ip', 2); COMMIT;
BEGIN; SELECT relay_guard.assume('quota c', client_ip => '2001:db8:0:1::2'); SELECT allowed FROM relay_guard.quota_take('q_ip', 2); COMMIT;

-- Mistakes of the caller
SELECT relay_guard.quota_take('q_user');
SELECT relay_guard.quota_status('q_user');
SELECT relay_guard.quota_take('no such quota');
SELECT relay_guard.quota_require('no such quota');
SELECT relay_guard.quota_status('no such quota');
BEGIN; SELECT relay_guard.assume('quota dora'); SELECT relay_guard.quota_take('q_user', 0); ROLLBACK;
BEGIN; SELECT relay_guard.assume('quota dora'); SELECT relay_guard.quota_take('q_user', -1); ROLLBACK;
BEGIN; SELECT relay_guard.assume('quota dora'); SELECT relay_guard.quota_take('q_user', 6); ROLLBACK;
BEGIN; SELECT relay_guard.assume('quota dora'); SELECT relay_guard.quota_take('q_workspace'); ROLLBACK;
BEGIN; SELECT relay_guard.assume('quota dora'); SELECT relay_guard.quota_take('q_ip'); ROLLBACK;
BEGIN; SELECT relay_guard.assume('quota dora'); SELECT relay_guard.quota_take(NULL); ROLLBACK;
BEGIN; SELECT relay_guard.assume('quota dora'); SELECT relay_guard.quota_take('q_user', NULL); ROLLBACK;
BEGIN READ ONLY; SELECT relay_guard.assume('quota dora'); SELECT relay_guard.quota_take('q_user'); ROLLBACK;

-- The ledger has what was taken, under the policy's id
SELECT p.name, l.kind, l.value, l.units, l.user_id, l.workspace_id
FROM relay_guard.usage_ledger l JOIN relay_guard.quota_policy p ON p.id = l.policy
WHERE p.name LIKE 'q\_%' ORDER BY l.id;

-- A change of the policy takes nothing back and gives nothing
UPDATE relay_guard.quota_policy SET cap = 3 WHERE name = 'q_user';
BEGIN; SELECT relay_guard.assume('quota alice'); SELECT * FROM relay_guard.quota_take('q_user'); COMMIT;
UPDATE relay_guard.quota_policy SET cap = 9 WHERE name = 'q_user';
BEGIN; SELECT relay_guard.assume('quota alice'); SELECT * FROM relay_guard.quota_take('q_user'); COMMIT;
UPDATE relay_guard.quota_policy SET name = 'q_renamed' WHERE name = 'q_user';
BEGIN; SELECT relay_guard.assume('quota alice'); SELECT * FROM relay_guard.quota_status('q_renamed'); COMMIT;

-- Another one of its name is another one
DELETE FROM relay_guard.quota_policy WHERE name = 'q_renamed';
INSERT INTO relay_guard.quota_policy (name, scope, cap, "window") VALUES ('q_renamed', 'user', 5, 'lifetime');
BEGIN; SELECT relay_guard.assume('quota alice'); SELECT * FROM relay_guard.quota_status('q_renamed'); COMMIT;

SELECT * FROM relay_guard.check_ledger();
DELETE FROM relay_guard.quota_policy WHERE name LIKE 'q\_%';
