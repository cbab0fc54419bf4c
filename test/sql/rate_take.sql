-- Taking limits: what is admitted, what is refused, and that a refusal
-- consumes nothing.
INSERT INTO relay_guard.rate_policy (name, identify_by, quota, "window", algorithm) VALUES
	('take_sliding', 'user', 5, '1 day', 'sliding_window'),
	('take_fixed', 'user', 5, '3660 days', 'fixed_window'),
	('take_bucket', 'user', 5, '10 days', 'token_bucket'),
	('take_small', 'user', 2, '1 day', 'sliding_window');

-- Each admits its quota and no more
SELECT policy, i, (taken).allowed, (taken)."limit", (taken).remaining,
	(taken).reset_after > 0 AS resets, (taken).retry_after > 0 AS retries
FROM (SELECT policy, i, relay_guard.rate_take_key(policy, 'one') AS taken
	FROM unnest('{take_sliding,take_fixed,take_bucket}'::text[]) AS policy,
		generate_series(1, 6) AS i OFFSET 0) AS hits
ORDER BY policy, i;

-- A weighted hit does not overshoot, and the rest is still there
SELECT allowed, remaining FROM relay_guard.rate_take_key('take_sliding', 'two', 4);
SELECT allowed, remaining FROM relay_guard.rate_take_key('take_sliding', 'two', 2);
SELECT allowed, remaining FROM relay_guard.rate_take_key('take_sliding', 'two', 1);

-- The first token is back after a fifth of the window, the whole after the next
SELECT retry_after > 172790 AND retry_after <= 172800 AS bucket
FROM relay_guard.rate_take_key('take_bucket', 'one');
SELECT retry_after > 86400 * 1.2 - 10 AND retry_after <= 86400 * 1.2 AS sliding
FROM relay_guard.rate_take_key('take_sliding', 'one');

-- Counted whatever becomes of the transaction
BEGIN;
SELECT allowed, remaining FROM relay_guard.rate_take_key('take_sliding', 'three');
ROLLBACK;
SELECT allowed, remaining FROM relay_guard.rate_take_key('take_sliding', 'three');

-- All or nothing: take_small refuses the third time, and takes from nobody
BEGIN;
SELECT relay_guard.assume('take-all');
SELECT policy, allowed, remaining FROM relay_guard.rate_take_all('{take_sliding,take_small}');
SELECT policy, allowed, remaining FROM relay_guard.rate_take_all('{take_sliding,take_small}');
SELECT policy, allowed, remaining, retry_after > 0 AS retries
FROM relay_guard.rate_take_all('{take_sliding,take_small}');
SELECT allowed, remaining FROM relay_guard.rate_peek('take_sliding');
SELECT allowed, remaining FROM relay_guard.rate_peek('take_small');
COMMIT;

-- The same limit twice in one call counts twice, or not at all
BEGIN;
SELECT relay_guard.assume('take-twice');
SELECT policy, allowed, remaining FROM relay_guard.rate_take_all('{take_small,take_small}');
SELECT policy, allowed, remaining FROM relay_guard.rate_take_all('{take_small,take_small}');
COMMIT;
BEGIN;
SELECT relay_guard.assume('take-thrice');
SELECT policy, allowed, remaining
FROM relay_guard.rate_take_all('{take_small,take_small,take_small}');
SELECT allowed, remaining FROM relay_guard.rate_peek('take_small');
COMMIT;

-- rate_peek() consumes nothing; rate_require() raises
BEGIN;
SELECT relay_guard.assume('take-require');
SELECT allowed, remaining FROM relay_guard.rate_peek('take_small');
SELECT allowed, remaining FROM relay_guard.rate_peek('take_small');
SELECT allowed, remaining FROM relay_guard.rate_require('take_small', 2);
DO $$
DECLARE
	said text;
	hint text;
BEGIN
	PERFORM relay_guard.rate_require('take_small');
EXCEPTION WHEN SQLSTATE 'RG429' THEN
	GET STACKED DIAGNOSTICS said = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RAISE NOTICE '% / %', said, regexp_replace(hint, '\d+', 'N');
END $$;
COMMIT;

DELETE FROM relay_guard.rate_policy WHERE name LIKE 'take\_%';
