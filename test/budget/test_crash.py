"""kill -9 loses nothing that was acknowledged, resets no budget, and admits nobody on a guess."""
import os
import random
import time

import pytest
from acting import User
from books import Books, check_accounts, ledger
from crashes import heir, kill_one_of, kill_server  # noqa: F401
from load import Asker, Crowd, forenoon, start_clients, with_limits
from servers import run, wait_for
from using_up import USED_UP, Filler, check_rebuilt, forgets_commits, inherited

pytestmark = pytest.mark.usefixtures("heir")
LONG = os.environ.get("RG_LONG", "0") != "0"
ROUNDS = 50 if LONG else 3
CLIENTS = 64 if LONG else 24
OPTIONS = {"max_connections": 100, "relay_guard.databases": "postgres", "relay_guard.usage_interval": 1, "relay_guard.timezone": forenoon()}
BACKENDS = "SELECT pid FROM pg_stat_activity WHERE usename = 'client'"
WORKER = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'relay_guard ledger'"


def kill_all(server):
    kill_server(server)
    server.start()


def kill_backend(server):
    kill_one_of(server, BACKENDS)


def kill_worker(server):
    kill_one_of(server, WORKER)


@pytest.fixture
def crashing(make_server):
    server = with_limits(make_server(OPTIONS))
    yield server
    assert "PANIC" not in server.log() and "TRAP" not in server.log()
    server.stop("immediate")


@pytest.mark.parametrize("kill", [kill_all, kill_backend, kill_worker])
def test_kill_9_under_load(crashing, kill):
    books = Books()
    books.add([Filler("fill", crashing).fill()])
    asking = Crowd()
    asking.start(Asker(crashing, USED_UP))
    opens = []
    for life in range(ROUNDS):
        asked = asking.ticks[0]
        crowd = Crowd()
        start_clients(crowd, crashing, CLIENTS, str(life), settings=forgets_commits, overspends=lambda i: i % 4 == 0,
                      opens=lambda i: opens[i::CLIENTS], lease=30)
        enough = random.randrange(CLIENTS, 10 * CLIENTS)
        wait_for(lambda: sum(crowd.ticks) > enough and asking.ticks[0] > asked)  # pylint: disable=cell-var-from-loop
        kill(crashing)
        books.add(crowd.stop())
        rows = books.check(crashing)
        opens = inherited(rows)
        check_rebuilt(crashing)
    wait_for(lambda: asking.ticks[0] > 10)
    asker, = asking.stop()
    fates = books.fates()
    print(f"{ROUNDS} kills, {dict(fates)}, {asker.answers} answers in {asker.lives} lives: nothing is free")
    assert asker.lives == ROUNDS + 1
    assert fates["acknowledged"] > ROUNDS * CLIENTS


@pytest.mark.parametrize("broken", ["usage_total", "usage_round"])
def test_who_cannot_be_summed_from_the_ledger_is_not_admitted(crashing, broken):
    """After a crash, as long as it lasts; then there is what was left before, and no more."""
    user, full = User(crashing, "u1", "w1"), User(crashing, "full", "elsewhere")
    Filler("fill", crashing).fill()
    user.take("few", 3)
    kill_all(crashing)
    crashing.run(f"ALTER TABLE relay_guard.{broken} RENAME TO away")
    for _ in range(2):
        assert user.sqlstate("quota_take", "few") == user.sqlstate("budget_reserve", "m", 1, 1) == "42P01"
        assert full.sqlstate("budget_reserve", "m", 1, 0) == full.sqlstate("budget_charge", "m", 1) == "42P01"
    assert crashing.run("SELECT 1 FROM relay_guard.account WHERE seeded") == []
    crashing.run(f"ALTER TABLE relay_guard.away RENAME TO {broken}")
    assert user.reserve(1, 1)["allowed"] and not full.reserve(1)["allowed"]
    assert [user.take("few")["allowed"] for _ in range(3)] == [True, True, False]
    check_accounts(crashing)


@pytest.fixture(scope="module")
def asynchronous(make_server):
    """A server that writes its log when it must."""
    server = with_limits(make_server({"wal_writer_delay": "10s", "autovacuum": "off", "checkpoint_timeout": "1h"}))
    yield server
    server.stop("immediate")


ACTS = {
    "take": "SELECT relay_guard.quota_take('messages')",
    "reserve": "SELECT relay_guard.budget_reserve('m', 1000, 100)",
    "charge": "SELECT relay_guard.budget_charge('m', 1000)",
    "embedding": "SELECT relay_guard.budget_charge('m', embedding_tokens => 1000)",
    "extend": "SELECT relay_guard.budget_extend('{reservation}', 100)",
    "settle": "SELECT relay_guard.budget_settle('{reservation}', 10, 10)",
    "release": "SELECT relay_guard.budget_release('{reservation}')",
    "savepoints": "SAVEPOINT s; SELECT relay_guard.quota_take('messages'); RELEASE s; SET LOCAL synchronous_commit = off"}


@pytest.mark.parametrize("act", ACTS)
def test_what_is_acknowledged_is_durable_whatever_synchronous_commit_says(asynchronous, act):
    """The last that the server does before it dies, with nobody else there to write the log for it."""
    connection = asynchronous.connect(user="client")
    run(connection, "BEGIN; SELECT relay_guard.assume('alice', 'home')")
    (reservation,), = run(connection, "SELECT reservation FROM relay_guard.budget_reserve('m', 10, 10)")
    run(connection, "COMMIT")
    before = len(ledger(asynchronous))
    time.sleep(0.1)
    run(connection, f"""SET synchronous_commit = off; BEGIN; SELECT relay_guard.assume('alice', 'home');
        {ACTS[act].format(reservation=reservation)}; COMMIT""")
    kill_server(asynchronous)
    connection.close()
    asynchronous.start()
    rows = ledger(asynchronous)
    assert len(rows) == before + 1
    assert rows[-1].kind == {"embedding": "charge", "savepoints": "take"}.get(act, act)
    check_rebuilt(asynchronous)
