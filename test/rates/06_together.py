#!/usr/bin/python3
"""Limits that many clients take together in opposing orders: no deadlock, and each is exact."""
from rates import *

CLIENTS = 32
ROUNDS = 2000 if LONG else 200  # with RG_LONG ten times as many hits of each client
QUOTAS = {"a": CLIENTS * ROUNDS // 8, "b": CLIENTS * ROUNDS // 6, "c": CLIENTS * ROUNDS // 4}
ORDERS = ("{a,b,c}", "{c,b,a}", "{b,c}", "{c,b}", "{c,a,b}", "{a}")

own_server("-c deadlock_timeout=100ms -c statement_timeout=60s")
admin = connect()
query(admin, """CREATE EXTENSION relay_guard;
    CREATE FUNCTION take(policies text[], rounds int) RETURNS bigint LANGUAGE plpgsql AS $$
    DECLARE n bigint := 0;
    BEGIN
        PERFORM relay_guard.assume('somebody');
        FOR i IN 1..rounds LOOP
            n := n + (SELECT bool_and(allowed)::int FROM relay_guard.rate_take_all(policies));
        END LOOP;
        RETURN n;
    END $$""")
for name, quota in QUOTAS.items():
    query(admin, """INSERT INTO relay_guard.rate_policy (name, identify_by, quota, "window", algorithm)
        VALUES (%s, 'user', %s, '3650 days', %s)""",
        name, quota, {"a": "sliding_window", "b": "token_bucket", "c": "fixed_window"}[name])


def order_of(client):
    return ORDERS[client % len(ORDERS)]


def take(client, connection):
    try:
        return value(connection, "SELECT take(%s::text[], %s)", order_of(client), ROUNDS)
    except psycopg2.Error as error:
        return error


results = together(CLIENTS, take)
same([result for result in results if not isinstance(result, int)], [], f"{CLIENTS} clients in six orders meet no error")
used = {}
for name, quota in QUOTAS.items():
    took = sum(result for client, result in enumerate(results) if name in order_of(client))
    used[name] = value(admin, 'SELECT "limit" - remaining FROM relay_guard.counter WHERE name = %s', f"rl:{name}:somebody")
    same(used[name], took, f"{name} has counted what the calls that name it were allowed, and nothing else")
    ok(took <= quota, f"{name} admits at most its {quota}")
ok(all(any(used[name] == QUOTAS[name] for name in order.strip("{}").split(",")) for order in ORDERS),
    "every order has met a limit that is used up")
same(value(admin, "SELECT sum(deadlocks) FROM pg_stat_database"), 0, "nor a deadlock")
done()
