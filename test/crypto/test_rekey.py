"""CALL rekey(): every value of a column under the primary key, beside the column's users."""
import collections
import contextlib
import signal
import time

import psycopg2
import pytest
from servers import as_server, run, sqlstate, wait_for
from rekeying import calling, drop, encrypt_column, keys, opened, owners_table, primary, progress, rotate, slow_down, table  # noqa: F401


def test_every_value_ends_under_the_primary_key(server, table):
    old = keys(server)[0][0]
    new = rotate(server)
    server.run("INSERT INTO t VALUES (1001, 'without a value', NULL)")
    server.run("CALL relay_guard.rekey('t', 'c', 300)")
    assert keys(server) == [(new, 1000), (None, 1)] and new != old
    assert opened(server) == 1000
    assert progress(server) == ("done", 1000, 0, 0)
    assert progress(server, "target_key, pass, rows_seen, rows_total, pid") == (new, 2, 1001, 1001, None)


def test_nothing_is_written_when_all_is_under_the_primary_key(server, table):
    before = server.run("SELECT id, ctid, xmax FROM t")
    server.run("CALL relay_guard.rekey('t', 'c')")
    assert server.run("SELECT id, ctid, xmax FROM t") == before


@pytest.mark.parametrize("key, value", [
    ("smallint", "i"), ("bigint", "-i"), ("text", "'a''\"\\' || i"), ("varchar(20)", "i"), ("char(20)", "i"),
    ("uuid", "md5(i::text)::uuid"), ("timestamptz", "timestamptz 'now' + i * interval '1 us'"),
    ("interval", "i * interval '-1 h'"), ("float8", "1 / i::float8"), ("numeric", "i / 7.0"),
    ("bytea", "sha256(i::text::bytea)"), ("inet", "inet '::/8' + i"), ("boolean[]", "ARRAY[i::bit(10)::text ~ '1$', NULL]"),
    ("int4range", "int4range(i, NULL)"), ("\"Kind Of\"", "i"), ("citext", "chr(65 + i % 26 + 32 * (i % 2)) || i"), ("a.email", "chr(65 + i % 26 + 32 * (i % 2)) || i"),
])
def test_any_type_of_primary_key(server, key, value):
    server.run(f"""
        CREATE EXTENSION IF NOT EXISTS citext; CREATE SCHEMA a;
        CREATE DOMAIN "Kind Of" AS integer; CREATE DOMAIN a.email AS citext;
        CREATE TABLE t (k {key}, "from" {key}, id integer, note text, c text,
                        PRIMARY KEY (k, "from", id) INCLUDE (note));
        INSERT INTO t SELECT k, k, i, 'note', 'value ' || i FROM generate_series(1, 40) i,
            LATERAL (SELECT ({value})::{key}) AS v (k)""")
    try:
        encrypt_column(server, "t", ["id"], "l.t.c")
        new = rotate(server)
        connection = server.connect()
        run(connection, "SET datestyle = 'sql, dmy'; SET intervalstyle = 'sql_standard'; SET extra_float_digits = -9")
        run(connection, "CALL relay_guard.rekey('t', 'c', 3)")
        connection.close()
        assert keys(server) == [(new, 40)]
        assert opened(server) == 40
        assert progress(server, "pass, rows_done, rows_seen") == (2, 40, 40)
    finally:
        drop(server, 'TABLE t CASCADE; DROP DOMAIN "Kind Of"; DROP SCHEMA a CASCADE')


def test_column_without_rows(server, table):
    server.run("TRUNCATE t")
    new = rotate(server)
    server.run("CALL relay_guard.rekey('t', 'c')")
    assert progress(server, "phase, target_key, rows_total") == ("done", new, 0)


