"""What is not committed frees nothing, and what is rolled back gives itself back, in
whatever form transactions are begun, nested, broken off and ended."""
import os
import random
import threading
import time

import psycopg2
import pytest

from accounts import (CHARGE, EXTEND, RELEASE, RESERVE, SETTLE, STATUS, TAKE, Client, Watcher, budget, clients, fresh, install, problems, quota,
                      spend_in_ledger, taken_in_ledger, together)
from servers import run, sqlstate, wait_for


@pytest.fixture(scope="module")
def server(make_server):
    server = make_server({"max_connections": 60, "max_prepared_transactions": 5})
    install(server)
    server.run("CREATE TABLE numbers AS SELECT generate_series(1, 20000) AS n; ANALYZE numbers")
    yield server
    assert problems(server) == []
    server.stop("immediate")


@pytest.fixture
def policy(server):
    return quota(server, 10)


@pytest.fixture
def money(server):
    with budget(server, 100) as name:
        yield name


@pytest.fixture
def client(server):
    with Client(server) as client:
        yield client


def used(client, policy):
    return client.call(STATUS, policy).used


class Seekers:
    """Fifteen clients that ask for the smallest amount there is, all the time."""

    def __init__(self, server, user):
        self.clients = [Client(server, user) for _ in range(15)]
        self.found = []
        self.asked = 0
        self.ended = threading.Event()
        self.threads = [threading.Thread(target=self.seek, args=(client,)) for client in self.clients]

    def seek(self, client):
        while not self.ended.is_set():
            reserved = client.reserve(1)
            self.asked += 1
            if reserved.allowed:
                self.found.append(reserved.reservation)

    def wait(self, more=60):
        until = self.asked + more
        wait_for(lambda: self.asked >= until)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        for thread in self.threads:
            thread.join()
        for client in self.clients:
            client.close()


@pytest.mark.parametrize("statement, arguments, freed", [(SETTLE, (0, 0), 100), (SETTLE, (0, 30), 70), (RELEASE, (), 100)])
def test_a_settlement_or_release_that_is_rolled_back_frees_nothing_meanwhile(server, money, client, statement, arguments, freed):
    """The budget is full.  Sixteen clients: one gives back and takes that back, fifteen try to get hold of it."""
    held = client.reserve(100).reservation
    question = "SELECT sum(spent) + sum(reserved) FROM relay_guard.usage_ledger WHERE user_id = %s", client.user
    with Seekers(server, client.user) as seekers, Watcher(server, question, lambda rows: rows[0][0] <= 100):
        for way in ("ROLLBACK", "ROLLBACK TO s", "error", "block"):
            client.begin()
            if way == "block":
                call = "budget_release" if statement is RELEASE else "budget_settle"
                client.do(f"""DO $$ BEGIN
                    PERFORM relay_guard.{call}({', '.join(map(repr, (held, *arguments)))});
                    PERFORM pg_sleep(0.05);
                    RAISE division_by_zero;
                    EXCEPTION WHEN division_by_zero THEN NULL; END $$""")
            else:
                client.do("SAVEPOINT s")
                assert client.do(statement, held, *arguments).outcome in ("settled", "released")
                seekers.wait()
                if way == "error":
                    with pytest.raises(psycopg2.Error):
                        client.do("SELECT 1 / 0")
                client.do("ROLLBACK TO s" if way in ("ROLLBACK TO s", "error") else "SELECT")
            seekers.wait(30)
            if way == "ROLLBACK":
                client.rollback()
            else:
                client.commit()
            seekers.wait(30)
            assert seekers.found == []
        client.begin()
        client.do(statement, held, *arguments)
        seekers.wait()
        assert seekers.found == []
        client.commit()
        wait_for(lambda: len(seekers.found) >= freed)
        seekers.wait(30)
    assert len(seekers.found) == freed
    assert client.money(money) == (100 - freed, freed)


