#!/usr/bin/python3
"""10,000 hits a second are limited to what the algorithm promises, and to no less."""
from rates import *

CLIENTS = 4
QUOTA = 10000
SECONDS = 30 if LONG else 2.5  # how long all clients want more than they get; with RG_LONG half a minute
ALGORITHMS = ("sliding_window", "fixed_window", "token_bucket")

own_server("-c statement_timeout=120s")
admin = connect()
query(admin, "CREATE EXTENSION relay_guard")
query(admin, """INSERT INTO relay_guard.rate_policy (name, identify_by, quota, "window", algorithm)
    SELECT algorithm, 'user', %s, '1 s', algorithm FROM unnest(%s) AS algorithm""", QUOTA, list(ALGORITHMS))
query(admin, """CREATE FUNCTION hammer(seconds float8, OUT first timestamptz, OUT last timestamptz, OUT hits bigint,
        OUT sliding_window bigint, OUT fixed_window bigint, OUT token_bucket bigint) LANGUAGE plpgsql AS $$
    DECLARE deadline timestamptz := clock_timestamp() + seconds * interval '1 s';
    BEGIN
        first := clock_timestamp();
        hits := 0; sliding_window := 0; fixed_window := 0; token_bucket := 0;
        WHILE clock_timestamp() < deadline LOOP
            sliding_window := sliding_window + (relay_guard.rate_take_key('sliding_window', 'k')).allowed::int;
            fixed_window := fixed_window + (relay_guard.rate_take_key('fixed_window', 'k')).allowed::int;
            token_bucket := token_bucket + (relay_guard.rate_take_key('token_bucket', 'k')).allowed::int;
            hits := hits + 1;
        END LOOP;
        last := clock_timestamp();
    END $$""")


def hammer(client, connection):
    return query(connection, """SELECT extract(epoch FROM first)::float8, extract(epoch FROM last)::float8, hits,
        sliding_window, fixed_window, token_bucket FROM hammer(%s)""", SECONDS)[0]


rows = together(CLIENTS, hammer)
first, last = min(row[0] for row in rows), max(row[1] for row in rows)
shared = min(row[1] for row in rows) - max(row[0] for row in rows)  # the time in which all of them ran
demand = sum(row[2] for row in rows)
got = dict(zip(ALGORITHMS, (sum(row[i] for row in rows) for i in (3, 4, 5))))
tell(f"{CLIENTS} clients, {last - first:.2f} s: {demand} hits of each limit, admitted {got}")
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
