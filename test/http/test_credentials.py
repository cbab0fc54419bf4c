"""Credentials that end, and API keys: over HTTP, on every connection, at once."""
import json

import psycopg2
import pytest

ROUTES = """
    INSERT INTO relay_guard.route (method, path, query, auth, result, run_as)
    SELECT 'GET', '/test/as/' || auth, 'SELECT relay_guard.user_id() || '' '' || relay_guard.via()',
           auth, 'value', 'relay_app'
    FROM unnest('{user,admin,api_key}'::text[]) auth
"""


@pytest.fixture(scope="module", autouse=True)
def routes(postgres):
    postgres.sql(ROUTES, user="relay_owner")
    yield
    postgres.sql("DELETE FROM relay_guard.route WHERE path LIKE '/test/as/%'", user="relay_owner")


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def code(answer):
    return answer.status, answer.json()["code"]


def new_token(postgres, subject, **arguments):
    named = "".join(f", {name} => '{value}'" for name, value in arguments.items())
    return postgres.sql(f"SELECT relay_guard.issue_token('{subject}'{named})")[0][0]


def new_key(postgres, name, **arguments):
    named = "".join(f", {key} => '{value}'" for key, value in arguments.items())
    return postgres.sql(f"SELECT id, key FROM relay_guard.api_key_create('{name}'{named})")[0]


def ask_often(gateway, path, headers, times=16):
    """As many as there are backends to have cached something."""
    return {(answer.status, answer.body) for answer in (gateway.get(path, headers) for _ in range(times))}


def test_a_revoked_user_is_refused_from_the_next_request_on(postgres, gateway):
    token, other = new_token(postgres, "revoked"), new_token(postgres, "not revoked")
    assert {status for status, _ in ask_often(gateway, "/test/as/user", bearer(token))} == {200}
    postgres.sql("SELECT relay_guard.revoke(user_id => 'revoked')")
    for _ in range(16):
        answer = gateway.get("/test/as/user", bearer(token))
        assert code(answer) == (401, "token_revoked")
        assert answer.header("WWW-Authenticate") == 'Bearer realm="relay", error="invalid_token"'
    assert gateway.get("/test/as/user", bearer(other)).status == 200


def test_an_api_key_opens_what_takes_one(postgres, gateway):
    _, key = new_key(postgres, "plain")
    admin_id, admin = new_key(postgres, "admin", role="admin")
    plain = gateway.get("/test/as/api_key", {"X-API-Key": key})
    assert plain.status == 200 and plain.header("Cache-Control") == "no-store"
    assert json.loads(gateway.get("/test/as/admin", {"X-API-Key": admin}).body) == f"key:{admin_id} api_key"
    assert code(gateway.get("/test/as/admin", {"X-API-Key": key})) == (403, "admin_required")
    assert code(gateway.get("/test/as/user", {"X-API-Key": admin})) == (401, "unauthenticated")
    assert code(gateway.get("/test/as/api_key", {"X-API-Key": key + "x"})) == (401, "api_key_unknown")
    assert code(gateway.get("/test/as/api_key", {"X-API-Key": admin, **bearer(new_token(postgres, "a"))})) == (
        400, "two_credentials")


def test_pain_a_revoked_key_still_works(postgres, gateway):
    key_id, key = new_key(postgres, "ending")
    assert {status for status, _ in ask_often(gateway, "/test/as/api_key", {"X-API-Key": key})} == {200}
    postgres.sql(f"SELECT relay_guard.api_key_revoke('{key_id}')")
    for _ in range(16):
        assert code(gateway.get("/test/as/api_key", {"X-API-Key": key})) == (401, "api_key_revoked")


def test_statements_that_register_or_present_credentials_are_in_no_log(postgres):
    token = new_token(postgres, "warned")
    before = len((postgres.dir / "log").read_text())
    for statement in ("SELECT relay_guard.api_key_set('anon', 'Wq8hN2xkTz5vLr0cYb7mJd4pFs9gKe3u', 'anonymous')",
                      "SELECT relay_guard.api_key_set('weak', 'Wq8hN2xkTz5v', 'admin')",
                      "SELECT relay_guard.authenticate_api_key('Wq8hN2xkTz5vLr0cYb7mJd4pFs9gKe3u')",
                      "SELECT relay_guard.webhook_secret_set('weak', 'Wq8hN2xkTz5v')",
                      "SELECT relay_guard.webhook_secret_set('', 'Wq8hN2xkTz5vLr0cYb7mJd4pFs9gKe3u')",
                      "SELECT relay_guard.webhook_secret_set('x', 'Wq8hN2xkTz5vLr0cYb7mJd4pFs9gKe3u', '-1 s')"):
        with pytest.raises(psycopg2.Error):
            postgres.sql(statement)
    postgres.sql("ALTER ROLE postgres SET log_min_error_statement = warning")
    postgres.sql(f"SELECT relay_guard.authenticate('{token}')")
    postgres.sql("ALTER ROLE postgres RESET log_min_error_statement")
    log = (postgres.dir / "log").read_text()[before:]
    assert log.count("api_key_role_check") == 1 and "outside a transaction block" in log
    assert "Wq8hN2xkTz5v" not in log and token not in log


def test_keys_and_tokens_are_in_no_log(postgres, gateway):
    _, key = new_key(postgres, "logged")
    token = new_token(postgres, "logged")
    asked = [{"X-API-Key": key}, {"X-API-Key": "rgk_never-registered-but-secret-all-the-same"}, bearer(token)]
    for n, headers in enumerate(asked):
        gateway.get("/test/as/user" if headers is asked[-1] else "/test/as/api_key", {**headers, "X-Request-ID": f"presented-{n}"})
    lines = json.dumps(gateway.access_log(*(f"presented-{n}" for n in range(len(asked))))) + gateway.errors() + (postgres.dir / "log").read_text()
    for secret in key, token, "never-registered":
        assert secret not in lines
