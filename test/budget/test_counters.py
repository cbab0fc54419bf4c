"""The three unlogged tables hold what the live counters hold, and nothing comes of them."""
import time

import pytest
from accounts import Client, budget, fresh, install, quota
from crashes import heir, kill_server  # noqa: F401
from servers import run, wait_for

SETTINGS = {"relay_guard.databases": "postgres", "relay_guard.flush_interval": 1, "relay_guard.usage_interval": 1}
LIVE = """SELECT kind, policy_id, value, class, window_start::text, window_end::text, used, reserved, "limit", warn
    FROM relay_guard.account WHERE seeded ORDER BY 1, 2, 3, 5"""
STORED = """SELECT 'quota', policy, value, class, window_start::text, window_end::text, used, 0::bigint, "limit", NULL::bigint
    FROM relay_guard.quota_counter
    UNION ALL
    SELECT 'budget', policy, value, class, window_start::text, window_end::text, used, reserved, "limit", warn
    FROM relay_guard.budget_counter ORDER BY 1, 2, 3, 5"""
RATES = """SELECT value, used FROM relay_guard.counter WHERE name LIKE 'rl:%' ORDER BY 1"""
STORED_RATES = """SELECT value, used FROM relay_guard.rate_counter ORDER BY 1"""
TABLES = ("rate_counter", "quota_counter", "budget_counter")


@pytest.fixture(scope="module")
def server(make_server):
    server = make_server(SETTINGS)
    install(server)
    server.run("""INSERT INTO relay_guard.rate_policy (name, identify_by, quota, "window")
        VALUES ('slow', 'user', 100, '1 day')""")
    yield server
    server.stop("immediate")


def is_flushed(server):
    return not server.value("SELECT bool_or(NOT stored) FROM relay_guard.counter") and \
        server.run(LIVE) == server.run(STORED)


def rows(server, table, value):
    return server.run(f"SELECT used FROM relay_guard.{table} WHERE value = %s", value)


@pytest.mark.parametrize("table", TABLES)
def test_is_unlogged(server, table):
    kinds = server.run("""SELECT DISTINCT relpersistence FROM pg_class
        WHERE oid = %s::regclass OR oid IN (SELECT indexrelid FROM pg_index WHERE indrelid = %s::regclass)""",
        f"relay_guard.{table}", f"relay_guard.{table}")
    assert kinds == [("u",)]


def test_after_a_flush_they_hold_what_the_live_counters_hold(server):
    hourly, lifetime = quota(server, 100, window="hour"), quota(server, 7)
    with budget(server, 5000, warn=10), budget(server, None, scope="workspace", window="day"), \
            Client(server, workspace="w") as one, Client(server, workspace="w") as two:
        one.call("SELECT * FROM relay_guard.rate_take('slow', 5)")
        for client in (one, two):
            client.take(hourly, 3)
            client.take(lifetime, 7)
            assert not client.take(lifetime, 1).allowed
            client.reserve(300)
            client.settle(client.reserve(200).reservation, 150)
        wait_for(lambda: is_flushed(server))
        stored = server.run("SELECT value, used, reserved, warn, \"limit\" FROM relay_guard.budget_counter ORDER BY used, value")
        assert stored == sorted([(one.user, 150, 300, 10, 5000), (two.user, 150, 300, 10, 5000)]) + \
            [("w", 300, 600, None, None)]
        assert sorted(rows(server, "quota_counter", one.user)) == [(3,), (7,)]
        assert server.run(RATES) == server.run(STORED_RATES) == [(one.user, 5)]


def test_what_transactions_under_way_hold_is_stored_and_taken_back(server):
    limit = quota(server, 100)
    with Client(server) as client:
        client.take(limit, 1)
        client.begin().do("SELECT relay_guard.quota_take(%s, 40)", limit)
        wait_for(lambda: rows(server, "quota_counter", client.user) == [(41,)])
        assert is_flushed(server)
        client.rollback()
        wait_for(lambda: rows(server, "quota_counter", client.user) == [(1,)])
        assert is_flushed(server)


def test_settling_is_stored_when_it_has_committed(server):
    with budget(server, 1000), Client(server) as client:
        reservation = client.reserve(500).reservation
        client.begin().do("SELECT relay_guard.budget_settle(%s, 0, 100)", reservation)
        wait_for(lambda: rows(server, "budget_counter", client.user) == [(0,)])
        client.commit()
        wait_for(lambda: rows(server, "budget_counter", client.user) == [(100,)])
        assert is_flushed(server)


def test_rows_of_past_windows_go(server):
    limit = quota(server, 100)
    server.run("""INSERT INTO relay_guard.quota_counter (key, policy, version, value, class, window_start, window_end, used)
        SELECT '\\x00', id, version, 'past', 'identity', now() - interval '2 h', now() - interval '1 h', 1
        FROM relay_guard.quota_policy WHERE name = %s""", limit)
    server.run("""INSERT INTO relay_guard.budget_counter (key, policy, version, value, class, window_start, window_end, used, reserved)
        SELECT '\\x00', id, version, 'past', 'identity', now() - interval '2 h', now() - interval '1 h', 1, 0
        FROM relay_guard.budget_policy LIMIT 1""")
    with Client(server) as client:
        client.take(limit)
        wait_for(lambda: rows(server, "quota_counter", client.user) == [(1,)])
    assert rows(server, "quota_counter", "past") == rows(server, "budget_counter", "past") == []


