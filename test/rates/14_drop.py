#!/usr/bin/python3
"""DROP EXTENSION and DROP DATABASE while clients take and the worker stores: nothing hangs, and no counter stays."""
import threading

from rates import *

CLIENTS = 4
KEYS = 5000

own_server("-c relay_guard.databases=postgres,doomed -c relay_guard.flush_interval=1")
admin = connect()


def install(connection):
    query(connection, """CREATE EXTENSION relay_guard;
        INSERT INTO relay_guard.rate_policy (name, identify_by, quota, "window") VALUES ('p', 'user', 100, '3000 days')""")


def worker_of(database):
    return query(admin, "SELECT pid FROM pg_stat_activity WHERE backend_type = 'relay_guard worker' AND datname = %s", database)


class Load:
    """Clients that take limits of a database until they are told to stop, whatever comes."""

    def __init__(self, database):
        self.stopped = False
        self.states = set()
        self.threads = [threading.Thread(target=self.run, args=(connect(database), i)) for i in range(CLIENTS)]
        for thread in self.threads:
            thread.start()

    def run(self, connection, client):
        i = 0
        while not self.stopped and not connection.closed:
            i += 1
            self.states.add(sqlstate(connection, f"SELECT relay_guard.rate_take_key('p', 'load {client} {i % 500}')"))

    def stop(self):
        self.stopped = True
        for thread in self.threads:
            thread.join(60)
        return not any(thread.is_alive() for thread in self.threads)


def drop(statement):
    """How long it takes."""
    begin = time.monotonic()
    query(admin, "SET statement_timeout = '60s'")
    state = sqlstate(admin, statement)
    query(admin, "RESET statement_timeout")
    return state, time.monotonic() - begin


def used():
    return value(admin, "SELECT used FROM relay_guard.counter_status")


query(admin, "CREATE DATABASE doomed")
install(admin)
doomed = connect("doomed")
install(doomed)
admitted(admin, "p", "'mine ' || i", 1, 100)
admitted(doomed, "p", "'k' || i", 1, KEYS)
doomed.close()
ok(until(lambda: worker_of("doomed")), "a worker stores a database's counters")
load = Load("doomed")
ok(until(lambda: used() >= KEYS + 100), "which has thousands")
state, took = drop("DROP DATABASE doomed WITH (FORCE)")
ok(state is None and took < 45, f"DROP DATABASE WITH (FORCE) takes {took:.2f} s")
ok(load.stop(), "its clients end")
same(used(), 100, "and its counters are gone, but nobody else's")
ok(until(lambda: not worker_of("doomed")), "as is its worker")

query(admin, "CREATE DATABASE doomed")
doomed = connect("doomed")
install(doomed)
admitted(doomed, "p", "'k' || i", 1, KEYS)
same(admitted(doomed, "p", "'k1'", 1, 200), 99, "a database of the same name starts afresh")
doomed.close()
ok(until(lambda: not worker_of("doomed")) and used() == KEYS + 100, "its worker leaves when all is stored")
state, took = drop("DROP DATABASE doomed")
ok(state is None and took < 45, f"then DROP DATABASE needs no force and takes {took:.2f} s")
same(used(), 100, "and leaves no counter")

for round in range(20 if LONG else 3):  # with RG_LONG twenty times
    admitted(admin, "p", "'mine ' || i", 1, KEYS)
    load = Load("postgres")
    until(lambda: worker_of("postgres"))
    state, took = drop("DROP EXTENSION relay_guard")
    ok(state is None and took < 45, f"DROP EXTENSION under load and beside the worker takes {took:.2f} s")
    time.sleep(0.2)
    ok(load.stop(), "no client hangs")
    ok(load.states <= {None, "42883", "3F000", "42P01", "55000", "XX000", "42704"}, f"they are told so: {load.states}")
    install(admin)
    left = used()
    ok(left <= CLIENTS * 500, f"no counter stays but {left} that calls which were under way made anew")
    same(admitted(admin, "p", "'mine 1'", 1, 200), 100, "an extension made again starts afresh")
ok("PANIC" not in server_log() and "TRAP" not in server_log(), "nothing else broke")
done()