def test_partitioned_table(server):
    server.run("""
        CREATE TABLE t (day date, id bigint, c text, PRIMARY KEY (day, id)) PARTITION BY RANGE (day);
        CREATE TABLE t1 PARTITION OF t FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
        CREATE TABLE t2 PARTITION OF t FOR VALUES FROM ('2026-02-01') TO ('2026-03-01') PARTITION BY LIST (id);
        CREATE TABLE t3 PARTITION OF t2 DEFAULT;
        INSERT INTO t SELECT date '2026-01-01' + i % 59, i, 'value ' || i FROM generate_series(1, 500) i""")
    try:
        encrypt_column(server, "t", ["id"], "l.t.c")
        server.run("ANALYZE t1; ANALYZE t3")
        new = rotate(server)
        server.run("CALL relay_guard.rekey('t', 'c', 30)")
        assert keys(server) == [(new, 500)] and opened(server) == 500
        assert progress(server, "phase, rows_done, rows_total") == ("done", 500, 500)
    finally:
        drop(server, "TABLE t CASCADE")


# Beside the column's users

def test_rows_that_others_have_locked_are_left_to_the_next_pass(server, table):
    new = rotate(server)
    holder = server.connect(autocommit=False)
    run(holder, "SELECT FROM t WHERE id IN (3, 700) FOR UPDATE")
    with calling(server) as call:
        wait_for(lambda: keys(server) == [(new - 1, 2), (new, 998)])
        wait_for(lambda: progress(server)[0] == "waiting")
        assert progress(server, "rows_locked, pid")[0] > 0 and progress(server, "pid") == (call.pid,)
        holder.rollback()
        call.result(60)
    assert keys(server) == [(new, 1000)] and progress(server) == ("done", 1000, 0, 0)
    holder.close()


def test_row_that_a_running_transaction_wrote_under_the_old_key_is_not_forgotten(server, table):
    writer = server.connect(autocommit=False)
    run(writer, "INSERT INTO t VALUES (0, 'late', relay_guard.encrypt('value 0'::text, relay_guard.aad('l.t.c', '0')))")
    new = rotate(server)
    with calling(server) as call:
        wait_for(lambda: keys(server) == [(new, 1000)] and progress(server)[0] == "waiting")
        time.sleep(0.3)
        assert progress(server, "phase, pass") == ("waiting", 1)
        assert server.value("SELECT pg_blocking_pids(%s)", call.pid) == [writer.get_backend_pid()]
        writer.commit()
        call.result(60)
    assert keys(server) == [(new, 1001)] and opened(server) == 1001
    writer.close()


def test_pass_that_found_nothing_does_not_count_while_somebody_writes(server, table):
    server.run("TRUNCATE t")
    writer = server.connect(autocommit=False)
    run(writer, "INSERT INTO decrypted_t VALUES (1, 'late', 'value 1')")
    new = rotate(server)
    with calling(server) as call:
        wait_for(lambda: server.value("SELECT pg_blocking_pids(%s)", call.pid) == [writer.get_backend_pid()])
        writer.commit()
        call.result(60)
    assert keys(server) == [(new, 1)]
    writer.close()


def test_prepared_transaction_is_waited_for(server, table):
    writer = server.connect()
    run(writer, "BEGIN")
    run(writer, "INSERT INTO decrypted_t VALUES (0, 'late', 'value 0')")
    run(writer, "PREPARE TRANSACTION 'late'")
    new = rotate(server)
    with calling(server) as call:
        wait_for(lambda: keys(server) == [(new, 1000)] and progress(server)[0] == "waiting")
        time.sleep(0.3)
        assert not call.done()
        server.run("COMMIT PREPARED 'late'")
        call.result(60)
    assert keys(server) == [(new, 1001)] and opened(server) == 1001
    writer.close()


@pytest.mark.parametrize("what", ["SELECT FROM t FOR KEY SHARE", "LOCK t IN SHARE UPDATE EXCLUSIVE MODE",
                                  "SELECT count(c) FROM decrypted_t"])
def test_foreign_keys_vacuum_and_readers_are_not_waited_for(server, table, what):
    """What refers to a row locks it so; VACUUM the table so."""
    new = rotate(server)
    holder = server.connect(autocommit=False)
    run(holder, what)
    with calling(server) as call:
        call.result(60)
    assert keys(server) == [(new, 1000)]
    holder.close()


