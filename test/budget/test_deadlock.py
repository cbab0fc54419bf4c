"""Rebuilds, changes of the ledger's tables and changes of policies that meet: a
deadlock is found and ends one of them, and whoever waits is exact afterwards."""
import threading

import psycopg2
import pytest

from accounts import (CHARGE, STATUS, TAKE, Client, budget, clients, fresh, install, problems, quota, spend_in_ledger, taken_in_ledger, together)
from servers import run, sqlstate, wait_for


@pytest.fixture(scope="module")
def server(make_server):
    server = make_server({"max_connections": 60, "deadlock_timeout": "150ms"})
    install(server)
    yield server
    assert problems(server) == []
    server.stop("immediate")


class Later(threading.Thread):
    """Something that may have to wait; what came of it."""

    def __init__(self, work, *arguments):
        super().__init__()
        self.work = work
        self.arguments = arguments
        self.result = self.state = None
        self.start()

    def run(self):
        try:
            self.result = self.work(*self.arguments)
        except psycopg2.Error as error:
            self.state = error.pgcode

    def end(self):
        self.join(20)
        assert not self.is_alive(), "it hangs"
        return self.state


def wait_until_it_waits(server, connection):
    pid = connection.get_backend_pid()
    wait_for(lambda: server.value("SELECT count(*) FROM pg_locks WHERE NOT granted AND pid = %s", pid) > 0)


def partition_of(server, user):
    return server.value("SELECT tableoid::regclass::text FROM relay_guard.usage_ledger WHERE user_id = %s LIMIT 1", user)


ALTERATIONS = ["ALTER TABLE {} ADD CONSTRAINT later CHECK (units <> -1) NOT VALID", "LOCK TABLE {} IN ACCESS EXCLUSIVE MODE"]


@pytest.mark.parametrize("alteration", ALTERATIONS)
@pytest.mark.parametrize("of", ["partition", "ledger"])
def test_a_deadlock_between_a_rebuild_and_alter_table_is_detected(server, alteration, of):
    """One alters the ledger and then wants an account; another rebuilds that account and wants the ledger."""
    policy = quota(server, 100)
    with Client(server) as altering, Client(server, altering.user) as rebuilding:
        assert rebuilding.take(policy, 40).allowed
        server.run("SELECT relay_guard.usage_rebuild()")
        altering.begin()
        altering.do(alteration.format("relay_guard.usage_ledger" if of == "ledger" else partition_of(server, altering.user)))
        rebuild = Later(rebuilding.take, policy, 10)
        wait_until_it_waits(server, rebuilding.connection)
        take = Later(altering.do, TAKE, policy, 20)
        states = {take.end()}
        altering.rollback()
        states.add(rebuild.end())
        if of == "partition":
            assert states == {None, "40P01"}
        else:
            assert states <= {None, "40P01"}
        used = altering.call(STATUS, policy).used
        assert used == taken_in_ledger(server, policy) == (40 if rebuild.state else 50)
        assert [altering.take(policy, n).allowed for n in (101 - used, 100 - used)] == [False, True]


def test_rebuilds_under_a_table_that_is_altered_again_and_again(server):
    """Takes and reservations wait or are told of a deadlock; what was acknowledged is there, once."""
    policy, user = quota(server, 10 ** 6), fresh()
    altered = threading.Event()

    def alter():
        connection = server.connect()
        try:
            for n in range(40):
                run(connection, "SET lock_timeout = '30s'; SELECT relay_guard.usage_rebuild()")
                table = partition_of(server, user) if n % 2 else "relay_guard.usage_ledger"
                sqlstate(connection, f"ALTER TABLE {table} ADD CONSTRAINT later CHECK (units <> -1) NOT VALID")
                sqlstate(connection, f"ALTER TABLE {table} DROP CONSTRAINT later")
        finally:
            connection.close()
            altered.set()

    def work(client):
        taken = 0
        while not altered.is_set():
            try:
                client.begin()
                allowed = client.do(TAKE, policy, 1).allowed
                client.do(CHARGE, 0, 1)
                client.commit()
                taken += allowed
            except psycopg2.Error as error:
                assert error.pgcode == "40P01"
                client.rollback()
        return taken

    with budget(server, 10 ** 6) as money, clients(server, 8, user) as many:
        many[0].call(CHARGE, 0, 0)
        thread = Later(alter)
        taken = sum(together(work, *many))
        assert thread.end() is None
        assert taken == taken_in_ledger(server, policy) == many[0].call(STATUS, policy).used
        assert many[0].money(money) == (taken, 0) == spend_in_ledger(server, user)


