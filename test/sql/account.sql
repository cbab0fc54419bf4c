-- Accounts of quotas and budgets as operators see them.
\set VERBOSITY terse
-- No day and no month ends while this runs
SELECT FROM pg_sleep(CASE WHEN date_trunc('day', now() + interval '15 s', 'UTC') > now() THEN 16 ELSE 0 END);
INSERT INTO relay_guard.model (name, provider, input_price, output_price, embedding_price, max_input_tokens, max_output_tokens)
VALUES ('account', 'test', 1000000, 1000000, 1000000, 100000, 100000);
INSERT INTO relay_guard.quota_policy (name, scope, cap, "window") VALUES
	('seen_day', 'user', 10, 'day'), ('seen_ever', 'workspace', 100, 'lifetime'), ('seen_ip', 'ip', 3, 'day');
INSERT INTO relay_guard.budget_policy (name, scope, "window", warn, hard) VALUES
	('seen_user', 'user', 'month', 40, 50), ('seen_free', 'workspace', 'day', 1, NULL);

-- Nobody has one before he needs it
SELECT count(*) FROM relay_guard.account WHERE policy LIKE 'seen%';

BEGIN;
SELECT relay_guard.assume('account alice', 'account w', client_ip => '2001:db8::1');
SELECT allowed FROM relay_guard.quota_take('seen_day', 4);
SELECT allowed FROM relay_guard.quota_take('seen_ever', 100);
SELECT allowed FROM relay_guard.quota_take('seen_ip', 3);
SELECT allowed FROM relay_guard.quota_take('seen_ip', 1);
SELECT amount FROM relay_guard.budget_charge('account', 5);
SELECT allowed, amount, warning IS NOT NULL AS warned FROM relay_guard.budget_reserve('account', 0, 45);
-- What is under way counts, and is known to be
SELECT name, used, reserved, pending_used, pending_reserved, pending > 0 AS pending
FROM relay_guard.account WHERE policy LIKE 'seen%' ORDER BY name COLLATE "C";
COMMIT;

SELECT name, kind, scope, value, class, "window", used, reserved, "limit", remaining, warn, seeded, denied, pending
FROM relay_guard.account WHERE policy LIKE 'seen%' ORDER BY name COLLATE "C";
SELECT policy, window_start <= now() AS begun, window_end > now() AS lasts, isfinite(window_end) AS ends,
	now() - last_used < '1 min' AS used_now, a.policy_id = p.id AS is_its_policy
FROM relay_guard.account a
JOIN (SELECT name, id FROM relay_guard.quota_policy UNION ALL SELECT name, id FROM relay_guard.budget_policy) p ON p.name = a.policy
WHERE policy LIKE 'seen%' ORDER BY a.name COLLATE "C";
SELECT name, algorithm, used, "limit", remaining, reset_after > 0 AS resets, denied, ruled_by
FROM relay_guard.counter WHERE policy LIKE 'seen%' ORDER BY name COLLATE "C";
-- What is taken and rolled back moves it twice
SELECT changes AS before FROM relay_guard.account WHERE policy = 'seen_day' \gset
BEGIN;
SELECT relay_guard.assume('account alice');
SELECT allowed FROM relay_guard.quota_take('seen_day', 6);
SELECT used, pending_used FROM relay_guard.account WHERE policy = 'seen_day';
ROLLBACK;
SELECT used, pending_used, changes - :before AS changes FROM relay_guard.account WHERE policy = 'seen_day';

-- Refusals are counted for monitoring; labels name policies and nobody
SELECT name, labels, value FROM relay_guard.metrics()
WHERE name LIKE '%refusals_total' AND labels ->> 'policy' LIKE 'seen%' ORDER BY name, labels;
SELECT count(*) FROM relay_guard.metrics() WHERE labels::text LIKE '%alice%';

-- Accounts of a policy that was changed are not its own any more
UPDATE relay_guard.quota_policy SET cap = 11 WHERE name = 'seen_day';
SELECT count(*) FROM relay_guard.account WHERE policy = 'seen_day';
-- and those that are forgotten are summed again
SELECT relay_guard.usage_rebuild();
SELECT count(*) FROM relay_guard.account WHERE policy LIKE 'seen%';
BEGIN;
SELECT relay_guard.assume('account alice', 'account w');
SELECT used, remaining FROM relay_guard.quota_status('seen_day');
COMMIT;
SELECT name, used, seeded FROM relay_guard.account WHERE policy LIKE 'seen%';

-- No worker looks after this database, and nothing was told
SELECT * FROM relay_guard.usage_status;
SELECT count(*) FROM relay_guard.budget_alert;

-- Administrators read, others do not, and nobody writes
CREATE ROLE account_admin; CREATE ROLE account_app;
SELECT relay_guard.grant_role('admin', 'account_admin'), relay_guard.grant_role('app', 'account_app');
SET ROLE account_admin;
SELECT count(*) FROM relay_guard.account WHERE policy LIKE 'seen%';
SELECT count(*) FROM relay_guard.counter WHERE policy LIKE 'seen%';
SELECT count(*) FROM relay_guard.budget_alert;
DELETE FROM relay_guard.budget_alert;
SELECT relay_guard.budget_alert_tell('p', 'user', 'v', '', 'hard', now(), now(), 1, 1, 1);
SET ROLE account_app;
SELECT count(*) FROM relay_guard.account;
SELECT * FROM relay_guard.read_accounts();
SELECT * FROM relay_guard.budget_alert;
SELECT relay_guard.usage_metrics();
RESET ROLE;
DROP OWNED BY account_admin, account_app; DROP ROLE account_admin, account_app;
DELETE FROM relay_guard.quota_policy WHERE name LIKE 'seen%';
DELETE FROM relay_guard.budget_policy WHERE name LIKE 'seen%';
DELETE FROM relay_guard.model WHERE name = 'account';
