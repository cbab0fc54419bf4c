-- What the functions of budgets answer.
\set VERBOSITY terse
-- No day and no month ends while this runs
SELECT FROM pg_sleep(CASE WHEN date_trunc('day', now() + interval '15 s', 'UTC') > now() THEN 16 ELSE 0 END);
-- A token of "tokens" costs a micro-USD; "cents" shows how a cost is rounded
INSERT INTO relay_guard.model (name, provider, input_price, output_price, embedding_price, max_input_tokens, max_output_tokens) VALUES
	('tokens', 'test', 1000000, 1000000, 1000000, 100000, 100000),
	('cents', 'test', 150001, 600001, 20000, 100000, 100000);
INSERT INTO relay_guard.budget_policy (name, scope, "window", warn, hard) VALUES
	('b_user', 'user', 'month', 500, 1000), ('b_workspace', 'workspace', 'month', NULL, 1500);

-- Reserved at the estimate, settled at what was used
BEGIN;
SELECT relay_guard.assume('budget alice', 'budget w');
SELECT allowed, blocked_by, amount, remaining, warning, expires_at - clock_timestamp() BETWEEN '9 min' AND '10 min' AS in_ten_minutes
FROM relay_guard.budget_reserve('tokens', 100, 200);
SELECT reservation, amount FROM relay_guard.budget_reserve('cents', 100, 200) \gset
SELECT :amount AS amount;
SELECT * FROM relay_guard.budget_settle(:'reservation', 1, 1);
SELECT reservation FROM relay_guard.budget_reserve('tokens', 100, 200) \gset
SELECT * FROM relay_guard.budget_settle(:'reservation', 100, 50);
SELECT * FROM relay_guard.budget_settle(:'reservation', 100, 60);
SELECT * FROM relay_guard.budget_release(:'reservation');
COMMIT;
-- What is settled is free once it has committed
BEGIN;
SELECT relay_guard.assume('budget alice', 'budget w');
SELECT policy, scope, value, spent, reserved, warn, hard, remaining, at_warning, blocked
FROM relay_guard.budget_status() WHERE policy LIKE 'b\_%' ORDER BY policy;
COMMIT;

-- A stream that is topped up, and one that is given back
BEGIN;
SELECT relay_guard.assume('budget bob', 'budget w2');
SELECT reservation FROM relay_guard.budget_reserve('tokens', 10, 100) \gset
SELECT outcome, allowed, blocked_by, amount, remaining, warning FROM relay_guard.budget_extend(:'reservation', 100);
SELECT outcome, allowed, blocked_by, amount, remaining, warning FROM relay_guard.budget_extend(:'reservation', 300);
SELECT outcome, allowed, blocked_by, amount, remaining, warning FROM relay_guard.budget_extend(:'reservation', 600);
SELECT outcome, expires_at - clock_timestamp() BETWEEN '59 min' AND '60 min' AS in_an_hour FROM relay_guard.budget_extend(:'reservation', 0, '1 hour');
SELECT * FROM relay_guard.budget_release(:'reservation');
SELECT * FROM relay_guard.budget_release(:'reservation');
SELECT * FROM relay_guard.budget_settle(:'reservation', 1, 1);
SELECT outcome, allowed, amount FROM relay_guard.budget_extend(:'reservation', 1);
COMMIT;

-- All of the budgets or none
BEGIN;
SELECT relay_guard.assume('budget carol', 'budget w2');
SELECT allowed, blocked_by, amount, remaining, warning FROM relay_guard.budget_reserve('tokens', 0, 900);
COMMIT;
BEGIN;
SELECT relay_guard.assume('budget dora', 'budget w2');
SELECT reservation, allowed, blocked_by, amount, remaining, resets_at = date_trunc('month', resets_at, 'UTC') AND resets_at > now() AS at_its_end
FROM relay_guard.budget_reserve('tokens', 0, 601);
SELECT allowed, blocked_by, amount, remaining FROM relay_guard.budget_reserve('tokens', 0, 600);
COMMIT;

-- What has been spent is charged, whatever the limits are
BEGIN;
SELECT relay_guard.assume('budget erin', 'budget w3');
SELECT * FROM relay_guard.budget_charge('tokens', 400);
SELECT * FROM relay_guard.budget_charge('tokens', 0, 100);
SELECT * FROM relay_guard.budget_charge('tokens', embedding_tokens => 400);
SELECT * FROM relay_guard.budget_charge('tokens', 400, 400, 400);
SELECT * FROM relay_guard.budget_charge('cents', embedding_tokens => 51);
SELECT policy, spent, reserved, remaining, at_warning, blocked FROM relay_guard.budget_status('user') WHERE policy LIKE 'b\_%';
SELECT allowed, blocked_by, amount, remaining FROM relay_guard.budget_reserve('tokens', 0, 1);
COMMIT;

