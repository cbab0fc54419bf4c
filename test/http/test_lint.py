"""relay_guard.lint() where it is used: the demo database, make lint-db, the gateway's start."""
import json
import os
import shutil
import subprocess

import psycopg2
import pytest

from conftest import ROOT, Gateway, Postgres, clean_environment, gateway_binary, wait_until

BAD = "CREATE TABLE relay.lint_bad (user_id text); GRANT SELECT ON relay.lint_bad TO relay_app"


# Of the server, which the tests do not choose
NO_OUTDATED = '''
    CREATE OR REPLACE FUNCTION relay_guard.lint_server_outdated(
        version int DEFAULT current_setting('server_version_num')::int) RETURNS SETOF relay_guard.lint_finding
    LANGUAGE sql STABLE BEGIN ATOMIC SELECT NULL::text, '', '', '', '' WHERE false; END
'''


@pytest.fixture(scope="module", autouse=True)
def any_server(postgres):
    was = postgres.sql("SELECT pg_get_functiondef('relay_guard.lint_server_outdated'::regproc)")[0][0]
    postgres.sql(NO_OUTDATED)
    yield
    postgres.sql(was)


@pytest.fixture
def bad(postgres):
    """A table that shows all tenants' rows to whoever is served."""
    postgres.sql(BAD, user="relay_owner")
    yield
    postgres.sql("DROP TABLE IF EXISTS relay.lint_bad", user="relay_owner")


def lint(postgres, user, where="true"):
    return postgres.sql(f"SELECT severity, code, object FROM relay_guard.lint() WHERE {where}", user)


def lint_db(make=False, **settings):
    return subprocess.run(["make", "-s", "lint-db"] if make else [ROOT / "ops/lint_db"], cwd=ROOT,
                          capture_output=True, text=True, env=clean_environment(**settings))


def refused(postgres, **settings):
    """The end of a gateway that does not start, and what it has logged."""
    environment = Gateway(postgres.url("relay_gateway"), **settings).environment
    done = subprocess.run([gateway_binary()], env=environment, capture_output=True, text=True, timeout=60)
    return done.returncode, [json.loads(line) for line in done.stderr.splitlines()]


def findings(gateway):
    lines = [json.loads(line) for line in gateway.errors().splitlines()]
    return [line for line in lines if line["message"] == "lint"]


@pytest.mark.parametrize("user", ["postgres", "relay_owner", "relay_gateway"])
def test_what_create_database_makes_is_clean(postgres, user):
    # but for the routes that these tests add without a limit
    assert lint(postgres, user, "object !~ ' /test/'") == []


def test_the_demo_database_is_clean(request):
    if "RELAY_URL" not in os.environ:
        pytest.skip("no make run is beside these tests")
    connection = psycopg2.connect("")
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT * FROM relay_guard.lint() WHERE code <> 'server_outdated'")
        assert cursor.fetchall() == []
    connection.close()


def test_lint_db_prints_a_table_and_the_fix(postgres, bad):
    done = lint_db(DATABASE_URL=postgres.url("relay_owner"), COLUMNS=400)
    assert done.returncode == 1
    assert "| relay.lint_bad " in done.stdout
    assert "\nSELECT relay_guard.protect('relay.lint_bad', owner => 'user_id');\n" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("1 errors, 0 warnings")
    postgres.sql("SELECT relay_guard.protect('relay.lint_bad')", user="relay_owner")
    done = lint_db(PGHOST=postgres.dir, PGPORT=5432, PGUSER="relay_owner", PGDATABASE="relay")
    assert done.returncode == 0 and done.stdout.splitlines()[-1].startswith("0 errors, 0 warnings")


def test_what_lint_db_prints_can_be_pasted(postgres):
    name = 'lint "x"\nSELECT 1/0; --'
    quoted = name.replace('"', '""')
    postgres.sql(f'CREATE TABLE relay."{quoted}" (user_id text)', user="relay_owner")
    try:
        done = lint_db(DATABASE_URL=postgres.url("relay_owner"))
        fixes = done.stdout.split("What mends them:")[1].rsplit("\n", 2)[0]
        subprocess.run(["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", postgres.url("relay_owner")], input="BEGIN;" + fixes,
                       text=True, check=True, capture_output=True)
        assert lint(postgres, "relay_owner", "code = 'rls_missing'") == [("warning", "rls_missing", f'relay."{quoted}"')]
    finally:
        postgres.sql(f'DROP TABLE relay."{quoted}"', user="relay_owner")


