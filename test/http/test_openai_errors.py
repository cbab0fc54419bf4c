"""Where clients of OpenAI's API ask, whatever is refused has the form that those read, by serve() and by the
gateway itself; and they are told of limits as OpenAI tells them."""
import json
import re
import shutil
import subprocess

import pytest

from conftest import ROOT, running, wait_until

JSON = {"Content-Type": "application/json"}
MODEL = "/v1/models/shape"
ROUTES = """
    INSERT INTO relay_guard.route (method, path, query, auth, rate, budget, max_body, parameters, request_body, run_as, result) VALUES
    ('GET', '/v1/models/shape', 'SELECT ''shape'' AS id, ''model'' AS object, 0 AS created, ''us'' AS owned_by', 'user', '{shape}', NULL, 1000, '[]', NULL, 'relay_app', 'row'),
    ('GET', '/v1/models/shape/{n}', 'SELECT 1 / request.n FROM pg_sleep(request.n)', 'none', '{}', NULL, 1000,
     '[{"name": "n", "in": "path", "required": true, "schema": {"type": "integer"}}]', NULL, 'relay_app', 'value'),
    ('POST', '/v1/embeddings/shape', 'SELECT 1', 'none', '{}', NULL, 1000, '[]', '{"type": "object", "properties": {"messages":
     {"type": "array", "items": {"type": "object", "required": ["role"], "properties": {"role": {"type": "string"}}}}}}', 'relay_app', 'value'),
    ('POST', '/v1/completions/shape', 'SELECT 1', 'user', '{}', 'shape', 1000, '[]', NULL, 'relay_app', 'value');
"""


@pytest.fixture(scope="module", autouse=True)
def routes(postgres):
    postgres.sql("INSERT INTO relay_guard.rate_policy (name, identify_by, quota, \"window\") VALUES ('shape', 'user', 3, '1 h');"
                 "INSERT INTO relay_guard.budget_policy (name, scope, \"window\", hard) VALUES ('shape', 'user', 'day', 0)")
    postgres.sql(ROUTES, user="relay_owner")
    yield
    postgres.sql("DELETE FROM relay_guard.route WHERE path LIKE '%/shape%'; DELETE FROM relay_guard.rate_policy WHERE name = 'shape';"
                 "DELETE FROM relay_guard.budget_policy WHERE name = 'shape'")


@pytest.fixture
def token(postgres, request):
    return postgres.sql(f"SELECT relay_guard.issue_token('{abs(hash(request.node.name))}', role => 'user')")[0][0]


@pytest.fixture(scope="module")
def narrow(postgres):
    """Impatient, with one connection, for one host."""
    with running(postgres.url("relay_gateway"), WORKERS=1, DB_READ_CONNECTIONS=1, DB_WRITE_CONNECTIONS=1, DB_PIPELINE_DEPTH=1,
                 QUEUE_LIMIT=0, REQUEST_TIMEOUT="600ms", HEADER_TIMEOUT="300ms", ALLOWED_HOSTS="localhost") as gateway:
        wait_until(gateway.is_ready, what="readiness")
        yield gateway


def check(answer, status, kind, code, param=None):
    """Four members, no more; what to do is in the message."""
    assert answer.status == status and answer.header("Content-Type") == "application/json", answer.body
    assert answer.header("X-Request-ID") and answer.header("Cache-Control") == "no-store"
    said = answer.json()
    assert set(said) == {"error"} and set(said["error"]) == {"message", "type", "param", "code"}
    error = said["error"]
    assert (error["type"], error["code"], error["param"]) == (kind, code, param)
    assert re.search(r"[.?!] [A-Z].*\.$", error["message"]), error["message"]
    assert "SELECT" not in error["message"]


def raw(gateway, data):
    connection = gateway.connect()
    try:
        connection.send(data)
        return connection.read()
    finally:
        connection.close()


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize("method, target, headers, body, expected", [
    ("GET", "/v1/models/nothing/there/is", {}, None, (404, "not_found_error", "route_not_found")),
    ("PUT", MODEL, JSON, b"{}", (405, "invalid_request_error", "method_not_allowed")),
    ("GET", MODEL, {}, None, (401, "authentication_error", "unauthenticated")),
    ("GET", MODEL, {"Authorization": "Bearer a.b.c"}, None, (401, "authentication_error", "token_malformed")),
    ("GET", MODEL + "/x", {}, None, (422, "invalid_request_error", "invalid_parameter", "n")),
    ("GET", MODEL + "/0", {}, None, (500, "server_error", "internal")),
    ("GET", MODEL + "?%zz", {}, None, (400, "invalid_request_error", "malformed_target")),
    ("POST", "/v1/embeddings/shape", JSON, b'{"messages": [{"role": "user"}, {"role": 1}]}',
     (422, "invalid_request_error", "invalid_parameter", "messages[1].role")),
    ("POST", "/v1/embeddings/shape", JSON, b'{"messages"', (400, "invalid_request_error", "invalid_json")),
    ("POST", "/v1/embeddings/shape", {"Content-Type": "text/plain"}, b"{}", (415, "invalid_request_error", "unsupported_media_type")),
    ("POST", "/v1/embeddings/shape", JSON, b'"' + b"x" * 2000 + b'"', (413, "invalid_request_error", "body_too_large")),
    ("POST", "/v1/embeddings/shape", {**JSON, "Content-Length": "99999999"}, None, (413, "invalid_request_error", "body_too_large")),
    ("OPTIONS", MODEL, {"Origin": "https://evil.example", "Access-Control-Request-Method": "GET"}, None,
     (403, "permission_error", "origin_not_allowed")),
], ids=lambda value: value[-1] if isinstance(value, tuple) else None)
def test_what_is_refused_has_openais_form(gateway, method, target, headers, body, expected):
    check(gateway.ask(method, target, headers, body), *expected)


