"""What went wrong at the edge of others: each row is named after the pain."""
import base64
import hashlib
import hmac
import itertools
import json
import time

import pytest

from conftest import running, wait_until

ONE = dict(WORKERS=1, DB_WRITE_CONNECTIONS=1)    # few connections, for many gateways have one server

APP = "https://app.example"

addresses = itertools.count(1)


@pytest.fixture(scope="module")
def api(postgres):
    postgres.sql("""
        INSERT INTO relay_guard.rate_policy (name, identify_by, quota, "window", algorithm)
        VALUES ('pains_ip', 'ip', 3, '1 h', 'sliding_window');
        INSERT INTO relay_guard.route (method, path, query, auth, result, run_as, rate)
        VALUES ('PUT', '/pains/limited', 'SELECT 1', 'none', 'value', 'relay_app', '{pains_ip}'),
               ('GET', '/pains/admin', 'SELECT 1', 'admin', 'value', 'relay_app', '{}')
    """, user="relay_owner")
    with running(postgres.url("relay_gateway"), **ONE, CORS_ORIGINS=APP, TRUSTED_PROXIES="127.0.0.1") as gateway:
        wait_until(gateway.is_ready, what="readiness")
        yield gateway
    postgres.sql("DELETE FROM relay_guard.route WHERE path LIKE '/pains/%';"
                 "DELETE FROM relay_guard.rate_policy WHERE name = 'pains_ip'", user="relay_owner")


def fresh():
    return f"198.51.100.{next(addresses)}"


def limited(gateway, forwarded, **headers):
    return gateway.ask("PUT", "/pains/limited", {"X-Forwarded-For": forwarded, "Origin": APP, **headers})


def test_leftmost_x_forwarded_for_believed(api):
    """everruns#2643, alps#18: who invents addresses left of his own gets a new limit each time."""
    own = fresh()
    answers = [limited(api, f"192.0.2.{i}, {own}").status for i in range(6)]
    assert answers == [200] * 3 + [429] * 3
    assert limited(api, fresh()).status == 200


def test_leftmost_x_forwarded_for_believed_of_several_lines(api):
    own = fresh()
    for i in range(5):
        connection = api.connect()
        connection.send(f"PUT /pains/limited HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.{100 + i}\r\n"
                        f"X-Forwarded-For: {own}\r\n\r\n".encode())
        assert connection.read().status == (200 if i < 3 else 429)


def test_leftmost_x_forwarded_for_believed_of_anybody(postgres, start):
    """Without a proxy that is trusted the header says nothing at all."""
    gateway = start(**ONE)
    answers = [limited(gateway, fresh()).status for _ in range(6)]
    assert answers[3:] == [429] * 3


def test_cors_after_limits(api):
    """agentgateway#926: the page could not read the 429, and preflights used the quota up."""
    own = fresh()
    for _ in range(10):
        asked = api.ask("OPTIONS", "/pains/limited", {"X-Forwarded-For": own, "Origin": APP,
                                                      "Access-Control-Request-Method": "PUT"})
        assert asked.status == 204 and asked.header("access-control-allow-origin") == APP
    answers = [limited(api, own) for _ in range(5)]
    assert [answer.status for answer in answers] == [200] * 3 + [429] * 2
    for answer in answers:
        assert answer.header("access-control-allow-origin") == APP
        assert {"Retry-After", "RateLimit"} <= set(answer.header("access-control-expose-headers").split(", "))
    assert answers[3].json()["code"] == "rate_limited"
    again = api.ask("OPTIONS", "/pains/limited", {"X-Forwarded-For": own, "Origin": APP,
                                                  "Access-Control-Request-Method": "PUT"})
    assert again.status == 204


SECRET = "0f8a6c1d93b24e57a1c2d3e4f5061728"


