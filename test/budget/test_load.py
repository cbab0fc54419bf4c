"""64 clients take, reserve, extend, settle, release, roll back and vanish: no limit is ever passed, and nothing is lost."""
import os
import time

import pytest
from books import Books, check_accounts, check_reservations, policies
from load import BUDGETS, Crowd, Watcher, forenoon, start_clients, with_limits
from servers import wait_for

LONG = os.environ.get("RG_LONG", "0") != "0"
SECONDS = 60 if LONG else 8
CLIENTS = 64
OPTIONS = {"max_connections": 100, "relay_guard.databases": "postgres", "relay_guard.timezone": forenoon(),
           "autovacuum_naptime": "5s"}
OPEN = """SELECT reservation FROM relay_guard.usage_ledger WHERE reservation IS NOT NULL
    GROUP BY 1 HAVING NOT bool_or(kind IN ('settle', 'release', 'expire'))"""


@pytest.fixture
def limited(make_server):
    server = with_limits(make_server(OPTIONS))
    yield server
    assert "PANIC" not in server.log() and "TRAP" not in server.log()
    server.stop("immediate")


def meanwhile(seconds, act=None):
    """Waits, or does that again and again for so long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if act:
            act()
        time.sleep(0.05)


def loaded(server, seconds, act=None):
    """The clients and the watcher of so many seconds of load."""
    crowd = Crowd()
    crowd.start(Watcher(server))
    start_clients(crowd, server, CLIENTS)
    meanwhile(seconds, act)
    watcher, *clients = crowd.stop()
    print(f"{watcher.reads} readings of {watcher.accounts} accounts, the fullest {watcher.fullest:.3f}")
    assert watcher.wrong is None, watcher.wrong
    assert watcher.reads > 10 * seconds
    return watcher, clients


def settles_down(server, clients):
    """Everything adds up when the leases have run out."""
    books = Books()
    books.add(clients)
    print(dict(books.fates()), "denied:", dict(books.denied))
    assert books.fates()["committing"] == books.fates()["under way"] == 0
    wait_for(lambda: not server.run(OPEN), 30)
    rows = books.check(server)
    assert check_reservations(rows) == {}
    wanted = check_accounts(server, rows)
    for policy in policies(server):
        if policy.scope == "user" and not policy.is_quota:
            books.check_told(rows, policy)
    assert all(reserved == 0 for _, reserved in wanted.values())
    assert server.value("SELECT coalesce(sum(reserved), 0) FROM relay_guard.account") == 0
    return books


def is_contested(watcher, books):
    """Limits were reached, or else nothing was shown."""
    assert watcher.fullest > 0.95
    assert set(BUDGETS) - {"user_month"} <= set(books.denied) and books.denied["few"]
    fates = books.fates()
    assert fates["acknowledged"] > 20 * CLIENTS and fates["rolled back"] > CLIENTS


def test_no_limit_is_passed_and_nothing_is_lost(limited):
    watcher, clients = loaded(limited, SECONDS)
    is_contested(watcher, settles_down(limited, clients))
