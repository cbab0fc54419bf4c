"""What a client sends does not reach the server's log, though the server logs everything."""
import json

import pytest

LOGS_ALL = {
    "log_statement": "'all'", "log_min_duration_statement": "0", "log_min_messages": "'debug2'",
    "log_parameter_max_length": "-1", "log_parameter_max_length_on_error": "-1", "debug_print_plan": "on",
    "session_preload_libraries": "'auto_explain'", "\"auto_explain.log_min_duration\"": "0",
    "\"auto_explain.log_nested_statements\"": "on", "\"auto_explain.log_verbose\"": "on",
}
BODY = '{"type": "object", "required": ["text"], "properties": {"text": {"type": "string"}}}'
ROUTES = f"""
    INSERT INTO relay_guard.route (method, path, query, auth, result, request_body, run_as) VALUES
    ('POST', '/test/number', 'SELECT request.text::int', 'user', 'value', '{BODY}', 'relay_app'),
    ('POST', '/test/twice', 'SELECT 1 / (length(request.text) - length(request.text))', 'user', 'value', '{BODY}',
     'relay_app')
"""


@pytest.fixture
def talkative(postgres, start):
    """A gateway whose sessions log all there is, and what its server has logged since."""
    for name, value in LOGS_ALL.items():
        postgres.sql(f"ALTER ROLE relay_gateway SET {name} = {value}")
    postgres.sql(ROUTES, user="relay_owner")
    before = len((postgres.dir / "log").read_text())
    try:
        yield start(), lambda: (postgres.dir / "log").read_text()[before:]
    finally:
        postgres.sql("ALTER ROLE relay_gateway RESET ALL")
        postgres.sql("DELETE FROM relay_guard.route WHERE path IN ('/test/number', '/test/twice')", user="relay_owner")


def forms(text):
    return text, text.encode().hex(), " ".join(str(byte) for byte in text.encode())


def test_neither_token_nor_body_is_logged(postgres, talkative):
    gateway, log = talkative
    token = postgres.sql("SELECT relay_guard.issue_token('alice')")[0][0]
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", "X-Request-Id": "told-in-log"}
    body = json.dumps({"text": "canary"}).encode()
    assert gateway.ask("POST", "/test/notes", headers, body).status == 200
    assert gateway.ask("POST", "/test/number", headers, body).status == 422
    assert gateway.ask("POST", "/test/twice", headers, body).status == 500
    assert gateway.get("/test/whoami", {"Authorization": "Bearer canary.canary.canary"}).status == 401
    text = log()
    assert "relay_guard.serve($1" in text and "plan:" in text
    for secret in ("canary", token, token.split(".")[2]):
        assert not [form for form in forms(secret) if form in text.lower() or form in text]


def test_errors_are_logged_with_their_request(talkative, postgres):
    gateway, log = talkative
    token = postgres.sql("SELECT relay_guard.issue_token('alice')")[0][0]
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    answer = gateway.ask("POST", "/test/twice", headers, b'{"text": "canary"}')
    text = log()
    assert "ERROR:  division by zero" in text
    assert f"CONTEXT:  request {answer.json()['request_id']}: POST /test/twice" in text
