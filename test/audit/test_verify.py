"""audit_verify() on logs that nobody touched: whatever happens beside it, it finds nothing."""
import os
import pathlib
import re
import threading
import time

import audit_formats
import psycopg2
import pytest
from audit_formats import formats, Log, server_problems, tool
from servers import keyring, run, sqlstate

LONG = "RG_LONG" in os.environ


@pytest.fixture(scope="module")
def busy(make_server):
    """A server that seals every second, and the partitions for it."""
    server = make_server({"relay_guard.databases": "postgres", "relay_guard.audit_seal_interval": "1s",
                          "max_prepared_transactions": 20})
    server.run("CREATE EXTENSION relay_guard")
    server.run("SELECT relay_guard.audit_maintain()")
    yield server
    server.stop("immediate")


def write(server, seconds, number):
    """Events, of which some are rolled back, some wait, and ids and transactions are out of order."""
    connection = server.connect(autocommit=False)
    end, n = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        n += 1
        run(connection, "SELECT relay_guard.audit_event('write', 'thing', n::text) FROM generate_series(1, %s) n", n % 7 + 1)
        if n % 5 == 0:
            run(connection, "SAVEPOINT s; SELECT relay_guard.audit_event('gone', 'thing'); ROLLBACK TO s")
        if n % 11 == number % 11:
            time.sleep(0.3)
        (connection.rollback if n % 3 == 0 else connection.commit)()
    connection.close()


def seals(server):
    return server.value("SELECT coalesce(max(seal_id), 0) FROM relay_guard.audit_seal")


