-- The models that budgets may be spent on, their prices and their history.
\set VERBOSITY terse
SELECT count(*) AS shipped FROM relay_guard.model;
BEGIN;
SELECT relay_guard.assume('alice');
\set VERBOSITY default
\set SHOW_CONTEXT never
SELECT relay_guard.budget_reserve('gpt', 1, 1);
\set VERBOSITY terse
ROLLBACK;

-- What a model cannot be
CREATE FUNCTION pg_temp.try(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE statement;
	RETURN 'done';
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE;
END $$;
BEGIN;
SELECT candidate, pg_temp.try(format('INSERT INTO relay_guard.model (name, provider, input_price, output_price, embedding_price, max_input_tokens, max_output_tokens) VALUES (%s)', candidate))
FROM unnest(ARRAY[
	$$'org/fine-1.5:free@2026', 'p', 0, 1000000000000000, NULL, 1000000000, 0$$,
	$$'x1 ', 'p', 1, 1, 1, 1, 1$$,
	$$'', 'p', 1, 1, 1, 1, 1$$,
	$$E'x2\n', 'p', 1, 1, 1, 1, 1$$,
	$$'x3', '', 1, 1, 1, 1, 1$$,
	$$'x4', 'p', -1, 1, 1, 1, 1$$,
	$$'x5', 'p', 1, 1000000000000001, 1, 1, 1$$,
	$$'x6', 'p', 'NaN', 1, 1, 1, 1$$,
	$$'x7', 'p', 1, NULL, 1, 1, 1$$,
	$$'x8', 'p', 1, 1, -1, 1, 1$$,
	$$'x9', 'p', 1, 1, 1, -1, 1$$,
	$$'x10', 'p', 1, 1, 1, 1, 1000000001$$,
	$$'x11', 'p', 1, 1, 1, NULL, 1$$]) AS candidate;
SELECT pg_temp.try($$INSERT INTO relay_guard.model VALUES ('x12', 'p', 1, 1, 1, 1, 1, true, 0)$$);
ROLLBACK;

-- Each change is a version, and what was before stays known
CREATE VIEW pg_temp.history AS
SELECT version, input_price, enabled, since <= until AND since >= lag(until, 1, '-infinity') OVER (ORDER BY version) AS in_order
FROM relay_guard.model_version WHERE model = 'a' ORDER BY version;
INSERT INTO relay_guard.model (name, provider, input_price, output_price, max_input_tokens, max_output_tokens) VALUES
	('a', 'p', 3000000, 15000000, 1000, 100), ('b', 'p', 1, 1, 1000, 100), ('off', 'p', 1, 1, 1000, 100);
UPDATE relay_guard.model SET input_price = input_price WHERE name = 'a';
SELECT version FROM relay_guard.model WHERE name = 'a';
UPDATE relay_guard.model SET input_price = 4000000 WHERE name = 'a';
UPDATE relay_guard.model SET enabled = false WHERE name = 'a';
UPDATE relay_guard.model SET enabled = true, version = 1, since = '2001-01-01' WHERE name = 'a';
UPDATE relay_guard.model SET enabled = false WHERE name = 'off';
SELECT version, input_price, since > '2026-01-01' AS since_now FROM relay_guard.model WHERE name = 'a';
SELECT * FROM pg_temp.history;
-- versions of a name go on after it was gone, and when another takes it
DELETE FROM relay_guard.model WHERE name = 'a';
INSERT INTO relay_guard.model (name, provider, input_price, output_price, max_input_tokens, max_output_tokens, version) VALUES
	('a', 'p', 5000000, 15000000, 1000, 100, 2);
UPDATE relay_guard.model SET name = 'c' WHERE name = 'a';
UPDATE relay_guard.model SET name = 'a' WHERE name = 'b';
SELECT name, version, input_price FROM relay_guard.model ORDER BY name;
SELECT * FROM pg_temp.history;
UPDATE relay_guard.model SET name = 'b' WHERE name = 'a';
UPDATE relay_guard.model SET name = 'a' WHERE name = 'c';
SELECT name, version, input_price FROM relay_guard.model ORDER BY name;
BEGIN; UPDATE relay_guard.model SET input_price = 9 WHERE name = 'a'; ROLLBACK;
SELECT max(version) FROM pg_temp.history;
-- also where ordinary triggers do not fire
BEGIN;
SET LOCAL session_replication_role = replica;
UPDATE relay_guard.model SET input_price = 6000000, version = 1 WHERE name = 'a';
SELECT version FROM relay_guard.model WHERE name = 'a';
SELECT max(version) FROM pg_temp.history;
ROLLBACK;

-- The history only grows
UPDATE relay_guard.model_version SET input_price = 0;
DELETE FROM relay_guard.model_version;
TRUNCATE relay_guard.model_version;
\set VERBOSITY default
TRUNCATE relay_guard.model;
\set VERBOSITY terse
SET session_replication_role = replica;
DELETE FROM relay_guard.model_version;
RESET session_replication_role;

-- A change counts at once: the price, and who is allowed
BEGIN;
SELECT relay_guard.assume('alice');
SELECT allowed, amount FROM relay_guard.budget_reserve('a', 1000, 100);
SAVEPOINT s;
UPDATE relay_guard.model SET input_price = 1, output_price = 0 WHERE name = 'a';
SELECT allowed, amount FROM relay_guard.budget_reserve('a', 1000, 100);
ROLLBACK TO s;
SELECT allowed, amount FROM relay_guard.budget_reserve('a', 1000, 100);
SAVEPOINT s;
\set VERBOSITY default
SELECT relay_guard.budget_reserve('off', 1, 1);
ROLLBACK TO s;
SELECT relay_guard.budget_charge(repeat('x', 1000), 1, 1);
ROLLBACK TO s;
SELECT relay_guard.budget_reserve('', 1, 1);
ROLLBACK TO s;
SELECT relay_guard.budget_reserve('A', 1, 1);
ROLLBACK TO s;
\set VERBOSITY terse
INSERT INTO relay_guard.model (name, provider, input_price, output_price, max_input_tokens, max_output_tokens)
SELECT 'many' || lpad(i::text, 2, '0'), 'p', 1, 1, 1, 1 FROM generate_series(1, 60) AS i;
CREATE FUNCTION pg_temp.hint() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	hint text;
BEGIN
	PERFORM relay_guard.budget_reserve('none', 1, 1);
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
	RETURN hint;
END $$;
SELECT left(pg_temp.hint(), 40) AS begins, right(pg_temp.hint(), 30) AS ends;
ROLLBACK;

-- A reservation is settled at the prices it was made at, whatever they are now
BEGIN;
SELECT relay_guard.assume('alice');
SELECT reservation, amount FROM relay_guard.budget_reserve('a', 1000, 100) \gset
COMMIT;
UPDATE relay_guard.model SET input_price = 50000000, output_price = 50000000, enabled = false WHERE name = 'a';
BEGIN;
SELECT relay_guard.assume('alice');
SELECT outcome, amount, held FROM relay_guard.budget_settle(:'reservation', 500, 100);
COMMIT;
SELECT kind, model_version, input_price, output_price, reserved, spent FROM relay_guard.usage_ledger WHERE reservation = :'reservation' ORDER BY id;

-- Who may do what
CREATE ROLE rg_model_admin;
SELECT relay_guard.grant_role('admin', 'rg_model_admin');
SET ROLE rg_model_admin;
BEGIN;
UPDATE relay_guard.model SET enabled = true WHERE name = 'a';
SELECT max(version) FROM relay_guard.model_version WHERE model = 'a';
DELETE FROM relay_guard.model WHERE name = 'a';
ROLLBACK;
INSERT INTO relay_guard.model_version SELECT name, 99, provider, 0, 0, NULL, 0, 0, true, now() FROM relay_guard.model;
DELETE FROM relay_guard.model_version;
TRUNCATE relay_guard.model;
RESET ROLE;
DROP OWNED BY rg_model_admin;
DROP ROLE rg_model_admin;
DELETE FROM relay_guard.model;
