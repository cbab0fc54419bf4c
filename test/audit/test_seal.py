"""Seals: which rows they cover, how they are linked, and what does not disturb them."""
import concurrent.futures
import os

import pytest
from sealing import event, events, ids_text, last_seal, log_server, problems, seal, seals, tamper
from servers import run, sqlstate, wait_for


@pytest.fixture(scope="module")
def server(make_server):
    server = log_server(make_server)
    yield server
    server.stop("immediate")


@pytest.fixture
def other(server):
    connections = []

    def connect():
        connections.append(server.connect(autocommit=False))
        return connections[-1]

    yield connect
    for connection in connections:
        connection.close()


@pytest.fixture(autouse=True)
def nothing_wrong(request):
    """Whatever a test of the common server does, the log is whole, and sealed afterwards."""
    yield
    if "server" in request.fixturenames:
        server = request.getfixturevalue("server")
        seal(server)
        assert problems(server) == []


def test_nothing_new_makes_no_seal(server):
    seal(server)
    before = len(seals(server))
    assert seal(server) == 0 and len(seals(server)) == before


def test_seals_cover_new_rows_and_are_linked(server):
    seal(server)
    before = len(seals(server))
    ids = [events(server, 3), events(server, 2)]
    assert seal(server) == 1
    ids[1] += events(server, 1)
    assert seal(server) == 1
    first, second = seals(server, before)
    assert (first["rows"], first["ids"]) == (5, ids_text(*ids[0], *ids[1][:2]))
    assert (second["rows"], second["ids"]) == (1, ids_text(ids[1][2]))
    assert second["previous"] == first["root"] and second["seal_id"] == first["seal_id"] + 1
    assert (first["unwitnessed"], first["findings"]) == (0, None)
    head = server.run("SELECT seal_id, encode(root, 'hex') FROM relay_guard.audit_head()")
    assert head == [(second["seal_id"], second["root"])]


def test_index_of_proved_seals_leaves_out_the_others(server, other):
    events(server, 1)
    seal(server)
    connection = other()
    run(connection, "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off")
    assert run(connection, "SELECT seal_id FROM relay_guard.audit_seal WHERE step IS NOT NULL") == []


def test_ids_that_commit_out_of_order_and_gaps_of_rollbacks(server, other):
    late, gone = other(), other()
    first = event(late)
    event(gone)
    gone.rollback()
    second, = events(server, 1)
    seal(server)
    assert last_seal(server)["ids"] == ids_text(second)
    late.commit()
    seal(server)
    assert last_seal(server)["ids"] == ids_text(first)


def test_forgotten_prepared_transaction_holds_up_nothing(server, other):
    connection = other()
    first = event(connection)
    run(connection, "PREPARE TRANSACTION 'forgotten'")
    for _ in range(3):
        ids = events(server, 1)
        assert seal(server) == 1 and last_seal(server)["ids"] == ids_text(*ids)
    server.run("COMMIT PREPARED 'forgotten'")
    assert seal(server) == 1
    assert (last_seal(server)["ids"], last_seal(server)["unwitnessed"]) == (ids_text(first), 0)


def test_prepared_transaction_that_is_rolled_back_leaves_nothing(server, other):
    connection = other()
    event(connection)
    run(connection, "PREPARE TRANSACTION 'given up'")
    server.run("ROLLBACK PREPARED 'given up'")
    assert seal(server) == 0


