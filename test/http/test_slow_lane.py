"""What may take long: connections of its own, and an end when nobody waits for it."""
import threading
import time

import psycopg2
import pytest

from conftest import wait_until
from test_lanes import JSON, ask_in_thread, ask_many

NARROW = {"WORKERS": 1, "DB_READ_CONNECTIONS": 1, "DB_WRITE_CONNECTIONS": 1, "DB_SLOW_CONNECTIONS": 1,
          "DB_PIPELINE_DEPTH": 1}


def test_the_slow_hold_up_nobody(start, postgres):
    gateway = start(**NARROW, REQUEST_TIMEOUT="2s")
    results = []
    slow = [ask_in_thread(results, gateway, method, "/test/slow/2.5", JSON, b"{}" if method == "POST" else None)
            for method in ("GET", "POST")]
    wait_until(lambda: gateway.sleeping(postgres) == 1, what="a statement")
    assert gateway.get("/test/echo/a").status == 200
    assert gateway.ask("POST", "/test/notes", JSON, b'{"text":"a"}').status == 200
    assert results == []
    for thread in slow:
        thread.join()
    assert [(status, seconds >= 2.5) for status, seconds, _ in results] == [(200, True)] * 2


def test_a_slow_statement_ends_when_its_client_leaves(start, postgres):
    gateway = start(**NARROW)
    for leave in ("reset", "close"):
        connection = gateway.connect()
        connection.request("POST", "/test/slow/100", JSON, b"{}")
        wait_until(lambda: gateway.sleeping(postgres) == 1, what="the statement")
        getattr(connection, leave)()
        wait_until(lambda: gateway.sleeping(postgres) == 0, what="its end")
        assert gateway.ask("GET", "/test/slow/0").status == 200


def test_a_slow_statement_ends_at_its_deadline(start, postgres):
    gateway = start(**NARROW, SLOW_TIMEOUT="600ms")
    status, seconds, answer = ask_many(gateway, ("GET", "/test/slow/100"))[0]
    assert status == 504 and answer.json()["code"] == "timeout" and seconds < 30
    wait_until(lambda: gateway.sleeping(postgres) == 0, what="its end")
    assert gateway.get("/test/slow/0").status == 200


def test_a_cancel_hits_only_who_has_left(start):
    gateway = start(**{**NARROW, "DB_SLOW_CONNECTIONS": 2})
    results = []

    def stay():
        for _ in range(12):
            answer = gateway.get("/test/slow/0.05")
            results.append(answer.status)

    threads = [threading.Thread(target=stay) for _ in range(3)]
    for thread in threads:
        thread.start()
    for n in range(25):
        connection = gateway.connect()
        connection.request("GET", f"/test/slow/0.{n:02}")
        time.sleep(0.03)
        connection.close()
    for thread in threads:
        thread.join()
    assert results == [200] * 36


def test_a_cancel_that_finds_no_room_is_tried_again(start, postgres):
    gateway = start(**NARROW, QUEUE_LIMIT=1)
    leaving = gateway.connect()
    leaving.request("GET", "/test/slow/100")
    wait_until(lambda: gateway.sleeping(postgres) == 1, what="the statement")
    readers = [gateway.connect() for _ in range(2)]
    for reader, seconds in zip(readers, (1, 0)):
        reader.request("GET", f"/test/sleep/{seconds}")
        time.sleep(0.1)
    leaving.close()
    assert [reader.read().status for reader in readers] == [200, 200]
    wait_until(lambda: gateway.sleeping(postgres) == 0, what="the statement's end")
    assert gateway.get("/test/slow/0").status == 200


def test_a_cancel_that_comes_late_hits_nobody_else(start, postgres):
    """It waits behind a read, until long after what it was for."""
    gateway = start(**{**NARROW, "DB_PIPELINE_DEPTH": 4}, REQUEST_TIMEOUT="20s")
    left, other, read = (gateway.connect() for _ in range(3))
    left.request("GET", "/test/slow/4")
    wait_until(lambda: gateway.sleeping(postgres) == 1, what="the statement")
    other.request("GET", "/test/slow/4")        # will follow it
    time.sleep(0.3)
    read.request("GET", "/test/sleep/8")
    wait_until(lambda: gateway.sleeping(postgres) == 2, what="the read")
    left.close()
    assert read.read().status == 200 and other.read().status == 200


def locked(postgres):
    """Somebody holds the table of notes until he is told to close()."""
    holder = psycopg2.connect(postgres.url("postgres"))
    holder.cursor().execute("LOCK TABLE relay.test_note")
    return holder


def test_who_waits_for_a_lock_waits_on_the_slow_lane(start, postgres):
    gateway = start(**NARROW)
    holder = locked(postgres)
    results = []
    waiting = ask_in_thread(results, gateway, "POST", "/test/notes", JSON, b'{"text":"waited"}')
    wait_until(lambda: gateway.backends(postgres, "wait_event_type = 'Lock'"), what="the wait for the lock")
    assert gateway.ask("POST", "/test/unique", JSON, b"{}").status == 409 and results == []
    holder.close()
    waiting.join()
    assert results[0][0] == 200
    assert postgres.sql("SELECT count(*) FROM relay.test_note WHERE text = 'waited'") == [(1,)]


@pytest.mark.parametrize("algorithm", ["sliding_window", "fixed_window", "token_bucket"])
def test_who_waits_for_a_lock_is_counted_once(start, postgres, algorithm):
    postgres.sql(f"""
        INSERT INTO relay_guard.rate_policy (name, identify_by, algorithm, quota, "window") VALUES ('{algorithm}', 'ip', '{algorithm}', 2, '1 day');
        INSERT INTO relay_guard.route (method, path, query, auth, result, request_body, run_as, rate)
        SELECT method, '/test/counted/{algorithm}', query, auth, result, request_body, run_as, '{{{algorithm}}}'
        FROM relay_guard.route WHERE path = '/test/notes'""", user="relay_owner")
    gateway = start(**NARROW)
    holder = locked(postgres)
    release = threading.Timer(0.5, holder.close)
    release.start()
    answers = [gateway.ask("POST", f"/test/counted/{algorithm}", JSON, b'{"text":"a"}') for _ in range(3)]
    release.join()
    assert [(answer.status, answer.header("X-RateLimit-Remaining")) for answer in answers] == [(200, "1"), (200, "0"), (429, "0")]


def test_a_lock_that_is_never_free_is_504(start, postgres):
    gateway = start(**NARROW, REQUEST_TIMEOUT="1s")
    holder = locked(postgres)
    assert gateway.ask("POST", "/test/notes", JSON, b'{"text":"late"}').status == 504
    wait_until(lambda: not gateway.backends(postgres, "wait_event_type = 'Lock'"), what="the end of the statement")
    holder.close()
    assert gateway.ask("POST", "/test/notes", JSON, b'{"text":"later"}').status == 200
    assert postgres.sql("SELECT count(*) FROM relay.test_note WHERE text = 'late'") == [(0,)]


def test_without_a_gateway_a_slow_route_is_like_any_other(postgres):
    assert postgres.sql("SELECT status FROM relay_guard.serve('GET', '/test/slow/0', '', '{}', NULL, NULL, 'r')") \
        == [(200,)]
