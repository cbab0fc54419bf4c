#!/usr/bin/python3
"""The wall clock is set, forward and back, under a server that runs: by libfaketime, of Debian's package faketime.

Windows and buckets go by the time since boot and notice nothing; a fixed
window goes by the calendar, and neither freezes nor opens twice.
"""
import glob

from rates import *

HOUR = 3600
own_server("-c relay_guard.databases=postgres -c relay_guard.flush_interval=1")
library = glob.glob("/usr/lib/*/faketime/libfaketime.so.1")
if not library:
    print("ok 1 # SKIP no package faketime\n1..1")
    sys.exit()
setting = os.path.join(os.environ["PGHOST"], "clock")


def set_clock(seconds):
    with open(setting, "w") as file:
        file.write(f"{seconds:+d}\n")


set_clock(0)
os.chmod(setting, 0o644)
restart(LD_PRELOAD=library[0], FAKETIME_TIMESTAMP_FILE=setting, FAKETIME_NO_CACHE="1", FAKETIME_DONT_FAKE_MONOTONIC="1")
connection = connect()
query(connection, """CREATE EXTENSION relay_guard;
    INSERT INTO relay_guard.rate_policy (name, identify_by, quota, "window", algorithm)
        SELECT algorithm, 'user', 10, CASE algorithm WHEN 'fixed_window' THEN interval '10 min' ELSE '10 hours' END, algorithm FROM unnest('{sliding_window,fixed_window,token_bucket}'::text[]) AS algorithm
        UNION ALL SELECT 'short_' || algorithm, 'user', 10, '1 s', algorithm FROM unnest('{sliding_window,token_bucket}'::text[]) AS algorithm""")
same(value(connection, "SELECT abs(extract(epoch FROM clock_timestamp()) - %s) < 5", time.time()), True, "the server's clock is right")


def take(policy, key="k"):
    return admitted(connection, policy, f"'{key}'", 1, 100)


def step(seconds):
    set_clock(seconds)
    return value(connection, "SELECT extract(epoch FROM clock_timestamp())::float8") - time.time()


ELAPSING = ("sliding_window", "token_bucket")
for policy in ELAPSING + ("fixed_window",):
    same(take(policy), 10, f"{policy}: 10 of 100")
for seconds, direction in ((HOUR, "forward"), (-HOUR, "back"), (-24 * HOUR * 365, "back by a year"), (24 * HOUR * 365, "forward by two")):
    ok(abs(step(seconds) - seconds) < 5, f"the clock is set {direction}")
    for policy in ELAPSING:
        same(take(policy), 0, f"{policy}: nobody gains by it")
        same(take(policy, f"new {seconds}"), 10, f"{policy}: nor loses")
        short = "short_" + policy
        take(short, "waits")
        ok(until(lambda: take(short, "waits") > 0, 30), f"{policy}: who waits is let in again")
    same(take("fixed_window"), 10, "fixed_window: another window of the calendar, with all of its quota")
    same(take("fixed_window"), 0, "fixed_window: and no more")

# A step within the calendar's window
step(0)
connection.close()
restart()  # without the library, then with it: counters that were stored by a clock that was wrong
connection = connect()
ok(until(lambda: "read back" in server_log()), "after a restart counters are read back")
same([take(policy) for policy in ELAPSING], [0, 0], "windows and buckets go on")
ok(take("fixed_window", "fresh") == 10 and take("fixed_window", "fresh") == 0, "fixed windows limit")
ok("ERROR" not in server_log() and "PANIC" not in server_log(), "and nothing complained")
done()