def test_update_of_a_row_between_reading_and_writing_it_is_not_lost(server, table):
    """A trigger, so that it is between: row 1's update changes row 2, which the page holds already."""
    server.run("""
        CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            UPDATE public.t SET c = relay_guard.encrypt('changed'::text, relay_guard.aad('l.t.c', '2')) WHERE id = 2;
            RETURN new; END $$;
        CREATE TRIGGER meddle BEFORE UPDATE ON t FOR EACH ROW WHEN (old.id = 1) EXECUTE FUNCTION meddle()""")
    rotate(server)
    server.run("CALL relay_guard.rekey('t', 'c')")
    assert server.value("SELECT relay_guard.decrypt_text(c, relay_guard.aad('l.t.c', '2')) FROM t WHERE id = 2") == "changed"
    assert progress(server) == ("done", 999, 0, 0)
    server.run("DROP FUNCTION meddle() CASCADE")


def test_run_goes_on_towards_the_key_of_a_rotation_meanwhile(server, table):
    new = rotate(server)
    slow_down(server)
    with calling(server, "CALL relay_guard.rekey('t', 'c', 20)") as call:
        wait_for(lambda: len(keys(server)) == 2)
        newer = rotate(server)
        wait_for(lambda: len(keys(server)) == 3)
        server.run("DROP TRIGGER slow ON t")
        call.result(60)
    assert keys(server) == [(newer, 1000)] and opened(server) == 1000 and newer > new
    assert progress(server, "phase, target_key") == ("done", newer)


def test_second_call_for_a_column_is_refused(server, table):
    rotate(server)
    slow_down(server)
    with calling(server) as call:
        wait_for(lambda: server.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 1)
        with pytest.raises(psycopg2.errors.ObjectInUse, match="another session"):
            server.run("CALL relay_guard.rekey('t', 'c')")
        server.run("SELECT pg_cancel_backend(%s)", call.pid)
        with pytest.raises(psycopg2.errors.QueryCanceled):
            call.result(10)
        assert server.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0


def test_a_lock_of_clients_does_not_keep_it_from_running(server, table):
    oid = server.value("SELECT 't'::regclass::oid::int")
    holder = server.connect()
    run(holder, "SELECT pg_advisory_lock(%s, 3), pg_advisory_lock((%s::bigint << 32) + 3)", oid, oid)
    server.run("CALL relay_guard.rekey('t', 'c')")
    holder.close()


# Broken off

def break_off(server, how):
    """Ends a run in its middle; what it has done by then."""
    slow_down(server)
    with calling(server, "CALL relay_guard.rekey('t', 'c', 20)") as call:
        wait_for(lambda: len(keys(server)) == 2 and keys(server)[1][1] >= 60)
        how(call.pid)
        with pytest.raises(psycopg2.Error):
            call.result(60)


def kill(server, pid):
    as_server("kill", f"-{signal.SIGKILL}", pid)

    def is_up():
        with contextlib.suppress(psycopg2.OperationalError):
            server.run("SELECT 1")
            return True
        return False
    wait_for(lambda: server.log().count("ready to accept connections") > 1 and is_up())


@pytest.mark.parametrize("how", ["kill -9", "cancel", "terminate"])
def test_run_that_was_broken_off_goes_on(server, table, how):
    new = rotate(server)
    started = server.value("SELECT now()")
    break_off(server, {"kill -9": lambda pid: kill(server, pid),
                       "cancel": lambda pid: server.run("SELECT pg_cancel_backend(%s)", pid),
                       "terminate": lambda pid: server.run("SELECT pg_terminate_backend(%s)", pid)}[how])
    wait_for(lambda: progress(server)[0] == "interrupted")
    stored, done = progress(server, "rows_seen, rows_done")
    assert keys(server)[1] == (new, done) and stored == done and done % 20 == 0
    server.run("DROP TRIGGER slow ON t; UPDATE t SET note = NULL WHERE id = 1")
    server.run("CREATE TABLE IF NOT EXISTS updated (id bigint); TRUNCATE updated")
    server.run("""
        CREATE OR REPLACE FUNCTION record() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN INSERT INTO public.updated VALUES (new.id); RETURN new; END $$;
        CREATE TRIGGER record AFTER UPDATE ON t FOR EACH ROW EXECUTE FUNCTION record()""")
    server.run("CALL relay_guard.rekey('t', 'c')")
    assert server.run("SELECT min(id), count(*) FROM updated") == [(done + 1, 1000 - done)]
    assert progress(server, "phase, rows_done, rows_seen, pass") == ("done", 1000, 1000, 2)
    assert progress(server, "started_at")[0] > started
    assert opened(server) == 1000


