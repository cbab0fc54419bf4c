"""audit_retire(): months leave the log, and what is left verifies."""
import datetime
import itertools
import threading

import audit_formats
import psycopg2
import pytest
from audit_formats import Log
from sealing import problems
from servers import run, sqlstate, wait_for

numbers = itertools.count()
NOW = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
THIS_MONTH = NOW.replace(day=1, hour=0, minute=0, second=0)


def months_ago(count):
    """The first of a month, as text."""
    months = NOW.year * 12 + NOW.month - 1 - count
    return f"{months // 12}-{months % 12 + 1:02}-01"


class Database:
    """One of a server's databases, each of which has a log of its own."""

    def __init__(self, server, name):
        self.server, self.name = server, name

    def connect(self, user="postgres", autocommit=True):
        return self.server.connect(self.name, user, autocommit)

    def run(self, statement, *arguments, user="postgres"):
        return self.server.run(statement, *arguments, database=self.name, user=user)

    def value(self, statement, *arguments):
        return self.run(statement, *arguments)[0][0]


@pytest.fixture(scope="module")
def year(make_server):
    """A server whose template has a year of months, eight rows in each, and this month's."""
    server = make_server({"relay_guard.audit_seal_interval": "0"})
    server.run("CREATE DATABASE year")
    template = Database(server, "year")
    template.run("CREATE EXTENSION relay_guard")
    template.run("SELECT relay_guard.audit_maintain()")
    made = Log(audit_formats.ring_key(server))
    for ago in range(12, 0, -1):
        made.at = datetime.datetime.fromisoformat(months_ago(ago) + "T12:00:00+00:00")
        made.add(8)
    connection = template.connect()
    audit_formats.put(connection, made)
    run(connection, "SELECT setval('relay_guard.audit_log_id_seq', 1000)")
    connection.close()
    yield server
    server.stop("immediate")


@pytest.fixture
def log(year):
    """A database that has taken over that log, as after a restore, and goes on with it."""
    name = f"log_{next(numbers)}"
    year.run(f"CREATE DATABASE {name} TEMPLATE year")
    database = Database(year, name)
    database.run("SELECT relay_guard.audit_seal()")
    database.run("SELECT relay_guard.audit_event('now', 'thing')")
    return database


def partitions(server):
    return [name for name, in server.run("SELECT relname FROM pg_class WHERE relname ~ '^audit_log_[0-9]{4}_[0-9]{2}$'"
                                         " AND relkind = 'r' ORDER BY 1")]


def name_of(month):
    return "audit_log_" + month[:7].replace("-", "_")


def retire(server, before):
    server.run("CALL relay_guard.audit_retire(%s)", before)


def test_supa_audit_32_litellm_2169_table_grows_without_bound(log):
    """A year of months goes one by one and at once, and the chain stays whole."""
    assert len(partitions(log)) == 12 + 13 and problems(log) == []
    retire(log, months_ago(11) + " 00:00+00")
    assert partitions(log)[0] == name_of(months_ago(11)) and problems(log) == []
    retire(log, NOW)
    assert partitions(log)[0] == name_of(months_ago(0)) and problems(log) == []
    events = log.run("SELECT actor, source, status, resource_type, details FROM relay_guard.audit_log"
                     " WHERE action = 'audit.retire' ORDER BY id")
    assert events[0] == (None, "system", "ok", "audit_log",
                         {"before": months_ago(11), "partitions": [name_of(months_ago(12))]})
    assert events[1][4]["before"] == months_ago(0) and len(events[1][4]["partitions"]) == 11
    log.run("SELECT relay_guard.audit_seal()")
    assert problems(log) == []
    assert log.value("SELECT count(*) FROM relay_guard.audit_seal") >= 13


def test_nothing_to_retire_is_said(log):
    connection = log.connect()
    run(connection, "CALL relay_guard.audit_retire('2001-01-01')")
    assert "no month before 2001-01-01" in connection.notices[-1]
    connection.close()
    assert log.value("SELECT count(*) FROM relay_guard.audit_log WHERE action = 'audit.retire'") == 0


