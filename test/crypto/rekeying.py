"""What the tests of rekey() share: a table with an encrypted column, and calls that run beside them."""
import concurrent.futures
import contextlib

import pytest
from servers import keyring, run


def rotate(server):
    """Makes a new key primary; its id.  Keys of earlier tests go: a ring holds 64."""
    keyring("add", server.keyring)
    server.write_ring("".join(server.keyring.read_text().splitlines(keepends=True)[-4:]))
    return primary(server)


def primary(server):
    return server.value("SELECT key_id FROM relay_guard.keyring_status WHERE state = 'primary'")


def encrypt_column(server, table, aad, label):
    server.run("SELECT relay_guard.encrypt_column(%s, 'c', %s, %s)", table, aad, label)


def drop(server, what):
    """Of what a test that failed may still be using."""
    server.run("""SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
        WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()""")
    server.run(f"DROP {what}")


@pytest.fixture
def table(server):
    """t (id, note, c) of 1000 rows, c encrypted with id as AAD under the key primary now."""
    server.run("""
        CREATE TABLE t (id bigint PRIMARY KEY, note text, c text);
        INSERT INTO t SELECT i, 'note', 'value ' || i FROM generate_series(1, 1000) i""")
    encrypt_column(server, "t", ["id"], "l.t.c")
    yield "t"
    drop(server, "TABLE IF EXISTS t CASCADE")


def keys(server, table="t"):
    return server.run(f"SELECT relay_guard.key_id(c), count(*) FROM {table} GROUP BY 1 ORDER BY 1")


def opened(server):
    """How many values of t open, and are what they were."""
    return server.value("""SELECT count(*) FROM t
        WHERE relay_guard.try_decrypt_text(c, relay_guard.aad('l.t.c', id::text)) = 'value ' || id""")


def progress(server, columns="phase, rows_done, rows_failed, rows_locked"):
    return server.run(f"SELECT {columns} FROM relay_guard.rekey_progress WHERE relation = 't'::regclass")[0]


@contextlib.contextmanager
def calling(server, statement="CALL relay_guard.rekey('t', 'c')", **where):
    """The statement, running beside; a future with its connection's notices or its error."""
    connection = server.connect(**where)

    def call():
        run(connection, statement)
        return connection.notices

    with concurrent.futures.ThreadPoolExecutor() as pool:
        future = pool.submit(call)
        future.pid = connection.get_backend_pid()
        try:
            yield future
        finally:
            server.run("SELECT pg_cancel_backend(%s)", future.pid)
    connection.close()


def slow_down(server, seconds=0.01):
    server.run(f"""
        CREATE OR REPLACE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN PERFORM pg_sleep({seconds}); RETURN new; END $$;
        CREATE OR REPLACE TRIGGER slow BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION slow()""")


@pytest.fixture
def owners_table(server):
    """s.t of the role owner, 100 rows, as table; with what an owner may attach to it."""
    server.run("""
        DROP ROLE IF EXISTS owner; CREATE ROLE owner LOGIN; CREATE ROLE other LOGIN;
        CREATE SCHEMA s AUTHORIZATION owner; GRANT USAGE ON SCHEMA s TO other;
        SELECT relay_guard.grant_role('admin', 'owner'), relay_guard.grant_role('app', 'owner'),
               relay_guard.grant_role('admin', 'other');
        SET ROLE owner;
        CREATE TABLE s.t (id bigint PRIMARY KEY, c text);
        INSERT INTO s.t SELECT i, 'value ' || i FROM generate_series(1, 100) i;
        CREATE TABLE s.ran (what text, who text, path text)""")
    encrypt_column(server, "s.t", ["id"], "l.s.c")
    yield "s.t"
    drop(server, "SCHEMA s CASCADE; DROP OWNED BY owner, other; DROP ROLE owner, other")