def test_statement_timeout_breaks_it_off_between_or_within_batches(server, table):
    new = rotate(server)
    slow_down(server, 0.001)
    connection = server.connect()
    run(connection, "SET statement_timeout = '400ms'")
    calls = 0
    while sqlstate(connection, "CALL relay_guard.rekey('t', 'c', 50)") == "57014":
        calls += 1
    assert 1 < calls < 300
    assert keys(server) == [(new, 1000)] and progress(server, "phase, rows_done") == ("done", 1000)
    connection.close()


def test_changed_primary_key_starts_the_pass_again(server, table):
    new = rotate(server)
    break_off(server, lambda pid: server.run("SELECT pg_terminate_backend(%s)", pid))
    wait_for(lambda: progress(server)[0] == "interrupted")
    server.run("DROP TRIGGER slow ON t; ALTER TABLE t DROP CONSTRAINT t_pkey, ADD COLUMN n uuid DEFAULT gen_random_uuid(),"
               "ADD PRIMARY KEY (n)")
    server.run("CALL relay_guard.rekey('t', 'c')")
    assert keys(server) == [(new, 1000)]


@pytest.mark.parametrize("end", ["DROP TABLE t CASCADE", "ALTER TABLE t DROP COLUMN c CASCADE"])
def test_table_or_column_is_dropped_meanwhile(server, table, end):
    rotate(server)
    slow_down(server)
    with calling(server, "CALL relay_guard.rekey('t', 'c', 20)") as call:
        wait_for(lambda: len(keys(server)) == 2)
        server.run(end)
        assert "encrypted no more" in call.result(10)[0]
    assert server.value("SELECT count(*) FROM relay_guard.rekey_state") == 0


# What does not open

def test_values_that_do_not_open_are_left_and_reported(server, table):
    new = rotate(server)
    server.run("""
        SET session_replication_role = replica;
        ALTER TABLE t DROP CONSTRAINT relay_guard_encrypted_c;
        UPDATE t SET c = (SELECT c FROM t WHERE id = 1) WHERE id = 7;
        UPDATE t SET c = overlay(c PLACING '\\x00000063' FROM 2) WHERE id = 8;
        UPDATE t SET c = 'garbage' WHERE id = 9""")
    connection = server.connect()
    run(connection, "CALL relay_guard.rekey('t', 'c')")
    said = "".join(connection.notices)
    assert "3 values" in said and "(id)=(7): it does not open" in said
    assert "(id)=(8): key 99 is retired or not" in said and "(id)=(9): it is no encrypted value" in said
    assert progress(server) == ("incomplete", 997, 3, 0)
    assert (new, 997) in keys(server)
    connection.close()


def test_failures_are_named_up_to_a_number(server, table):
    rotate(server)
    server.run("SET session_replication_role = replica;"
               "UPDATE t SET c = overlay(c PLACING int4send((1000 + id)::int) FROM 2)")
    connection = server.connect()
    run(connection, "CALL relay_guard.rekey('t', 'c')")
    said = "".join(connection.notices)
    assert "1000 values" in said and said.count("not in the key ring") == 20
    connection.close()