@pytest.mark.parametrize("before", ["NULL", "'infinity'", "now() + interval '32 days'"])
def test_months_that_are_not_over_stay(log, before):
    connection = log.connect()
    assert sqlstate(connection, f"CALL relay_guard.audit_retire({before})") == "22023"
    connection.close()


def test_it_refuses_a_transaction_block(log):
    connection = log.connect()
    assert sqlstate(connection, "BEGIN; CALL relay_guard.audit_retire(now())") == "25001"
    run(connection, "ROLLBACK")
    assert sqlstate(connection, "DO $$BEGIN CALL relay_guard.audit_retire('2001-01-01'); END$$") is None
    connection.close()


def test_rows_that_no_seal_has_stay(log):
    connection = log.connect()
    rows = Log(audit_formats.ring_key(log.server))
    row = rows.add(occurred_at=months_ago(3) + " 10:00:00+00", row_id=900)
    rows.seals = []
    audit_formats.put(connection, rows)
    assert row.id == "900"
    with pytest.raises(psycopg2.Error, match=f"partition \"{name_of(months_ago(3))}\" .* has 1 rows that no seal has"):
        run(connection, "CALL relay_guard.audit_retire(now())")
    assert len(partitions(log)) == 25
    assert log.value("SELECT count(*) FROM relay_guard.audit_log WHERE action = 'audit.retire'") == 0
    run(connection, "CALL relay_guard.audit_retire(%s)", months_ago(3))
    assert len(partitions(log)) == 16
    connection.close()


def test_rows_that_are_missing_beside_a_retirement_are_named(log):
    retire(log, months_ago(6))
    log.run("SET session_replication_role = replica; DELETE FROM relay_guard.audit_log WHERE id = 51")
    assert problems(log) == [("row_missing", 51)]


FORGED = {"app": "SELECT relay_guard.audit_event('audit.retire', 'audit_log', NULL, '{\"before\": \"2200-01-01\"}')",
          "superuser": """SET session_replication_role = replica;
              INSERT INTO relay_guard.audit_log SELECT (jsonb_populate_record(l, '{"id": 5000, "action": "audit.retire",
                  "resource_type": "audit_log", "source": "system", "details": {"before": "2200-01-01"}}')).*
              FROM relay_guard.audit_log l WHERE action = 'now'"""}


@pytest.mark.parametrize("who", FORGED)
def test_forged_event_excuses_nothing(log, who):
    log.run(FORGED[who])
    log.run(f"DROP TABLE relay_guard.{name_of(months_ago(12))}")
    assert ("row_missing", 1) in problems(log)


def test_month_that_was_retired_may_come_back_whole_but_not_in_part(log):
    log.run(f"CREATE TABLE kept AS SELECT * FROM relay_guard.{name_of(months_ago(12))}")
    retire(log, months_ago(11))
    log.run(audit_formats.partition(months_ago(12)))
    log.run("SET session_replication_role = replica; INSERT INTO relay_guard.audit_log SELECT * FROM kept")
    assert problems(log) == []
    log.run("SET session_replication_role = replica; DELETE FROM relay_guard.audit_log WHERE id IN (3, 4)")
    assert problems(log) == [("row_missing", 3)]


def test_admin_may_retire_and_nobody_else(log):
    log.run("CREATE ROLE auditing LOGIN; CREATE ROLE curious LOGIN; SELECT relay_guard.grant_role('admin', 'auditing')")
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        log.run("CALL relay_guard.audit_retire(now())", user="curious")
    log.run("CALL relay_guard.audit_retire(now())", user="auditing")
    assert len(partitions(log)) == 13 and problems(log) == []
    assert log.run("SELECT session_role FROM relay_guard.audit_log WHERE action = 'audit.retire'") == [("auditing",)]


