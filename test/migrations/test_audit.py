"""The application's audit: its migration up and down with rows in the log, and the view of old queries."""
import os
import subprocess

import psycopg2
import pytest

from test_knowledge import alembic, routes, rows

TRIGGERS = "SELECT tgname FROM pg_trigger WHERE tgrelid = 'relay.knowledge_file'::regclass AND tgname LIKE 'relay_guard_audit_%' ORDER BY 1"
AUDIT_ROUTES = [("GET", "/api/v1/audit"), ("GET", "/api/v1/audit/head"), ("GET", "/api/v1/audit/verify"), ("GET", "/audit")]


@pytest.fixture(scope="module", autouse=True)
def database():
    subprocess.run(["ops/create_database"], check=True)
    alembic("upgrade", "head")


@pytest.fixture(autouse=True)
def at_head(database):
    yield
    alembic("upgrade", "head")
    rows("DELETE FROM relay.knowledge_file")


def insert(name):
    rows("BEGIN; SELECT relay_guard.assume('alice', request_id => 'migrated', client_ip => '203.0.113.9'); "
         f"INSERT INTO relay.decrypted_knowledge_file (name, content_type) VALUES ('{name}', 'text/plain'); COMMIT")


def logged(name):
    return rows(f"SELECT count(*) FROM relay_guard.audit_log WHERE new ->> 'name' = '{name}'")[0][0]


def audit_routes():
    return sorted((method, path) for method, path, *_ in routes() if "audit" in path)


def test_it_starts_and_stops_with_its_migration_and_rows_stay():
    insert("before")
    assert logged("before") == 1 and len(rows(TRIGGERS)) == 5 and audit_routes() == AUDIT_ROUTES
    alembic("downgrade", "0005")
    insert("between")
    assert logged("before") == 1 and logged("between") == 0
    assert rows(TRIGGERS) == [] and audit_routes() == []
    assert rows("SELECT to_regclass('relay.audit_logs'), to_regproc('relay.audit_page')") == [(None, None)]
    alembic("upgrade", "0006")
    insert("after")
    assert logged("before") == 1 and logged("after") == 1


def test_encryption_goes_back_and_forth_beneath_it():
    """A rewrite of an audited table would go unrecorded; the audit is stopped before it."""
    insert("kept")
    alembic("downgrade", "0004")
    alembic("upgrade", "head")
    assert rows("SELECT name FROM relay.decrypted_knowledge_file") == [("kept",)]
    assert len(rows(TRIGGERS)) == 5


def test_no_step_of_its_own_leaves_the_log_unreadable():
    for _ in range(2):
        alembic("downgrade", "0005")
        alembic("upgrade", "0006")
    insert("readable")
    seen = rows("BEGIN; SELECT relay_guard.assume('root', role => 'admin'); SET LOCAL ROLE relay_auditor; "
                "SELECT events -> 0 -> 'new' ->> 'name' FROM relay.audit_page(NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 1)")
    assert seen == [("readable",)]


def seed(query, identity="SELECT relay_guard.assume('root', role => 'admin');"):
    return rows(f"BEGIN; {identity} SET LOCAL ROLE relay_auditor; SET LOCAL search_path = relay; {query}")


def test_queries_of_the_seed_work_on_audit_logs():
    insert("seed")
    resource, = rows("SELECT id::text FROM relay.knowledge_file WHERE name = 'seed'")[0]
    assert seed("SELECT action, resource_type, resource_id, api_key_id, request_id, ip_address FROM audit_logs "
                f"WHERE resource_id = '{resource}'") == [("INSERT", "knowledge_file", resource, None, "migrated", "203.0.113.9")]
    assert seed("SELECT action, count(*) FROM audit_logs WHERE timestamp >= now() - interval '1 day' "
                f"AND resource_type = 'knowledge_file' AND resource_id = '{resource}' GROUP BY action ORDER BY 2 DESC") == [("INSERT", 1)]
    newest, = seed("SELECT resource_id FROM audit_logs ORDER BY \"timestamp\" DESC, id DESC LIMIT 1")
    assert newest == (resource,)
    assert seed("SELECT l.resource_id FROM audit_logs l WHERE l.ip_address LIKE '203.0.113.%' "
                f"AND l.request_id = 'migrated' AND l.resource_id = '{resource}'") == [(resource,)]


def test_audit_logs_shows_nobody_more_than_the_log_does():
    insert("hidden")
    assert seed("SELECT count(*) FROM audit_logs", "")[0][0] == 0
    assert seed("SELECT count(*) FROM audit_logs", "SELECT relay_guard.assume('bob');")[0][0] == 0
    assert seed("SELECT count(*) FROM audit_logs", "SELECT relay_guard.assume('alice');")[0][0] > 0


def test_a_refused_migration_changes_nothing():
    """Without the role of ops/roles.sql there is no half of it."""
    alembic("downgrade", "0005")
    rows("ALTER ROLE relay_auditor RENAME TO relay_elsewhere")
    try:
        environment = dict(os.environ, PGDATABASE="relay", PGUSER="relay_owner")
        done = subprocess.run(["alembic", "-c", "migrations/alembic.ini", "upgrade", "head"],
                              env=environment, capture_output=True, text=True)
        assert done.returncode != 0 and "relay_auditor" in done.stderr
        assert rows(TRIGGERS) == [] and audit_routes() == []
        with pytest.raises(psycopg2.errors.UndefinedTable):
            rows("SELECT FROM relay.audit_logs")
    finally:
        rows("ALTER ROLE relay_elsewhere RENAME TO relay_auditor")
