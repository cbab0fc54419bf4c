#!/usr/bin/python3
"""What kill -9 takes, of a backend and of the postmaster, and what a restart under load keeps."""
import signal
import threading

from rates import *

CLIENTS = 8

own_server("-c relay_guard.databases=postgres -c relay_guard.flush_interval=1 -c relay_guard.max_counters=1024")
admin = connect()
query(admin, """CREATE EXTENSION relay_guard;
    INSERT INTO relay_guard.rate_policy (name, identify_by, quota, "window", algorithm) VALUES
        ('sliding', 'user', 1000000000, '3000 days', 'sliding_window'), ('fixed', 'ip', 1000000000, '3000 days', 'fixed_window'),
        ('bucket', 'user', 1000000000, '3000 days', 'token_bucket'), ('few', 'user', 100, '3000 days', 'token_bucket'),
        ('tick', 'user', 5, '100 ms', 'sliding_window')""")
KEYS = {"sliding": "k", "fixed": "10.0.0.1", "bucket": "k"}


class Load:
    """Clients that take one hit after the other, of each limit, until they lose their server."""

    def __init__(self):
        self.heard = [0] * CLIENTS
        self.pids = []
        self.connections = [connect() for _ in range(CLIENTS)]
        self.threads = [threading.Thread(target=self.run, args=(client,)) for client in range(CLIENTS)]
        self.pids = [connection.get_backend_pid() for connection in self.connections]
        for thread in self.threads:
            thread.start()

    def run(self, client):
        try:
            while True:
                query(self.connections[client], "SELECT " + ", ".join(
                    f"relay_guard.rate_take_key('{policy}', '{key}')" for policy, key in KEYS.items()))
                self.heard[client] += 1
        except psycopg2.Error:
            pass

    def ended(self):
        for thread in self.threads:
            thread.join(60)
        return not any(thread.is_alive() for thread in self.threads)


def used():
    """What the counters have taken; a bucket of a 1000 million in eight years regains four a second."""
    return {policy: got for policy, got in query(admin, "SELECT policy, used FROM relay_guard.counter WHERE policy = ANY (%s)", list(KEYS))}


def everything_works(what):
    """Fills the table and fills it anew when all is past, which no counter that stayed pinned would allow."""
    admitted(admin, "tick", "'fill' || i", 1, 5000)
    full = counter_status()
    ok(full["used_by_identities"] >= 890, f"{what}: counters find their places")
    time.sleep(0.25)
    admitted(admin, "tick", "'refill' || i", 1, 5000)
    ok(counter_status()["evictions"] - full["evictions"] >= 880, f"{what}: and all of them give way")
    same(admitted(admin, "few", "'exact'", 1, 300), 100, f"{what}: limits limit")


# A restart while clients take neither gains nor loses
load = Load()
ok(until(lambda: min(load.heard) > 50), "clients take")
restart()
ok(load.ended(), "and lose their server")
admin = reconnect()
heard = sum(load.heard)
ok(until(lambda: len(used()) == 3), "after the restart their counters are there")
now = used()
tell(f"heard {heard}, counted {now}")
for policy in ("sliding", "fixed"):
    ok(abs(now[policy] - heard) <= CLIENTS, f"{policy}: all that was heard, but for what was on its way")
ok(-CLIENTS - 4 * 20 <= now["bucket"] - heard <= CLIENTS, "bucket: all that was heard, but for what was on its way and has come back")
everything_works("after a restart")

# kill -9 of a backend, again and again, while clients take
for round in range(20 if LONG else 3):  # with RG_LONG twenty times
    load = Load()
    until(lambda: min(load.heard) > 20 * (round + 1) % 97)
    os.kill(load.pids[round % CLIENTS], signal.SIGKILL)
    ok(load.ended(), f"kill -9 of a backend: the server drops its clients ({round + 1})")
    admin = reconnect()
    counters = value(admin, "SELECT count(*) FROM relay_guard.counter")
    stored = value(admin, "SELECT count(*) FROM relay_guard.rate_counter")
    same((counters, stored), (0, 0), f"and comes back without counters, stored or not ({round + 1})")
everything_works("after killed backends")

# kill -9 of the worker
query(admin, "SELECT relay_guard.rate_take_key('few', 'moves')")
WORKER = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'relay_guard worker'"
ok(until(lambda: query(admin, WORKER)), "a worker runs")
os.kill(value(admin, WORKER), signal.SIGKILL)
ok(until(lambda: sqlstate(admin, "SELECT 1") or admin.closed), "kill -9 of it restarts the server")
admin = reconnect()
everything_works("after a killed worker")

# kill -9 of the postmaster
load = Load()
until(lambda: min(load.heard) > 20)
with open(os.path.join(os.environ["PGHOST"], "data", "postmaster.pid")) as file:
    postmaster = int(file.readline())
others = [row[0] for row in query(admin, "SELECT pid FROM pg_stat_activity")]
os.kill(postmaster, signal.SIGKILL)
ok(load.ended(), "kill -9 of the postmaster: clients lose their server")
admin.close()
ok(until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in others)), "ends every process of the server")
restart()
admin = reconnect()
same(value(admin, "SELECT count(*) FROM relay_guard.rate_counter"), 0, "the unlogged table comes back empty")
everything_works("after a killed postmaster")
ok("TRAP" not in server_log() and "PANIC" not in server_log(), "nothing else broke")
done()
