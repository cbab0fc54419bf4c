"""Pages of other origins: which may read answers, and that every answer is made for them."""
import itertools
import subprocess
import time

import pytest

from conftest import clean_environment, gateway_binary, running, wait_until

ONE = dict(WORKERS=1, DB_WRITE_CONNECTIONS=1)    # few connections, for many gateways have one server

APP = "https://app.example"
LOCAL = "http://localhost:3000"
POST = b"POST /test/notes HTTP/1.1\r\nHost: localhost\r\nOrigin: " + APP.encode() + b"\r\n"

addresses = itertools.count(1)


@pytest.fixture(scope="module")
def api(postgres):
    postgres.sql("""
        INSERT INTO relay_guard.rate_policy (name, identify_by, quota, "window", algorithm)
        VALUES ('cors_ip', 'ip', 2, '1 h', 'sliding_window');
        INSERT INTO relay_guard.route (method, path, query, auth, result, run_as, rate)
        VALUES ('PUT', '/cors/limited', 'SELECT 1', 'none', 'value', 'relay_app', '{cors_ip}')
    """, user="relay_owner")
    with running(postgres.url("relay_gateway"), **ONE, CORS_ORIGINS=f"{APP}, {LOCAL}",
                 TRUSTED_PROXIES="127.0.0.1", HEADER_TIMEOUT="2s") as gateway:
        wait_until(gateway.is_ready, what="readiness")
        yield gateway
    postgres.sql("DELETE FROM relay_guard.route WHERE path LIKE '/cors/%';"
                 "DELETE FROM relay_guard.rate_policy WHERE name = 'cors_ip'", user="relay_owner")


def address():
    return {"X-Forwarded-For": f"192.0.2.{next(addresses)}"}


def may_read(answer, origin=APP):
    """By a page of that origin, with its cookies."""
    return (answer.header("access-control-allow-origin") == origin and "Origin" in vary(answer) and
            answer.header("access-control-allow-credentials") == "true")


def vary(answer):
    return ", ".join(value for name, value in answer.headers if name == "vary").split(", ")


def preflight(gateway, path, origin, **headers):
    return gateway.ask("OPTIONS", path, {"Origin": origin, "Access-Control-Request-Method": "PUT", **headers})


@pytest.mark.parametrize("origin", [APP, LOCAL])
def test_an_allowed_origin_is_echoed(api, origin):
    answer = api.get("/test/echo/a", {"Origin": origin})
    assert answer.status == 200 and may_read(answer, origin)
    exposed = answer.header("access-control-expose-headers").split(", ")
    assert {"RateLimit", "RateLimit-Policy", "Retry-After", "X-Request-ID", "X-RateLimit-Limit", "X-RateLimit-Remaining",
            "X-RateLimit-Reset", "Idempotent-Replayed"} <= set(exposed)


@pytest.mark.parametrize("origin", [
    "https://app.example.evil.test",        # the allowed one is its prefix
    "https://evilapp.example",              # … or its suffix
    "https://app.exampl", "https://app.example1",
    "https://sub.app.example", "https://example",
    "null", "Null", "*", "",
    "http://app.example",                   # another scheme
    "https://app.example:8443", "https://app.example:443", "http://localhost", "http://localhost:30000",
    "https://app_example", "https://appXexample",   # what a pattern's dot would match
    "https://app.example%00.evil.test", "https://app.example%60.evil.test", "https://app.example`.evil.test",
    "https://app.example{.evil.test", "https://app.example@evil.test", "https://app.example\\.evil.test",
    "https://app.example#", "https://app.example?", "https://user@app.example", "https://app.example_.evil.test",
    "https://app.example&.evil.test", "https://app.example!.evil.test", "https://аpp.example",
    "HTTPS://APP.EXAMPLE", "https://App.example", "https://app.example/", "https://app.example.",
    "https://app.example, https://app.example", "https://app.example https://evil.test", "file://", "https://",
], ids=ascii)
def test_no_other_origin_may_read(api, origin):
    for answer in api.get("/test/echo/a", {"Origin": origin}), api.get("/test/whoami", {"Origin": origin}), \
            preflight(api, "/test/notes", origin):
        assert not [name for name, _ in answer.headers if name.startswith("access-control-")]
        assert "Origin" in vary(answer)
    assert api.get("/test/echo/a", {"Origin": origin}).status == 200
    refused = preflight(api, "/test/notes", origin)
    assert refused.status == 403 and refused.json()["code"] == "origin_not_allowed"


