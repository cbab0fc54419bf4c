"""Values that do not open are counted exactly, and told to the log without flooding it."""
import threading
import time

import pytest

from servers import run, wait_for

TOTAL = "SELECT value::int FROM relay_guard.metrics() WHERE name = 'relay_guard_decrypt_failures_total'"
MOVED = "SELECT count(relay_guard.try_decrypt_text(value, relay_guard.aad('there'))) FROM place, generate_series(1, %s)"


@pytest.fixture(scope="module", autouse=True)
def place(server):
    server.run("CREATE TABLE place AS SELECT relay_guard.encrypt('the plaintext', relay_guard.aad('here')) AS value")


def total(server, **where):
    return server.value(TOTAL, **where)


def lines(server):
    return [line for line in server.log().splitlines() if "did not open" in line]


def test_eight_backends_are_counted_exactly(server):
    before = total(server)

    def fail(connection):
        for _ in range(5):
            run(connection, MOVED, 1000)

    connections = [server.connect() for _ in range(8)]
    threads = [threading.Thread(target=fail, args=[connection]) for connection in connections]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for connection in connections:
        connection.close()
    assert total(server) == before + 40000


def test_parallel_workers_are_counted_exactly(server):
    server.run("CREATE TABLE many AS SELECT value FROM place, generate_series(1, 20000)")
    before = total(server)
    connection = server.connect()
    run(connection, "SET min_parallel_table_scan_size = 0; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0")
    count = "SELECT count(relay_guard.try_decrypt_text(value, relay_guard.aad('there'))) FROM many"
    plan = "\n".join(line for line, in run(connection, f"EXPLAIN (ANALYZE, COSTS OFF) {count}"))
    assert "Workers Launched: 2" in plan
    connection.close()
    assert total(server) == before + 20000


def test_each_database_has_its_own_and_a_dropped_one_leaves_nothing(server):
    before = total(server)
    for _ in range(2):
        server.run("CREATE DATABASE another OID 123456")
        server.run("CREATE EXTENSION relay_guard", database="another")
        assert total(server, database="another") == 0
        server.run("SELECT relay_guard.try_decrypt_text('x', relay_guard.aad('x'))", database="another")
        assert total(server, database="another") == 1
        server.run("DROP DATABASE another")
    assert total(server) == before


def numbers(told):
    return [int(line.split(" encrypted value")[0].split()[-1]) for line in told]


def test_the_log_has_a_line_a_second_and_loses_nothing(server):
    before, told_before = total(server), len(lines(server))
    connection = server.connect()
    started = time.monotonic()
    while time.monotonic() < started + 1.5:
        run(connection, MOVED, 10)
    connection.close()
    took = time.monotonic() - started
    # what the last second left untold comes when the backend ends
    wait_for(lambda: sum(numbers(lines(server)[told_before:])) == total(server) - before)
    told = lines(server)[told_before:]
    assert 2 <= len(told) <= took + 2 and numbers(told)[0] == 1


def test_what_was_left_untold_comes_with_a_later_transaction(server):
    connection = server.connect()
    run(connection, MOVED, 3)
    before = len(lines(server))
    time.sleep(1.1)
    run(connection, "SELECT 1")
    wait_for(lambda: lines(server)[before:])
    assert "2 encrypted values did not open" in lines(server)[before:][0]
    connection.close()


def test_the_log_names_function_and_request_but_neither_value_nor_place(server):
    connection = server.connect(autocommit=False)
    run(connection, "SELECT relay_guard.assume('alice', request_id => 'req-77')")
    run(connection, "SELECT relay_guard.try_decrypt_bytea(value, relay_guard.aad('the place')) FROM place")
    connection.rollback()
    connection.close()
    log = server.log()
    assert "DETAIL:  Last in function try_decrypt_bytea(), request req-77.\n" in log
    assert "the place" not in log and "the plaintext" not in log and "STATEMENT" not in log


def test_nothing_of_it_goes_to_the_client(server):
    connection = server.connect()
    run(connection, "SET client_min_messages = debug1")
    run(connection, MOVED, 3)
    assert not [notice for notice in connection.notices if "open" in notice]
    connection.close()


def test_not_preloaded_there_is_no_such_metric(make_server):
    server = make_server({"shared_preload_libraries": ""})
    server.run("CREATE EXTENSION relay_guard")
    assert server.run("SELECT relay_guard.try_decrypt_text('x', relay_guard.aad('x'))") == [(None,)]
    assert server.run("SELECT relay_guard.read_decrypt_failures()") == [(None,)]
    assert server.run(TOTAL) == []
