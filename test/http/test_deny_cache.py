"""Refusals by limits, repeated by the gateway's worker without the database."""
import itertools
import os
import time

import pytest

from conftest import running, wait_until

addresses = itertools.count(1)


@pytest.fixture(scope="module", autouse=True)
def routes(postgres):
    postgres.sql("""
        INSERT INTO relay_guard.rate_policy (name, identify_by, quota, "window", algorithm) VALUES
        ('deny_short', 'user', 2, '3 s', 'fixed_window'), ('deny_long', 'user', 1, '1 h', 'sliding_window'),
        ('deny_ip', 'ip', 2, '1 h', 'sliding_window');
        INSERT INTO relay_guard.route (method, path, query, auth, result, parameters, run_as, rate) VALUES
        ('GET', '/deny/short', 'SELECT 1', 'anonymous', 'value', '[]', 'relay_app', '{ip,deny_short}'),
        ('GET', '/deny/many/{n}', 'SELECT request.n', 'anonymous', 'value',
         '[{"name": "n", "in": "path", "required": true, "schema": {"type": "integer"}}]', 'relay_app', '{deny_long}'),
        ('GET', '/deny/long', 'SELECT 1', 'anonymous', 'value', '[]', 'relay_app', '{deny_long}'),
        ('POST', '/deny/long', 'SELECT 1', 'anonymous', 'value', '[]', 'relay_app', '{deny_long}'),
        ('GET', '/deny/ip', 'SELECT 1', 'none', 'value', '[]', 'relay_app', '{deny_ip}'),
        ('GET', '/deny/key', 'SELECT 1', 'api_key', 'value', '[]', 'relay_app', '{ip}')
    """, user="relay_owner")
    yield
    postgres.sql("DELETE FROM relay_guard.route WHERE path LIKE '/deny/%';"
                 "DELETE FROM relay_guard.rate_policy WHERE name LIKE 'deny\\_%'", user="relay_owner")


@pytest.fixture(scope="module")
def one(postgres):
    """One worker, so that it is always the same that remembers."""
    with running(postgres.url("relay_gateway"), TRUSTED_PROXIES="127.0.0.1", WORKERS=1) as gateway:
        wait_until(gateway.is_ready, what="readiness")
        yield gateway


def address():
    return {"X-Forwarded-For": f"203.0.113.{next(addresses)}"}


def signed_in(gateway, origin):
    token = gateway.ask("POST", "/api/v1/anon_session", origin).json()["token"]
    return {"Authorization": f"Bearer {token}", **origin}


def refused(gateway, path, headers, method="GET"):
    """Asks until it is refused; the database's answer."""
    for _ in range(40):
        answer = gateway.ask(method, path, headers)
        if answer.status == 429:
            return answer
    raise AssertionError("nothing was refused")


def denied(postgres, policy):
    return postgres.sql(f"SELECT sum(denied) FROM relay_guard.counter WHERE policy = '{policy}'")[0][0]


VARYING = {"date", "x-request-id", "content-length"}   # the body holds the request id


def fixed_headers(answer):
    return sorted(header for header in answer.headers if header[0] not in VARYING)


def test_a_flood_after_a_429_does_not_reach_the_database(one, postgres):
    headers = signed_in(one, address())
    refused(one, "/deny/long", headers)
    before = denied(postgres, "deny_long")
    transactions = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = 'relay'"
    time.sleep(1.5)   # backends report what they did within a second, when they are idle
    start = postgres.sql(transactions)[0][0]
    connection = one.connect()
    for _ in range(500):
        connection.request("GET", "/deny/long", headers)
        assert connection.read().status == 429
    connection.close()
    time.sleep(1.5)
    assert denied(postgres, "deny_long") == before
    assert postgres.sql(transactions)[0][0] - start < 250   # others are at work too


def test_the_answer_from_memory_is_the_databases(one):
    headers = signed_in(one, address())
    for _ in range(3):
        first = refused(one, "/deny/long", headers)
        again = one.get("/deny/long?x=1", {**headers, "X-Request-ID": "again"})
        if first.header("Retry-After") == again.header("Retry-After"):
            break
    assert fixed_headers(first) == fixed_headers(again)
    assert again.header("X-Request-ID") == "again" and again.header("Cache-Control") == "no-store"
    first, again = first.json(), again.json()
    assert again.pop("request_id") == "again" and first.pop("request_id")
    assert list(first) == list(again) and first == again
    assert again["violated-policies"] == ["deny_long"] and again["instance"] == "/deny/long"
    lines = [line for line in one.access_log("again") if line["request_id"] == "again"]
    assert [(line["status"], line["route"], line["database_us"]) for line in lines] == [(429, "/deny/long", 0)]


