"""Between gateway and database: transactions, queues, deadlines, outages."""
import contextlib
import json
import os
import signal
import threading
import time

import pytest

from conftest import wait_until

JSON = {"Content-Type": "application/json"}

# A serve() that fails in ways in which the real one cannot be made to
STAND_IN = r"""
    CREATE SCHEMA relay_guard;
    CREATE TABLE late (n int UNIQUE DEFERRABLE INITIALLY DEFERRED);
    INSERT INTO late VALUES (1);
    CREATE FUNCTION block(text) RETURNS bytea LANGUAGE sql
    RETURN int4send(octet_length($1)) || convert_to($1, 'UTF8');
    CREATE FUNCTION reply(status int, body text, headers text) RETURNS bytea LANGUAGE sql
    RETURN int4send(status) || public.block(body) || public.block(headers) ||
        public.block('/stand-in') || public.block('') || public.block('') || public.block('') || int4send(0);
    CREATE FUNCTION relay_guard.serve(request bytea) RETURNS bytea
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
    DECLARE
        path text := split_part(encode(request, 'escape'), '\000', 2);
    BEGIN
        IF path = '/late' THEN
            INSERT INTO late VALUES (1);
            RETURN reply(201, '{"created":true}', E'Content-Type: application/json\r\n');
        ELSIF path = '/split' THEN
            RETURN reply(200, '', E'X: a\r\n\r\nHTTP/1.1 200 OK\r\n');
        ELSIF path = '/length' THEN
            RETURN reply(200, '', E'Content-Length: 7\r\n');
        ELSIF path = '/short' THEN
            RETURN '\x000000';
        ELSIF path = '/null' THEN
            RETURN NULL;
        ELSIF path LIKE '/raise/%' THEN
            RAISE EXCEPTION USING ERRCODE = split_part(path, '/', 3),
                MESSAGE = 'of table secret', DETAIL = 'a_code', HINT = 'Do this.';
        ELSIF path = '/none' THEN
            RETURN reply(204, 'dropped', '');
        END IF;
        RETURN reply(200, '{}', E'Cache-Control: private\r\n');
    END $$;
    GRANT USAGE ON SCHEMA relay_guard TO relay_gateway
"""


@pytest.fixture(scope="module")
def stand_in(postgres):
    postgres.sql("CREATE DATABASE stand_in")
    postgres.sql(STAND_IN, database="stand_in")


@pytest.fixture
def fails(start, stand_in):
    gateway = start(database="stand_in", ready=False)
    wait_until(lambda: gateway.get("/").status == 200 and gateway.get("/x").status == 200)
    return gateway


def test_what_does_not_commit_is_no_success(fails):
    answer = fails.ask("POST", "/late", JSON, b"{}")
    assert answer.status == 409 and answer.json()["code"] == "conflict"
    assert b"late" not in answer.body.replace(b'"instance":"/late"', b"")
    assert '"sqlstate":"23505"' in fails.errors()


@pytest.mark.parametrize("path", ["/split", "/length", "/short", "/null"])
def test_a_malformed_reply_is_not_passed_on(fails, path):
    answer = fails.get(path)
    assert answer.status == 500 and answer.json()["code"] == "internal"


@pytest.mark.parametrize("sqlstate, status", [
    ("RG418", 418), ("RG503", 503), ("23505", 409), ("23503", 409), ("23514", 422), ("22P02", 422),
    ("42501", 403), ("40001", 503), ("40P01", 503), ("55P03", 503), ("53100", 503), ("57014", 504),
    ("42P01", 500), ("XX000", 500), ("RG200", 500)])
def test_errors(fails, sqlstate, status):
    answer = fails.get(f"/raise/{sqlstate}", {"X-Request-ID": f"error-{sqlstate}"})
    assert answer.status == status
    problem = answer.json()
    if sqlstate in ("RG418", "RG503"):
        assert (problem["detail"], problem["code"], problem["suggestion"]) == \
            ("of table secret", "a_code", "Do this.")
    else:
        assert b"secret" not in answer.body and b"a_code" not in answer.body
    assert answer.header("retry-after") == ("1" if status == 503 else None)
    logged = [json.loads(line) for line in fails.errors().splitlines()]
    line = next(line for line in logged if line.get("request_id") == f"error-{sqlstate}")
    assert line["sqlstate"] == sqlstate and line["error"] == "of table secret" and line["context"]


def test_an_answer_without_body(fails):
    connection = fails.connect()
    connection.request("GET", "/none")
    answer = connection.read()
    assert answer.status == 204 and answer.header("content-length") is None
    connection.request("GET", "/x")
    assert connection.read().header("cache-control") == "private"


