"""What is refused leaves a row of the audit log, though its transaction is gone; a flood does not fill it."""
import json
import os

import psycopg2
import pytest

from servers import run, sqlstate, wait_for

SETTINGS = {"relay_guard.databases": "postgres", "max_worker_processes": 16}
ROUTES = """
    CREATE ROLE app;
    SELECT relay_guard.grant_role('app', 'app');
    CREATE TABLE note (id int PRIMARY KEY, owner text NOT NULL, body bytea);
    INSERT INTO note SELECT i, 'ann' FROM generate_series(1, 60) AS i;
    SELECT relay_guard.encrypt_column('note', 'body', '{owner,id}', plaintext => 'text');
    UPDATE decrypted_note SET body = 'body ' || id;
    GRANT SELECT, UPDATE ON note, decrypted_note TO app;
    CREATE TABLE walled (n int);
    ALTER TABLE walled ENABLE ROW LEVEL SECURITY;
    GRANT INSERT ON walled TO app;
    INSERT INTO relay_guard.route (method, path, query, auth, result, run_as) VALUES
        ('GET', '/open', 'SELECT 1', 'none', 'value', 'app'),
        ('GET', '/optional', 'SELECT 1', 'optional', 'value', 'app'),
        ('GET', '/mine', 'SELECT relay_guard.user_id()', 'user', 'value', 'app'),
        ('GET', '/key', 'SELECT 1', 'api_key', 'value', 'app'),
        ('GET', '/admin', 'SELECT 1', 'admin', 'value', 'app'),
        ('GET', '/notes', 'SELECT id, body FROM public.decrypted_note ORDER BY id', 'user', 'rows', 'app'),
        ('GET', '/strict', $$SELECT relay_guard.decrypt_text(body, relay_guard.aad('public.note.body', 'bob', '1'))
                             FROM public.note WHERE id = 1$$, 'user', 'value', 'app'),
        ('GET', '/walled', 'INSERT INTO public.walled VALUES (1) RETURNING n', 'user', 'row', 'app'),
        ('GET', '/fail403', $$SELECT relay_guard.fail(403, 'not_yours')$$, 'user', 'value', 'app'),
        ('GET', '/fail401', $$SELECT relay_guard.fail(401, 'Odd "code"')$$, 'none', 'value', 'app');
    INSERT INTO relay_guard.route (method, path, query, parameters, auth, result, run_as) VALUES
        ('GET', '/any/{word}', 'SELECT 1', '[{"name": "word", "in": "path", "required": true, "schema": {"type": "string"}}]',
         'user', 'value', 'app');
"""
MOVE = """SET session_replication_role = replica;
          UPDATE note SET body = (SELECT body FROM note WHERE id = 60) WHERE id <= %s;
          RESET session_replication_role"""


@pytest.fixture(scope="module")
def server(make_server):
    server = make_server(SETTINGS)
    server.run("CREATE EXTENSION relay_guard; SELECT relay_guard.audit_maintain()")
    server.run(ROUTES)
    yield server
    server.stop("immediate")


@pytest.fixture(scope="module")
def sealed_off(make_server):
    """Servers of their own for tests that flood or break something."""
    def make(**settings):
        server = make_server({**SETTINGS, **settings})
        server.run("CREATE EXTENSION relay_guard")
        return server
    return make


def denials(server, request_id):
    """The rows of a request, as soon as there are some."""
    query = """SELECT row_to_json(l) FROM relay_guard.audit_log l
               WHERE action = 'denied' AND request_id = %s ORDER BY id"""
    wait_for(lambda: server.run(query, request_id))
    return [row for row, in server.run(query, request_id)]


def denial(server, request_id):
    rows = denials(server, request_id)
    assert len(rows) == 1
    assert (rows[0]["source"], rows[0]["status"]) == ("system", "denied")
    return rows[0]


def none_of(server, request_id):
    """Whether a later refusal is written and that request has none."""
    later = request_id + "-later"
    sqlstate_of_authenticate(server, later)
    denials(server, later)
    return server.value("SELECT count(*) FROM relay_guard.audit_log WHERE request_id = %s", request_id) == 0


def sqlstate_of_authenticate(server, request_id, token="not.a.token", address="192.0.2.1"):
    connection = server.connect()
    try:
        return sqlstate(connection, "SELECT relay_guard.authenticate(%s, %s, %s)", token, request_id, address)
    finally:
        connection.close()


def token(server, subject="ann", **more):
    return server.value("SELECT relay_guard.issue_token(%s, %s, %s)", subject, more.get("workspace"),
                        more.get("role", "user"))


