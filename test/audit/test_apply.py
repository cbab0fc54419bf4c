"""Rows that come by logical replication, or to a session in the replica role, are logged
once each: apply workers fire no statement triggers, so they take the row path."""
import io

import pytest

from changes import Log, install, leaks
from journal import problems
from servers import run, wait_for

TABLE = "CREATE TABLE item ({} id int PRIMARY KEY, note text, amount numeric, big text)"


@pytest.fixture(scope="module")
def pair(make_server):
    """Databases source, which publishes, and postgres, which audits what it gets."""
    server = make_server({"wal_level": "logical", "max_prepared_transactions": 4, "wal_receiver_status_interval": "1"})
    server.run("CREATE DATABASE source")
    server.run(TABLE.format(""), database="source")
    server.run(TABLE.format("gone int,"))
    # Rows there before, for the first copy
    server.run("INSERT INTO item SELECT i, 'copied', i, repeat('x', 5000) FROM generate_series(1, 2000) i", database="source")
    server.run("CREATE PUBLICATION everything FOR TABLE item", database="source")
    server.run("SELECT pg_create_logical_replication_slot('item', 'pgoutput')", database="source")
    install(server)
    server.run("ALTER TABLE item DROP gone, ADD here int DEFAULT 5; SELECT relay_guard.audit('item')")
    yield server
    assert problems(server) == []
    server.stop("fast")
    assert leaks(server) == []


def rows(server, where="true"):
    return server.run(f"SELECT action, resource_id, old, new FROM relay_guard.audit_log WHERE source = 'trigger' AND resource_type = 'item' AND {where} ORDER BY id")


def apply(server, statement):
    """Runs it at the source and returns what it has left in the log."""
    last = server.value("SELECT max(id) FROM relay_guard.audit_log")
    server.run(statement, database="source")
    end = server.value("SELECT pg_current_wal_insert_lsn()", database="source")
    wait_for(lambda: server.value("SELECT confirmed_flush_lsn >= %s FROM pg_replication_slots WHERE slot_name = 'item'", end))
    return rows(server, f"id > {last}")


def test_the_first_copy_of_a_subscription_is_logged(pair):
    pair.run(f"CREATE SUBSCRIPTION item CONNECTION 'host={pair.folder} dbname=source user=postgres' PUBLICATION everything "
             "WITH (create_slot = false, slot_name = 'item')")
    wait_for(lambda: pair.run("SELECT DISTINCT srsubstate FROM pg_subscription_rel") == [("r",)])
    logged = rows(pair)
    assert len(logged) == 2000 and {action for action, *_ in logged} == {"INSERT"}
    assert sorted(int(id) for _, id, _, _ in logged) == list(range(1, 2001))
    assert logged[0][3] == {"id": int(logged[0][1]), "note": "copied", "amount": int(logged[0][1]), "big": "x" * 5000, "here": 5}


def test_what_apply_changes_is_logged_once_each(pair):
    assert apply(pair, "INSERT INTO item VALUES (3001, 'new', 1.0)") == [
        ("INSERT", "3001", None, {"id": 3001, "note": "new", "amount": 1.0, "big": None, "here": 5})]
    assert apply(pair, "UPDATE item SET note = 'changed' WHERE id IN (1, 2)") == [
        ("UPDATE", str(id), {"note": "copied"}, {"note": "changed"}) for id in (1, 2)]
    assert apply(pair, "UPDATE item SET id = 3002 WHERE id = 3001") == [("UPDATE", "3001", {"id": 3001}, {"id": 3002})]
    assert apply(pair, "UPDATE item SET note = note WHERE id < 100") == []
    assert apply(pair, "DELETE FROM item WHERE id = 3002") == [
        ("DELETE", "3002", {"id": 3002, "note": "new", "amount": 1.0, "big": None, "here": 5}, None)]


def test_a_toasted_value_that_did_not_change_is_not_in_the_row(pair):
    pair.run("UPDATE item SET big = (SELECT string_agg(md5(i::text), '') FROM generate_series(1, 1000) i) WHERE id = 5", database="source")
    assert apply(pair, "UPDATE item SET note = 'toasted' WHERE id = 5")[-1][2:] == ({"note": "copied"}, {"note": "toasted"})


def test_a_truncate_that_is_applied_is_logged(pair):
    assert apply(pair, "TRUNCATE item") == [("TRUNCATE", None, None, None)]


def test_a_transaction_that_was_rolled_back_at_the_source_leaves_nothing(pair):
    assert apply(pair, "BEGIN; INSERT INTO item VALUES (1, 'x'); SAVEPOINT s; INSERT INTO item VALUES (2, 'x'); ROLLBACK TO s; COMMIT; "
                       "BEGIN; DELETE FROM item; ROLLBACK") == [
        ("INSERT", "1", None, {"id": 1, "note": "x", "amount": None, "big": None, "here": 5})]


