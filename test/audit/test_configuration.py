"""Changes of relay_guard's own configuration: recorded where there are a key ring and a log, and there without
exception; nothing stands in the way elsewhere."""
import psycopg2
import pytest
from servers import sqlstate

CHANGE = "UPDATE relay_guard.rate_policy SET quota = %s WHERE name = 'exec'"
QUOTA = "SELECT quota FROM relay_guard.rate_policy WHERE name = 'exec'"
RECORDED = """SELECT action, (old ->> 'quota')::int, (new ->> 'quota')::int FROM relay_guard.audit_log
              WHERE resource_type = 'relay_guard.rate_policy' AND resource_id = 'exec' ORDER BY id"""
BEFORE = 60
NOW = "SELECT partition FROM relay_guard.audit_partitions() WHERE now() >= lower AND now() < upper"


@pytest.fixture
def database(server, request):
    """A database of the test's own, with the extension and no log yet."""
    name = request.node.name[5:50]
    server.run(f"CREATE DATABASE {name}")
    server.run("CREATE EXTENSION relay_guard", database=name)
    yield name
    server.run(f"DROP DATABASE {name} WITH (FORCE)")


def test_what_came_with_the_extension_is_no_change(server, database):
    server.run("SELECT relay_guard.audit_maintain()", database=database)
    assert server.run("SELECT id FROM relay_guard.audit_log", database=database) == []


def test_without_a_log_nothing_is_recorded_and_none_is_made(server, database):
    """A dump that is restored brings its own partitions."""
    server.run(CHANGE, 1, database=database)
    assert server.value(QUOTA, database=database) == 1
    assert server.run("SELECT partition FROM relay_guard.audit_partitions()", database=database) == []


def test_from_the_first_partition_on_it_is_recorded(server, database):
    server.run("SELECT relay_guard.audit_maintain()", database=database)
    server.run(CHANGE, 1, database=database)
    assert server.run(RECORDED, database=database) == [("UPDATE", BEFORE, 1)]


def test_a_month_without_a_partition_fails_the_change(server, database):
    server.run("SELECT relay_guard.audit_maintain()", database=database)
    partition = server.value(NOW, database=database)
    server.run(f"ALTER TABLE relay_guard.audit_log DETACH PARTITION {partition}", database=database)
    connection = server.connect(database)
    assert sqlstate(connection, CHANGE, 1) == "55000"
    connection.close()
    assert server.value(QUOTA, database=database) == BEFORE


def test_while_a_log_is_restored_nothing_is_recorded(server, database):
    """Its partitions stand, and get their triggers last."""
    server.run("SELECT relay_guard.audit_maintain()", database=database)
    server.run("CREATE TABLE later PARTITION OF relay_guard.audit_log FOR VALUES FROM ('2099-01-01 00:00Z') TO ('2099-02-01 00:00Z')",
               database=database)
    server.run(CHANGE, 1, database=database)
    assert server.run(RECORDED, database=database) == []
    server.run("SELECT relay_guard.audit_maintain()", database=database)
    server.run(CHANGE, 2, database=database)
    assert server.run(RECORDED, database=database) == [("UPDATE", 1, 2)]


def test_without_a_ring_changes_are_made_and_not_recorded(make_server):
    server = make_server({"relay_guard.keyring_file": ""})
    server.run("CREATE EXTENSION relay_guard; SELECT relay_guard.audit_maintain()")
    server.run(CHANGE, 1)
    server.run("INSERT INTO relay_guard.upstream (name, url) VALUES ('shop', 'http://10.0.0.1'); DELETE FROM relay_guard.upstream")
    assert server.value(QUOTA) == 1 and server.run("SELECT id FROM relay_guard.audit_log") == []
    server.options["relay_guard.keyring_file"] = server.keyring
    server.restart()
    server.run(CHANGE, 2)
    assert server.run(RECORDED) == [("UPDATE", 1, 2)]
    server.stop("immediate")


def test_a_ring_that_cannot_be_read_fails_the_change(make_server):
    server = make_server()
    server.run("CREATE EXTENSION relay_guard; SELECT relay_guard.audit_maintain()")
    server.keyring.unlink()
    server.restart()
    connection = server.connect()
    assert sqlstate(connection, CHANGE, 1) == "RG503"
    connection.close()
    assert server.value(QUOTA) == BEFORE and server.run(RECORDED) == []
    server.stop("immediate")


def test_what_an_admin_sets_hides_nothing(server, database):
    """Neither names that stand before the catalog's, nor an old snapshot, nor the mode of replication."""
    server.run("""CREATE ROLE configurer LOGIN; SELECT relay_guard.grant_role('admin', 'configurer');
                  GRANT SET ON PARAMETER session_replication_role TO configurer;
                  CREATE SCHEMA AUTHORIZATION configurer;""", database=database)
    old = server.connect(database, user="configurer", autocommit=False)
    old.set_session(isolation_level="REPEATABLE READ")
    with old.cursor() as cursor:
        cursor.execute("SELECT 1")
    server.run("SELECT relay_guard.audit_maintain()", database=database)
    with old.cursor() as cursor:
        cursor.execute(CHANGE, (1,))
    old.commit()
    old.close()
    connection = psycopg2.connect(host=str(server.folder), dbname=database, user="configurer")
    with connection, connection.cursor() as cursor:
        cursor.execute("CREATE VIEW configurer.pg_inherits AS SELECT 0 AS inhparent WHERE false")
        cursor.execute("CREATE VIEW configurer.pg_trigger AS SELECT 0 AS tgrelid WHERE false")
        cursor.execute("SET search_path = configurer, pg_catalog; SET session_replication_role = replica; SET row_security = off")
        cursor.execute(CHANGE, (2,))
    connection.close()
    assert server.run(RECORDED, database=database) == [("UPDATE", BEFORE, 1), ("UPDATE", 1, 2)]
    server.run("DROP OWNED BY configurer", database=database)
    server.run("DROP ROLE configurer")
