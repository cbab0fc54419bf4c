"""An application behind the gateway: what it is told, and what becomes of its answers."""
import base64
import contextlib
import json
import os
import pathlib
import re
import ssl
import subprocess
import time

import pytest

from conftest import Gateway, close_listener, running, wait_until
from upstream_app import NAMED, RAW, SURPLUS, Upstream, add_upstream


@pytest.fixture(scope="module")
def app():
    upstream = Upstream()
    yield upstream
    close_listener(upstream.listener)


@pytest.fixture(scope="module")
def secret(postgres, app):
    url = f"http://127.0.0.1:{app.port}"
    yield add_upstream(postgres, "app", url, "/app", more="answer_timeout => '3 s'; idle_timeout => '3 s'; connect_timeout => '3 s'")
    postgres.sql("""DELETE FROM relay_guard.route WHERE result = 'proxy' OR path = '/open/closed';
                    DELETE FROM relay_guard.upstream;
                    DELETE FROM relay_guard.rate_policy WHERE name = 'app_test'""")


@pytest.fixture(scope="module")
def proxied(postgres, secret):
    with running(postgres.url("relay_gateway"), TRUSTED_PROXIES="127.0.0.1", WORKERS=1, http_proxy="http://127.0.0.1:9",
                 ALL_PROXY="http://127.0.0.1:9", DRAIN_TIMEOUT="3s") as gateway:
        wait_until(gateway.is_ready, what="readiness")
        yield gateway


def token(postgres, user, more=""):
    return {"Authorization": "Bearer " + postgres.sql(f"SELECT relay_guard.issue_token('{user}'{more})")[0][0]}


def test_the_application_answers(proxied, app, secret):
    answer = proxied.get("/app/ok/a%2Fb?x=%26&y=a+b")
    assert (answer.status, answer.body) == (200, b"hello") and answer.header("Content-Type") == "text/plain"
    assert answer.header("X-Frame-Options") == "DENY" and answer.header("X-Request-ID")
    seen = app.requests[-1]
    assert (seen.method, seen.target) == ("GET", "/ok/a%2Fb?x=%26&y=a+b")
    assert seen.header("Host") == f"127.0.0.1:{app.port}" and seen.header("X-Forwarded-Prefix") == "/app"
    assert seen.header("X-Forwarded-For") == "127.0.0.1" and seen.header("X-Forwarded-Host") == "localhost"
    assert seen.header("X-Request-ID") == answer.header("X-Request-ID")


def test_the_trace_goes_on(proxied, app):
    trace, span = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    proxied.get("/app/ok/", {"traceparent": f"00-{trace}-{span}-01", "tracestate": "a=1"})
    seen = app.requests[-1]
    assert re.fullmatch(f"00-{trace}-[0-9a-f]{{16}}-01", seen.header("traceparent")) and span not in seen.header("traceparent")
    assert seen.header("tracestate") == "a=1"
    proxied.get("/app/ok/", {"tracestate": "a=1"})
    assert app.requests[-1].header("tracestate") is None and trace not in app.requests[-1].header("traceparent")


def test_a_service_that_gave_a_key_is_shown_it_and_nothing_of_who_asks(proxied, postgres, app, secret):
    postgres.sql(f"INSERT INTO relay_guard.upstream (name, url, auth) VALUES ('keyed', 'http://127.0.0.1:{app.port}', 'bearer')")
    postgres.sql("SELECT relay_guard.upstream_secret_set('keyed', 'sk-of-the-service')")
    postgres.sql("INSERT INTO relay_guard.route (method, path, query, auth, result, upstream, run_as) "
                 "VALUES ('GET', '/ok/keyed', 'SELECT 1 AS n', 'user', 'proxy', 'keyed', 'relay_app')", user="relay_owner")
    try:
        alice = token(postgres, "alice", ", role => 'user'")
        answer = proxied.get("/ok/keyed", alice)
    finally:
        postgres.sql("DELETE FROM relay_guard.route WHERE upstream = 'keyed'; DELETE FROM relay_guard.upstream WHERE name = 'keyed'")
    seen = app.requests[-1]
    assert answer.status == 200 and seen.header("Authorization") == "Bearer sk-of-the-service"
    assert not {name for name in seen.names() if name.startswith("x-relay")}
    shown = b"".join(name.encode() + value.encode() for name, value in answer.headers) + answer.body
    assert b"sk-of" not in shown and alice["Authorization"] not in str(seen.headers)