def test_retry_after_counts_down_and_the_windows_end_admits_again(one):
    headers = signed_in(one, address())
    waits = []
    for _ in range(5):
        first = refused(one, "/deny/short", headers)
        waits = [int(first.header("Retry-After"))]
        while (later := one.get("/deny/short", headers)).status == 429:
            assert_it_says_how_long(later)
            late = int(later.header("X-RateLimit-Reset")) - int(first.header("X-RateLimit-Reset"))
            assert late in (0, 1)    # the refusal's way from the database is added, and the whole rounded up
            waits.append(int(later.header("Retry-After")))
            time.sleep(0.1)
        assert later.status == 200 and waits == sorted(waits, reverse=True) and set(waits) <= {1, 2, 3}
        if set(waits) >= {1, 2}:
            return
    raise AssertionError(f"Retry-After was {waits}")


def assert_it_says_how_long(answer):
    wait = answer.header("Retry-After")
    assert f'"deny_short";r=0;t={wait}' in answer.header("RateLimit")
    assert answer.json()["suggestion"] == f"Wait {wait} s, then try again."


def test_another_user_behind_the_same_address_goes_on(one):
    origin = address()
    alice, bob = signed_in(one, origin), signed_in(one, origin)
    refused(one, "/deny/long", alice)
    assert one.get("/deny/long", alice).status == 429
    assert one.get("/deny/long", bob).status == 200
    # and no credentials at all are a 401 as ever
    assert one.get("/deny/long", origin).status == 401


def test_another_address_goes_on(one):
    here, there = address(), address()
    refused(one, "/deny/ip", here)
    assert one.get("/deny/ip", {**here, "Authorization": "Bearer x", "Cookie": "a=b"}).status == 429
    assert one.get("/deny/ip", there).status == 200


def test_a_limit_by_address_of_an_api_key_binds_no_other_key(one, postgres):
    make = "SELECT key FROM relay_guard.api_key_create(%r, rate => %r)"
    mean, other = ({"X-API-Key": postgres.sql(make % pair)[0][0]} for pair in (("mean", "{deny_ip}"), ("other", "{}")))
    origin = address()
    refused(one, "/deny/key", {**mean, **origin})
    assert one.get("/deny/key", {**mean, **origin}).status == 429
    assert one.get("/deny/key", {**other, **origin}).status == 200
    assert one.get("/deny/key", origin).status == 401


def test_a_body_is_refused_from_memory_too(one, postgres):
    headers = signed_in(one, address())
    refused(one, "/deny/long", headers, "POST")
    before = denied(postgres, "deny_long")
    connection = one.connect()
    for _ in range(5):
        connection.request("POST", "/deny/long", headers, b"{}")
        assert connection.read().status == 429
    assert denied(postgres, "deny_long") == before


def test_a_limit_that_was_raised_is_noticed_within_seconds(one, postgres):
    headers = signed_in(one, address())
    refused(one, "/deny/long", headers)
    assert one.get("/deny/long", headers).status == 429
    postgres.sql("UPDATE relay_guard.rate_policy SET quota = 1000 WHERE name = 'deny_long'", user="relay_owner")
    try:
        wait_until(lambda: one.get("/deny/long", headers).status == 200)
    finally:
        postgres.sql("UPDATE relay_guard.rate_policy SET quota = 1 WHERE name = 'deny_long'", user="relay_owner")


@pytest.mark.skipif("ASAN_OPTIONS" in os.environ, reason="AddressSanitizer keeps what is freed")
def test_many_keys_take_no_more_memory(one):
    headers = signed_in(one, address())
    refused(one, "/deny/many/0", headers)

    def resident():
        pid = next(iter(one.workers()))
        return int(open(f"/proc/{pid}/statm").read().split()[1]) * 4

    connection = one.connect()
    before = resident()
    for n in range(6000):
        connection.request("GET", f"/deny/many/{n}", headers)
        connection.read()
    assert resident() - before < 4096
    connection.close()


def test_the_cache_can_be_switched_off(start, postgres):
    gateway = start(TRUSTED_PROXIES="127.0.0.1", WORKERS=1, DENY_CACHE="off")
    headers = signed_in(gateway, address())
    refused(gateway, "/deny/long", headers)
    before = denied(postgres, "deny_long")
    for _ in range(5):
        assert gateway.get("/deny/long", headers).status == 429
    assert denied(postgres, "deny_long") == before + 5
