"""Secrets of webhooks while the key ring changes under them, and across databases."""
import base64
import hashlib
import hmac

import psycopg2
import pytest
from servers import key_line, run, wait_for

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


# Webhooks that are sent

OUTBOX = """INSERT INTO relay_guard.webhook_endpoint (name, url) VALUES ('one', 'https://one.example/'), ('two', 'https://two.example/')"""
CLAIM = "SELECT url, headers, body, attempt, delivery FROM relay_guard.webhook_claim(100) ORDER BY url"
SEND = """SELECT relay_guard.webhook_send('order.paid', '{"card": "tenants may see it"}')"""


@pytest.fixture
def outbox(hooks):
    """Two endpoints with secrets under key 1."""
    hooks.run("TRUNCATE relay_guard.webhook_message CASCADE; DELETE FROM relay_guard.webhook_endpoint; " + OUTBOX)
    hooks.shown = dict(hooks.run("SELECT name, relay_guard.webhook_endpoint_secret_set(name) FROM relay_guard.webhook_endpoint"))
    return hooks


def standard(secret, headers, body):
    """The signature that a receiver computes, of what the gateway is told to send."""
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + bytes(body)
    key = base64.b64decode(secret.removeprefix("whsec_"))
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def claimed(server):
    """(endpoint, headers, body, attempt, delivery) of what is due."""
    return [(url.split("//")[1].split(".")[0], dict(zip(headers[::2], headers[1::2])), *rest)
            for url, headers, *rest in server.run(CLAIM)]


def make_due(server):
    server.run("UPDATE relay_guard.webhook_delivery SET next_at = now(), leased_until = NULL WHERE state = 'pending'")


def test_receivers_of_both_forms_verify_what_is_sent(outbox):
    outbox.run(SEND)
    deliveries = claimed(outbox)
    assert [name for name, *_ in deliveries] == ["one", "two"]
    for name, headers, body, *_ in deliveries:
        assert headers["webhook-signature"] == standard(outbox.shown[name], headers, body)
        assert headers["x-signature"] == "sha256=" + hmac.new(outbox.shown[name].encode(), body, hashlib.sha256).hexdigest()


def test_deliveries_wait_while_secrets_do_not_open(outbox):
    outbox.run(SEND)
    rotate(outbox, "retired")
    assert claimed(outbox) == []
    # those whose secret opens go out meanwhile
    made = outbox.value("SELECT relay_guard.webhook_endpoint_secret_set('two', keep_old => '0')")
    make_due(outbox)
    (name, headers, body, attempt, delivery), = claimed(outbox)
    assert (name, attempt) == ("two", 1) and headers["webhook-signature"] == standard(made, headers, body)
    assert outbox.value("SELECT relay_guard.webhook_done(%s, %s, 200)", delivery, attempt) == "delivered"
    (state, attempts, error), = outbox.run("SELECT state, attempts, last_error FROM relay_guard.webhook_history WHERE endpoint = 'one'")
    assert (state, attempts) == ("pending", 0) and f"key {OLD} is retired" in error
    # nothing is lost: with their key back they go out, under the key that follows it as well
    rotate(outbox, "")
    assert outbox.value("SELECT relay_guard.rekey_secrets()") >= 1
    rotate(outbox, "retired")
    make_due(outbox)
    (name, headers, body, *_), = claimed(outbox)
    assert name == "one" and headers["webhook-signature"] == standard(outbox.shown["one"], headers, body)


def test_without_a_ring_all_wait(outbox):
    outbox.run(SEND)
    outbox.keyring.write_text("")
    outbox.options["relay_guard.keyring_file"] = ""
    outbox.restart()
    try:
        assert claimed(outbox) == []
        assert outbox.run("SELECT DISTINCT state, attempts FROM relay_guard.webhook_history") == [("pending", 0)]
    finally:
        outbox.options["relay_guard.keyring_file"] = outbox.keyring
        outbox.write_ring(key_line(OLD, "primary", outbox.old_key))
        outbox.restart()


def undelivered(server, database="postgres"):
    return server.run("""SELECT e.name, e.url, e.types, e.workspace, e.timeout, e.disabled_at, e.disabled_reason, m.public_id,
                                m.type, m.body::text, m.workspace, m.request_id, m.created_at, d.*
                         FROM relay_guard.webhook_delivery d JOIN relay_guard.webhook_message m ON m.id = d.message
                         RIGHT JOIN relay_guard.webhook_endpoint e ON e.id = d.endpoint
                         WHERE d.state IS DISTINCT FROM 'delivered' ORDER BY e.name, d.id""", database=database)