def test_the_identity_is_signed(proxied, postgres, app, secret):
    postgres.sql("UPDATE relay_guard.route SET auth = 'optional' WHERE upstream = 'app'")
    try:
        proxied.ask("POST", "/app/ok/x?y=1", token(postgres, "jürgen 7%", ", role => 'user', workspace => 'ws-1', scopes => '{a:read,b%c}'"), b"body")
    finally:
        postgres.sql("UPDATE relay_guard.route SET auth = 'none' WHERE upstream = 'app'")
    seen = app.requests[-1]
    identity = seen.identity(secret)
    assert identity["user"] == "jürgen 7%" and identity["workspace"] == "ws-1" and identity["role"] == "user"
    assert identity["scopes"] == "a:read b%c" and identity["via"] == "token" and identity["upstream"] == "app"
    assert identity["client"] == "127.0.0.1" and identity["request-id"] == seen.header("X-Request-ID")
    context = identity["context"]
    assert json.loads(base64.urlsafe_b64decode(context + "=" * (-len(context) % 4))) == {"plan": 7, "rest": "ok/x"}

    def refused(**changed):
        with pytest.raises(ValueError):
            seen.identity(secret, **changed)
    refused(method="PUT")
    refused(target="/ok/x?y=2")
    refused(body=b"bodY")
    for name in [name for name in seen.names() if name.startswith("x-relay-")]:
        refused(headers=[(key, value) for key, value in seen.headers if key.lower() != name])
        refused(headers=[(key, value + "0" if key.lower() == name else value) for key, value in seen.headers])
        refused(headers=[*seen.headers, (name, "x")])
    refused(headers=[*seen.headers, ("X-Relay-Admin", "1")])
    with pytest.raises(ValueError):
        seen.identity("another secret")
    with pytest.raises(ValueError):
        seen.identity(secret, tolerance=-1)


def test_without_credentials_there_is_no_identity(proxied, app, secret):
    answer = proxied.get("/app/ok/")
    assert answer.status == 200, (answer.body, proxied.errors())
    assert not {"user", "role", "via", "scopes", "workspace"} & set(app.requests[-1].identity(secret))


FORGED = {
    "X-Relay-User": "root", "x-relay-fallback": "1", "X-Relay-Signature": "v1=00", "X_Relay_User": "root", "X-Relay_User": "root",
    "X-Forwarded-For": "198.51.100.9", "X-Forwarded-Proto": "https", "X-Forwarded-User": "root", "Forwarded": "for=1.2.3.4",
    "X-Real-IP": "1.2.3.4", "X-Request-ID": "chosen", "Cookie": "relay_sid=1; a=b", "X-API-Key": "k", "Proxy-Authorization": "Basic eA==",
    "TE": "trailers", "Trailer": "X-A", "Upgrade": "h2c", "HTTP2-Settings": "AAA", "Keep-Alive": "timeout=1", "Proxy-Connection": "close",
    "Connection": "X-Hop, X-Relay-User, keep-alive", "X-Hop": "1", "X.Relay.User": "root", "X'Relay": "1", "X-CSRF-Token": "t",
    "X-Kept": "1", "X-Empty": "", "Accept-Language": "de", "If-None-Match": '"a"', "User-Agent": "me", "Range": "bytes=0-1"}


def test_a_client_forges_nothing(proxied, app, secret):
    proxied.ask("GET", "/app/ok/", FORGED)
    seen = app.requests[-1]
    seen.identity(secret)
    relay = {"x-relay-" + name for name in ("body-sha256", "client", "context", "request-id", "timestamp", "upstream", "signature")}
    assert seen.names() == relay | {"host", "x-request-id", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-prefix", "traceparent",
                                    "x-kept", "x-empty", "accept-language", "if-none-match", "user-agent", "range"}
    # what a trusted peer says of the client, and nothing else
    assert seen.header("X-Forwarded-Proto") == "https" and seen.header("X-Forwarded-For") == "198.51.100.9"
    assert seen.header("X-Request-ID") == "chosen" and seen.header("X-Empty") == ""