def test_a_violated_constraint_is_no_success(gateway):
    assert gateway.ask("POST", "/test/unique", JSON, b"{}").status == 409


def ask_in_thread(results, gateway, *request):
    def run():
        began = time.monotonic()
        try:
            answer = gateway.ask(*request)
            results.append((answer.status if answer else None, time.monotonic() - began, answer))
        except OSError:
            results.append((None, time.monotonic() - began, None))
    thread = threading.Thread(target=run)
    thread.start()
    return thread


def ask_many(gateway, *requests):
    results = []
    for thread in [ask_in_thread(results, gateway, *request) for request in requests]:
        thread.join()
    return results


def test_errors_of_one_are_not_errors_of_another(start):
    gateway = start(WORKERS=1, DB_READ_CONNECTIONS=1)
    requests = [("GET", f"/test/divide/{n % 2}") for n in range(60)]
    connections = [gateway.connect() for _ in requests]
    for connection, request in zip(connections, requests):
        connection.request(*request)
    for connection, (_, path) in zip(connections, requests):
        answer = connection.read()
        assert answer.status == (500 if path.endswith("0") else 200)
        assert path.endswith("0") or answer.body == b"1"


def token(gateway):
    return gateway.ask("POST", "/api/v1/anon_session").json()


def test_tenants_in_one_pipeline_stay_themselves(start):
    gateway = start(WORKERS=1, DB_READ_CONNECTIONS=1)
    sessions = [token(gateway) for _ in range(5)]
    connections = [(gateway.connect(), sessions[i % 5], i) for i in range(100)]
    for connection, session, i in connections:
        if i % 7 == 0:
            connection.request("GET", "/test/divide/0")
        elif i % 5 == 0:
            connection.request("GET", "/test/whoami")
        else:
            connection.request("GET", "/test/whoami", {"Authorization": f"Bearer {session['token']}"})
    for connection, session, i in connections:
        answer = connection.read()
        if i % 7 == 0:
            assert answer.status == 500
        elif i % 5 == 0:
            assert answer.status == 401
        else:
            assert answer.json() == session["user_id"]


def test_too_slow_is_504_and_harms_nobody(start):
    gateway = start(WORKERS=1, DB_READ_CONNECTIONS=1, REQUEST_TIMEOUT="1s")
    status, seconds, answer = ask_many(gateway, ("GET", "/test/sleep/30"))[0]
    assert status == 504 and seconds < 15 and answer.json()["code"] == "timeout"
    assert gateway.get("/test/echo/a").json() == "a"


def test_a_backend_that_hangs_is_504(start, postgres):
    gateway = start(WORKERS=1, DB_READ_CONNECTIONS=2, DB_WRITE_CONNECTIONS=2, DB_SLOW_CONNECTIONS=2, REQUEST_TIMEOUT="1s")
    wait_until(lambda: len(gateway.backends(postgres)) == 6, what="the last connection")
    backends = gateway.backends(postgres)
    for pid in backends:
        os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        answer = gateway.get("/test/echo/a")
        assert answer.status == 504 and 0.9 < time.monotonic() - began < 15
    finally:
        for pid in backends:
            os.kill(pid, signal.SIGCONT)
    assert gateway.get("/test/echo/b").json() == "b"


def test_waiting_for_a_connection_is_503(start):
    gateway = start(WORKERS=1, DB_READ_CONNECTIONS=1, DB_PIPELINE_DEPTH=1, QUEUE_LIMIT=2,
                    REQUEST_TIMEOUT="2500ms")
    results = []
    threads = []
    for _ in range(4):
        threads.append(ask_in_thread(results, gateway, "GET", "/test/sleep/2"))
        time.sleep(0.05)
    for thread in threads:
        thread.join()
    statuses = [(status, answer.json()["detail"] if status == 503 else None)
                for status, _, answer in results]
    assert statuses[0] == (503, "too many requests are waiting")
    assert {detail for _, detail in statuses[1:]} >= {None}
    assert all(answer.header("retry-after") == "1" for status, _, answer in results if status == 503)
    assert gateway.get("/test/echo/a").status == 200


def test_who_has_left_holds_no_place(start):
    gateway = start(WORKERS=1, DB_READ_CONNECTIONS=1, DB_PIPELINE_DEPTH=1, QUEUE_LIMIT=8)
    for _ in range(9):
        connection = gateway.connect()
        connection.request("GET", "/test/sleep/2")
        time.sleep(0.02)
        connection.reset()
    began = time.monotonic()
    assert gateway.get("/test/echo/served").status == 200
    assert time.monotonic() - began < 10    # those nine would take 18


