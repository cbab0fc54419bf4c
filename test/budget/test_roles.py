"""Who may call what, and who reads and writes what: nobody writes the ledger but the
functions, and nobody reads another's spend."""
import psycopg2
import pytest

from accounts import CHARGE, STATUS, Client, budget, fresh, install, problems, quota
from servers import run, sqlstate

FOR_APPS = ["quota_take", "quota_require", "quota_status", "budget_reserve", "budget_extend", "budget_settle", "budget_release", "budget_charge",
            "budget_status"]
FOR_ADMINS = ["check_ledger", "usage_rebuild", "quota_replay", "budget_replay"]
TABLES = ["usage_ledger", "usage_total", "usage_round", "open_reservation", "quota_policy", "budget_policy", "model", "model_version",
          "quota_counter", "budget_counter"]
VIEWS = ["usage_by_day", "usage_by_workspace", "usage_by_user", "usage_by_model", "account", "counter"]


@pytest.fixture(scope="module")
def server(make_server):
    server = make_server()
    install(server)
    server.run("""CREATE ROLE web; CREATE ROLE boss; CREATE ROLE nobody; CREATE ROLE door; CREATE ROLE trusted;
        CREATE ROLE owner LOGIN;
        SELECT relay_guard.grant_role('app', 'web'), relay_guard.grant_role('admin', 'boss'), relay_guard.grant_role('gateway', 'door'),
            relay_guard.grant_role('trusted', 'trusted');
        CREATE TABLE loot (t text)""")
    yield server
    assert problems(server) == []
    server.stop("immediate")


class As(Client):
    """A client that has become a role."""

    def __init__(self, server, role, user=None, workspace=None):
        super().__init__(server, user, workspace)
        self.role = role

    def begin(self, mode=""):
        super().begin(mode)
        run(self.connection, f"SET LOCAL ROLE {self.role}")
        return self


def routines(server, names):
    return server.run("""SELECT oid::regprocedure::text, proname FROM pg_proc
        WHERE pronamespace = 'relay_guard'::regnamespace AND proname = ANY (%s)""", names)


def test_public_has_none_of_it(server):
    granted = server.run("""SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace = 'relay_guard'::regnamespace
        AND proname ~ '^(quota|budget|usage|check_ledger|model|rg_|open_)' AND proname <> 'usage_window'
        AND has_function_privilege('nobody', oid, 'EXECUTE')
        UNION ALL SELECT oid::regclass::text FROM pg_class WHERE relnamespace = 'relay_guard'::regnamespace AND relkind IN ('r', 'p', 'v', 'm')
        AND relname ~ '^(quota|budget|usage|open_|model|account)'
        AND has_any_column_privilege('nobody', oid, 'SELECT, INSERT, UPDATE, REFERENCES')
        UNION ALL SELECT oid::regclass::text FROM pg_class WHERE relnamespace = 'relay_guard'::regnamespace AND
        CASE relkind WHEN 'S' THEN has_sequence_privilege('nobody', oid, 'USAGE, SELECT, UPDATE') END""")
    assert granted == []


def test_a_route_s_role_takes_and_spends(server):
    policy = quota(server, 10)
    with budget(server, 100) as money, As(server, "web") as web:
        assert web.take(policy, 4).remaining == 6
        held = web.reserve(60)
        assert web.settle(held.reservation, 50).outcome == "settled"
        assert web.release(web.reserve(1).reservation).outcome == "released"
        assert web.call(CHARGE, 0, 10).amount == 10
        assert web.call(STATUS, policy).used == 4
        assert web.money(money) == (60, 0)


def test_only_what_is_for_apps_is_granted_to_them(server):
    callable = {name for (name,) in server.run("""SELECT DISTINCT proname FROM pg_proc WHERE pronamespace = 'relay_guard'::regnamespace
        AND proname ~ '^(quota|budget|usage|check_ledger|model|open_)' AND has_function_privilege('web', oid, 'EXECUTE')""")}
    assert set(FOR_APPS) <= callable
    assert not callable & {"budget_expire", "usage_rebuild", "usage_roll", "check_ledger", "quota_replay", "budget_replay", "usage_maintain"}
    assert not [name for name, _ in routines(server, FOR_ADMINS + ["budget_expire", "usage_roll"])
                if server.value("SELECT has_function_privilege('web', %s, 'EXECUTE')", name)]


def test_admins_read_and_check(server):
    for name, _ in routines(server, FOR_ADMINS):
        assert server.value("SELECT has_function_privilege('boss', %s, 'EXECUTE')", name), name
    with As(server, "boss") as boss:
        for table in ("usage_ledger", "usage_by_day", "usage_by_user", "usage_by_workspace", "usage_by_model", "account"):
            assert boss.fails(f"SELECT count(*) FROM relay_guard.{table}") is None, table
        assert boss.call("SELECT count(*) FROM relay_guard.check_ledger()").count == 0
        assert boss.fails("SELECT relay_guard.usage_rebuild()") is None