@pytest.mark.parametrize("name", ["X-Relay-User:", "X-Relay-User :", " X-Relay-User", "X-Relay-User\x00", "X-Relay-User\t", "X-Kept: 1\rX-Relay-User"])
def test_odd_header_bytes_end_at_the_gateway(proxied, app, name):
    before = len(app.requests)
    connection = proxied.connect()
    connection.send(f"GET /app/ok/ HTTP/1.1\r\nHost: localhost\r\n{name}: root\r\n\r\n".encode())
    answer = connection.read()
    if answer.status == 200:
        assert app.requests[-1].header("X-Relay-User") is None
    else:
        assert answer.status == 400 and len(app.requests) == before


@pytest.mark.parametrize("target", ["/app/../x", "/app/%2e%2e/x", "/app/..;/x", "/app/..%3b/x", "/app/a%2f..%2fb", "/app//x", "/app/%2Fx", "/app/./x",
                                    "/app/a%5cb", "/app/%0d%0aX-Relay-User:%20root", "/app/x%00", "/app/x%zz"])
def test_no_path_leaves_the_base(proxied, app, target):
    before = len(app.requests)
    answer = proxied.get(target)
    assert answer.status == 400 and answer.json()["code"] in ("malformed_target", "invalid_encoding")
    assert len(app.requests) == before


def test_a_body_of_get_is_refused(proxied, app):
    before = len(app.requests)
    assert proxied.ask("GET", "/app/ok/", body=b"GET / HTTP/1.1\r\n\r\n").status == 400
    assert len(app.requests) == before


@contextlib.contextmanager
def changed(postgres, change, back, table="route", where="upstream = 'app'"):
    postgres.sql(f"UPDATE relay_guard.{table} SET {change} WHERE {where}")
    try:
        yield
    finally:
        postgres.sql(f"UPDATE relay_guard.{table} SET {back} WHERE {where}")


def upstream_with(postgres, change, back):
    return changed(postgres, change, back, "upstream", "name = 'app'")


def test_without_a_row_nothing_is_asked(proxied, postgres, app):
    before = len(app.requests)
    with changed(postgres, "query = 'SELECT 1 AS one WHERE request.rest <> ''ok/none'''", f"query = $q${NAMED}$q$"):
        assert proxied.get("/app/ok/some").status == 200
        assert proxied.get("/app/ok/none").status == 404
    assert len(app.requests) == before + 1


def test_checks_come_before_the_application(proxied, postgres, app):
    postgres.sql("""INSERT INTO relay_guard.rate_policy (name, identify_by, quota, "window") VALUES ('app_test', 'ip', 2, '60 s')""")
    before = len(app.requests)
    with changed(postgres, "auth = 'user', rate = '{app_test}'", "auth = 'none', rate = '{}'"):
        headers = {**token(postgres, "limited"), "X-Forwarded-For": "198.51.100.10"}
        assert proxied.get("/app/ok/", {"X-Forwarded-For": "198.51.100.11"}).status == 401
        answers = [proxied.get("/app/ok/", headers) for _ in range(3)]
        assert [answer.status for answer in answers] == [200, 200, 429]
        assert answers[0].header("X-RateLimit-Remaining") == "1" and answers[0].header("Cache-Control") == "no-store"
        big = proxied.ask("POST", "/app/ok/", {**token(postgres, "other"), "X-Forwarded-For": "198.51.100.12"}, b"x" * 1048577)
        assert big.status == 413
    assert len(app.requests) == before + 2


def test_tenants_stay_apart_on_one_connection(proxied, postgres, app, secret):
    with changed(postgres, "auth = 'user'", "auth = 'none'"):
        connection = proxied.connect()
        for turn in range(6):
            who = f"tenant-{turn % 3}"
            connection.request("GET", f"/app/ok/{turn}", token(postgres, who, f", workspace => 'ws-{turn % 3}'"))
            assert connection.read().status == 200
            identity = app.requests[-1].identity(secret)
            assert (identity["user"], identity["workspace"]) == (who, f"ws-{turn % 3}")