def test_several_origin_headers_allow_none(api):
    for first, second in [(APP, APP), (APP, "https://evil.test"), ("https://evil.test", APP)]:
        for method in "GET /test/echo/a", "OPTIONS /test/notes":
            connection = api.connect()
            connection.send(f"{method} HTTP/1.1\r\nHost: a\r\nOrigin: {first}\r\nOrigin: {second}\r\n"
                            "Access-Control-Request-Method: PUT\r\n\r\n".encode())
            answer = connection.read()
            assert answer.status == 400 and answer.header("access-control-allow-origin") is None


def test_a_request_of_no_page_may_still_differ(api):
    """A cache must not give a page what was made for somebody without Origin."""
    for target in "/test/echo/a", "/", "/health", "/nothing/here":
        answer = api.get(target)
        assert "Origin" in vary(answer) and answer.header("access-control-allow-origin") is None


def test_without_origins_cors_is_not_considered(gateway):
    answer = gateway.get("/test/echo/a", {"Origin": APP})
    assert answer.status == 200 and vary(answer) == [""]
    assert answer.header("access-control-allow-origin") is None
    assert preflight(gateway, "/test/notes", APP).status == 403


def test_a_preflight(api):
    answer = preflight(api, "/test/notes", APP, **{"Access-Control-Request-Headers": "authorization,content-type"})
    assert answer.status == 204 and may_read(answer) and answer.body == b""
    assert answer.header("access-control-max-age") == "7200"
    assert {"GET", "POST", "PUT", "PATCH", "DELETE"} <= set(answer.header("access-control-allow-methods").split(", "))
    allowed = answer.header("access-control-allow-headers").lower().split(", ")
    assert {"authorization", "content-type", "x-api-key", "x-csrf-token", "idempotency-key", "if-none-match",
            "last-event-id", "x-request-id"} <= set(allowed) and "*" not in allowed
    assert {"Access-Control-Request-Method", "Access-Control-Request-Headers"} <= set(vary(answer))
    # what is no preflight is a question to the route
    assert api.ask("OPTIONS", "/test/notes", {"Origin": APP}).header("allow") == "POST, OPTIONS"


def test_a_preflight_is_never_limited(api):
    who = {"Origin": APP, **address()}
    assert [api.ask("PUT", "/cors/limited", who).status for _ in range(4)] == [200, 200, 429, 429]
    for _ in range(200):
        assert preflight(api, "/cors/limited", **{"origin": APP, **who}).status == 204
    # nor does it take anything
    other = {"Origin": APP, **address()}
    for _ in range(5):
        preflight(api, "/cors/limited", **{"origin": APP, **other})
    assert api.ask("PUT", "/cors/limited", other).header("x-ratelimit-remaining") == "1"


def test_a_preflight_needs_no_database(start):
    gateway = start(**ONE, DATABASE_URL="host=/nonexistent", ready=False, CORS_ORIGINS=APP)
    assert preflight(gateway, "/test/notes", APP).status == 204
    unavailable = gateway.get("/test/echo/a", {"Origin": APP})
    assert unavailable.status == 503 and may_read(unavailable)