def test_rows_of_policies_that_were_changed_go(server):
    limit, other = quota(server, 100), quota(server, 100)
    with Client(server) as client:
        client.take(limit)
        wait_for(lambda: rows(server, "quota_counter", client.user) == [(1,)])
        server.run("UPDATE relay_guard.quota_policy SET cap = 50 WHERE name = %s", limit)
        assert server.run("SELECT 1 FROM relay_guard.account WHERE policy = %s", limit) == []
        client.take(other, 3)
        wait_for(lambda: rows(server, "quota_counter", client.user) == [(3,)])
        client.take(limit)
        wait_for(lambda: sorted(rows(server, "quota_counter", client.user)) == [(2,), (3,)])


def test_accounts_are_seen_by_name_beside_rate_limits(server):
    limit = quota(server, 10, window="day")
    with budget(server, 100, window="day") as money, Client(server) as client:
        client.call("SELECT * FROM relay_guard.rate_take('slow')")
        client.take(limit, 4)
        client.reserve(30)
        seen = server.run("""SELECT name, used, "limit", remaining, algorithm, reset_after BETWEEN 0 AND 180000
            FROM relay_guard.counter WHERE value = %s ORDER BY 1""", client.user)
        assert seen == [(f"b:{money}:{client.user}", 30, 100, 70, "day", True),
                        (f"q:{limit}:{client.user}", 4, 10, 6, "day", True),
                        (f"rl:slow:{client.user}", 1, 100, 99, "sliding_window", True)]


def test_quota_of_a_rate_limits_name_is_not_counted_with_it(server):
    server.run("INSERT INTO relay_guard.quota_policy (name, scope, cap, \"window\") VALUES ('slow', 'user', 9, 'day')")
    before = server.value("SELECT counters FROM relay_guard.rate_status WHERE policy = 'slow'")
    with Client(server) as client:
        client.take("slow")
    assert server.value("SELECT counters FROM relay_guard.rate_status WHERE policy = 'slow'") == before


def nonsense(server, limit, user):
    """What the tables would say if they were believed."""
    server.run("""UPDATE relay_guard.quota_counter SET used = 1
        WHERE value = %s AND policy = (SELECT id FROM relay_guard.quota_policy WHERE name = %s)""", user, limit)


def test_after_a_restart_the_ledger_is_asked_and_not_the_tables(make_server):
    server = make_server(SETTINGS)
    install(server)
    limit, user = quota(server, 10), fresh()
    with Client(server, user) as client:
        client.take(limit, 10)
        wait_for(lambda: rows(server, "quota_counter", user) == [(10,)])
        nonsense(server, limit, user)
    server.options["relay_guard.flush_interval"] = 3600
    server.restart()
    assert rows(server, "quota_counter", user) == [(1,)]
    time.sleep(1.5)
    assert server.run("TABLE relay_guard.account") == []
    with Client(server, user) as client:
        assert not client.take(limit).allowed
    assert server.run("SELECT used FROM relay_guard.account") == [(10,)]
    server.stop("immediate")


def test_after_a_crash_the_tables_are_empty_and_no_quota_is(make_server, heir):
    server = make_server({**SETTINGS, "fsync": "on"})
    install(server)
    limit, user = quota(server, 10), fresh()
    with Client(server, user) as client:
        client.take(limit, 9)
        wait_for(lambda: rows(server, "quota_counter", user) == [(9,)])
    kill_server(server)
    server.start()
    for table in TABLES:
        assert server.run(f"TABLE relay_guard.{table}") == []
    with Client(server, user) as client:
        assert client.take(limit).allowed and not client.take(limit).allowed
    wait_for(lambda: rows(server, "quota_counter", user) == [(10,)])
    server.stop("immediate")


def test_shutdown_stores_what_moved(make_server):
    server = make_server({**SETTINGS, "relay_guard.flush_interval": 3600})
    install(server)
    limit = quota(server, 10)
    with Client(server, "late") as client:
        client.take(limit, 6)
        wait_for(lambda: server.run("SELECT 1 FROM pg_stat_activity WHERE backend_type = 'relay_guard worker'"))
    server.restart()
    assert rows(server, "quota_counter", "late") == [(6,)]
    server.stop("immediate")


def test_round_that_cannot_have_one_table_stores_the_others_later(server):
    limit = quota(server, 10)
    with Client(server) as client, Client(server) as blocker:
        run(blocker.connection, "BEGIN; LOCK TABLE relay_guard.quota_counter")
        client.take(limit, 5)
        wait_for(lambda: "lock timeout" in server.log())
        run(blocker.connection, "ROLLBACK")
        wait_for(lambda: rows(server, "quota_counter", client.user) == [(5,)])
        wait_for(lambda: is_flushed(server))
