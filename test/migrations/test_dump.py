"""A configured database goes through pg_dump: its routes and keys work after it,
and no secret stands in the dump."""
import subprocess

import psycopg2
import pytest

CANARY = "a canary in metadata"
SECRET = "a secret for one test only, 0123456789abcdef"
WEBHOOK_SECRET = "whsec_q1HPm3uaNAP0svHB9VhOYfCXFrsyK2N7JUQbbDDWLGY="
PUBLIC = '{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}'
CALL = """SELECT status, convert_from(body, 'UTF8')
          FROM relay_guard.serve('GET', '/api/v1/knowledge/files', '',
                                 ARRAY['authorization', 'Bearer ' || relay_guard.issue_token('alice')])"""

ENVELOPES = "SELECT id, encode(metadata, 'hex') FROM relay.knowledge_file ORDER BY id"

AUDITED = "SELECT action, new ->> 'name' FROM relay_guard.audit_log"


def query(database, sql):
    connection = psycopg2.connect(dbname=database)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall() if cursor.description else None
    finally:
        connection.close()


def configuration(database):
    return query(database, """SELECT method, path, query, run_as::text, rate::text FROM relay_guard.route
                              UNION ALL SELECT iss, kid, alg, coalesce(encode(secret, 'hex'), public_key::text),
                                               source || coalesce(retired_at::text, '')
                              FROM relay_guard.jwt_key
                              UNION ALL SELECT name, version::text, encode(secret, 'hex'), created_at::text, expires_at::text
                              FROM relay_guard.webhook_secret ORDER BY 1, 2""")


def signed(database):
    return query(database, "SELECT relay_guard.webhook_sign('dumped', 'msg_1', 'body', 'epoch')::text")


@pytest.fixture(scope="module")
def dump():
    subprocess.run(["ops/create_database"], check=True)
    query("relay", f"""SELECT relay_guard.issuer_add('dumped', 'app');
                       SELECT relay_guard.jwt_key_add('dumped', 'k', '{SECRET}');
                       SELECT relay_guard.jwks_import('dumped', '{{"keys": [{PUBLIC}]}}');
                       SELECT relay_guard.webhook_secret_set('dumped'), relay_guard.webhook_secret_set('dumped', '{WEBHOOK_SECRET}')""")
    query("relay", f"""INSERT INTO relay.decrypted_knowledge_file (user_id, name, content_type, metadata)
                       VALUES ('alice', 'kept.txt', 'text/plain', '{{"note": "{CANARY}"}}')""")
    yield subprocess.run(["pg_dump", "relay"], check=True, capture_output=True, text=True).stdout
    query("relay", "DELETE FROM relay_guard.issuer; DELETE FROM relay_guard.webhook_secret; DELETE FROM relay.knowledge_file")


def test_no_secret_is_in_the_dump(dump):
    for secret in SECRET, CANARY, WEBHOOK_SECRET, WEBHOOK_SECRET.removeprefix("whsec_"):
        assert secret not in dump
        assert secret.encode().hex() not in dump


def test_the_restored_database_serves_the_same(dump):
    query("postgres", "CREATE DATABASE restored OWNER relay_owner")
    try:
        done = subprocess.run(["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", "restored"],
                              input=dump, text=True, capture_output=True)
        assert done.returncode == 0, done.stderr
        assert configuration("restored") == configuration("relay")
        assert signed("restored") == signed("relay")
        status, body = query("restored", CALL)[0]
        assert status == 200 and "kept.txt" in body and CANARY in body
        # what was encrypted is not encrypted again, and new values go on being
        assert query("restored", ENVELOPES) == query("relay", ENVELOPES)
        query("restored", """INSERT INTO relay.decrypted_knowledge_file (user_id, name, content_type, metadata)
                             VALUES ('alice', 'new.txt', 'text/plain', '{"n": 1}')""")
        assert query("restored", """SELECT relay_guard.is_envelope(t.metadata), d.metadata
                                    FROM relay.knowledge_file t JOIN relay.decrypted_knowledge_file d USING (id)
                                    WHERE t.name = 'new.txt'""") == [(True, {"n": 1})]
        # the audit log came along, and goes on
        assert set(query("relay", AUDITED)) < set(query("restored", AUDITED))
        assert query("restored", AUDITED + " WHERE new ->> 'name' = 'new.txt'") == [("INSERT", "new.txt")]
        # ids go on where they were
        query("restored", """INSERT INTO relay_guard.route (method, path, query, auth, result, run_as)
                             VALUES ('GET', '/new', 'SELECT 1 AS v', 'none', 'value', 'relay_app')""")
        assert query("restored", "SELECT count(DISTINCT id) = count(*) FROM relay_guard.route")[0][0]
    finally:
        query("postgres", "DROP DATABASE restored")
