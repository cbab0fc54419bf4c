#!/usr/bin/python3
"""A held REPEATABLE READ snapshot, as a report or pg_dump holds one, changes nothing.

With RG_LONG=1 for a minute instead of seconds, once a second a round that stores all counters.
"""
import re
import statistics
import threading

from rates import *

KEYS = 10000
ROUNDS = 60 if LONG else 4
TURNS = 12 if LONG else 7
ROW = 300  # bytes that storing one counter once may take, with its share of indexes

own_server("-c relay_guard.databases=postgres -c relay_guard.flush_interval=1 -c autovacuum=off")
admin = connect()
query(admin, """CREATE EXTENSION relay_guard;
    INSERT INTO relay_guard.rate_policy (name, identify_by, quota, "window") VALUES ('p', 'user', 1000000000, '3000 days')""")
script = os.path.join(os.environ["PGHOST"], "script")
with open(script, "w") as file:
    file.write("\\set key random(1, 10)\nSELECT * FROM relay_guard.rate_take_key('p', 'hot' || :key);\n")


def throughput():
    """Transactions a second of eight clients, in a turn of half a second."""
    out = subprocess.check_output(["pgbench", "-n", "-c", "8", "-M", "prepared", "-t", "2500", "-f", script, "postgres"],
        text=True, stderr=subprocess.DEVNULL)
    return float(re.search(r"tps = ([\d.]+)", out).group(1))


def held_snapshot():
    holder = connect()
    query(holder, "BEGIN ISOLATION LEVEL REPEATABLE READ")
    query(holder, "SELECT count(*) FROM relay_guard.rate_counter")
    return holder


def sizes():
    return query(admin, """SELECT pg_table_size('relay_guard.rate_counter'),
        pg_indexes_size('relay_guard.rate_counter'), (SELECT coalesce(pg_relation_size(reltoastrelid), 0)
        FROM pg_class WHERE oid = 'relay_guard.rate_counter'::regclass)""")[0]


def move_all_and_store():
    """Every counter moves once, and the worker has stored it."""
    admitted(admin, "p", "'k' || i", 1, KEYS)
    return until(lambda: value(admin, "SELECT bool_and(stored) FROM relay_guard.counter"))


ratios = []
for turn in range(TURNS):
    without = throughput()
    holder = held_snapshot()
    throughput()  # what a snapshot harms, it harms more with time
    held = throughput()
    query(holder, "ROLLBACK")
    ratios.append(held / without)
ratio = statistics.median(ratios)
tell(f"throughput with a held snapshot / without: {ratio:.2f}, {TURNS} turns, {min(ratios):.2f} to {max(ratios):.2f}")
pain(ratio >= 0.9, "a hot row under a held snapshot collapses")

move_all_and_store()
grown = [sizes()]
holder = held_snapshot()
rounds = 0
while rounds < ROUNDS and move_all_and_store():
    rounds += 1
    grown.append(sizes())
    print(grown[-1])
same(rounds, ROUNDS, "all counters are stored in every round")
query(holder, "ROLLBACK")
query(admin, "VACUUM relay_guard.rate_counter")
for i in range(4):
    move_all_and_store(); print(sizes()); query(admin, "VACUUM relay_guard.rate_counter")
done()
