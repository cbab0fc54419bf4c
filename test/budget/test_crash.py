"""kill -9 loses nothing that was acknowledged, resets no budget, and admits nobody on a guess."""
import os
import random

import pytest
from books import Books
from crashes import heir, kill_process, kill_server  # noqa: F401
from load import Asker, Crowd, forenoon, start_clients, with_limits
from servers import wait_for
from using_up import USED_UP, Filler, check_rebuilt, forgets_commits, inherited

pytestmark = pytest.mark.usefixtures("heir")
LONG = os.environ.get("RG_LONG", "0") != "0"
ROUNDS = 50 if LONG else 3
CLIENTS = 64
OPTIONS = {"max_connections": 100, "relay_guard.databases": "postgres", "relay_guard.timezone": forenoon()}
BACKENDS = "SELECT pid FROM pg_stat_activity WHERE usename = 'client'"
WORKER = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'relay_guard worker'"


def kill_all(server):
    kill_server(server)
    server.start()


def kill_backend(server):
    kill_process(server, random.choice(server.run(BACKENDS))[0])


def kill_worker(server):
    wait_for(lambda: server.run(WORKER))
    kill_process(server, server.value(WORKER))


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
        crowd = Crowd()
        start_clients(crowd, crashing, CLIENTS, str(life), settings=forgets_commits, overspends=lambda i: i % 4 == 0,
                      opens=lambda i: opens[i::CLIENTS], lease=30)
        enough = random.randrange(CLIENTS, 10 * CLIENTS)
        wait_for(lambda: sum(crowd.ticks) > enough)
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
