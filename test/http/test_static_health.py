"""Static pages, health, and the headers that every answer has."""
import re
import time

import pytest

SECURITY = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "x-permitted-cross-domain-policies": "none",
    "x-xss-protection": "0",
}


@pytest.mark.parametrize("method, target, status", [
    ("GET", "/", 200), ("GET", "/health", 200), ("GET", "/test/echo/a", 200),
    ("GET", "/nothing/here", 404), ("POST", "/", 405), ("GET", "/a%00", 400),
    ("GET", "/test/whoami", 401), ("GET", "/test/divide/0", 500), ("OPTIONS", "*", 204),
])
def test_every_answer_has_the_headers(gateway, method, target, status):
    answer = gateway.ask(method, target)
    assert answer.status == status
    assert {name: answer.header(name) for name in SECURITY} == SECURITY
    policy = answer.header("content-security-policy")
    assert "default-src 'self'" in policy and "unsafe-inline" not in policy
    assert answer.header("server") is None
    assert answer.header("strict-transport-security") is None
    assert re.fullmatch(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} [\d:]{8} GMT", answer.header("date"))
    assert answer.header("x-request-id")
    assert answer.header("cache-control") == ("no-cache" if target == "/" and status == 200 else "no-store")


def test_request_ids(gateway):
    assert gateway.get("/health", {"X-Request-ID": "a.B_c-1"}).header("x-request-id") == "a.B_c-1"
    for bad in ("a b", "a/b", "<script>", "x" * 129, "é"):
        made = gateway.get("/health", {"X-Request-ID": bad}).header("x-request-id")
        assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", made)


def test_pages(gateway):
    page = gateway.get("/")
    assert page.header("content-type") == "text/html; charset=utf-8"
    assert b"<style" not in page.body and b"<script" not in page.body and b"style=" not in page.body
    assert gateway.get("/index.html").body == page.body
    assert gateway.get("/style.css").header("content-type") == "text/css; charset=utf-8"
    assert gateway.ask("HEAD", "/").header("content-length") == str(len(page.body))


def test_pages_are_not_sent_again(gateway):
    etag = gateway.get("/").header("etag")
    assert re.fullmatch(r'"[0-9a-f]{32}"', etag)
    for matching in (etag, f"W/{etag}", f'"x", {etag}', "*"):
        answer = gateway.get("/", {"If-None-Match": matching})
        assert answer.status == 304 and answer.body == b"" and answer.header("etag") == etag
    assert gateway.get("/", {"If-None-Match": '"x"'}).status == 200


@pytest.mark.parametrize("target", ["/", "/style.css", "/health", "/ready"])
def test_pages_are_read_only(gateway, target):
    answer = gateway.ask("POST", target, body=b"{}")
    assert answer.status == 405 and answer.header("allow") == "GET, HEAD, OPTIONS"
    assert gateway.ask("OPTIONS", target).status == 204


def test_nothing_beside_the_pages(gateway):
    for target in ("//etc/passwd", "/./style.css", "/style.css/", "/%2fetc/passwd", "/.git/config"):
        assert gateway.get(target).status == 404


@pytest.mark.parametrize("target", ["/health", "/healthz", "/api/healthz", "/_stcore/health"])
def test_health(gateway, target):
    answer = gateway.get(target)
    assert answer.status == 200 and answer.header("content-type") == "application/json"
    health = answer.json()
    assert health["status"] == "ok" and health["ok"] is True and health["version"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:]{8}\.\d{6}Z", health["timestamp"])


def test_ready(gateway):
    answer = gateway.get("/ready")
    assert answer.status == 200
    ready = answer.json()
    assert ready["ready"] is True and "missing" not in ready
    assert ready["checks"] == dict.fromkeys(
        ["database", "extension", "routes", "keyring", "counters", "audit", "telemetry", "templates",
         "filesystem", "redis"], True)
    assert ready["versions"]["gateway"] == ready["versions"]["extension"]


def test_a_problem_document(gateway):
    answer = gateway.get("/nothing/here?secret=1", {"X-Request-ID": "p1"})
    problem = answer.json()
    assert answer.header("content-type") == "application/problem+json"
    assert problem["type"] == "about:blank" and problem["status"] == 404
    assert problem["title"] == "Not Found" and problem["request_id"] == "p1"
    assert problem["instance"] == "/nothing/here"


def test_unauthenticated(gateway):
    assert gateway.get("/test/whoami").header("www-authenticate") == 'Bearer realm="relay"'
    answer = gateway.get("/test/whoami", {"Authorization": "Bearer abc"})
    assert answer.status == 401
    assert answer.header("www-authenticate") == 'Bearer realm="relay", error="invalid_token"'


def test_the_access_log(gateway):
    secret = "eyJzZWNyZXQ"
    gateway.get(f"/test/echo/logged?token={secret}", {
        "Authorization": f"Bearer {secret}", "Cookie": f"a={secret}", "X-Request-ID": "logged-1"})
    gateway.get("/style.css", {"X-Request-ID": "logged-2"})
    lines = gateway.access_log("logged-1", "logged-2")
    line = next(line for line in lines if line["request_id"] == "logged-1")
    assert line["route"] == "/test/echo/{word}" and line["path"] == "/test/echo/logged"
    assert line["method"] == "GET" and line["client"] == "127.0.0.1"
    assert line["total_us"] >= line["database_us"] > 0
    page = next(line for line in lines if line["request_id"] == "logged-2")
    assert page["route"] == "/style.css" and page["status"] == 200 and page["database_us"] == 0
    assert secret not in (gateway.dir / "access").read_text() + gateway.errors()


def test_the_client_behind_proxies(start):
    gateway = start(TRUSTED_PROXIES="127.0.0.0/8, 10.0.0.0/8")
    for i, (header, client) in enumerate([
            ("203.0.113.5", "203.0.113.5"), ("6.6.6.6, 203.0.113.5, 10.0.0.1", "203.0.113.5"),
            ("6.6.6.6, nonsense", "127.0.0.1"), ("2001:db8::1", "2001:db8::1")]):
        gateway.get("/health", {"X-Forwarded-For": header, "X-Request-ID": f"proxy-{i}"})
        line = next(line for line in gateway.access_log(f"proxy-{i}") if line["request_id"] == f"proxy-{i}")
        assert line["client"] == client


def test_a_proxy_that_wrote_no_address_ends_the_walk(start):
    gateway = start(TRUSTED_PROXIES="127.0.0.0/8")
    for i, last in enumerate(["203.0.113.9:4711", "unknown", ""]):
        connection = gateway.connect()
        connection.send(f"GET /health HTTP/1.1\r\nHost: a\r\nX-Request-ID: lines-{i}\r\n"
                        f"X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: {last}\r\n\r\n".encode())
        assert connection.read().status == 200
        line = next(line for line in gateway.access_log(f"lines-{i}") if line["request_id"] == f"lines-{i}")
        assert line["client"] == "127.0.0.1"


def test_nobody_is_believed_by_default(gateway):
    gateway.get("/health", {"X-Forwarded-For": "6.6.6.6", "X-Request-ID": "unbelieved"})
    line = next(line for line in gateway.access_log("unbelieved") if line["request_id"] == "unbelieved")
    assert line["client"] == "127.0.0.1"


def test_readiness_is_told_to_whoever_sends_a_body_late(gateway):
    connection = gateway.connect()
    for part in (b"GET /ready HT", b"TP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n" + b"X-Filler: a\r\n" * 40 + b"\r\n", b"x"):
        connection.send(part)
        time.sleep(0.05)
    assert connection.read().json()["ready"] is True
    connection.close()
