"""The ledger's sums, totals and partitions: exact whatever is under way, kept across a dump, and checked."""
import contextlib
import random
import threading
import time

import psycopg2
import pytest
from accounts import TAKE, Client, clients, install, quota, together
from servers import run, sqlstate, wait_for

ROLL = "SELECT relay_guard.usage_roll()"
SUM_OF_QUOTA = """SELECT s.used FROM relay_guard.quota_policy p,
    relay_guard.usage_sum('quota', p.id, %s, '-infinity', 'infinity') s WHERE p.name = %s"""
WINDOWS = """(VALUES ('-infinity'::timestamptz, 'infinity'::timestamptz), (date_trunc('month', now()), 'infinity'),
    (date_trunc('day', now()), date_trunc('day', now()) + interval '1 day'), (date_trunc('hour', now()), 'infinity'),
    ('-infinity', date_trunc('hour', now())), (date_trunc('hour', now()) + interval '7 min 3 s', 'infinity'),
    (date_trunc('day', now()) - interval '40 days 45 min', date_trunc('hour', now()) + interval '15 min')) AS w (since, until)"""
# Sums that differ from what the rows add up to
WRONG = f"""
    WITH share AS (SELECT s.*, coalesce(l.policy, 0) AS policy, l.reserved_at FROM relay_guard.usage_ledger l, relay_guard.usage_shares(
            l.policy, l.value, l.units, l.workspace_id, l.user_id, l.api_key, l.spent, l.reserved) s),
    whose AS (SELECT DISTINCT scope, policy, value FROM share),
    wanted AS (SELECT a.*, w.*, coalesce(sum(s.used), 0) AS used, coalesce(sum(s.reserved), 0) AS reserved
        FROM whose a CROSS JOIN {WINDOWS}
        LEFT JOIN share s ON (s.scope, s.policy, s.value) = (a.scope, a.policy, a.value) AND reserved_at >= since AND reserved_at < until
        GROUP BY 1, 2, 3, 4, 5)
    SELECT w.*, s.* FROM wanted w, relay_guard.usage_sum(scope, policy, value, since, until) s
    WHERE (s.used, s.reserved) IS DISTINCT FROM (w.used::bigint, w.reserved::bigint)"""
PROBLEMS = "SELECT problem, kind, policy, value, counter, ledger FROM relay_guard.check_ledger()"
OPEN = "SELECT reservation::text FROM relay_guard.open_reservation ORDER BY 1"


@pytest.fixture(scope="module")
def server(make_server):
    """Without workers: nobody sums up but who says so."""
    server = make_server({"relay_guard.databases": "", "max_connections": 40})
    install(server)
    server.run("SELECT relay_guard.usage_maintain()")
    yield server
    server.stop("immediate")


@pytest.fixture
def client(server):
    with Client(server) as client:
        yield client


def check(server, **where):
    """Sums are right with the totals there are, and with new ones."""
    for _ in range(2):
        assert server.run(WRONG, **where) == []
        assert server.run(PROBLEMS, **where) == []
        server.run(ROLL, **where)


def summed(server, policy, value):
    return server.value(SUM_OF_QUOTA, value, policy)


def spend_a_little(server, rounds=1):
    """Rows of every kind; the reservations that stay open."""
    still_open = []
    for n in range(rounds):
        for user, workspace in ("u1", "w1"), ("u2", "w1"), ("u3", None):
            with Client(server, user, workspace) as client:
                client.settle(client.reserve(100 + n).reservation, 40)
                client.release(client.reserve(7).reservation)
                client.call("SELECT relay_guard.budget_charge('m', 3, 4, 5)")
                kept = client.reserve(1000).reservation
                client.call("SELECT relay_guard.budget_extend(%s, 10)", kept)
                still_open.append(kept)
    return sorted(still_open)


@contextlib.contextmanager
def rolling(server, pause=0.0):
    """Sums up all the time."""
    ended = threading.Event()
    rounds = []

    def roll():
        connection = server.connect()
        while not ended.is_set():
            rounds.append(run(connection, ROLL)[0][0])
            time.sleep(pause)
        connection.close()

    thread = threading.Thread(target=roll)
    thread.start()
    try:
        yield rounds
    finally:
        ended.set()
        thread.join()
    assert rounds


