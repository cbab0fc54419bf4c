-- What the measures of limits, quotas and budgets need; as superuser, in a database of their own
CREATE EXTENSION relay_guard;
CREATE SCHEMA bench;
SELECT relay_guard.usage_maintain() \g /dev/null

-- Limits that are never reached, and a model of which a token costs a millionth of a dollar
INSERT INTO relay_guard.rate_policy (name, identify_by, quota, "window") VALUES ('bench', 'user', 1000000000, '1 hour');
INSERT INTO relay_guard.quota_policy (name, scope, cap, "window") VALUES ('bench', 'user', 1000000000000, 'month');
UPDATE relay_guard.budget_policy SET enabled = false;
INSERT INTO relay_guard.budget_policy (name, scope, "window", hard)
VALUES ('users', 'user', 'month', 1000000000000), ('everybody', 'global', 'month', 1000000000000000);
UPDATE relay_guard.budget_policy SET enabled = false WHERE name = 'everybody';
INSERT INTO relay_guard.model (name, provider, input_price, output_price, embedding_price, max_input_tokens, max_output_tokens)
VALUES ('m', 'bench', 1000000, 1000000, 1000000, 1000000, 1000000);

\ir peers/budget.sql
CREATE TABLE bench.inserted (n bigint NOT NULL, at timestamptz NOT NULL DEFAULT now());
CREATE INDEX ON bench.inserted (n);

-- A transaction for each call, or two, as a pool gives them; users come in an order of no meaning.
CREATE FUNCTION bench.one_of(n bigint, keys bigint) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT 'u' || (1 + n * 7919 % keys) $$;

CREATE PROCEDURE bench.call_nothing(keys bigint, above int, count int) LANGUAGE plpgsql AS $$
BEGIN
	FOR n IN above + 1 .. above + count LOOP
		PERFORM relay_guard.assume(bench.one_of(n, keys));
		PERFORM relay_guard.has_scope('bench');
		COMMIT;
	END LOOP;
END $$;

CREATE PROCEDURE bench.call_insert(keys bigint, above int, count int) LANGUAGE plpgsql AS $$
BEGIN
	FOR n IN above + 1 .. above + count LOOP
		PERFORM relay_guard.assume(bench.one_of(n, keys));
		INSERT INTO bench.inserted (n) VALUES (n);
		COMMIT;
	END LOOP;
END $$;

CREATE PROCEDURE bench.call_quota(keys bigint, above int, count int) LANGUAGE plpgsql AS $$
BEGIN
	FOR n IN above + 1 .. above + count LOOP
		PERFORM relay_guard.assume(bench.one_of(n, keys));
		PERFORM relay_guard.quota_take('bench');
		COMMIT;
	END LOOP;
END $$;

CREATE PROCEDURE bench.call_budget(keys bigint, above int, count int) LANGUAGE plpgsql AS $$
DECLARE
	made uuid;
BEGIN
	FOR n IN above + 1 .. above + count LOOP
		PERFORM relay_guard.assume(bench.one_of(n, keys));
		made := reservation FROM relay_guard.budget_reserve('m', 100, 100);
		COMMIT;
		PERFORM relay_guard.assume(bench.one_of(n, keys));
		PERFORM relay_guard.budget_settle(made, 100, 50);
		COMMIT;
	END LOOP;
END $$;

CREATE PROCEDURE bench.call_row(keys bigint, above int, count int) LANGUAGE plpgsql AS $$
BEGIN
	FOR n IN above + 1 .. above + count LOOP
		PERFORM relay_guard.assume(bench.one_of(n, keys));
		PERFORM bench.budget_take(bench.one_of(n, keys), 1);
		COMMIT;
	END LOOP;
END $$;

-- Users from the one to the other in the ledger, with a take and a charge each as
-- relay_guard writes them, and in the peer's table.
CREATE PROCEDURE bench.fill(above bigint, upto bigint) LANGUAGE plpgsql AS $$
BEGIN
	SET LOCAL session_replication_role = replica;	-- the ledger's triggers refuse it
	PERFORM relay_guard.assume('filler');
	PERFORM relay_guard.quota_take('bench'), relay_guard.budget_charge('m', 1);
	INSERT INTO relay_guard.usage_ledger (id, xid, epoch, recorded_at, reserved_at, kind, policy, value, units, user_id, usage, model,
		model_version, input_price, output_price, input_tokens, output_tokens, reserved, spent)
	SELECT nextval('relay_guard.usage_ledger_id_seq'), l.xid, l.epoch, l.recorded_at, l.reserved_at, l.kind, l.policy,
		CASE WHEN l.value IS NOT NULL THEN 'u' || n END, l.units, 'u' || n, l.usage, l.model,
		l.model_version, l.input_price, l.output_price, l.input_tokens, l.output_tokens, l.reserved, l.spent
	FROM relay_guard.usage_ledger l, generate_series(above + 1, upto) AS n
	WHERE l.user_id = 'filler' AND l.xid = pg_current_xact_id();
	INSERT INTO bench.budget (key) SELECT 'u' || n FROM generate_series(above + 1, upto) AS n;
	COMMIT;
END $$;