def test_breeze_1002_1240_chain_forks_under_load(busy):
    """16 writers, sealers in turn, a prepared transaction, a held snapshot: the chain is one, and whole."""
    holding = busy.connect(autocommit=False)
    run(holding, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT 1")
    prepared = busy.connect(autocommit=False)
    run(prepared, "SELECT relay_guard.audit_event('prepared', 'thing'); PREPARE TRANSACTION 'late'")
    before = seals(busy)
    writers = [threading.Thread(target=write, args=(busy, 4, n)) for n in range(16)]
    sealers = [threading.Thread(target=lambda: [busy.run("SELECT relay_guard.audit_seal()") for _ in range(8)])
               for _ in range(3)]
    for thread in writers + sealers:
        thread.start()
    connection, checked = busy.connect(), 0
    while any(thread.is_alive() for thread in writers):
        assert server_problems(connection) == []
        checked += 1
    assert checked >= 3 and seals(busy) > before + 3
    run(connection, "COMMIT PREPARED 'late'")
    assert server_problems(connection) == []
    run(connection, "SELECT relay_guard.audit_seal()")
    assert server_problems(connection) == []
    assert busy.run("SELECT count(*) FILTER (WHERE previous IS NULL), count(*) - count(DISTINCT previous), max(seal_id) - count(*)"
                    " FROM relay_guard.audit_seal") == [(1, 1, 0)]
    assert server_problems(holding) == []
    for other in (holding, prepared, connection):
        other.close()


def test_clean_beside_a_retirement(busy):
    """Months leave while it reads, each time it looks."""
    connection = busy.connect()
    made = Log(audit_formats.ring_key(busy), epoch="9")
    for month in range(1, 7):
        made.add(50, occurred_at=f"2020-0{month}-15 12:00:00+00")
    made.rows = [row._replace(id=str(int(row.id) + 10**9)) for row in made.rows]
    made.rows = [audit_formats.sign(row, made.key) for row in made.rows]
    server = busy
    server.run("CREATE DATABASE retiring")
    server.run("CREATE EXTENSION relay_guard", database="retiring")
    other = server.connect("retiring")
    run(other, "SELECT relay_guard.audit_maintain()")
    audit_formats.put(other, made)
    run(other, "SELECT relay_guard.audit_seal()")
    assert server_problems(other) == []
    done = threading.Event()

    def retire():
        for month in range(2, 8):
            server.run("CALL relay_guard.audit_retire(%s)", f"2020-0{month}-01", database="retiring")
        done.set()
    retiring = threading.Thread(target=retire)
    retiring.start()
    while not done.is_set() and retiring.is_alive():
        assert server_problems(other) == []
    retiring.join()
    assert done.is_set() and server_problems(other) == []
    assert run(other, "SELECT count(*) FROM relay_guard.audit_log WHERE occurred_at < '2021-01-01'") == [(0,)]
    connection.close()
    other.close()


def test_ids_out_of_order_and_gaps_are_no_problem(server):
    server.run("SELECT relay_guard.audit_maintain()")
    first, second = server.connect(autocommit=False), server.connect(autocommit=False)
    run(first, "SELECT relay_guard.audit_event('first', 'thing')")
    run(second, "SELECT relay_guard.audit_event('second', 'thing')")
    second.commit()
    server.run("SELECT relay_guard.audit_seal()")
    reader = server.connect()
    assert server_problems(reader) == []
    run(first, "SELECT nextval('relay_guard.audit_log_id_seq') FROM generate_series(1, 100)")
    run(first, "SELECT relay_guard.audit_event('third', 'thing')")
    first.commit()
    assert server_problems(reader) == []
    server.run("SELECT relay_guard.audit_seal()")
    assert server_problems(reader) == []
    for connection in (first, second, reader):
        connection.close()


def test_rows_of_the_own_transaction_are_pending(server):
    connection = server.connect(autocommit=False)
    run(connection, "SELECT relay_guard.audit_event('own', 'thing')")
    assert server_problems(connection) == []
    connection.rollback()
    connection.close()


def test_row_of_a_transaction_that_was_rolled_back_is_not_taken_back_in(server):
    """Its MAC is right, for whoever saw it before the rollback: no seal has it."""
    connection = server.connect(autocommit=False)
    run(connection, "SELECT relay_guard.audit_event('undone', 'thing')")
    row = run(connection, "SELECT l::text FROM relay_guard.audit_log l WHERE action = 'undone'")[0][0]
    row_id = run(connection, "SELECT id FROM relay_guard.audit_log WHERE action = 'undone'")[0][0]
    connection.rollback()
    run(connection, "SELECT relay_guard.audit_seal()")
    connection.commit()
    run(connection, "SELECT relay_guard.audit_event('after', 'thing')")
    connection.commit()
    run(connection, "SELECT relay_guard.audit_seal()")
    connection.commit()
    run(connection, "SET LOCAL session_replication_role = replica;"
                    "INSERT INTO relay_guard.audit_log SELECT (%s::relay_guard.audit_log).*", row)
    assert server_problems(connection) == [("row_inserted", row_id)]
    connection.rollback()
    connection.close()


def test_authentic_row_of_another_database_is_not_taken_in(server, tmp_path):
    """Whoever may write anything in one database of the server does not forge rows for another."""
    server.run("CREATE DATABASE elsewhere")
    server.run("CREATE EXTENSION relay_guard", database="elsewhere")
    server.run("SELECT relay_guard.audit_maintain()", database="elsewhere")
    server.run("SELECT relay_guard.assume('alice', role => 'admin'), relay_guard.audit_event('confess', 'crime')", database="elsewhere")
    row = server.value("SELECT l::text FROM relay_guard.audit_log l", database="elsewhere")
    server.run("SELECT relay_guard.audit_maintain()")
    server.run("SELECT relay_guard.audit_event('here', 'thing')")
    server.run("SELECT relay_guard.audit_seal()")
    connection = server.connect()
    run(connection, "SET session_replication_role = replica; INSERT INTO relay_guard.audit_log SELECT (%s::relay_guard.audit_log).*", row)
    row_id = run(connection, "SELECT (%s::relay_guard.audit_log).id", row)[0][0]
    assert server_problems(connection) == [("row_inserted", row_id)]
    run(connection, "DELETE FROM relay_guard.audit_log WHERE action = 'confess'")
    assert server_problems(connection) == []
    connection.close()


@pytest.fixture
def restored(server, request):
    """A database whose log another cluster wrote, and began to seal or did not; the last row's copy."""
    name = f"restored_{request.param}"
    server.run(f"CREATE DATABASE {name}")
    server.run("CREATE EXTENSION relay_guard", database=name)
    server.run("SELECT relay_guard.audit_maintain()", database=name)
    log = Log(audit_formats.ring_key(server), epoch="77")
    log.next_xid = 10**9
    log.add(3)
    if request.param == "sealed":
        log.seal()
        log.add(2)
    connection = server.connect(name)
    audit_formats.put(connection, log)
    run(connection, "SELECT setval('relay_guard.audit_log_id_seq', 100)")
    yield connection, log
    connection.close()


@pytest.mark.parametrize("restored", ["sealed", "unsealed"], indirect=True)
def test_restored_log_is_taken_over_once(restored):
    """Its last rows wait for the first seal here; what appears later under its name is forged."""
    connection, log = restored
    assert server_problems(connection) == []
    run(connection, "SELECT relay_guard.audit_seal()")
    run(connection, "SELECT relay_guard.audit_event('here', 'thing')")
    assert server_problems(connection) == []
    run(connection, "SELECT relay_guard.audit_seal()")
    assert server_problems(connection) == []
    late = Log(log.key, epoch="77")
    late.add(1, row_id=90, xid=2 * 10**9)
    audit_formats.put(connection, late)
    assert server_problems(connection) == [("row_inserted", 90)]


def test_auditor_may_verify_and_nobody_else(server):
    server.run("CREATE ROLE checking LOGIN; CREATE ROLE curious LOGIN; SELECT relay_guard.grant_role('auditor', 'checking')")
    assert server.run("SELECT * FROM relay_guard.audit_verify()", user="checking") == []
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        server.run("SELECT * FROM relay_guard.audit_verify()", user="curious")


def test_without_a_ring_nothing_is_called_whole(make_server):
    server = make_server({"relay_guard.keyring_file": ""})
    server.run("CREATE EXTENSION relay_guard")
    connection = server.connect()
    assert sqlstate(connection, "SELECT * FROM relay_guard.audit_verify()") == "RG503"
    connection.close()
    server.stop("immediate")


def test_retired_key_still_verifies(make_server):
    server = make_server()
    server.run("CREATE EXTENSION relay_guard")
    server.run("SELECT relay_guard.audit_maintain()")
    server.run("SELECT relay_guard.audit_event('old', 'thing')")
    server.run("SELECT relay_guard.audit_seal()")
    old = server.keyring.read_text().split()
    server.write_ring(f"{old[0]} {old[1]} retired\n2 {'A' * 43}= primary\n")
    server.reload()
    server.run("SELECT relay_guard.audit_event('new', 'thing')")
    server.run("SELECT relay_guard.audit_seal()")
    connection = server.connect()
    assert server_problems(connection) == []
    server.write_ring(f"2 {'A' * 43}= primary\n")
    server.reload()
    assert sorted(server_problems(connection)) == [("key_missing", 1), ("key_missing", 1)]
    connection.close()
    server.stop("immediate")


def test_it_can_be_interrupted(scaled):
    connection = scaled.connect()
    run(connection, "SET statement_timeout = '5ms'")
    assert sqlstate(connection, "SELECT * FROM relay_guard.audit_verify()") == "57014"
    connection.close()


@pytest.fixture
def ratcheted(make_server):
    """A server with a ratchet and three seals; K0."""
    server = make_server(started=False)
    said = keyring("audit-init", server.folder / "ratchet")[1]
    first_key = tool.read_first_key(re.search(r"^\S{43}=$", said, re.MULTILINE)[0])
    server.options.update({"relay_guard.audit_ratchet_file": server.folder / "ratchet",
                           "relay_guard.audit_seal_interval": "0"})
    server.start()
    server.run("CREATE EXTENSION relay_guard")
    server.run("SELECT relay_guard.audit_maintain()")
    for _ in range(3):
        write_and_seal(server)
    yield server, first_key
    server.stop("immediate")


def write_and_seal(server):
    server.run("SELECT relay_guard.audit_event('write', 'thing')")
    server.run("SELECT relay_guard.audit_seal()")


CUT = """BEGIN; SET LOCAL session_replication_role = replica;
         DELETE FROM relay_guard.audit_log l USING relay_guard.audit_seal s WHERE s.seal_id > %s AND s.ids @> l.id;
         DELETE FROM relay_guard.audit_seal WHERE seal_id > %s; COMMIT"""


@pytest.mark.parametrize("left", [0, 1])
def test_tail_that_was_cut_off_is_found_by_the_ratchet(ratcheted, left):
    server, _ = ratcheted
    connection = server.connect()
    assert server_problems(connection) == []
    run(connection, CUT, left, left)
    assert server_problems(connection) == [("tail_missing", left)]
    assert server_problems(connection, "2020-01-01", None) == ([("tail_missing", left)] if left else [])
    write_and_seal(server)
    assert server_problems(connection) == [("tail_missing", left + 1)]
    connection.close()


def test_ratchet_that_cannot_be_read_is_told(ratcheted):
    server, _ = ratcheted
    (server.folder / "ratchet").unlink()
    connection = server.connect()
    assert server_problems(connection) == []
    assert "the ratchet of the audit log cannot be read" in connection.notices[0]
    connection.close()


def test_proofs_of_the_server_are_those_of_the_first_key(ratcheted, tmp_path):
    """Until somebody with the ring rewrites them, which the server itself cannot tell."""
    server, first_key = ratcheted
    ring = formats.read_keyring(server.keyring)
    connection = server.connect()
    log, seals = audit_formats.exported(connection, tmp_path)
    assert tool.verify(ring, log, seals, [first_key]) == 0
    assert tool.verify(ring, log, seals, [bytes(32)]) == 3
    rewritten = Log(ring[1])
    rewritten.rows = list(formats.read_table(log, audit_formats.Row))
    rewritten.seals = list(formats.read_table(seals, audit_formats.Seal))
    rewritten.rewrite(1, ring[1], actor="mallory")
    run(connection, CUT, 0, 0)
    audit_formats.put(connection, rewritten)
    assert server_problems(connection) == []
    log, seals = audit_formats.exported(connection, tmp_path)
    assert tool.verify(ring, log, seals) == 0
    assert tool.verify(ring, log, seals, [first_key]) == 2
    connection.close()


def fill(server, rows):
    server.run("SELECT count(relay_guard.audit_event('read', 'thing', n::text, jsonb_build_object('n', n)))"
               " FROM generate_series(1, %s) n", rows)
    server.run("SELECT relay_guard.audit_seal()")


@pytest.fixture(scope="module")
def scaled(make_server):
    server = make_server({"relay_guard.audit_seal_interval": "0", "autovacuum": "off"})
    server.run("CREATE EXTENSION relay_guard")
    server.run("SELECT relay_guard.audit_maintain()")
    for _ in range(40):
        fill(server, 25000 if LONG else 500)
    yield server
    server.stop("immediate")


def cpu_seconds(connection):
    """What the session's process has used, however busy the machine is."""
    return int(pathlib.Path(f"/proc/{connection.info.backend_pid}/schedstat").read_text().split()[0]) / 1e9


def verify_seconds(connection):
    best = float("inf")
    for _ in range(3):
        began = cpu_seconds(connection)
        assert server_problems(connection) == []
        best = min(best, cpu_seconds(connection) - began)
    return best


def test_a_long_log_verifies_clean_in_linear_time(scaled):
    """20,000 rows, or with RG_LONG=1 a million."""
    connection = scaled.connect()
    once = verify_seconds(connection)
    for _ in range(40):
        fill(scaled, 25000 if LONG else 500)
    twice = float("inf")
    for _ in range(11):     # what the machine gives others counts as the server's, now and then
        twice = min(twice, verify_seconds(connection))
        if twice < 2.8 * once:
            break
    rows = scaled.value("SELECT count(*) FROM relay_guard.audit_log")
    print(f"{rows} rows: {twice / rows * 1e6:.2f} us a row")
    assert twice < 2.8 * once
    told = [notice.strip() for notice in connection.notices]
    assert (f"NOTICE:  audit_verify: {rows} rows, 100 %" in told) == (rows >= 100000)
    connection.close()


def test_memory_does_not_grow_with_the_rows(scaled):
    """Of the records, those that maintenance_work_mem has no room for are on disk."""
    connection = scaled.connect()
    run(connection, """SET log_temp_files = 0;
        SELECT set_config(name, min_val, false) FROM pg_settings WHERE name = 'maintenance_work_mem'""")
    assert server_problems(connection) == []
    assert "temporary file" in scaled.log()
    connection.close()
