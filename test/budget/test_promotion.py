"""A standby refuses what only a primary can count, and when it is promoted it goes on from the ledger that it has."""
import os
import threading
import time

import pytest
from acting import User
from books import Books, check_accounts
from crashes import heir, kill_server  # noqa: F401
from load import LEASE, Asker, Crowd, forenoon, start_clients, with_limits
from servers import run, wait_for
from standbys import base_backup, follow
from using_up import USED_UP, Filler, check_rebuilt, inherited

pytestmark = pytest.mark.usefixtures("heir")
CLIENTS = 64 if os.environ.get("RG_LONG", "0") != "0" else 24
OPTIONS = {"max_connections": 100, "relay_guard.databases": "postgres", "relay_guard.usage_interval": 1, "relay_guard.timezone": forenoon(), "wal_keep_size": "1GB"}
RECEIVER = "SELECT pid FROM pg_stat_wal_receiver"


@pytest.fixture
def primary(make_server):
    server = with_limits(make_server(OPTIONS))
    yield server
    server.restart("immediate")  # lest its shared memory stays, if it was killed
    server.stop("immediate")


@pytest.fixture
def standby(primary):
    server = base_backup(primary)
    follow(primary, server)
    yield server
    assert "PANIC" not in server.log() and "TRAP" not in server.log()
    server.stop("immediate")


def replayed(primary, standby):
    return standby.value("SELECT pg_last_wal_replay_lsn() >= %s", primary.value("SELECT pg_current_wal_flush_lsn()"))


def load(server, life, opens=(), seconds=1.0, lease=LEASE, meanwhile=lambda: None):
    """What so many seconds of clients wrote down, whose server is gone in the end or not."""
    crowd = Crowd()
    start_clients(crowd, server, CLIENTS, life, opens=lambda i: opens[i::CLIENTS], lease=lease)
    wait_for(lambda: sum(crowd.ticks) > CLIENTS)
    time.sleep(seconds)
    meanwhile()
    return crowd.stop()


def promote(server):
    server.pg_ctl("promote")
    wait_for(lambda: not server.value("SELECT pg_is_in_recovery()"))


def goes_on(server, books, rows):
    """The load comes to the promoted server, which ends what the other began, and adds up."""
    books.add(load(server, "promoted", inherited(rows), lease=2))
    books.check(server)
    check_accounts(server)


def prepared(primary):
    books = Books()
    books.add([Filler("fill", primary).fill()])
    return books


def test_a_standby_says_that_it_needs_the_primary(primary, standby):
    user = User(standby)
    wait_for(lambda: replayed(primary, standby))
    for call in (("quota_take", "messages"), ("quota_require", "messages"), ("quota_status", "messages"), ("budget_reserve", "m", 1, 1),
                 ("budget_charge", "m", 1), ("budget_settle", "019a0000-0000-7000-8000-000000000000", 1, 1), ("budget_status",)):
        assert user.sqlstate(*call) == "25006", call
    assert standby.run("SELECT * FROM relay_guard.account") == []


def test_what_was_acknowledged_is_there_after_a_synchronous_standby_was_promoted(primary, standby):
    """Whatever dies of the primary, under load, and that nobody is admitted before the standby has counted."""
    primary.run("ALTER SYSTEM SET synchronous_standby_names = '*'")
    primary.reload()
    wait_for(lambda: primary.run("SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'"))
    books = prepared(primary)
    asking = Crowd()
    asking.start(Asker(standby, USED_UP, recovers=True))
    books.add(load(primary, "primary", lease=30, meanwhile=lambda: kill_server(primary)))
    promote(standby)
    rows = books.check(standby)
    check_rebuilt(standby)
    wait_for(lambda: asking.ticks[0] > 10)
    asker, = asking.stop()
    print(dict(books.fates()), asker.answers)
    goes_on(standby, books, rows)


def waits_for_standby(server, pid):
    return server.value("SELECT wait_event FROM pg_stat_activity WHERE pid = %s", pid) == "SyncRep"