def serve(server, path, request_id, address="198.51.100.7", **headers):
    """The status of a request, or the SQLSTATE that it ends with."""
    flat = [text for name, value in headers.items() for text in (name.replace("_", "-"), value)]
    connection = server.connect()
    try:
        return run(connection, "SELECT status FROM relay_guard.serve('GET', %s, headers => %s::text[], "
                   "client_ip => %s, request_id => %s)", path, flat, address, request_id)[0][0]
    except psycopg2.Error as error:
        return error.pgcode
    finally:
        connection.close()


def bearer(text):
    return {"authorization": f"Bearer {text}"}


# What is noted


def test_refused_token_is_noted_without_a_byte_of_it(server):
    assert serve(server, "/mine", "r-token", **bearer("secretsecret.secretsecret.secretsecret")) == 401
    row = denial(server, "r-token")
    assert (row["resource_type"], row["resource_id"], row["actor"]) == ("request", "GET /mine", None)
    assert row["client_ip"] == "198.51.100.7"
    details = row["details"]
    assert (details["code"], details["http_status"], details["class"]) == ("token_malformed", 401, "credentials")
    assert "secretsecret" not in json.dumps(row)


def test_request_without_credentials_is_no_denial(server):
    assert serve(server, "/mine", "r-nothing") == 401
    assert sqlstate_of_authenticate(server, "r-nothing", token="") == "RG401"
    assert sqlstate_of_authenticate(server, "r-nothing", token=None) == "RG401"
    assert serve(server, "/fail401", "r-nothing") == "RG401"
    assert none_of(server, "r-nothing")


def test_authenticate_in_plain_sql_is_noted_with_the_role(server):
    assert sqlstate_of_authenticate(server, "r-sql") == "RG401"
    row = denial(server, "r-sql")
    assert (row["resource_id"], row["actor"], row["client_ip"]) == (None, None, "192.0.2.1")
    assert row["details"]["session_role"] == "postgres"
    assert "http_status" not in row["details"]


def test_denial_survives_rollback_and_a_handler(server):
    connection = server.connect(autocommit=False)
    run(connection, """DO $$ BEGIN PERFORM relay_guard.authenticate('x.y.z', 'r-caught');
                       EXCEPTION WHEN OTHERS THEN NULL; END $$""")
    connection.rollback()
    connection.close()
    assert denial(server, "r-caught")["details"]["code"] == "token_malformed"


def test_revoked_token_names_its_subject_but_no_actor(server):
    revoked = token(server, "carol")
    server.run("SELECT relay_guard.revoke(user_id => 'carol', before => now() + interval '1 hour')")
    assert serve(server, "/mine", "r-revoked", **bearer(revoked)) == 401
    row = denial(server, "r-revoked")
    assert (row["actor"], row["via"]) == (None, None)
    assert (row["details"]["code"], row["details"]["subject"]) == ("token_revoked", "carol")


def test_forged_token_names_no_subject(server):
    genuine = token(server, "ann")
    forged = genuine[:-8] + ("AAAAAAAA" if genuine[-8:] != "AAAAAAAA" else "BBBBBBBB")
    assert serve(server, "/mine", "r-forged", **bearer(forged)) == 401
    row = denial(server, "r-forged")
    assert row["details"]["code"] == "token_signature"
    assert "subject" not in row["details"] and row["actor"] is None
    assert "ann" not in json.dumps(row)


def test_revoked_api_key_names_its_id(server):
    key_id, key = server.run("SELECT id, key FROM relay_guard.api_key_create('robot', 'user')")[0]
    assert serve(server, "/key", "r-key-good", x_api_key=key) == 200
    server.run("SELECT relay_guard.api_key_revoke(%s)", key_id)
    assert serve(server, "/key", "r-key", x_api_key=key) == 401
    row = denial(server, "r-key")
    assert (row["details"]["code"], row["details"]["subject"]) == ("api_key_revoked", f"key:{key_id}")
    assert row["api_key_id"] is None and key not in json.dumps(row)
    assert serve(server, "/key", "r-key-unknown", x_api_key="rgk_" + "x" * 43) == 401
    assert "subject" not in denial(server, "r-key-unknown")["details"]


def test_forbidden_request_has_its_actor(server):
    assert serve(server, "/admin", "r-admin", **bearer(token(server, "ann", workspace="w1"))) == 403
    row = denial(server, "r-admin")
    assert (row["actor"], row["via"], row["workspace_id"], row["client_ip"]) == ("ann", "token", "w1", "198.51.100.7")
    assert (row["details"]["code"], row["details"]["http_status"]) == ("admin_required", 403)
    assert "session_role" not in row["details"]