@pytest.mark.parametrize("kept", ["RETURN NULL;", "NEW.c = OLD.c; RETURN NEW;"])
def test_trigger_that_keeps_the_old_value_does_not_keep_it_going_for_ever(server, table, kept):
    rotate(server)
    server.run(f"""
        CREATE OR REPLACE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {kept} END $$;
        CREATE TRIGGER keep BEFORE UPDATE ON t FOR EACH ROW WHEN (old.id = 5) EXECUTE FUNCTION keep()""")
    server.run("CALL relay_guard.rekey('t', 'c')")
    assert progress(server) == ("incomplete", 999, 1, 0)


def test_error_of_a_trigger_names_the_row(server, table):
    rotate(server)
    server.run("""
        CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
        CREATE TRIGGER refuse BEFORE UPDATE ON t FOR EACH ROW WHEN (old.id = 555) EXECUTE FUNCTION refuse()""")
    with pytest.raises(psycopg2.errors.RaiseException, match=r"re-encrypting row \(id\)=\(555\)"):
        server.run("CALL relay_guard.rekey('t', 'c', 100)")
    assert progress(server, "phase, rows_done") == ("interrupted", 500)
    server.run("DROP TRIGGER refuse ON t")
    server.run("CALL relay_guard.rekey('t', 'c')")
    assert progress(server, "phase, rows_done") == ("done", 1000)


# How it is done

def test_updates_of_a_user_happen_but_for_what_he_keeps_in_columns(server, table):
    server.run("""
        ALTER TABLE t ADD size int GENERATED ALWAYS AS (length(c)) STORED, ADD updated_at timestamptz;
        CREATE OR REPLACE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN new.updated_at := now(); RETURN new; END $$;
        CREATE TRIGGER touch BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION touch()""")
    rotate(server)
    server.run("CALL relay_guard.rekey('t', 'c')")
    assert server.run("SELECT count(DISTINCT note), count(updated_at), bool_and(size = length(c)) FROM t") == [(1, 1000, True)]


@pytest.mark.parametrize("setting", ["repeatable read", "serializable"])
def test_whatever_the_session_isolates_by_default(server, table, setting):
    new = rotate(server)
    connection = server.connect()
    run(connection, f"SET default_transaction_isolation = '{setting}'")
    run(connection, "CALL relay_guard.rekey('t', 'c', 100)")
    assert keys(server) == [(new, 1000)]
    connection.close()


def test_large_batches_end_after_a_second(server, table):
    rotate(server)
    slow_down(server, 0.02)
    with calling(server, "CALL relay_guard.rekey('t', 'c', 100000)") as call:
        wait_for(lambda: server.run("SELECT 1 FROM relay_guard.rekey_progress WHERE rows_done > 0"))
        assert 1 < progress(server, "rows_done")[0] < 200
        server.run("SELECT pg_cancel_backend(%s)", call.pid)


def test_not_in_a_transaction_block(server, table):
    connection = server.connect(autocommit=False)
    assert sqlstate(connection, "CALL relay_guard.rekey('t', 'c')") == "25001"
    connection.close()


@pytest.mark.parametrize("arguments, state", [
    ("NULL, 'c'", "22004"), ("'t', NULL", "22004"), ("'t', 'c', 0", "22023"), ("'t', 'c', NULL", "22023"),
    ("'t', 'c', 100001", "22023"), ("'t', 'd'", "42703"), ("'t', 'ctid'", "42703"), ("'t', 'note'", "55000"),
    ("'pg_class', 'relname'", "55000"), ("'pg_locks', 'pid'", "55000"), ("0, 'c'", "42P01"),
])
def test_wrong_arguments(server, table, arguments, state):
    connection = server.connect()
    assert sqlstate(connection, f"CALL relay_guard.rekey({arguments})") == state
    connection.close()


def test_table_without_primary_key(server, table):
    server.run("ALTER TABLE t DROP CONSTRAINT t_pkey")
    with pytest.raises(psycopg2.errors.ObjectNotInPrerequisiteState, match="no primary key"):
        server.run("CALL relay_guard.rekey('t', 'c')")


