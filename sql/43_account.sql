
-- Accounts of quotas and budgets, as they live in shared memory and as a worker
-- stores them.

-- Stored accounts, for whoever reads them: the ledger is what they are rebuilt
-- from.  Rows are updated in place of themselves, so the pages keep room for it.
CREATE UNLOGGED TABLE quota_counter (
	key bytea PRIMARY KEY,
	policy int NOT NULL,
	version bigint NOT NULL,
	value text NOT NULL,
	class text NOT NULL,
	window_start timestamptz NOT NULL,
	window_end timestamptz NOT NULL,
	used bigint NOT NULL,
	"limit" bigint,
	stored_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);
COMMENT ON TABLE quota_counter IS
'Accounts of quotas as the worker last stored them, every relay_guard.flush_interval and at shutdown; the view account is exact.';
COMMENT ON COLUMN quota_counter.key IS 'Keyed hash of database, policy, its version, window and value.';
COMMENT ON COLUMN quota_counter.policy IS 'quota_policy.id.';
COMMENT ON COLUMN quota_counter.version IS 'quota_policy.version: rows of former ones are deleted.';
COMMENT ON COLUMN quota_counter.value IS 'Who, readable; at most 64 bytes of it.';
COMMENT ON COLUMN quota_counter.class IS 'address or identity; see counter.';
COMMENT ON COLUMN quota_counter.window_start IS '-infinity for lifetime.';
COMMENT ON COLUMN quota_counter.window_end IS 'From when on the row is deleted; infinity for lifetime.';
COMMENT ON COLUMN quota_counter.used IS 'Taken, also by transactions that were under way then.';

CREATE UNLOGGED TABLE budget_counter (
	key bytea PRIMARY KEY,
	policy int NOT NULL,
	version bigint NOT NULL,
	value text NOT NULL,
	class text NOT NULL,
	window_start timestamptz NOT NULL,
	window_end timestamptz NOT NULL,
	used bigint NOT NULL,
	"limit" bigint,
	reserved bigint NOT NULL,
	warn bigint,
	stored_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);
COMMENT ON TABLE budget_counter IS
'Accounts of budgets, in micro-USD, as the worker last stored them, every relay_guard.flush_interval and at shutdown; the view account is exact.';
COMMENT ON COLUMN budget_counter.key IS 'Keyed hash of database, policy, its version, window and value.';
COMMENT ON COLUMN budget_counter.policy IS 'budget_policy.id.';
COMMENT ON COLUMN budget_counter.version IS 'budget_policy.version: rows of former ones are deleted.';
COMMENT ON COLUMN budget_counter.value IS 'Who, readable; at most 64 bytes of it. *: everybody.';
COMMENT ON COLUMN budget_counter.class IS 'address (anonymous users) or identity; see counter.';
COMMENT ON COLUMN budget_counter.window_end IS 'From when on the row is deleted.';
COMMENT ON COLUMN budget_counter.used IS 'Spent, also by transactions that were under way then.';
COMMENT ON COLUMN budget_counter.reserved IS 'Held by open reservations, likewise.';
COMMENT ON COLUMN budget_counter."limit" IS 'budget_policy.hard.';
COMMENT ON COLUMN budget_counter.warn IS 'budget_policy.warn.';

CREATE FUNCTION read_accounts(OUT name text, OUT kind text, OUT policy text, OUT policy_id int,
	OUT scope text, OUT value text, OUT class text, OUT "window" text,
	OUT window_start timestamptz, OUT window_end timestamptz,
	OUT used bigint, OUT reserved bigint, OUT pending_used bigint, OUT pending_reserved bigint,
	OUT pending int, OUT "limit" bigint, OUT remaining bigint, OUT warn bigint,
	OUT seeded boolean, OUT changes bigint, OUT denied bigint,
	OUT last_used timestamptz, OUT stored boolean)
RETURNS SETOF record
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'relay_guard_read_accounts';
COMMENT ON FUNCTION read_accounts() IS
'Rows of the view account. No rows where shared_preload_libraries does not name relay_guard.';