def test_writers_do_not_wait_for_a_retirement_that_waits_for_a_reader(log):
    reader = log.connect(autocommit=False)
    run(reader, "SELECT count(*) FROM relay_guard.audit_log")
    retiring = threading.Thread(target=retire, args=(log, NOW))
    retiring.start()
    wait_for(lambda: log.value("SELECT count(*) FROM pg_locks WHERE NOT granted OR virtualtransaction IN"
                               " (SELECT virtualtransaction FROM pg_locks WHERE NOT granted)"))
    for _ in range(50):
        log.run("SET lock_timeout = '5s'; SELECT relay_guard.audit_event('beside', 'thing')")
    assert retiring.is_alive()
    assert problems(log) == []
    reader.rollback()
    reader.close()
    retiring.join(60)
    assert len(partitions(log)) == 13 and problems(log) == []


def broken_off(log):
    """A retirement that was ended while it waited for a reader: one partition is pending."""
    reader = log.connect(autocommit=False)
    run(reader, "SELECT count(*) FROM relay_guard.audit_log")
    retiring = log.connect()
    failed = []
    thread = threading.Thread(target=lambda: failed.append(sqlstate(retiring, "CALL relay_guard.audit_retire(now())")))
    thread.start()
    wait_for(lambda: log.value("SELECT count(*) FROM pg_inherits WHERE inhdetachpending"))
    return reader, retiring, thread, failed


def test_cancelled_retirement_is_finished_by_the_next(log):
    reader, retiring, thread, failed = broken_off(log)
    log.run("SELECT pg_cancel_backend(%s)", retiring.info.backend_pid)
    thread.join(20)
    assert failed == ["57014"]
    wait_for(lambda: not log.value("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'relay_guard detach'"))
    assert problems(log) == []
    reader.rollback()
    retire(log, NOW)
    assert len(partitions(log)) == 13 and problems(log) == []
    assert log.value("SELECT count(*) FROM pg_inherits WHERE inhdetachpending") == 0


def test_retirement_killed_with_its_server_is_finished_by_the_next(log):
    reader, *_ = broken_off(log)
    log.server.restart("immediate")
    reader.close()
    assert problems(log) == []
    assert log.value("SELECT count(*) FROM pg_inherits WHERE inhdetachpending") == 1
    retire(log, NOW)
    assert len(partitions(log)) == 13 and problems(log) == []


def test_partition_that_was_detached_and_not_dropped_goes_with_the_next(log):
    log.run(f"ALTER TABLE relay_guard.audit_log DETACH PARTITION relay_guard.{name_of(months_ago(12))}")
    assert problems(log) == [("row_missing", 1)]
    retire(log, months_ago(11))
    assert len(partitions(log)) == 24 and problems(log) == []


def test_row_that_comes_while_its_partition_is_detached_brings_it_back(log):
    """As of a transaction that began in that month and is still writing."""
    reader, retiring, thread, failed = broken_off(log)
    first = name_of(months_ago(12))
    log.run(f"""SET session_replication_role = replica; INSERT INTO relay_guard.{first}
                SELECT (jsonb_populate_record(l, '{{"id": 800}}')).* FROM relay_guard.{first} l WHERE id = 1""")
    reader.rollback()
    thread.join(20)
    assert failed == ["55000"] and len(partitions(log)) == 25
    assert log.value("SELECT count(*) FROM relay_guard.audit_log WHERE id = 800") == 1
    assert problems(log) == [("row_inserted", 800)]


def test_two_retirements_at_once_are_refused(log):
    reader, retiring, thread, failed = broken_off(log)
    other = log.connect()
    assert sqlstate(other, "CALL relay_guard.audit_retire(now())") == "55006"
    reader.rollback()
    thread.join(20)
    assert failed == [None] and problems(log) == []


def test_without_a_worker_to_be_had_it_is_done_plainly(make_server):
    server = make_server({"relay_guard.audit_seal_interval": "0", "max_worker_processes": "0"})
    server.run("CREATE EXTENSION relay_guard")
    server.run("SELECT relay_guard.audit_maintain()")
    server.run(audit_formats.partition(months_ago(1)))
    reader = server.connect(autocommit=False)
    run(reader, "SELECT count(*) FROM relay_guard.audit_log")
    with pytest.raises(psycopg2.errors.LockNotAvailable):
        retire(server, NOW)
    reader.rollback()
    retire(server, NOW)
    assert len(partitions(server)) == 13 and problems(server) == []
    server.stop("immediate")