def plans_of_rekey(server, settings=""):
    """What auto_explain says of every statement of a batch."""
    connection = server.connect()
    run(connection, f"""LOAD 'auto_explain'; SET auto_explain.log_min_duration = 0;
        SET auto_explain.log_nested_statements = on; SET auto_explain.log_level = notice; {settings}""")
    connection.notices = notices = collections.deque()
    run(connection, "CALL relay_guard.rekey('t', 'c', 100)")
    connection.close()
    return [notice for notice in notices if "t.id" in notice]


def test_batches_find_rows_by_the_primary_key(server, table):
    """Without statistics of the table."""
    rotate(server)
    plans = plans_of_rekey(server)
    assert len(plans) > 1000
    assert all("Index Scan using t_pkey on t" in plan and "Seq Scan on t" not in plan for plan in plans)


def test_pages_are_read_by_the_primary_key_whatever_that_is_thought_to_cost(server, table):
    server.run("ANALYZE t")
    pages = [plan for plan in plans_of_rekey(server, "SET random_page_cost = 1000") if "LIMIT" in plan]
    assert len(pages) > 20
    assert all("Index Scan using t_pkey on t" in plan for plan in pages)


# What an operator sees

def rows_seen(server):
    return dict(server.run("SELECT key_id, rows_seen FROM relay_guard.keyring_status"))


def test_keyring_status_says_how_many_rows_a_key_has_or_that_it_does_not_know(server, table):
    server.run("CALL relay_guard.rekey('t', 'c')")
    old = primary(server)
    assert rows_seen(server)[old] == 1000
    new = rotate(server)
    assert set(rows_seen(server).values()) == {None}
    holder = server.connect(autocommit=False)
    run(holder, "SELECT FROM t WHERE id < 4 FOR UPDATE")
    with calling(server) as call:
        wait_for(lambda: rows_seen(server)[new] is not None)
        assert rows_seen(server)[old] == 3 and rows_seen(server)[new] == 997
        holder.rollback()
        call.result(60)
    assert rows_seen(server)[old] == 0 and rows_seen(server)[new] == 1000
    holder.close()


def test_column_that_rekey_has_not_passed_leaves_every_key_unknown(server, table):
    server.run("CALL relay_guard.rekey('t', 'c')")
    server.run("CREATE TABLE second (id int PRIMARY KEY, c text)")
    encrypt_column(server, "second", ["id"], "l.second")
    assert set(rows_seen(server).values()) == {None}
    server.run("CALL relay_guard.rekey('second', 'c')")
    assert None not in rows_seen(server).values()
    server.run("DROP TABLE second CASCADE")


def test_stored_secrets_count_for_their_key(server, table):
    server.run("SELECT relay_guard.issuer_add('https://id', 'app');"
               "SELECT relay_guard.jwt_key_add('https://id', 'k', repeat('0123456789abcdef', 2))")
    old = primary(server)
    rotate(server)
    server.run("CALL relay_guard.rekey('t', 'c')")
    assert rows_seen(server)[old] == 1
    server.run("SELECT relay_guard.rekey_secrets()")
    assert rows_seen(server)[old] == 0
    server.run("DELETE FROM relay_guard.issuer")


def test_rekey_all_takes_every_column_the_caller_owns_and_the_secrets(server, table, owners_table):
    server.run("SELECT relay_guard.issuer_add('https://id', 'app');"
               "SELECT relay_guard.jwt_key_add('https://id', 'k', repeat('0123456789abcdef', 2))")
    old = primary(server)
    new = rotate(server)
    connection = server.connect(user="owner")
    run(connection, "CALL relay_guard.rekey_all()")
    assert [notice for notice in connection.notices if 'column "c" of table "t" is left as it is' in notice]
    assert keys(server) == [(old, 1000)] and keys(server, "s.t") == [(new, 100)]
    assert server.value("SELECT relay_guard.key_id(secret) FROM relay_guard.jwt_key") == new
    server.run("CALL relay_guard.rekey_all(10)")
    assert keys(server) == [(new, 1000)]
    assert rows_seen(server)[old] == 0
    server.run("DELETE FROM relay_guard.issuer")
    connection.close()
