-- What is an error and what is a denial.
\set VERBOSITY terse
INSERT INTO relay_guard.rate_policy (name, identify_by, quota, "window", algorithm, burst, shadow) VALUES
	('errors', 'user', 3, '1 day', 'sliding_window', NULL, false),
	('errors_bucket', 'user', 3, '1 day', 'token_bucket', 6, false),
	('errors_zero', 'user', 0, '1 h', 'sliding_window', NULL, false),
	('errors_zero_bucket', 'user', 0, '1 h', 'token_bucket', NULL, false),
	('errors_shadow', 'user', 2, '1 day', 'sliding_window', NULL, true),
	('errors_workspace', 'workspace', 2, '1 day', 'sliding_window', NULL, false),
	('errors_anonymous', 'anonymous', 2, '1 day', 'sliding_window', NULL, false),
	('errors_ip', 'ip', 2, '1 day', 'sliding_window', NULL, false);

-- A cost that can never fit is a mistake of the caller, and consumes nothing
SELECT relay_guard.rate_take_key('errors', 'k', 4);
SELECT relay_guard.rate_take_key('errors', 'k', 0);
SELECT relay_guard.rate_take_key('errors', 'k', -1);
SELECT allowed, remaining FROM relay_guard.rate_take_key('errors', 'k', 3);

-- The burst counts for a bucket
SELECT allowed, "limit", remaining FROM relay_guard.rate_take_key('errors_bucket', 'k', 6);
SELECT relay_guard.rate_take_key('errors_bucket', 'k', 7);

-- A quota of 0 denies everything
SELECT * FROM relay_guard.rate_take_key('errors_zero', 'k');
SELECT * FROM relay_guard.rate_take_key('errors_zero', 'k', 100);
SELECT allowed, "limit", remaining, retry_after
FROM relay_guard.rate_take_key('errors_zero_bucket', 'k');

-- A shadow policy refuses nothing, and tells what it would have
SELECT allowed, remaining, retry_after FROM relay_guard.rate_take_key('errors_shadow', 'k', 2);
SELECT allowed, remaining, retry_after FROM relay_guard.rate_take_key('errors_shadow', 'k');
SELECT allowed, remaining, retry_after FROM relay_guard.rate_take_key('errors_shadow', 'k', 9);
SELECT used, denied FROM relay_guard.counter WHERE name = 'rl:errors_shadow:k';

-- No NULL in, no NULL out
SELECT relay_guard.rate_take_key(NULL, 'k');
SELECT relay_guard.rate_take_key('errors', NULL);
SELECT relay_guard.rate_take_key('errors', 'k', NULL);
SELECT relay_guard.rate_take_all(NULL);
SELECT relay_guard.rate_take_all('{errors,NULL}');
SELECT relay_guard.rate_take_all(array_fill('errors'::text, '{13}'));
SELECT relay_guard.rate_take_all('{}');

-- Names and keys
SELECT relay_guard.rate_take_key('no such policy', 'k');
SELECT relay_guard.rate_take_key('errors_ip', 'not an address');

-- Without the identity that a policy needs
SELECT relay_guard.rate_take('errors');
SELECT relay_guard.rate_peek('errors_ip');
SELECT relay_guard.rate_take('errors_anonymous');
BEGIN;
SELECT relay_guard.assume('somebody');
SELECT allowed FROM relay_guard.rate_take('errors');
SAVEPOINT s;
SELECT relay_guard.rate_take('errors_workspace');
ROLLBACK TO s;
SELECT relay_guard.rate_take_all('{errors,errors_ip}');
ROLLBACK;

-- A user with an account is free of a limit on anonymous ones
BEGIN;
SELECT relay_guard.assume('somebody');
SELECT * FROM relay_guard.rate_take('errors_anonymous');
SELECT * FROM relay_guard.rate_take('errors_anonymous');
SELECT * FROM relay_guard.rate_take('errors_anonymous');
COMMIT;
BEGIN;
SELECT relay_guard.assume('anon:b5f6');
SELECT allowed, remaining FROM relay_guard.rate_take('errors_anonymous');
SELECT allowed, remaining FROM relay_guard.rate_take('errors_anonymous');
SELECT allowed, remaining FROM relay_guard.rate_take('errors_anonymous');
COMMIT;

-- Counters are for whoever was granted them
CREATE ROLE regress_rate_nobody;
SET ROLE regress_rate_nobody;
SELECT relay_guard.rate_take_key('errors', 'k');
SELECT * FROM relay_guard.counter;
RESET ROLE;
DROP ROLE regress_rate_nobody;

DELETE FROM relay_guard.rate_policy WHERE name LIKE 'errors%';