def signed(size, secret):
    """A token of about that size, as an identity provider makes it whose users are in many groups."""
    def part(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    claims = {"iss": "https://large.example", "aud": "app", "sub": "large", "exp": int(time.time()) + 600,
              "groups": [f"group-{i:020}" for i in range((size - 300) * 3 // 4 // 30)]}
    text = ".".join(part(json.dumps(piece).encode()) for piece in ({"alg": "HS256", "kid": "k"}, claims))
    return text + "." + part(hmac.digest(secret.encode(), text.encode(), hashlib.sha256))


def test_a_token_of_3_6_kb_refused_with_a_cryptic_error(api, postgres):
    """hasura#5688: it must work where it is good, and where it is not, be refused for that."""
    postgres.sql("SELECT relay_guard.issuer_add('https://large.example', 'app'), "
                 f"relay_guard.jwt_key_add('https://large.example', 'k', '{SECRET}')", user="relay_owner")
    for size in 3600, 8000:
        token = signed(size, SECRET)
        assert size - 150 < len(token) <= size + 150
        assert api.get("/test/whoami", {"Authorization": f"Bearer {token}"}).json().endswith("large")
        refused = api.get("/test/whoami", {"Authorization": f"Bearer {signed(size, SECRET[::-1])}", "Origin": APP})
        assert refused.status == 401 and refused.json()["code"] == "token_signature"
        assert refused.header("access-control-allow-origin") == APP


def test_a_token_that_is_too_long_is_refused_with_a_reason(api):
    refused = api.get("/test/whoami", {"Origin": APP, "Authorization": f"Bearer {signed(20000, SECRET)}"})
    assert refused.status == 431 and refused.header("content-type") == "application/problem+json"
    problem = refused.json()
    assert "headers are too long" in problem["detail"] and problem["request_id"]
    # the Origin came before what was too long: the page can read why
    assert refused.header("access-control-allow-origin") == APP


HOSTS = ["localhost/health?", "localhost/health#", "localhost?", "a@localhost", "localhost\\health", "localhost:80/health",
         "localhost%2fhealth", "localhost:80:80", "localhost:http", "localhost, localhost", "lo calhost", "[::1", "::1",
         "localhost;health", "http://localhost/health", "<script>", "localhost/../health", "", "ä.example"]


@pytest.mark.parametrize("host", HOSTS, ids=ascii)
def test_host_header_bypasses_auth(api, host):
    """CVE-2026-49468: a Host with a path in it became the path that was checked, another one was served."""
    for target in "/test/whoami", "/pains/admin":
        connection = api.connect()
        connection.send(f"GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        answer = connection.read()
        assert answer.status == 400 and connection.is_closed()


@pytest.mark.parametrize("headers", [
    {"X-Forwarded-Host": "localhost/health"}, {"X-Original-URL": "/health"}, {"X-Rewrite-URL": "/health"},
    {"X-Forwarded-Prefix": "/health"}, {"X-HTTP-Method-Override": "OPTIONS"}, {"X-Forwarded-Path": "/health"},
    {"Forwarded": "host=localhost;for=127.0.0.1"}, {"X-Relay-Origin": "http://localhost"}, {"X-Relay-Cors": "1"},
    {"X-Relay-Lane": "slow"}, {"X-Relay-User": "admin"}, {"X-Relay-Flags": "dev"},
], ids=lambda headers: next(iter(headers)))
def test_host_header_bypasses_auth_by_no_other_name(api, headers):
    for target in "/test/whoami", "/pains/admin":
        assert api.get(target, headers).status == 401


def test_host_header_bypasses_auth_nor_by_the_target(api):
    for target in ("http://localhost/health", "//localhost/health", "/health/../pains/admin", "/health/%2e%2e/pains/admin",
                   "/health;/../pains/admin", "/pains//admin", "/pains/admin/", "/pains/admin;a", "/PAINS/admin",
                   "/pains%2fadmin", "/./pains/admin", "/pains/admin%00", "/pains/admin#", "/pains/admin%20"):
        assert api.get(target).status in (400, 401, 404), target
    for target in "/pains/%61dmin", "/p%61ins/admin", "/pains/admin?/health":
        assert api.get(target).status == 401


def test_host_header_bypasses_auth_only_known_hosts(start):
    gateway = start(**ONE, ALLOWED_HOSTS="localhost, relay.example")
    for host, status in [("localhost", 401), ("LOCALHOST:1234", 401), ("relay.example", 401), ("relay.example.", 421),
                         ("127.0.0.1", 421), ("relay.example.evil.test", 421), ("evil-relay.example", 421), ("lay.example", 421),
                         ("relay", 421)]:
        connection = gateway.connect()
        connection.send(f"GET /test/whoami HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        answer = connection.read()
        assert (host, answer.status) == (host, status)
        assert answer.status == 401 or answer.json()["code"] == "unknown_host"
    connection = gateway.connect()
    connection.send(b"GET /test/whoami HTTP/1.0\r\n\r\n")
    assert connection.read().status == 421
