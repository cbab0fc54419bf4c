-- The ledger of quotas and budgets
SET client_min_messages = warning;
CREATE ROLE rg_ledger_app;
CREATE ROLE rg_ledger_admin;
SELECT relay_guard.grant_role('app', 'rg_ledger_app');
SELECT relay_guard.grant_role('admin', 'rg_ledger_admin');
SELECT relay_guard.usage_maintain() \g /dev/null
SELECT relay_guard.usage_maintain();
SELECT count(*), min(upper - lower) >= '28 days' AS months, bool_and(lower <= now()) FILTER (WHERE upper > now() AND lower <= now()) AS has_now
FROM relay_guard.month_partitions('relay_guard.usage_ledger');
SELECT replace(indexdef, tablename, 'partition') FROM pg_indexes
WHERE tablename = to_char(now() AT TIME ZONE 'UTC', '"usage_ledger_"YYYY_MM') ORDER BY 1;

-- nobody writes it, not even a superuser
INSERT INTO relay_guard.usage_ledger DEFAULT VALUES;
UPDATE relay_guard.usage_ledger SET spent = 0;
DELETE FROM relay_guard.usage_ledger;
TRUNCATE relay_guard.usage_ledger;
DO $$
DECLARE
    partition regclass := (SELECT p.partition FROM relay_guard.month_partitions('relay_guard.usage_ledger') p LIMIT 1);
    command text;
BEGIN
    FOREACH command IN ARRAY ARRAY['INSERT INTO %s DEFAULT VALUES', 'UPDATE %s SET spent = 0', 'DELETE FROM %s', 'TRUNCATE %s'] LOOP
        BEGIN
            EXECUTE format(command, partition);
            RAISE WARNING '%: not refused', command;
        EXCEPTION WHEN insufficient_privilege THEN NULL;
        END;
    END LOOP;
END
$$;
SET ROLE rg_ledger_app;
SELECT * FROM relay_guard.usage_ledger;
SELECT * FROM relay_guard.usage_sum('user', 0, 'u1', '-infinity', 'infinity');
SELECT relay_guard.usage_roll();
RESET ROLE;

-- what an app does
INSERT INTO relay_guard.model (name, provider, input_price, output_price, embedding_price, max_input_tokens, max_output_tokens)
VALUES ('rg_ledger', 'test', 1000000, 2000000, 500000, 1000000, 1000000);
INSERT INTO relay_guard.quota_policy (name, scope, cap, "window") VALUES ('rg_ledger', 'user', 100, 'lifetime');
SET ROLE rg_ledger_app;
BEGIN;
RESET ROLE;
SELECT relay_guard.assume('ledger_u1', 'ledger_w1');
SET ROLE rg_ledger_app;
SELECT used FROM relay_guard.quota_take('rg_ledger', 3);
SELECT reservation FROM relay_guard.budget_reserve('rg_ledger', 100, 50) \gset
SELECT outcome, amount FROM relay_guard.budget_extend(:'reservation', 25);
SAVEPOINT s;
SELECT outcome FROM relay_guard.budget_settle(:'reservation', 100, 75);
ROLLBACK TO s;
SELECT outcome, amount, held FROM relay_guard.budget_settle(:'reservation', 90, 60);
SELECT reservation FROM relay_guard.budget_reserve('rg_ledger', 10, 0) \gset
SELECT outcome, amount, held FROM relay_guard.budget_release(:'reservation');
SELECT reservation FROM relay_guard.budget_reserve('rg_ledger', 1, 1) \gset
SELECT amount FROM relay_guard.budget_charge('rg_ledger', 1, 1, 1000);
COMMIT;
SET ROLE rg_ledger_admin;
SELECT kind, policy IS NOT NULL AS quota, value, units, user_id, workspace_id, usage, input_price, output_price,
       input_tokens, output_tokens, reserved, spent, lease_until IS NOT NULL AS leased
FROM relay_guard.usage_ledger WHERE user_id = 'ledger_u1' ORDER BY id;
SELECT used, reserved FROM relay_guard.usage_total WHERE value = 'ledger_u1';
SELECT relay_guard.usage_roll() > 0 AS counted;
SELECT scope, value, daily, sum(used), sum(reserved) FROM relay_guard.usage_total
WHERE value IN ('ledger_u1', 'ledger_w1') GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;
SELECT reservation = :'reservation' AS open FROM relay_guard.open_reservation WHERE reservation = :'reservation';
SELECT day = (now() AT TIME ZONE 'UTC')::date AS today, user_id, spent, reserved, llm_spent, embedding_spent, input_tokens, output_tokens, calls
FROM relay_guard.usage_by_user WHERE user_id = 'ledger_u1';
SELECT workspace_id, spent, reserved FROM relay_guard.usage_by_workspace WHERE workspace_id = 'ledger_w1';
SELECT model, usage, spent, reserved, input_tokens, output_tokens, calls FROM relay_guard.usage_by_model WHERE model = 'rg_ledger' ORDER BY usage;
SELECT sum(spent) >= 713 AS spent FROM relay_guard.usage_by_day;
SELECT * FROM relay_guard.check_ledger();
RESET ROLE;
SELECT * FROM relay_guard.usage_sum('user', 0, 'ledger_u1', '-infinity', 'infinity');
SELECT * FROM relay_guard.usage_sum('workspace', 0, 'ledger_w1', '-infinity', 'infinity');
SELECT * FROM relay_guard.usage_sum('anything', 0, 'ledger_w1', '-infinity', 'infinity');
SELECT * FROM relay_guard.usage_sum('ip', 0, 'ledger_w1', '-infinity', 'infinity');

-- rounds come first in their transaction, and read-only ones write nothing
BEGIN;
SELECT pg_current_xact_id() IS NOT NULL AS has_xid;
SELECT relay_guard.usage_roll();
ROLLBACK;
BEGIN READ ONLY;
SELECT relay_guard.quota_take('rg_ledger', 1);
ROLLBACK;

SELECT relay_guard.budget_release(:'reservation') IS NULL AS not_mine;
BEGIN;
SELECT relay_guard.assume('ledger_u1', 'ledger_w1');
SELECT outcome FROM relay_guard.budget_release(:'reservation');
COMMIT;
DELETE FROM relay_guard.quota_policy WHERE name = 'rg_ledger';
DELETE FROM relay_guard.model WHERE name = 'rg_ledger';
DROP OWNED BY rg_ledger_app, rg_ledger_admin;
DROP ROLE rg_ledger_app, rg_ledger_admin;
