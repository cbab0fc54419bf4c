"""The catalog of problems is whole and true: each of them is provoked once and says what to do;
a code that the source has and the catalog lacks, or the other way round, fails."""
import concurrent.futures
import contextlib
import json
import re
import socket
import threading
import time
import uuid

import pytest

from conftest import Answer, ROOT, close_listener, running, wait_until
from model_provider import Provider, add_provider, chat, remove_provider
from openapi_document import fetch
from problems_page import with_tables
from test_tokens import SECRET, claims, sign
from upstream_app import Upstream, add_upstream

JSON = {"Content-Type": "application/json"}
FILES = "/api/v1/knowledge/files"
AUTH = "/api/auth/"
SLEEP = "/test/sleep/{}"
NUMBER = '[{{"name": "n", "in": "{}", "required": true, "schema": {{"type": "integer"}}}}]'
BODY = '{"type": "object", "properties": {"text": {"type": "string"}}}'
KEY = "Idempotency-Key"


def route(method, name, query, auth="none", result="value", **columns):
    columns = {"shape": None, "scopes": "{}", "parameters": "[]", "request_body": None, "idempotency": "none", "quota": "{}",
               "budget": None, "upstream": None, **columns}
    values = [method, f"/test/problem/{name}", query, auth, result, "relay_app", *columns.values()]
    texts = ["NULL" if value is None else "'" + str(value).replace("'", "''") + "'" for value in values]
    return (f"INSERT INTO relay_guard.route (method, path, query, auth, result, run_as, {', '.join(columns)}) "
            f"VALUES ({', '.join(texts)});")


ROUTES = [
    route("GET", "none", "SELECT relay_guard.fail(400, NULL)", result="none"),
    route("GET", "forbidden", "SELECT relay_guard.issue_token('x')"),
    route("GET", "user", "SELECT 1", "user"), route("GET", "admin", "SELECT 1", "admin"),
    route("GET", "workspace", "SELECT 1", "api_key"), route("GET", "scope", "SELECT 1", "user", scopes="{notes:write}"),
    route("GET", "missing", "SELECT 1 WHERE false"),
    route("GET", "number", "SELECT request.n::int2", parameters=NUMBER.format("query")),
    route("POST", "embed", "SELECT amount FROM relay_guard.budget_charge('problem', 0, 0, 5)", "user"),
    route("POST", "reserve", "SELECT allowed FROM relay_guard.budget_reserve('problem', 5000, 1)", "user"),
    route("POST", "completion", "SELECT '{\"model\": \"problem\", \"messages\": [{\"role\": \"user\"}]}'::jsonb AS body", "user",
          result="completion", shape="reply"),
    route("POST", "quota", "SELECT 1", "user", quota="{problem_none}"),
    route("POST", "budget", "SELECT 1", "user", budget="problem_none"),
    route("POST", "once", "SELECT request.text FROM pg_sleep(1.5)", "user", idempotency="required", request_body=BODY),
    route("POST", "large", "SELECT repeat('x', 2000000)", "user", idempotency="required"),
    route("POST", "body", "SELECT request.body", request_body=BODY),
    route("GET", "file", "SELECT 'five!'::bytea AS content", result="file"),
    route("GET", "stream", "SELECT 'problem' AS stream", result="stream"),
    route("POST", "append", "SELECT relay_guard.event_append('problem-ended', 'a', 'b')"),
    *(route("GET", name, "SELECT 1 AS n", result="proxy", upstream=f"problem_{name}") for name in ("away", "plain", "cut", "hang")),
]
POLICIES = """
    INSERT INTO relay_guard.quota_policy (name, scope, cap, "window") VALUES ('problem_none', 'user', 0, 'day');
    INSERT INTO relay_guard.budget_policy (name, scope, "window", hard, enabled) VALUES ('problem_none', 'user', 'day', 0, false);
    INSERT INTO relay_guard.model (name, provider, input_price, output_price, max_input_tokens, max_output_tokens)
    VALUES ('problem', 'test', 1, 1, 1000, 1000);
    UPDATE relay_guard.rate_policy SET quota = 100000;
    SELECT relay_guard.issuer_add('tests', 'app', 'tests|');
    SELECT relay_guard.event_append(stream, 'a', 'b') FROM unnest('{problem,problem-ended}'::text[]) stream;
    SELECT relay_guard.event_end('problem-ended');
"""
CLEANUP = """
    DELETE FROM relay_guard.route WHERE path LIKE '/test/problem/%';
    DELETE FROM relay_guard.quota_policy WHERE name = 'problem_none';
    DELETE FROM relay_guard.budget_policy WHERE name = 'problem_none';
    DELETE FROM relay_guard.model WHERE name = 'problem';
    DELETE FROM relay_guard.issuer WHERE iss = 'tests';
    DELETE FROM relay_guard.upstream WHERE name LIKE 'problem\\_%';
"""
UPSTREAMS = """
    INSERT INTO relay_guard.upstream (name, url, answer_timeout) VALUES
        ('problem_away', 'http://127.0.0.1:1', '1 s'), ('problem_plain', 'https://127.0.0.1:{port}', '1 s'),
        ('problem_cut', 'http://127.0.0.1:{port}/cut', '1 s'), ('problem_hang', 'http://127.0.0.1:{port}/hang', '300 ms');
    SELECT relay_guard.upstream_secret_set(name) FROM relay_guard.upstream WHERE name LIKE 'problem\\_%'
"""