def test_held_snapshot_holds_up_nothing(server, other):
    holder = other()
    run(holder, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM relay_guard.audit_log")
    ids = events(server, 2)
    assert seal(server) == 1 and last_seal(server)["ids"] == ids_text(*ids)


def test_rows_of_savepoints_belong_to_their_transaction(server, other):
    connection = other()
    ids = [event(connection)]
    run(connection, "SAVEPOINT s")
    ids.append(event(connection))
    run(connection, "ROLLBACK TO s")
    del ids[-1]
    ids.append(event(connection))
    assert seal(server) == 0
    connection.commit()
    seal(server)
    assert last_seal(server)["ids"] == ids_text(*ids)


@pytest.mark.parametrize("begin", ["BEGIN ISOLATION LEVEL REPEATABLE READ", "BEGIN ISOLATION LEVEL SERIALIZABLE",
                                   "BEGIN; SELECT relay_guard.audit_event('test', 'thing')", "BEGIN; SAVEPOINT s"])
def test_refused_where_a_seal_would_cover_what_it_cannot_see(server, other, begin):
    connection = other()
    run(connection, begin)
    assert sqlstate(connection, "SELECT relay_guard.audit_seal()") == "25001"


def test_refused_twice_in_a_transaction_and_before_prepare(server, other):
    connection = other()
    events(server, 1)
    assert run(connection, "SELECT relay_guard.audit_seal()") == [(1,)]
    assert sqlstate(connection, "SELECT relay_guard.audit_seal()") == "25001"
    connection.rollback()
    run(connection, "SELECT relay_guard.audit_seal()")
    assert sqlstate(connection, "PREPARE TRANSACTION 'sealed'") == "0A000"


def test_refused_in_a_read_only_transaction(server, other):
    connection = other()
    run(connection, "BEGIN READ ONLY")
    assert sqlstate(connection, "SELECT relay_guard.audit_seal()") == "25006"


def test_sealing_that_is_rolled_back_is_done_again(server, other):
    connection = other()
    ids = events(server, 2)
    run(connection, "SELECT relay_guard.audit_seal()")
    connection.rollback()
    before = len(seals(server))
    assert seal(server) == 1
    made = last_seal(server)
    assert (made["seal_id"], made["ids"], made["unwitnessed"]) == (before + 1, ids_text(*ids), 0)


def test_what_the_sealing_transaction_writes_later_is_in_the_next_seal(server, other):
    connection = other()
    events(server, 1)
    run(connection, "SELECT relay_guard.audit_seal()")
    late = event(connection)
    connection.commit()
    assert seal(server) == 1 and last_seal(server)["ids"] == ids_text(late)


def test_many_at_once_make_one_chain(server):
    """Writers and sealers at the same time; each row is in one seal, each seal follows the one before."""
    seal(server)
    before, count = len(seals(server)), server.value("SELECT count(*) FROM relay_guard.audit_log")

    def work(sealer):
        connection = server.connect()
        for i in range(20):
            run(connection, "SELECT relay_guard.audit_seal()" if sealer else
                "SELECT relay_guard.audit_event('test', 'thing') FROM generate_series(1, %s)", *([] if sealer else [i + 1]))
        connection.close()

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(work, [True, True, False, False, False, False]))
    seal(server)
    made = seals(server, before)
    assert server.value("SELECT count(*) FROM relay_guard.audit_log") == count + 4 * 210
    assert sum(s["rows"] for s in made) == 4 * 210
    assert sum(s["unwitnessed"] for s in made) == 0 and not any(s["findings"] for s in made)
    assert [s["seal_id"] for s in made] == list(range(before + 1, before + len(made) + 1))
    assert [s["previous"] for s in made[1:]] == [s["root"] for s in made[:-1]]


def test_names_of_the_callers_schemas_are_not_looked_at(server, other):
    connection = other()
    run(connection, """CREATE FUNCTION public.pg_visible_in_snapshot(xid8, pg_snapshot) RETURNS boolean
                       LANGUAGE plpgsql AS 'BEGIN RAISE ''called''; END';
                       CREATE FUNCTION public.wrong(int, int) RETURNS boolean
                       LANGUAGE plpgsql AS 'BEGIN RAISE ''called''; END';
                       CREATE OPERATOR public.= (LEFTARG = int, RIGHTARG = int, FUNCTION = public.wrong)""")
    connection.commit()
    events(server, 1)
    run(connection, "SET search_path = public, pg_catalog")
    connection.commit()
    assert run(connection, "SELECT relay_guard.audit_seal()") == [(1,)]
    connection.commit()
    server.run("DROP OPERATOR public.= (int, int); DROP FUNCTION public.wrong; DROP FUNCTION public.pg_visible_in_snapshot")


def test_administrators_seal_without_rights_to_the_log(server):
    server.run("CREATE ROLE boss LOGIN; SELECT relay_guard.grant_role('admin', 'boss'); CREATE ROLE nobody LOGIN")
    events(server, 1)
    assert seal(server, user="boss") == 1
    assert server.run("SELECT seal_id FROM relay_guard.audit_head()", user="boss")
    assert sqlstate(server.connect(user="nobody"), "SELECT relay_guard.audit_seal()") == "42501"
    assert sqlstate(server.connect(user="nobody"), "SELECT * FROM relay_guard.audit_head()") == "42501"


