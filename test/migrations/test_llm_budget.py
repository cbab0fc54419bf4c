"""Reservations, usage and the day's budget: their migration up and down, with rows in the ledger."""
import os
import subprocess

import psycopg2
import pytest

from test_knowledge import alembic, routes, rows

ROUTES = [("DELETE", "/api/v1/llm/reservations/{id}"), ("GET", "/api/v1/usage"), ("GET", "/v1/admin/llm-budget"),
          ("POST", "/api/v1/llm/reservations"), ("POST", "/api/v1/llm/reservations/{id}/extend"),
          ("POST", "/api/v1/llm/reservations/{id}/settle")]
FUNCTIONS = "SELECT proname FROM pg_proc WHERE pronamespace = 'relay'::regnamespace AND proname LIKE 'llm%' ORDER BY 1"


@pytest.fixture(scope="module", autouse=True)
def database():
    subprocess.run(["ops/create_database"], check=True)
    rows("INSERT INTO relay_guard.model (name, provider, input_price, output_price, max_input_tokens, max_output_tokens) "
         "VALUES ('migrated', 'test', 1000000, 2000000, 1000, 1000)")
    yield
    rows("DELETE FROM relay_guard.model WHERE name = 'migrated'")


@pytest.fixture(autouse=True)
def at_head(database):
    alembic("upgrade", "head")
    yield
    alembic("upgrade", "head")


def call(query, user="alice", role="user", run_as="relay_app"):
    """What the query returns before its transaction commits."""
    connection = psycopg2.connect(dbname="relay")
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT relay_guard.assume(%s, role => %s)", (user, role))
            cursor.execute(f"SET LOCAL ROLE {run_as}")
            cursor.execute(query)
            return cursor.fetchall()
    finally:
        connection.close()


def own_routes():
    return sorted((method, path) for method, path, *_ in routes() if "llm" in path or "usage" in path)


def test_its_routes_come_and_go_and_the_ledger_stays():
    (reservation,), = call("SELECT id::text FROM relay.llm_reserve('migrated', 10, 10, 60)")
    assert own_routes() == ROUTES and len(rows(FUNCTIONS)) == 6
    alembic("downgrade", "0006")
    assert own_routes() == [] and rows(FUNCTIONS) == []
    assert rows(f"SELECT count(*) FROM relay_guard.usage_ledger WHERE reservation = '{reservation}'") == [(1,)]
    alembic("upgrade", "head")
    assert call(f"SELECT outcome, amount_usd::text, held_usd::text FROM relay.llm_settle('{reservation}', 1, 1)") == \
        [("settled", "0.000003", "0.00003")]


def test_what_asks_a_model_counts_as_a_message_and_asks_all_budgets():
    limited = "SELECT path, quota::text, budget FROM relay_guard.route WHERE quota <> '{}' OR budget IS NOT NULL ORDER BY path COLLATE \"C\""
    messages = "{anon_hour,anon_lifetime}"
    assert rows(limited) == [("/api/v1/llm/reservations", "{}", "all"), ("/api/v1/stream", messages, "all"),
                             ("/v1/chat", messages, "all"), ("/v1/chat/completions", messages, "all")]


def test_reservations_are_for_admins_from_0014_on():
    auth = "SELECT DISTINCT auth, idempotency FROM relay_guard.route WHERE path LIKE '/api/v1/llm/reservations%' AND method = 'POST'"
    assert {row[0] for row in rows(auth)} == {"admin"}
    chat = "SELECT count(*) FROM relay_guard.route WHERE result = 'completion' OR path LIKE '/api/v1/stream%' OR path = '/v1/models'"
    assert rows(chat) == [(5,)]
    alembic("downgrade", "0013")
    assert {row[0] for row in rows(auth)} == {"anonymous"} and rows(chat) == [(0,)]
    assert rows("SELECT quota::text FROM relay_guard.route WHERE path = '/api/v1/llm/reservations'") == [("{anon_hour,anon_lifetime}",)]
    assert set(rows("SELECT path, run_as::text FROM relay_guard.route WHERE path LIKE '%llm%' AND run_as::text <> 'relay_app'")) == \
        {("/v1/admin/llm-budget", "relay_auditor")}


def test_a_route_of_the_application_reads_nobody_elses_spending():
    for query in ("SELECT * FROM relay_guard.budget_report()", "SELECT * FROM relay_guard.usage_ledger",
                  "SELECT relay_guard.usage_own_since('-infinity')", "SELECT * FROM relay_guard.usage_total"):
        with pytest.raises((psycopg2.errors.InsufficientPrivilege, psycopg2.errors.UndefinedTable)):
            call(query)
    call("SELECT * FROM relay.llm_reserve('migrated', 10, 10, 60)", "mallory")
    assert call("SELECT relay_guard.usage_own() -> 'today' ->> 'spend_usd'", "bob") == [("0",)]
    assert len(call("SELECT * FROM relay_guard.budget_report()", "root", "admin", "relay_auditor")) == 1


def test_nobody_but_routes_calls_its_functions():
    assert rows("SELECT count(*) FROM pg_proc WHERE pronamespace = 'relay'::regnamespace AND proname LIKE 'llm%' "
                "AND has_function_privilege('relay_gateway', oid, 'EXECUTE')") == [(0,)]


def test_without_the_quotas_that_it_names_nothing_is_half_done():
    alembic("downgrade", "0006")
    rows("UPDATE relay_guard.quota_policy SET name = 'anon_elsewhere' WHERE name = 'anon_hour'")
    try:
        environment = dict(os.environ, PGDATABASE="relay", PGUSER="relay_owner")
        done = subprocess.run(["alembic", "-c", "migrations/alembic.ini", "upgrade", "head"],
                              env=environment, capture_output=True, text=True)
        assert done.returncode != 0 and 'quota policy "anon_hour" does not exist' in done.stderr
        assert own_routes() == [] and rows(FUNCTIONS) == []
    finally:
        rows("UPDATE relay_guard.quota_policy SET name = 'anon_hour' WHERE name = 'anon_elsewhere'")