def test_a_secret_is_rotated_without_a_gap(proxied, postgres, app, secret):
    newer, = postgres.sql("SELECT relay_guard.upstream_secret_set('app')", user="relay_owner")[0]
    proxied.get("/app/ok/")
    seen = app.requests[-1]
    assert seen.identity(secret) and seen.identity(newer) and len(seen.header("X-Relay-Signature").split()) == 2
    postgres.sql(f"SELECT relay_guard.upstream_secret_set('app', '{secret}', keep_old => '0')", user="relay_owner")
    proxied.get("/app/ok/")
    with pytest.raises(ValueError):
        app.requests[-1].identity(newer)
    assert app.requests[-1].identity(secret)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_bodies_go_on_as_they_came(proxied, app, secret, method):
    body = os.urandom(300000)
    answer = proxied.ask(method, "/app/echo/", {"Content-Type": "application/x-odd"}, body)
    assert answer.status == 200 and answer.body == body
    seen = app.requests[-1]
    assert seen.identity(secret) and seen.header("Content-Type") == "application/x-odd"
    assert proxied.ask(method, "/app/echo/").body == b"" and app.requests[-1].header("Content-Type") is None


def test_a_chunked_body_goes_on_with_its_length(proxied, app):
    connection = proxied.connect()
    connection.send(b"POST /app/echo/ HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n")
    assert connection.read().status == 100
    connection.send(b"3\r\nabc\r\n2\r\nde\r\n0\r\nX-Relay-User: root\r\n\r\n")
    assert connection.read().body == b"abcde"
    seen = app.requests[-1]
    assert seen.header("Content-Length") == "5" and seen.names().isdisjoint({"transfer-encoding", "expect", "x-relay-user"})


@pytest.mark.parametrize("status", [201, 204, 301, 304, 404, 418, 500, 503])
def test_any_status_passes_and_nothing_is_followed(proxied, app, status):
    connection = proxied.connect()
    connection.request("GET", f"/app/status/{status}")
    answer = connection.read()
    assert answer.status == status and answer.header("Location") == "http://elsewhere.example/" and answer.header("ETag") == '"a"'
    connection.request("GET", "/app/ok/")
    assert connection.read().body == b"hello"


def test_head_has_a_length_and_no_body(proxied, app, secret):
    connection = proxied.connect()
    connection.request("HEAD", "/app/ok/")
    answer = connection.read("HEAD")
    assert answer.status == 200 and answer.header("Content-Length") == "5"
    assert app.requests[-1].method == "HEAD" and app.requests[-1].identity(secret)
    connection.request("GET", "/app/ok/")
    assert connection.read().body == b"hello"


def test_headers_of_the_answer_are_the_gateways(proxied, app):
    answer = proxied.get("/app/headers/")
    names = [name for name, value in answer.headers]
    assert [value for name, value in answer.headers if name == "x-kept"] == ["yes", "twice"]
    assert answer.header("X-Frame-Options") == "DENY" and answer.header("Content-Security-Policy") != "default-src *"
    assert answer.header("X-Request-ID") != "upstream" and answer.header("Cache-Control") == "max-age=60"
    assert not {"server", "x-hop", "keep-alive", "access-control-allow-origin", "ratelimit", "x-relay-user", "set-cookie", "trailer",
                "strict-transport-security", "x-accel-redirect", "proxy-authenticate"} & set(names)


def test_nothing_of_a_signed_in_user_is_cached(proxied, postgres, app):
    with changed(postgres, "auth = 'user'", "auth = 'none'"):
        assert proxied.get("/app/headers/", token(postgres, "u")).header("Cache-Control") == "no-store"


def test_cookies_pass_where_the_upstream_says_so(proxied, postgres, app):
    with upstream_with(postgres, "cookies = true", "cookies = false"):
        answer = proxied.get("/app/headers/", {"Cookie": "theme=dark; __Host-relay_sid=secret;relay_sid=2; =relay_sid=3; lang=de"})
    assert answer.header("Set-Cookie") == "theme=dark; Path=/"
    assert app.requests[-1].header("Cookie") == "theme=dark; lang=de"


