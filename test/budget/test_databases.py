"""Accounts belong to one database and one installation of the extension."""
import threading
import time

import psycopg2
import pytest

from accounts import CHARGE, STATUS, TAKE, Client, install, model, problems, spend_in_ledger, taken_in_ledger, together
from servers import run, sqlstate

POLICY = "INSERT INTO relay_guard.quota_policy (name, scope, cap, \"window\") VALUES ('same', 'user', 10, 'lifetime')"
BUDGET = "INSERT INTO relay_guard.budget_policy (name, scope, \"window\", hard) VALUES ('same', 'user', 'month', 100)"


@pytest.fixture(scope="module")
def server(make_server):
    server = make_server({"max_connections": 60})
    make(server, "one")
    make(server, "two")
    yield server
    server.stop("immediate")


def make(server, database):
    server.run(f"CREATE DATABASE {database}")
    install(server, database)
    server.run(POLICY, database=database)
    server.run(BUDGET, database=database)


def identity_of(server, database):
    return server.run("SELECT id, version FROM relay_guard.quota_policy WHERE name = 'same'", database=database)


def test_two_databases_with_the_same_policy_share_nothing(server):
    """Neither their accounts nor the locks under which these are rebuilt."""
    assert identity_of(server, "one") == identity_of(server, "two")
    with Client(server, "alice", database="one") as one, Client(server, "alice", database="two") as two:
        assert one.take("same", 10).allowed
        assert one.reserve(100).allowed
        assert two.take("same", 10).allowed
        assert two.reserve(100).allowed
        assert not one.take("same").allowed
        assert not two.reserve(1).allowed
    for database in ("one", "two"):
        assert taken_in_ledger(server, "same", database=database) == 10
        assert spend_in_ledger(server, "alice", database=database) == (0, 100)
        assert problems(server, database=database) == []


def test_a_rebuild_in_one_database_does_not_wait_for_the_other(server):
    with Client(server, "bob", database="one") as one, Client(server, "bob", database="two") as two:
        for client in (one, two):
            client.take("same", 3)
        for database in ("one", "two"):
            server.run("SELECT relay_guard.usage_rebuild()", database=database)
        blocker = server.connect("one")
        run(blocker, "BEGIN; LOCK TABLE relay_guard.usage_ledger IN ACCESS EXCLUSIVE MODE")
        for client, patience in ((one, "300ms"), (two, "30s")):
            run(client.connection, f"SET statement_timeout = '{patience}'")
        assert one.fails(TAKE, "same", 1) == "57014"
        assert two.take("same").used == 4
        run(blocker, "ROLLBACK")
        blocker.close()


def test_forgetting_the_accounts_of_one_database_leaves_those_of_the_other(server):
    with Client(server, "carol", database="one") as one, Client(server, "carol", database="two") as two:
        one.begin()
        one.do(TAKE, "same", 8)
        two.take("same", 5)
        server.run("SELECT relay_guard.usage_rebuild()", database="two")
        with Client(server, "carol", database="one") as other:
            assert not other.take("same", 3).allowed
        assert two.call(STATUS, "same").used == 5
        one.rollback()


def test_a_database_that_is_dropped_and_made_again_starts_from_its_own_ledger(server):
    make(server, "doomed")
    with Client(server, "dave", database="doomed") as client:
        assert client.take("same", 10).allowed
        assert client.reserve(100).allowed
    server.run("DROP DATABASE doomed")
    make(server, "doomed")
    with Client(server, "dave", database="doomed") as client:
        assert client.call(STATUS, "same").used == 0
        assert client.money("same") == (0, 0)
        assert client.take("same", 10).allowed
    server.run("DROP DATABASE doomed")


def test_a_copy_of_a_database_goes_on_from_the_copied_ledger(server):
    """CREATE DATABASE … TEMPLATE brings the rows, and policies of the same ids; the accounts are its own."""
    make(server, "original")
    with Client(server, "erin", database="original") as client:
        assert client.take("same", 7).allowed
        client.call(CHARGE, 0, 70)
    server.run("CREATE DATABASE copied TEMPLATE original")
    with Client(server, "erin", database="original") as original, Client(server, "erin", database="copied") as copied:
        assert [copied.take("same", n).allowed for n in (4, 3)] == [False, True]
        assert original.call(STATUS, "same").used == 7
        assert copied.money("same") == (70, 0)
        assert not copied.reserve(31).allowed
    assert problems(server, database="copied") == []
    server.run("DROP DATABASE copied")
    server.run("DROP DATABASE original")


