"""What went wrong in other people's quotas and budgets, by the name it is known under."""
import datetime
import os
import threading

import psycopg2
import pytest

from accounts import (CHARGE, EXTEND, RELEASE, RESERVE, SETTLE, STATUS, TAKE, Client, Watcher, budget, clients, fresh, install, model,
                      problems, quota, spend_in_ledger, taken_in_ledger, together)
from clocks import UTC, Clock, needs_faketime
from crashes import kill_process
from servers import run, wait_for


@pytest.fixture(scope="module")
def server(make_server):
    server = make_server({"max_connections": 60, "deadlock_timeout": "100ms", "relay_guard.databases": "postgres",
                          "relay_guard.flush_interval": 1})
    install(server)
    yield server
    assert problems(server) == []
    server.stop("immediate")


def spent_or_reserved(server, user):
    """The question of a watcher that reads what is committed, as of one instant."""
    return "SELECT coalesce(sum(spent) + sum(reserved), 0)::bigint FROM relay_guard.usage_ledger WHERE user_id = %s", user


def test_litellm_34732_40095_ai_memory_2311_check_then_charge_admits_no_more_than_the_cap(server):
    """Sixteen clients ask for more than there is, all at once."""
    policy, user = quota(server, 1000), fresh()
    with clients(server, 16, user) as many:
        admitted = together(lambda client: sum(client.take(policy).allowed for _ in range(75)), *many)
    assert sum(admitted) == 1000
    assert taken_in_ledger(server, policy) == 1000


def test_litellm_34732_calls_in_flight_do_not_overshoot_a_budget(server):
    """What is in flight counts at its estimate: the overshoot would be calls in flight × cost."""
    user = fresh()
    question = spent_or_reserved(server, user)

    def spend(client):
        settled = 0
        for _ in range(12):
            reserved = client.reserve(70)
            if reserved.allowed:
                client.settle(reserved.reservation, 50)
                settled += 1
        return settled

    with budget(server, 1000) as policy, clients(server, 16, user) as many, Watcher(server, question, lambda rows: rows[0][0] <= 1000):
        settled = sum(together(spend, *many))
        # the last one that fits is one whose estimate fits: 70 beside 930 or less
        assert 1000 - 70 < settled * 50 <= 1000
        assert many[0].money(policy) == (settled * 50, 0)
        assert spend_in_ledger(server, user) == (settled * 50, 0)


def test_litellm_40095_the_first_request_of_an_unknown_user_is_limited_like_any_other(server):
    """Also when sixteen meet him at the same moment, each of whom alone would be too much."""
    none, few = quota(server, 0), quota(server, 5)
    with Client(server) as unknown:
        assert not unknown.take(none).allowed
    with Client(server) as unknown:
        assert unknown.fails(TAKE, few, 6) == "22023"
        assert [unknown.take(few, 5).allowed, unknown.take(few).allowed] == [True, False]
    with budget(server, 100) as policy:
        with Client(server) as unknown:
            refused = unknown.reserve(101)
            assert (refused.allowed, refused.blocked_by, refused.reservation) == (False, policy, None)
        for _ in range(10):
            user = fresh()
            with clients(server, 16, user) as many:
                assert not any(together(lambda client: client.reserve(101).allowed, *many))
                assert sum(together(lambda client: client.take(few).allowed, *many)) == 5
                assert sum(together(lambda client: client.reserve(25).allowed, *many)) == 4


def abandon_by_error(client):
    client.begin()
    client.do(RESERVE, 0, 10, "10 min")
    with pytest.raises(psycopg2.Error):
        client.do("SELECT 1 / 0")
    client.rollback()


def abandon_by_timeout(client):
    client.begin()
    client.do(RESERVE, 0, 10, "10 min")
    with pytest.raises(psycopg2.Error):
        client.do("SET LOCAL statement_timeout = 1; SELECT pg_sleep(1)")
    client.rollback()


def abandon_in_block(client):
    client.call("""DO $$ BEGIN
        PERFORM relay_guard.budget_reserve('m', 0, 10);
        RAISE division_by_zero;
        EXCEPTION WHEN division_by_zero THEN NULL; END $$""")


def leave(client):
    """The client is gone while the transaction is open."""
    client.begin()
    client.do(RESERVE, 0, 10, "10 min")
    client.close()