def test_refusals_by_sql_have_their_code(server):
    ann = bearer(token(server))
    assert serve(server, "/walled", "r-policy", **ann) == "42501"
    assert denial(server, "r-policy")["details"]["code"] == "forbidden"
    assert serve(server, "/fail403", "r-fail", **ann) == "RG403"
    row = denial(server, "r-fail")
    assert (row["actor"], row["details"]["code"]) == ("ann", "not_yours")
    assert serve(server, "/fail401", "r-fail401", **ann) == "RG401"
    assert denial(server, "r-fail401")["details"]["code"] == "other"


# Values


@pytest.fixture
def moved(server):
    """The first fifty notes have the value of another."""
    server.run("ALTER TABLE note ADD COLUMN IF NOT EXISTS kept bytea")
    server.run("SET session_replication_role = replica; UPDATE note SET kept = body")
    server.run(MOVE, 50)
    yield
    server.run("SET session_replication_role = replica; UPDATE note SET body = kept")


def test_moved_value_in_a_route_names_who_read_it(server, moved):
    assert serve(server, "/strict", "r-strict", **bearer(token(server, "ann", workspace="w1"))) == "RG404"
    row = denial(server, "r-strict")
    assert (row["actor"], row["workspace_id"], row["resource_type"]) == ("ann", "w1", "note")
    details = row["details"]
    assert (details["code"], details["label"], details["values"], details["request"]) == \
        ("value_does_not_open", "public.note.body", 1, "GET /strict")


def test_values_of_a_list_are_one_row_with_their_number(server, moved):
    assert serve(server, "/notes", "r-list", **bearer(token(server))) == 200
    assert denial(server, "r-list")["details"]["values"] == 50


@pytest.mark.parametrize("statement, values", [
    ("SELECT count(*) FROM decrypted_note WHERE id = 3", 1),
    ("SELECT relay_guard.try_decrypt_text(body, relay_guard.aad('public.note.body', 'ann', id::text)) "
     "FROM note WHERE id <= 5", 5)])
def test_moved_value_in_plain_sql(server, moved, statement, values):
    request_id = f"r-plain-{values}"
    connection = server.connect(autocommit=False)
    run(connection, "SELECT relay_guard.assume('ann', 'w', 'user', %s)", request_id)
    run(connection, statement)
    connection.rollback()
    connection.close()
    row = denial(server, request_id)
    assert (row["actor"], row["via"], row["resource_type"]) == ("ann", "assume", "note")
    assert row["details"]["values"] == values


def test_writing_a_moved_value_is_noted(server):
    connection = server.connect()
    run(connection, "SET ROLE app")
    assert sqlstate(connection, "UPDATE note SET body = (SELECT body FROM note WHERE id = 60) WHERE id = 59") == "23514"
    connection.close()
    query = """SELECT count(*) FROM relay_guard.audit_log WHERE resource_type = 'note' AND actor IS NULL
               AND details ->> 'session_role' = 'postgres'"""
    wait_for(lambda: server.value(query) == 1)


def test_values_read_in_parallel_are_noted(server, moved):
    connection = server.connect(autocommit=False)
    run(connection, """SET LOCAL debug_parallel_query = on""" if connection.server_version >= 160000
        else "SET LOCAL force_parallel_mode = on")
    run(connection, "SELECT relay_guard.assume('ann', 'w', 'user', 'r-parallel')")
    run(connection, "SELECT count(relay_guard.try_decrypt_text(body, relay_guard.aad('public.note.body', 'ann', id::text)))"
        " FROM note WHERE id <= 5")
    connection.commit()
    connection.close()
    assert sum(row["details"]["values"] for row in denials(server, "r-parallel")) == 5
    assert {row["actor"] for row in denials(server, "r-parallel")} == {"ann"}


# Attackers


def test_no_denial_under_somebody_elses_identity(server):
    """A refused token within a transaction of another user, and one user after the other in a session."""
    connection = server.connect(autocommit=False)
    run(connection, "SELECT relay_guard.assume('victim', 'w', 'user', 'r-victim')")
    assert sqlstate(connection, "SELECT relay_guard.authenticate('a.b.c', 'r-other')") == "RG401"
    connection.rollback()
    run(connection, "SELECT relay_guard.try_decrypt_text('\\x00', relay_guard.aad('public.note.body'))")
    connection.commit()
    connection.close()
    row = denial(server, "r-other")
    assert row["actor"] is None and "victim" not in json.dumps(row)
    assert none_of(server, "r-victim")


