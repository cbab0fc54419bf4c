#!/usr/bin/python3
"""A flood of addresses that are seen once fills the table; it pushes nobody out, and is limited itself.

With RG_LONG=1 ten million of them.
"""
import threading

from rates import *

ADDRESSES = 10000000 if LONG else 200000
CLIENTS = 4
CHUNK = ADDRESSES // CLIENTS // 25
USERS = 1000
MAX = 10000

own_server(f"-c relay_guard.max_counters={MAX} -c statement_timeout=600s")
admin = connect()
query(admin, """CREATE EXTENSION relay_guard;
    INSERT INTO relay_guard.rate_policy (name, identify_by, quota, "window", algorithm) VALUES
        ('person', 'user', 10, '1 day', 'sliding_window'), ('address', 'ip', 5, '1 day', 'sliding_window'),
        ('moment', 'ip', 5, '10 s', 'token_bucket');
    CREATE ROLE web; SELECT relay_guard.grant_role('app', 'web');
    INSERT INTO relay_guard.route (method, path, query, auth, rate, result, result_key, run_as)
        VALUES ('GET', '/one', 'SELECT 1 AS one', 'none', '{moment}', 'value', 'one', 'web')""")
ADDRESS = "('10.0.0.0'::inet + i)::text"
NETWORK = "'2001:db8:' || to_hex(i) || '::1'"  # each a /64 of its own


def resident(pid):
    """KB of its own and of shared memory that a process has touched."""
    with open(f"/proc/{pid}/status") as file:
        fields = dict(line.split(":", 1) for line in file)
    return int(fields["RssAnon"].split()[0]), int(fields["RssShmem"].split()[0])


def flood(client, connection):
    """Its part of the addresses, in chunks; what was admitted, and its own memory after the first chunk and the last."""
    got = 0
    for chunk in range(25):
        first = (client * 25 + chunk) * CHUNK + 1
        got += admitted(connection, "address", ADDRESS, first, first + CHUNK - 1)
        if chunk == 0:
            before = resident(connection.get_backend_pid())
    return got, before, resident(connection.get_backend_pid())


for user in range(USERS):
    query(admin, "SELECT relay_guard.rate_take_key('person', %s, 4)", f"user {user}")
shared = value(admin, "SELECT allocated_size FROM pg_shmem_allocations WHERE name = 'relay_guard counters'")

results = []
flooding = threading.Thread(target=lambda: results.extend(together(CLIENTS, flood)))
flooding.start()
during = set()
user = 0
while flooding.is_alive() and user < USERS // 2:
    during.add(admitted(admin, "person", f"'user {user}'", 1, 20))
    user += 1
flooding.join()
same(during, {6}, f"{user} users with 6 left of 10 have exactly those during the flood")
same({admitted(admin, "person", f"'user {i}'", 1, 20) for i in range(user, USERS)}, {6}, "and the others after it")
same({admitted(admin, "person", f"'user {i}'", 1, 20) for i in range(USERS)}, {0}, "and then nobody has any")
same(admitted(admin, "person", "'new ' || i", 1, 500), 500, "new users find a place all the same")

now = counter_status()
tell(f"{ADDRESSES} addresses: {now}")
got = sum(result[0] for result in results)
same(got, now["used_by_addresses"] + 5, "of the flood, one hit is admitted for each place, and 5 that share one counter")
ok(now["used_by_addresses"] <= MAX / 2, "addresses hold at most half of the places")
ok(now["used"] <= now["max"] + 128 * 4, "the table is no larger than it was to be")
same(now["overflows"], ADDRESSES - now["used_by_addresses"], "every address that found no place is told")
same(now["evictions"], 0, "and nobody lost his")
if "ASAN_OPTIONS" not in os.environ:  # which keeps what is freed
    ok(all(after[0] - before[0] < 4096 for got, before, after in results), "no backend grows")
ok(all(after[1] * 1024 < shared + 40e6 for got, before, after in results), "nor does what it sees of shared memory")

# Through serve(): forged addresses do not reach past the shared counter
SERVE = """SELECT status, count(*) FROM generate_series({}, {}) AS i,
    relay_guard.serve('GET', '/one', '', '{{}}', '', '172.16.0.0'::inet + i) GROUP BY 1 ORDER BY 1"""
answers = dict(query(admin, SERVE.format(1, 20000)))
same(set(answers), {200, 429}, "through serve() the flood is answered 429")
ok(answers[200] <= 5 + 5 * 10, f"but for what the shared counter regains: {answers[200]}")

# When what a flood left is past, addresses have counters of their own again
restart()
admin = reconnect()
began = time.monotonic()
admitted(admin, "moment", ADDRESS, 1, 50000)
again = (time.monotonic() - began) // 2  # how often a place was past meanwhile, and another's
flooded = counter_status()
ok(flooded["overflows"] > 40000 - MAX / 2 * again, "another flood finds a table of the same size full")
query(admin, "SELECT pg_sleep(2.2)")
for attempt in range(5):
    began = time.monotonic()
    rounds = [admitted(admin, "moment", NETWORK, 2000 * attempt + 1, 2000 * attempt + 1500) for _ in range(6)]
    if time.monotonic() - began < 2:  # or else each regains a hit meanwhile
        break
same(rounds, [1500] * 5 + [0], "soon after it, 1500 networks have what is theirs, exactly")
now = counter_status()
ok(now["evictions"] - flooded["evictions"] >= 1400 and now["overflows"] == flooded["overflows"], "in the places of those that are past")
done()