def test_interim_answers_and_trailers_stay_behind(proxied, app):
    answer = proxied.get("/app/interim/")
    assert (answer.status, answer.body) == (200, b"hello") and not {"x-interim", "link"} & {name for name, _ in answer.headers}
    connection = proxied.connect()
    connection.request("GET", "/app/trailers/")
    head, body = until(connection, b"0\r\n\r\n").split(b"\r\n\r\n", 1)
    assert body == b"2\r\nab\r\n0\r\n\r\n" and b"X-After" not in head + body


def until(connection, end):
    while not connection.buffer.endswith(end):
        assert connection.more(), connection.buffer
    taken, connection.buffer = connection.buffer, b""
    return taken


def test_an_answer_passes_bit_by_bit(proxied, app):
    connection = proxied.connect()
    connection.request("GET", "/app/steps/")
    assert until(connection, b"\r\n\r\n").startswith(b"HTTP/1.1 200 ")
    for chunk in (b"3\r\none\r\n", b"3\r\ntwo\r\n", b"0\r\n\r\n"):
        app.go_on.release()
        assert until(connection, chunk) == chunk
    connection.request("GET", "/app/ok/")
    assert connection.read().body == b"hello"


def test_http_1_0_gets_it_until_the_end(proxied, app):
    for _ in range(3):
        app.go_on.release()
    connection = proxied.connect()
    connection.request("GET", "/app/steps/", version="1.0")
    while connection.more():
        pass
    assert connection.buffer.endswith(b"\r\n\r\nonetwo") and b"chunked" not in connection.buffer


def test_events_pass_and_a_client_that_leaves_ends_them(proxied, app):
    connection = proxied.connect()
    connection.request("GET", "/app/events/")
    while b"id: 2\n" not in connection.buffer:
        assert connection.more()
    assert not app.left.is_set()
    connection.close()
    assert app.left.wait(30)


def test_events_are_marked_for_proxies(proxied, app):
    connection = proxied.connect()
    connection.request("GET", "/app/events/")
    while b"\r\n\r\n" not in connection.buffer:
        assert connection.more()
    assert b"X-Accel-Buffering: no" in connection.buffer
    connection.reset()
    assert app.left.wait(30)


@pytest.mark.parametrize("leave", ["close", "reset"])
def test_a_client_that_does_not_wait_ends_the_request(proxied, app, leave):
    took = []
    while not took or took[-1] > 2.5 and len(took) < 5:    # after 3 s it would be given up
        app.left.set()
        connection = proxied.connect()
        began = time.monotonic()
        connection.request("GET", "/app/hang/")
        wait_until(lambda: not app.left.is_set(), what="the request")
        getattr(connection, leave)()
        assert app.left.wait(30)
        took.append(time.monotonic() - began)
    assert min(took) <= 2.5, took


def memory(gateway):
    worker, = gateway.workers()
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{worker}/status").read_text())[1])


def test_a_slow_reader_holds_the_application_back(proxied, app):
    size = 64 << 20
    before = memory(proxied)
    connection = proxied.connect()
    connection.request("GET", f"/app/big/{size}")
    connection.more()
    wait_until(lambda: app.sent > 0)
    time.sleep(0.7)
    assert app.sent < 24 << 20 and memory(proxied) - before < 8192
    got = len(connection.buffer.split(b"\r\n\r\n", 1)[1])
    while got < size:
        got += len(connection.socket.recv(1 << 20))
    assert got == size


def problem(answer, status, code):
    assert (answer.status, answer.json()["code"]) == (status, code), answer.body
    assert "127.0.0.1" not in answer.body.decode() and "upstream" not in answer.json()["detail"]
    return True


@pytest.mark.parametrize("which", RAW)
def test_what_is_no_answer_is_502(proxied, app, which):
    assert problem(proxied.get(f"/app/raw/{which}"), 502, "upstream_failed")
    assert proxied.get("/app/ok/").status == 200


@pytest.mark.parametrize("how", ["nothing", "half"])
def test_an_application_that_closes_before_its_answer_is_502(proxied, app, how):
    assert problem(proxied.get(f"/app/cut/{how}"), 502, "upstream_failed")