def be_terminated(client):
    client.begin()
    client.do(RESERVE, 0, 10, "10 min")
    with pytest.raises(psycopg2.Error):
        client.do("SELECT pg_terminate_backend(pg_backend_pid())")


@pytest.mark.parametrize("abandon", [abandon_by_error, abandon_by_timeout, abandon_in_block, leave, be_terminated])
def test_litellm_27639_30460_40050_reservations_do_not_leak(server, abandon):
    """A reservation whose transaction does not commit is not there, however it ends."""
    user = fresh()
    with budget(server, 100) as policy:
        for _ in range(2):
            with clients(server, 10, user) as many:
                together(abandon, *many)
        with Client(server, user) as client:
            wait_for(lambda: client.money(policy) == (0, 0))
            assert client.reserve(100).allowed


def test_litellm_27639_30460_40050_whoever_never_comes_back_is_charged_and_frees_the_rest(server):
    """Committed and then forgotten: the lease runs out, and nobody gets a 429 for it afterwards."""
    user = fresh()
    with budget(server, 100) as policy, Client(server, user) as client:
        forgotten = [client.reserve(10, "3 s") for _ in range(4)]
        kept = client.reserve(60)
        assert all(row.allowed for row in [*forgotten, kept])
        assert not client.reserve(1).allowed
        wait_for(lambda: client.money(policy) == (40, 60))
        assert client.settle(forgotten[0].reservation, 1).outcome == "expired"
        client.release(kept.reservation)
        assert client.money(policy) == (40, 0)
        assert client.reserve(60).allowed


def test_litellm_27639_released_reservations_can_be_taken_again_for_ever(server):
    with budget(server, 50) as policy, clients(server, 5, fresh()) as many:
        def work(client):
            for _ in range(60):
                reserved = client.reserve(10)
                assert reserved.allowed
                assert client.release(reserved.reservation).outcome == "released"

        together(work, *many)
        assert many[0].money(policy) == (0, 0)


def test_litellm_35569_a_settlement_that_failed_is_not_counted_twice(server):
    """Settled, rolled back, settled again: what was reserved does not stay beside what was spent."""
    with budget(server, 1000) as policy, Client(server) as client:
        reserved = client.reserve(100)
        for _ in range(5):
            client.begin()
            assert client.do(SETTLE, reserved.reservation, 0, 80).outcome == "settled"
            client.rollback()
        assert client.money(policy) == (0, 100)
        assert client.settle(reserved.reservation, 80).outcome == "settled"
        assert client.settle(reserved.reservation, 80).outcome == "already_settled"
        assert client.money(policy) == (80, 0)


class Spender(threading.Thread):
    """Reserves, settles and charges until it loses its server; knows what it was told was committed."""

    def __init__(self, server, user):
        super().__init__()
        self.client = Client(server, user, options="SET synchronous_commit = off")
        self.acknowledged = self.begun = 0

    def run(self):
        try:
            while True:
                self.begun += 7
                reservation = self.client.reserve(20).reservation
                self.client.settle(reservation, 7)
                self.acknowledged += 7
                self.begun += 3
                self.client.call(CHARGE, 0, 3)
                self.acknowledged += 3
        except psycopg2.Error:
            pass
        finally:
            self.client.close()


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_litellm_34805_38157_35531_spend_is_not_lost_at_shutdown_or_crash(make_server, mode):
    """Clients have synchronous_commit off, and lose their server in the middle of it."""
    server = make_server()
    install(server)
    user = fresh()
    with budget(server, 10 ** 12) as policy:
        for _ in range(10 if os.environ.get("RG_LONG") else 1):
            before = spend_in_ledger(server, user)[0]
            spenders = [Spender(server, user) for _ in range(6)]
            for spender in spenders:
                spender.start()
            wait_for(lambda: all(spender.acknowledged >= 50 for spender in spenders))
            server.stop(mode)
            for spender in spenders:
                spender.join()
            server.start()
            spent, reserved = spend_in_ledger(server, user)
            assert sum(spender.acknowledged for spender in spenders) <= spent - before <= sum(spender.begun for spender in spenders)
            assert problems(server) == []
            with Client(server, user) as client:
                assert client.money(policy) == (spent, reserved)
    assert "PANIC" not in server.log() and "TRAP" not in server.log()
    server.stop("immediate")