def existing(server, names):
    return [name for name, in server.run("""SELECT relname FROM pg_class
        WHERE relnamespace = 'relay_guard'::regnamespace AND relname = ANY (%s)""", names)]


@pytest.mark.parametrize("role", ["web", "door", "nobody", "trusted"])
def test_who_is_no_admin_reads_and_writes_no_table_of_it(server, role):
    with As(server, role) as client:
        for table in existing(server, TABLES + VIEWS):
            assert client.fails(f"SELECT * FROM relay_guard.{table}") == "42501", table
            for statement in ("DELETE FROM {}", "TRUNCATE {}", "INSERT INTO {} DEFAULT VALUES", "COPY {} TO STDOUT", "LOCK TABLE {}",
                              "ALTER TABLE {} DISABLE TRIGGER ALL"):
                assert client.fails(statement.format(f"relay_guard.{table}")) in ("42501", "42809", "55000", "0A000"), statement


def test_partitions_are_no_way_around(server):
    with Client(server) as client:
        client.call(CHARGE, 0, 1)
    for (partition,) in server.run("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'relay_guard.usage_ledger'::regclass"):
        for role in ("web", "trusted", "nobody", "door"):
            with As(server, role) as client:
                assert client.fails(f"SELECT * FROM {partition}") == "42501"
                assert client.fails(f"DELETE FROM {partition}") == "42501"


WRITES = ["UPDATE {} SET spent = 0", "DELETE FROM {}", "TRUNCATE {}", "INSERT INTO {} SELECT * FROM {} LIMIT 1",
          "UPDATE {} SET reserved = 0 WHERE false",
          "MERGE INTO {} l USING (SELECT 1) s ON true WHEN MATCHED THEN DELETE", "COPY {} FROM PROGRAM 'true'"]


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("table", ["relay_guard.usage_ledger", "partition"])
def test_the_ledger_is_written_by_nobody_not_even_a_superuser(server, write, table):
    """By mistake, that is: a superuser can always drop what refuses it."""
    with Client(server) as client:
        client.call(CHARGE, 0, 1)
        if table == "partition":
            table = server.value("SELECT tableoid::regclass::text FROM relay_guard.usage_ledger LIMIT 1")
        before = server.value("SELECT count(*) FROM relay_guard.usage_ledger")
        client.begin()
        with pytest.raises(psycopg2.Error) as refused:
            client.do(write.format(table, table))
        client.rollback()
        assert refused.value.pgcode in ("55000", "42501", "0A000")
        assert server.value("SELECT count(*) FROM relay_guard.usage_ledger") == before


DOORS = ["SET session_replication_role = replica", "ALTER TABLE relay_guard.usage_ledger DISABLE TRIGGER ALL",
         "DROP TRIGGER usage_refuse ON relay_guard.usage_ledger", "ALTER TABLE relay_guard.usage_ledger DETACH PARTITION {}",
         "DROP TABLE {}", "ALTER TABLE {} NO INHERIT relay_guard.usage_ledger", "CREATE RULE r AS ON INSERT TO {} DO INSTEAD NOTHING",
         "CREATE TRIGGER t BEFORE INSERT ON {} FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
         "CREATE INDEX ON {} (spent)", "SELECT nextval('relay_guard.usage_policy_version')", "REINDEX TABLE {}", "CLUSTER {}",
         "SECURITY LABEL ON TABLE {} IS 'x'"]


@pytest.mark.parametrize("way", DOORS)
def test_whoever_is_no_owner_opens_no_door_to_the_ledger(server, way):
    with Client(server) as client:
        client.call(CHARGE, 0, 1)
    server.run("GRANT CREATE ON SCHEMA public TO PUBLIC")
    connection = server.connect()
    for role in ("web", "trusted", "boss"):
        run(connection, f"SET ROLE {role}")
        assert sqlstate(connection, way.format(partition(server))) in ("42501", "22023"), role
        run(connection, "RESET ROLE")
    connection.close()


def partition(server):
    return server.value("SELECT tableoid::regclass::text FROM relay_guard.usage_ledger LIMIT 1")


