#!/usr/bin/python3
"""Thousands of hits a second are limited to what the algorithm promises, and to no less."""
from rates import *

CLIENTS = 4
QUOTA = 10000 if LONG else 4000
SECONDS = 30 if LONG else 2.5  # how long all clients want more than they get; with RG_LONG half a minute
ALGORITHMS = ("sliding_window", "fixed_window", "token_bucket")

own_server("-c statement_timeout=120s")
admin = connect()
query(admin, "CREATE EXTENSION relay_guard")
query(admin, """INSERT INTO relay_guard.rate_policy (name, identify_by, quota, "window", algorithm)
    SELECT algorithm, 'user', %s, '1 s', algorithm FROM unnest(%s) AS algorithm""", QUOTA, list(ALGORITHMS))
query(admin, """CREATE FUNCTION hammer(seconds float8, OUT first timestamptz, OUT last timestamptz, OUT hits bigint,
        OUT pauses float8[], OUT sliding_window bigint, OUT fixed_window bigint, OUT token_bucket bigint) LANGUAGE plpgsql AS $$
    DECLARE
        deadline timestamptz := clock_timestamp() + seconds * interval '1 s';
        was timestamptz;
    BEGIN
        first := clock_timestamp();
        last := first;
        hits := 0; pauses := '{}'; sliding_window := 0; fixed_window := 0; token_bucket := 0;
        WHILE last < deadline LOOP
            sliding_window := sliding_window + (relay_guard.rate_take_key('sliding_window', 'k')).allowed::int;
            fixed_window := fixed_window + (relay_guard.rate_take_key('fixed_window', 'k')).allowed::int;
            token_bucket := token_bucket + (relay_guard.rate_take_key('token_bucket', 'k')).allowed::int;
            hits := hits + 1;
            was := last;
            last := clock_timestamp();
            IF last - was > '5 ms' THEN
                pauses := pauses || ARRAY[[extract(epoch FROM was)::float8, extract(epoch FROM last)::float8]];
            END IF;
        END LOOP;
    END $$""")


def hammer(client, connection):
    return query(connection, """SELECT extract(epoch FROM first)::float8, extract(epoch FROM last)::float8, hits, pauses,
        sliding_window, fixed_window, token_bucket FROM hammer(%s)""", SECONDS)[0]


def stopped(rows):
    """The time in which all clients paused at once, as the machine gave them nothing."""
    changes = sorted((moment, step) for row in rows for pause in row[3] for moment, step in zip(pause, (1, -1)))
    total = pausing = 0
    for (moment, step), (following, _) in zip(changes, changes[1:]):
        pausing += step
        total += following - moment if pausing == CLIENTS else 0
    return total


rows = together(CLIENTS, hammer)
first, last = min(row[0] for row in rows), max(row[1] for row in rows)
shared = min(row[1] for row in rows) - max(row[0] for row in rows) - stopped(rows)  # the time in which all of them ran
demand = sum(row[2] for row in rows)
got = dict(zip(ALGORITHMS, (sum(row[i] for row in rows) for i in (4, 5, 6))))
tell(f"{CLIENTS} clients, {last - first:.2f} s: {demand} hits of each limit, admitted {got}, stopped for {stopped(rows):.2f} s")
ok(demand > 1.5 * QUOTA * (last - first), "clients want half as much again, at least")

# The first window at once, and then, as all that came before was taken at once, the rate
most = QUOTA * max(1, last - first) + 1
ok(got["sliding_window"] <= most, "sliding_window: quota times windows that have gone by")
ok(got["sliding_window"] >= 0.95 * QUOTA * shared, "sliding_window: and no less")

windows = int(last) - int(first) + 1
ok(got["fixed_window"] <= QUOTA * windows, "fixed_window: the quota for each window of the calendar")
ok(got["fixed_window"] >= QUOTA * (windows - 2), "fixed_window: and no less")

ok(got["token_bucket"] <= QUOTA + QUOTA * (last - first) + 1, "token_bucket: the burst, and the rate")
ok(got["token_bucket"] >= QUOTA + 0.95 * QUOTA * shared, "token_bucket: and no less")
pain(all(demand > got[name] for name in ALGORITHMS), "rates over 1000/s never limit")
done()