@pytest.mark.parametrize("lines, status, code", [
    (["Expect: the unexpected"], 417, "malformed_request"),
    (["Authorization: a", "Authorization: b"], 400, "malformed_header"),
    (["Host: localhost"], 400, "malformed_request"),
    ([f"x-{n}: 1" for n in range(70)], 431, "malformed_request"),
    (["x: " + "x" * 17000], 431, "malformed_request"),
    (["Transfer-Encoding: chunked", "", "xyz"], 400, "malformed_body"),
], ids=lambda value: str(value)[:20])
def test_what_frames_a_request_does_too_where_its_path_is_known(gateway, lines, status, code):
    head = "\r\n".join(["POST /v1/chat/completions HTTP/1.1", "Host: localhost", *lines, "", ""]).encode()
    check(raw(gateway, head), status, "invalid_request_error", code)


def test_a_path_that_is_not_known_is_told_a_problem(gateway):
    for line in b"GET", b"GET /v1/modelsX HTTP/1.1\r\nHost: a\r\nHost: b", b"GET /v1/\x01models HTTP/1.1":
        assert raw(gateway, line + b"\r\n\r\n").header("Content-Type") == "application/problem+json"


def test_methods_and_hosts_and_versions_and_time(narrow):
    check(raw(narrow, b"BREW /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n"), 501, "server_error", "unknown_method")
    check(raw(narrow, b"GET /v1/models HTTP/9.9\r\n\r\n"), 505, "server_error", "malformed_request")
    check(raw(narrow, b"GET /v1/models HTTP/1.1\r\nHost: elsewhere\r\n\r\n"), 421, "invalid_request_error", "unknown_host")
    check(raw(narrow, b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n"), 408, "invalid_request_error", "malformed_request")
    check(narrow.get(MODEL + "/3"), 504, "server_error", "timeout")


def test_waiting_requests_and_a_database_that_is_away(start, narrow):
    first = narrow.connect()
    first.request("GET", MODEL + "/2")
    answer = narrow.get(MODEL + "/2")
    check(answer, 503, "server_error", "overloaded")
    assert answer.header("Retry-After") == "1"
    first.close()
    away = start(database="nowhere", ready=False)
    check(away.get(MODEL), 503, "server_error", "unavailable")


def limits_of(answer, unit="requests"):
    return [answer.header(f"x-ratelimit-{what}-{unit}") for what in ("limit", "remaining", "reset")]


def test_limits_are_told_as_openai_tells_them_and_a_refusal_from_memory_too(gateway, token, postgres):
    answers = [gateway.get(MODEL, bearer(token)) for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 200]
    assert [limits_of(answer)[:2] for answer in answers] == [["3", "2"], ["3", "1"], ["3", "0"]]
    assert re.fullmatch(r"(\d+h)?\d+m\d+s", limits_of(answers[0])[2]) and answers[0].header("RateLimit")
    assert limits_of(answers[0], "tokens") == [None, None, None]
    asked = "SELECT denied FROM relay_guard.rate_status WHERE policy = 'shape'"
    for _ in range(12):    # two workers, each with a memory of its own
        answer = gateway.get(MODEL, bearer(token))
        check(answer, 429, "rate_limit_error", "rate_limited")
        assert limits_of(answer)[:2] == ["3", "0"] and int(answer.header("Retry-After")) > 0
    assert postgres.sql(asked)[0][0] <= 4, "some of these came from memory"


def test_elsewhere_there_are_none_of_these_headers(gateway, token):
    answer = gateway.get("/api/v1/knowledge/files", bearer(token))
    assert answer.header("X-RateLimit-Limit") and limits_of(answer) == [None, None, None]


def test_a_budget_that_is_used_up_says_not_to_try_again(gateway, token):
    answer = gateway.ask("POST", "/v1/completions/shape", bearer(token))
    check(answer, 429, "insufficient_quota", "insufficient_quota")
    assert answer.header("x-should-retry") == "false" and answer.header("Retry-After") is None


@pytest.fixture(scope="module")
def client():
    """OpenAI's own, from npm, as its package-lock.json names it."""
    folder = ROOT / "test/openai"
    lock, installed = folder / "package-lock.json", folder / "node_modules/.package-lock.json"
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        npm = subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"], cwd=folder, capture_output=True)
        if npm.returncode != 0:
            pytest.skip("the npm registry cannot be reached")
    return folder


def test_openais_own_client_raises_its_own_errors(gateway, token, client):
    ran = subprocess.run(["node", client / "refusals.js", f"http://127.0.0.1:{gateway.port}/v1", token],
                         check=True, capture_output=True, text=True, timeout=30)
    said = [json.loads(line) for line in ran.stdout.splitlines()]
    assert said[0] == {"name": "", "id": "shape"}
    assert [(one["name"], one["status"], one["code"], one["type"], one["param"]) for one in said[1:]] == [
        ("AuthenticationError", 401, "token_malformed", "authentication_error", None),
        ("NotFoundError", 404, "route_not_found", "not_found_error", None),
        ("UnprocessableEntityError", 422, "invalid_parameter", "invalid_request_error", "n"),
        ("UnprocessableEntityError", 422, "invalid_parameter", "invalid_request_error", "messages[0].role"),
        ("RateLimitError", 429, "insufficient_quota", "insufficient_quota", None),
        ("InternalServerError", 500, "internal", "server_error", None)]
    assert all(one["identified"] for one in said[1:])
    assert said[4]["message"] == "422 messages[0].role: must be a string. Send a text."