def test_long_transaction_in_ranges_of_ids(server):
    """A hundred thousand rows of two transactions, in turn: their ids meet when the second is read."""
    seal(server)
    connections = [server.connect(autocommit=False) for _ in range(2)]
    for i in range(100):
        run(connections[i % 2], "SELECT count(relay_guard.audit_event('test', 'thing')) FROM generate_series(1, 500)")
    for connection in connections:
        connection.commit()
        connection.close()
    assert seal(server) == 1
    made = last_seal(server)
    assert made["rows"] == 50000 and made["ids"].count("[") == 1 and made["unwitnessed"] == 0


def test_every_month_has_a_seal_of_its_own(make_server):
    server = log_server(make_server)
    events(server, 2)
    tamper(server, """INSERT INTO relay_guard.audit_log SELECT (jsonb_populate_record(l, jsonb_build_object(
                          'id', id + 10, 'occurred_at', occurred_at + interval '40 days'))).*
                      FROM relay_guard.audit_log l""")
    assert seal(server) == 2
    first, second = seals(server)
    assert first["month"] < second["month"] and first["snap"] == second["snap"]
    assert (first["ids"], second["ids"]) == ("{[1,3)}", "{[11,13)}")
    assert second["previous"] == first["root"]
    server.stop("immediate")


# Copies of the log

def test_copy_takes_over_what_was_not_sealed(make_server):
    """A copy of the database is another epoch: its first seals adopt what the former left, once."""
    server = log_server(make_server)
    events(server, 2)
    seal(server)
    left = events(server, 2)
    for template, name in (("postgres", "copy"), ("copy", "copy_of_copy")):
        server.run(f"CREATE DATABASE {name} TEMPLATE {template}", database="template1")
        own = events(server, 1, database=name)
        assert seal(server, database=name) == 2
        adopted, first = seals(server, database=name)[-2:]
        assert adopted["row_epoch"] == seals(server)[0]["epoch"] if name == "copy" else adopted["row_epoch"] == copied
        assert (adopted["ids"], first["ids"]) == (ids_text(*left), ids_text(*own))
        assert adopted["unwitnessed"] == len(left)
        assert first["epoch"] == first["row_epoch"] == adopted["epoch"] != adopted["row_epoch"]
        assert seal(server, database=name) == 0
        assert problems(server, database=name) == []
        copied = first["epoch"]
        left = events(server, 1, database=name)
    server.stop("immediate")


def test_rows_of_another_epoch_that_come_later_are_not_taken_over(make_server):
    server = log_server(make_server)
    events(server, 1)
    seal(server)
    tamper(server, """INSERT INTO relay_guard.audit_log SELECT (jsonb_populate_record(l, '{"id": 99, "epoch": 7}')).*
                      FROM relay_guard.audit_log l""")
    assert seal(server) == 0
    server.stop("immediate")


def test_copy_whose_seals_come_by_replication_seals_nothing(make_server):
    server = log_server(make_server)
    events(server, 1)
    server.run("""SET allow_system_table_mods = on; INSERT INTO pg_subscription_rel
                  VALUES (1, 'relay_guard.audit_seal'::regclass, 'r', NULL)""")
    assert seal(server) == 0
    server.run("DELETE FROM pg_subscription_rel")
    assert seal(server) == 1
    server.stop("immediate")


def test_log_that_is_being_restored_is_not_sealed(make_server):
    """pg_restore makes the partitions, loads data, the seals' among them, and makes triggers last."""
    server = make_server()
    server.run("CREATE EXTENSION relay_guard")
    assert seal(server) == 0
    server.run("SELECT relay_guard.audit_maintain()")
    partition = server.value("SELECT max(inhrelid::regclass::text) FROM pg_inherits WHERE inhparent = 'relay_guard.audit_log'::regclass")
    events(server, 1)
    server.run(f"DROP TRIGGER audit_refuse ON {partition}")
    assert sqlstate(server.connect(), "SELECT relay_guard.audit_seal()") == "55000"
    assert seals(server) == []
    server.stop("immediate")


# The worker

@pytest.fixture(scope="module")
def worked(make_server):
    """A server whose worker seals every second."""
    server = log_server(make_server, {"relay_guard.databases": "postgres, second, missing, bare",
                                      "relay_guard.audit_seal_interval": "1s", "max_worker_processes": 20})
    yield server
    server.stop("immediate")


def sealers(server):
    return server.run("SELECT datname FROM pg_stat_activity WHERE backend_type = 'relay_guard sealer'")


