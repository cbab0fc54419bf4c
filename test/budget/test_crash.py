"""kill -9 loses nothing that was acknowledged, resets no budget, and admits nobody on a guess."""
import os
import random

import pytest
from books import Books, check_reservations, ledger, live, policies, sums, zone_of
from crashes import heir, kill_process, kill_server  # noqa: F401
from load import BUDGETS, Asker, Client, Crowd, Open, forenoon, run, start_clients, with_limits, workspace_of
from servers import wait_for

pytestmark = pytest.mark.usefixtures("heir")
LONG = os.environ.get("RG_LONG", "0") != "0"
ROUNDS = 50 if LONG else 3
CLIENTS = 64
OPTIONS = {"max_connections": 100, "relay_guard.databases": "postgres", "relay_guard.timezone": forenoon()}
USED_UP = [("'full'", "budget_reserve('m', 1, 0)", "NOT allowed AND reservation IS NULL AND blocked_by = 'user_day'"),
           ("'holder'", "budget_reserve('m', 1, 0)", "NOT allowed AND reservation IS NULL AND blocked_by = 'user_day'"),
           ("'lost', NULL, 'anonymous'", "quota_take('anon_lifetime')", "NOT allowed AND used = 100 AND remaining = 0")]
BACKENDS = "SELECT pid FROM pg_stat_activity WHERE usename = 'client'"
WORKER = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'relay_guard worker'"


class Filler(Client):
    """Uses up what USED_UP asks for."""

    def fill(self):
        self.connect()
        self.start("fill-1", "full")
        told = self.ask("budget_charge('m', 920000)")
        assert told["amount"] == BUDGETS["user_day"][2]
        self.wrote("charge", None, spent=told["amount"])
        self.commit()
        self.start("fill-2", "holder")
        held, self.lease = {}, 3600
        for tokens in (400_000, 0), (400_000, 0), (120_000, 0):
            self.reserve(held, tokens)
        assert sum(reservation.held for reservation in held.values()) == BUDGETS["user_day"][2]
        self.commit()
        self.start("fill-3", "lost", "anonymous")
        assert self.ask("quota_take('anon_lifetime', 100)")["allowed"]
        self.wrote("take", "anon_lifetime", units=100)
        self.commit()
        self.connection.close()
        return self


def kill_all(server):
    kill_server(server)
    server.start()


def kill_backend(server):
    kill_process(server, random.choice(server.run(BACKENDS))[0])


def kill_worker(server):
    wait_for(lambda: server.run(WORKER))
    kill_process(server, server.value(WORKER))


def inherited(rows):
    """The reservations of the users of the load that nobody settled: {user: {reservation: Open}}."""
    opens = check_reservations(rows)
    heirs = {}
    for row in rows:
        if row.kind == "reserve" and row.reservation in opens and row.user_id[0] == "u" and opens[row.reservation] > 1000:
            heirs.setdefault(row.user_id, {})[row.reservation] = Open(opens[row.reservation], row.lease_until.timestamp())
    return list(heirs.items())


def check_rebuilt(server, rows):
    """Whatever accounts there are have what the ledger says, also those that are asked for now."""
    connection = server.connect(user="client")
    for user in random.sample([f"u{i}" for i in range(100)], 20):
        run(connection, "BEGIN; SELECT relay_guard.assume(%s, %s)", user, workspace_of(user))
        run(connection, "SELECT * FROM relay_guard.budget_status()")
        run(connection, "ROLLBACK")
    connection.close()
    wanted, have = [], [None]
    while wanted != have:  # the worker may end leases just then
        wanted = ledger(server)
        accounts = live(server)
        have = ledger(server)
    wanted = sums(have, policies(server), zone_of(server))
    assert accounts == {key: wanted.get(key, [0, 0]) for key in accounts}


@pytest.fixture
def crashing(make_server):
    server = with_limits(make_server(OPTIONS))
    yield server
    assert "PANIC" not in server.log() and "TRAP" not in server.log()
    server.stop("immediate")


def forgets_commits(client):
    """Half of the clients wish for commits that a crash may take."""
    return "SET synchronous_commit = off" if int(client) % 2 else ""


@pytest.mark.parametrize("kill", [kill_all, kill_backend, kill_worker])
def test_kill_9_under_load(crashing, kill):
    books = Books()
    books.add([Filler("fill", crashing).fill()])
    asking = Crowd()
    asking.start(Asker(crashing, USED_UP))
    opens = []
    for life in range(ROUNDS):
        crowd = Crowd()
        start_clients(crowd, crashing, CLIENTS, str(life), settings=forgets_commits, overspends=lambda i: i % 4 == 0,
                      opens=lambda i: opens[i::CLIENTS], lease=30)
        enough = random.randrange(CLIENTS, 10 * CLIENTS)
        wait_for(lambda: sum(crowd.ticks) > enough)
        kill(crashing)
        books.add(crowd.stop())
        rows = books.check(crashing)
        opens = inherited(rows)
        check_rebuilt(crashing, rows)
    wait_for(lambda: asking.ticks[0] > 10)
    asker, = asking.stop()
    fates = books.fates()
    print(f"{ROUNDS} kills, {dict(fates)}, {asker.answers} answers in {asker.lives} lives: nothing is free")
    assert asker.lives == ROUNDS + 1
    assert fates["acknowledged"] > ROUNDS * CLIENTS
