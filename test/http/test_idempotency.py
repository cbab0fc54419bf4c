"""Idempotency-Key as a client sees it: whatever happens to a request or its answer, sending it
again carries it out once."""
import concurrent.futures
import json
import os
import shutil
import signal
import subprocess
import threading
import uuid

import psycopg2
import pytest

from conftest import BIN, Postgres, clean_environment, running, wait_until

JSON = {"Content-Type": "application/json"}
QUERIES = {
    "orders": "INSERT INTO relay.test_order (key) VALUES (request.item) RETURNING id, key",
    "slow": "INSERT INTO relay.test_order (key) SELECT request.item FROM pg_sleep(1.5) RETURNING id, key",
    "long": "INSERT INTO relay.test_order (key) SELECT request.item FROM pg_sleep(20) RETURNING id, key",
    "fails": "INSERT INTO relay.test_order (key) VALUES (request.item) RETURNING 1 / (SELECT n FROM relay.test_divisor) AS id",
    "skew": "WITH seen AS (SELECT count(*) AS n FROM relay.test_order), pause AS (SELECT FROM pg_sleep(0.4)) "
            "INSERT INTO relay.test_order (key) SELECT request.item FROM seen, pause WHERE n >= 0 RETURNING id, key",
}
ROUTE = """
    INSERT INTO relay_guard.route (method, path, query, auth, idempotency, rate, status, result, request_body, run_as) VALUES
    ('POST', '/test/idem/%s', '%s', 'user', '%s', '%s', 201, 'row',
     '{"type": "object", "required": ["item"], "properties": {"item": {"type": "string"}}}', 'relay_app')
"""
SCHEMA = """
    CREATE TABLE relay.test_order (id serial, key text);
    CREATE TABLE relay.test_divisor (n int);
    INSERT INTO relay.test_divisor VALUES (0);
    GRANT SELECT, INSERT ON relay.test_order, relay.test_divisor TO relay_app;
    GRANT USAGE ON SEQUENCE relay.test_order_id_seq TO relay_app;
    INSERT INTO relay_guard.rate_policy (name, identify_by, quota, "window") VALUES ('idem_few', 'user', 2, '1 hour');
"""


@pytest.fixture(scope="module", autouse=True)
def routes(postgres):
    postgres.sql(SCHEMA, user="relay_owner")
    for name, query in QUERIES.items():
        postgres.sql(ROUTE % (name, query, "required", "{}"), user="relay_owner")
    postgres.sql(ROUTE % ("limited", QUERIES["orders"], "optional", "{idem_few}"), user="relay_owner")
    yield
    postgres.sql("DELETE FROM relay_guard.route WHERE path LIKE '/test/idem/%'", user="relay_owner")
    postgres.sql("DROP TABLE relay.test_order, relay.test_divisor", user="relay_owner")
    postgres.sql("DELETE FROM relay_guard.rate_policy WHERE name = 'idem_few'", user="relay_owner")


class Client:
    """A user who names what he orders by his key, so that each order can be found."""

    def __init__(self, postgres, gateway, token=None):
        self.postgres, self.gateway = postgres, gateway
        self.token = token or postgres.sql(f"SELECT relay_guard.issue_token('{uuid.uuid4()}')")[0][0]

    def send(self, name, key, item=None, gateway=None):
        headers = {**JSON, "Authorization": f"Bearer {self.token}"}
        if key is not None:
            headers["Idempotency-Key"] = key
        return (gateway or self.gateway).ask("POST", f"/test/idem/{name}", headers,
                                             json.dumps({"item": item or key or "none"}).encode())

    def orders(self, item):
        return self.postgres.sql(f"SELECT count(*)::int FROM relay.test_order WHERE key = '{item}'")[0][0]


@pytest.fixture
def client(postgres, gateway):
    return Client(postgres, gateway)


UNDER_WAY = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 21066"


def new_key():
    return str(uuid.uuid4())


def is_replay(answer):
    return answer.header("Idempotent-Replayed") == "true"


def test_an_answer_comes_again_as_it_was(client):
    key = new_key()
    first, second = (client.send("orders", key) for _ in range(2))
    assert (first.status, is_replay(first)) == (201, False)
    assert (second.status, is_replay(second), second.body) == (201, True, first.body)
    assert second.header("Content-Type") == first.header("Content-Type") == "application/json"
    assert second.header("Cache-Control") == "no-store" and client.orders(key) == 1