-- So is what an upstream returned beyond the reservation
BEGIN;
SELECT relay_guard.assume('budget frank', 'budget w4');
SELECT reservation FROM relay_guard.budget_reserve('tokens', 0, 1000) \gset
SELECT * FROM relay_guard.budget_settle(:'reservation', 0, 1200);
COMMIT;
BEGIN;
SELECT relay_guard.assume('budget frank', 'budget w4');
SELECT policy, spent, reserved, remaining, blocked FROM relay_guard.budget_status() WHERE policy LIKE 'b\_%' ORDER BY policy;
COMMIT;

-- A lease that is over is charged at what was held
BEGIN; SELECT relay_guard.assume('budget grace'); SELECT reservation FROM relay_guard.budget_reserve('tokens', 5, 5, '1 ms') \gset
COMMIT;
SELECT pg_sleep(0.01);
SELECT * FROM relay_guard.budget_expire(:'reservation');
BEGIN; SELECT relay_guard.assume('budget grace'); SELECT * FROM relay_guard.budget_settle(:'reservation', 1, 1); COMMIT;
BEGIN; SELECT relay_guard.assume('budget grace'); SELECT policy, spent, reserved FROM relay_guard.budget_status('user') WHERE policy LIKE 'b\_%'; COMMIT;

-- Another's reservation is not there, and says so as one that is not
BEGIN; SELECT relay_guard.assume('budget grace'); SELECT reservation FROM relay_guard.budget_reserve('tokens', 5, 5) \gset
COMMIT;
CREATE FUNCTION pg_temp.try(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	detail text; hint text;
BEGIN
	EXECUTE statement;
	RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN format('%s %s (%s)', SQLSTATE, detail, hint);
END $$;
BEGIN;
SELECT relay_guard.assume('budget mallory', 'budget w');
SELECT pg_temp.try(format('SELECT relay_guard.budget_settle(%L, 0, 0)', :'reservation'));
SELECT pg_temp.try(format('SELECT relay_guard.budget_release(%L)', :'reservation'));
SELECT pg_temp.try(format('SELECT relay_guard.budget_extend(%L, 1)', :'reservation'));
SELECT pg_temp.try($$SELECT relay_guard.budget_settle('018bcfe5-6800-7000-8000-000000000000', 0, 0)$$);
SELECT pg_temp.try($$SELECT relay_guard.budget_settle('018bcfe5-6800-4000-8000-000000000000', 0, 0)$$);
COMMIT;
SELECT pg_temp.try(format('SELECT relay_guard.budget_release(%L)', :'reservation'));

-- Models
UPDATE relay_guard.model SET enabled = false WHERE name = 'cents';
SELECT pg_temp.try($$SELECT relay_guard.budget_reserve('gpt-unknown', 1, 1)$$);
SELECT pg_temp.try($$SELECT relay_guard.budget_reserve('cents', 1, 1)$$);
SELECT pg_temp.try($$SELECT relay_guard.budget_charge('cents', 1, 1)$$);

-- Numbers
BEGIN;
SELECT relay_guard.assume('budget heidi', 'budget w5');
SELECT arguments, left(pg_temp.try(format('SELECT relay_guard.budget_reserve(''tokens'', %s)', arguments)), 5) AS sqlstate
FROM unnest('{"-1, 1","1, -1","9223372036854775807, 1","1, 9223372036854775807","NULL, 1","1, NULL","1, 1, NULL","1, 1, ''-1 s''","1, 1, ''0''","1, 1, ''1000 years''"}'::text[]) AS arguments;
SELECT arguments, left(pg_temp.try(format('SELECT relay_guard.budget_charge(''tokens'', %s)', arguments)), 5) AS sqlstate
FROM unnest('{"-1","0, -1","0, 0, -1","CAST(NULL AS bigint)","0, NULL","0, 0, NULL","0, 9223372036854775807, 9223372036854775807"}'::text[]) AS arguments;
SELECT policy, spent, reserved FROM relay_guard.budget_status() WHERE policy LIKE 'b\_%' ORDER BY policy;
COMMIT;

-- The ledger
SELECT kind, user_id, workspace_id, usage, model, input_price, output_price, input_tokens, output_tokens, reserved, spent
FROM relay_guard.usage_ledger WHERE user_id LIKE 'budget %' ORDER BY id;

SELECT * FROM relay_guard.check_ledger();
DELETE FROM relay_guard.budget_policy WHERE name LIKE 'b\_%';
DELETE FROM relay_guard.model WHERE name IN ('tokens', 'cents');
