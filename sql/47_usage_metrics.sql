
-- Quotas, budgets and their ledger, for monitoring.

CREATE FUNCTION read_usage_totals(OUT kind text, OUT policy int, OUT denied bigint)
RETURNS SETOF record
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'relay_guard_read_usage_totals';
COMMENT ON FUNCTION read_usage_totals() IS
'What each quota and budget of this database has refused since the server started, by the id of its policy.';

CREATE FUNCTION read_usage_status(OUT rolled_at timestamptz, OUT pending boolean, OUT failures bigint,
	OUT warnings bigint, OUT hard_alerts bigint, OUT expired bigint)
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'relay_guard_read_usage_status';
COMMENT ON FUNCTION read_usage_status() IS 'The row of the view usage_status.';

CREATE VIEW usage_status AS SELECT * FROM read_usage_status();
COMMENT ON VIEW usage_status IS
'How the worker "relay_guard ledger" of this database fares, since the server started; all NULL where relay_guard.databases does not name it: then nothing is summed up, no lease runs out and nobody is told of budgets.';
COMMENT ON COLUMN usage_status.rolled_at IS 'When its last round ended well; NULL: none yet.';
COMMENT ON COLUMN usage_status.pending IS 'Whether there is more to do, or it is being done.';
COMMENT ON COLUMN usage_status.failures IS 'Rounds in which something failed, and workers that could not be started.';
COMMENT ON COLUMN usage_status.warnings IS 'Warnings of budgets it has told of.';
COMMENT ON COLUMN usage_status.hard_alerts IS 'Hard limits of budgets it has told of.';
COMMENT ON COLUMN usage_status.expired IS 'Reservations it has ended because their lease was over.';

-- From shared memory where the account lives there; from the totals, as of their
-- last round, where nobody has needed it since the server started.
CREATE FUNCTION read_global_budgets(OUT policy text, OUT window_start timestamptz, OUT window_end timestamptz,
	OUT spent bigint, OUT reserved bigint, OUT warn bigint, OUT hard bigint)
RETURNS SETOF record
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'relay_guard_read_global_budgets';
COMMENT ON FUNCTION read_global_budgets() IS
'The enabled budgets of scope global in their present windows, in micro-USD; spent and reserved are NULL for accounts that are not in shared memory.';

CREATE FUNCTION global_budgets(OUT policy text, OUT spent bigint, OUT reserved bigint, OUT warn bigint, OUT hard bigint)
RETURNS SETOF record
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
SELECT b.policy, coalesce(b.spent, t.used, 0), coalesce(b.reserved, t.reserved, 0), b.warn, b.hard
FROM relay_guard.read_global_budgets() b
LEFT JOIN LATERAL (
	SELECT sum(used)::bigint AS used, sum(reserved)::bigint AS reserved
	FROM relay_guard.usage_total
	WHERE b.spent IS NULL AND scope = 'global' AND NOT daily AND bucket >= b.window_start AND bucket < b.window_end
) t ON true
$$;
COMMENT ON FUNCTION global_budgets() IS
'The enabled budgets of scope global in their present windows, in micro-USD; of those that are not in shared memory what the last round has summed up.';

-- Labels come from the tables of policies alone, never from what clients send.
CREATE FUNCTION usage_metrics(OUT name text, OUT type text, OUT help text,
	OUT labels jsonb, OUT value float8)
RETURNS SETOF record
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
WITH status AS (SELECT * FROM relay_guard.read_usage_status()),
refused AS (SELECT * FROM relay_guard.read_usage_totals()),
m (name, type, help, labels, value) AS (
	SELECT 'relay_budget_usd', 'gauge', 'Budgets for everybody in their present windows, in USD.',
		jsonb_build_object('policy', b.policy, 'kind', v.kind), v.amount * 0.000001
	FROM relay_guard.global_budgets() b,
		LATERAL (VALUES ('spent', spent), ('reserved', reserved), ('warn', warn), ('hard', hard)) AS v (kind, amount)
	UNION ALL
	SELECT 'relay_quota_refusals_total', 'counter', 'What a quota refused.',
		jsonb_build_object('policy', p.name), coalesce(r.denied, 0)
	FROM relay_guard.quota_policy p LEFT JOIN refused r ON r.kind = 'quota' AND r.policy = p.id
	UNION ALL
	SELECT 'relay_budget_refusals_total', 'counter', 'What a budget refused.',
		jsonb_build_object('policy', p.name), coalesce(r.denied, 0)
	FROM relay_guard.budget_policy p LEFT JOIN refused r ON r.kind = 'budget' AND r.policy = p.id
	UNION ALL
	SELECT 'relay_budget_alerts_total', 'counter', 'Budgets that reached a limit, once for each window.',
		jsonb_build_object('kind', v.kind), v.alerts
	FROM status, LATERAL (VALUES ('warning', warnings), ('hard', hard_alerts)) AS v (kind, alerts)
	UNION ALL
	SELECT 'relay_budget_open_reservations', 'gauge', 'Reservations that were open at the last round.', '{}', count(*)
	FROM relay_guard.open_reservation
	UNION ALL
	SELECT s.name, s.type, s.help, '{}', s.value
	FROM status, LATERAL (VALUES
		('relay_budget_leases_expired_total', 'counter', 'Reservations that were charged because their lease was over.', expired),
		('relay_usage_ledger_round_age_seconds', 'gauge', 'Time since the usage ledger was last summed up; 0 when nothing is left to.',
			CASE WHEN pending THEN extract(epoch FROM clock_timestamp() - rolled_at) ELSE 0 END),
		('relay_usage_ledger_failures_total', 'counter', 'Failed rounds of looking after the usage ledger.', failures)
	) AS s (name, type, help, value)
)
SELECT m.name, m.type, m.help, m.labels, m.value FROM m WHERE m.value IS NOT NULL
$$;
COMMENT ON FUNCTION usage_metrics() IS 'The part of metrics() that tells of quotas, budgets and the usage ledger.';
