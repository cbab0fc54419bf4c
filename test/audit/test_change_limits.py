"""An audit that fails fails the change; one of a million rows takes no more memory than
one of a thousand; what has been committed is on disk."""
import os
import threading
import time

import psycopg2
import pytest

from changes import Log, install, leaks
from journal import problems
from servers import BINDIR, Server, as_server, not_with_sanitizers, own_folder, run, sqlstate, wait_for

ROWS = 1_000_000 if os.environ.get("RG_LONG") else 50_000
MEGABYTE = 1024 * 1024


@pytest.fixture(scope="module")
def audited(make_server):
    server = make_server({"wal_writer_delay": "10s", "relay_guard.audit_seal_interval": "0", "max_wal_size": "4GB", "autovacuum": "off"})
    install(server)
    server.run("CREATE TABLE item (id int PRIMARY KEY, n int, note text); SELECT relay_guard.audit('item', redact => '{note}')")
    yield server
    assert leaks(server) == []
    assert problems(server) == []
    server.stop("immediate")


@pytest.fixture
def connection(audited):
    connection = audited.connect()
    run(connection, "TRUNCATE item")
    yield connection
    connection.close()


def private_memory(pid):
    """Of a backend, without what it shares; in bytes."""
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("RssAnon:"))


class Watch(threading.Thread):
    """The most memory that a backend has between start and stop."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.before, self.most, self.done = pid, private_memory(pid), 0, False

    def run(self):
        while not self.done:
            self.most = max(self.most, private_memory(self.pid))
            time.sleep(0.005)

    def stop(self):
        self.done = True
        self.join()
        return self.most - self.before


@not_with_sanitizers
def test_a_statement_of_many_rows_runs_in_bounded_memory(connection):
    run(connection, "INSERT INTO item SELECT i, i, 'x' FROM generate_series(1, 1000) i; TRUNCATE item")
    log = Log(connection)
    for statement in (f"INSERT INTO item SELECT i, i, repeat('x', 50) FROM generate_series(1, {ROWS}) i",
                      "UPDATE item SET n = -n, note = 'y'", "UPDATE item SET note = note || ''", "DELETE FROM item"):
        watch = Watch(connection.info.backend_pid)
        watch.start()
        run(connection, statement)
        assert watch.stop() < 12 * MEGABYTE, statement
    assert run(connection, "SELECT action, count(*), count(DISTINCT resource_id) FROM relay_guard.audit_log WHERE id > %s GROUP BY 1 ORDER BY 1",
               log.id) == [(action, ROWS, ROWS) for action in ("DELETE", "INSERT", "UPDATE")]


@not_with_sanitizers
def test_large_values_of_many_rows_take_the_memory_of_few(connection):
    run(connection, "DROP TABLE IF EXISTS large; CREATE TABLE large (id int PRIMARY KEY, big text); SELECT relay_guard.audit('large')")
    for statement in ("INSERT INTO large SELECT i, repeat(md5(i::text), 32000) FROM generate_series(1, 16) i",
                      "UPDATE large SET big = big || 'x'", "DELETE FROM large"):
        watch = Watch(connection.info.backend_pid)
        watch.start()
        run(connection, statement)
        assert watch.stop() < 16 * MEGABYTE, statement


def test_a_large_value_that_does_not_change_is_not_read(connection):
    run(connection, """DROP TABLE IF EXISTS large; CREATE TABLE large (id int PRIMARY KEY, n int, big text);
        ALTER TABLE large ALTER big SET STORAGE EXTERNAL; SELECT relay_guard.audit('large');
        INSERT INTO large SELECT i, i, repeat('x', 100000) FROM generate_series(1, 20) i""")
    log = Log(connection)

    def pages():
        run(connection, "SELECT pg_stat_force_next_flush()")
        return run(connection, "SELECT toast_blks_read + toast_blks_hit FROM pg_statio_user_tables WHERE relname = 'large'")[0][0]

    before = pages()
    run(connection, "UPDATE large SET n = n + 1")
    assert pages() - before < 20
    assert [new for *_, new in log.rows()] == ['{"n": %d}' % n for n in range(2, 22)]
    run(connection, "UPDATE large SET big = big || ''")
    assert pages() - before > 20
    assert log.rows() == []


def test_a_long_statement_can_be_cancelled_while_it_is_logged(audited, connection):
    first = audited.value("SELECT last_value FROM relay_guard.audit_log_id_seq")
    ends = []

    def insert():
        code = sqlstate(connection, "INSERT INTO item SELECT i, i, 'x' FROM generate_series(1, 100000) i")
        ends.append((code, time.monotonic()))

    thread = threading.Thread(target=insert)
    thread.start()
    wait_for(lambda: audited.value("SELECT last_value FROM relay_guard.audit_log_id_seq") > first + 100)
    cancelled = time.monotonic()
    audited.run("SELECT pg_cancel_backend(%s)", connection.info.backend_pid)
    thread.join()
    assert ends[0][0] == "57014" and ends[0][1] - cancelled < 20
    assert run(connection, "SELECT count(*) FROM item") == [(0,)]
    assert run(connection, "SELECT count(*) FROM relay_guard.audit_log WHERE id > %s", first) == [(0,)]


def test_without_a_key_ring_nothing_is_changed(make_server):
    server = make_server()
    install(server)
    server.run("CREATE TABLE item (id int PRIMARY KEY, n int); SELECT relay_guard.audit('item'); INSERT INTO item VALUES (1, 1)")
    server.options["relay_guard.keyring_file"] = server.folder / "nothing"
    server.restart()
    connection = server.connect()
    for statement in ("INSERT INTO item VALUES (2, 2)", "UPDATE item SET n = 2", "DELETE FROM item", "TRUNCATE item",
                      "INSERT INTO item VALUES (1, 2) ON CONFLICT (id) DO UPDATE SET n = EXCLUDED.n",
                      "SET session_replication_role = replica; DELETE FROM item"):
        assert sqlstate(connection, statement) == "RG503", statement
    run(connection, "RESET session_replication_role")
    # Where nothing changes nothing is to be logged
    run(connection, "UPDATE item SET n = n; DELETE FROM item WHERE id = 7")
    assert run(connection, "SELECT * FROM item") == [(1, 1)]
    connection.close()
    server.options["relay_guard.keyring_file"] = server.keyring
    server.restart()
    server.run("DELETE FROM item")
    assert problems(server) == []
    server.stop("immediate")


def test_without_a_partition_nothing_is_changed(audited, connection):
    run(connection, "INSERT INTO item VALUES (1, 1)")
    name, bounds = run(connection, """SELECT c.oid::regclass::text, pg_get_expr(c.relpartbound, c.oid) FROM relay_guard.audit_log l
        JOIN pg_class c ON c.oid = l.tableoid LIMIT 1""")[0]
    run(connection, f"ALTER TABLE relay_guard.audit_log DETACH PARTITION {name}")
    try:
        with pytest.raises(psycopg2.errors.ObjectNotInPrerequisiteState) as refused:
            run(connection, "UPDATE item SET n = 2")
        assert "audit_maintain()" in refused.value.diag.message_hint
        assert sqlstate(connection, "SELECT relay_guard.audit_event('a', 'b')") == "55000"
        assert run(connection, "SELECT n FROM item") == [(1,)]
    finally:
        run(connection, f"ALTER TABLE relay_guard.audit_log ATTACH PARTITION {name} {bounds}")
    run(connection, "UPDATE item SET n = 2")


def test_a_read_only_transaction_logs_nothing(connection):
    for statement in ("SELECT relay_guard.audit_event('a', 'b')", "INSERT INTO item VALUES (1)"):
        assert sqlstate(connection, f"BEGIN READ ONLY; {statement}") == "25006"
        run(connection, "ROLLBACK")


def test_a_hot_standby_refuses_events(audited, make_server):
    folder = own_folder(audited.folder.parent)
    as_server(BINDIR / "pg_basebackup", "-h", audited.folder, "-U", "postgres", "-D", folder / "backup", "-c", "fast", "--no-sync", "-R")
    standby = Server(folder / "backup", own_folder(audited.folder.parent), {
        "primary_conninfo": f"host={audited.folder} user=postgres", "relay_guard.keyring_file": audited.keyring})
    try:
        standby.start()
        connection = standby.connect()
        assert run(connection, "SELECT pg_is_in_recovery()") == [(True,)]
        assert sqlstate(connection, "SELECT relay_guard.audit_event('a', 'b')") == "25006"
        assert sqlstate(connection, "INSERT INTO item VALUES (1)") == "25006"
        assert run(connection, "SELECT count(*) > 0 FROM relay_guard.audit_log") == [(True,)]
        connection.close()
    finally:
        standby.stop("immediate")


def test_what_is_committed_is_on_disk_whatever_synchronous_commit_says(audited, connection):
    run(connection, "CREATE TABLE IF NOT EXISTS unlogged_by_audit (id int)")
    connection.autocommit = False
    flushed = {}
    for table in ("item (id)", "unlogged_by_audit"):
        run(connection, f"SET LOCAL synchronous_commit = off; INSERT INTO {table} VALUES (77)")
        end = run(connection, "SELECT pg_current_wal_insert_lsn()")[0][0]
        connection.commit()
        flushed[table] = run(connection, "SELECT pg_current_wal_flush_lsn() > %s", end)[0][0]
        connection.commit()
    assert flushed == {"item (id)": True, "unlogged_by_audit": False}


def test_plans_follow_what_other_sessions_do_to_the_table(audited, connection):
    other = audited.connect()
    log = Log(connection)
    run(connection, "PREPARE put AS INSERT INTO item (id, n) VALUES ($1, 0); PREPARE change AS UPDATE item SET n = n + 1 WHERE id = $1")
    run(connection, "SET plan_cache_mode = force_generic_plan; EXECUTE put (1); EXECUTE change (1)")
    run(other, "ALTER TABLE item ADD more int DEFAULT 5, ADD secret text DEFAULT 's3cret'")
    run(other, "SELECT relay_guard.audit('item', redact => '{note, secret}')")
    run(connection, "EXECUTE put (2); EXECUTE change (2)")
    run(other, "ALTER TABLE item RENAME secret TO secret2")
    assert sqlstate(connection, "EXECUTE put (3)") == sqlstate(connection, "EXECUTE change (1)") == "42703"
    run(other, "SELECT relay_guard.audit('item', 'thing', omit => '{note, secret2}')")
    run(connection, "EXECUTE put (4)")
    run(other, "ALTER TABLE item DROP more; ALTER TABLE item DROP secret2; SELECT relay_guard.audit('item', redact => '{note}')")
    run(connection, "EXECUTE put (5)")
    run(other, "SELECT relay_guard.audit_stop('item')")
    run(connection, "EXECUTE put (6)")
    run(other, "SELECT relay_guard.audit('item', redact => '{note}')")
    run(connection, "EXECUTE change (6)")
    assert [(kind, action, id, new) for kind, action, id, _, new in log.rows()] == [
        ("item", "INSERT", "1", '{"n": 0, "id": 1, "note": null}'), ("item", "UPDATE", "1", '{"n": 1}'),
        ("item", "INSERT", "2", '{"n": 0, "id": 2, "more": 5, "note": null, "secret": "[redacted]"}'), ("item", "UPDATE", "2", '{"n": 1}'),
        ("thing", "INSERT", "4", '{"n": 0, "id": 4, "more": 5}'), ("item", "INSERT", "5", '{"n": 0, "id": 5, "note": null}'),
        ("item", "UPDATE", "6", '{"n": 1}')]
    other.close()


def set_if_known(connection, setting):
    """PostgreSQL 16 has renamed one, and is built with lz4 or without."""
    if connection.server_version >= 160000:
        setting = setting.replace("force_parallel_mode", "debug_parallel_query")
    if setting.endswith("= 'lz4'") and "lz4" not in run(connection, """SELECT enumvals FROM pg_settings
            WHERE name = 'default_toast_compression'""")[0][0]:
        pytest.skip("built without lz4")
    run(connection, f"SET {setting}")


@pytest.mark.parametrize("setting", ["jit_above_cost = 0", "force_parallel_mode = on", "work_mem = '64kB'", "default_toast_compression = 'lz4'",
                                     "row_security = off", "session_replication_role = local", "enable_indexscan = off"])
def test_settings_of_the_session_change_nothing(connection, setting):
    log = Log(connection)
    set_if_known(connection, setting)
    run(connection, "INSERT INTO item SELECT i, i, repeat('x', 100) FROM generate_series(1, 3000) i")
    run(connection, "UPDATE item SET n = 0 WHERE id % 2 = 0")
    run(connection, "DELETE FROM item")
    rows = log.rows()
    assert [action for _, action, *_ in rows] == ["INSERT"] * 3000 + ["UPDATE"] * 1500 + ["DELETE"] * 3000
    assert [int(id) for _, _, id, _, _ in rows[:3000]] == list(range(1, 3001))
