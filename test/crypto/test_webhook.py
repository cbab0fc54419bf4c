"""Secrets of webhooks while the key ring changes under them, and across databases."""
import base64
import hashlib
import hmac

import psycopg2
import pytest
from servers import key_line, run

SIGN = """SELECT "webhook-signature", "x-signature" FROM relay_guard.webhook_sign('hooks', 'msg_1', 'hello', 'epoch')"""
OLD = 1     # ids of keys
NEW = 2


@pytest.fixture
def hooks(server):
    """Key 1 alone; webhook "hooks" has a former and a current secret."""
    server.old_key, server.new_key = bytes(range(32)), bytes(range(1, 33))
    server.write_ring(key_line(OLD, "primary", server.old_key))
    server.reload()
    server.run("TRUNCATE relay_guard.webhook_secret")
    server.shown = [server.value("SELECT relay_guard.webhook_secret_set('hooks')") for _ in range(2)]
    return server


def rotate(server, state_of_old):
    server.write_ring(key_line(OLD, state_of_old, server.old_key) + key_line(NEW, "primary", server.new_key))
    server.reload()


def expected(server, *shown):
    """What the standard's own text says: base64 behind whsec_ is the key of id.timestamp.body."""
    def signature(secret):
        key = base64.b64decode(secret.removeprefix("whsec_"))
        return "v1," + base64.b64encode(hmac.new(key, b"msg_1.0.hello", hashlib.sha256).digest()).decode()

    body = hmac.new(shown[-1].encode(), b"hello", hashlib.sha256).hexdigest()
    return [(" ".join(map(signature, shown)), f"sha256={body}")]


def sealed_under(server):
    return server.run("SELECT relay_guard.key_id(secret) FROM relay_guard.webhook_secret ORDER BY version")


def test_a_secret_that_was_shown_is_the_one_that_signs(hooks):
    assert hooks.run(SIGN) == expected(hooks, *hooks.shown)


def test_secrets_of_webhooks_outlive_their_key(hooks):
    session = hooks.connect()
    assert run(session, SIGN) == expected(hooks, *hooks.shown)
    rotate(hooks, "")
    assert run(session, SIGN) == expected(hooks, *hooks.shown)
    assert hooks.value("SELECT relay_guard.rekey_secrets()") == 2
    assert sealed_under(hooks) == [(NEW,), (NEW,)]
    rotate(hooks, "retired")
    for connection in session, hooks.connect():
        assert run(connection, SIGN) == expected(hooks, *hooks.shown)


def test_a_current_secret_whose_key_retired_too_early_is_a_fault_of_the_server(hooks):
    session = hooks.connect()
    run(session, SIGN)
    rotate(hooks, "retired")
    for connection in session, hooks.connect():
        # the former one is left out with a warning, the current one stops the call
        with pytest.raises(psycopg2.Error, match=f"key {OLD} is retired") as error:
            run(connection, SIGN)
        assert error.value.pgcode == "RG503"
    # another can be stored all the same, and does not wait for them
    made = hooks.value("SELECT relay_guard.webhook_secret_set('hooks')")
    assert run(session, SIGN) == expected(hooks, made)
    assert sum("does not open and is left out" in notice for notice in session.notices) == 3
    # nothing is lost: with their key back they sign again
    rotate(hooks, "")
    assert run(session, SIGN) == expected(hooks, *hooks.shown, made)


def test_what_was_sealed_under_another_ring_does_not_open(hooks):
    hooks.write_ring(key_line(OLD, "primary", bytes(range(2, 34))))
    hooks.reload()
    with pytest.raises(psycopg2.Error, match=r"the secret of relay_guard.webhook_secret \(hooks\) does not open") as error:
        hooks.run("SELECT relay_guard.webhook_verify('hooks', 'msg_1', '0', 'v1,', 'hello')")
    assert error.value.pgcode == "RG503"


def test_without_a_ring_none_is_stored_and_none_verified(hooks, make_server):
    bare = make_server({"relay_guard.keyring_file": ""})
    bare.run("CREATE EXTENSION relay_guard")
    for use in ("SELECT relay_guard.webhook_secret_set('hooks')",
                "SELECT relay_guard.webhook_secret_set('hooks', 'f3b9ac70e1d24685b7c04fa1829d36e5')"):
        with pytest.raises(psycopg2.Error, match="the server has no key ring") as error:
            bare.run(use)
        assert error.value.pgcode == "RG503"
    assert bare.value("SELECT count(*) FROM relay_guard.webhook_secret") == 0
    bare.stop()


def test_a_secret_of_a_webhook_is_in_no_log(make_server):
    given = "f3b9ac70e1d24685b7c04fa1829d36e5"
    server = make_server({"log_statement": "all", "log_min_duration_statement": "0", "log_min_messages": "debug2",
                          "log_min_error_statement": "debug5", "log_parameter_max_length_on_error": "-1"})
    server.run("CREATE EXTENSION relay_guard")
    made = server.value("SELECT relay_guard.webhook_secret_set('made')")
    server.run(f"SELECT relay_guard.webhook_secret_set('given', '{given}')")
    with pytest.raises(psycopg2.Error):
        server.run(f"SELECT relay_guard.webhook_secret_set('', '{given}')")
    with pytest.raises(psycopg2.Error):
        server.run(f"SELECT relay_guard.webhook_secret_set('given', '{given} ')")
    server.run(SIGN.replace("hooks", "made"))
    log = server.log()
    assert "webhook_secret_name_check" in log
    for secret in given, made, made.removeprefix("whsec_"), given.encode().hex():
        assert secret not in log
    server.stop()


def test_nor_where_the_statement_does_not_show_that_it_takes_one(hooks):
    hooks.run("""CREATE OR REPLACE FUNCTION public.keep(secret text) RETURNS text LANGUAGE sql
                 AS $$ SELECT relay_guard.webhook_secret_set('kept', secret) $$""")
    hooks.run("""CREATE OR REPLACE FUNCTION public.came(body text) RETURNS boolean LANGUAGE sql
                 AS $$ SELECT relay_guard.webhook_verify('nobody', '', '', '', convert_to(body, 'UTF8')) $$""")
    for statement in "SELECT public.keep('short but secret')", "SELECT public.came('short but secret')":
        with pytest.raises(psycopg2.Error):
            hooks.run(statement)
    log = hooks.log()
    assert "is shorter than 32 bytes" in log and 'there is no webhook secret "nobody"' in log
    assert "short but secret" not in log