# Sums


def test_a_sum_has_what_commits_after_later_transactions_were_counted(server, client):
    policy = quota(server, 1000)
    with Client(server, client.user) as early:
        early.begin().do(TAKE, policy, 1)
        client.take(policy, 10)
        assert server.value(ROLL) == 1
        assert summed(server, policy, client.user) == 10
        early.commit()
    assert summed(server, policy, client.user) == 11
    assert server.value(ROLL) == 1
    assert summed(server, policy, client.user) == 11
    assert server.value(ROLL) == 0
    check(server)


def test_a_transaction_that_stays_for_many_rounds_is_counted_once(server, client):
    policy = quota(server, 100_000)
    with Client(server, client.user) as early, Client(server, client.user) as middle:
        early.begin().do(TAKE, policy, 1)
        for n in range(300):
            client.take(policy, 10)
            if n == 100:
                middle.begin().do(TAKE, policy, 100_000 - 10_000)
            if n % 50 == 0:
                server.run(ROLL)
        early.commit()
        assert summed(server, policy, client.user) == 3001
        server.run(ROLL)
        middle.commit()
        assert summed(server, policy, client.user) == 93_001
    check(server)


def test_a_sum_has_what_its_own_transaction_wrote_and_kept(server, client):
    policy = quota(server, 1000)
    client.begin().do(TAKE, policy, 1)
    run(client.connection, "SAVEPOINT s")
    client.do(TAKE, policy, 10)
    assert client.do(SUM_OF_QUOTA, client.user, policy).used == 11
    server.run(ROLL)
    run(client.connection, "ROLLBACK TO s")
    assert client.do(SUM_OF_QUOTA, client.user, policy).used == 1
    run(client.connection, "SAVEPOINT t")
    client.do(TAKE, policy, 100)
    run(client.connection, "RELEASE t")
    server.run(ROLL)
    assert client.do(SUM_OF_QUOTA, client.user, policy).used == 101
    client.commit()
    assert summed(server, policy, client.user) == 101
    check(server)


@pytest.mark.parametrize("level", ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])
def test_a_sum_is_of_now_whatever_the_isolation_level(server, client, level):
    policy = quota(server, 1000)
    client.take(policy, 1)
    with Client(server, client.user) as reader:
        reader.begin(f"ISOLATION LEVEL {level}")
        assert reader.do(SUM_OF_QUOTA, client.user, policy).used == 1
        client.take(policy, 2)
        assert reader.do(SUM_OF_QUOTA, client.user, policy).used == 3
        server.run(ROLL)
        client.take(policy, 4)
        assert reader.do(SUM_OF_QUOTA, client.user, policy).used == 7
        reader.commit()


def test_sums_stay_between_what_was_acknowledged_and_what_was_begun(server):
    """Clients with short and long transactions and savepoints, rounds all the time, and readers of sums."""
    policy = quota(server, 10**9, scope="global")
    begun, acknowledged, lock = [0], [0], threading.Lock()
    end = time.monotonic() + 4

    def spend(client):
        chance = random.Random(client.user)
        while time.monotonic() < end:
            kept, amount = chance.randrange(100), chance.randrange(1, 100)
            with lock:
                begun[0] += amount
            client.begin().do(TAKE, policy, amount)
            run(client.connection, "SAVEPOINT s")
            client.do(TAKE, policy, 1000)
            run(client.connection, "ROLLBACK TO s")
            time.sleep(0.3 if kept < 5 else 0)
            if kept < 20:
                client.rollback()
                continue
            client.commit()
            with lock:
                acknowledged[0] += amount

    def watch(client):
        while time.monotonic() < end:
            with lock:
                least = acknowledged[0]
            has = run(client.connection, SUM_OF_QUOTA, "*", policy)[0].used
            with lock:
                assert least <= has <= begun[0]

    with clients(server, 8) as crowd, clients(server, 2) as watchers, rolling(server, 0.02):
        together(lambda client: watch(client) if client in watchers else spend(client), *crowd, *watchers)
    assert summed(server, policy, "*") == acknowledged[0]
    check(server)