class BadApplication:
    """An application that ends its connections without an answer, or is silent."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self.serve, args=(self.listener.accept()[0],), daemon=True).start()

    def serve(self, client):
        with contextlib.suppress(OSError), client:
            if b"/hang" in client.recv(65536):
                client.recv(1)


class World:
    def __init__(self, gateway, postgres):
        self.gateway, self.postgres = gateway, postgres
        self.user = self.issue("problem-user", "user")
        self.started = {}

    def issue(self, user, role, **more):
        return self.postgres.sql(f"SELECT relay_guard.issue_token('{user}', role => '{role}')")[0][0]

    def raw(self, data, gateway=None):
        connection = (gateway or self.gateway).connect()
        try:
            connection.send(data)
            return connection.read()
        finally:
            connection.close()

    def get(self, target, headers=(), gateway=None):
        return (gateway or self.gateway).get(target, headers)

    def sign_in(self):
        """The cookie, the token for X-CSRF-Token and the user's id of a new session."""
        account = json.dumps({"email": f"{uuid.uuid4()}@problem.example", "password": "four words, never together"}).encode()
        assert self.gateway.ask("POST", AUTH + "register", JSON, account).status == 201
        answer = self.gateway.ask("POST", AUTH + "login", JSON, account)
        return answer.header("Set-Cookie").split(";")[0], answer.json()["csrfToken"], answer.json()["id"]

    def me(self, cookie):
        return self.get(AUTH + "me", {"Cookie": cookie})

    def problem(self, name, token=None, headers=(), method="GET", body=None, gateway=None):
        given = {**({"Authorization": f"Bearer {token}"} if token else {}), **dict(headers)}
        return (gateway or self.gateway).ask(method, f"/test/problem/{name}", given, body)

    def post(self, name, headers=(), body=None):
        return self.problem(name, self.user, {**JSON, **dict(headers)}, "POST", body)

    def serve(self, query):
        """As another front-end than the gateway asks, which would have refused it before."""
        status, headers, body = self.postgres.sql(
            f"SELECT status, headers, body FROM relay_guard.serve('GET', '/test/problem/number', '{query}', request_id => 'r')")[0]
        return Answer(status, [(name.lower(), value) for name, value in zip(headers[::2], headers[1::2])], bytes(body))

    def key(self, key):
        return self.problem("admin", headers={"X-API-Key": key})

    def new_key(self, more):
        created = self.postgres.sql(f"SELECT id, key FROM relay_guard.api_key_create('{uuid.uuid4()}', 'user')")[0]
        self.postgres.sql(f"UPDATE relay_guard.api_key SET {more} WHERE id = '{created[0]}'")
        return created[1]