CHANGES = {
    "insert": "INSERT INTO relay_guard.quota_policy (name, scope, cap, \"window\") VALUES ('{new}', 'user', 1, 'day')",
    "update": "UPDATE relay_guard.quota_policy SET cap = 5 WHERE name = '{policy}'",
    "delete": "DELETE FROM relay_guard.quota_policy WHERE name = '{policy}'",
    "insert of a budget": "INSERT INTO relay_guard.budget_policy (name, scope, \"window\", hard) VALUES ('{new}', 'user', 'month', 50)",
    "the key of accounts": "UPDATE relay_guard.installation SET hash_key = gen_random_uuid()",
    "no row": "UPDATE relay_guard.quota_policy SET cap = 5 WHERE false",
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_policies_waits_for_transactions_under_way(server, change):
    policy = quota(server, 100)
    names = {"new": fresh("new"), "policy": policy}
    with Client(server) as client:
        client.begin()
        client.do(TAKE, policy, 7)
        admin = server.connect()
        changing = Later(run, admin, CHANGES[change].format(**names))
        wait_until_it_waits(server, admin)
        assert client.do(TAKE, policy, 3).used == 10
        client.commit()
        assert changing.end() is None
        if change == "update":
            assert client.call(STATUS, policy)[1:3] == (5, 10)
        elif change == "delete":
            assert client.fails(TAKE, policy, 1) == "42704"
        else:
            assert client.take(policy, 1).used == 11
        admin.close()
    server.run("DELETE FROM relay_guard.quota_policy WHERE name = %(new)s".replace("%(new)s", f"'{names['new']}'"))
    server.run(f"DELETE FROM relay_guard.budget_policy WHERE name = '{names['new']}'")


def test_whoever_comes_while_policies_change_waits_and_knows_the_new_one(server):
    policy = quota(server, 100)
    with Client(server) as client, Client(server, client.user) as other:
        other.take(policy, 60)
        admin = server.connect()
        run(admin, "BEGIN")
        run(admin, "UPDATE relay_guard.quota_policy SET cap = 65 WHERE name = %s", policy)
        waiting = Later(client.take, policy, 10)
        wait_until_it_waits(server, client.connection)
        run(admin, "COMMIT")
        assert waiting.end() is None
        assert (waiting.result.allowed, waiting.result.limit, waiting.result.used) == (False, 65, 60)
        run(admin, "BEGIN")
        run(admin, "UPDATE relay_guard.quota_policy SET cap = 5 WHERE name = %s", policy)
        waiting = Later(client.take, policy, 5)
        wait_until_it_waits(server, client.connection)
        run(admin, "ROLLBACK")
        assert waiting.end() is None
        assert (waiting.result.allowed, waiting.result.limit, waiting.result.used) == (True, 65, 65)
        admin.close()


def test_a_policy_made_at_noon_counts_the_morning(server):
    """A budget is the ledger's sum over its window, so one that did not exist binds what was spent without it."""
    with budget(server, 10 ** 9), Client(server, workspace=fresh("workspace")) as client:
        client.call(CHARGE, 0, 70)
        open_one = client.reserve(20)
        with budget(server, 100) as late, budget(server, 1000, "workspace", "day") as wide:
            assert client.money(late) == (70, 20)
            assert client.money(wide) == (70, 20)
            assert client.reserve(11).blocked_by == late
            assert client.reserve(10).allowed
            client.release(open_one.reservation)
            assert client.money(late) == (70, 10)
            assert client.money(wide) == (70, 10)
        with budget(server, 50) as lower:
            status = client.status(lower)
            assert (status.spent, status.reserved, status.remaining, status.blocked) == (70, 10, 0, True)


def test_a_reservation_from_before_a_change_of_its_policy_settles_into_the_new_account(server):
    with budget(server, 100) as policy, Client(server) as client:
        held = client.reserve(60)
        server.run("UPDATE relay_guard.budget_policy SET hard = 200 WHERE name = %s", policy)
        client.settle(held.reservation, 10)
        assert client.money(policy) == (10, 0)
        held = client.reserve(60)
        server.run("UPDATE relay_guard.budget_policy SET enabled = false WHERE name = %s", policy)
        client.settle(held.reservation, 20)
        server.run("UPDATE relay_guard.budget_policy SET enabled = true WHERE name = %s", policy)
        assert client.money(policy) == (30, 0)


def test_a_change_of_scope_or_window_counts_by_the_new_one(server):
    workspace = fresh("workspace")
    with budget(server, 100) as policy, Client(server, workspace=workspace) as one, Client(server, workspace=workspace) as two:
        one.call(CHARGE, 0, 60)
        two.call(CHARGE, 0, 30)
        server.run("UPDATE relay_guard.budget_policy SET scope = 'workspace' WHERE name = %s", policy)
        assert one.money(policy) == two.money(policy) == (90, 0)
        assert two.reserve(11).blocked_by == policy
        server.run("UPDATE relay_guard.budget_policy SET \"window\" = 'day' WHERE name = %s", policy)
        assert one.money(policy)[0] <= 90


def test_two_changes_of_policies_follow_one_another(server):
    policy = quota(server, 100)
    one, two = server.connect(), server.connect()
    run(one, "BEGIN")
    run(one, "UPDATE relay_guard.quota_policy SET cap = cap + 1 WHERE name = %s", policy)
    second = Later(run, two, "UPDATE relay_guard.quota_policy SET cap = cap * 2 WHERE name = %s", policy)
    wait_until_it_waits(server, two)
    run(one, "COMMIT")
    assert second.end() is None
    with Client(server) as client:
        assert client.call(STATUS, policy).limit == 202
    assert server.value("""SELECT count(DISTINCT version) = count(*)
        FROM (SELECT version FROM relay_guard.quota_policy UNION ALL SELECT version FROM relay_guard.budget_policy) v""")
    one.close()
    two.close()


def test_two_that_have_taken_and_then_change_policies_are_a_deadlock_that_is_detected(server):
    """Each waits for the other's transaction; one of them is told, the other's change is made."""
    policy = quota(server, 100)
    with Client(server) as one, Client(server) as two:
        for client in (one, two):
            client.begin()
            client.do(TAKE, policy, 10)
        changes = [Later(client.do, "UPDATE relay_guard.quota_policy SET cap = %s WHERE name = %s", cap, policy)
                   for client, cap in ((one, 50), (two, 60))]
        wait_for(lambda: any(not change.is_alive() for change in changes))
        loser = 0 if changes[0].state else 1
        assert changes[loser].state == "40P01"
        (one, two)[loser].rollback()
        assert changes[1 - loser].end() is None
        (one, two)[1 - loser].commit()
        assert [client.call(STATUS, policy).used for client in (one, two)] == [10 * (loser == 1), 10 * (loser == 0)]
        assert one.call(STATUS, policy).limit == (50, 60)[1 - loser]


def test_whoever_takes_and_changes_the_policy_in_one_transaction_sees_both(server):
    policy = quota(server, 100)
    with Client(server) as client:
        client.begin()
        client.do(TAKE, policy, 30)
        client.do("UPDATE relay_guard.quota_policy SET cap = 40 WHERE name = %s", policy)
        assert [client.do(TAKE, policy, n).allowed for n in (11, 10)] == [False, True]
        client.rollback()
        status = client.call(STATUS, policy)
        assert (status.limit, status.used) == (100, 0)
        client.begin()
        client.do("UPDATE relay_guard.quota_policy SET cap = 40 WHERE name = %s", policy)
        assert [client.do(TAKE, policy, n).allowed for n in (40, 1)] == [True, False]
        client.commit()
        status = client.call(STATUS, policy)
        assert (status.limit, status.used) == (40, 40)


def test_policies_that_change_all_the_time_under_load(server):
    """Each change makes new accounts, which are rebuilt; the limit that all of them have in common holds."""
    policy, user = quota(server, 400), fresh()
    ended = threading.Event()

    def change():
        connection = server.connect()
        n = 0
        while not ended.is_set():
            n += 1
            run(connection, "UPDATE relay_guard.quota_policy SET cap = 400 + %s WHERE name = %s", n % 2, policy)
            run(connection, "UPDATE relay_guard.budget_policy SET hard = 400 WHERE name = %s", money)
        connection.close()

    with budget(server, 400) as money, clients(server, 12, user) as many:
        thread = threading.Thread(target=change)
        thread.start()
        try:
            taken = sum(together(lambda client: sum(client.take(policy).allowed for _ in range(40)), *many))
            reserved = sum(together(lambda client: sum(client.reserve(4).allowed for _ in range(12)), *many))
        finally:
            ended.set()
            thread.join()
        assert 400 <= taken <= 401
        assert reserved == 100
        assert taken_in_ledger(server, policy) == taken
        assert many[0].money(money) == (0, 400)
