
-- Usage as answers tell of it: dollars, and nobody else's.

CREATE FUNCTION usd(micro_usd bigint) RETURNS numeric
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
RETURN trim_scale(micro_usd * 0.000001);
COMMENT ON FUNCTION usd(bigint) IS 'Micro-USD as dollars, exactly.';

CREATE FUNCTION utc_text(at timestamptz) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
RETURN to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"');
COMMENT ON FUNCTION utc_text(timestamptz) IS 'A time as answers tell it, in whole seconds.';

-- The calendar of quotas and budgets
CREATE FUNCTION usage_period(unit text) RETURNS timestamptz
LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp
RETURN date_trunc(unit, now(), current_setting('relay_guard.timezone'));
COMMENT ON FUNCTION usage_period(text) IS 'When the hour, day or month of now began, in relay_guard.timezone.';

-- What was settled, has run out or was charged; a reservation's estimate is none of it.
CREATE FUNCTION usage_own_since(since timestamptz) RETURNS json
LANGUAGE sql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
SELECT json_build_object(
	'from', relay_guard.utc_text(since),
	'spend_usd', coalesce(relay_guard.usd(sum(m.spent)::bigint), 0),
	'input_tokens', coalesce(sum(m.input_tokens), 0),
	'output_tokens', coalesce(sum(m.output_tokens), 0),
	'models', coalesce(json_agg(json_build_object(
		'model', m.model, 'usage', m.usage, 'calls', m.calls,
		'input_tokens', m.input_tokens, 'output_tokens', m.output_tokens,
		'spend_usd', relay_guard.usd(m.spent)) ORDER BY m.model, m.usage), '[]'))
FROM (SELECT l.model, l.usage, count(*) AS calls, sum(l.spent)::bigint AS spent,
		coalesce(sum(l.input_tokens), 0)::bigint AS input_tokens,
		coalesce(sum(l.output_tokens), 0)::bigint AS output_tokens
	FROM relay_guard.usage_ledger l
	WHERE l.user_id = relay_guard.user_id() AND l.policy IS NULL AND l.reserved_at >= since
		AND l.kind IN ('settle', 'expire', 'charge')
	GROUP BY l.model, l.usage) m
$$;
COMMENT ON FUNCTION usage_own_since(timestamptz) IS 'What the current identity''s user has spent since then, by model.';

-- Not the global ones: what they count is everybody's.
CREATE FUNCTION usage_own_quotas() RETURNS json
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
SELECT coalesce(json_agg(json_build_object(
	'policy', q.name, 'scope', q.scope, 'window', q."window", 'unit', q.unit, 'limit', s."limit",
	'used', s.used, 'remaining', s.remaining, 'resets_at', relay_guard.utc_text(s.resets_at)) ORDER BY q.name), '[]')
FROM (SELECT name, scope, "window", unit FROM relay_guard.quota_policy
	WHERE enabled AND CASE scope
		WHEN 'user' THEN relay_guard.user_id() IS NOT NULL
		WHEN 'anonymous' THEN relay_guard.user_id() LIKE 'anon:_%'
		WHEN 'workspace' THEN relay_guard.workspace_id() <> ''
		WHEN 'api_key' THEN relay_guard.via() = 'api_key'
		WHEN 'ip' THEN relay_guard.client_ip() IS NOT NULL
	END OFFSET 0) q
CROSS JOIN LATERAL relay_guard.quota_status(q.name) s
$$;
COMMENT ON FUNCTION usage_own_quotas() IS 'The quotas that bind the current identity, apart from global ones.';

CREATE FUNCTION usage_own_budgets() RETURNS json
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
SELECT coalesce(json_agg(json_build_object(
	'policy', s.policy, 'scope', s.scope, 'window', s."window",
	'spent_usd', relay_guard.usd(s.spent), 'reserved_usd', relay_guard.usd(s.reserved),
	'remaining_usd', relay_guard.usd(s.remaining), 'warning_threshold_usd', relay_guard.usd(s.warn),
	'hard_limit_usd', relay_guard.usd(s.hard), 'resets_at', relay_guard.utc_text(s.window_end),
	'at_warning', s.at_warning, 'blocked', s.blocked) ORDER BY s.policy), '[]')
FROM relay_guard.budget_status() s
WHERE s.scope <> 'global' AND relay_guard.user_id() IS NOT NULL
$$;
COMMENT ON FUNCTION usage_own_budgets() IS 'The budgets that bind the current identity, apart from global ones.';

CREATE FUNCTION usage_own() RETURNS json
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
SELECT json_build_object(
	'today', relay_guard.usage_own_since(relay_guard.usage_period('day')),
	'this_month', relay_guard.usage_own_since(relay_guard.usage_period('month')),
	'quotas', relay_guard.usage_own_quotas(),
	'budgets', relay_guard.usage_own_budgets(),
	'blocked', coalesce((SELECT bool_or(blocked) FROM relay_guard.budget_status()), false))
$$;
COMMENT ON FUNCTION usage_own() IS
'What the current identity has used: {"today", "this_month", "quotas", "budgets", "blocked"}; blocked also by a global budget, of which nothing else is told.';

-- Of several global budgets of a day the tightest is shown; any that is used up blocks.
-- The sub-select makes the day be computed once, not for each row.
CREATE FUNCTION budget_report(OUT date date, OUT llm_spend_usd numeric, OUT embedding_spend_usd numeric,
	OUT total_spend_usd numeric, OUT warning_threshold_usd numeric, OUT hard_limit_usd numeric,
	OUT at_warning boolean, OUT blocked boolean)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
WITH global AS (
	SELECT s."window", s.warn, s.hard, s.at_warning, s.blocked FROM relay_guard.budget_status('global') s
), daily AS (
	SELECT g.warn, g.hard FROM global g WHERE g."window" = 'day' ORDER BY g.hard, g.warn LIMIT 1
), spend AS (
	SELECT coalesce(sum(l.spent) FILTER (WHERE l.usage = 'llm'), 0)::bigint AS llm,
		coalesce(sum(l.spent) FILTER (WHERE l.usage = 'embedding'), 0)::bigint AS embedding
	FROM relay_guard.usage_ledger l
	WHERE l.reserved_at >= (SELECT relay_guard.usage_period('day')) AND l.policy IS NULL
)
SELECT relay_guard.usage_day(now()),
	relay_guard.usd(s.llm), relay_guard.usd(s.embedding), relay_guard.usd(s.llm + s.embedding),
	relay_guard.usd((SELECT warn FROM daily)), relay_guard.usd((SELECT hard FROM daily)),
	coalesce((SELECT bool_or(g.at_warning) FROM global g), false),
	coalesce((SELECT bool_or(g.blocked) FROM global g), false)
FROM spend s
$$;
COMMENT ON FUNCTION budget_report() IS
'What all users together have spent today, in dollars, and the global budget of a day.';