def test_another_payload_under_the_same_key_is_refused(client):
    key = new_key()
    assert client.send("orders", key).status == 201
    answer = client.send("orders", key, item="other")
    assert (answer.status, answer.json()["code"]) == (422, "idempotency_key_reused")
    assert client.orders("other") == 0


def test_two_principals_with_the_same_key_never_see_each_other(postgres, gateway):
    key = new_key()
    answers = [Client(postgres, gateway).send("orders", key) for _ in range(2)]
    assert [answer.status for answer in answers] == [201, 201] and not any(map(is_replay, answers))
    assert answers[0].json()["id"] != answers[1].json()["id"]


@pytest.mark.parametrize("key, code", [
    (None, "idempotency_key_required"), ("k" * 256, "idempotency_key_invalid"), ("a b", "idempotency_key_invalid")])
def test_a_key_that_is_missing_or_malformed(client, key, code):
    answer = client.send("orders", key, item=f"refused-{code}")
    assert (answer.status, answer.json()["code"]) == (400, code)
    assert client.orders(f"refused-{code}") == 0


def test_no_in_flight_lock(client):
    """Several at once with one key: one is carried out, the others are told to wait, and then get its answer."""
    key = new_key()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: client.send("slow", key), range(8)))
    assert client.orders(key) == 1
    done = [answer for answer in answers if answer.status == 201]
    waiting = [answer for answer in answers if answer.status == 409]
    assert len(done) + len(waiting) == 8 and len([answer for answer in done if not is_replay(answer)]) == 1
    assert waiting and all(answer.header("Retry-After") == "1" and answer.json()["code"] == "idempotency_in_flight"
                           for answer in waiting)
    again = client.send("slow", key)
    assert is_replay(again) and again.body == done[0].body and client.orders(key) == 1


def begin(client, name, key):
    """Sends it and leaves it under way; what becomes of it is in the list."""
    answers = []

    def run():
        try:
            answers.append(client.send(name, key))
        except OSError:
            answers.append(None)
    thread = threading.Thread(target=run)
    thread.start()
    wait_until(lambda: client.postgres.sql(UNDER_WAY), what="the request")
    return thread, answers


def takes_connections(postgres):
    try:
        return postgres.sql("SELECT 1")
    except psycopg2.OperationalError:
        return False


class TestKeyWedgedUntilTtl:
    """What ends a request without an answer ends its hold of the key."""

    def test_an_error_of_the_statement(self, postgres, client):
        key = new_key()
        assert client.send("fails", key).status == 500
        postgres.sql("UPDATE relay.test_divisor SET n = 1", user="relay_owner")
        answer = client.send("fails", key)
        postgres.sql("UPDATE relay.test_divisor SET n = 0", user="relay_owner")
        assert (answer.status, is_replay(answer), client.orders(key)) == (201, False, 1)
        assert is_replay(client.send("fails", key))

    def test_a_backend_that_is_terminated(self, postgres, client):
        key = new_key()
        thread, answers = begin(client, "long", key)
        postgres.sql(UNDER_WAY.replace("pid", "pg_terminate_backend(pid)"))
        thread.join()
        assert answers[0].status == 503 and client.orders(key) == 0
        wait_until(client.gateway.is_ready, what="readiness")
        self.is_free(postgres, client, key)

    def is_free(self, postgres, client, key):
        """By the same route made fast, so that it is the same request."""
        postgres.sql("UPDATE relay_guard.route SET query = replace(query, '20', '0') WHERE path = '/test/idem/long'", user="relay_owner")
        answer = client.send("long", key)
        postgres.sql("UPDATE relay_guard.route SET query = replace(query, 'sleep(0', 'sleep(20') WHERE path = '/test/idem/long'", user="relay_owner")
        assert (answer.status, is_replay(answer), client.orders(key)) == (201, False, 1)

    def test_a_backend_that_crashes(self, postgres, client):
        key = new_key()
        thread, answers = begin(client, "long", key)
        os.kill(postgres.sql(UNDER_WAY)[0][0], signal.SIGKILL)
        thread.join()
        wait_until(lambda: takes_connections(postgres), what="recovery")
        client.gateway.renew()
        assert answers[0].status == 503
        self.is_free(postgres, client, key)

    def test_a_gateway_that_is_killed(self, postgres, client):
        """The database goes on alone: what it did is found by whoever asks again."""
        key = new_key()
        with running(postgres.url("relay_gateway"), WORKERS=1) as other:
            wait_until(other.is_ready, what="readiness")
            thread, answers = begin(Client(postgres, other, client.token), "slow", key)
            for worker in other.workers():
                os.kill(worker, signal.SIGKILL)
            thread.join()
            assert answers == [None]
            wait_until(lambda: client.orders(key) == 1, what="the order")
            answer = client.send("slow", key)
            assert is_replay(answer) and client.orders(key) == 1

    def test_a_client_that_leaves(self, client):
        key = new_key()
        connection = client.gateway.connect()
        connection.request("POST", "/test/idem/slow", {**JSON, "Authorization": f"Bearer {client.token}", "Idempotency-Key": key},
                           json.dumps({"item": key}).encode())
        wait_until(lambda: client.postgres.sql(UNDER_WAY), what="the request")
        connection.reset()
        assert client.send("slow", key).status == 409
        wait_until(lambda: client.orders(key) == 1, what="the order")
        assert is_replay(client.send("slow", key)) and client.orders(key) == 1


