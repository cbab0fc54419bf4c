"""Several gateways on one database, as on several machines: what binds, binds across them."""
import concurrent.futures
import contextlib
import json
import os
import signal
import threading
import time
import uuid

import pytest

from conftest import running, wait_until

JSON = {"Content-Type": "application/json"}
GATEWAYS = 3

SCHEMA = """
    CREATE TABLE relay.many_value (id bigint PRIMARY KEY, v bigint NOT NULL DEFAULT 0);
    INSERT INTO relay.many_value (id) SELECT generate_series(1, 3);
    CREATE TABLE relay.many_order (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, key text);
    GRANT SELECT ON relay.many_value TO relay_app;
    GRANT SELECT, INSERT ON relay.many_order TO relay_app;
    INSERT INTO relay_guard.rate_policy (name, identify_by, quota, "window", algorithm)
    VALUES ('many', 'user', 40, '1 h', 'sliding_window');
    INSERT INTO relay_guard.quota_policy (name, scope, cap, "window", unit) VALUES ('many', 'user', 15, 'lifetime', 'message');
    INSERT INTO relay_guard.route (method, path, query, auth, result, run_as, rate, quota, cache_seconds, cache_tags) VALUES
    ('GET', '/many/limited', 'SELECT 1', 'user', 'value', 'relay_app', '{many}', '{}', NULL, '{}'),
    ('GET', '/many/counted', 'SELECT 1', 'user', 'value', 'relay_app', '{}', '{many}', 60, '{}'),
    ('GET', '/many/own', 'SELECT relay_guard.user_id()', 'api_key', 'value', 'relay_app', '{}', '{}', 60, '{}'),
    ('GET', '/many/session', 'SELECT relay_guard.user_id()', 'user', 'value', 'relay_app', '{}', '{}', 60, '{}'),
    ('GET', '/many/value', 'SELECT v FROM relay.many_value WHERE id = 1', 'none', 'value', 'relay_app', '{}', '{}', 600, '{value:1}');
    INSERT INTO relay_guard.route (method, path, query, auth, idempotency, status, result, request_body, run_as) VALUES
    ('POST', '/many/orders', 'INSERT INTO relay.many_order (key) VALUES (request.item) RETURNING id', 'user', 'required', 201, 'row',
     '{"type": "object", "required": ["item"], "properties": {"item": {"type": "string"}}}', 'relay_app')
"""


@pytest.fixture(scope="module", autouse=True)
def routes(postgres):
    postgres.sql(SCHEMA, user="relay_owner")
    yield
    postgres.sql("""DELETE FROM relay_guard.route WHERE path LIKE '/many/%';
        DELETE FROM relay_guard.rate_policy WHERE name = 'many'; DELETE FROM relay_guard.quota_policy WHERE name = 'many';
        DROP TABLE relay.many_value, relay.many_order""", user="relay_owner")


@pytest.fixture(scope="module")
def gateways(postgres):
    with contextlib.ExitStack() as stack:
        started = [stack.enter_context(running(postgres.url("relay_gateway"), WORKERS=2,
                                               DB_READ_CONNECTIONS=1, DB_WRITE_CONNECTIONS=1))
                   for _ in range(GATEWAYS)]
        for gateway in started:
            wait_until(gateway.is_ready, what="readiness")
        yield started


def bearer(postgres, user=None, **arguments):
    named = "".join(f", {name} => '{value}'" for name, value in arguments.items())
    return {"Authorization": "Bearer " + postgres.sql(
        f"SELECT relay_guard.issue_token('{user or uuid.uuid4()}'{named})")[0][0]}


def everywhere(gateways, path, headers=(), times=6):
    """Answers of all of them, of each more than it has workers."""
    return [gateway.get(path, headers) for _ in range(times) for gateway in gateways]


def statuses(answers):
    return {answer.status for answer in answers}


def flood(gateways, path, headers, times):
    """At all of them at once."""
    with concurrent.futures.ThreadPoolExecutor(2 * len(gateways)) as pool:
        return [answer.status for answer in pool.map(lambda n: gateways[n % len(gateways)].get(path, headers), range(times))]


@pytest.mark.parametrize("path, allowed", [("/many/limited", 40), ("/many/counted", 15)])
def test_limits_and_quotas_hold_exactly(gateways, postgres, path, allowed):
    answered = flood(gateways, path, bearer(postgres), 100)
    assert sorted(answered) == [200] * allowed + [429] * (100 - allowed)


def test_a_token_is_revoked_everywhere_at_once(gateways, postgres):
    user = str(uuid.uuid4())
    token = bearer(postgres, user, workspace="w")
    assert statuses(everywhere(gateways, "/many/own", token)) == {200}
    postgres.sql(f"SELECT relay_guard.revoke(user_id => '{user}')")
    assert statuses(everywhere(gateways, "/many/own", token)) == {401}


def test_an_api_key_is_revoked_everywhere_at_once(gateways, postgres):
    name, key = postgres.sql("SELECT id, key FROM relay_guard.api_key_create('many')")[0]
    answers = everywhere(gateways, "/many/own", {"X-API-Key": key})
    assert statuses(answers) == {200} and len({answer.body for answer in answers}) == 1
    postgres.sql(f"SELECT relay_guard.api_key_revoke('{name}')")
    assert statuses(everywhere(gateways, "/many/own", {"X-API-Key": key})) == {401}