def test_make_lint_db_says_when_it_cannot_ask(postgres):
    assert lint_db(DATABASE_URL=postgres.url("relay_owner", "postgres")).returncode == 2
    assert lint_db(make=True, DATABASE_URL=postgres.url("relay_owner")).returncode == 0


def test_a_server_without_library_and_key_ring():
    server = Postgres()
    try:
        server.start()
        server.create_database()
        server.sql(NO_OUTDATED)
        server.sql("SELECT relay_guard.issuer_add('a', 'b'); "
                   "SELECT relay_guard.jwt_key_add('a', 'k', 'k7Qp2xVb9LmZ4tRw8sYc1nDf6hGj3aE0')", user="relay_owner")
        assert lint(server, "relay_owner") == []
        server.stop()
        with open(server.data / "postgresql.conf", "a") as conf:
            conf.write("shared_preload_libraries = ''\nrelay_guard.keyring_file = ''\n")
        server.start()
        # who sees that keys and limited routes are there
        assert lint(server, "relay_owner") == [("error", "no_keyring", "relay_guard"),
                                               ("error", "not_preloaded", "relay_guard")]
        assert lint(server, "relay_gateway") == [("warning", "not_preloaded", "relay_guard"),
                                                 ("notice", "no_keyring", "relay_guard")]
    finally:
        server.stop()
        shutil.rmtree(server.dir)


def test_production_does_not_start_with_errors(postgres, bad):
    status, lines = refused(postgres, ENVIRONMENT="production")
    assert status == 1
    finding, reason = lines
    assert finding["level"] == "error" and finding["code"] == "rls_missing"
    assert finding["object"] == "relay.lint_bad" and finding["fix"].startswith("SELECT relay_guard.protect(")
    assert "does not start in production" in reason["message"]


def test_the_logged_fix_mends_it(postgres, bad, start):
    _, lines = refused(postgres, ENVIRONMENT="production")
    postgres.sql(lines[0]["fix"], user="relay_owner")
    gateway = start(ENVIRONMENT="production", TRUSTED_PROXIES="127.0.0.1")
    assert findings(gateway) == []
    assert gateway.get("/test/echo/a", {"X-Forwarded-Proto": "https"}).status == 200


def test_elsewhere_errors_are_logged_only(start, bad):
    gateway = start(ENVIRONMENT="staging")
    found, = findings(gateway)
    assert found["level"] == "error" and "user_id" in found["detail"]


def test_a_long_list_is_cut(postgres, start):
    postgres.sql("DO $$ BEGIN FOR i IN 1..120 LOOP EXECUTE format('CREATE TABLE relay.lint_%s (user_id text)', i); "
                 "END LOOP; END $$", user="relay_owner")
    try:
        gateway = start()
        assert len(findings(gateway)) == 100 and "more than is logged" in gateway.errors()
    finally:
        postgres.sql("DO $$ BEGIN FOR i IN 1..120 LOOP EXECUTE format('DROP TABLE relay.lint_%s', i); "
                     "END LOOP; END $$", user="relay_owner")


def test_a_database_that_cannot_be_linted_does_not_block(postgres, start):
    postgres.sql("REVOKE EXECUTE ON FUNCTION relay_guard.lint() FROM relay_gateway")
    try:
        gateway = start(ENVIRONMENT="production")
        assert "permission denied for function lint" in gateway.errors()
    finally:
        postgres.sql("SELECT relay_guard.grant_role('gateway', 'relay_gateway')")


def test_a_database_that_is_down_does_not_block(start):
    gateway = start(ENVIRONMENT="production", DATABASE_URL="host=/nonexistent", ready=False)
    assert gateway.get("/_stcore/health").status == 200
    wait_until(lambda: "not linted" in gateway.errors())