def test_values_of_two_identities_of_a_transaction_stay_apart(server):
    bad = "SELECT relay_guard.try_decrypt_text('\\x00', relay_guard.aad('public.note.body'))"
    connection = server.connect(autocommit=False)
    run(connection, "SAVEPOINT a")
    run(connection, "SELECT relay_guard.assume('first', 'w', 'user', 'r-first')")
    run(connection, bad)
    run(connection, "ROLLBACK TO a")
    run(connection, "SELECT relay_guard.assume('other', 'w', 'user', 'r-second')")
    run(connection, bad)
    run(connection, bad)
    connection.commit()
    connection.close()
    assert denial(server, "r-first")["actor"] == "first"
    second = denial(server, "r-second")
    assert (second["actor"], second["details"]["values"]) == ("other", 2)


def test_two_requests_of_a_transaction_stay_apart(server, moved):
    connection = server.connect(autocommit=False)
    for user in ("ann", "bob"):
        run(connection, "SELECT relay_guard.serve('GET', '/notes', headers => ARRAY['authorization', 'Bearer ' || %s], "
            "request_id => %s)", token(server, user), f"r-two-{user}")
    connection.rollback()
    connection.close()
    for user in ("ann", "bob"):
        row = denial(server, f"r-two-{user}")
        assert (row["actor"], row["details"]["values"]) == (user, 50)


def test_path_request_id_and_label_cannot_forge_lines(server):
    assert serve(server, "/any/a%0d%0a\r\n\x1b[2J\u202e", 'r-evil"\n\t', **bearer("a.b.c")) == 401
    row = denial(server, 'r-evil"??')
    assert row["resource_id"] == "GET /any/a%0d%0a???[2J???"
    assert serve(server, "/any/" + "a" * 3000, "r-long", **bearer("a.b.c")) == 401
    assert len(denial(server, "r-long")["resource_id"]) < 330
    server.run("""DO $$ BEGIN PERFORM relay_guard.assume('ann', 'w', 'user', 'r-label');
        PERFORM relay_guard.try_decrypt_text('\\x00', relay_guard.aad(E'a.b\\r\\n", "x": "y.c')); END $$""")
    row = denial(server, "r-label")
    assert (row["resource_type"], row["details"]["label"]) == ('b??", "x": "y', 'a.b??", "x": "y.c')


def test_long_identities_are_whole_or_absent(server):
    fits, long = "u" * 319, "v" * 320
    for user in (fits, long):
        server.run("DO $$ BEGIN PERFORM relay_guard.assume('%s', 'w', 'user', 'r-%s'); "
                   "PERFORM relay_guard.try_decrypt_text('\\x00', relay_guard.aad('x')); END $$" % (user, user[0]))
    assert denial(server, "r-u")["actor"] == fits
    row = denial(server, "r-v")
    assert row["actor"] is None and row["resource_type"] == "value"


def test_no_refusal_has_two_rows(server):
    sqlstate_of_authenticate(server, "r-once")
    denials(server, "r-once")
    assert none_of(server, "r-never")
    assert server.run("""SELECT request_id FROM relay_guard.audit_log WHERE request_id <> 'r-parallel'
                         GROUP BY request_id HAVING count(*) > 1""") == []


# Floods

FLOOD = """SELECT count(*) FROM (SELECT relay_guard.serve('GET', '/mine',
    headers => ARRAY['authorization', 'Bearer a.b.c'], client_ip => {address}, request_id => 'flood')
    FROM generate_series(1, %s) AS i OFFSET 0) AS served"""
TOLD = """SELECT count(*) FILTER (WHERE NOT details ? 'counted_until'), count(*) FILTER (WHERE details ? 'counted_until'),
                 coalesce(sum((details ->> 'left_out')::bigint), 0)::bigint
          FROM relay_guard.audit_log WHERE action = 'denied' AND details ->> 'class' = 'credentials'"""


def metric(server, name, **labels):
    return server.value("SELECT sum(value)::bigint FROM relay_guard.metrics() WHERE name = %s AND labels @> %s",
                        f"relay_guard_audit_denials_{name}", json.dumps(labels))


@pytest.fixture(scope="module")
def flooded(sealed_off):
    server = sealed_off()
    server.run("SELECT relay_guard.audit_maintain()")
    server.run(ROUTES)
    return server


