"""What shared memory witnessed of a transaction's rows, against what a seal finds of them."""
import os

import psycopg2
import pytest
from sealing import event, events, last_seal, log_server, seal, seals, tamper
from servers import not_with_sanitizers, run, sqlstate, wait_for


@pytest.fixture(scope="module")
def server(make_server):
    server = log_server(make_server)
    yield server
    server.stop("immediate")


def found(server):
    """What the next seal finds."""
    assert seal(server) == 1
    return last_seal(server)["findings"]


def forget(server, *ids, **where):
    tamper(server, "DELETE FROM relay_guard.audit_log WHERE id = ANY (%s)", list(ids), **where)


def xid_of(server, id):
    return server.value("SELECT xid::text::bigint FROM relay_guard.audit_log WHERE id = %s", id)


def test_row_deleted_before_its_seal_is_named(server):
    first, second, third = events(server, 3)
    xid = xid_of(server, second)
    forget(server, second)
    assert found(server) == [{"xid": xid, "witnessed": 1, "found": 0, "id": second}]
    assert last_seal(server)["rows"] == 2 and last_seal(server)["unwitnessed"] == 0
    assert server.run("SELECT problem FROM relay_guard.audit_verify() WHERE problem = 'seal_finding'")


def test_all_new_rows_deleted_make_a_seal_without_rows(server):
    seal(server)
    ids = events(server, 2)
    forget(server, *ids)
    assert [f["id"] for f in found(server)] == ids
    assert (last_seal(server)["rows"], last_seal(server)["ids"]) == (0, "{}")
    assert seal(server) == 0


def test_several_rows_of_a_transaction(server):
    connection = server.connect(autocommit=False)
    ids = [event(connection) for _ in range(5)]
    connection.commit()
    connection.close()
    xid = xid_of(server, ids[0])
    forget(server, ids[1], ids[3])
    assert found(server) == [{"xid": xid, "witnessed": 5, "found": 3}]


def test_row_replaced_by_another(server):
    """As many rows as there were, but not the same."""
    id, = events(server, 1)
    tamper(server, "UPDATE relay_guard.audit_log SET mac = sha256(mac) WHERE id = %s", id)
    assert found(server) == [{"xid": xid_of(server, id), "witnessed": 1, "found": 1}]
    id, = events(server, 1)
    tamper(server, "UPDATE relay_guard.audit_log SET id = id + 1000000 WHERE id = %s", id)
    assert [(f["witnessed"], f["found"]) for f in found(server)] == [(1, 1)]


def test_row_slipped_into_a_transaction(server):
    id, = events(server, 1)
    tamper(server, """INSERT INTO relay_guard.audit_log SELECT (jsonb_populate_record(l, '{"id": 77000000}')).*
                      FROM relay_guard.audit_log l WHERE id = %s""", id)
    assert found(server) == [{"xid": xid_of(server, id), "witnessed": 1, "found": 2, "id": 77000000}]


# + writes a row, ( makes a savepoint, ) releases and < rolls back to the innermost
SAVEPOINTS = {
    "rolled back": ("+(++<+", 2),
    "released": ("+(++)+", 4),
    "rolled back twice": ("(+<++<+", 1),
    "released into one rolled back": ("+((+)+<+", 2),
    "rolled back into one released": ("(+(+<)", 1),
    "rolled back with an inner one": ("+(+(+)<+", 2),
    "deep and released": ("(((+)))+(+<", 2),
    "only inside": ("((+))", 1),
    "gaps between levels": ("+(((+)+<)+)", 2),
    "rolled back after a release": ("+((+)(+)<", 1),
}


def take_steps(connection, steps):
    """Ids of all rows that were written."""
    ids, depth = [], 0
    for step in steps:
        if step == "+":
            ids.append(event(connection))
        elif step == "(":
            depth += 1
            run(connection, f"SAVEPOINT s{depth}")
        elif step == "<":
            run(connection, f"ROLLBACK TO s{depth}")
        else:
            run(connection, f"RELEASE s{depth}")
            depth -= 1
    return ids


def test_row_of_a_transaction_that_was_rolled_back_is_a_finding(server):
    """Its MAC is right, for whoever read it before the rollback, and no seal was made since."""
    connection = server.connect(autocommit=False)
    id = event(connection)
    row, xid = run(connection, "SELECT l::text, xid::text::bigint FROM relay_guard.audit_log l WHERE id = %s", id)[0]
    connection.rollback()
    connection.close()
    tamper(server, "INSERT INTO relay_guard.audit_log SELECT (%s::relay_guard.audit_log).*", row)
    assert found(server) == [{"xid": xid, "witnessed": 0, "found": 1, "id": id}]


@pytest.mark.parametrize("name", SAVEPOINTS)
@pytest.mark.parametrize("end", ["COMMIT", "PREPARE TRANSACTION 'p'; COMMIT PREPARED 'p'"])
def test_counts_exactly_what_savepoints_left(server, name, end):
    """One row is deleted, so that the seal tells how many were witnessed."""
    steps, count = SAVEPOINTS[name]
    connection = server.connect()
    run(connection, "BEGIN")
    ids = take_steps(connection, steps)
    for command in end.split("; "):
        run(connection, command)
    connection.close()
    left = [id for id, in server.run("SELECT id FROM relay_guard.audit_log WHERE id = ANY (%s) ORDER BY id", ids)]
    assert len(left) == count
    forget(server, left[0])
    finding, = found(server)
    assert (finding["witnessed"], finding["found"], finding["id"]) == (count, count - 1, left[0])


