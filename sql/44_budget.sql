
-- Budgets for language models. Amounts are micro-USD.

CREATE FUNCTION budget_reserve(model text, input_tokens bigint, max_output_tokens bigint,
	ttl interval DEFAULT '10 min',
	OUT reservation uuid, OUT allowed boolean, OUT blocked_by text, OUT amount bigint, OUT remaining bigint,
	OUT warning text, OUT expires_at timestamptz, OUT resets_at timestamptz)
LANGUAGE C VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'relay_guard_budget_reserve';
COMMENT ON FUNCTION budget_reserve(text, bigint, bigint, interval) IS
'Reserves what so many tokens cost at most, in every budget that binds the current identity or in none (blocked_by). Commit it before the model is called; what is not settled when the lease ends is charged.';

CREATE FUNCTION budget_extend(reservation uuid, tokens bigint, ttl interval DEFAULT NULL,
	OUT outcome text, OUT allowed boolean, OUT blocked_by text, OUT amount bigint, OUT remaining bigint,
	OUT warning text, OUT expires_at timestamptz, OUT resets_at timestamptz)
LANGUAGE C VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'relay_guard_budget_extend';
COMMENT ON FUNCTION budget_extend(uuid, bigint, interval) IS
'Holds what so many output tokens more cost, and makes the lease as long as ttl from now. outcome: extended, blocked, already_settled, already_released or expired; amount: held in all, or charged.';

CREATE FUNCTION budget_settle(reservation uuid, input_tokens bigint, output_tokens bigint,
	OUT outcome text, OUT amount bigint, OUT held bigint)
LANGUAGE C VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'relay_guard_budget_settle';
COMMENT ON FUNCTION budget_settle(uuid, bigint, bigint) IS
'Charges what was used, at the prices of the reservation, in place of what was held. outcome: settled; already_settled, already_released or expired (amount: what was charged then) changes nothing.';

CREATE FUNCTION budget_release(reservation uuid,
	OUT outcome text, OUT amount bigint, OUT held bigint)
LANGUAGE C VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'relay_guard_budget_release';
COMMENT ON FUNCTION budget_release(uuid) IS
'Gives back what was held, for a call that was not made. outcome: released; already_settled, already_released or expired changes nothing.';

CREATE FUNCTION budget_expire(reservation uuid,
	OUT outcome text, OUT amount bigint, OUT held bigint)
LANGUAGE C VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'relay_guard_budget_expire';
COMMENT ON FUNCTION budget_expire(uuid) IS
'For the worker: charges what is held once the lease is over. outcome: expired, or how it ended before; open: it is not over.';

CREATE FUNCTION budget_charge(model text, input_tokens bigint DEFAULT 0, output_tokens bigint DEFAULT 0,
	embedding_tokens bigint DEFAULT 0,
	OUT amount bigint, OUT over text, OUT warning text)
LANGUAGE C VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'relay_guard_budget_charge';
COMMENT ON FUNCTION budget_charge(text, bigint, bigint, bigint) IS
'Charges what was spent without a reservation, such as embeddings. Never refused; over names a budget that is beyond its limit now.';

CREATE FUNCTION budget_status(scope text DEFAULT NULL)
RETURNS TABLE (policy text, scope text, value text, "window" text, window_start timestamptz, window_end timestamptz,
	spent bigint, reserved bigint, warn bigint, hard bigint, remaining bigint, at_warning boolean, blocked boolean)
LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 4 AS 'MODULE_PATHNAME', 'relay_guard_budget_status';
COMMENT ON FUNCTION budget_status(text) IS
'The budgets of one scope, or all, that bind the current identity: what they hold in this window.';

CREATE FUNCTION usage_rebuild() RETURNS void
LANGUAGE C VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'relay_guard_usage_rebuild';
COMMENT ON FUNCTION usage_rebuild() IS
'Forgets what shared memory holds of this database''s quotas and budgets, but for what transactions under way are changing; each is summed from the ledger when it is next needed.';
