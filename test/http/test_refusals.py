"""Paths, methods, bodies and values that are not taken, and an error that says
nothing."""
import json

import pytest

FILES = "/api/v1/knowledge/files"

JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def token(gateway):
    return gateway.ask("POST", "/api/v1/anon_session").json()["token"]


@pytest.fixture
def headers(token):
    return {"Authorization": f"Bearer {token}", **JSON}


@pytest.fixture(scope="module", autouse=True)
def unlimited(postgres):
    """These ask more than sixty times in thirty seconds."""
    postgres.sql("UPDATE relay_guard.rate_policy SET quota = 100000 WHERE name IN ('ip', 'user')")
    yield
    postgres.sql("UPDATE relay_guard.rate_policy SET quota = CASE name WHEN 'ip' THEN 60 ELSE 30 END "
                 "WHERE name IN ('ip', 'user')")


def test_an_unknown_path_is_404(gateway):
    answer = gateway.get("/api/v1/nothing")
    assert answer.status == 404 and answer.json()["code"] == "route_not_found"


def test_a_wrong_method_is_405_and_says_which(gateway, headers):
    answer = gateway.ask("PUT", FILES, headers, b"{}")
    assert answer.status == 405 and answer.header("Allow") == "GET, HEAD, POST, OPTIONS"


def test_invalid_json_is_400(gateway, headers):
    for body in b"{", b'{"name":"a","name":"b"}', b"\xff", b'{"name":"a\\u0000"}', b"[" * 1000:
        answer = gateway.ask("POST", FILES, headers, body)
        assert answer.status == 400 and answer.json()["code"] == "invalid_json"


@pytest.mark.parametrize("body, pointer", [
    ({}, "/body/name"), ({"name": 5}, "/body/name"), ({"name": ""}, "/body/name"),
    ({"name": "a", "metadata": []}, "/body/metadata"), ({"name": "a", "content_type": "x"}, "/body/content_type"),
    ({"name": "a", "user_id": "bob"}, "/body"), ([], "/body"),
])
def test_a_wrong_value_is_422_with_its_place(gateway, headers, body, pointer):
    answer = gateway.ask("POST", FILES, headers, json.dumps(body).encode())
    assert answer.status == 422 and answer.json()["pointer"] == pointer
    assert answer.json()["suggestion"].endswith(".")


@pytest.mark.parametrize("query", ["limit=-1", "limit=0", "limit=x", "limit=1.5", "limit=", "limit=1&limit=2",
                                   "limit=99999999999999999999", "after=nonsense"])
def test_a_wrong_parameter_is_422(gateway, headers, query):
    answer = gateway.get(f"{FILES}?{query}", headers)
    assert answer.status == 422 and answer.json()["pointer"] == "/query/" + query.split("=")[0]


def test_a_body_over_the_limit_is_413(gateway, headers):
    answer = gateway.ask("POST", FILES, headers, b'{"name":"' + b"x" * 1_100_000 + b'"}')
    assert answer.status == 413


def test_an_error_inside_a_route_says_nothing(gateway, postgres):
    answer = gateway.get("/test/divide/0", {"X-Request-ID": "divided"})
    problem = answer.json()
    assert answer.status == 500
    assert set(problem) <= {"type", "title", "status", "code", "suggestion", "instance", "request_id"}
    assert problem["request_id"] == "divided" and b"zero" not in answer.body
    logged = [json.loads(line) for line in gateway.errors().splitlines() if "divided" in line]
    assert logged and logged[0]["sqlstate"] == "22012"
    server_log = (postgres.dir / "log").read_text()
    assert "division by zero" in server_log and "request divided: GET /test/divide/0" in server_log