def test_sums_do_not_need_the_indexes(server, client):
    spend_a_little(server)
    partition = server.value("SELECT tableoid::regclass::text FROM relay_guard.usage_ledger LIMIT 1")
    dropped = server.run("SELECT indexdef FROM pg_indexes WHERE schemaname || '.' || tablename = %s AND indexdef !~ 'UNIQUE'", partition)
    for suffix in "xid", "quota", "user", "workspace", "reservation":
        server.run(f"DROP INDEX {partition}_{suffix}_idx")
    spend_a_little(server)
    assert server.run(WRONG) == []
    for (definition,) in dropped:
        with contextlib.suppress(psycopg2.errors.DuplicateTable):
            server.run(definition)
    check(server)


COUNTS = "SELECT count(*), sum(spent) FROM relay_guard.usage_ledger WHERE "


@pytest.mark.parametrize("definition, condition", [
    ("CREATE INDEX by_model ON {} (model, spent)", "model = 'm' AND spent >= 0"),
    ("CREATE INDEX {0}_user_idx ON {0} (user_id, epoch, xid) WHERE user_id IS NOT NULL AND policy IS NULL AND spent > 0",
     "user_id = 'u1' AND spent > 0 AND policy IS NULL"),
    ("CREATE INDEX {0}_user_idx ON {0} (user_id, epoch) WHERE user_id IS NOT NULL AND policy IS NULL", "user_id = 'u1' AND policy IS NULL"),
])
def test_indexes_that_somebody_made_get_their_rows_and_no_others(server, definition, condition):
    """Also one that has the name of ours, but not its definition."""
    partition = server.value("SELECT tableoid::regclass::text FROM relay_guard.usage_ledger WHERE user_id = 'u1' LIMIT 1")
    ours = f"{partition}_user_idx"
    restore = server.value("SELECT pg_get_indexdef(%s::regclass)", ours)
    named = definition.split()[2].format(partition).replace("relay_guard.", "")
    if named == ours.split(".")[1]:
        server.run(f"DROP INDEX {ours}")
    server.run(definition.format(partition).replace("INDEX relay_guard.", "INDEX "))
    spend_a_little(server)
    connection = server.connect()
    run(connection, "SET enable_seqscan = off; SET enable_bitmapscan = off")
    assert named in str(run(connection, "EXPLAIN " + COUNTS + condition))
    by_index = run(connection, COUNTS + condition)
    run(connection, "SET enable_seqscan = on; SET enable_indexscan = off; SET enable_indexonlyscan = off")
    assert by_index == run(connection, COUNTS + condition)
    connection.close()
    assert server.run(WRONG) == []
    server.run(f"DROP INDEX relay_guard.{named}")
    if named == ours.split(".")[1]:
        server.run(restore)
    check(server)


def test_indexes_may_be_made_anew_beside_writers(server):
    partition = server.value("SELECT tableoid::regclass::text FROM relay_guard.usage_ledger WHERE user_id = 'u1' LIMIT 1")
    ended = threading.Event()

    def spend(client):
        while not ended.is_set():
            client.release(client.reserve(5).reservation)

    def reindex(_):
        for suffix in "user", "final", "xid":
            server.run(f"REINDEX INDEX CONCURRENTLY {partition}_{suffix}_idx")
        ended.set()

    with clients(server, 4) as crowd:
        together(lambda client: reindex(client) if client is crowd[0] else spend(client), *crowd)
    connection = server.connect()
    run(connection, "CREATE EXTENSION IF NOT EXISTS amcheck")
    for suffix in "user", "final", "xid", "reservation", "quota", "workspace", "api_key":
        run(connection, "SELECT bt_index_check(%s, true)", f"{partition}_{suffix}_idx")
    connection.close()
    check(server)


def test_a_sum_that_does_not_fit_is_an_error(server):
    insert = """SET session_replication_role = replica;
        INSERT INTO relay_guard.usage_ledger (id, xid, epoch, recorded_at, reserved_at, kind, policy, value, units, reserved, spent)
        SELECT -n, pg_current_xact_id(), relay_guard.usage_epoch(), now(), now(), 'take', -1, 'much', 9e18, 0, 0 FROM generate_series(1, 2) n"""
    with contextlib.closing(server.connect()) as connection:
        run(connection, "BEGIN")
        run(connection, insert)
        assert sqlstate(connection, "SELECT relay_guard.usage_sum('quota', -1, 'much', '-infinity', 'infinity')") == "22003"