def test_sixteen_clients_that_commit_and_roll_back_at_random_never_exceed_the_limit(server):
    """Every transaction reserves, extends, settles and releases in savepoints; a watcher reads what is committed."""
    user = fresh()
    question = "SELECT coalesce(sum(spent) + sum(reserved), 0) FROM relay_guard.usage_ledger WHERE user_id = %s", user
    end = time.monotonic() + (60 if os.environ.get("RG_LONG") else 2.5)

    def work(client):
        chance = random.Random(many.index(client))
        held = []
        while time.monotonic() < end:
            mine = list(held)
            client.begin()
            for _ in range(chance.randint(1, 4)):
                inner = list(mine)
                client.do("SAVEPOINT s")
                step(client, chance, inner)
                if chance.random() < .4:
                    client.do("ROLLBACK TO s")
                else:
                    client.do("RELEASE s")
                    mine = inner
            if chance.random() < .3:
                client.rollback()
            else:
                client.commit()
                held = mine
        for reservation in held:
            client.release(reservation)

    def step(client, chance, held):
        kind = chance.random()
        if kind < .5 or not held:
            reserved = client.do(RESERVE, 0, chance.randint(1, 60), "10 min")
            if reserved.allowed:
                held.append(reserved.reservation)
        elif kind < .6:
            client.do(EXTEND, chance.choice(held), chance.randint(1, 20))
        elif kind < .75:
            client.do(SETTLE, held.pop(), 0, chance.randint(0, 1))
        else:
            client.do(RELEASE, held.pop())

    with budget(server, 500) as money, clients(server, 16, user) as many, Watcher(server, question, lambda rows: rows[0][0] <= 500):
        together(work, *many)
        spent, reserved = many[0].money(money)
        assert reserved == 0
        assert (spent, reserved) == spend_in_ledger(server, user)
        assert many[0].reserve(500 - spent).allowed


# What a transaction may be

def test_rollback_gives_back(policy, client):
    client.begin()
    assert client.do(TAKE, policy, 10).allowed
    client.rollback()
    assert used(client, policy) == 0
    assert client.take(policy, 10).allowed


def test_savepoints_give_back_what_was_taken_in_them(policy, client):
    client.begin()
    client.do(TAKE, policy, 1)
    client.do("SAVEPOINT a")
    client.do(TAKE, policy, 2)
    client.do("SAVEPOINT b")
    client.do(TAKE, policy, 4)
    client.do("RELEASE b")
    assert client.do(STATUS, policy).used == 7
    client.do("ROLLBACK TO a")
    assert client.do(STATUS, policy).used == 1
    client.do(TAKE, policy, 3)
    client.do("ROLLBACK TO a")
    client.do("RELEASE a")
    client.commit()
    assert used(client, policy) == 1


def test_a_released_savepoint_ends_with_the_one_around_it(policy, client):
    client.begin()
    for name in "abcdefgh":
        client.do(f"SAVEPOINT {name}")
        client.do(TAKE, policy, 1)
    for name in "hgfed":
        client.do(f"RELEASE {name}")
    client.do("ROLLBACK TO c")
    assert client.do(STATUS, policy).used == 2
    client.do("RELEASE b")
    client.rollback()
    assert used(client, policy) == 0


def test_savepoints_of_one_name_shadow_one_another(policy, client):
    client.begin()
    for n in range(3):
        client.do("SAVEPOINT s")
        client.do(TAKE, policy, 2)
    for left in (4, 2, 0):
        client.do("ROLLBACK TO s")
        assert client.do(STATUS, policy).used == left
        client.do("RELEASE s")
    client.commit()
    assert used(client, policy) == 0


def test_reservation_extension_and_settlement_in_nested_savepoints(server, money, client):
    """What is released in a savepoint is free only when all around it has committed."""
    held = client.reserve(40).reservation
    with Client(server, client.user) as other:
        client.begin()
        client.do("SAVEPOINT a")
        client.do(EXTEND, held, 20)
        client.do("SAVEPOINT b")
        assert client.do(SETTLE, held, 0, 10).outcome == "settled"
        client.do("RELEASE b")
        assert not other.reserve(41).allowed
        assert other.reserve(40).allowed
        client.do("ROLLBACK TO a")
        assert client.do(SETTLE, held, 0, 5).outcome == "settled"
        assert not other.reserve(21).allowed
        client.commit()
        assert client.money(money) == (5, 40)
        assert other.reserve(55).allowed