@pytest.fixture(scope="module")
def world(gateway, postgres):
    before = postgres.sql("SELECT name, quota FROM relay_guard.rate_policy")
    postgres.sql(POLICIES)
    postgres.sql(f"SELECT relay_guard.jwt_key_add('tests', 'k1', '{SECRET}')")
    application = BadApplication()
    postgres.sql(UPSTREAMS.format(port=application.port))
    postgres.sql("".join(ROUTES), user="relay_owner")
    yield World(gateway, postgres)
    close_listener(application.listener)
    postgres.sql(CLEANUP)
    for name, quota in before:
        postgres.sql(f"UPDATE relay_guard.rate_policy SET quota = {quota} WHERE name = '{name}'")


@pytest.fixture(scope="module")
def pool():
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        yield pool


@pytest.fixture(scope="module")
def narrow(postgres):
    """Impatient, forgetful, with one connection, for one host."""
    with running(postgres.url("relay_gateway"), WORKERS=1, DB_READ_CONNECTIONS=1, DB_WRITE_CONNECTIONS=1,
                 DB_PIPELINE_DEPTH=1, QUEUE_LIMIT=0, REQUEST_TIMEOUT="3s", HEADER_TIMEOUT="1500ms",
                 ALLOWED_HOSTS="localhost", DENY_CACHE="off") as gateway:
        wait_until(gateway.is_ready, what="readiness")
        yield gateway


@pytest.fixture(scope="module")
def slow_body(gateway, pool):
    """A body that does not come; it is given up after five seconds, in which the others are provoked."""
    def send():
        connection = gateway.connect()
        connection.request("POST", "/test/problem/body", {**JSON, "Content-Length": "1000"})
        return connection.read()
    return pool.submit(send)


@pytest.fixture(scope="module", autouse=True)
def early(world, slow_body):
    """Started before all others."""


def bearer(token):
    return lambda w: w.problem("user", token() if callable(token) else token)


def api_key(more):
    return lambda w: w.key(w.new_key(more))


def unsafe(head, body=b""):
    return lambda w: w.raw(head.replace(b"\n", b"\r\n") + b"\r\n\r\n" + body)


def ask(method, target, headers=(), body=None):
    return lambda w: w.gateway.ask(method, target, headers, body)


def revoked(w):
    token = w.issue("problem-revoked", "user")
    w.postgres.sql("SELECT relay_guard.revoke(user_id => 'problem-revoked')")
    return w.problem("user", token)


def signed_out(w):
    cookie, token, _ = w.sign_in()
    assert w.gateway.ask("POST", AUTH + "logout", {"Cookie": cookie, "X-CSRF-Token": token, "Sec-Fetch-Site": "same-origin"}).status == 204
    return w.me(cookie)


def session_with(statement):
    def provoke(w):
        cookie, _, user = w.sign_in()
        w.postgres.sql(statement.format(user=user))
        return w.me(cookie)
    return provoke


def wrong_password(w):
    return w.gateway.ask("POST", AUTH + "login", JSON, b'{"email": "nobody@problem.example", "password": "wrong"}')


def without_csrf_token(w):
    cookie, _, _ = w.sign_in()
    return w.gateway.ask("POST", FILES, {**JSON, "Cookie": cookie, "Sec-Fetch-Site": "same-origin"}, b'{"name": "a"}')


def busy(w, start, pool):
    gateway = start(WORKERS=1, PROXY_LIMIT=1)
    first = pool.submit(w.problem, "hang", gateway=gateway)
    time.sleep(0.15)
    answer = w.problem("hang", gateway=gateway)
    first.result()
    return answer