@pytest.mark.parametrize("options", [[], ["--inserts"], ["-Fc"]], ids=["copy", "inserts", "custom"])
def test_a_dump_has_what_is_still_to_be_sent(outbox, options):
    outbox.run("""SELECT count(relay_guard.webhook_send('first', '{}')) FROM generate_series(1, 3)""")
    # at endpoint one: delivered, given up, under way
    for status, (_, _, _, attempt, delivery) in zip((200, 410), claimed(outbox)):
        outbox.run("SELECT relay_guard.webhook_done(%s, %s, %s)", delivery, attempt, status)
    file = outbox.folder / "dump"
    outbox.program("pg_dump", *options, "-f", file)
    try:
        outbox.run("CREATE DATABASE restored")
        if "-Fc" in options:
            outbox.program("pg_restore", "-d", "restored", "--exit-on-error", file)
        else:
            outbox.program("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", file, database="restored")
        kept = undelivered(outbox)
        assert undelivered(outbox, "restored") == kept and len(kept) == 5
        assert outbox.value("SELECT count(*) FROM relay_guard.webhook_history WHERE state = 'delivered'", database="restored") == 0
        # what was under way is sent again when its lease is over, and numbers go on where they were
        restored = """UPDATE relay_guard.webhook_delivery SET next_at = now() - interval '1 s' WHERE state = 'pending';
                      SELECT count(*), min(attempt) FROM relay_guard.webhook_claim(100)"""
        outbox.run("UPDATE relay_guard.webhook_delivery SET leased_until = now() WHERE leased_until IS NOT NULL", database="restored")
        assert outbox.run(restored, database="restored")[0][1] == 2
        assert outbox.value("SELECT relay_guard.webhook_send('second', '{}') IS NOT NULL", database="restored")
    finally:
        outbox.run("DROP DATABASE IF EXISTS restored")
        file.unlink()


def test_no_secret_and_no_payload_of_a_webhook_that_is_sent_is_in_a_log(make_server):
    given = "f3b9ac70e1d24685b7c04fa1829d36e5"
    server = make_server({"log_statement": "all", "log_min_duration_statement": "0", "log_min_messages": "debug2",
                          "log_min_error_statement": "debug5", "log_parameter_max_length_on_error": "-1"})
    server.run("CREATE EXTENSION relay_guard; " + OUTBOX)
    made = server.value("SELECT relay_guard.webhook_endpoint_secret_set('one')")
    server.run(f"SELECT relay_guard.webhook_endpoint_secret_set('two', '{given}')")
    with pytest.raises(psycopg2.Error):
        server.run(f"SELECT relay_guard.webhook_endpoint_secret_set('three', '{given}')")
    server.run(SEND)
    signatures = [headers[name] for _, headers, *_ in claimed(server) for name in ("x-signature", "webhook-signature") if name in headers]
    log = server.log()
    assert 'webhook endpoint "three" does not exist' in log
    assert len(signatures) == 3
    for secret in given, made, made.removeprefix("whsec_"), given.encode().hex(), "tenants may see it", *signatures:
        assert secret not in log
    server.stop()


def test_nor_where_the_statement_does_not_show_that_it_sends(outbox):
    outbox.run("""CREATE OR REPLACE FUNCTION public.keep(name text, secret text) RETURNS text LANGUAGE sql
                  AS $$ SELECT relay_guard.webhook_endpoint_secret_set(name, secret) $$;
                  CREATE OR REPLACE FUNCTION public.sent(type text, payload jsonb) RETURNS text LANGUAGE sql
                  AS $$ SELECT relay_guard.webhook_send(type, payload) $$""")
    for statement in ("SELECT public.keep('three', 'whole but secret')", "SELECT public.keep('two', 'short but secret')",
                      """SELECT public.sent('no type', '{"card": "tenants may see it"}')""",
                      """SELECT public.sent('order.paid', '{"card": "tenants may see it"}')::int"""):
        with pytest.raises(psycopg2.Error):
            outbox.run(statement)
    log = outbox.log()
    assert 'webhook endpoint "three" does not exist' in log and "is shorter than 32 bytes" in log and "a webhook needs a type" in log
    for secret in "whole but secret", "short but secret", "tenants may see it":
        assert secret not in log


def test_the_worker_deletes_what_was_kept_long_enough(outbox):
    outbox.run(SEND)
    for *_, attempt, delivery in claimed(outbox):
        outbox.run("SELECT relay_guard.webhook_done(%s, %s, 200)", delivery, attempt)
    outbox.run("UPDATE relay_guard.webhook_message SET created_at = now() - interval '3 days'")
    assert outbox.value("SELECT relay_guard.webhook_expire()") == 0
    outbox.run(SEND)    # younger, and to be sent
    outbox.options |= {"relay_guard.databases": "postgres", "relay_guard.webhook_keep_days": 2}
    outbox.restart()
    try:
        wait_for(lambda: outbox.run("SELECT state, count(*) FROM relay_guard.webhook_history GROUP BY 1") == [("pending", 2)])
    finally:
        del outbox.options["relay_guard.databases"], outbox.options["relay_guard.webhook_keep_days"]
        outbox.restart()