def write_until(released, connection):
    """Commits wait once the checkpointer knows of the setting; until then they do not."""
    while not released.is_set():
        run(connection, "SELECT pg_logical_emit_message(true, 'probe', '')")


@pytest.mark.parametrize("setting", ["off", "local"])
def test_no_setting_of_a_session_spares_it_the_wait_for_a_synchronous_standby(primary, setting):
    quota = "messages"
    connection = primary.connect(autocommit=False)
    run(connection, f"SET synchronous_commit = {setting}")
    run(connection, "SELECT relay_guard.assume('patient')")
    assert run(connection, f"SELECT allowed FROM relay_guard.quota_take('{quota}')") == [(True,)]
    primary.run("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    primary.reload()
    released = threading.Event()
    probing = threading.Thread(target=write_until, args=(released, prober := primary.connect()))
    probing.start()
    wait_for(lambda: waits_for_standby(primary, prober.get_backend_pid()))
    committing = threading.Thread(target=connection.commit)
    committing.start()
    wait_for(lambda: waits_for_standby(primary, connection.get_backend_pid()))
    released.set()
    primary.run("ALTER SYSTEM RESET synchronous_standby_names")
    primary.reload()
    for thread in (committing, probing):
        thread.join(60)
        assert not thread.is_alive()
    prober.close()
    assert run(connection, "SHOW synchronous_commit") == [(setting,)]


def test_an_asynchronous_standby_lacks_its_lag_at_most(primary, standby):
    books = prepared(primary)
    books.add(load(primary, "before", lease=60))
    wait_for(lambda: replayed(primary, standby))
    rows = books.check(standby)
    standby.run("ALTER SYSTEM SET primary_conninfo = ''")
    standby.reload()
    wait_for(lambda: not standby.run(RECEIVER))
    late = load(primary, "late", inherited(rows), meanwhile=lambda: kill_server(primary))
    books.add(late)
    promote(standby)
    lag = {tag for client in late for tag in client.entries}
    after = books.check(standby, may_lack=lag)
    assert [row.id for row in after] == [row.id for row in rows], "nothing of what it did not receive"
    assert sum(entry.fate == "acknowledged" for client in late for entry in client.entries.values()) > CLIENTS
    for identity, call, refused in USED_UP:
        assert standby.run(f"SELECT relay_guard.assume({identity}); SELECT {refused} FROM relay_guard.{call}") == [(True,)]
    check_rebuilt(standby)
    books.forget(lag)
    goes_on(standby, books, after)


def test_a_promoted_standby_is_closed_until_somebody_says_that_it_is_good(primary, standby):
    prepared(primary)
    wait_for(lambda: replayed(primary, standby))
    primary.stop("immediate")
    standby.run("ALTER SYSTEM SET relay_guard.after_promotion = 'deny'")
    standby.reload()
    promote(standby)
    user = User(standby)
    for _ in range(2):
        for call in (("quota_take", "messages"), ("budget_reserve", "m", 1, 1), ("budget_charge", "m", 1)):
            assert user.sqlstate(*call) == "RG503", call
    standby.restart("immediate")  # nor does a restart open it, or writes auto.conf anew
    standby.run("ALTER SYSTEM SET relay_guard.after_promotion = 'deny'")
    standby.reload()
    assert user.sqlstate("quota_take", "messages") == "RG503"
    assert standby.value("SELECT relay_guard.usage_confirm_promotion()")
    assert user.take("messages")["allowed"] and user.reserve(1)["allowed"]
    assert not standby.value("SELECT relay_guard.usage_confirm_promotion()")
    assert not User(standby, "full").reserve(1)["allowed"]
    check_rebuilt(standby)


def test_a_promoted_standby_admits_where_that_is_wished_and_the_primary_never_asks(primary, standby):
    """relay_guard.after_promotion = deny closes no server that was never promoted, crashed or not."""
    primary.options["relay_guard.after_promotion"] = "deny"
    primary.restart("immediate")
    user = User(primary)
    assert user.take("messages")["allowed"] and user.reserve(1)["allowed"]
