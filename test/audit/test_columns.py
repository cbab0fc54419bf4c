"""A log whose tables somebody has altered: refused, and never a crash."""
import pytest

from servers import run, sqlstate

REFUSED = "55000"


@pytest.fixture
def connection(make_server):
    server = make_server({"relay_guard.audit_seal_interval": "0"})
    server.run("""CREATE EXTENSION relay_guard; CREATE TABLE t (id int PRIMARY KEY); SELECT relay_guard.audit('t');
                  INSERT INTO t VALUES (1)""")
    server.run("SELECT relay_guard.audit_seal()")
    connection = server.connect()
    yield connection
    connection.close()
    server.stop("immediate")


def test_columns_that_were_added_to_the_log_refuse_changes_until_they_are_dropped(connection):
    run(connection, "INSERT INTO t VALUES (2)")
    run(connection, "ALTER TABLE relay_guard.audit_log ADD COLUMN hint text")
    assert sqlstate(connection, "INSERT INTO t VALUES (3)") == REFUSED
    assert sqlstate(connection, "SELECT relay_guard.audit_event('a', 'b')") == REFUSED
    assert sqlstate(connection, "SELECT * FROM relay_guard.audit_verify()") == REFUSED
    run(connection, "ALTER TABLE relay_guard.audit_log DROP COLUMN hint")
    run(connection, "INSERT INTO t SELECT generate_series(3, 500)")
    run(connection, "SELECT relay_guard.audit_seal()")
    assert run(connection, "SELECT count(*) FROM relay_guard.audit_log WHERE source = 'trigger'") == [(500,)]
    assert run(connection, "SELECT * FROM relay_guard.audit_verify()") == []


def test_columns_of_the_log_of_another_type_or_name_refuse_changes(connection):
    for change, back in (("ALTER COLUMN details TYPE text", "ALTER COLUMN details TYPE jsonb USING details::jsonb"),
                         ("RENAME COLUMN actor TO who", "RENAME COLUMN who TO actor")):
        run(connection, f"ALTER TABLE relay_guard.audit_log {change}")
        assert sqlstate(connection, "INSERT INTO t VALUES (2)") == REFUSED
        assert sqlstate(connection, "SELECT * FROM relay_guard.audit_verify()") == REFUSED
        run(connection, f"ALTER TABLE relay_guard.audit_log {back}")
    run(connection, "INSERT INTO t VALUES (2)")
    assert run(connection, "SELECT * FROM relay_guard.audit_verify()") == []


def test_columns_that_were_added_to_the_seals_refuse_sealing_until_they_are_dropped(connection):
    run(connection, "INSERT INTO t VALUES (2)")
    run(connection, "ALTER TABLE relay_guard.audit_seal ADD COLUMN hint text")
    assert sqlstate(connection, "SELECT relay_guard.audit_seal()") == REFUSED
    run(connection, "ALTER TABLE relay_guard.audit_seal DROP COLUMN hint")
    assert run(connection, "SELECT relay_guard.audit_seal()") == [(1,)]
    assert run(connection, "SELECT * FROM relay_guard.audit_verify()") == []