# Rounds


def test_a_round_comes_first_in_its_transaction(server, client):
    """What its transaction wrote later would else pass for counted."""
    policy = quota(server, 1000)
    client.begin().do(TAKE, policy, 1)
    assert sqlstate(client.connection, ROLL) == "25001"
    client.rollback()
    run(client.connection, "BEGIN; " + ROLL)
    run(client.connection, "SELECT relay_guard.assume(%s)", client.user)
    client.do(TAKE, policy, 5)
    client.commit()
    assert summed(server, policy, client.user) == 5
    check(server)


def test_a_round_of_an_old_snapshot_counts_nothing_twice(server, client):
    policy = quota(server, 1000)
    connection = server.connect()
    run(connection, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1")
    client.take(policy, 3)
    assert server.value(ROLL) == 1
    client.take(policy, 4)
    assert sqlstate(connection, ROLL) in (None, "40001")
    run(connection, "ROLLBACK")
    connection.close()
    assert summed(server, policy, client.user) == 7
    check(server)


def test_rounds_of_several_sessions_count_once(server):
    policy = quota(server, 10**6, scope="global")
    with rolling(server) as some, rolling(server) as others, clients(server, 4) as crowd:
        def take_until_both_had_something(client):
            end, taken = time.monotonic() + 30, 0
            while not (taken >= 50 and sum(some) > 0 and sum(others) > 0) and time.monotonic() < end:
                taken += client.take(policy, 1).allowed
            return taken

        taken = together(take_until_both_had_something, *crowd)
    assert sum(some) > 0 and sum(others) > 0
    assert summed(server, policy, "*") == sum(taken)
    check(server)


def test_open_reservations_are_those_without_an_end(server):
    server.run(ROLL)
    before = server.run(OPEN)
    still_open = spend_a_little(server)
    server.run(ROLL)
    assert server.run(OPEN) == sorted(before + [(r,) for r in still_open])
    lease = server.run("SELECT lease_until FROM relay_guard.open_reservation WHERE reservation = %s", still_open[0])
    users = {r: u for r, u in server.run("SELECT reservation::text, user_id FROM relay_guard.usage_ledger WHERE kind = 'reserve'")}
    for n, reservation in enumerate(still_open):
        with Client(server, users[reservation]) as client:
            if n == 0:
                client.call("SELECT relay_guard.budget_extend(%s, 1, '1 day')", reservation)
            else:
                client.settle(reservation, 1)
    server.run(ROLL)
    assert server.run(OPEN) == sorted(before + [(still_open[0],)])
    assert server.run("SELECT lease_until FROM relay_guard.open_reservation WHERE reservation = %s", still_open[0]) > lease
    with Client(server, users[still_open[0]]) as client:
        client.release(still_open[0])
    check(server)


def test_an_idle_database_writes_no_rounds(server):
    server.run(ROLL)
    before = server.run("SELECT ctid, * FROM relay_guard.usage_round")
    server.run("CREATE TABLE elsewhere (); DROP TABLE elsewhere")
    assert server.value(ROLL) == 0
    assert server.run("SELECT ctid, * FROM relay_guard.usage_round") == before


# Partitions


def new_database(server, name):
    server.run(f"CREATE DATABASE {name}")
    install(server, database=name)


MONTHS = "SELECT count(*) FROM relay_guard.month_partitions('relay_guard.usage_ledger')"


def test_the_first_take_makes_the_partitions(server):
    new_database(server, "first")
    policy = quota(server, 10, database="first")
    assert server.value(MONTHS, database="first") == 0
    with clients(server, 4, database="first") as crowd:
        together(lambda client: client.take(policy), *crowd)
    assert server.value(MONTHS, database="first") == 13
    check(server, database="first")


def test_partitions_of_a_take_that_is_rolled_back_are_made_again(server):
    new_database(server, "second")
    policy = quota(server, 10, database="second")
    with Client(server, database="second") as one, Client(server, database="second") as other:
        one.begin().do(TAKE, policy, 1)
        waiting = threading.Thread(target=other.take, args=(policy,))
        waiting.start()
        wait_for(lambda: server.value("SELECT count(*) FROM pg_locks WHERE NOT granted") == 1)
        one.rollback()
        waiting.join()
        one.take(policy)
    assert server.value("SELECT sum(units) FROM relay_guard.usage_ledger", database="second") == 2
    check(server, database="second")


def test_a_partition_that_is_being_detached_still_counts(server):
    new_database(server, "third")
    policy = quota(server, 100, scope="global", database="third")
    with Client(server, database="third") as client, Client(server, database="third") as holder:
        client.take(policy, 5)
        partition = server.value("SELECT tableoid::regclass::text FROM relay_guard.usage_ledger", database="third")
        holder.begin("ISOLATION LEVEL REPEATABLE READ").do(TAKE, policy, 1)
        detaching = threading.Thread(target=server.run, kwargs={"database": "third"}, args=(
            f"ALTER TABLE relay_guard.usage_ledger DETACH PARTITION {partition} CONCURRENTLY",))
        detaching.start()
        wait_for(lambda: server.value("SELECT count(*) FROM pg_inherits WHERE inhdetachpending", database="third") == 1)
        assert run(client.connection, SUM_OF_QUOTA, "*", policy)[0].used == 5
        holder.commit()
        detaching.join()


# Dumps


@pytest.fixture
def make_copy(make_server):
    """Servers from one image: with the same system identifier, and databases of the same numbers."""
    servers = []

    def make(options=()):
        servers.append(make_server({"relay_guard.databases": "", **dict(options)}))
        return servers[-1]

    yield make
    for server in servers:
        server.stop("immediate")


def use_up_transactions(server, many=5000):
    server.run("""CREATE PROCEDURE use_up(many int) LANGUAGE plpgsql AS
        $$ BEGIN FOR i IN 1..many LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$""")
    server.run(f"CALL use_up({many})")
    server.run("DROP PROCEDURE use_up(int)")


def move(source, target, folder, jobs=1):
    source.program("pg_dump", "-Fd", "-j", jobs, "-f", folder)
    out = target.program("pg_restore", "-d", "postgres", "-j", jobs, folder, check=False)
    assert "error" not in out, out


def facts(server):
    """What every account has, by the rows alone."""
    return server.run("""SELECT scope, policy, s.value, sum(s.used), sum(s.reserved), count(*) FROM relay_guard.usage_ledger l,
        relay_guard.usage_shares(l.policy, l.value, l.units, l.workspace_id, l.user_id, l.api_key, l.spent, l.reserved) s
        GROUP BY 1, 2, 3 ORDER BY 1, 2, 3""")


def test_a_ledger_that_moves_to_other_clusters_keeps_its_sums_and_open_reservations(make_copy, tmp_path):
    """Twice; with rows that the totals have and others, and a transaction under way during a round and the dump;
    to servers whose own transactions have lower numbers."""
    first, second, third = make_copy(), make_copy(), make_copy({"relay_guard.databases": "postgres", "relay_guard.usage_interval": 1})
    install(first)
    use_up_transactions(first)
    policy = quota(first, 10**6, scope="global")
    still_open = spend_a_little(first)
    with Client(first) as early, Client(first) as client:
        early.begin().do(TAKE, policy, 1)
        client.take(policy, 10)
        first.run(ROLL)
        client.take(policy, 100)
        still_open += spend_a_little(first)
        early.commit()
        early.begin().do(TAKE, policy, 1000)
        client.take(policy, 10_000)
        move(first, second, tmp_path / "first", jobs=2)
        early.rollback()
    assert facts(second) == facts(first)
    assert summed(second, policy, "*") == 10_111
    check(second)
    assert second.run(OPEN) == [(r,) for r in sorted(still_open)]
    with Client(second) as client:
        client.take(policy, 100_000)
    still_open += spend_a_little(second)
    assert second.run(WRONG) == []
    second.run(ROLL)
    spend_a_little(second)
    assert second.value("SELECT count(DISTINCT epoch) FROM relay_guard.usage_ledger") == 2
    move(second, third, tmp_path / "second")
    assert facts(third) == facts(second)
    assert third.run(WRONG) == []
    with Client(third) as client:
        client.take(policy, 1)
    wait_for(lambda: third.value(OPEN.replace("reservation::text", "count(*)").replace("ORDER BY 1", "")) ==
             len(still_open) + 3)
    assert third.run(PROBLEMS) == []
    assert summed(third, policy, "*") == 110_112


def test_a_round_waits_for_a_ledger_that_is_being_restored(make_copy, tmp_path):
    """Rows of transactions before those that are there may yet come."""
    source, target = make_copy(), make_copy()
    install(source)
    spend_a_little(source)
    source.run(ROLL)
    spend_a_little(source)
    source.program("pg_dump", "-Fc", "-f", tmp_path / "dump")
    for section in "pre-data", "data":
        assert "error" not in target.program("pg_restore", "-d", "postgres", "--section", section, tmp_path / "dump", check=False)
        assert target.value(ROLL) == 0
    assert target.run(WRONG) == []
    assert "error" not in target.program("pg_restore", "-d", "postgres", "--section", "post-data", tmp_path / "dump", check=False)
    assert target.run(WRONG) == []
    assert target.value(ROLL) > 0
    check(target)


def test_rows_without_the_totals_that_cover_them_count(make_copy, tmp_path):
    """A ledger alone, copied into a database that has rows of its own."""
    source, target = make_copy(), make_copy()
    for server in source, target:
        install(server)
        spend_a_little(server)
        server.run(ROLL)
        spend_a_little(server)
    partition = source.value("SELECT tableoid::regclass::text FROM relay_guard.usage_ledger LIMIT 1")
    source.run(f"COPY {partition} TO '{source.folder}/rows'")
    target.run(f"SET session_replication_role = replica; COPY {partition} FROM '{source.folder}/rows'")
    assert target.run(WRONG) == []
    target.run(ROLL)
    assert target.run(WRONG) == []
    target.run(ROLL)
    assert target.run("SELECT * FROM relay_guard.check_totals()") == []


# check_ledger()


def damage(server, statement, *arguments):
    """As somebody would who can do everything."""
    connection = server.connect()
    run(connection, "SET session_replication_role = replica")
    run(connection, statement, *arguments)
    connection.close()


@pytest.fixture
def books(make_server):
    """A server of its own, for it is to be damaged."""
    server = make_server({"relay_guard.databases": ""})
    install(server)
    yield server
    server.stop("immediate")


COPY_OF = """INSERT INTO relay_guard.usage_ledger SELECT (r).* FROM (SELECT jsonb_populate_record(l, %s) r
    FROM relay_guard.usage_ledger l WHERE {} LIMIT 1) copy"""
DAMAGES = {
    "a total that is too small": ("UPDATE relay_guard.usage_total SET used = used - 1 WHERE scope = 'user' AND value = 'u1' AND daily",
                                  {("total_used", "budget", "user", "u1")}),
    "a total that is gone": ("DELETE FROM relay_guard.usage_total WHERE scope = 'quota' AND NOT daily", {("total_used", "quota", "quota", "*")}),
    "held money that is not": ("UPDATE relay_guard.usage_total SET reserved = 5 WHERE scope = 'workspace' AND NOT daily",
                               {("total_reserved", "budget", "workspace", "w1")}),
    "a row that is gone": ("DELETE FROM relay_guard.usage_ledger WHERE policy IS NOT NULL", {("total_used", "quota", "quota", "*")}),
    "a reservation that nobody would expire": ("DELETE FROM relay_guard.open_reservation", {("reservation_listed", "budget", None, "it")}),
    "a reservation that was never made": ("DELETE FROM relay_guard.usage_ledger WHERE kind = 'reserve' AND reservation = '{}'",
                                          {("reservation_starts", "budget", None, "it")}),
}


@pytest.mark.parametrize("what", DAMAGES)
def test_check_ledger_finds(books, what):
    policy = quota(books, 100, scope="global")
    it = spend_a_little(books)[0]
    with Client(books, "u1") as client:
        client.take(policy, 3)
    books.run(ROLL)
    assert books.run(PROBLEMS) == []
    statement, wanted = DAMAGES[what]
    damage(books, statement.replace("{}", it))
    found = {(problem, kind, "quota" if name == policy else name, "it" if value == it else value)
             for problem, kind, name, value, *_ in books.run(PROBLEMS)}
    assert wanted <= found


def test_check_ledger_finds_an_account_that_the_ledger_does_not_bear_out(books):
    policy = quota(books, 100, scope="global")
    with Client(books) as client:
        client.take(policy, 3)
        client.take(policy, 4)
    damage(books, "DELETE FROM relay_guard.usage_ledger WHERE units = 4")
    assert books.run(PROBLEMS) == [("account_used", "quota", policy, "*", 7, 3)]
    books.run("SELECT relay_guard.usage_rebuild()")
    assert books.run(PROBLEMS) == []


def test_check_ledger_finds_a_reservation_that_ended_twice(books):
    with Client(books, "u1") as client:
        reservation = client.reserve(100).reservation
        client.settle(reservation, 60)
    partition = books.value("SELECT tableoid::regclass::text FROM relay_guard.usage_ledger LIMIT 1")
    books.run(f"DROP INDEX {partition}_final_idx")
    damage(books, COPY_OF.format("kind = 'settle'"), '{"kind": "release", "spent": 0}')
    books.run("SELECT relay_guard.usage_rebuild()")
    assert books.run(PROBLEMS) == [("reservation_ends", "budget", None, reservation, 2, 1),
                                   ("reservation_held", "budget", None, reservation, -100, 0)]


def test_the_second_end_of_a_reservation_is_refused_by_the_ledger_itself(books):
    with Client(books, "u1") as client:
        client.settle(client.reserve(100).reservation, 60)
    connection = books.connect()
    run(connection, "SET session_replication_role = replica")
    assert sqlstate(connection, COPY_OF.format("kind = 'settle'"), '{"kind": "expire"}') == "23505"
    connection.close()


def test_check_ledger_compares_accounts_whose_names_it_cannot_see_whole(books):
    policy = quota(books, 100)
    long = "auth0|" + "x" * 70
    for n in range(2):
        with Client(books, f"{long}{n}") as client:
            client.take(policy, n + 1)
    with Client(books, "auth1|" + "ü" * 40) as client:
        client.take(policy, 9)
    assert books.run(PROBLEMS) == []
    damage(books, "DELETE FROM relay_guard.usage_ledger WHERE units = 9")
    assert [row[:3] + row[4:] for row in books.run(PROBLEMS)] == [("account_used", "quota", policy, 9, 0)]


def test_check_ledger_says_which_account_it_could_not_compare(books):
    policy = quota(books, 100)
    with Client(books, "u1") as client:
        client.begin().do(TAKE, policy, 1)
        assert books.run(PROBLEMS) == [("account_in_use", "quota", policy, "u1", None, None)]
        books.run("SET lock_timeout = '5s'")
        connection = books.connect()
        run(connection, "SET lock_timeout = '100ms'")
        assert sqlstate(connection, "SELECT relay_guard.check_ledger(true)") == "55P03"
        client.commit()
        assert run(connection, "SELECT * FROM relay_guard.check_ledger(true)") == []
        connection.close()


def test_check_ledger_is_quiet_while_everybody_spends(server):
    """But for accounts in use; and with the lock there are none."""
    policies = [quota(server, 10**6) for _ in range(3)]
    ended = threading.Event()

    def spend(client):
        chance = random.Random(client.user)
        while not ended.is_set():
            client.take(chance.choice(policies))
            reservation = client.reserve(chance.randrange(100)).reservation
            chance.choice([client.release, lambda r: client.settle(r, chance.randrange(200))])(reservation)

    def watch(_):
        try:
            for n in range(6):
                found = server.run("SELECT problem FROM relay_guard.check_ledger(%s)", n % 2 == 1)
                assert {problem for (problem,) in found} <= ({"account_in_use"} if n % 2 == 0 else set())
        finally:
            ended.set()

    with clients(server, 5) as crowd, rolling(server, 0.1):
        together(lambda client: watch(client) if client is crowd[0] else spend(client), *crowd)
    check(server)