def in_flight(w, pool):
    headers = {KEY: str(uuid.uuid4())}
    first = pool.submit(w.post, "once", headers, b"{}")
    wait_until(lambda: w.gateway.sleeping(w.postgres), what="the statement")
    answer = w.post("once", headers, b"{}")
    assert first.result().status == 200
    return answer


def reused(w):
    headers = {KEY: str(uuid.uuid4())}
    w.post("once", headers, b'{"text": "a"}')
    return w.post("once", headers, b'{"text": "b"}')


def not_kept(w):
    headers = {KEY: str(uuid.uuid4())}
    assert w.post("large", headers).status == 200
    return w.post("large", headers)


def limited(w, narrow):
    w.postgres.sql("UPDATE relay_guard.rate_policy SET quota = 0 WHERE name = 'ip'")
    try:
        return narrow.ask("POST", "/api/v1/anon_session")
    finally:
        w.postgres.sql("UPDATE relay_guard.rate_policy SET quota = 100000 WHERE name = 'ip'")


def over_budget(w):
    """Every budget binds whoever reserves, so that this one is there for the moment only."""
    w.postgres.sql("UPDATE relay_guard.budget_policy SET enabled = true WHERE name = 'problem_none'")
    try:
        return w.post("budget")
    finally:
        w.postgres.sql("UPDATE relay_guard.budget_policy SET enabled = false WHERE name = 'problem_none'")


def overloaded(w, narrow, pool):
    first = pool.submit(narrow.get, SLEEP.format(2))
    wait_until(lambda: narrow.sleeping(w.postgres), what="the statement")
    answer = narrow.get(SLEEP.format(0.1))
    first.result()
    return answer


def outcome_unknown(w, narrow, pool):
    first = pool.submit(narrow.ask, "POST", SLEEP.format(2))
    wait_until(lambda: narrow.sleeping(w.postgres), what="the statement")
    for pid in narrow.backends(w.postgres, "wait_event = 'PgSleep'"):
        w.postgres.sql(f"SELECT pg_terminate_backend({pid})")
    answer = first.result()
    wait_until(narrow.is_ready, what="a new connection")
    return answer


def without_database(w, start):
    gateway = start(DATABASE_URL="postgresql:///relay?host=/nonexistent", ready=False)
    return gateway.get("/test/echo/a")


def read_only(w, start):
    gateway = start(WORKERS=1, DATABASE_URL=w.postgres.url("relay_gateway") + "&options=-c%20default_transaction_read_only%3Don")
    return gateway.ask("POST", "/test/notes", JSON, b'{"text": "a"}')


def new_account(w):
    return w.problem("quota", w.issue(f"problem-{uuid.uuid4()}", "user"), JSON, "POST")


def promoted(w):
    w.postgres.sql("ALTER SYSTEM SET relay_guard.after_promotion = 'deny'")
    w.postgres.sql("SELECT pg_reload_conf(); DELETE FROM relay_guard.usage_timeline")
    try:
        answers = []
        wait_until(lambda: answers.append(new_account(w)) or answers[-1].status == 503, what="the reload")
        return answers[-1]
    finally:
        w.postgres.sql("ALTER SYSTEM RESET relay_guard.after_promotion")
        w.postgres.sql("SELECT pg_reload_conf(), relay_guard.usage_confirm_promotion()")


def without_host(w, start):
    gateway = start(WORKERS=1, ENVIRONMENT="production")
    return w.raw(b"GET /test/echo/a HTTP/1.0\r\n\r\n", gateway)


GET = b"GET / HTTP/1.1\nHost: localhost"
CHUNKED = b"POST /test/problem/body HTTP/1.1\nHost: localhost\nContent-Type: application/json\nTransfer-Encoding: chunked"
NOW = lambda: int(time.time())

