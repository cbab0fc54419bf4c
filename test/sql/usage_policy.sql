-- The tables of quotas and budgets.
\set VERBOSITY terse
BEGIN;
SELECT id, name, scope, cap, "window", unit, shipped, enabled FROM relay_guard.quota_policy WHERE shipped ORDER BY id;
SELECT id, name, scope, "window", warn, hard, shipped, enabled FROM relay_guard.budget_policy WHERE shipped ORDER BY id;

-- What a policy cannot be
CREATE FUNCTION pg_temp.try(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE statement;
	RETURN 'done';
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE;
END $$;
SELECT candidate, pg_temp.try(format('INSERT INTO relay_guard.quota_policy (name, scope, cap, "window", unit) VALUES (%s)', candidate))
FROM unnest(ARRAY[
	$$'fine', 'user', 0, 'hour', 'page'$$,
	$$'largest', 'ip', 1000000000000000, 'lifetime', 'page'$$,
	$$'with space', 'user', 1, 'day', 'page'$$,
	$$'', 'user', 1, 'day', 'page'$$,
	$$NULL, 'user', 1, 'day', 'page'$$,
	$$'x1', 'cookie', 1, 'day', 'page'$$,
	$$'x2', 'user', -1, 'day', 'page'$$,
	$$'x3', 'user', 1000000000000001, 'day', 'page'$$,
	$$'x4', 'user', 9223372036854775808, 'day', 'page'$$,
	$$'x5', 'user', 'NaN', 'day', 'page'$$,
	$$'x6', 'user', NULL, 'day', 'page'$$,
	$$'x7', 'user', 1, 'week', 'page'$$,
	$$'x8', 'user', 1, '1 day', 'page'$$,
	$$'x9', 'user', 1, NULL, 'page'$$,
	$$'x10', 'user', 1, 'day', 'a, "b"'$$,
	$$'x11', 'user', 1, 'day', ''$$]) AS candidate;
SELECT candidate, pg_temp.try(format('INSERT INTO relay_guard.budget_policy (name, scope, "window", warn, hard) VALUES (%s)', candidate))
FROM unnest(ARRAY[
	$$'fine', 'user', 'month', 5, 5$$,
	$$'never_warns', 'api_key', 'day', NULL, 5$$,
	$$'never_denies', 'workspace', 'day', 5, NULL$$,
	$$'counts', 'workspace', 'day', NULL, NULL$$,
	$$'nothing', 'global', 'day', 0, 0$$,
	$$'largest', 'global', 'day', NULL, 1000000000000000$$,
	$$'y1', 'global', 'day', NULL, 1000000000000001$$,
	$$'y2', 'global', 'day', -1, 5$$,
	$$'y3', 'global', 'day', 6, 5$$,
	$$'y4', 'ip', 'day', 1, 5$$,
	$$'y5', 'anonymous', 'day', 1, 5$$,
	$$'y6', 'global', 'hour', 1, 5$$,
	$$'y7', 'global', 'lifetime', 1, 5$$,
	$$'y8', 'global', 'day', 1, 'Infinity'$$,
	$$'y9', 'global', 'day', 1, 'NaN'$$,
	$$'y10', 'global', 'day', 1, '50.5'$$]) AS candidate;
SELECT pg_temp.try($$INSERT INTO relay_guard.quota_policy (id, name, scope, cap, "window") VALUES (1, 'x', 'user', 1, 'day')$$);
ROLLBACK;

-- A version is new at every change, in both tables, whatever is written into it
CREATE TEMPORARY TABLE seen (version bigint PRIMARY KEY);
CREATE FUNCTION pg_temp.new_versions() RETURNS bigint LANGUAGE sql AS $$
WITH now AS (SELECT version FROM relay_guard.quota_policy UNION ALL SELECT version FROM relay_guard.budget_policy),
added AS (INSERT INTO pg_temp.seen SELECT version FROM now ON CONFLICT DO NOTHING RETURNING version)
SELECT count(*) FROM added
$$;
SELECT pg_temp.new_versions() > 0 AS at_first;
INSERT INTO relay_guard.quota_policy (name, scope, cap, "window", version) VALUES ('changes', 'user', 2, 'day', 1), ('changes2', 'user', 2, 'day', 1);
INSERT INTO relay_guard.budget_policy (name, scope, "window", version) VALUES ('changes', 'user', 'day', 1);
SELECT pg_temp.new_versions() AS of_inserts;
UPDATE relay_guard.quota_policy SET cap = cap, version = version WHERE name LIKE 'changes%';
SELECT pg_temp.new_versions() AS of_nothing;
UPDATE relay_guard.quota_policy SET cap = 3, version = (SELECT min(version) FROM relay_guard.quota_policy) WHERE name = 'changes';
UPDATE relay_guard.budget_policy SET hard = 5 WHERE name = 'changes';
UPDATE relay_guard.quota_policy SET version = 1 WHERE name = 'changes';
SELECT pg_temp.new_versions() AS of_updates;
BEGIN;
UPDATE relay_guard.quota_policy SET cap = 4 WHERE name = 'changes';
SELECT version AS undone FROM relay_guard.quota_policy WHERE name = 'changes' \gset
ROLLBACK;
UPDATE relay_guard.quota_policy SET cap = 4 WHERE name = 'changes';
SELECT version > :undone AS not_again FROM relay_guard.quota_policy WHERE name = 'changes';
DELETE FROM relay_guard.quota_policy WHERE name = 'changes';
INSERT INTO relay_guard.quota_policy (name, scope, cap, "window", version) VALUES ('changes', 'user', 2, 'day', :undone);
SELECT pg_temp.new_versions() AS of_another;
-- also where ordinary triggers do not fire
SELECT max(version) AS given FROM pg_temp.seen \gset
SET session_replication_role = replica;
UPDATE relay_guard.quota_policy SET cap = 5, version = 1 WHERE name = 'changes2';
INSERT INTO relay_guard.budget_policy (name, scope, "window", hard, version) VALUES ('changes2', 'user', 'day', 5, :given);
RESET session_replication_role;
SELECT pg_temp.new_versions() AS of_a_replica;
SELECT count(DISTINCT version) = count(*) AS different
FROM (SELECT version FROM relay_guard.quota_policy UNION ALL SELECT version FROM relay_guard.budget_policy) AS versions;
DELETE FROM relay_guard.budget_policy WHERE name LIKE 'changes%';

-- Ids of users' policies begin at 1000 and are not given again
SELECT max(id) AS last FROM relay_guard.quota_policy \gset
SELECT :last >= 1000 AS of_users;
DELETE FROM relay_guard.quota_policy WHERE name LIKE 'changes%';
INSERT INTO relay_guard.quota_policy (name, scope, cap, "window") VALUES ('changes', 'user', 2, 'day');
SELECT id > :last AS not_again FROM relay_guard.quota_policy WHERE name = 'changes';

-- A change counts at once
BEGIN;
SELECT relay_guard.assume('alice');
SELECT allowed, "limit", used, remaining FROM relay_guard.quota_take('changes', 2);
COMMIT;
UPDATE relay_guard.quota_policy SET cap = 5 WHERE name = 'changes';
BEGIN;
SELECT relay_guard.assume('alice');
SELECT allowed, "limit", used, remaining FROM relay_guard.quota_take('changes', 2);
COMMIT;
UPDATE relay_guard.quota_policy SET cap = 3, name = 'renamed', unit = 'page' WHERE name = 'changes';
BEGIN;
SELECT relay_guard.assume('alice');
SELECT allowed, "limit", used, remaining FROM relay_guard.quota_status('renamed');
SELECT relay_guard.quota_status('changes');
ROLLBACK;
UPDATE relay_guard.quota_policy SET enabled = false WHERE name = 'renamed';
BEGIN;
SELECT relay_guard.assume('alice');
SELECT allowed FROM relay_guard.quota_take('renamed', 3);
COMMIT;
DELETE FROM relay_guard.quota_policy WHERE name = 'renamed';

-- Of budgets those that are enabled bind, by their own numbers
INSERT INTO relay_guard.budget_policy (name, scope, "window", warn, hard, enabled) VALUES
	('bound', 'user', 'day', 5, 10, true), ('warns', 'user', 'month', 6, NULL, true), ('off', 'user', 'day', 1, 1, false), ('denies', 'user', 'day', NULL, 7, true);
BEGIN;
SELECT relay_guard.assume('usage_policy');
SELECT policy, "window", warn, hard, remaining FROM relay_guard.budget_status('user');
ROLLBACK;
DELETE FROM relay_guard.budget_policy WHERE scope = 'user';

-- A shipped policy that was changed is the user's; an UPDATE that changes
-- nothing leaves it; an INSERT replaces it, once, and is never shipped itself
BEGIN;
UPDATE relay_guard.quota_policy SET cap = cap;
UPDATE relay_guard.quota_policy SET cap = 21 WHERE name = 'anon_hour';
SELECT name, shipped FROM relay_guard.quota_policy WHERE name LIKE 'anon%' ORDER BY name;
INSERT INTO relay_guard.quota_policy (name, scope, cap, "window", shipped) VALUES ('anon_lifetime', 'anonymous', 7, 'lifetime', true);
SELECT name, cap, shipped, id >= 1000 AS new_id FROM relay_guard.quota_policy WHERE name = 'anon_lifetime';
SAVEPOINT s;
INSERT INTO relay_guard.quota_policy (name, scope, cap, "window") VALUES ('anon_lifetime', 'anonymous', 8, 'lifetime');
ROLLBACK TO s;
-- as a dump brings a changed shipped policy back
INSERT INTO relay_guard.budget_policy (id, name, scope, "window", hard, version) OVERRIDING SYSTEM VALUE VALUES (1, 'daily', 'global', 'day', 9, 3);
SELECT id, name, hard, shipped FROM relay_guard.budget_policy WHERE id = 1;
ROLLBACK;

-- What is dumped
SELECT c.relname, c.relkind, e.condition
FROM pg_extension, unnest(extconfig, extcondition) AS e (oid, condition), pg_class c
WHERE extname = 'relay_guard' AND c.oid = e.oid AND c.relname ~ '^(quota|budget|usage)_policy' ORDER BY 1;

-- Whoever may change policies needs no right on the ledger, which is locked for it
CREATE ROLE rg_usage_admin;
SELECT relay_guard.grant_role('admin', 'rg_usage_admin');
SET ROLE rg_usage_admin;
BEGIN;
SELECT has_table_privilege('relay_guard.usage_ledger', 'INSERT, UPDATE, DELETE, TRUNCATE') AS may_write;
UPDATE relay_guard.quota_policy SET cap = 30 WHERE name = 'anon_hour';
SELECT mode FROM pg_locks WHERE pid = pg_backend_pid() AND relation = 'relay_guard.usage_ledger'::regclass AND mode LIKE '%Exclusive%';
ROLLBACK;
BEGIN;
DELETE FROM relay_guard.budget_policy WHERE false;
SELECT mode FROM pg_locks WHERE pid = pg_backend_pid() AND relation = 'relay_guard.usage_ledger'::regclass AND mode LIKE '%Exclusive%';
INSERT INTO relay_guard.budget_policy (name, scope, "window", hard) VALUES ('by_admin', 'user', 'month', 1);
ROLLBACK;
BEGIN;
LOCK TABLE relay_guard.usage_ledger IN SHARE ROW EXCLUSIVE MODE;
ROLLBACK;
SELECT nextval('relay_guard.usage_policy_version');
TRUNCATE relay_guard.quota_policy;
RESET ROLE;
BEGIN;
TRUNCATE relay_guard.quota_policy;
SELECT mode FROM pg_locks WHERE pid = pg_backend_pid() AND relation = 'relay_guard.usage_ledger'::regclass AND mode LIKE '%Exclusive%';
SELECT relay_guard.quota_take('anon_hour');
ROLLBACK;
CREATE ROLE rg_usage_nobody;
SET ROLE rg_usage_nobody;
SELECT * FROM relay_guard.quota_policy;
UPDATE relay_guard.budget_policy SET hard = NULL;
SELECT window_end - window_start AS length FROM relay_guard.usage_window('day', '2026-11-21 12:00+00');
RESET ROLE;
DROP OWNED BY rg_usage_admin;
DROP ROLE rg_usage_admin, rg_usage_nobody;

-- Everything that users see has a comment
SELECT proname FROM pg_proc
WHERE pronamespace = 'relay_guard'::regnamespace AND proname ~ '^(usage|model|quota|budget)_'
	AND obj_description(oid, 'pg_proc') IS NULL;
SELECT relname FROM pg_class
WHERE relnamespace = 'relay_guard'::regnamespace AND relname ~ '^(usage|model|quota|budget)' AND relkind IN ('r', 'p', 'v', 'S')
	AND relname !~ '_id_seq$' AND obj_description(oid, 'pg_class') IS NULL;
