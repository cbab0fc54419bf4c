-- What operators see of rate limits.
INSERT INTO relay_guard.rate_policy (name, identify_by, quota, "window", shadow) VALUES
	('seen', 'user', 2, '1 day', false), ('seen_shadow', 'user', 2, '1 day', true),
	('seen_brief', 'user', 1, '1 us', false), ('seen_zero', 'user', 0, '1 day', false);

-- Totals are exact, and outlive the counters
SELECT count((taken).allowed) FROM (SELECT relay_guard.rate_take_key('seen', 'k') AS taken FROM generate_series(1, 7) AS i OFFSET 0) AS hits;
SELECT count((taken).allowed) FROM (SELECT relay_guard.rate_take_key('seen_shadow', 'k') AS taken FROM generate_series(1, 5) AS i OFFSET 0) AS hits;
SELECT count((taken).allowed) FROM (SELECT relay_guard.rate_take_key('seen_brief', i::text) AS taken FROM generate_series(1, 20000) AS i OFFSET 0) AS hits;
SELECT count((taken).allowed) FROM (SELECT relay_guard.rate_take_key('seen_zero', 'k') AS taken FROM generate_series(1, 3) AS i OFFSET 0) AS hits;
SELECT pg_sleep(0.01);
SELECT * FROM relay_guard.rate_status WHERE policy LIKE 'seen%' ORDER BY policy;

-- Looking is not taking, and what another limit refused was not refused here
BEGIN;
SELECT relay_guard.assume('k');
SELECT policy, allowed FROM relay_guard.rate_take_all('{seen_shadow,seen,seen_brief}');
SELECT allowed FROM relay_guard.rate_peek('seen');
COMMIT;
SELECT * FROM relay_guard.rate_status WHERE policy LIKE 'seen%' ORDER BY policy;

-- As a monitoring system reads them
SELECT name, type, labels, value FROM relay_guard.metrics()
WHERE labels ->> 'policy' LIKE 'seen%' ORDER BY name, labels ->> 'policy' COLLATE "C";
SELECT DISTINCT name, type, help FROM relay_guard.metrics() ORDER BY name;
SELECT count(*) FROM relay_guard.metrics() WHERE value IS NULL OR labels IS NULL;
SELECT labels, labels ->> 'class' <> 'identity' OR value > 0 AS as_counted FROM relay_guard.metrics() WHERE name = 'relay_counters' ORDER BY labels ->> 'class';
SELECT m.value = s.max AS max FROM relay_guard.metrics() m, relay_guard.counter_status s WHERE name = 'relay_counters_max';

-- Nothing of what is counted goes into a label
SELECT count(*) FROM relay_guard.metrics() WHERE labels::text ~ '"(k|20000)"';

-- What a policy has decided goes with it; another one of its name starts anew
DELETE FROM relay_guard.rate_policy WHERE name LIKE 'seen%';
SELECT count(*) FROM relay_guard.metrics() WHERE labels ->> 'policy' LIKE 'seen%';
INSERT INTO relay_guard.rate_policy (name, identify_by, quota, "window") VALUES ('seen', 'user', 2, '1 day');
SELECT * FROM relay_guard.rate_status WHERE policy = 'seen';
DELETE FROM relay_guard.rate_policy WHERE name LIKE 'seen%';

-- This database is not stored
SELECT stored_at, store_pending, store_failures FROM relay_guard.counter_status;
