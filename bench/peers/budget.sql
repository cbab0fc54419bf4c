-- Budgets as they are kept without relay_guard: a row for each, locked, checked and updated.
CREATE TABLE bench.budget (
	key text PRIMARY KEY,
	spent bigint NOT NULL DEFAULT 0,
	hard bigint NOT NULL DEFAULT 1000000000000
) WITH (fillfactor = 50);

CREATE FUNCTION bench.budget_take(whose text, amount bigint) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	found bench.budget;
BEGIN
	SELECT * INTO STRICT found FROM bench.budget WHERE key = whose FOR UPDATE;
	IF found.spent + amount > found.hard THEN
		RETURN false;
	END IF;
	UPDATE bench.budget SET spent = spent + amount WHERE key = whose;
	RETURN true;
END $$;

CREATE FUNCTION bench.budget_settle(whose text, held bigint, amount bigint) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	UPDATE bench.budget SET spent = spent - held + amount WHERE key = whose;
	RETURN FOUND;
END $$;