PROVOKED = {
    (400, "malformed_request"): unsafe(b"GET /"),
    (400, "malformed_target"): ask("GET", "/%zz"),
    (400, "malformed_header"): unsafe(GET + b"\nAuthorization: a\nAuthorization: b"),
    (400, "malformed_body"): unsafe(CHUNKED, b"xyz\r\n"),
    (400, "https_required"): without_host,
    (400, "two_credentials"): lambda w: w.problem("admin", w.user, {"X-API-Key": "a"}),
    (400, "invalid_encoding"): lambda w: w.serve("n=%FF"),
    (400, "query_too_long"): lambda w: w.serve("n=1&" + "x" * 8190),
    (400, "too_many_parameters"): lambda w: w.gateway.get("/test/problem/number?n=1" + "&x=1" * 256),
    (400, "invalid_json"): lambda w: w.post("body", body=b"{"),
    (400, "idempotency_key_required"): lambda w: w.post("once", body=b"{}"),
    (400, "idempotency_key_invalid"): lambda w: w.post("once", {KEY: "a b"}, b"{}"),
    (400, "invalid_last_event_id"): lambda w: w.problem("stream", headers={"Last-Event-ID": "x"}),
    (400, "refused"): lambda w: w.problem("none"),
    (401, "unauthenticated"): lambda w: w.problem("user"),
    (401, "authorization_scheme"): lambda w: w.problem("user", headers={"Authorization": "Basic YTpi"}),
    (401, "token_too_long"): bearer("a" * 9000),
    (401, "token_malformed"): bearer("a.b.c"),
    (401, "token_header"): bearer(lambda: sign(claims(), jwk={})),
    (401, "token_claim"): bearer(lambda: sign(claims(sub=5))),
    (401, "token_claim_missing"): bearer(lambda: sign(claims(exp=None))),
    (401, "token_issuer"): bearer(lambda: sign(claims(iss="nobody"))),
    (401, "token_key"): bearer(lambda: sign(claims(), kid="another")),
    (401, "token_algorithm"): bearer(lambda: sign(claims(), alg="none")),
    (401, "token_signature"): bearer(lambda: sign(claims(), secret="another secret, 0123456789 0123456789")),
    (401, "token_audience"): bearer(lambda: sign(claims(aud="others"))),
    (401, "token_expired"): bearer(lambda: sign(claims(exp=1700000000))),
    (401, "token_not_yet_valid"): bearer(lambda: sign(claims(nbf=NOW() + 600))),
    (401, "token_revoked"): revoked,
    (401, "api_key_unknown"): lambda w: w.key("rgk_" + "a" * 43),
    (401, "api_key_expired"): api_key("created_at = now() - interval '2 days', expires_at = now() - interval '1 day'"),
    (401, "api_key_revoked"): api_key("revoked_at = now()"),
    (401, "session_malformed"): lambda w: w.me("relay_sid=abc"),
    (401, "session_duplicate"): lambda w: w.me("relay_sid=a; relay_sid=b"),
    (401, "session_unknown"): lambda w: w.me("relay_sid=" + "A" * 43),
    (401, "session_ended"): signed_out,
    (401, "session_expired"): session_with(
        "UPDATE relay_guard.session SET seen_at = clock_timestamp() - idle WHERE user_id = '{user}'"),
    (401, "session_revoked"): session_with("SELECT relay_guard.revoke(user_id => '{user}')"),
    (401, "invalid_credentials"): wrong_password,
    (403, "csrf_failed"): without_csrf_token,
    (403, "origin_not_allowed"): ask("OPTIONS", "/test/echo/a", {"Origin": "https://evil.example", "Access-Control-Request-Method": "GET"}),
    (403, "sign_in_required"): lambda w: w.problem("user", w.issue("anon:problem", "anonymous")),
    (403, "admin_required"): lambda w: w.problem("admin", w.user),
    (403, "workspace_required"): lambda w: w.problem("workspace", w.user),
    (403, "insufficient_scope"): lambda w: w.problem("scope", w.user),
    (403, "forbidden"): lambda w: w.problem("forbidden"),
    (404, "route_not_found"): ask("GET", "/nowhere"),
    (404, "not_found"): lambda w: w.problem("missing"),
    (404, "reservation_not_found"): lambda w: w.gateway.ask(
        "DELETE", f"/api/v1/llm/reservations/{uuid.uuid4()}", {"Authorization": f"Bearer {w.issue('problem-admin', 'admin')}"}),
    (405, "method_not_allowed"): ask("PUT", FILES),
    (408, "malformed_request"): lambda w, narrow: w.raw(b"GET / HTTP/1.1\r\n", narrow),
    (408, "malformed_body"): lambda w, slow_body: slow_body.result(),
    (409, "conflict"): ask("POST", "/test/unique"),
    (409, "idempotency_in_flight"): in_flight,
    (409, "idempotency_answer_not_kept"): not_kept,
    (409, "stream_ended"): lambda w: w.problem("append", method="POST"),
    (410, "events_expired"): lambda w: w.problem("stream", headers={"Last-Event-ID": "99"}),
    (413, "body_too_large"): lambda w: w.post("body", body=b'"' + b"x" * 1100000 + b'"'),
    (413, "body_too_complex"): lambda w: w.post("body", body=b"[" + b"0," * 250000 + b"0]"),
    (414, "malformed_request"): ask("GET", "/" + "x" * 9000),
    (415, "unsupported_media_type"): lambda w: w.post("body", {"Content-Type": "text/plain"}, b"{}"),
    (416, "range_not_satisfiable"): lambda w: w.problem("file", headers={"Range": "bytes=5-"}),
    (417, "malformed_request"): unsafe(GET + b"\nExpect: the unexpected"),
    (421, "unknown_host"): lambda w, narrow: w.raw(b"GET / HTTP/1.1\r\nHost: elsewhere\r\n\r\n", narrow),
    (422, "missing_parameter"): lambda w: w.problem("number"),
    (422, "invalid_parameter"): lambda w: w.gateway.get("/test/problem/number?n=x"),
    (422, "duplicate_parameter"): lambda w: w.gateway.get("/test/problem/number?n=1&n=1"),
    (422, "invalid_value"): lambda w: w.gateway.get("/test/problem/number?n=70000"),
    (422, "idempotency_key_reused"): reused,
    (422, "model_not_allowed"): lambda w: w.gateway.ask(
        "POST", "/api/v1/llm/reservations", {**JSON, "Authorization": f"Bearer {w.issue('problem-admin', 'admin')}"},
        b'{"model": "nothing", "input_tokens": 1, "max_output_tokens": 1}'),
    (422, "too_many_tokens"): lambda w: w.post("reserve"),
    (422, "no_embeddings"): lambda w: w.post("embed"),
    (429, "rate_limited"): limited,
    (429, "quota_exhausted"): lambda w: w.post("quota"),
    (429, "insufficient_quota"): over_budget,
    (431, "malformed_request"): unsafe(GET + b"".join(b"\nx-%d: 1" % i for i in range(70))),
    (431, "malformed_body"): unsafe(CHUNKED, b"0\r\n" + b"a: " + b"x" * 3000 + b"\r\n\r\n"),
    (500, "internal"): ask("GET", "/test/divide/0"),
    (501, "unknown_method"): unsafe(b"BREW / HTTP/1.1\nHost: localhost"),
    (502, "upstream_unreachable"): lambda w: w.problem("away"),
    (502, "upstream_untrusted"): lambda w: w.problem("plain"),
    (502, "upstream_failed"): lambda w: w.problem("cut"),
    (503, "upstream_busy"): busy,
    (504, "upstream_timeout"): lambda w: w.problem("hang"),
    (503, "model_unavailable"): lambda w: w.post("completion"),
    (503, "overloaded"): overloaded,
    (503, "unavailable"): without_database,
    (503, "outcome_unknown"): outcome_unknown,
    (503, "needs_primary"): read_only,
    (503, "promotion_unconfirmed"): promoted,
    (504, "timeout"): lambda w, narrow: narrow.get(SLEEP.format(9)),
    (505, "malformed_request"): unsafe(b"GET / HTTP/9.9\nHost: localhost"),
}


