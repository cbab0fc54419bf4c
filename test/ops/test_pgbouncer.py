"""ops/pgbouncer.ini"""
import os
import pwd
import subprocess

import psycopg2
import pytest

from conftest import changed, clean_environment, free_port, program, wait_until, answers


def run(connection, statement, *arguments):
    with connection.cursor() as cursor:
        cursor.execute(statement, arguments or None)
        return cursor.fetchall() if cursor.description else None


def direct(database, user="postgres"):
    connection = psycopg2.connect(dbname=database, user=user)
    connection.autocommit = True
    return connection


@pytest.fixture
def application():
    """A login with a password; yields what stands of it in pg_authid."""
    server = direct("postgres")
    run(server, "SET password_encryption = 'scram-sha-256'")
    run(server, "CREATE ROLE application LOGIN PASSWORD 'secret'")
    run(server, "CREATE DATABASE relay")
    relay = direct("relay")
    run(relay, "CREATE EXTENSION relay_guard")
    run(relay, "CREATE TABLE note (user_id text NOT NULL DEFAULT relay_guard.user_id(), body text)")
    run(relay, "INSERT INTO note VALUES ('alice', 'hers'), ('bob', 'his')")
    run(relay, "SELECT relay_guard.protect('note', grant_to => 'application')")
    tokens = {who: run(relay, "SELECT relay_guard.issue_token(%s)", who)[0][0] for who in ("alice", "bob")}
    yield run(server, "SELECT rolpassword FROM pg_authid WHERE rolname = 'application'")[0][0], tokens
    relay.close()
    run(server, "DROP DATABASE relay WITH (FORCE)")
    run(server, "DROP ROLE application")


@pytest.fixture
def port(application, folder, start):
    port = free_port()
    (folder / "pgbouncer.ini").write_text(changed(
        "pgbouncer.ini", ("host=/var/run/postgresql", f"host={os.environ['PGHOST']}"),
        ("listen_port = 6432", f"listen_port = {port}"), ("/var/run/postgresql", folder), ("/etc/pgbouncer", folder),
        ("/var/log/postgresql", folder), ("default_pool_size = 20", "default_pool_size = 1")))
    (folder / "userlist.txt").write_text(f'"application" "{application[0]}"\n')
    as_server = []
    if os.geteuid() == 0:  # it refuses to run as root
        owner = pwd.getpwnam("postgres")
        for path in (folder, *folder.iterdir()):
            os.chown(path, owner.pw_uid, owner.pw_gid)
        as_server = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]
    start(*as_server, program("pgbouncer"), "-q", folder / "pgbouncer.ini", cwd="/")
    wait_until(lambda: answers(port), what="PgBouncer's start")
    return port


def connect(port, password="secret"):
    connection = psycopg2.connect(host="127.0.0.1", port=port, dbname="relay", user="application", password=password)
    connection.autocommit = True
    return connection


def test_an_identity_lasts_for_a_transaction_of_the_pool(port, application):
    tokens = application[1]
    first, second = connect(port), connect(port)
    assert run(first, "SELECT pg_backend_pid()") == run(second, "SELECT pg_backend_pid()")
    for client, who, notes in ((first, "alice", [("hers",)]), (second, "bob", [("his",)]), (first, "bob", [("his",)])):
        run(client, "BEGIN")
        run(client, "SELECT relay_guard.authenticate(%s)", tokens[who])
        assert run(client, "SELECT body FROM note") == notes
        run(client, "COMMIT")
        for other in (first, second):
            assert run(other, "SELECT relay_guard.user_id(), count(*) FROM note") == [(None, 0)]


def test_the_pool_asks_for_passwords(port):
    with pytest.raises(psycopg2.OperationalError):
        connect(port, password="guess")
