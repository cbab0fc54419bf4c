"""Policies and models go through pg_dump as they are, and no version comes twice."""
import re

import pytest

POLICIES = """SELECT 'quota', id, name, scope, cap, "window", unit, shipped, enabled FROM relay_guard.quota_policy
              UNION ALL
              SELECT 'budget', id, name, scope, hard, "window", warn::text, shipped, enabled FROM relay_guard.budget_policy
              ORDER BY 1, 2"""
MODELS = "SELECT m::text FROM relay_guard.model AS m ORDER BY 1"
HISTORY = "SELECT v::text FROM relay_guard.model_version AS v ORDER BY 1"
VERSIONS = """SELECT version FROM relay_guard.quota_policy UNION ALL SELECT version FROM relay_guard.budget_policy"""
DUMPS = {"plain": ["--format=plain"], "inserts": ["--inserts"], "custom": ["--format=custom"],
         "directory": ["--format=directory", "--jobs=2"]}


@pytest.fixture(scope="module")
def filled(server):
    server.run("CREATE DATABASE filled")
    server.run("""
        CREATE EXTENSION relay_guard;
        UPDATE relay_guard.quota_policy SET cap = 25 WHERE name = 'anon_hour';
        INSERT INTO relay_guard.quota_policy (name, scope, cap, "window") VALUES ('gone', 'user', 1, 'day'), ('own', 'ip', 7, 'month');
        DELETE FROM relay_guard.quota_policy WHERE name = 'gone';
        UPDATE relay_guard.budget_policy SET warn = NULL;
        INSERT INTO relay_guard.budget_policy (name, scope, "window", hard, enabled) VALUES ('own', 'workspace', 'month', NULL, false);
        INSERT INTO relay_guard.model (name, provider, input_price, output_price, embedding_price, max_input_tokens, max_output_tokens)
            VALUES ('changed', 'p', 1, 2, 3, 4, 5), ('gone', 'p', 1, 2, NULL, 4, 5), ('same', 'q', 6, 7, NULL, 8, 9);
        UPDATE relay_guard.model SET input_price = input_price + 1 WHERE name = 'changed';
        UPDATE relay_guard.model SET enabled = false WHERE name = 'changed';
        DELETE FROM relay_guard.model WHERE name = 'gone'""", database="filled")
    return server


def dump(server, name, *options):
    path = server.folder / f"dump.{name}"
    server.program("pg_dump", *options, f"--file={path}", "filled")
    return path


def restore(server, path, plain, database):
    server.run(f"CREATE DATABASE {database}")
    if plain:
        server.program("psql", "-qX", "-v", "ON_ERROR_STOP=1", "-f", path, database=database)
    else:
        server.program("pg_restore", "--exit-on-error", "--jobs=3", f"--dbname={database}", path)


def content(server, database):
    return [server.run(query, database=database) for query in (POLICIES, MODELS, HISTORY)]


@pytest.mark.parametrize("name", DUMPS)
def test_policies_and_models_go_through_a_dump(filled, name):
    restore(filled, dump(filled, name, *DUMPS[name]), name in ("plain", "inserts"), f"restored_{name}")
    assert content(filled, f"restored_{name}") == content(filled, "filled")


def test_versions_and_ids_go_on_after_it(filled):
    restore(filled, dump(filled, "goes_on"), True, "goes_on")

    def run(statement):
        return filled.run(statement, database="goes_on")
    run("""UPDATE relay_guard.model SET enabled = true WHERE name = 'changed';
           INSERT INTO relay_guard.model (name, provider, input_price, output_price, max_input_tokens, max_output_tokens)
               VALUES ('gone', 'p', 1, 2, 4, 5)""")
    assert run("SELECT name, version FROM relay_guard.model ORDER BY 1") == [("changed", 4), ("gone", 2), ("same", 1)]
    assert run("SELECT model, version FROM relay_guard.model_version ORDER BY 1, 2") == \
        [("changed", 1), ("changed", 2), ("changed", 3), ("gone", 1)]
    [(last,)] = run("SELECT max(id) FROM relay_guard.quota_policy")
    run("INSERT INTO relay_guard.quota_policy (name, scope, cap, \"window\") VALUES ('new', 'user', 1, 'day')")
    assert run("SELECT id FROM relay_guard.quota_policy WHERE name = 'new'") > [(last,)]


def test_what_is_read_back_into_a_living_database_has_new_versions(filled):
    """The accounts in shared memory are those of versions that were there before."""
    path = dump(filled, "data", "--data-only")
    text = path.read_text()
    assert "usage_policy_version" not in text and re.search("COPY relay_guard.quota_policy", text)
    before = {version for version, in filled.run(VERSIONS, database="filled")}
    for _ in range(2):
        filled.run("DELETE FROM relay_guard.quota_policy; DELETE FROM relay_guard.budget_policy", database="filled")
        copies = re.findall(r"^COPY relay_guard\.(?:quota|budget)_policy .*?^\\\.$", text, re.M | re.S)
        assert len(copies) == 2
        filled.program("psql", "-qX", "-v", "ON_ERROR_STOP=1", database="filled", input="\n".join(copies) + "\n")
        now = {version for version, in filled.run(VERSIONS, database="filled")}
        assert len(now) == 4 and min(now) > max(before)
        before |= now


def test_a_restored_policy_binds(filled):
    restore(filled, dump(filled, "binds", "--format=custom"), False, "binds")
    taken = filled.run("""BEGIN; SELECT relay_guard.assume('anon:1', client_ip => '10.0.0.1');
                          SELECT allowed, "limit", remaining FROM relay_guard.quota_take('own', 7)""", database="binds")
    assert taken == [(True, 7, 0)]