def test_flood_of_refusals_makes_few_rows_and_loses_no_count(flooded):
    """100,000 refused tokens of one address, and as many of an address each."""
    flooded.run(FLOOD.format(address="'192.0.2.1'"), 100000)
    assert metric(flooded, "total", **{"class": "credentials"}) == 100000
    wait_for(lambda: flooded.run(TOLD)[0][0] == 10)
    assert metric(flooded, "left_out_total", **{"class": "credentials"}) == 99990
    flooded.run(FLOOD.format(address="'10.0.0.0'::inet + i"), 100000)
    wait_for(lambda: flooded.run(TOLD)[0][0] >= 100)
    rows, counts, told = flooded.run(TOLD)[0]
    assert rows <= 105 and counts <= 1
    assert metric(flooded, "total", **{"class": "credentials"}) == 200000
    assert metric(flooded, "left_out_total", **{"class": "credentials"}) == 200000 - rows
    assert metric(flooded, "dropped_total") == 0


def test_flood_of_forged_tokens_hides_no_moved_value(flooded):
    assert serve(flooded, "/strict", "r-in-flood", **bearer(token(flooded))) == "RG404"
    assert denial(flooded, "r-in-flood")["details"]["code"] == "value_does_not_open"


def test_addresses_of_one_network_are_one_source(sealed_off):
    server = sealed_off()
    server.run("SELECT relay_guard.audit_maintain()")
    server.run(ROUTES)
    server.run(FLOOD.format(address="'2001:db8::'::inet + i"), 1000)
    wait_for(lambda: server.run(TOLD)[0][0] == 10)
    assert server.value("SELECT count(DISTINCT client_ip) FROM relay_guard.audit_log WHERE request_id = 'flood'") == 10
    server.stop("immediate")


def test_a_shutdown_loses_no_count(flooded):
    before = sum(flooded.run(TOLD)[0][::2])
    flooded.run(FLOOD.format(address="'203.0.113.1'"), 50)
    noted = metric(flooded, "total", **{"class": "credentials"})
    flooded.restart()
    rows, counts, told = flooded.run(TOLD)[0]
    assert rows + told == noted and before < noted
    assert metric(flooded, "total") == 0


@pytest.mark.skipif("RG_LONG" not in os.environ, reason="takes more than a minute")
def test_counts_are_told_after_a_minute_and_add_up(flooded):
    before = sum(flooded.run(TOLD)[0][::2])
    flooded.run(FLOOD.format(address="'10.0.0.0'::inet + i"), 100000)

    def all_told():
        return sum(flooded.run(TOLD)[0][::2]) - before == metric(flooded, "total", **{"class": "credentials"})
    wait_for(all_told, 150)
    assert sum(flooded.run(TOLD)[0][:2]) <= 2 * (100 + 2 * 30 + 3)


# What stands in the way of writing


def test_missing_partition_keeps_denials_and_does_not_fill_the_log(sealed_off):
    server = sealed_off()
    server.run("SELECT relay_guard.audit_maintain()")
    server.run("DROP TABLE relay_guard.%s" % server.value(
        "SELECT 'audit_log_' || to_char(now() AT TIME ZONE 'UTC', 'YYYY_MM')"))
    for i in range(3):
        sqlstate_of_authenticate(server, f"r-later-{i}")
    wait_for(lambda: "has no partition" in server.log())
    server.run("SELECT pg_sleep(2)")
    assert server.log().count("has no partition") == 1
    server.run("SELECT relay_guard.audit_maintain()")
    for i in range(3):
        denial(server, f"r-later-{i}")
    assert metric(server, "dropped_total") == 0
    server.stop("immediate")


def test_without_a_log_denials_are_dropped_and_counted(sealed_off):
    server = sealed_off()
    sqlstate_of_authenticate(server, "r-nowhere")
    wait_for(lambda: metric(server, "dropped_total") == 1)
    assert "ERROR:  " not in server.log().replace("ERROR:  the token is not valid", "")
    server.stop("immediate")


def test_other_databases_are_not_written_to(server):
    server.run("CREATE DATABASE other")
    server.run("CREATE EXTENSION relay_guard", database="other")
    connection = server.connect("other")
    for _ in range(500):
        assert sqlstate(connection, "SELECT relay_guard.authenticate('a.b.c', 'r-elsewhere')") == "RG401"
    connection.close()
    assert none_of(server, "r-elsewhere")
    server.run("DROP DATABASE other")


def test_without_preloading_nothing_is_noted(make_server):
    server = make_server({"shared_preload_libraries": ""})
    server.run("CREATE EXTENSION relay_guard")
    assert sqlstate_of_authenticate(server, "r-unloaded") == "RG401"
    assert server.run("SELECT * FROM relay_guard.read_denials()") == []
    assert server.value("SELECT relay_guard.read_denials_dropped()") is None
    server.stop("immediate")
