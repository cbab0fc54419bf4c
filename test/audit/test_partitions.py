"""audit_maintain(): partitions by months of UTC, whoever calls it from wherever."""
import datetime
import threading

import psycopg2
import pytest

from servers import run, sqlstate, wait_for

UTC = datetime.timezone.utc
BOUNDS = "SELECT partition::text, lower AT TIME ZONE 'UTC', upper AT TIME ZONE 'UTC' FROM relay_guard.audit_partitions()"
INDEXES = r"""SELECT replace(substring(pg_get_indexdef(i.indexrelid), 'USING( btree \([^)]*\))'), 'relay_guard.', '') AS definition, count(*)
             FROM pg_index i JOIN relay_guard.audit_partitions() p ON p.partition = i.indrelid GROUP BY 1 ORDER BY 1"""


def months(first, count):
    for n in range(count):
        month = first.month - 1 + n
        yield datetime.datetime(first.year + month // 12, month % 12 + 1, 1)


def expected(count=13):
    starts = list(months(datetime.datetime.now(UTC), count + 1))
    return [(f"relay_guard.audit_log_{start:%Y_%m}", start, end) for start, end in zip(starts, starts[1:])]


@pytest.fixture
def database(server):
    """The server's database, without any partition."""
    server.run("""DROP TABLE IF EXISTS t;
        DO $$ DECLARE p regclass; BEGIN
            FOR p IN SELECT partition FROM relay_guard.audit_partitions() LOOP EXECUTE format('DROP TABLE %s', p); END LOOP;
        END $$""")
    yield "postgres"


def maintain(server, database, before=""):
    connection = server.connect(database)
    try:
        if before:
            run(connection, before)
        return run(connection, "SELECT relay_guard.audit_maintain()")[0][0]
    finally:
        connection.close()


def test_this_month_and_the_next_twelve(server, database):
    assert server.run(BOUNDS, database=database) == []
    assert maintain(server, database) == 13
    assert server.run(BOUNDS, database=database) == expected()
    assert maintain(server, database) == 0
    assert server.run(INDEXES, database=database) == [
        (" btree (occurred_at, id)", 13), (" btree (resource_id, resource_type, id)", 13), (" btree (xid, id)", 13)]
    # a partition that came with an index of the parent's could not be restored
    assert server.value("SELECT count(*) FROM pg_index WHERE indrelid = 'relay_guard.audit_log'::regclass", database=database) == 0
    assert server.run("""SELECT count(*) FROM pg_depend d JOIN relay_guard.audit_partitions() p ON d.objid = p.partition
                         WHERE d.deptype = 'e'""", database=database) == [(0,)]


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Etc/GMT+12", "America/New_York", "Asia/Kathmandu"])
def test_months_are_of_utc_wherever_the_session_is(server, database, zone):
    """New York has months with 719 and 721 hours; in Kiritimati they begin 14 hours before."""
    assert maintain(server, database, f"SET TimeZone = '{zone}'; SET DateStyle = 'German'; SET IntervalStyle = sql_standard") == 13
    assert server.run(BOUNDS, database=database) == expected()
    assert maintain(server, database, f"SET TimeZone = '{zone}'; SET DateStyle = 'SQL, DMY'") == 0


def test_what_is_missing_is_made(server, database):
    maintain(server, database)
    lost = [name for name, _, _ in expected()][3:6]
    server.run("".join(f"DROP TABLE {name};" for name in lost), database=database)
    assert maintain(server, database) == 3
    assert server.run(BOUNDS, database=database) == expected()


def test_partition_of_other_bounds_counts(server, database):
    """Whoever keeps years by hand is left alone, months around it are made."""
    (_, first, _), (_, second, _), *_ = expected()
    server.run(f"""CREATE TABLE relay_guard.by_hand PARTITION OF relay_guard.audit_log
                   FOR VALUES FROM ('{second}+00') TO ('{second.year + 3}-01-01 00:00:00+00')""", database=database)
    lint = "SELECT code, object FROM relay_guard.lint() WHERE code LIKE 'audit%'"
    assert server.run(lint, database=database) == [("audit_partitions", "relay_guard.audit_log"), ("audit_writable", "relay_guard.by_hand")]
    assert maintain(server, database) == 1
    assert [row[0] for row in server.run(BOUNDS, database=database)] == [expected()[0][0], "relay_guard.by_hand"]
    assert server.run(lint, database=database) == []
    assert sqlstate(server.connect(database), "DELETE FROM relay_guard.by_hand") == "42501"


def test_name_that_is_taken_is_said(server, database):
    name = expected()[2][0]
    server.run(f"CREATE TABLE {name} (id int)", database=database)
    with pytest.raises(psycopg2.Error, match="is not the partition of audit_log for its month") as error:
        maintain(server, database)
    assert error.value.pgcode == "42P07"
    server.run(f"DROP TABLE {name}", database=database)
    assert maintain(server, database) == 13


def test_clock_that_jumped_leaves_changes_refused_until_there_is_a_partition(server, database):
    """All partitions are of other years, as after a clock that was wrong was set right."""
    server.run("CREATE TABLE t (id int PRIMARY KEY)", database=database)
    server.run("SELECT relay_guard.audit('t')", database=database)
    server.run("".join(f"ALTER TABLE relay_guard.audit_log DETACH PARTITION {name}; DROP TABLE {name};" for name, _, _ in expected()),
               database=database)
    server.run("CREATE TABLE relay_guard.far PARTITION OF relay_guard.audit_log FOR VALUES FROM ('2090-01-01') TO ('2091-01-01')",
               database=database)
    connection = server.connect(database)
    assert sqlstate(connection, "INSERT INTO t VALUES (1)") == "55000"
    assert run(connection, "SELECT severity, code FROM relay_guard.lint() WHERE code = 'audit_partitions'") == [("error", "audit_partitions")]
    assert maintain(server, database) == 13
    run(connection, "INSERT INTO t VALUES (1)")
    assert run(connection, "SELECT count(*) FROM relay_guard.lint() WHERE code = 'audit_partitions'") == [(0,)]
    connection.close()


@pytest.mark.parametrize("kept,severity", [(1, "error"), (2, "warning"), (4, None)])
def test_lint_warns_sixty_days_ahead(server, database, kept, severity):
    """One month is at most 31 days, two at least 28, three and a bit more than 89."""
    maintain(server, database)
    server.run("".join(f"DROP TABLE {name};" for name, _, _ in expected()[kept:]), database=database)
    found = server.run("SELECT severity FROM relay_guard.lint() WHERE code = 'audit_partitions'", database=database)
    days = (expected()[kept][1] - datetime.datetime.now(UTC).replace(tzinfo=None)).days
    assert [row[0] for row in found] == ["error" if days < 7 else "warning" if days < 60 else None][:days < 60]
    if severity is None:
        assert found == []
    # a gap ends them, too
    if kept == 4:
        server.run(f"SELECT relay_guard.audit_maintain(); DROP TABLE {expected()[1][0]}", database=database)
        assert server.value("SELECT count(*) FROM relay_guard.lint() WHERE code = 'audit_partitions'", database=database) == 1


def test_several_at_once_make_each_once(server, database):
    made, errors = [], []

    def call(isolation):
        try:
            made.append(maintain(server, database, f"SET default_transaction_isolation = '{isolation}'"))
        except psycopg2.Error as error:
            errors.append(error)

    threads = [threading.Thread(target=call, args=("read committed",)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (sorted(made), errors) == ([0] * 5 + [13], [])
    assert server.run(BOUNDS, database=database) == expected()


def test_old_snapshot_makes_no_partition_twice(server, database):
    connection = server.connect(database)
    run(connection, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1")
    assert maintain(server, database) == 13
    assert run(connection, "SELECT relay_guard.audit_maintain()") == [(0,)]
    run(connection, "COMMIT")
    assert server.run(BOUNDS, database=database) == expected()
    connection.close()


def test_writers_do_not_wait_for_it_nor_it_for_them(server, database):
    server.run("CREATE TABLE t (id int PRIMARY KEY)", database=database)
    server.run("SELECT relay_guard.audit('t')", database=database)
    server.run(f"DROP TABLE {expected()[5][0]}", database=database)
    writer, keeper, other = (server.connect(database) for _ in range(3))
    for connection in writer, keeper, other:
        run(connection, "SET lock_timeout = '20s'")
    run(writer, "BEGIN; INSERT INTO t VALUES (1)")
    run(keeper, "BEGIN")
    assert run(keeper, "SELECT relay_guard.audit_maintain()") == [(1,)]
    run(other, "INSERT INTO t VALUES (2)")
    run(writer, "INSERT INTO t VALUES (3); COMMIT")
    run(other, "SELECT count(*) FROM relay_guard.audit_log")
    run(keeper, "COMMIT")
    for connection in writer, keeper, other:
        connection.close()


def test_caller_decides_nothing(server, database):
    """It runs with the rights of the extension's owner, so it must not listen to the caller's settings."""
    server.run("""DO $$ BEGIN CREATE ROLE clerk LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
                  SELECT relay_guard.grant_role('admin', 'clerk'); ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO clerk, PUBLIC""",
               database=database)
    clerk = server.connect(database, "clerk")
    run(clerk, """CREATE TEMPORARY TABLE audit_log (id int); CREATE TEMPORARY TABLE pg_inherits (inhrelid oid, inhparent oid, inhdetachpending bool);
        CREATE FUNCTION pg_temp.date_trunc(text, timestamp) RETURNS timestamp LANGUAGE sql AS $$ SELECT '1999-01-01'::timestamp $$;
        SET search_path = pg_temp, pg_catalog; SET default_table_access_method = heap; SET default_tablespace = 'pg_default';
        SET TimeZone = 'Asia/Tokyo'; SET DateStyle = 'Postgres, DMY'; SET check_function_bodies = off; SET row_security = off""")
    assert run(clerk, "SELECT relay_guard.audit_maintain()") == [(13,)]
    assert server.run(BOUNDS, database=database) == expected()
    name = expected()[0][0]
    assert server.run(f"""SELECT relowner::regrole::text, reltablespace, relrowsecurity, amname, has_table_privilege('clerk', c.oid, 'SELECT, INSERT')
                          FROM pg_class c JOIN pg_am a ON a.oid = relam WHERE c.oid = '{name}'::regclass""",
                      database=database) == [("postgres", 0, True, "heap", False)]
    assert sqlstate(clerk, f"SELECT FROM {name}") == "42501"
    clerk.close()
    nobody = server.connect(database)
    run(nobody, "CREATE ROLE passer; SET ROLE passer")
    assert sqlstate(nobody, "SELECT relay_guard.audit_maintain()") == "42501"
    run(nobody, "RESET ROLE; DROP ROLE passer; ALTER DEFAULT PRIVILEGES REVOKE ALL ON TABLES FROM clerk, PUBLIC")
    nobody.close()


def test_rows_go_where_their_month_is(server, database):
    """Changes of several months, as they come from another server, are routed as the bounds say."""
    maintain(server, database)
    connection = server.connect(database)
    run(connection, "SET session_replication_role = replica; SET TimeZone = 'Pacific/Kiritimati'")
    insert = """INSERT INTO relay_guard.audit_log (id, xid, occurred_at, epoch, key_id, action, resource_type, session_role, source, status, mac)
                VALUES (1, '1', %s, 1, 1, 'a', 'b', 'c', 'event', 'ok', decode(repeat('00', 32), 'hex')) RETURNING tableoid::regclass::text"""
    for name, lower, upper in expected():
        for moment in lower, upper - datetime.timedelta(microseconds=1):
            assert run(connection, insert, moment.replace(tzinfo=UTC)) == [(name,)]
    run(connection, "RESET session_replication_role")
    assert sqlstate(connection, "TRUNCATE relay_guard.audit_log") == "42501"
    connection.close()
