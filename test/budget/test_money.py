"""Costs against Python's integers, at the borders of a bigint; nothing that is no amount costs anything."""
import itertools
import random

import pytest
from servers import run, sqlstate

MOST = 10 ** 15         # of a price, and of a hold
TOKENS = 10 ** 9        # of a call
PRICES = (0, 1, 2, 999_999, 1_000_000, 1_000_001, 15_000_000, MOST - 1, MOST)
COUNTS = (0, 1, 2, 999_999, 1_000_000, 1_000_001, TOKENS - 1, TOKENS)


def cost(tokens_and_prices):
    return -(-sum(tokens * price for tokens, price in tokens_and_prices) // 10 ** 6)


@pytest.fixture(scope="module")
def caller(server):
    """Nothing limits it: what a call costs is all that is asked."""
    server.run("""DELETE FROM relay_guard.budget_policy;
                  INSERT INTO relay_guard.model (name, provider, input_price, output_price, embedding_price, max_input_tokens, max_output_tokens)
                      VALUES ('m', 'p', 0, 0, 0, 1000000000, 1000000000)""")
    connection = server.connect(autocommit=False)
    run(connection, "SELECT relay_guard.assume('alice')")
    yield connection
    connection.close()


def priced(caller, in_price, out_price, embedding_price):
    run(caller, "UPDATE relay_guard.model SET input_price = %s, output_price = %s, embedding_price = %s WHERE name = 'm'",
        in_price, out_price, embedding_price)


def charges(caller, calls):
    """What the calls cost, or why they are refused, in one statement."""
    run(caller, """CREATE FUNCTION pg_temp.charged(i bigint, o bigint, e bigint) RETURNS text LANGUAGE plpgsql AS $$
                   BEGIN RETURN (relay_guard.budget_charge('m', i, o, e)).amount;
                   EXCEPTION WHEN OTHERS THEN RETURN SQLSTATE; END $$""")
    return [row[0] for row in run(caller, "SELECT pg_temp.charged(i, o, e) FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[]) AS c (i, o, e)",
                                  *map(list, zip(*calls)))]


@pytest.fixture(autouse=True)
def undone(caller):
    run(caller, "SAVEPOINT test")
    yield
    run(caller, "ROLLBACK TO test")


@pytest.mark.parametrize("seed", range(3))
def test_what_calls_cost(caller, seed):
    draw = random.Random(seed)
    prices = [draw.choice(PRICES + (draw.randrange(MOST),)) for _ in range(2)]
    priced(caller, *prices, 0)
    calls = [(i, o, 0) for i, o in draw.sample(list(itertools.product(COUNTS, COUNTS)), 40)] + \
            [(draw.randrange(TOKENS), draw.randrange(10 ** draw.randrange(1, 10)), 0) for _ in range(60)]
    for (i, o, _), got in zip(calls, charges(caller, calls)):
        expected = cost([(i, prices[0]), (o, prices[1])])
        assert got == (str(expected) if expected <= MOST else "22003"), (i, o, prices)


def test_a_reservation_is_held_at_the_same_cost(caller):
    priced(caller, 3_000_001, 15_000_000, None)
    for tokens in ((1, 0), (999_999, 1), (TOKENS, 7)):
        expected = cost(zip(tokens, (3_000_001, 15_000_000)))
        assert run(caller, "SELECT allowed, amount FROM relay_guard.budget_reserve('m', %s, %s)", *tokens) == [(True, expected)]
    priced(caller, MOST, MOST, None)
    assert sqlstate(caller, "SELECT relay_guard.budget_reserve('m', %s, 0)", TOKENS) == "22003"


def test_embeddings_are_rounded_for_themselves(caller):
    """A row of their own in the ledger, in whole micro-USD like any other."""
    priced(caller, 1, 1, 20_001)
    assert charges(caller, [(0, 0, 1), (0, 0, 999_999), (1, 1, 1), (0, 0, TOKENS)]) == ["1", "20001", "2", str(20_001 * 1000)]
    assert run(caller, "SELECT usage, sum(spent) FROM relay_guard.usage_ledger WHERE model = 'm' GROUP BY 1 ORDER BY 1") == \
        [("embedding", 1 + 20_001 + 1 + 20_001_000), ("llm", 1)]


@pytest.mark.parametrize("tokens", ["-1", "-9223372036854775808", "1.5", "'NaN'::numeric", "'Infinity'::float8", "'NaN'::float8",
                                    "1e30::float8", "9223372036854775808", "'1e3'", "' '", "'٥'"])
def test_what_is_no_number_of_tokens_costs_nothing(caller, tokens):
    priced(caller, 1, 1, 1)
    for call in f"budget_reserve('m', {tokens}, 1)", f"budget_reserve('m', 1, {tokens})", f"budget_charge('m', {tokens})", \
            f"budget_charge('m', 0, {tokens})", f"budget_charge('m', 0, 0, {tokens})":
        run(caller, "SAVEPOINT call")
        assert sqlstate(caller, f"SELECT relay_guard.{call}") in ("22023", "22003", "22P02", "42883"), call
        run(caller, "ROLLBACK TO call")
    assert run(caller, "SELECT count(*) FROM relay_guard.usage_ledger WHERE model = 'm'") == [(0,)]