def answers(api):
    """Every kind of refusal, by who makes it."""
    def ask(method, target, body=None, **headers):
        return lambda: api.ask(method, target, {"Origin": APP, **headers}, body)

    def raw(data):
        def send():
            connection = api.connect()
            connection.send(data)
            return connection.read()
        return send

    who = address()
    return {
        "401": ask("GET", "/test/whoami"), "500": ask("GET", "/test/divide/0"), "404": ask("GET", "/nothing"),
        "405 here": ask("POST", "/"), "405 there": ask("DELETE", "/test/notes"), "415": ask("POST", "/test/notes", b"{}"),
        "422": ask("POST", "/test/notes", b"{}", **{"Content-Type": "application/json"}),
        "304": lambda: api.get("/", {"Origin": APP, "If-None-Match": "*"}), "501": ask("BREW", "/"),
        "200 of a file": ask("GET", "/style.css"), "ready": ask("GET", "/ready"), "HEAD": ask("HEAD", "/test/whoami"),
        "200": ask("PUT", "/cors/limited", **who), "200 again": ask("PUT", "/cors/limited", **who),
        "429 of the database": ask("PUT", "/cors/limited", **who),
        "429 from memory": ask("PUT", "/cors/limited", **who),
        "400 of the target": ask("GET", "/a%00"), "417": ask("GET", "/", Expect="a miracle"),
        "413": raw(POST + b"Content-Length: 2000000\r\n\r\n"),
        "400 of the body": raw(POST + b"Transfer-Encoding: chunked\r\n\r\n0x5\r\n"),
        "400 of two lengths": raw(POST + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\n"),
        "400 before its Origin": raw(b"POST /a b HTTP/1.1\r\nHost: a\r\nOrigin: " + APP.encode() + b"\r\n\r\n"),
        "400 without Host": raw(b"GET / HTTP/1.1\r\nOrigin: " + APP.encode() + b"\r\n\r\n"),
        "414": raw(b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\nOrigin: " + APP.encode() + b"\r\n\r\n"),
        "431 by size": raw(POST + b"X: " + b"a" * 17000 + b"\r\n\r\n"),
        "431 by number": raw(POST + b"X: y\r\n" * 70 + b"\r\n"),
        "505": raw(b"GET / HTTP/2.0\r\nHost: a\r\nOrigin: " + APP.encode() + b"\r\n\r\n"),
        "408": raw(POST + b"X-Slow"),
    }


def test_every_answer_can_be_read_by_the_page(api):
    for name, ask in answers(api).items():
        answer = ask()
        assert may_read(answer), name
        assert answer.header("x-content-type-options") == "nosniff" and answer.header("x-request-id"), name
        assert answer.status == int(name.split()[0]) if name[0].isdigit() else answer.status in (200, 401), name
        if answer.status >= 400 and name != "HEAD":
            assert answer.json()["request_id"] == answer.header("x-request-id"), name


def test_a_stream_can_be_read_by_the_page(api):
    connection = api.connect()
    connection.request("GET", "/v1/events", {"Origin": APP, "Accept": "text/event-stream"})
    while b"\r\n\r\n" not in connection.buffer:
        assert connection.more()
    head = connection.buffer.split(b"\r\n\r\n")[0].decode().lower()
    connection.close()
    for line in f"access-control-allow-origin: {APP}", "access-control-allow-credentials: true", "vary: origin", \
            "x-content-type-options: nosniff", "content-type: text/event-stream":
        assert line in head


def test_an_answer_to_a_late_head_is_nobody_elses(api):
    """What is left of another request in the worker must not make the 408."""
    slow = api.connect()
    slow.send(b"GET / HTTP/1.1\r\nHost: a\r\nX-Req")
    for _ in range(3):
        api.get("/health", {"Origin": APP, "X-Request-ID": "of-another", "traceparent": "x"})
    answer = slow.read()
    assert answer.status == 408 and answer.header("x-request-id") != "of-another"
    assert answer.header("access-control-allow-origin") is None


def test_any_origin_but_without_cookies(start):
    gateway = start(**ONE, CORS_ORIGINS=f"*,{APP}")
    answer = gateway.get("/test/echo/a", {"Origin": "https://anybody.test"})
    assert answer.header("access-control-allow-origin") == "*"
    assert answer.header("access-control-allow-credentials") is None
    assert may_read(gateway.get("/test/echo/a", {"Origin": APP}))
    assert gateway.get("/test/echo/a", {"Origin": "null"}).header("access-control-allow-origin") is None


@pytest.mark.parametrize("origins, named", [
    ("*", None), ("https://a.example,*", None), ("null", "null"), ("https://a.example/", "https://a.example/"),
    ("https://*.a.example", "https://*.a.example"), ("https://A.example", "https://A.example"),
    ("a.example", "a.example"), ("https://a.example:443", "https://a.example:443"), ("https://", "https://"),
    ("http://a.example:80", "http://a.example:80"), ("https://a.example:0", "https://a.example:0"),
    ("https://a.example:99999", "https://a.example:99999"), ("https://a@b", "https://a@b"), ("//a", "//a"),
    ("https://a.example/x", "https://a.example/x"), ("https://[::1", "https://[::1"),
    (",".join(f"https://a{i}.example" for i in range(33)), "https://a32.example"),
])
def test_what_no_browser_sends_stops_the_start(origins, named):
    done = subprocess.run([gateway_binary(), "--check"], capture_output=True, text=True, env=clean_environment(
        CORS_ORIGINS=origins, ENVIRONMENT="production"))
    assert done.returncode == 1
    line, = done.stderr.splitlines()
    assert line.startswith("CORS_ORIGINS ") and (named is None or f'"{named}"' in line)


def test_what_browsers_send_is_taken():
    origins = "https://a.example, http://localhost:3000 http://[::1]:8080,chrome-extension://abcdef,https://xn--bcher-kva.example"
    done = subprocess.run([gateway_binary(), "--check"], capture_output=True, text=True, env=clean_environment(
        CORS_ORIGINS=origins, ENVIRONMENT="production"))
    assert done.returncode == 0 and f"CORS_ORIGINS={origins}" in done.stdout.splitlines()
