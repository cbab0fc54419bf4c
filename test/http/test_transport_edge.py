"""https in production, security headers that are settings, and traces."""
import re
import struct
import subprocess

import pytest

from conftest import clean_environment, gateway_binary, running, wait_until

ONE = dict(WORKERS=1, DB_WRITE_CONNECTIONS=1)    # few connections, for many gateways have one server

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
HTTPS = {"X-Forwarded-Proto": "https"}


@pytest.fixture(scope="module")
def production(postgres):
    with running(postgres.url("relay_gateway"), ENVIRONMENT="production", **ONE) as gateway:
        wait_until(gateway.is_ready, what="readiness")
        yield gateway


@pytest.fixture(scope="module")
def proxied(postgres):
    with running(postgres.url("relay_gateway"), ENVIRONMENT="production", **ONE, TRUSTED_PROXIES="127.0.0.1",
                 CORS_ORIGINS="https://app.example") as gateway:
        wait_until(gateway.is_ready, what="readiness")
        yield gateway


def ask(gateway, request, *headers):
    connection = gateway.connect()
    connection.send("\r\n".join([request, *headers, "", ""]).encode())
    return connection.read()


@pytest.mark.parametrize("target", ["/", "/health", "/healthz", "/api/healthz", "/test/echo/a?b=%20c&d", "/nothing/here",
                                    "//evil.test/", "/%2f%2fevil.test"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "HEAD", "OPTIONS"])
def test_plain_http_is_sent_to_https(production, method, target):
    answer = ask(production, f"{method} {target} HTTP/1.1", "Host: Relay.example:8080")
    assert answer.status == 307
    assert answer.header("location") == f"https://relay.example{target}"
    assert answer.header("strict-transport-security") is None
    assert answer.header("x-content-type-options") == "nosniff" and answer.header("x-request-id")
    assert answer.header("cache-control") == "no-store"


def test_a_body_is_not_waited_for(production):
    connection = production.connect()
    connection.request("POST", "/test/notes", body=b'{"text": "by plain http"}')
    assert connection.read().status == 307 and connection.is_closed()


@pytest.mark.parametrize("target", ["/ready", "/_stcore/health"])
def test_probes_are_answered(production, target):
    answer = production.get(target)
    assert answer.status == 200 and answer.header("strict-transport-security") is None


@pytest.mark.parametrize("host", ["evil.test/", "relay.example@evil.test", "evil.test#", "evil.test?", "a b", "a\\evil.test",
                                  "//evil.test", "", "a:1:2", "a%0d%0aSet-Cookie:b"])
def test_no_host_makes_it_an_open_redirect(production, host):
    answer = ask(production, "GET / HTTP/1.1", f"Host: {host}")
    assert answer.status == 400 and answer.header("location") is None


def test_only_to_hosts_that_are_served(start):
    gateway = start(**ONE, ENVIRONMENT="production", ALLOWED_HOSTS="localhost,relay.example", HTTPS_PORT=8443)
    assert ask(gateway, "GET /a HTTP/1.1", "Host: relay.example").header("location") == "https://relay.example:8443/a"
    refused = ask(gateway, "GET /a HTTP/1.1", "Host: evil.test")
    assert refused.status == 421 and refused.header("location") is None


def test_without_a_host_there_is_nowhere_to_go(production):
    answer = ask(production, "GET / HTTP/1.0")
    assert (answer.status, answer.json()["code"]) == (400, "https_required")


def test_a_client_cannot_say_that_it_came_by_https(production):
    for headers in HTTPS, {"Forwarded": "proto=https"}, {"X-Forwarded-Ssl": "on"}, {"X-Forwarded-Scheme": "https"}:
        assert production.get("/test/echo/a", headers).status == 307


@pytest.mark.parametrize("proto, status", [
    ("https", 200), ("HTTPS", 200), ("https, https", 200), ("http", 307), ("https, http", 307), ("http, https", 307),
    ("", 307), ("https,", 307), ("wss", 307)])
def test_a_trusted_proxy_says_whether_it_was_https(proxied, proto, status):
    answer = proxied.get("/test/echo/a", {"X-Forwarded-Proto": proto})
    assert answer.status == status
    transport = answer.header("strict-transport-security")
    assert transport == ("max-age=31536000; includeSubDomains; preload" if status == 200 else None)


def test_two_lines_of_a_proxy_say_nothing(proxied):
    answer = ask(proxied, "GET /test/echo/a HTTP/1.1", "Host: a", "X-Forwarded-Proto: https", "X-Forwarded-Proto: https")
    assert answer.status == 307