@pytest.fixture(scope="module")
def behind(postgres):
    """An application behind the gateway, and where there is none."""
    app = Upstream()
    url = f"http://127.0.0.1:{app.port}"
    add_upstream(postgres, "problem", url, "/test/problem/app", more="answer_timeout => '2 s'")
    add_upstream(postgres, "nowhere", "http://127.0.0.1:1", "/test/problem/nowhere")
    # http, where https should be: it does not know how to show who it is
    add_upstream(postgres, "stranger", url.replace("http", "https"), "/test/problem/stranger")
    yield app
    close_listener(app.listener)
    postgres.sql("DELETE FROM relay_guard.route WHERE path LIKE '/test/problem/%' AND result = 'proxy'; DELETE FROM relay_guard.upstream")


def busy(w, behind, start):
    gateway = start(WORKERS=1, PROXY_LIMIT=1)
    before = len(behind.requests)
    first = gateway.connect()
    first.request("GET", "/test/problem/app/hang/")
    wait_until(lambda: len(behind.requests) > before)
    return gateway.get("/test/problem/app/ok/")


PROVOKED |= {
    (502, "upstream_unreachable"): lambda w, behind: w.get("/test/problem/nowhere/"),
    (502, "upstream_untrusted"): lambda w, behind: w.get("/test/problem/stranger/"),
    (502, "upstream_failed"): lambda w, behind: w.get("/test/problem/app/cut/nothing"),
    (503, "upstream_busy"): busy,
    (504, "upstream_timeout"): lambda w, behind: w.get("/test/problem/app/hang/"),
}