@pytest.mark.parametrize("how", ["length", "chunks"])
def test_an_answer_that_is_cut_off_is_seen_to_be(proxied, app, how):
    connection = proxied.connect()
    connection.request("GET", f"/app/cut/{how}")
    with contextlib.suppress(ConnectionResetError):
        while connection.more():
            pass
    body = connection.buffer.split(b"\r\n\r\n", 1)[1]
    assert b"hello" in body and b"0\r\n\r\n" not in body


def test_an_application_that_does_not_answer_is_504(proxied, app):
    started = time.monotonic()
    assert problem(proxied.get("/app/hang/"), 504, "upstream_timeout")
    assert time.monotonic() - started < 15 and app.left.wait(30)


def test_an_answer_that_stops_is_cut_off(proxied, app):
    connection = proxied.connect()
    started = time.monotonic()
    connection.request("GET", "/app/stall/")
    while connection.more():
        pass
    assert connection.buffer.endswith(b"hello") and time.monotonic() - started < 15


def test_answers_are_bounded_where_the_upstream_says_so(proxied, postgres, app):
    with upstream_with(postgres, "max_response = 1000", "max_response = NULL"):
        assert problem(proxied.get("/app/big/1001"), 502, "upstream_failed")
        assert len(proxied.get("/app/big/1000").body) == 1000


@pytest.mark.parametrize("url, code", [("http://127.0.0.1:1", "upstream_unreachable"), ("http://nowhere.invalid", "upstream_unreachable")])
def test_an_application_that_is_not_there_is_502(proxied, postgres, app, url, code):
    with upstream_with(postgres, f"url = '{url}'", f"url = 'http://127.0.0.1:{app.port}'"):
        assert problem(proxied.get("/app/ok/"), 502, code)


@pytest.fixture(scope="module")
def tls_app(tmp_path_factory):
    """Another, with a certificate of its own, for 127.0.0.1."""
    key, certificate = (tmp_path_factory.mktemp("tls") / name for name in ("key", "certificate"))
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                    "-subj", "/CN=app", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
                   check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    upstream = Upstream(lambda client: context.wrap_socket(client, server_side=True))
    upstream.certificate = certificate
    yield upstream
    close_listener(upstream.listener)


def test_an_application_has_to_show_that_it_is_the_one(proxied, start, postgres, app, tls_app):
    trusting = start(WORKERS=1, PROXY_CA_FILE=tls_app.certificate)
    with upstream_with(postgres, f"url = 'https://127.0.0.1:{tls_app.port}/base'", f"url = 'http://127.0.0.1:{app.port}'"):
        assert problem(proxied.get("/app/ok/"), 502, "upstream_untrusted") and not tls_app.requests
        assert trusting.get("/app/ok/").body == b"hello" and tls_app.requests[-1].target == "/base/ok/"
    with upstream_with(postgres, f"url = 'https://localhost:{tls_app.port}'", f"url = 'http://127.0.0.1:{app.port}'"):
        assert problem(trusting.get("/app/ok/"), 502, "upstream_untrusted") and len(tls_app.requests) == 1


def test_connections_are_used_again_but_not_by_what_must_not_happen_twice(proxied, app):
    proxied.get("/app/ok/")
    before = app.connections
    for _ in range(5):
        proxied.get("/app/ok/")
    assert app.connections == before
    proxied.ask("POST", "/app/ok/", body=b"x")
    assert app.connections == before + 1


@pytest.mark.parametrize("which", [*SURPLUS, "late", "head"])
def test_what_nobody_asked_for_answers_nobody(proxied, app, which):
    """An application that sends more than its answer: the next client on that connection must not get the rest."""
    path = "/app/late/" if which == "late" else f"/app/surplus/{'length' if which == 'head' else which}"
    assert proxied.ask("HEAD" if which == "head" else "GET", path).status in (200, 204, 304)
    assert which != "late" or app.late.wait(30)
    for method in ("GET", "PUT", "GET"):
        assert proxied.ask(method, "/app/ok/").body == b"hello"