def test_settings_of_the_caller_lose_nothing_and_see_nothing(server):
    """A search path with a trap, row security off, a role without rights: the sum that is read is the same."""
    server.run("""CREATE SCHEMA trap; GRANT USAGE ON SCHEMA trap TO PUBLIC;
        CREATE TABLE trap.usage_ledger (LIKE relay_guard.usage_ledger); CREATE TABLE trap.usage_total (LIKE relay_guard.usage_total);
        GRANT ALL ON ALL TABLES IN SCHEMA trap TO PUBLIC;
        CREATE FUNCTION trap.sum(bigint) RETURNS bigint LANGUAGE sql AS 'SELECT 0::bigint';
        CREATE FUNCTION trap.minus(bigint, bigint) RETURNS bigint LANGUAGE sql AS 'SELECT 0::bigint';
        CREATE OPERATOR trap.+ (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = trap.minus)""")
    policy = quota(server, 10)
    with budget(server, 100) as money, As(server, "web") as web:
        run(web.connection, """SET search_path = trap, pg_temp, pg_catalog; SET row_security = off; SET default_transaction_read_only = off;
            SET synchronous_commit = off; SET timezone = 'Pacific/Kiritimati'; SET datestyle = 'ISO, DMY'; SET enable_indexscan = off;
            SET enable_seqscan = off; SET jit = on; SET jit_above_cost = 0; SET plan_cache_mode = force_generic_plan;
            CREATE TEMP TABLE usage_ledger (spent bigint); CREATE TEMP TABLE pg_class (oid oid)""")
        web.take(policy, 8)
        web.reserve(80)
        server.run("SELECT relay_guard.usage_rebuild()")
        assert not web.take(policy, 3).allowed
        assert not web.reserve(21).allowed
        assert web.money(money) == (0, 80)
    server.run("DROP SCHEMA trap CASCADE")


def test_a_function_that_is_renamed_over_ours_is_not_called(server):
    """Operators and casts that somebody else puts into public do not change a sum."""
    server.run("""CREATE FUNCTION public.evil(timestamptz, timestamptz) RETURNS boolean LANGUAGE sql AS 'SELECT false';
        CREATE OPERATOR public.>= (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = public.evil)""")
    policy = quota(server, 10)
    with As(server, "web") as web:
        run(web.connection, "SET search_path = public, pg_catalog")
        web.take(policy, 8)
        server.run("SELECT relay_guard.usage_rebuild()")
        assert not web.take(policy, 3).allowed
    server.run("DROP OPERATOR public.>= (timestamptz, timestamptz); DROP FUNCTION public.evil")


def test_a_setting_of_a_limit_is_no_caller_s(server):
    with As(server, "web") as web:
        for setting in ("relay_guard.timezone", "relay_guard.after_promotion", "relay_guard.databases", "relay_guard.max_counters"):
            assert web.fails(f"SET {setting} = 'UTC'") in ("55P02", "42501", "42704"), setting
    settings = server.run("SELECT name, context FROM pg_settings WHERE name IN ('relay_guard.timezone', 'relay_guard.after_promotion')")
    assert dict(settings) == {"relay_guard.timezone": "postmaster", "relay_guard.after_promotion": "sighup"}


def test_advisory_locks_of_a_caller_are_not_those_of_a_rebuild(server):
    """Whoever takes every lock that SQL can take keeps nobody from an account."""
    policy = quota(server, 10)
    with As(server, "web") as web:
        server.run("SELECT relay_guard.usage_rebuild()")
        other = server.connect()
        run(other, """SELECT count(pg_advisory_lock(i)), count(pg_advisory_lock(i, j))
            FROM generate_series(0, 30) i, generate_series(0, 30) j""")
        run(web.connection, "SET statement_timeout = '20s'")
        assert web.take(policy).allowed
        held = server.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = %s", web.connection.get_backend_pid())
        assert held == 0
        other.close()


def test_the_ledger_s_rows_are_seen_by_the_status_of_their_owner_alone(server):
    """As a route's role: budget_status() tells of one's own accounts and the global one."""
    workspace = fresh("workspace")
    with budget(server, 1000) as mine, budget(server, 1000, "workspace") as ours, budget(server, 10 ** 9, "global") as all_of_us:
        with As(server, "web", workspace=workspace) as one, As(server, "web", workspace=workspace) as two, As(server, "web") as stranger:
            one.call(CHARGE, 0, 5)
            two.call(CHARGE, 0, 7)

            def seen(client):
                client.begin()
                rows = run(client.connection, "SELECT policy, value, spent FROM relay_guard.budget_status()")
                client.rollback()
                return {row.policy: (row.value, row.spent) for row in rows}

            assert seen(one)[mine] == (one.user, 5)
            assert seen(one)[ours] == (workspace, 12)
            assert mine in seen(stranger) and seen(stranger)[mine] == (stranger.user, 0)
            assert ours not in seen(stranger)
            assert seen(stranger)[all_of_us][1] >= 12
