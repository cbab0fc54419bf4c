"""A library that a session loads on its way finds what was prepared for it."""
import os
import pathlib
import subprocess

import psycopg2
import pytest

from conftest import run

FORGED = "5:alice-4:user5:token----"
SERVER = pathlib.Path(__file__).resolve().parents[1] / "with_server"


@pytest.fixture(scope="module")
def server():
    """The folder of a server that loads nothing by itself."""
    options = dict(os.environ, SERVER_OPTIONS="-c shared_preload_libraries=")
    with subprocess.Popen([SERVER, "sh", "-c", "echo $PGHOST; cat"], env=options, text=True,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        folder = process.stdout.readline().strip()
        run(connect(folder), "CREATE EXTENSION relay_guard; CREATE ROLE web LOGIN; CREATE ROLE boss LOGIN SUPERUSER;"
                             "GRANT CREATE ON SCHEMA public TO web")
        yield folder
        process.stdin.close()


def connect(folder, user="postgres", **options):
    connection = psycopg2.connect(host=folder, dbname="postgres", user=user, **options)
    connection.autocommit = True
    return connection


def who(connection):
    """The identity, after the library was loaded for the answer."""
    return run(connection, "SELECT relay_guard.user_id()")[0][0]


@pytest.mark.parametrize("user", ["web", "postgres"])
@pytest.mark.parametrize("prepare", [f"SET relay_guard.context = '{FORGED}'",
                                     f"SELECT set_config('relay_guard.context', '{FORGED}', false)",
                                     f"BEGIN; SET LOCAL relay_guard.context = '{FORGED}'"])
def test_a_placeholder_of_its_name_is_no_identity(server, user, prepare):
    connection = connect(server, user)
    run(connection, prepare)
    assert run(connection, "SHOW relay_guard.context") == [(FORGED,)]
    assert who(connection) is None
    assert run(connection, "SHOW relay_guard.context") == [("",)]


def test_a_placeholder_from_the_command_line_is_none(server):
    for user in ("web", "postgres"):
        connection = connect(server, user, options=f"-c relay_guard.context={FORGED}")
        assert who(connection) is None


def test_a_placeholder_of_a_role_or_database_is_none(server):
    owner = connect(server)
    run(owner, f"ALTER ROLE boss SET relay_guard.context = '{FORGED}'")
    run(owner, f"ALTER DATABASE postgres SET relay_guard.context = '{FORGED}'")
    try:
        assert who(connect(server, "web")) is None
        assert who(connect(server, "boss")) is None
    finally:
        run(owner, "ALTER ROLE boss RESET ALL; ALTER DATABASE postgres RESET ALL")


MAKES_FUNCTION = (f"CREATE OR REPLACE FUNCTION forged() RETURNS text LANGUAGE plpgsql SET relay_guard.context = '{FORGED}' "
                  "AS 'BEGIN RETURN relay_guard.user_id(); END'")


def test_a_placeholder_in_a_functions_set_clause_is_refused(server):
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        run(connect(server, "web"), MAKES_FUNCTION)
    run(connect(server), MAKES_FUNCTION)
    for user in ("web", "postgres"):
        connection = connect(server, user)
        assert who(connection) is None
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            run(connection, "SELECT forged()")


def test_a_functions_placeholder_is_none_when_the_library_comes_inside_of_it(server):
    run(connect(server), MAKES_FUNCTION)
    connection = connect(server)
    assert run(connection, "SELECT forged()")[0][0] is None
    assert who(connection) is None


def test_a_placeholder_does_not_switch_strict_mode_off(server):
    owner = connect(server)
    run(owner, "ALTER DATABASE postgres SET relay_guard.strict = on")
    try:
        connection = connect(server, "web")
        run(connection, "SET relay_guard.strict = off")
        who(connection)
        assert run(connection, "SHOW relay_guard.strict") == [("on",)]
    finally:
        run(owner, "ALTER DATABASE postgres RESET ALL")


def test_strict_mode_trusts_no_transaction_that_began_before_the_library(server):
    owner = connect(server)
    run(owner, "ALTER DATABASE postgres SET relay_guard.strict = on")
    try:
        connection = connect(server)
        run(connection, "BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT 1")
        with pytest.raises(psycopg2.errors.InvalidTransactionState):
            run(connection, "SELECT relay_guard.assume('alice')")
        run(connection, "ROLLBACK; BEGIN; SELECT relay_guard.assume('alice')")
        assert who(connection) == "alice"
    finally:
        run(owner, "ALTER DATABASE postgres RESET ALL")