def test_many_subtransactions_that_fail(policy, money, client):
    client.call(f"""DO $$ BEGIN
        FOR i IN 1..300 LOOP
            BEGIN
                PERFORM relay_guard.quota_take('{policy}'), relay_guard.budget_reserve('m', 0, 10), relay_guard.budget_charge('m', 0, 1);
                IF i % 100 <> 0 THEN RAISE division_by_zero; END IF;
            EXCEPTION WHEN division_by_zero THEN NULL;
            END;
        END LOOP;
        END $$""")
    assert used(client, policy) == 3
    assert client.money(money) == (3, 30)


def test_more_subtransactions_than_a_transaction_may_hold_accounts(server, client):
    """What they have done to one account is one thing, however many they were; and an outer one undoes all of it."""
    policy = quota(server, 10 ** 6)
    client.begin()
    for end, used in (("RELEASE s", 2000), ("ROLLBACK TO s", 2000), ("RELEASE s", 4000)):
        client.do(f"""SAVEPOINT s; DO $$ BEGIN
            FOR i IN 1..2000 LOOP
                BEGIN
                    PERFORM relay_guard.quota_take('{policy}');
                EXCEPTION WHEN division_by_zero THEN NULL;
                END;
            END LOOP;
            END $$""")
        client.do(end)
        assert client.do(STATUS, policy).used == used
    client.commit()
    assert client.call(STATUS, policy).used == taken_in_ledger(server, policy) == 4000
    client.begin()
    client.do(TAKE, policy, 1)
    client.rollback()
    assert client.call(STATUS, policy).used == 4000


def test_an_exception_that_is_caught_after_a_refusal(policy, client):
    client.begin()
    client.do(f"""DO $$ BEGIN
        PERFORM relay_guard.quota_take('{policy}', 6);
        BEGIN
            PERFORM relay_guard.quota_take('{policy}', 2);
            PERFORM relay_guard.quota_require('{policy}', 3);
        EXCEPTION WHEN SQLSTATE 'RG429' THEN NULL;
        END;
        PERFORM relay_guard.quota_require('{policy}', 4);
        END $$""")
    client.commit()
    assert used(client, policy) == 10


def test_commit_and_chain(policy, client):
    """Each link keeps or gives back what it took, and has no identity of the one before."""
    client.begin()
    client.do(TAKE, policy, 1)
    client.do("COMMIT AND CHAIN")
    assert client.do("SELECT relay_guard.user_id() AS id").id is None
    client.do("SELECT relay_guard.assume(%s)", client.user)
    client.do(TAKE, policy, 2)
    client.do("ROLLBACK AND CHAIN")
    client.do("SELECT relay_guard.assume(%s)", client.user)
    client.do(TAKE, policy, 4)
    client.commit()
    assert used(client, policy) == 5


def test_a_procedure_that_commits(server, policy, client):
    server.run(f"""CREATE OR REPLACE PROCEDURE take_and_commit(who text) LANGUAGE plpgsql AS $$
        BEGIN
            FOR i IN 1..4 LOOP
                PERFORM relay_guard.assume(who);
                PERFORM relay_guard.quota_take('{policy}');
                PERFORM relay_guard.budget_charge('m', 0, 10);
                IF i % 2 = 0 THEN COMMIT; ELSE ROLLBACK; END IF;
            END LOOP;
            PERFORM relay_guard.assume(who);
            PERFORM relay_guard.quota_take('{policy}', 8);
            RAISE division_by_zero;
        END $$""")
    with pytest.raises(psycopg2.Error):
        run(client.connection, "CALL take_and_commit(%s)", client.user)
    assert used(client, policy) == 2
    assert spend_in_ledger(server, client.user) == (20, 0)


def test_a_cursor_takes_for_the_rows_that_are_fetched(policy, client):
    client.begin()
    client.do(f"""DECLARE c CURSOR FOR SELECT (t).allowed
        FROM (SELECT relay_guard.quota_take('{policy}') t FROM generate_series(1, 20) OFFSET 0) s""")
    client.do("SAVEPOINT s")
    run(client.connection, "FETCH 4 FROM c")
    assert client.do(STATUS, policy).used == 4
    client.do("ROLLBACK TO s")
    assert client.do(STATUS, policy).used == 0
    assert [row[0] for row in run(client.connection, "FETCH 16 FROM c")].count(True) == 10
    client.commit()
    assert used(client, policy) == 10