CREATE VIEW account AS SELECT * FROM read_accounts();
COMMENT ON VIEW account IS
'The accounts of this database''s quotas and budgets in shared memory, exact and without lag, of windows that are not over. Others are summed from the ledger when somebody needs them.';
COMMENT ON COLUMN account.name IS 'q:<policy>:<value> or b:<policy>:<value>.';
COMMENT ON COLUMN account.kind IS 'quota (in its unit) or budget (in micro-USD).';
COMMENT ON COLUMN account.policy_id IS 'quota_policy.id or budget_policy.id.';
COMMENT ON COLUMN account.value IS 'Who; at most 64 bytes of it. *: everybody.';
COMMENT ON COLUMN account.class IS
'address: addresses and anonymous users, at most half of the table; identity.';
COMMENT ON COLUMN account."window" IS 'hour, day, month or lifetime.';
COMMENT ON COLUMN account.window_start IS '-infinity for lifetime.';
COMMENT ON COLUMN account.window_end IS 'infinity for lifetime.';
COMMENT ON COLUMN account.used IS 'Taken or spent, by committed transactions and those under way; NULL: not yet summed.';
COMMENT ON COLUMN account.reserved IS 'Held by open reservations, likewise.';
COMMENT ON COLUMN account.pending_used IS 'Of used, what transactions under way have added.';
COMMENT ON COLUMN account.pending_reserved IS 'Of reserved, likewise.';
COMMENT ON COLUMN account.pending IS 'By how many transactions and savepoints under way it is held; what they free is free when they commit.';
COMMENT ON COLUMN account."limit" IS 'The quota''s cap or the budget''s hard limit; NULL: none.';
COMMENT ON COLUMN account.remaining IS 'What is left before the limit.';
COMMENT ON COLUMN account.warn IS 'What the budget warns of; NULL: nothing.';
COMMENT ON COLUMN account.seeded IS 'Whether it has been summed from the ledger since it entered the table.';
COMMENT ON COLUMN account.changes IS 'Grows with every change: who compares two readings knows whether it moved.';
COMMENT ON COLUMN account.denied IS 'What it has refused since it entered the table.';
COMMENT ON COLUMN account.stored IS 'Whether quota_counter or budget_counter has the same.';

CREATE VIEW counter AS
SELECT name, policy, value, class, algorithm, used, "limit", remaining, reset_after, denied,
	last_used, stored, ruled_by
FROM read_counters()
UNION ALL
SELECT name, policy, value, class, "window", used + reserved, "limit", remaining,
	CASE WHEN isfinite(window_end) THEN extract(epoch FROM window_end - clock_timestamp())::float8 END,
	denied, last_used, stored, 'policy'
FROM read_accounts() WHERE seeded;
COMMENT ON VIEW counter IS
'The counters of this database in shared memory, exact and without lag; those that are past are left out. The view account tells more of quotas and budgets.';
COMMENT ON COLUMN counter.name IS 'rl:<policy>:<value> of a rate limit, q:<policy>:<value> of a quota, b:<policy>:<value> of a budget.';
COMMENT ON COLUMN counter.value IS 'What is counted; at most 64 bytes of it. (overflow): all keys of the policy that found no place.';
COMMENT ON COLUMN counter.class IS
'address: addresses and anonymous users, at most half of the table; identity; overflow.';
COMMENT ON COLUMN counter.algorithm IS 'Of a rate limit; of a quota or budget its window: hour, day, month or lifetime.';
COMMENT ON COLUMN counter.used IS 'Of a budget spent and reserved, in micro-USD.';
COMMENT ON COLUMN counter.reset_after IS 'In seconds; NULL: never.';
COMMENT ON COLUMN counter.denied IS 'Hits refused, or by a shadow policy that would have been, since the counter was made.';
COMMENT ON COLUMN counter.stored IS 'Whether rate_counter, quota_counter or budget_counter has the same.';
COMMENT ON COLUMN counter.ruled_by IS
'Where its limit comes from: policy, or an override of kind key or role; a role''s counter is one of its own.';