def test_the_log_says_that_an_apply_worker_did_it(pair):
    """Nobody's identity, but the role that owns the subscription."""
    apply(pair, "INSERT INTO item VALUES (50, 'whose')")
    assert pair.run("SELECT session_role, actor, request_id FROM relay_guard.audit_log WHERE resource_id = '50' AND new ->> 'note' = 'whose'") == [
        ("postgres", None, None)]


def test_configuration_that_is_applied_is_logged_once(pair):
    """Whoever publishes it decides on it here."""
    pair.run("CREATE EXTENSION relay_guard; CREATE PUBLICATION configuration FOR TABLE relay_guard.upstream", database="source")
    pair.run("SELECT pg_create_logical_replication_slot('configuration', 'pgoutput')", database="source")
    pair.run(f"CREATE SUBSCRIPTION configuration CONNECTION 'host={pair.folder} dbname=source user=postgres' PUBLICATION configuration "
             "WITH (create_slot = false, slot_name = 'configuration')")
    wait_for(lambda: pair.run("SELECT DISTINCT srsubstate FROM pg_subscription_rel") == [("r",)])
    pair.run("INSERT INTO relay_guard.upstream (name, url) VALUES ('shop', 'http://10.0.0.1'); "
             "UPDATE relay_guard.upstream SET url = 'http://10.0.0.2'; DELETE FROM relay_guard.upstream", database="source")
    logged = """SELECT action, resource_id, old ->> 'url', new ->> 'url', session_role FROM relay_guard.audit_log
                WHERE resource_type = 'relay_guard.upstream' ORDER BY id"""
    wait_for(lambda: len(pair.run(logged)) == 3)
    assert pair.run(logged) == [
        ("INSERT", "shop", None, "http://10.0.0.1", "postgres"), ("UPDATE", "shop", "http://10.0.0.1", "http://10.0.0.2", "postgres"),
        ("DELETE", "shop", "http://10.0.0.2", None, "postgres")]
    pair.run("DROP SUBSCRIPTION configuration")


@pytest.mark.parametrize("partitioned", [False, True])
def test_a_session_in_the_replica_role_is_logged_once_each(pair, partitioned):
    connection = pair.connect()
    run(connection, f"""DROP TABLE IF EXISTS own CASCADE;
        CREATE TABLE own (id int PRIMARY KEY, n int DEFAULT 0) {"PARTITION BY RANGE (id)" if partitioned else ""}""")
    if partitioned:
        run(connection, """CREATE TABLE own_one PARTITION OF own FOR VALUES FROM (0) TO (100);
                           CREATE TABLE own_two PARTITION OF own FOR VALUES FROM (100) TO (1000)""")
    run(connection, "SELECT relay_guard.audit('own')")
    if partitioned:
        run(connection, "CREATE TABLE own_three PARTITION OF own FOR VALUES FROM (1000) TO (2000)")
    log = Log(connection)
    for role in ("origin", "replica", "local"):
        run(connection, f"SET session_replication_role = {role}")
        for statement, logged in (
                ("INSERT INTO own VALUES (1), (2)", ["INSERT", "INSERT"]),
                ("UPDATE own SET n = 5 WHERE id = 1", ["UPDATE"]),
                ("INSERT INTO own VALUES (1, 7) ON CONFLICT (id) DO UPDATE SET n = EXCLUDED.n", ["UPDATE"]),
                ("MERGE INTO own USING (VALUES (2), (3)) v (i) ON id = i WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (i)",
                 ["DELETE", "INSERT"])):
            run(connection, statement)
            assert sorted(row[1] for row in log.rows()) == logged, (role, statement)
        with connection.cursor() as cursor:
            cursor.copy_expert("COPY own FROM stdin", io.StringIO("51\t1\n52\t2\n"))
        assert [row[1:3] for row in log.rows()] == [("INSERT", "51"), ("INSERT", "52")]
        if partitioned:
            run(connection, "UPDATE own SET id = id + 100 WHERE id = 51")
            moved = [row[1:3] for row in log.rows()]
            assert moved == ([("DELETE", "51"), ("INSERT", "151")] if role == "replica" else [("UPDATE", "51")])
            run(connection, "INSERT INTO own_three VALUES (1000); UPDATE own_three SET n = 1; DELETE FROM own_three; INSERT INTO own VALUES (1001)")
            assert [row[1:3] for row in log.rows()] == [("INSERT", "1000"), ("UPDATE", "1000"), ("DELETE", "1000"), ("INSERT", "1001")]
        run(connection, "TRUNCATE own")
        assert {row[1] for row in log.rows()} == {"TRUNCATE"}
    connection.close()
