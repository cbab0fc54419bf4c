-- The table of policies.
\set VERBOSITY terse
BEGIN;
SELECT id, name, identify_by, quota, "window", algorithm, burst, shadow, shipped, enabled
FROM relay_guard.rate_policy WHERE shipped ORDER BY id;

-- What a policy cannot be
CREATE FUNCTION pg_temp.try(columns text, "values" text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('INSERT INTO relay_guard.rate_policy (%s) VALUES (%s)', columns, "values");
	RETURN 'inserted';
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE;
END $$;
SELECT candidate, pg_temp.try('name, identify_by, quota, "window", algorithm, burst', candidate) FROM unnest(ARRAY[
	$$'fine', 'user', 0, '1 us', 'token_bucket', 5$$,
	$$'with space', 'user', 1, '1 s', 'sliding_window', NULL$$,
	$$'x1', 'cookie', 1, '1 s', 'sliding_window', NULL$$,
	$$'x2', 'user', -1, '1 s', 'sliding_window', NULL$$,
	$$'x3', 'user', 1000000000000001, '1 s', 'sliding_window', NULL$$,
	$$'x4', 'user', 1, '0', 'sliding_window', NULL$$,
	$$'x5', 'user', 1, '-1 s', 'sliding_window', NULL$$,
	$$'x6', 'user', 1, '1 month', 'sliding_window', NULL$$,
	$$'x7', 'user', 1, '3661 days', 'sliding_window', NULL$$,
	$$'x8', 'user', 1, '1 s', 'leaky', NULL$$,
	$$'x9', 'user', 1, '1 s', 'sliding_window', 5$$,
	$$'x10', 'user', 1, '1 s', 'token_bucket', 0$$,
	$$'x11', 'user', 1, '1 day', 'token_bucket', 3660$$,
	$$'x12', 'user', 1, '1 day', 'token_bucket', 3661$$]) AS candidate;
SELECT pg_temp.try('id, name, identify_by, quota, "window"', $$5, 'x13', 'user', 1, '1 s'$$);

-- A change counts at once, here and wherever it has been committed
INSERT INTO relay_guard.rate_policy (name, identify_by, quota, "window") VALUES ('changes', 'user', 2, '1 day');
SELECT allowed, "limit", remaining FROM relay_guard.rate_take_key('changes', 'k', 2);
UPDATE relay_guard.rate_policy SET quota = 5 WHERE name = 'changes';
SELECT allowed, "limit", remaining FROM relay_guard.rate_take_key('changes', 'k', 2);
UPDATE relay_guard.rate_policy SET quota = 3 WHERE name = 'changes';
SELECT allowed, "limit", remaining FROM relay_guard.rate_take_key('changes', 'k', 2);
UPDATE relay_guard.rate_policy SET algorithm = 'token_bucket', burst = 4 WHERE name = 'changes';
SELECT allowed, "limit", remaining FROM relay_guard.rate_take_key('changes', 'k', 4);
UPDATE relay_guard.rate_policy SET algorithm = 'fixed_window', burst = NULL WHERE name = 'changes';
SELECT allowed, "limit", remaining FROM relay_guard.rate_take_key('changes', 'k', 3);

-- Ids of users' policies begin at 1000 and are not given again
SELECT id >= 1000 AS of_users FROM relay_guard.rate_policy WHERE name = 'changes';
DELETE FROM relay_guard.rate_policy WHERE name = 'changes';
INSERT INTO relay_guard.rate_policy (name, identify_by, quota, "window") VALUES ('changes', 'user', 2, '1 day');
SELECT allowed, "limit", remaining FROM relay_guard.rate_take_key('changes', 'k', 2);

-- A shipped policy that was changed is the user's; an UPDATE that changes
-- nothing leaves it
UPDATE relay_guard.rate_policy SET quota = quota WHERE name = 'ip';
UPDATE relay_guard.rate_policy SET quota = 61 WHERE name = 'api';
SELECT name, shipped FROM relay_guard.rate_policy WHERE name IN ('ip', 'api') ORDER BY name;

-- An INSERT replaces a shipped policy, once, and is never shipped itself
INSERT INTO relay_guard.rate_policy (name, identify_by, quota, "window", shipped) VALUES ('user', 'user', 7, '1 min', true);
SELECT name, quota, shipped, id >= 1000 AS new_id FROM relay_guard.rate_policy WHERE name = 'user';
SAVEPOINT s;
INSERT INTO relay_guard.rate_policy (name, identify_by, quota, "window") VALUES ('user', 'user', 8, '1 min');
ROLLBACK TO s;

-- As a dump brings a changed shipped policy back
INSERT INTO relay_guard.rate_policy (id, name, identify_by, quota, "window") OVERRIDING SYSTEM VALUE VALUES (2, 'address', 'ip', 9, '1 min');
SELECT id, name, quota FROM relay_guard.rate_policy WHERE id = 2;
SELECT extcondition[array_position(extconfig, 'relay_guard.rate_policy'::regclass)],
	'relay_guard.rate_policy_id_seq'::regclass = ANY (extconfig) AS sequence,
	'relay_guard.installation'::regclass = ANY (extconfig) AS installation
FROM pg_extension WHERE extname = 'relay_guard';

TRUNCATE relay_guard.rate_policy, relay_guard.rate_override;
SELECT relay_guard.rate_take_key('user', 'k');
ROLLBACK;
SELECT allowed FROM relay_guard.rate_take_key('user', 'policy-test');

-- A change is read again also by a query that could be parallel
CREATE TABLE rg_large AS SELECT generate_series(1, 1000) AS n;
SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;
UPDATE relay_guard.rate_policy SET quota = quota WHERE name = 'ip';
SELECT bool_and(large.count = 1000) FROM relay_guard.counter, LATERAL (SELECT count(*) FROM rg_large) large;
RESET parallel_setup_cost; RESET parallel_tuple_cost; RESET min_parallel_table_scan_size;
DROP TABLE rg_large;

-- A policy that is not enabled binds nobody, and takes nothing
INSERT INTO relay_guard.rate_policy (name, identify_by, quota, "window", enabled) VALUES
	('changes_off', 'user', 1, '1 day', false), ('changes_on', 'user', 2, '1 day', true);
BEGIN;
SELECT allowed, "limit", remaining FROM relay_guard.rate_take_key('changes_off', 'k');
SELECT * FROM relay_guard.rate_take_key('changes_off', 'k');
SELECT allowed FROM relay_guard.rate_take('changes_off');
SELECT relay_guard.assume('off');
SELECT allowed, remaining FROM relay_guard.rate_take('changes_off', 5);
SELECT allowed, remaining FROM relay_guard.rate_require('changes_off');
SELECT allowed, remaining FROM relay_guard.rate_peek('changes_off');
SELECT policy, allowed, remaining FROM relay_guard.rate_take_all('{changes_off,changes_on,changes_off}');
SELECT name, used FROM relay_guard.counter WHERE policy LIKE 'changes\_%';
COMMIT;
UPDATE relay_guard.rate_policy SET enabled = true WHERE name = 'changes_off';
SELECT allowed, remaining FROM relay_guard.rate_take_key('changes_off', 'k');
SELECT allowed, remaining FROM relay_guard.rate_take_key('changes_off', 'k');
DELETE FROM relay_guard.rate_policy WHERE name LIKE 'changes\_%';

-- Everything that users see has a comment
SELECT proname FROM pg_proc
WHERE pronamespace = 'relay_guard'::regnamespace AND proname ~ '^(rate|read)_'
	AND obj_description(oid, 'pg_proc') IS NULL;