def test_a_conflict_of_serializable_transactions_keeps_nothing(postgres, client):
    url = postgres.url("relay_gateway") + "&options=-c%20default_transaction_isolation%3Dserializable"
    with running(url) as strict:
        wait_until(strict.is_ready, what="readiness")
        for _ in range(20):     # two on one connection do not meet
            keys = [new_key(), new_key()]
            with concurrent.futures.ThreadPoolExecutor(2) as pool:
                answers = list(pool.map(lambda key: client.send("skew", key, gateway=strict), keys))
            if any(answer.status == 503 for answer in answers):
                break
        assert sorted(answer.status for answer in answers) == [201, 503]
        for key, answer in zip(keys, answers):
            again = client.send("skew", key, gateway=strict)
            assert (again.status, is_replay(again), client.orders(key)) == (201, answer.status == 201, 1)


def test_a_refusal_by_a_limit_is_not_kept(postgres, client):
    """Nor is one that the gateway repeats from memory.  An answer that comes again counts against limits."""
    key = new_key()
    assert client.send("limited", None, item="one").status == 201
    assert client.send("limited", None, item="two").status == 201
    assert [client.send("limited", key).status for _ in range(2)] == [429, 429]
    postgres.sql("UPDATE relay_guard.rate_policy SET quota = 100 WHERE name = 'idem_few'", user="relay_owner")
    with running(postgres.url("relay_gateway")) as other:
        wait_until(other.is_ready, what="readiness")
        answer, again = (client.send("limited", key, gateway=other) for _ in range(2))
    assert (answer.status, is_replay(answer), is_replay(again), client.orders(key)) == (201, False, True, 1)
    assert '"idem_few";r=' in answer.header("RateLimit") and answer.header("RateLimit") != again.header("RateLimit")


def test_an_answer_is_kept_for_a_day(postgres, client):
    keys = [new_key() for _ in range(3)]
    for key in keys:
        assert client.send("orders", key).status == 201
    postgres.sql("UPDATE relay_guard.idempotency_key SET created_at = created_at - interval '25 hours'")
    assert not is_replay(client.send("orders", keys[0])) and client.orders(keys[0]) == 2


@pytest.fixture
def standby(postgres):
    """A copy of the server that only reads."""
    copy = object.__new__(Postgres)
    copy.dir = postgres.dir / "standby"
    copy.as_server = postgres.as_server
    copy.dir.mkdir()
    if os.getuid() == 0:
        shutil.chown(copy.dir, "postgres", "postgres")
    subprocess.run([*copy.as_server, BIN / "pg_basebackup", "-h", postgres.dir, "-U", "postgres", "-D", copy.data, "-c", "fast", "--no-sync"],
                   check=True, cwd=copy.dir, env=clean_environment())
    copy.run("touch", copy.data / "standby.signal")
    copy.start()
    yield copy
    copy.stop()
    shutil.rmtree(copy.dir)


def test_a_standby_puts_writes_off(client, standby):
    with running(standby.url("relay_gateway")) as gateway:
        wait_until(lambda: gateway.get("/api/v1/knowledge/files").status == 401, what="the database")
        for headers in ({}, {"Authorization": f"Bearer {client.token}", "Idempotency-Key": new_key()}):
            path = "/test/idem/orders" if headers else "/test/notes"
            answer = gateway.ask("POST", path, {**JSON, **headers}, b'{"item": "x", "text": "x"}')
            assert (answer.status, answer.json()["code"], answer.header("Retry-After")) == (503, "needs_primary", "1")