def subject(w):
    """An issuer's user whose name falls among those of another."""
    w.postgres.sql("SELECT relay_guard.issuer_add('tests-other', 'app', subject_prefix => 'tests|other|') "
                   "WHERE NOT EXISTS (SELECT FROM relay_guard.issuer WHERE iss = 'tests-other')")
    return w.problem("user", sign(claims(sub="other|somebody")))


PROVOKED[401, "token_subject"] = subject


@pytest.fixture(scope="module")
def model(postgres):
    """A provider of a language model, which refuses."""
    provider = Provider()
    add_provider(postgres, f"http://127.0.0.1:{provider.port}/v1")
    yield provider
    close_listener(provider.listener)
    remove_provider(postgres)


PROVOKED[400, "completion_refused"] = lambda w, model: w.gateway.ask(*chat(token=w.user, status=400))
PROVOKED[429, "provider_busy"] = lambda w, model: w.gateway.ask(*chat(token=w.user, status=429))


def catalog(postgres):
    return {(status, code): suggestion for status, code, suggestion in
            postgres.sql("SELECT status, code, suggestion FROM relay_guard.problem_catalog()")}


@pytest.fixture(scope="module")
def document(gateway):
    return fetch(gateway)


@pytest.mark.parametrize("status, code", sorted(PROVOKED, key=lambda key: (key == (408, "malformed_body"), key)))
def test_each_problem_is_provoked_once_and_says_what_to_do(request, world, document, status, code):
    provoke = PROVOKED[status, code]
    wanted = provoke.__code__.co_varnames[1:provoke.__code__.co_argcount]
    answer = provoke(world, *(request.getfixturevalue(name) for name in wanted))
    problem = answer.json()
    assert (answer.status, problem["status"], problem["code"]) == (status, status, code), problem
    assert answer.header("Content-Type") == "application/problem+json"
    assert re.fullmatch(r"[A-Z].*\.", problem["suggestion"]), problem
    document.validate({"$ref": "#/components/schemas/Problem"}, problem)
    assert "SELECT" not in answer.body.decode() and "relay_guard." not in answer.body.decode()
    assert (answer.header("Retry-After") is not None) >= (status == 503)


