#!/usr/bin/python3
"""A cap of 1000 admits 1000, with 32 clients at once, on a key seen for the first time."""
from rates import *

CLIENTS = 32

own_server()
admin = connect()
query(admin, "CREATE EXTENSION relay_guard")
query(admin, """INSERT INTO relay_guard.rate_policy (name, identify_by, quota, "window", algorithm)
    SELECT algorithm || n, 'user', 1000, '3650 days', algorithm
    FROM unnest('{sliding_window,fixed_window,token_bucket}'::text[]) AS algorithm, generate_series(1, 2) AS n""")


def sum_of(statement_of):
    """Runs statement_of(client) in all clients at once; the sum of what they return."""
    return sum(together(CLIENTS, lambda client, connection: value(connection, statement_of(client))))


def takes(policy, key, cost):
    return lambda client: f"""SELECT count(*) FILTER (WHERE (taken).allowed) FROM
        (SELECT relay_guard.rate_take_key('{policy}', '{key}', {cost}) AS taken
         FROM generate_series(1, 200) OFFSET 0) AS hits"""


def remaining(policy, key):
    return value(admin, "SELECT remaining FROM relay_guard.counter WHERE name = %s", f"rl:{policy}:{key}")


for algorithm in ("sliding_window", "fixed_window", "token_bucket"):
    policy = algorithm + "1"
    admitted = [sum_of(takes(policy, f"key {i}", 1)) for i in range(10)]
    same(admitted, [1000] * 10, f"{algorithm} admits 1000 of {CLIENTS * 200}, ten times")
    same(sum_of(takes(policy, "three", 3)), 333, f"{algorithm} admits 333 hits that weigh 3")
    same(remaining(policy, "three"), 1, f"{algorithm} has 1 left of 1000 after them")

# Two limits taken together, by half of the clients in the other order
query(admin, "CREATE FUNCTION take_both(policies text[]) RETURNS bigint LANGUAGE plpgsql AS $$"
    " DECLARE n bigint := 0; BEGIN PERFORM relay_guard.assume('both');"
    " FOR i IN 1..100 LOOP n := n + (SELECT bool_and(allowed)::int FROM relay_guard.rate_take_all(policies));"
    " END LOOP; RETURN n; END $$")
query(admin, "SELECT relay_guard.rate_take_key('token_bucket2', 'both', 400)")
same(sum_of(lambda client: "SELECT take_both('{sliding_window2,token_bucket2}')" if client % 2
    else "SELECT take_both('{token_bucket2,sliding_window2}')"), 600, "two limits together admit what both have")
same(remaining("sliding_window2", "both"), 400, "and take nothing from one that the other refused")
same(remaining("token_bucket2", "both"), 0, "while the other has none left")
done()