def test_writes_do_not_wait_for_reads(start, postgres):
    gateway = start(WORKERS=1, DB_READ_CONNECTIONS=1, DB_WRITE_CONNECTIONS=1)
    results = []
    slow = ask_in_thread(results, gateway, "GET", "/test/sleep/3")
    wait_until(lambda: gateway.sleeping(postgres) == 1, what="the statement")
    assert gateway.ask("POST", "/test/notes", JSON, b'{"text":"a"}').status == 200 and results == []
    slow.join()
    assert results[0][0] == 200


def test_a_lost_read_is_sent_again_a_lost_write_is_not(start, postgres):
    gateway = start(WORKERS=1)
    results = []
    threads = [ask_in_thread(results, gateway, method, "/test/sleep/3", JSON, b"{}" if method == "POST" else None)
               for method in ("GET", "POST")]
    wait_until(lambda: gateway.sleeping(postgres) == 2, what="the statements")
    for pid in gateway.backends(postgres):
        postgres.sql(f"SELECT pg_terminate_backend({pid})")
    for thread in threads:
        thread.join()
    by_status = {status: answer for status, _, answer in results}
    assert sorted(by_status) == [200, 503]
    assert by_status[503].json()["code"] == "outcome_unknown"


class Load:
    """Requests, one after the other, until told to stop."""

    def __init__(self, gateway):
        self.gateway, self.results, self.stopped = gateway, [], False
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.stopped:
            try:
                answer = self.gateway.get("/test/echo/a")
                self.results.append((time.monotonic(), answer.status if answer else None))
            except OSError:
                self.results.append((time.monotonic(), None))
            time.sleep(0.005)

    def stop(self):
        self.stopped = True
        self.thread.join()
        return self.results


def test_postgres_stopped_and_started_under_load(start, postgres):
    gateway = start()
    load = Load(gateway)
    time.sleep(0.3)
    for mode in ("fast", "immediate"):
        postgres.stop(mode)
        try:
            wait_until(lambda: gateway.get("/test/echo/a").status == 503)
            down = gateway.get("/ready")
            assert down.status == 503 and "database" in down.json()["missing"]
            assert gateway.get("/health").status == 200 and gateway.get("/").status == 200
            time.sleep(1)
        finally:
            postgres.start()
        wait_until(lambda: all(gateway.get("/test/echo/a").status == 200 for _ in range(20)), what="recovery")
        wait_until(gateway.is_ready, what="readiness")
    statuses = [status for _, status in load.stop()]
    assert set(statuses) == {200, 503}
    assert statuses[-1] == 200


def test_it_starts_without_a_database(start, postgres):
    postgres.stop("fast")
    try:
        gateway = start(ready=False)
        wait_until(lambda: gateway.get("/test/echo/a").status == 503)
        assert gateway.get("/").status == 200
    finally:
        postgres.start()
    wait_until(lambda: gateway.get("/test/echo/a").status == 200, what="recovery")


@contextlib.contextmanager
def role(postgres, options, then="SELECT"):
    postgres.sql(f"CREATE ROLE test_role LOGIN {options}; {then}")
    try:
        yield
    finally:
        postgres.sql("DROP OWNED BY test_role CASCADE; DROP ROLE test_role")


@pytest.mark.parametrize("options, then, reason", [
    ("SUPERUSER", "SELECT", "is a superuser"),
    ("BYPASSRLS", "SELECT", "is a role with BYPASSRLS"),
    ("IN ROLE relay_backup", "SELECT", "is member of the role with BYPASSRLS relay_backup"),
    ("", "CREATE TABLE relay.test_owned (); ALTER TABLE relay.test_owned OWNER TO test_role, "
     "ENABLE ROW LEVEL SECURITY", "owns the protected table relay.test_owned"),
    ("IN ROLE relay_owner", "SELECT", "owns the protected table"),
])
def test_a_role_that_sees_everything_is_refused(start, postgres, options, then, reason):
    with role(postgres, options, then):
        with pytest.raises(AssertionError) as refusal:
            start(user="test_role", ready=False)
        assert "the role test_role " + reason in str(refusal.value)


def test_a_role_that_comes_to_see_everything_is_refused_later(start, postgres):
    postgres.stop("fast")
    try:
        gateway = start(user="postgres", ready=False)
    finally:
        postgres.start()
    wait_until(lambda: "is a superuser" in gateway.errors())
    assert gateway.get("/test/echo/a").status == 503