def test_the_catalog_is_what_is_provoked(postgres):
    assert set(catalog(postgres)) == set(PROVOKED)


# Where codes stand in the source: a word in quotes, in a statement that refuses

C_STATEMENT = re.compile(r"refuse(?!d)|violate|\bcode\b|\.code|errdetail|SAY\(|reasons\[\]|_CODE_?\w*\s+\"|answer_unauthenticated|answer_problem")
WORD = re.compile(r'"([a-z]+(?:_[a-z0-9]+)+|internal|timeout|refused|forbidden|conflict|unavailable|overloaded|unauthenticated)"')
SQL_RAISE = re.compile(r"ERRCODE = 'RG\d{3}', DETAIL = '([a-z0-9_]+)'")
SQL_CALL = re.compile(r"fail\(\s*\d{3},\s*'([a-z0-9_]+)'(\s*\|\|)?")

# Words of such statements that are no codes of answers
NO_CODES = {
    "invalid_schema",  # of a route that is being written: an errdetail
    "client_left",  # in a stream of events, for whoever comes back
    "value_does_not_open",  # becomes not_found in serve()
    "api_key",  # the name of an origin of identities
    "stream_options",  # a member of requests
    "rate_limit_error", "server_error",  # types of OpenAI's errors
    "relay_guard", "information_schema", "jwt_key", "api_key_pepper", "request_id", "audit_refuse",  # names in the database
}


def sources(*suffixes):
    for folder in "src", "sql", "migrations":
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in suffixes and not path.name.startswith("relay_guard--") and path.name not in (
                    "problem_catalog.c", "metrics_page.c"):
                yield path.read_text()


def without_comments(text):
    return re.sub(r"/\*.*?\*/", "", text, flags=re.S)


def codes_of_c():
    """csrf_ and more is why, for the audit log alone."""
    for text in sources(".c", ".h"):
        for statement in re.split(r";|\n\n", without_comments(text)):
            if C_STATEMENT.search(statement):
                yield from (word for word in WORD.findall(statement) if word == "csrf_failed" or not word.startswith("csrf_"))


def codes_of_sql():
    """Those that a call names as a whole; others begin with what it names."""
    for text in sources(".sql", ".py"):
        for code, goes_on in SQL_CALL.findall(text):
            yield code + ("*" if goes_on else "")
        yield from SQL_RAISE.findall(text)


def codes_of_routes(postgres):
    return {code for code, in postgres.sql("""
        SELECT p.key FROM relay_guard.route r, jsonb_each(r.responses) s,
               jsonb_object_keys(CASE jsonb_typeof(s.value) WHEN 'object' THEN s.value ELSE '{}' END) p(key)
        WHERE s.key >= '400'""")}


def test_no_code_of_the_source_is_missing_from_the_catalog(postgres):
    known = {code for _, code in catalog(postgres)} | codes_of_routes(postgres)
    found = set(codes_of_c()) - NO_CODES
    assert {"rate_limited", "overloaded", "token_expired", "api_key_unknown", "invalid_parameter"} <= found
    assert found <= known, f"not in src/problem_catalog.c: {sorted(found - known)}"
    for code in codes_of_sql():
        assert any(one.startswith(code[:-1]) if code.endswith("*") else one == code for one in known), code


def test_no_code_of_the_catalog_is_missing_from_the_source(postgres):
    text = "".join(sources(".c", ".h", ".sql"))
    for _, code in catalog(postgres):
        assert re.search(f"[\"']{code}[\"']", text), code


def test_the_page_lists_the_catalog(postgres):
    """If not: problems_page.py --write."""
    page = (ROOT / "docs/problems.md").read_text()
    assert page == with_tables(page, postgres.sql)
    rows = re.findall(r"^\| (\d{3}) \| `([a-z0-9_]+)` \|", page, flags=re.M)
    assert {(int(status), code) for status, code in rows} >= set(catalog(postgres)) and len(rows) == len(set(rows))