def test_an_extension_that_is_dropped_and_made_again_starts_from_an_empty_ledger(server):
    make(server, "again")
    with Client(server, "frank", database="again") as client:
        assert client.take("same", 10).allowed
        assert client.reserve(100).allowed
    server.run("DROP EXTENSION relay_guard", database="again")
    assert server.value("SELECT count(*) FROM pg_class WHERE relname ~ '^usage_ledger'", database="again") == 0
    install(server, "again")
    server.run(POLICY, database="again")
    server.run(BUDGET, database="again")
    with Client(server, "frank", database="again") as client:
        assert client.take("same", 10).allowed
        assert client.reserve(100).allowed
        assert not client.take("same").allowed
    server.run("DROP DATABASE again")


def test_an_extension_whose_drop_is_rolled_back_is_as_it_was(server):
    make(server, "undone")
    with Client(server, "grace", database="undone") as client:
        client.take("same", 6)
        client.reserve(60)
        admin = server.connect("undone")
        run(admin, "BEGIN; DROP EXTENSION relay_guard; ROLLBACK")
        admin.close()
        assert [client.take("same", n).allowed for n in (5, 4)] == [False, True]
        assert [client.reserve(n).allowed for n in (41, 40)] == [False, True]
    assert problems(server, database="undone") == []
    server.run("DROP DATABASE undone")


def test_a_ledger_without_its_indexes_is_summed_all_the_same(server):
    """Slower, but to the micro-USD: an index that is gone or not valid is not asked."""
    make(server, "bare")
    with Client(server, "judy", "wood", database="bare") as client:
        client.take("same", 7)
        held = client.reserve(30)
        client.call(CHARGE, 0, 40)
        for index, in server.run("""SELECT i.indexrelid::regclass::text FROM pg_index i JOIN pg_inherits p ON p.inhrelid = i.indrelid
                WHERE inhparent = 'relay_guard.usage_ledger'::regclass AND NOT indisunique""", database="bare"):
            server.run(f"DROP INDEX {index}", database="bare")
        server.run("SELECT relay_guard.usage_rebuild()", database="bare")
        assert client.call(STATUS, "same").used == 7
        assert client.money("same") == (40, 30)
        assert client.settle(held.reservation, 20).outcome == "settled"
        assert client.money("same") == (60, 0)
        assert not client.take("same", 4).allowed
    server.run("DROP DATABASE bare")


def test_dropped_under_load_nobody_hangs(server):
    """Clients are told so, and a new installation counts from nothing."""
    make(server, "busy")
    kept = threading.Event()

    def drop(client):
        time.sleep(0.2)
        while (state := sqlstate(client.connection, "DROP EXTENSION relay_guard")) == "40P01":
            pass
        if state is not None:
            kept.set()
        return {state}

    def work(client):
        if client is clients[0]:
            return drop(client)
        states = set()
        while not kept.is_set():
            try:
                client.take("same")
                client.call(CHARGE, 0, 1)
            except psycopg2.Error as error:
                states.add(error.pgcode)
                if error.pgcode in ("3F000", "42883", "42P01"):
                    break
        return states

    clients = [Client(server, "heidi", database="busy", options="SET statement_timeout = '60s'") for _ in range(6)]
    try:
        states = set().union(*together(work, *clients))
    finally:
        for client in clients:
            client.close()
    assert states <= {None, "3F000", "42883", "42P01", "42704", "XX000", "55000", "25P02", "40P01"}
    assert "57014" not in states
    install(server, "busy")
    server.run(POLICY, database="busy")
    with Client(server, "heidi", database="busy") as client:
        assert client.take("same", 10).used == 10
    server.run("DROP DATABASE busy")


def test_a_database_without_the_extension_has_none_of_it(server):
    server.run("CREATE DATABASE plain")
    assert sqlstate(server.connect("plain"), "SELECT relay_guard.quota_take('same')") == "3F000"
    server.run("DROP DATABASE plain WITH (FORCE)")


def test_without_preloading_no_quota_or_budget_admits(make_server):
    """There is no shared memory: error 55000 with the hint, and nothing in the ledger."""
    server = make_server({"shared_preload_libraries": ""})
    server.run("CREATE EXTENSION relay_guard")
    server.run(POLICY)
    server.run(BUDGET)
    connection = server.connect()
    model(server, "m")
    run(connection, "BEGIN")
    run(connection, "SELECT relay_guard.assume('ivan')")
    for statement in ("quota_take('same')", "quota_require('same')", "budget_reserve('m', 1, 1)", "budget_charge('m', 1, 1)"):
        run(connection, "SAVEPOINT s")
        assert sqlstate(connection, f"SELECT relay_guard.{statement}") == "55000", statement
        run(connection, "ROLLBACK TO s")
    run(connection, "COMMIT")
    assert run(connection, "SELECT count(*) FROM relay_guard.usage_ledger") == [(0,)]
    connection.close()
    server.stop("immediate")