def test_many_at_once(proxied, app, secret):
    connections = [proxied.connect() for _ in range(200)]
    for n, connection in enumerate(connections):
        connection.request("POST", f"/app/echo/{n}", body=b"%d" % n * 1000)
    for n, connection in enumerate(connections):
        assert connection.read().body == b"%d" % n * 1000
        connection.close()


def test_authorities_that_cannot_be_read_stop_the_start(postgres):
    gateway = Gateway(postgres.url("relay_gateway"), PROXY_CA_FILE="/nowhere")
    with pytest.raises(AssertionError, match="PROXY_CA_FILE names /nowhere, which cannot be read"):
        gateway.start()


def test_more_than_the_limit_is_503(start, postgres, app, secret):
    gateway = start(WORKERS=1, PROXY_LIMIT=1)
    before = len(app.requests)
    first = gateway.connect()
    first.request("GET", "/app/hang/")
    wait_until(lambda: len(app.requests) > before)
    refused = gateway.get("/app/ok/")
    assert problem(refused, 503, "upstream_busy") and refused.header("Retry-After") == "1"
    first.close()
    wait_until(lambda: gateway.get("/app/ok/").status == 200)


def test_draining_lets_answers_end(start, app, secret):
    gateway = start(WORKERS=1)
    events, answer = gateway.connect(), gateway.connect()
    events.request("GET", "/app/events/")
    while b"data: " not in events.buffer:
        assert events.more()
    answer.request("GET", "/app/steps/")
    until(answer, b"\r\n\r\n")
    gateway.process.terminate()
    assert app.left.wait(30)
    for chunk in (b"3\r\none\r\n", b"3\r\ntwo\r\n", b"0\r\n\r\n"):
        app.go_on.release()
        assert until(answer, chunk) == chunk
    answer.close()
    assert gateway.process.wait(60) == 0


def test_a_name_that_is_looked_up_holds_up_nobody(postgres, app, secret, tmp_path):
    """The resolver does not answer for ten seconds; everybody else is served meanwhile."""
    source, library = tmp_path / "slow.c", tmp_path / "slow.so"
    source.write_text(SLOW_RESOLVER)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    add_upstream(postgres, "slow", "http://slow.test", "/slow", more="connect_timeout => '1 s'")
    with running(postgres.url("relay_gateway"), WORKERS=1, LD_PRELOAD=library, DRAIN_TIMEOUT="1s") as gateway:
        wait_until(gateway.is_ready, what="readiness")
        waiting, leaving = gateway.connect(), gateway.connect()
        waiting.request("GET", "/slow/ok/")
        leaving.request("GET", "/slow/ok/")
        started = time.monotonic()
        time.sleep(0.1)
        leaving.reset()
        for _ in range(20):
            assert gateway.get("/app/ok/").status == 200
        assert problem(waiting.read(), 502, "upstream_unreachable") and time.monotonic() - started < 9
        gateway.process.terminate()
        assert gateway.process.wait(60) == 0