def test_a_held_cursor_runs_when_the_transaction_commits(policy, client):
    client.begin()
    client.do(f"DECLARE held CURSOR WITH HOLD FOR SELECT relay_guard.quota_take('{policy}') FROM generate_series(1, 3)")
    client.commit()
    assert used(client, policy) == 3
    run(client.connection, "CLOSE held")


def test_a_deferred_trigger_takes_at_commit(server, policy, client):
    server.run(f"""CREATE TABLE IF NOT EXISTS late (id int);
        CREATE OR REPLACE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN PERFORM relay_guard.quota_require('{policy}', 6); RETURN NULL; END $$;
        DROP TRIGGER IF EXISTS late ON late;
        CREATE CONSTRAINT TRIGGER late AFTER INSERT ON late DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION late()""")
    client.call("INSERT INTO late VALUES (1)")
    client.begin()
    client.do("INSERT INTO late VALUES (2)")
    with pytest.raises(psycopg2.Error) as refused:
        client.commit()
    assert refused.value.pgcode == "RG429"
    assert used(client, policy) == 6
    server.run("DROP TABLE late")


def test_prepare_transaction_is_refused_and_gives_back(server, policy, money, client):
    held = client.reserve(50).reservation
    for statement, arguments in [(TAKE, (policy, 10)), (RESERVE, (0, 50, "1 min")), (SETTLE, (held, 0, 1)), (RELEASE, (held,)),
                                 (EXTEND, (held, 50)), (CHARGE, (0, 50))]:
        run(client.connection, "BEGIN")
        client.do("SELECT relay_guard.assume(%s)", client.user)
        client.do(statement, *arguments)
        with pytest.raises(psycopg2.Error) as refused:
            client.do("PREPARE TRANSACTION 'p'")
        assert refused.value.pgcode in ("0A000", "55000")
        client.rollback()
        assert used(client, policy) == 0
        assert client.money(money) == (0, 50)
    nobody = server.connect()
    with budget(server, 100, "global") as everybody:
        run(nobody, "BEGIN")
        run(nobody, RESERVE, 0, 1, "1 min")
        assert sqlstate(nobody, "PREPARE TRANSACTION 'p'") in ("0A000", "55000")
        run(nobody, "ROLLBACK")
        assert server.run("SELECT spent, reserved FROM relay_guard.budget_status('global') WHERE policy = %s", everybody)[0][1] >= 0
    assert server.value("SELECT count(*) FROM pg_prepared_xacts") == 0
    nobody.close()


@pytest.mark.parametrize("mode", ["READ ONLY", "READ WRITE", "ISOLATION LEVEL REPEATABLE READ", "ISOLATION LEVEL SERIALIZABLE",
                                  "ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE"])
def test_transaction_modes(server, policy, money, client, mode):
    """A read-only transaction takes nothing, and an old snapshot sees what others took after it."""
    client.begin(mode)
    if "READ ONLY" in mode:
        for statement, arguments in [(TAKE, (policy, 1)), (RESERVE, (0, 1, "1 min")), (CHARGE, (0, 1))]:
            client.do("SAVEPOINT s")
            with pytest.raises(psycopg2.Error) as refused:
                client.do(statement, *arguments)
            assert refused.value.pgcode == "25006"
            client.do("ROLLBACK TO s")
        assert client.do(STATUS, policy).used == 0
        client.rollback()
    else:
        client.do("SELECT count(*) FROM numbers")
        with Client(server, client.user) as other:
            assert other.take(policy, 8).allowed
            assert other.reserve(80).allowed
        assert [client.do(TAKE, policy, n).allowed for n in (3, 2)] == [False, True]
        assert [client.do(RESERVE, 0, n, "1 min").allowed for n in (21, 20)] == [False, True]
        client.commit()
        assert used(client, policy) == 10
    assert client.money(money) == spend_in_ledger(server, client.user)