def test_litellm_35531_a_commit_that_fails_charges_nothing_and_frees_nothing(server):
    """A deferred constraint fails the COMMIT after everything has been decided."""
    server.run("CREATE TABLE deferred (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
    with budget(server, 1000) as policy, Client(server) as client:
        held = client.reserve(500)
        for statement, arguments in [(CHARGE, (0, 100)), (RESERVE, (0, 100, "10 min")), (SETTLE, (held.reservation, 0, 1)),
                                     (RELEASE, (held.reservation,)), (EXTEND, (held.reservation, 100))]:
            client.begin()
            client.do(statement, *arguments)
            client.do("INSERT INTO deferred VALUES (1), (1)")
            with pytest.raises(psycopg2.IntegrityError):
                client.commit()
            assert client.money(policy) == (0, 500)
        assert spend_in_ledger(server, client.user) == (0, 500)
        assert client.settle(held.reservation, 1).outcome == "settled"
    server.run("DROP TABLE deferred")


def test_litellm_27989_accounts_taken_in_any_order_neither_deadlock_nor_lose(server):
    """Quotas of several kinds, and budgets of four scopes, in another order in each transaction."""
    names = [quota(server, 10 ** 6, scope) for scope in ("user", "workspace", "global", "user", "global")]
    rounds = 25

    def work(client):
        for n in range(rounds):
            client.begin()
            order = names[n % 5:] + names[:n % 5]
            for name in order if (n + many.index(client)) % 2 else reversed(order):
                assert client.do(TAKE, name, 1).allowed
            client.do(CHARGE, 0, 1)
            client.commit()

    users = [fresh(), fresh()]
    with budget(server, 10 ** 9), budget(server, 10 ** 9, "workspace"), budget(server, 10 ** 9, "global"):
        many = [Client(server, users[n % 2], ["w1", "w2"][n // 2 % 2]) for n in range(12)]
        try:
            together(work, *many)
        finally:
            for client in many:
                client.close()
    assert [taken_in_ledger(server, name) for name in names] == [12 * rounds] * 5
    assert [spend_in_ledger(server, user)[0] for user in users] == [6 * rounds] * 2
    assert problems(server) == []


@needs_faketime
def test_litellm_36941_a_window_is_over_at_once_and_waits_for_no_job(make_server):
    """No worker runs here; the window is part of the account's key."""
    server = make_server(started=False)
    clock = Clock(server)
    clock.set(datetime.datetime(2027, 3, 31, 23, 59, 58, tzinfo=UTC))
    clock.start()
    install(server)
    policies = [quota(server, 3, window=window) for window in ("hour", "day", "month")]
    with budget(server, 30, window="day") as daily, budget(server, 60, window="month") as monthly, Client(server) as client:
        clock.set(datetime.datetime(2027, 3, 31, 23, 59, 0, tzinfo=UTC))
        midnight = datetime.datetime(2027, 4, 1, tzinfo=UTC)
        for policy in policies:
            before = [client.take(policy) for _ in range(5)]
            assert [(row.allowed, row.resets_at) for row in before] == [(True, midnight)] * 3 + [(False, midnight)] * 2
        held = client.reserve(30)
        assert client.reserve(1).blocked_by == daily
        clock.set(midnight + datetime.timedelta(milliseconds=1))
        for policy in policies:
            assert [client.take(policy).allowed for _ in range(5)] == [True] * 3 + [False] * 2
        assert client.money(daily) == client.money(monthly) == (0, 0)
        assert client.reserve(30).allowed
        assert client.settle(held.reservation, 30).outcome == "settled"
        assert client.money(daily) == client.money(monthly) == (0, 30)
    assert [taken_in_ledger(server, policy) for policy in policies] == [6] * 3
    assert problems(server) == []
    server.stop("immediate")


def test_litellm_14457_6633_kuadrant_2199_a_stream_without_an_end_is_billed(server):
    """The client leaves, or no usage frame ever comes: nobody settles, and it is charged at what was held."""
    held = {fresh(): 100, fresh(): 250}
    reservations = {}
    with budget(server, 1000) as policy:
        for user, amount in held.items():
            with Client(server, user) as client:
                reservations[user] = client.reserve(100, "3 s").reservation
                for _ in range((amount - 100) // 50):
                    assert client.call(EXTEND, reservations[user], 50).outcome == "extended"
        for user, amount in held.items():
            with Client(server, user) as other:
                wait_for(lambda: other.money(policy) == (amount, 0))
                assert spend_in_ledger(server, user) == (amount, 0)
                assert other.settle(reservations[user], 0).outcome == "expired"
                assert other.release(reservations[user]).outcome == "expired"
                assert other.money(policy) == (amount, 0)


def test_envoy_ai_gateway_2248_wso2_2932_tokens_are_charged_and_not_requests(server):
    """One request of 999 tokens leaves room for one token."""
    with budget(server, 1000) as policy, Client(server) as client:
        reserved = client.reserve(999)
        assert client.settle(reserved.reservation, 999).amount == 999
        assert not client.reserve(2).allowed
        assert client.reserve(1).allowed
        assert client.status(policy).remaining == 0


def test_a_price_counts_input_and_output_and_is_rounded_up_once(server):
    server.run("""INSERT INTO relay_guard.model (name, provider, input_price, output_price, embedding_price, max_input_tokens, max_output_tokens)
        VALUES ('priced', 'test', 150001, 600001, 20000, 1000000000, 1000000000)""")
    with budget(server, 10 ** 6) as policy, Client(server) as client:
        row = client.call("SELECT * FROM relay_guard.budget_reserve('priced', 1000, 2000)")
        assert row.amount == -(-(1000 * 150001 + 2000 * 600001) // 10 ** 6) == 1351
        settled = client.call("SELECT * FROM relay_guard.budget_settle(%s, 1, 1)", row.reservation)
        assert settled.amount == 1
        assert client.call("SELECT * FROM relay_guard.budget_charge('priced', embedding_tokens => 51)").amount == 2
        assert client.money(policy) == (3, 0)


def test_litellm_40398_a_refreshed_token_is_the_same_account(server):
    policy = quota(server, 4)
    user = fresh()
    tokens = [server.value("SELECT relay_guard.issue_token(%s, ttl => %s)", user, ttl) for ttl in ("1 h", "2 h", "3 h")]
    assert len(set(tokens)) == 3

    def take(token, n):
        run(connection, "BEGIN")
        run(connection, "SELECT relay_guard.authenticate(%s)", token)
        row = run(connection, "SELECT allowed, remaining FROM relay_guard.quota_take(%s, %s)", policy, n)[0]
        run(connection, "COMMIT")
        return row

    connection = server.connect()
    assert [take(token, 2) for token in tokens] == [(True, 2), (True, 0), (False, 0)]
    with Client(server, user) as same:
        assert not same.take(policy).allowed
    connection.close()


def test_an_api_key_has_an_account_of_its_own_whatever_it_is_called(server):
    """By its id: a key that is made anew under the name of one that was revoked begins anew, and the same key does not."""
    policy = quota(server, 3, "api_key")
    connection = server.connect()

    def take(key):
        run(connection, "BEGIN")
        run(connection, "SELECT relay_guard.authenticate_api_key(%s)", key)
        allowed = run(connection, "SELECT allowed FROM relay_guard.quota_take(%s, 2)", policy)[0][0]
        run(connection, "COMMIT")
        return allowed

    for _ in range(2):
        id, key = server.run("SELECT id, key FROM relay_guard.api_key_create('same name')")[0]
        assert [take(key), take(key)] == [True, False]
        server.run("SELECT relay_guard.api_key_revoke(%s)", id)
    connection.close()


def test_litellm_20615_a_wrong_price_is_in_the_ledger_and_what_is_under_way_keeps_its_own(server):
    """A price a thousand times too high: what it did can be told from the ledger, and mended."""
    model(server, "wrong", 1_000_000_000)
    with budget(server, 100_000) as policy, Client(server) as client:
        reserve = "SELECT * FROM relay_guard.budget_reserve('wrong', 0, 40)"
        charged, flying = client.call(reserve), client.call(reserve)
        client.settle(charged.reservation, 40)
        assert client.call(reserve).blocked_by == policy
        server.run("UPDATE relay_guard.model SET output_price = 1000000 WHERE name = 'wrong'")
        assert client.call(reserve).amount == 40
        assert client.settle(flying.reservation, 40).amount == 40_000
        overcharged = server.value("""SELECT sum(spent - ceil(output_tokens * 1000000 / 1e6))::bigint FROM relay_guard.usage_ledger
            WHERE user_id = %s AND kind = 'settle' AND output_price = 1000000000""", client.user)
        assert overcharged == 2 * (40_000 - 40)
        versions = server.value("SELECT count(DISTINCT model_version) FROM relay_guard.usage_ledger WHERE user_id = %s", client.user)
        assert versions == 2
        server.run("UPDATE relay_guard.budget_policy SET hard = hard + %s WHERE name = %s", overcharged, policy)
        assert client.reserve(90_000).allowed


def test_raising_a_limit_lifts_the_block_and_lowering_it_blocks(server):
    with budget(server, 100) as policy, Client(server) as client:
        client.call(CHARGE, 0, 90)
        assert not client.reserve(20).allowed
        server.run("UPDATE relay_guard.budget_policy SET hard = 110 WHERE name = %s", policy)
        assert client.reserve(20).allowed
        server.run("UPDATE relay_guard.budget_policy SET hard = 50 WHERE name = %s", policy)
        status = client.status(policy)
        assert (status.spent, status.reserved, status.remaining, status.blocked) == (90, 20, 0, True)
        assert not client.reserve(1).allowed


def test_upstash_a_weighted_take_does_not_overshoot_and_what_is_refused_consumes_nothing(server):
    policy = quota(server, 100)
    with Client(server) as client:
        assert client.take(policy, 99).remaining == 1
        assert client.fails(TAKE, policy, 1000) == "22023"
        assert {(row.allowed, row.used, row.remaining) for row in (client.take(policy, n) for n in [2] * 20 + [100] * 20)} == {(False, 99, 1)}
        assert client.take(policy).allowed
        assert not client.take(policy).allowed
    assert taken_in_ledger(server, policy) == 100


def test_redis_cell_41_a_zero_cap_denies_and_breaks_nothing(server):
    policy = quota(server, 0)
    with Client(server) as client, budget(server, 0) as money:
        assert [client.take(policy, n).allowed for n in (1, 2, 2 ** 63 - 1)] == [False] * 3
        assert client.reserve(1).blocked_by == money
        assert client.call(STATUS, policy).allowed is False


def test_litellm_28864_spend_of_others_is_not_seen(server):
    with budget(server, 1000), budget(server, 1000, "workspace"):
        with Client(server, workspace=fresh("workspace")) as mine, Client(server, workspace=fresh("workspace")) as other:
            other.call(CHARGE, 0, 77)
            mine.begin()
            shown = run(mine.connection, "SELECT value, spent FROM relay_guard.budget_status() WHERE scope <> 'global'")
            mine.rollback()
            assert sorted(shown) == sorted([(mine.user, 0), (mine.identity[1], 0)])


def test_all_budgets_or_none(server):
    """What one of four refuses is taken from none of them."""
    workspace = fresh("workspace")
    with budget(server, 1000) as of_user, budget(server, 100, "workspace") as of_workspace, budget(server, 10 ** 6, "global") as of_all:
        with Client(server, workspace=workspace) as client, Client(server, workspace=workspace) as neighbour:
            assert neighbour.reserve(60).allowed
            before = [client.money(policy) for policy in (of_user, of_workspace, of_all)]
            for _ in range(10):
                assert client.reserve(50).blocked_by == of_workspace
            assert [client.money(policy) for policy in (of_user, of_workspace, of_all)] == before
            assert client.reserve(40).allowed


def test_a_backend_that_is_killed_resets_nothing(make_server):
    """kill -9 of one backend empties shared memory under everybody: the next one asks the ledger."""
    server = make_server({"restart_after_crash": "on"})
    install(server)
    policy = quota(server, 100)
    user = fresh()
    with budget(server, 100) as money:
        with Client(server, user) as client:
            assert client.take(policy, 60).allowed
            assert client.reserve(60).allowed
            client.begin()
            client.do(TAKE, policy, 40)
            kill_process(server, client.connection.get_backend_pid())
        with Client(server, user) as client:
            assert not client.take(policy, 41).allowed
            assert not client.reserve(41).allowed
            assert client.take(policy, 40).allowed
            assert client.money(money) == (0, 60)
    server.stop("immediate")