def test_a_preflight_is_answered_before_the_redirect(proxied):
    answer = proxied.ask("OPTIONS", "/test/notes", {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"})
    assert answer.status == 204
    redirect = proxied.get("/test/echo/a", {"Origin": "https://app.example"})
    assert redirect.status == 307 and redirect.header("access-control-allow-origin") == "https://app.example"


def test_elsewhere_nothing_is_redirected(start):
    gateway = start(**ONE, ENVIRONMENT="staging", TRUSTED_PROXIES="127.0.0.1")
    for headers in {}, HTTPS:
        answer = gateway.get("/test/echo/a", headers)
        assert answer.status == 200 and answer.header("strict-transport-security") is None


def test_security_headers_are_settings(start):
    gateway = start(**ONE, CSP_CONNECT_SRC="https://api.example wss://api.example", X_FRAME_OPTIONS="SAMEORIGIN",
                    REFERRER_POLICY="same-origin", CROSS_ORIGIN_OPENER_POLICY="off", PERMISSIONS_POLICY="camera=()",
                    CROSS_ORIGIN_RESOURCE_POLICY="cross-origin", ENVIRONMENT="production", TRUSTED_PROXIES="127.0.0.1",
                    STRICT_TRANSPORT_SECURITY="max-age=60")
    for target in "/", "/nothing", "/test/whoami", "/a%00":
        answer = gateway.get(target, HTTPS)
        assert "connect-src 'self' https://api.example wss://api.example;" in answer.header("content-security-policy")
        assert answer.header("x-frame-options") == "SAMEORIGIN" and answer.header("referrer-policy") == "same-origin"
        assert answer.header("cross-origin-opener-policy") is None and answer.header("permissions-policy") == "camera=()"
        assert answer.header("cross-origin-resource-policy") == "cross-origin"
    assert gateway.get("/", HTTPS).header("strict-transport-security") == "max-age=60"
    whole = start(**ONE, CONTENT_SECURITY_POLICY="default-src 'none'").get("/")
    assert whole.header("content-security-policy") == "default-src 'none'"


def test_every_mistake_of_the_edge_is_named():
    mistakes = dict(CORS_ORIGINS="*", CORS_HEADERS="X-A: b", ALLOWED_HOSTS="a.example:443", PROXY_PROTOCOL="on",
                    CSP_CONNECT_SRC="a; script-src *", REFERRER_POLICY="ä", X_FRAME_OPTIONS="a\nb", HTTPS_PORT="0",
                    MAX_CONNECTIONS_PER_IP="-1", CONTENT_SECURITY_POLICY="x" * 2049)
    done = subprocess.run([gateway_binary(), "--check"], capture_output=True, text=True,
                          env=clean_environment(ENVIRONMENT="production", **mistakes))
    assert done.returncode == 1
    assert {line.split()[0] for line in done.stderr.splitlines()} == set(mistakes)


def test_traces(gateway):
    """Continued where the parent is right to the letter, begun anew where it is not."""
    cases = {
        "good": ([f"traceparent: 00-{TRACE}-{SPAN}-01"], True),
        "later": ([f"traceparent: cc-{TRACE}-{SPAN}-01-what-may-come"], True),
        "any-case-of-the-name": ([f"TraceParent: 00-{TRACE}-{SPAN}-00"], True),
        "none": ([], False),
        "upper": ([f"traceparent: 00-{TRACE.upper()}-{SPAN}-01"], False),
        "zeros": ([f"traceparent: 00-{'0' * 32}-{SPAN}-01"], False),
        "long": ([f"traceparent: 00-{TRACE}-{SPAN}-01-more"], False),
        "two": ([f"traceparent: 00-{TRACE}-{SPAN}-01"] * 2, False),
        "joined": ([f"traceparent: 00-{TRACE}-{SPAN}-01, 00-{TRACE}-{SPAN}-01"], False),
    }
    for name, (headers, _) in cases.items():
        answer = ask(gateway, "GET /test/echo/a HTTP/1.1", "Host: a", f"X-Request-ID: trace-{name}", *headers)
        assert answer.status == 200
    lines = {line["request_id"]: line for line in gateway.access_log(*(f"trace-{name}" for name in cases))}
    for name, (_, continued) in cases.items():
        line = lines[f"trace-{name}"]
        assert (line["trace_id"] == TRACE) == continued, name
        assert re.fullmatch("[0-9a-f]{32}", line["trace_id"]) and re.fullmatch("[0-9a-f]{16}", line["span_id"])
        assert line["span_id"] != SPAN and int(line["trace_id"], 16) != 0
    assert len({line["span_id"] for line in lines.values()}) == len(lines)


ECHO = """
    CREATE SCHEMA relay_guard;
    GRANT USAGE ON SCHEMA relay_guard TO relay_gateway;
    CREATE FUNCTION relay_guard.serve(bytea) RETURNS bytea LANGUAGE sql AS $$
        SELECT int4send(200) || int4send(length($1)) || $1 || repeat(E'\\\\000', 24)::bytea
    $$;
    CREATE FUNCTION relay_guard.ready() RETURNS jsonb LANGUAGE sql AS 'SELECT jsonb_build_object()';
    CREATE FUNCTION relay_guard.lint() RETURNS TABLE (level text, code text, object text, detail text, fix text)
        LANGUAGE sql AS $$ SELECT '', '', '', '', '' WHERE false $$;
"""


@pytest.fixture(scope="module")
def echo(postgres):
    """A gateway whose database answers with the request's frame."""
    postgres.sql("CREATE DATABASE echo", database="postgres")
    postgres.sql(ECHO, database="echo")
    with running(postgres.url("relay_gateway", "echo"), **ONE, TRUSTED_PROXIES="127.0.0.1",
                 CORS_ORIGINS="https://app.example") as gateway:
        wait_until(lambda: gateway.get("/echo").status == 200, what="the database")
        yield gateway
    postgres.sql("DROP DATABASE echo WITH (FORCE)", database="postgres")


EDGE = {"traceparent", "tracestate", "origin", "referer", "x-relay-origin", "x-relay-cors"}


def frame_headers(gateway, method, *headers, host="Relay.example:8080"):
    """What the database is told of these, by name."""
    answer = ask(gateway, f"{method} /echo HTTP/1.1", *([f"Host: {host}"] if host else []), *headers)
    assert answer.status == 200
    fields = answer.body.split(b"\0", 3)[3][16:].split(b"\0", 1)[1]
    count, rest = struct.unpack(">I", fields[:4])[0], fields[4:].split(b"\0")
    names = [name.decode() for name in rest[0:2 * count:2]]
    assert len(set(names)) == len(names)
    values = [value.decode() for value in rest[1:2 * count:2]]
    assert not any("evil.test" in value for name, value in zip(names, values) if name.startswith("x-relay-"))
    return {name: value for name, value in zip(names, values) if name in EDGE}


def test_the_database_is_told_of_a_trace_that_is_continued(echo):
    told = frame_headers(echo, "GET", f"traceparent: 00-{TRACE}-{SPAN}-01", "tracestate: a=1, b=2", "tracestate: c=3")
    version, trace, span, flags = told["traceparent"].split("-")
    assert (version, trace, flags) == ("00", TRACE, "01") and re.fullmatch("[0-9a-f]{16}", span) and span != SPAN
    assert told["tracestate"] == "a=1,b=2,c=3"
    assert frame_headers(echo, "GET", f"traceparent: 00-{TRACE}-{SPAN}-01").keys() == {"traceparent"}
    assert frame_headers(echo, "GET", f"traceparent: 00-{TRACE}-{SPAN}-01", "tracestate: a=1,A=2").keys() == {"traceparent"}
    assert frame_headers(echo, "GET", f"traceparent: 00-{TRACE}-{SPAN}-1", "tracestate: a=1") == {}
    assert frame_headers(echo, "GET", "tracestate: a=1") == {}


@pytest.mark.parametrize("headers, host, origin", [
    ([], "Relay.example:8080", "http://relay.example:8080"),
    ([], "relay.example:80", "http://relay.example"),
    (["X-Forwarded-Proto: https"], "relay.example:443", "https://relay.example"),
    (["X-Forwarded-Proto: https"], "[::1]:8443", "https://[::1]:8443"),
    (["X-Forwarded-Host: evil.test", "X-Relay-Origin: https://evil.test"], "relay.example", "http://relay.example"),
])
def test_the_database_is_told_its_origin(echo, headers, host, origin):
    for method in "POST", "PUT", "PATCH", "DELETE":
        assert frame_headers(echo, method, *headers, host=host) == {"x-relay-origin": origin}
    for method in "GET", "OPTIONS":
        assert frame_headers(echo, method, *headers, host=host) == {}


def test_the_database_is_told_whether_the_page_is_known(echo):
    own = {"x-relay-origin": "http://relay.example:8080"}
    known = "https://app.example"
    assert frame_headers(echo, "POST", f"Origin: {known}") == {**own, "origin": known, "x-relay-cors": "1"}
    assert frame_headers(echo, "POST", "Origin: null") == {**own, "origin": "null"}
    assert frame_headers(echo, "POST", "X-Relay-Cors: 1", "Origin: https://evil.test") == {**own, "origin": "https://evil.test"}
    assert frame_headers(echo, "POST", "Referer: https://app.example/a")["referer"] == "https://app.example/a"


def test_any_origin_is_no_page_that_is_known(postgres, echo):
    with running(postgres.url("relay_gateway", "echo"), **ONE, CORS_ORIGINS="*") as gateway:
        wait_until(lambda: gateway.get("/echo").status == 200, what="the database")
        assert "x-relay-cors" not in frame_headers(gateway, "POST", "Origin: https://app.example")