def test_an_old_snapshot_rebuilds_what_is_true_now(server, policy, money, client):
    """The account is forgotten and read again by a transaction that sees nothing of what was taken since it began."""
    client.begin("ISOLATION LEVEL REPEATABLE READ")
    client.do("SELECT count(*) FROM numbers")
    with Client(server, client.user) as other:
        other.take(policy, 10)
        other.reserve(100)
    server.run("SELECT relay_guard.usage_rebuild()")
    assert not client.do(TAKE, policy, 1).allowed
    assert not client.do(RESERVE, 0, 1, "1 min").allowed
    client.commit()


def test_a_rebuild_does_not_forget_what_is_under_way(server, policy, money, client):
    """An account that a transaction has changed is pinned until it ends."""
    client.begin()
    client.do(TAKE, policy, 7)
    client.do(RESERVE, 0, 70, "1 min")
    with Client(server, client.user) as other:
        for _ in range(3):
            server.run("SELECT relay_guard.usage_rebuild()")
            assert not other.take(policy, 4).allowed
            assert not other.reserve(31).allowed
        assert other.take(policy, 3).allowed
        client.rollback()
        server.run("SELECT relay_guard.usage_rebuild()")
        assert other.take(policy, 7).allowed
        assert other.reserve(100).allowed


def test_rebuilds_all_the_time_change_nothing(server):
    """Sixteen clients take to the last, while every account is forgotten again and again."""
    policy, user = quota(server, 600), fresh()
    ended = threading.Event()

    def forget():
        connection = server.connect()
        while not ended.is_set():
            run(connection, "SELECT relay_guard.usage_rebuild()")
        connection.close()

    def work(client):
        taken = 0
        for n in range(45):
            client.begin()
            allowed = client.do(TAKE, policy, 1).allowed
            if n % 5 == 4:
                client.rollback()
            else:
                client.commit()
                taken += allowed
        return taken

    forgetter = threading.Thread(target=forget)
    forgetter.start()
    try:
        with budget(server, 1000), clients(server, 16, user) as many:
            taken = sum(together(work, *many))
            assert taken == taken_in_ledger(server, policy) == used(many[0], policy) <= 600
            assert sum(together(lambda client: sum(client.take(policy).allowed for _ in range(40)), *many)) == 600 - taken
    finally:
        ended.set()
        forgetter.join()


def test_a_query_with_workers_takes_in_the_leader(server, policy, client):
    """The functions are unsafe in parallel, so no plan around them is; in a worker they would be refused."""
    settings = "SET LOCAL parallel_setup_cost = 0; SET LOCAL parallel_tuple_cost = 0; SET LOCAL min_parallel_table_scan_size = 0"
    client.begin()
    client.do(settings)
    plan = run(client.connection, "EXPLAIN SELECT count(*), (SELECT allowed FROM relay_guard.quota_take(%s)) FROM numbers", policy)
    assert "Gather" not in str(plan)
    client.rollback()
    server.run(f"""CREATE OR REPLACE FUNCTION claims_to_be_safe(n int) RETURNS boolean LANGUAGE plpgsql PARALLEL SAFE COST 100000 AS $$
        BEGIN RETURN (relay_guard.quota_take('{policy}')).allowed; END $$""")
    client.begin()
    client.do(settings)
    client.do("SET LOCAL parallel_leader_participation = off")
    with pytest.raises(psycopg2.Error) as refused:
        client.do("SELECT count(*) FROM numbers WHERE claims_to_be_safe(n)")
    assert refused.value.pgcode in ("25000", "0A000", "25006", "55000")
    client.rollback()
    assert used(client, policy) == 0


def test_a_worker_of_a_query_neither_reads_nor_holds_an_account(server, policy, money, client):
    """Its transaction ends otherwise than others do: an account would be held for ever."""
    server.run(f"""CREATE OR REPLACE FUNCTION looks_safe(n int) RETURNS boolean LANGUAGE plpgsql PARALLEL SAFE COST 100000 AS $$
        BEGIN PERFORM relay_guard.quota_status('{policy}'); PERFORM relay_guard.budget_status(); RETURN true; END $$""")
    client.begin()
    client.do("SET LOCAL parallel_setup_cost = 0; SET LOCAL parallel_tuple_cost = 0; SET LOCAL min_parallel_table_scan_size = 0")
    client.do("SET LOCAL parallel_leader_participation = off")
    with pytest.raises(psycopg2.Error) as refused:
        client.do("SELECT count(*) FROM numbers WHERE looks_safe(n)")
    assert refused.value.pgcode == "25000"
    client.rollback()
    server.run("SELECT relay_guard.usage_rebuild()")
    assert accounts_of(server, policy, money) == 0