def test_a_session_ends_everywhere_at_once(gateways):
    account = json.dumps({"email": f"{uuid.uuid4()}@many.test", "password": "a walrus in the garden shed"}).encode()
    own_site = {**JSON, "Sec-Fetch-Site": "same-origin"}
    assert gateways[0].ask("POST", "/api/auth/register", own_site, account).status == 201
    login = gateways[1].ask("POST", "/api/auth/login", own_site, account)
    assert login.status == 200, login.body
    cookie = {"Cookie": login.header("set-cookie").split(";")[0]}
    assert statuses(everywhere(gateways, "/many/session", cookie)) == {200}
    out = gateways[2].ask("POST", "/api/auth/logout", {**own_site, **cookie, "X-CSRF-Token": login.json()["csrfToken"]}, b"{}")
    assert out.status in (204, 303)
    assert statuses(everywhere(gateways, "/many/session", cookie)) == {401}


def test_whoever_asks_after_a_commit_sees_it_on_every_gateway(gateways, postgres):
    """Bodies are held by six workers; after each commit none of them shows the value from before."""
    for n in range(1, 9):
        postgres.sql(f"BEGIN; UPDATE relay.many_value SET v = {n} WHERE id = 1; SELECT relay_guard.cache_invalidate('value:1'); COMMIT")
        assert {answer.body for answer in everywhere(gateways, "/many/value", times=3)} == {str(n).encode()}
    # Only what was invalidated has changed: without that the bodies are the held ones
    postgres.sql("UPDATE relay.many_value SET v = 100 WHERE id = 1")
    held = [answer.body for answer in everywhere(gateways, "/many/value", times=3)]
    assert b"8" in held                     # a worker that was not asked since has none to hold
    postgres.sql("SELECT relay_guard.cache_invalidate('*')")
    assert {answer.body for answer in everywhere(gateways, "/many/value")} == {b"100"}


def test_what_was_rolled_back_ends_nothing(gateways, postgres):
    postgres.sql("UPDATE relay.many_value SET v = 200 WHERE id = 1; SELECT relay_guard.cache_invalidate('value:1')")
    everywhere(gateways, "/many/value")
    postgres.sql("UPDATE relay.many_value SET v = 201 WHERE id = 1")
    postgres.sql("BEGIN; SELECT relay_guard.cache_invalidate('*'); ROLLBACK")
    assert b"200" in {answer.body for answer in everywhere(gateways, "/many/value")}


def order(gateway, who, key):
    return gateway.ask("POST", "/many/orders", {**JSON, **who, "Idempotency-Key": key}, json.dumps({"item": key}).encode())


def test_a_request_is_carried_out_once_whichever_gateway_it_is_sent_to(gateways, postgres):
    who, key = bearer(postgres), str(uuid.uuid4())
    first = order(gateways[0], who, key)
    assert first.status == 201
    for gateway in gateways:
        again = order(gateway, who, key)
        assert (again.status, again.body, again.header("Idempotent-Replayed")) == (201, first.body, "true")
    key = str(uuid.uuid4())
    with concurrent.futures.ThreadPoolExecutor(9) as pool:
        answers = list(pool.map(lambda n: order(gateways[n % GATEWAYS], who, key), range(9)))
    assert statuses(answers) <= {201, 409} and len({answer.body for answer in answers if answer.status == 201}) == 1
    assert postgres.sql(f"SELECT count(*)::int FROM relay.many_order WHERE key = '{key}'") == [(1,)]


def kill_all(gateway):
    for pid in (gateway.process.pid, *gateway.workers()):
        os.kill(pid, signal.SIGKILL)
    gateway.process.wait(60)


def test_a_gateway_that_is_killed_disturbs_no_other(postgres, gateways):
    """Its connections end with requests under way; those of the others go on, and so do the limits."""
    who = bearer(postgres)
    failed = []
    done = threading.Event()
    answered = {gateway.port: 0 for gateway in gateways}

    def load(gateway):
        connection = gateway.connect()
        while not done.is_set():
            connection.request("GET", "/many/value" if answered[gateway.port] % 2 else "/test/echo/a")
            answer = connection.read()
            answered[gateway.port] += 1
            if answer is None or answer.status != 200:
                failed.append(answer and answer.status)
        connection.close()

    def load_until_it_dies(gateway):
        with contextlib.suppress(OSError, AttributeError):
            connection = gateway.connect()
            while not done.is_set():
                connection.request("GET", "/many/limited", who)
                connection.read().status

    with running(postgres.url("relay_gateway"), WORKERS=2, DB_READ_CONNECTIONS=1, DB_WRITE_CONNECTIONS=1) as victim:
        wait_until(victim.is_ready, what="readiness")
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            doomed = [pool.submit(load_until_it_dies, victim) for _ in range(2)]
            others = [pool.submit(load, gateway) for gateway in gateways]
            try:
                wait_until(lambda: min(answered.values()) > 25, what="the load")
                kill_all(victim)
                before = dict(answered)
                time.sleep(0.5)
                wait_until(lambda: all(answered[port] > before[port] + 25 for port in before), what="more of it")
            finally:
                done.set()
            for one in (*others, *doomed):
                one.result()
    assert failed == []
    assert flood(gateways, "/many/limited", who, 50).count(200) <= 40
    wait_until(lambda: postgres.sql("SELECT count(*)::int FROM pg_locks WHERE locktype = 'advisory'") == [(0,)],
               what="the end of its locks")