SLOW_RESOLVER = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <string.h>
#include <unistd.h>

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **result)
{
    int (*next)(const char *, const char *, const struct addrinfo *, struct addrinfo **) = dlsym(RTLD_NEXT, "getaddrinfo");

    if (node != NULL && strcmp(node, "slow.test") == 0)
    {
        sleep(10);
        return EAI_AGAIN;
    }
    return next(node, service, hints, result);
}
"""


@pytest.fixture(scope="module")
def open_routes(postgres, app, secret):
    """Upstreams that stay open, each in its own way, beside one that does not (app)."""
    url = f"http://127.0.0.1:{app.port}"
    add_upstream(postgres, "open", url, "/open", more="fail_mode => 'open'; open_burst => 5; open_rate => 0.01; cookies => true")
    add_upstream(postgres, "private", url, "/private", auth="user", more="fail_mode => 'open'")
    add_upstream(postgres, "all", url, "/all", auth="user", more="fail_mode => 'open'; open_protected => true; open_methods => '{POST}'; open_burst => 3")
    add_upstream(postgres, "many", url, "/many", more="fail_mode => 'open'; open_burst => 1000")
    postgres.sql(f"""INSERT INTO relay_guard.route (method, path, query, auth, result, run_as)
                     VALUES ('GET', '/open/closed', 'SELECT 1', 'none', 'value', 'relay_app')""", user="relay_owner")


@pytest.fixture(scope="module")
def outage(postgres, open_routes):
    """A gateway whose database has gone after it was ready."""
    with running(postgres.url("relay_gateway"), TRUSTED_PROXIES="127.0.0.1", WORKERS=2) as gateway:
        wait_until(gateway.is_ready, what="readiness")
        time.sleep(1.5)     # every worker knows the routes by then
        postgres.stop()
        try:
            wait_until(lambda: gateway.get("/many/ok/", ADDRESS).status == 200, what="the outage")
            yield gateway
        finally:
            postgres.start()
            wait_until(gateway.is_ready, what="readiness")


ADDRESS = {"X-Forwarded-For": "198.51.100.20"}


def test_without_the_database_a_closed_upstream_is_503(outage, app):
    before = len(app.requests)
    for path in ("/app/ok/", "/private/ok/", "/open/closed", "/other"):
        answer = outage.get(path, ADDRESS)
        assert (answer.status, answer.json()["code"]) == (503, "unavailable") and answer.header("Retry-After")
    assert len(app.requests) == before


def test_an_open_one_gets_requests_of_nobody(outage, app):
    answer = outage.get("/open/headers/a?b=c", {**ADDRESS, **FORGED, "X-Forwarded-For": "198.51.100.21",
                                                "Authorization": "Bearer x.y.z"})
    seen = app.requests[-1]
    assert answer.status == 200 and answer.header("Cache-Control") == "no-store" and answer.header("Set-Cookie") is None
    assert seen.target == "/headers/a?b=c" and seen.header("X-Relay-Fallback") == "1"
    assert [name for name in seen.names() if name.startswith("x-relay-")] == ["x-relay-fallback"]
    assert seen.names().isdisjoint({"authorization", "cookie", "x-api-key", "x-csrf-token"})
    with pytest.raises(ValueError):
        seen.identity("")


def test_an_open_one_is_limited_by_address(outage, app):
    def ask(address):
        return outage.get("/open/ok/", {"X-Forwarded-For": address})
    first = [ask("198.51.100.22").status for _ in range(8)]
    assert first == [200] * 5 + [429] * 3
    refused = ask("198.51.100.22")
    assert refused.json()["code"] == "rate_limited" and 90 <= int(refused.header("Retry-After")) <= 100
    assert ask("198.51.100.23").status == 200
    v6 = [ask(f"2001:db8:0:1::{n}").status for n in range(6)]
    assert v6 == [200] * 5 + [429] and ask("2001:db8:0:2::1").status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_only_safe_methods_pass_unless_the_upstream_says_so(outage, app, method):
    assert outage.ask(method, "/open/echo/", ADDRESS, b"x").status == 503
    expected = 200 if method == "POST" else 503
    assert outage.ask(method, "/all/echo/", ADDRESS, b"x").status == expected
    assert outage.get("/all/ok/", ADDRESS).status == 503


def test_paths_are_checked_without_the_database_too(outage, app):
    before = len(app.requests)
    for target in ("/many/a/..;/b", "/many//x", "/many/%5c"):
        assert outage.get(target, ADDRESS).status == 400
    assert outage.ask("GET", "/many/ok/", ADDRESS, b"x").status == 400
    assert len(app.requests) == before


def test_with_the_database_identities_are_back(outage, postgres, app):
    """It ends the outage."""
    time.sleep(3)       # every worker asks every three seconds, now in vain
    postgres.start()
    wait_until(lambda: all(outage.is_ready() for _ in range(20)), what="readiness of all workers")
    assert outage.get("/private/ok/", ADDRESS).status == 401
    assert outage.get("/many/ok/", ADDRESS).status == 200 and app.requests[-1].header("X-Relay-Signature")


def test_what_was_closed_after_an_outage_is_closed_in_the_next(outage, postgres):
    """Last: it ends the outage, and begins another."""
    postgres.sql("UPDATE relay_guard.upstream SET fail_mode = 'closed' WHERE name = 'many'", user="relay_owner")
    time.sleep(4)
    postgres.stop()
    assert {outage.get("/many/ok/", ADDRESS).status for _ in range(20)} == {503}