def test_exception_blocks_of_functions_count_exactly(server):
    server.run("""DO $$ BEGIN
                      FOR i IN 1..200 LOOP
                          BEGIN
                              PERFORM relay_guard.audit_event('test', 'thing', 'block');
                              PERFORM 1 / (i %% 4);
                          EXCEPTION WHEN division_by_zero THEN NULL;
                          END;
                      END LOOP; END $$""".replace("%%", "%"))
    ids = [id for id, in server.run("SELECT id FROM relay_guard.audit_log WHERE resource_id = 'block'")]
    forget(server, ids[0])
    finding, = found(server)
    assert (finding["witnessed"], len(ids)) == (150, 150)


def test_prepared_transaction_is_witnessed_and_one_given_up_is_not(server):
    for end in ("COMMIT", "ROLLBACK"):
        connection = server.connect()
        run(connection, "BEGIN")
        id = event(connection)
        run(connection, "PREPARE TRANSACTION 'p'")
        run(connection, f"{end} PREPARED 'p'")
        connection.close()
        if end == "COMMIT":
            forget(server, id)
            assert [f["id"] for f in found(server)] == [id]
    assert seal(server) == 0


def test_commit_that_fails_at_its_end_is_no_finding(server):
    server.run("""CREATE TABLE target (id int); INSERT INTO target VALUES (1), (2)""")
    a, b = server.connect(autocommit=False), server.connect(autocommit=False)
    for connection, mine in ((a, 1), (b, 2)):
        run(connection, "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
        run(connection, "SELECT sum(id) FROM target")
        event(connection)
        run(connection, "UPDATE target SET id = id + 10 WHERE id = %s", mine)
    a.commit()
    with pytest.raises(psycopg2.errors.SerializationFailure):
        b.commit()
    assert found(server) is None and last_seal(server)["rows"] == 1
    assert seal(server) == 0
    a.close()
    b.close()


def test_other_databases_are_apart(server):
    server.run("CREATE DATABASE apart")
    server.run("CREATE EXTENSION relay_guard; SELECT relay_guard.audit_maintain()", database="apart")
    there, = events(server, 1, database="apart")
    events(server, 1)
    assert found(server) is None
    forget(server, there, database="apart")
    assert seal(server, database="apart") == 1
    assert [f["id"] for f in last_seal(server, database="apart")["findings"]] == [there]
    server.run("DROP DATABASE apart")


def test_log_made_anew_has_no_witnesses_of_the_former(server):
    events(server, 2)
    server.run("DROP EXTENSION relay_guard CASCADE")
    server.run("CREATE EXTENSION relay_guard; SELECT relay_guard.audit_maintain()")
    assert seal(server) == 0
    events(server, 1)
    assert found(server) is None and last_seal(server)["unwitnessed"] == 0


@not_with_sanitizers
def test_after_a_crash_the_seal_says_that_nobody_witnessed(server):
    seal(server)
    events(server, 3)
    backend = server.value("SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'")
    os.kill(backend, 9)
    wait_for(lambda: "all server processes terminated; reinitializing" in server.log())
    wait_for(lambda: answers(server))
    events(server, 1)
    assert found(server) is None
    assert (last_seal(server)["rows"], last_seal(server)["unwitnessed"]) == (4, 3)
    forget(server, *events(server, 1))
    assert len(found(server)) == 1


def answers(server):
    try:
        return server.value("SELECT 1") == 1
    except psycopg2.OperationalError:
        return False


def test_ring_that_is_too_small_is_said_and_turns_over(make_server):
    server = log_server(make_server, {"relay_guard.audit_witnesses": 4})
    assert seal(server) == 0
    ids = events(server, 10)
    assert seal(server) == 1
    assert (last_seal(server)["unwitnessed"], last_seal(server)["findings"]) == (6, None)
    ids = events(server, 6)
    forget(server, ids[0], ids[5])
    assert [f["id"] for f in found(server)] == [ids[5]]
    server.stop("immediate")


def test_full_half_of_the_ring_calls_the_worker(make_server):
    server = log_server(make_server, {"relay_guard.audit_witnesses": 40, "relay_guard.databases": "postgres",
                                      "relay_guard.audit_seal_interval": "1h"})
    worker = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'relay_guard sealer'"
    seen = len(seals(server))
    events(server, 5)
    wait_for(lambda: server.run(worker))
    events(server, 20)
    wait_for(lambda: len(seals(server)) > seen)
    assert all(s["unwitnessed"] == 0 for s in seals(server))
    server.stop("immediate")


@pytest.mark.parametrize("options", [{"relay_guard.audit_witnesses": 0}, {"shared_preload_libraries": ""}])
def test_without_a_ring_everything_is_unwitnessed(make_server, options):
    server = log_server(make_server, options)
    ids = events(server, 3)
    forget(server, ids[0])
    assert seal(server) == 1
    assert (last_seal(server)["unwitnessed"], last_seal(server)["findings"]) == (2, None)
    assert sqlstate(server.connect(), "SELECT relay_guard.audit_seal()") is None
    server.stop("immediate")
