"""The application's endpoints: anonymous sessions and knowledge files."""
import datetime
import json
import os
import time
import urllib.error
import urllib.request
import uuid

import psycopg2
import pytest

URL = os.environ["RELAY_URL"]
FILES = "/api/v1/knowledge/files"


def send(method, path, token=None, body=None):
    """Status and body; a rate limit in the way is waited out, as a client does."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    data = None
    if body is not None:
        data = json.dumps(body).encode()
        headers["Content-Type"] = "application/json"
    request = urllib.request.Request(URL + path, data, headers, method=method)
    while True:
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                status, content = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            if error.code == 429:
                time.sleep(int(error.headers["Retry-After"]))
                continue
            status, content = error.code, error.read()
        return status, json.loads(content) if content else None


def session():
    status, body = send("POST", "/api/v1/anon_session")
    assert status == 201
    return body


def add_many(user, count):
    """Rows for one user, two of them of the same moment each."""
    with psycopg2.connect("") as connection, connection.cursor() as cursor:
        cursor.execute("SELECT relay_guard.assume(%s)", [user])
        cursor.execute(
            "INSERT INTO relay.decrypted_knowledge_file (name, content_type, created_at) "
            "SELECT n::text, 'text/plain', timestamptz '2026-01-01' + n / 2 * interval '1 s' "
            "FROM generate_series(1, %s) AS n", [count])


@pytest.fixture(scope="module")
def alice():
    return session()["token"]


@pytest.fixture(scope="module")
def bob():
    return session()["token"]


@pytest.fixture(scope="module")
def reader():
    """Somebody with 120 files."""
    opened = session()
    add_many(opened["user_id"], 120)
    return opened["token"]


def test_session_is_new_and_lasts_seven_days():
    first, second = session(), session()
    assert first["user_id"] != second["user_id"]
    assert first["user_id"].startswith("anon:")
    uuid.UUID(first["user_id"].removeprefix("anon:"))
    ends = datetime.datetime.fromisoformat(first["expires_at"].replace("Z", "+00:00"))
    left = ends - datetime.datetime.now(datetime.timezone.utc)
    assert abs(left - datetime.timedelta(days=7)) < datetime.timedelta(seconds=60)


def test_file_is_added_read_and_deleted(alice):
    status, added = send("POST", FILES, alice, {
        "name": "a.txt", "content_type": "text/plain", "metadata": {"pages": 3}})
    assert status == 201
    assert added["metadata"] == {"pages": 3}
    path = f"{FILES}/{added['id']}"
    assert send("GET", path, alice) == (200, added)
    assert send("DELETE", path, alice) == (204, None)
    assert send("GET", path, alice)[0] == 404
    assert send("DELETE", path, alice)[0] == 404


def test_nobody_else_sees_a_file(alice, bob):
    _, added = send("POST", FILES, alice, {"name": "b.txt", "content_type": "text/plain"})
    path = f"{FILES}/{added['id']}"
    assert send("GET", path, bob)[0] == 404
    assert send("DELETE", path, bob)[0] == 404
    assert send("GET", FILES, bob) == (200, {"files": [], "next": None})
    assert send("GET", path, alice) == (200, added)


@pytest.mark.parametrize("query, count", [("", 50), ("?limit=7", 7), ("?limit=1000", 100)])
def test_page_size(reader, query, count):
    status, page = send("GET", FILES + query, reader)
    assert status == 200
    assert len(page["files"]) == count
    assert page["next"]


def test_pages_hold_every_file_once_newest_first(reader):
    found, after = [], ""
    for size in 50, 50, 20:
        _, page = send("GET", FILES + after, reader)
        assert len(page["files"]) == size
        found += [(file["created_at"], file["id"]) for file in page["files"]]
        after = f"?after={page['next']}"
    assert page["next"] is None
    assert found == sorted(set(found), reverse=True)
    assert len(found) == 120


@pytest.mark.parametrize("query", ["?limit=0", "?limit=x", "?after=x"])
def test_wrong_parameters_are_refused(reader, query):
    status, problem = send("GET", FILES + query, reader)
    assert status in (400, 422)
    assert problem["status"] == status


@pytest.mark.parametrize("body", [
    {}, {"name": ""}, {"name": "x" * 256}, {"name": 5},
    {"name": "a", "content_type": "no type"}, {"name": "a", "metadata": []},
    {"name": "a", "user_id": "anon:somebody else"},
])
def test_wrong_body_is_refused(alice, body):
    assert send("POST", FILES, alice, body)[0] == 422


@pytest.mark.parametrize("token", [None, "x", "a.b.c"])
def test_without_a_session_there_is_nothing(token):
    for method, path in ("GET", FILES), ("GET", f"{FILES}/{uuid.uuid4()}"):
        assert send(method, path, token)[0] == 401
