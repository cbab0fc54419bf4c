#!/usr/bin/python3
"""A full table admits nobody for being full, and addresses push no identity aside."""
from rates import *

own_server("-c relay_guard.max_counters=1024")
connection = connect()
query(connection, "CREATE EXTENSION relay_guard")
query(connection, """INSERT INTO relay_guard.rate_policy (name, identify_by, quota, "window", algorithm) VALUES
    ('address', 'ip', 5, '1 day', 'sliding_window'), ('person', 'user', 5, '1 day', 'sliding_window'),
    ('moment', 'ip', 5, '1 us', 'token_bucket'), ('free', 'ip', 1000000, '1 day', 'sliding_window')""")


def status():
    columns = ("max", "used_by_addresses", "used_by_identities", "used_by_overflows", "evictions", "overflows")
    row = query(connection, f"SELECT {', '.join(columns)} FROM relay_guard.counter_status")[0]
    return dict(zip(columns, row))


ADDRESS = "('10.0.0.0'::inet + i)::text"
got = admitted(connection, "moment", ADDRESS, 1, 3000)
same(got, 3000, "addresses whose counters are past make room for the next")
ok(status()["evictions"] >= 2000, "by eviction")
query(connection, "SELECT pg_sleep(0.1)")

got = admitted(connection, "address", ADDRESS, 1, 3000)
now = status()
same(now["max"], 1024, "the table has room for 1024")
ok(now["used_by_addresses"] <= 512, "addresses hold at most half of it")
same(got, now["used_by_addresses"] + 5, "those without a place share one counter")
same(value(connection, "SELECT used FROM relay_guard.counter WHERE name = 'rl:address:(overflow)'"), 5, "which is seen")
same(admitted(connection, "address", ADDRESS, 1, 3000) <= 4 * now["used_by_addresses"], True, "a second round admits nobody new")
ok(status()["overflows"] >= 2488, "and the shared ones are told")

same(admitted(connection, "person", "'p' || i", 1, 128), 128, "people are admitted all the same")
ok(status()["used_by_identities"] >= 120, "with counters of their own")
same(admitted(connection, "person", "'p1'", 1, 10), 4, "that count them")
got = admitted(connection, "person", "'p' || i", 1000, 3000)
ok(got <= 1024 - 512 - 120 + 5, "also when the rest is full")
query(connection, "BEGIN; SELECT relay_guard.assume('anon:1', client_ip => '10.9.9.9')")
same(value(connection, "SELECT bool_and(allowed) FROM relay_guard.rate_take_all('{free,free,person}')"), False,
    "several limits, two of them in one shared counter, are refused together")
same(query(connection, "SELECT used FROM relay_guard.counter WHERE policy = 'free'"), [], "and take nothing")
query(connection, "COMMIT")

# More policies than there are places for shared counters
query(connection, """INSERT INTO relay_guard.rate_policy (name, identify_by, quota, "window")
    SELECT 'many' || i, 'ip', 5, '1 day' FROM generate_series(1, 1500) AS i""")
before = status()
got = value(connection, f"""SELECT count(*) FILTER (WHERE (taken).allowed) FROM
    (SELECT relay_guard.rate_take_key('many' || i, {ADDRESS}) AS taken FROM generate_series(1, 1500) AS i OFFSET 0) AS hits""")
now = status()
ok(now["used_by_overflows"] <= 512, "shared counters are limited too")
same(got, sum(now[used] - before[used] for used in ("used_by_addresses", "used_by_overflows", "evictions")),
    "and who finds no counter at all is refused")
done()
