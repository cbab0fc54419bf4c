#!/usr/bin/python3
"""What a restart keeps, and what a crash takes."""
import os
import signal

from rates import *

own_server("-c relay_guard.databases=postgres -c relay_guard.flush_interval=1")
connection = connect()
query(connection, "CREATE EXTENSION relay_guard")
query(connection, """INSERT INTO relay_guard.rate_policy (name, identify_by, quota, "window", algorithm) VALUES
    ('sliding', 'user', 100, '300 days', 'sliding_window'), ('fixed', 'ip', 100, '3650 days', 'fixed_window'),
    ('bucket', 'user', 100, '3000 days', 'token_bucket'), ('short', 'user', 100, '3 s', 'token_bucket')""")
LONG = (("sliding", "k"), ("fixed", "10.0.0.1"), ("bucket", "k"))


def take(policy, key, cost):
    return value(connection, "SELECT allowed FROM relay_guard.rate_take_key(%s, %s, %s)", policy, key, cost)


def counters():
    return query(connection, "SELECT name, class, used FROM relay_guard.counter ORDER BY 1")


def stored():
    return query(connection, "SELECT value, used, previous FROM relay_guard.rate_counter ORDER BY policy")


def workers():
    return value(connection, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'relay_guard worker'")


same(workers(), 0, "no worker runs while nothing moves")
for policy, key in LONG:
    take(policy, key, 60)
ok(until(lambda: workers() == 1, 0.9), "the first hit brings one, sooner than the launcher looks")
restart()
connection = reconnect()
before = [("rl:bucket:k", "identity", 60), ("rl:fixed:10.0.0.1", "address", 60), ("rl:sliding:k", "identity", 60)]
until(lambda: counters() == before)
same(counters(), before, "after a restart long windows go on")
for policy, key in LONG:
    same(take(policy, key, 41), False, f"{policy}: 41 of 40 are refused")
    same(take(policy, key, 40), True, f"{policy}: 40 of 40 are allowed")
ok(until(lambda: [row[1] for row in stored()] == [100, 100, 0]), "what moved is stored within the interval")
ok(until(lambda: value(connection, "SELECT bool_and(stored) FROM relay_guard.counter")), "and the view says so")
ok(until(lambda: workers() == 0), "a worker that finds nothing moved exits")

restart()
connection = reconnect()
ok(until(lambda: counters() and [row[2] for row in counters()] == [100, 100, 100]), "a second restart goes on again")

take("short", "k", 100)
ok(until(lambda: len(stored()) == 4), "a short window is stored too")
ok(until(lambda: take("short", "other", 1) and len(stored()) == 3),
    "and deleted when it is past")

# While somebody else has the table, a round fails, and the next makes up for it
query(connection, "INSERT INTO relay_guard.rate_policy (name, identify_by, quota, \"window\") VALUES ('late', 'user', 100, '300 days')")
blocker = connect()
query(blocker, "BEGIN; LOCK TABLE relay_guard.rate_counter")
take("late", "k", 7)
ok(until(lambda: "canceling statement due to lock timeout" in server_log()), "a round that cannot have the table gives up")
query(blocker, "ROLLBACK")
ok(until(lambda: ("k", 7, 0) in stored()), "and what it had taken over is stored by the next")

victim = connect()
os.kill(value(victim, "SELECT pg_backend_pid()"), signal.SIGKILL)
ok(until(lambda: sqlstate(connection, "SELECT 1") is not None or connection.closed), "a killed backend makes the server restart")
connection = reconnect()
same(counters(), [], "after a crash there are no counters")
same(stored(), [], "nor stored ones")
same(take("sliding", "k", 100), True, "limits start afresh")
same(take("sliding", "k", 1), False, "and are limits")
ok(until(lambda: ("k", 100, 0) in stored()), "and are stored again")
ok("TRAP" not in server_log() and "PANIC" not in server_log(), "nothing else broke")
done()