def covered(server, id, **where):
    return server.value("SELECT EXISTS (SELECT FROM relay_guard.audit_seal WHERE ids @> %s::bigint)", id, **where)


def test_worker_seals_by_itself_and_goes(worked):
    id, = events(worked, 1)
    wait_for(lambda: covered(worked, id))
    assert (last_seal(worked)["unwitnessed"], last_seal(worked)["findings"]) == (0, None)
    wait_for(lambda: sealers(worked) == [])
    assert problems(worked) == []


def test_worker_finds_prepared_transactions_that_commit(worked):
    connection = worked.connect(autocommit=False)
    id = event(connection)
    run(connection, "PREPARE TRANSACTION 'late'")
    connection.close()
    events(worked, 1)
    wait_for(lambda: len(seals(worked)) > 1)
    worked.run("COMMIT PREPARED 'late'")
    wait_for(lambda: covered(worked, id))


def test_each_database_has_its_worker_and_can_be_dropped(worked):
    worked.run("CREATE DATABASE second")
    worked.run("CREATE DATABASE bare")
    worked.run("CREATE EXTENSION relay_guard; SELECT relay_guard.audit_maintain()", database="second")
    id, = events(worked, 1, database="second")
    wait_for(lambda: covered(worked, id, database="second"))
    worked.run("DROP EXTENSION relay_guard CASCADE", database="second")
    worked.run("CREATE EXTENSION relay_guard; SELECT relay_guard.audit_maintain()", database="second")
    id, = events(worked, 1, database="second")
    wait_for(lambda: covered(worked, id, database="second"))
    assert last_seal(worked, database="second")["findings"] is None
    worked.run("DROP DATABASE second WITH (FORCE)")
    wait_for(lambda: sealers(worked) == [])
    worked.run("DROP DATABASE bare")
    assert "PANIC" not in worked.log() and "was terminated by" not in worked.log()


def test_worker_makes_partitions_that_are_missing(worked):
    last = worked.value("SELECT max(inhrelid::regclass::text) FROM pg_inherits WHERE inhparent = 'relay_guard.audit_log'::regclass")
    worked.run(f"DROP TABLE {last}")
    worked.restart()
    wait_for(lambda: worked.value("SELECT to_regclass(%s)", last))


def test_shutdown_seals_what_is_left(make_server):
    server = log_server(make_server, {"relay_guard.databases": "postgres", "relay_guard.audit_seal_interval": "1h"})
    wait_for(lambda: "relay_guard" in str(server.run("SELECT backend_type FROM pg_stat_activity")))
    ids = events(server, 3)
    wait_for(lambda: sealers(server))
    connection = server.connect()
    ids += [event(connection)]
    server.options["relay_guard.audit_seal_interval"] = 0
    server.restart()
    connection.close()
    assert [(s["ids"], s["unwitnessed"]) for s in seals(server)] == [(ids_text(*ids), 0)]
    events(server, 1)
    server.run("SELECT pg_sleep(0.3)")
    server.restart()
    assert len(seals(server)) == 1 and seal(server) == 1
    server.stop("immediate")


@pytest.mark.skipif("RG_LONG" not in os.environ, reason="takes 20 seconds")
def test_nobodys_lock_stops_the_worker_for_ever(worked):
    connection = worked.connect(autocommit=False)
    run(connection, "LOCK TABLE relay_guard.audit_seal IN EXCLUSIVE MODE")
    id, = events(worked, 1)
    wait_for(lambda: "lock timeout" in worked.log())
    connection.close()
    wait_for(lambda: covered(worked, id), 30)


@pytest.mark.skipif("RG_LONG" not in os.environ, reason="writes a million rows")
def test_backlog_takes_no_memory_for_its_rows(make_server):
    server = log_server(make_server)
    for _ in range(100):
        server.run("SELECT count(relay_guard.audit_event('test', 'thing')) FROM generate_series(1, 10000)")
    connection = server.connect()
    pid = run(connection, "SELECT pg_backend_pid()")[0][0]
    assert run(connection, "SELECT relay_guard.audit_seal()") == [(1,)]
    peak = {line.split(":")[0]: line.split()[1] for line in open(f"/proc/{pid}/status") if "kB" in line}
    assert int(peak["VmHWM"]) - int(peak["RssShmem"]) < 100000
    assert last_seal(server)["rows"] == 1000000
    server.stop("immediate")
