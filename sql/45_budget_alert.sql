
-- Budgets that reached a limit: who was told, and when.

CREATE TABLE budget_alert (
	policy text COLLATE "C" NOT NULL,
	scope text NOT NULL,
	value text COLLATE "C" NOT NULL,
	account bytea NOT NULL,
	window_start timestamptz NOT NULL,
	window_end timestamptz NOT NULL,
	kind text NOT NULL CHECK (kind IN ('warning', 'hard')),
	at timestamptz NOT NULL DEFAULT now(),
	spent bigint NOT NULL,
	reserved bigint NOT NULL,
	"limit" bigint NOT NULL,
	PRIMARY KEY (policy, value, account, window_start, kind, "limit")
);
COMMENT ON TABLE budget_alert IS
'Budgets that reached their warning or their hard limit, once for each window and limit; each row was told to listeners of relay_guard_budget. Rows of windows that ended 400 days ago are deleted.';
COMMENT ON COLUMN budget_alert.policy IS 'budget_policy.name.';
COMMENT ON COLUMN budget_alert.value IS 'Whose budget; at most 64 bytes of it. *: everybody''s.';
COMMENT ON COLUMN budget_alert.account IS 'Tells values apart of which not all is shown; empty for others.';
COMMENT ON COLUMN budget_alert.kind IS
'warning: spent and reserved have reached it; hard: likewise, or something was refused when they had reached the warning, or half of a limit that has none.';
COMMENT ON COLUMN budget_alert.spent IS 'In micro-USD, when it was told; committed.';
COMMENT ON COLUMN budget_alert.reserved IS 'Held by reservations, likewise.';
COMMENT ON COLUMN budget_alert."limit" IS 'What was reached, in micro-USD.';
SELECT pg_catalog.pg_extension_config_dump('budget_alert', '');
CREATE INDEX budget_alert_window_end_idx ON budget_alert (window_end);

-- The row and the message are of one transaction: neither is without the other.  Of
-- messages that are the same a transaction sends one: the account tells them apart.
CREATE FUNCTION budget_alert_tell(policy text, scope text, value text, account bytea, kind text,
	window_start timestamptz, window_end timestamptz, spent bigint, reserved bigint, "limit" bigint)
RETURNS boolean
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' AS $$
WITH told AS (
	INSERT INTO relay_guard.budget_alert
		(policy, scope, value, account, kind, window_start, window_end, spent, reserved, "limit")
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
	ON CONFLICT DO NOTHING
	RETURNING *
)
SELECT count(pg_notify('relay_guard_budget', json_build_object(
	'policy', t.policy, 'scope', t.scope, 'value', t.value, 'account', encode(t.account, 'hex'), 'kind', t.kind,
	'window_start', t.window_start, 'window_end', t.window_end, 'at', t.at,
	'spent_usd', t.spent * 0.000001, 'reserved_usd', t.reserved * 0.000001,
	'limit_usd', t."limit" * 0.000001)::text)) > 0
FROM told t
$$;
COMMENT ON FUNCTION budget_alert_tell(text, text, text, bytea, text, timestamptz, timestamptz, bigint, bigint, bigint) IS
'For the worker: tells listeners of relay_guard_budget that a budget reached a limit, in JSON; false: they were told.';

CREATE FUNCTION budget_alert_forget() RETURNS void
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DELETE FROM relay_guard.budget_alert WHERE window_end < now() - interval '400 days'
$$;
COMMENT ON FUNCTION budget_alert_forget() IS 'For the worker: deletes alerts of windows that are long over.';
