"""What the gateway's clients are refused stands in the audit log within seconds; its head in the access log."""
import re
import time
import uuid
from datetime import datetime

import pytest

from conftest import running, wait_until

ADDRESS = {"X-Forwarded-For": "203.0.113.99"}
FILES = "/api/v1/knowledge/files"
ROUTES = """
    INSERT INTO relay_guard.route (method, path, query, auth, result, run_as) VALUES
        ('GET', '/test/denied/user', 'SELECT 1', 'user', 'value', 'relay_app'),
        ('GET', '/test/denied/admin', 'SELECT 1', 'admin', 'value', 'relay_app')
"""


@pytest.fixture(scope="module", autouse=True)
def routes(postgres):
    postgres.sql("SELECT relay_guard.audit_event('test', 'denials')")
    postgres.sql("SELECT relay_guard.audit_seal()")
    postgres.sql(ROUTES, user="relay_owner")
    yield
    postgres.sql("DELETE FROM relay_guard.route WHERE path LIKE '/test/denied/%'", user="relay_owner")


@pytest.fixture(scope="module")
def gateway(postgres):
    with running(postgres.url("relay_gateway"), TRUSTED_PROXIES="127.0.0.1") as gateway:
        wait_until(gateway.is_ready, what="readiness")
        yield gateway


def new_token(postgres, subject):
    return postgres.sql(f"SELECT relay_guard.issue_token('{subject}')")[0][0]


def bearer(token, request_id):
    return {"Authorization": f"Bearer {token}", "X-Request-ID": request_id, **ADDRESS}


def denial(postgres, request_id):
    """resource, actor, address and details, once they are there."""
    query = ("SELECT resource_type, resource_id, actor, host(client_ip), details FROM relay_guard.audit_log "
             f"WHERE action = 'denied' AND status = 'denied' AND request_id = '{request_id}'")
    wait_until(lambda: postgres.sql(query), what="the row of a denial")
    rows = postgres.sql(query)
    assert len(rows) == 1
    return rows[0]


def test_wrong_token(postgres, gateway):
    answer = gateway.get("/test/denied/user?code=secret", bearer("wrong.wrong.wrong", "d-401"))
    assert answer.status == 401
    kind, resource, actor, address, details = denial(postgres, "d-401")
    assert (kind, resource, actor, address) == ("request", "GET /test/denied/user", None, "203.0.113.99")
    assert (details["code"], details["http_status"]) == (answer.json()["code"], 401)


def test_forbidden(postgres, gateway):
    assert gateway.get("/test/denied/admin", bearer(new_token(postgres, "eve"), "d-403")).status == 403
    _, resource, actor, _, details = denial(postgres, "d-403")
    assert (resource, actor, details["code"]) == ("GET /test/denied/admin", "eve", "admin_required")


def test_revoked(postgres, gateway):
    token = new_token(postgres, "gone")
    assert gateway.get("/test/denied/user", bearer(token, "d-good")).status == 200
    postgres.sql("SELECT relay_guard.revoke(user_id => 'gone')")
    assert gateway.get("/test/denied/user", bearer(token, "d-revoked")).status == 401
    _, _, actor, _, details = denial(postgres, "d-revoked")
    assert (actor, details["code"], details["subject"]) == (None, "token_revoked", "gone")


def test_moved_ciphertext_is_404_as_ever_and_noted(postgres, gateway):
    user = gateway.ask("POST", "/api/v1/anon_session", ADDRESS).json()
    headers = bearer(user["token"], "d-made")
    first, second = (gateway.ask("POST", FILES, {**headers, "Content-Type": "application/json"},
                                 b'{"name": "a", "metadata": {"a": 1}}').json()["id"] for _ in range(2))
    postgres.sql("SET session_replication_role = replica; UPDATE relay.knowledge_file SET metadata = "
                 f"(SELECT metadata FROM relay.knowledge_file WHERE id = '{first}') WHERE id = '{second}'")
    moved = gateway.get(f"{FILES}/{second}", bearer(user["token"], "d-moved"))
    missing = gateway.get(f"{FILES}/{uuid.uuid4()}", bearer(user["token"], "d-missing"))
    assert (moved.status, moved.json()["code"]) == (missing.status, missing.json()["code"]) == (404, "not_found")
    kind, resource, actor, address, details = denial(postgres, "d-moved")
    assert (kind, resource, actor, address) == ("knowledge_file", None, user["user_id"], "203.0.113.99")
    assert (details["code"], details["request"]) == ("value_does_not_open", f"GET {FILES}/{second}")
    assert details["label"] == "relay.knowledge_file.metadata"


def test_no_token_and_no_query_is_in_a_row(postgres, gateway):
    denial(postgres, "d-401")
    assert postgres.sql("SELECT count(*) FROM relay_guard.audit_log AS l WHERE request_id LIKE 'd-%' AND l::text ~ 'wrong|secret'") == [(0,)]


def test_good_requests_and_those_without_credentials_leave_nothing(postgres, gateway):
    assert gateway.get("/test/denied/user", {"X-Request-ID": "d-none", **ADDRESS}).status == 401
    gateway.get("/test/denied/user", bearer("wrong.wrong.again", "d-last"))
    denial(postgres, "d-last")
    assert postgres.sql("SELECT request_id FROM relay_guard.audit_log "
                        "WHERE request_id IN ('d-none', 'd-good', 'd-missing') AND action = 'denied'") == []


def anchors(gateway):
    return [line["anchor"] for line in gateway.access_lines() if "anchor" in line]


def test_head_of_the_seals_is_anchored_in_the_access_log(postgres, start):
    gateway = start(AUDIT_ANCHOR_INTERVAL="1s", WORKERS=3)
    wait_until(lambda: len(anchors(gateway)) >= 6, what="six anchors")
    times = sorted(datetime.fromisoformat(line["time"]) for line in gateway.access_lines() if "anchor" in line)
    assert len(times) - 1 <= (times[-1] - times[0]).total_seconds() + 2, "one worker of all writes them"
    for anchor in anchors(gateway):
        seal, root = re.fullmatch(r"(\d+):([0-9a-f]{64})", anchor).groups()
        assert postgres.sql(f"SELECT encode(root, 'hex') FROM relay_guard.audit_seal WHERE seal_id = {seal}") == [(root,)]


def test_anchors_can_be_switched_off(postgres, start):
    gateway = start(AUDIT_ANCHOR_INTERVAL="0")
    time.sleep(3)
    assert anchors(gateway) == []


def test_a_head_that_cannot_be_read_is_said_once_and_disturbs_nothing(postgres, start):
    postgres.sql("REVOKE EXECUTE ON FUNCTION relay_guard.audit_head() FROM relay_gateway")
    try:
        gateway = start(AUDIT_ANCHOR_INTERVAL="1s", WORKERS=1)
        wait_until(lambda: "cannot be anchored" in gateway.errors(), what="a warning")
        time.sleep(2.5)
        assert gateway.errors().count("cannot be anchored") == 1
        assert gateway.get("/test/echo/works").status == 200
    finally:
        postgres.sql("GRANT EXECUTE ON FUNCTION relay_guard.audit_head() TO relay_gateway")
    wait_until(lambda: "anchored again" in gateway.errors(), what="a message")