def accounts_of(server, *policies):
    return server.value("SELECT count(*) FROM relay_guard.account WHERE policy = ANY (%s)", list(policies))


# Broken off in the middle of a rebuild

@pytest.fixture
def slow(server, policy, money, client):
    """The ledger is locked by somebody else, and the accounts are not there: whoever asks waits in the rebuild."""
    client.take(policy, 4)
    client.reserve(40)
    server.run("SELECT relay_guard.usage_rebuild()")
    blocker = server.connect()
    partition = server.value("""SELECT tableoid::regclass::text FROM relay_guard.usage_ledger WHERE user_id = %s LIMIT 1""", client.user)
    run(blocker, f"BEGIN; LOCK TABLE ONLY {partition} IN ACCESS EXCLUSIVE MODE")
    yield blocker
    blocker.close()


def assert_as_it_was(server, policy, money, client, blocker):
    run(blocker, "ROLLBACK")
    assert not client.take(policy, 7).allowed
    assert not client.reserve(61).allowed
    assert used(client, policy) == 4
    assert client.money(money) == (0, 40)
    assert client.take(policy, 6).allowed
    assert client.reserve(60).allowed


@pytest.mark.parametrize("statement, arguments", [(TAKE, ("policy", 1)), (RESERVE, (0, 1, "1 min"))])
def test_statement_timeout_in_the_middle_of_a_rebuild(server, policy, money, client, slow, statement, arguments):
    arguments = [policy if argument == "policy" else argument for argument in arguments]
    run(client.connection, "SET statement_timeout = '150ms'")
    assert [client.fails(statement, *arguments) for _ in range(3)] == ["57014"] * 3
    run(client.connection, "RESET statement_timeout")
    assert_as_it_was(server, policy, money, client, slow)


def test_lock_timeout_in_the_middle_of_a_rebuild(server, policy, money, client, slow):
    run(client.connection, "SET lock_timeout = '100ms'")
    assert [client.fails(TAKE, policy, 1) for _ in range(3)] == ["55P03"] * 3
    assert client.fails(RESERVE, 0, 1, "1 min") == "55P03"
    run(client.connection, "RESET lock_timeout")
    assert_as_it_was(server, policy, money, client, slow)


def is_waiting(server, client):
    return server.value("SELECT count(*) FROM pg_locks WHERE NOT granted AND pid = %s", client.connection.get_backend_pid()) > 0


@pytest.mark.parametrize("break_off, states", [("pg_cancel_backend", {"57014"}), ("pg_terminate_backend", {"57P01", None})])
def test_cancel_in_the_middle_of_a_rebuild(server, policy, money, client, slow, break_off, states):
    """Whoever waits behind it goes on by himself."""
    got = []
    first, second = Client(server, client.user), Client(server, client.user)
    waiting = [threading.Thread(target=lambda one=one: got.append(one.fails(TAKE, policy, 6))) for one in (first, second)]
    waiting[0].start()
    wait_for(lambda: is_waiting(server, first))
    waiting[1].start()
    wait_for(lambda: is_waiting(server, second))
    server.run(f"SELECT {break_off}(%s)", first.connection.get_backend_pid())
    waiting[0].join()
    assert len(got) == 1 and got[0] in states
    run(slow, "ROLLBACK")
    waiting[1].join()
    assert got[1] is None
    assert used(client, policy) == 10
    assert client.money(money) == (0, 40)


def test_a_savepoint_around_a_rebuild_that_failed(server, policy, money, client, slow):
    """The transaction goes on; what was not rebuilt was not taken."""
    client.begin()
    client.do("SET LOCAL lock_timeout = '100ms'")
    client.do("SAVEPOINT s")
    with pytest.raises(psycopg2.Error):
        client.do(TAKE, policy, 1)
    client.do("ROLLBACK TO s")
    run(slow, "ROLLBACK")
    assert [client.do(TAKE, policy, n).allowed for n in (7, 6)] == [False, True]
    client.commit()
    assert used(client, policy) == 10
