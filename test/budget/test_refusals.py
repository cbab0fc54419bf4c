"""Numbers that no honest caller sends, reservations that are not one's own, and calls
that come twice: each has a defined answer, and none admits anything."""
import contextlib
import random
import string
import time
import uuid

import psycopg2
import pytest

from accounts import (CHARGE, EXTEND, RELEASE, RESERVE, SETTLE, TAKE, Client, budget, clients, fresh, install, model, problems, quota,
                      spend_in_ledger, taken_in_ledger, together)
from servers import run, sqlstate, wait_for

MOST = 2 ** 63 - 1
LEAST = -2 ** 63
PRICE_MOST = 10 ** 15       # the domain's border
CALLS = {
    "quota_take": ("text", "bigint"),
    "quota_require": ("text", "bigint"),
    "quota_status": ("text",),
    "budget_reserve": ("text", "bigint", "bigint", "interval"),
    "budget_extend": ("uuid", "bigint", "interval"),
    "budget_settle": ("uuid", "bigint", "bigint"),
    "budget_release": ("uuid",),
    "budget_charge": ("text", "bigint", "bigint", "bigint"),
    "budget_expire": ("uuid",),
}
GIVEN = {"text": "'m'", "bigint": "1", "interval": "'1 min'", "uuid": "'018bcfe5-6800-7000-8000-000000000000'"}
MAY_BE_NULL = {("budget_extend", 2)}     # the lease stays as it is


@pytest.fixture(scope="module")
def server(make_server):
    server = make_server({"max_connections": 60})
    install(server)
    server.run("INSERT INTO relay_guard.quota_policy (name, scope, cap, \"window\") VALUES ('m', 'user', 100, 'lifetime')")
    yield server
    assert problems(server) == []
    server.stop("immediate")


@contextlib.contextmanager
def nothing_moves(server, client, *policies):
    """Neither the accounts nor the ledger."""
    def state():
        accounts = [client.call("SELECT spent, reserved FROM relay_guard.budget_status() WHERE policy = %s", name) or
                    client.call("SELECT used FROM relay_guard.quota_status(%s)", name) for name in policies]
        return accounts, server.value("SELECT count(*) FROM relay_guard.usage_ledger")

    before = state()
    yield
    assert state() == before


# Numbers

@pytest.mark.parametrize("n", [0, -1, LEAST, 11, MOST])
@pytest.mark.parametrize("function", ["quota_take", "quota_require"])
def test_units_that_cannot_be_taken(server, function, n):
    policy = quota(server, 10)
    with Client(server) as client:
        client.take(policy, 3)
        with nothing_moves(server, client, policy):
            assert client.fails(f"SELECT relay_guard.{function}(%s, %s)", policy, n) == "22023"


@pytest.mark.parametrize("n", ["1.5", "'NaN'::numeric", "'Infinity'::numeric", "1e30::numeric", "'NaN'::float8", "1e300::float8",
                               "true", "'one'", "9223372036854775808"])
def test_units_that_are_no_whole_number(server, n):
    """No function takes a fraction, so none can be smuggled in."""
    with Client(server) as client, nothing_moves(server, client, "m"):
        assert client.fails(f"SELECT relay_guard.quota_take('m', {n})") in ("42883", "22P02")
        assert client.fails(f"SELECT relay_guard.budget_reserve('m', 0, {n})") in ("42883", "22P02")


def test_the_largest_cap_can_be_used_up_and_not_overflown(server):
    cap = 10 ** 15
    policy = quota(server, cap)
    with Client(server) as client:
        assert client.take(policy, cap).remaining == 0
        assert [client.take(policy, n).allowed for n in (1, cap)] == [False, False]
    for bad in (-1, cap + 1, MOST):
        assert sqlstate(server.connect(), f"UPDATE relay_guard.quota_policy SET cap = {bad} WHERE name = '{policy}'") == "23514"


@pytest.mark.parametrize("tokens", [(-1, 0), (0, -1), (LEAST, 0), (0, LEAST), (MOST, LEAST), (-5, 10)])
def test_negative_tokens(server, tokens):
    with budget(server, 1000) as policy, Client(server) as client:
        held = client.reserve(100).reservation
        with nothing_moves(server, client, policy):
            assert client.fails(RESERVE, *tokens, "1 min") == "22023"
            assert client.fails(SETTLE, held, *tokens) == "22023"
            assert client.fails(CHARGE, *tokens) == "22023"
        assert client.release(held).outcome == "released"


@pytest.mark.parametrize("tokens", [-1, LEAST, MOST])
def test_extensions_by_absurd_tokens(server, tokens):
    with budget(server, 1000) as policy, Client(server) as client:
        held = client.reserve(100).reservation
        with nothing_moves(server, client, policy):
            assert client.fails(EXTEND, held, tokens) in ("22023", "22003", None if tokens > 0 else "22023")
        client.release(held)


@pytest.mark.parametrize("tokens", [(MOST, 0), (0, MOST), (MOST, MOST), (10 ** 18, 10 ** 18)])
@pytest.mark.parametrize("price", [1_000_000, PRICE_MOST])
def test_tokens_whose_cost_is_no_bigint(server, tokens, price):
    """Whatever the error is, nothing is admitted: more tokens than the model has, or a cost beyond 2^63."""
    name = fresh("model")
    model(server, name, price)
    with budget(server, PRICE_MOST) as policy, Client(server) as client, nothing_moves(server, client, policy):
        state = client.fails("SELECT relay_guard.budget_reserve(%s, %s, %s)", name, *tokens)
        refused = state in ("22003", "22023", "RG422")
        assert refused or client.call("SELECT * FROM relay_guard.budget_reserve(%s, %s, %s)", name, *tokens).allowed is False
        if (tokens[0] + tokens[1]) * price > MOST * 1_000_000:
            assert client.fails("SELECT relay_guard.budget_charge(%s, %s, %s)", name, *tokens) in ("22003", "22023", "RG422")


def test_sums_of_an_account_do_not_overflow(server):
    """Charges are never refused for a limit, and so may come near the end of bigint: then they are refused for that."""
    name = fresh("model")
    model(server, name, PRICE_MOST)
    charge = "SELECT count(relay_guard.budget_charge(%s, 0, 1000000)) FROM generate_series(1, %s)"
    with budget(server, PRICE_MOST) as policy, Client(server) as client:
        assert client.call("SELECT amount FROM relay_guard.budget_charge(%s, 0, 1000000)", name).amount == PRICE_MOST
        assert client.fails(charge, name, 3000) is None
        assert client.fails(charge, name, 7000) == "22003"
        assert client.money(policy) == spend_in_ledger(server, client.user) == (3001 * PRICE_MOST, 0)
        assert not client.reserve(1).allowed
        assert client.call(CHARGE, 0, 1).over == policy
        assert problems(server) == []
    with budget(server, PRICE_MOST), Client(server) as client:
        assert client.fails("SELECT relay_guard.budget_charge(%s, 0, 1000001)", name) == "22003"


@pytest.mark.parametrize("price", [-1, PRICE_MOST + 1, MOST])
def test_prices_outside_the_domain(server, price):
    for column in ("input_price", "output_price", "embedding_price"):
        state = sqlstate(server.connect(), f"""INSERT INTO relay_guard.model
            (name, provider, input_price, output_price, embedding_price, max_input_tokens, max_output_tokens)
            SELECT 'bad', 'test', CASE 'input_price' WHEN '{column}' THEN {price} ELSE 1 END,
                CASE 'output_price' WHEN '{column}' THEN {price} ELSE 1 END, CASE 'embedding_price' WHEN '{column}' THEN {price} ELSE 1 END, 1, 1""")
        assert state == "23514"


@pytest.mark.parametrize("column, setting", [("hard", -1), ("warn", -1), ("hard", PRICE_MOST + 1), ("warn", MOST)])
def test_limits_outside_the_domain(server, column, setting):
    state = sqlstate(server.connect(), f"""INSERT INTO relay_guard.budget_policy (name, scope, "window", {column})
        VALUES ('bad', 'user', 'day', {setting})""")
    assert state == "23514"


@pytest.mark.parametrize("literal", ["'NaN'", "'Infinity'", "'1e400'", "'0x'", "''"])
def test_money_that_is_no_number(server, literal):
    statement = f"INSERT INTO relay_guard.budget_policy (name, scope, \"window\", hard) VALUES ('bad', 'user', 'day', {literal})"
    assert sqlstate(server.connect(), statement) == "22P02"


def test_no_column_of_money_is_a_float(server):
    """Nor a numeric, which could be NaN or have a fraction."""
    inexact = server.run("""SELECT attrelid::regclass::text, attname FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
        WHERE c.relnamespace = 'relay_guard'::regnamespace AND c.relkind IN ('r', 'p') AND attnum > 0
          AND (c.relname ~ '^(usage|budget|quota|model|open_res)') AND atttypid IN ('float4'::regtype, 'float8'::regtype, 'numeric'::regtype)""")
    assert inexact == []
    arguments = server.run("""SELECT p.oid::regprocedure::text FROM pg_proc p, unnest(coalesce(proallargtypes, proargtypes)) t
        WHERE pronamespace = 'relay_guard'::regnamespace
          AND proname ~ '^(budget|quota)_(take|require|status|reserve|extend|settle|release|charge|expire)'
          AND t IN ('float4'::regtype, 'float8'::regtype, 'numeric'::regtype)""")
    assert arguments == []


# Leases

@pytest.mark.parametrize("ttl", ["-1 s", "0", "-1 mon", "1000 years", "178000000 years", "-178000000 years", "1 mon -40 days"])
def test_leases_that_are_none(server, ttl):
    with budget(server, 1000) as policy, Client(server) as client:
        held = client.reserve(100).reservation
        with nothing_moves(server, client, policy):
            assert client.fails(RESERVE, 0, 1, ttl) in ("22023", "22008")
            assert client.fails(EXTEND.replace("%s)", "%s, %s)"), held, 1, ttl) in ("22023", "22008")
        client.release(held)


def test_an_infinite_lease(server):
    """PostgreSQL 17 knows infinite intervals; here they are none."""
    with budget(server, 1000), Client(server) as client:
        assert client.fails(RESERVE, 0, 1, "infinity") in ("22007", "22023", "22008")


def test_an_extension_never_shortens_a_lease(server):
    with budget(server, 1000), Client(server) as client:
        reserved = client.reserve(100, "1 h")
        extended = client.call(EXTEND.replace("%s)", "%s, %s)"), reserved.reservation, 1, "1 s")
        assert extended.expires_at >= reserved.expires_at
        client.release(reserved.reservation)


# NULL

@pytest.mark.parametrize("function, at", [(function, at) for function, types in CALLS.items() for at in range(len(types))])
def test_null_is_an_error_and_admits_nothing(server, function, at):
    types = CALLS[function]
    arguments = ", ".join("NULL" if n == at else GIVEN[kind] for n, kind in enumerate(types))
    with budget(server, 1000) as policy, Client(server) as client, nothing_moves(server, client, policy, "m"):
        state = client.fails(f"SELECT * FROM relay_guard.{function}({arguments})")
        if (function, at) in MAY_BE_NULL:
            assert state == "RG404"
        else:
            assert state in ("22004", "22023")


# Names

@pytest.mark.parametrize("name", ["", "no such policy", "M", "m ", "m\u200b", "'; DROP TABLE relay_guard.usage_ledger; --", "long"])
def test_policies_and_models_that_are_not_there(server, name):
    name = "x" * 10 ** 6 if name == "long" else name
    with Client(server) as client, nothing_moves(server, client, "m"):
        for statement in ("SELECT relay_guard.quota_take(%s)", "SELECT relay_guard.quota_require(%s)", "SELECT relay_guard.quota_status(%s)"):
            assert client.fails(statement, name) == "42704"
        for statement in ("SELECT relay_guard.budget_reserve(%s, 1, 1)", "SELECT relay_guard.budget_charge(%s, 1, 1)"):
            assert client.fails(statement, name) == "RG422"


def test_a_model_that_is_disabled_is_none(server):
    name = fresh("model")
    model(server, name)
    reserve = "SELECT * FROM relay_guard.budget_reserve(%s, 0, 1)"
    with Client(server) as client:
        held = client.call(reserve, name)
        server.run("UPDATE relay_guard.model SET enabled = false WHERE name = %s", name)
        client.begin()
        with pytest.raises(psycopg2.Error) as refused:
            client.do(reserve, name)
        client.rollback()
        assert refused.value.pgcode == "RG422"
        assert refused.value.diag.message_detail == "model_not_allowed"
        assert "m" in refused.value.diag.message_hint.replace(",", " ").replace(".", " ").split()
        assert name not in refused.value.diag.message_hint
        assert client.settle(held.reservation, 1).outcome == "settled"


@pytest.mark.parametrize("input_tokens, output_tokens", [(101, 1), (1, 51), (MOST, 1), (1, MOST)])
def test_more_tokens_than_the_model_has(server, input_tokens, output_tokens):
    server.run("""INSERT INTO relay_guard.model (name, provider, input_price, output_price, embedding_price, max_input_tokens, max_output_tokens)
        VALUES ('short', 'test', 0, 0, 0, 100, 50) ON CONFLICT DO NOTHING""")
    with Client(server) as client:
        assert client.call("SELECT * FROM relay_guard.budget_reserve('short', 100, 50)").allowed
        assert client.fails("SELECT relay_guard.budget_reserve('short', %s, %s)", input_tokens, output_tokens) in ("22023", "RG422")


# Reservations that are not the caller's

def forged(kind):
    now = int(time.time() * 1000)

    def v7(ms, version=7, variant=8):
        return str(uuid.UUID(int=(ms << 80) | (version << 76) | (0xabc << 64) | (variant << 60) | 0x123456789abcdef))

    return {"nil": str(uuid.UUID(int=0)), "all ones": str(uuid.UUID(int=2 ** 128 - 1)), "version 4": str(uuid.uuid4()),
            "now": v7(now), "future": v7(now + 10 ** 9), "far future": v7(2 ** 48 - 1), "1970": v7(0), "last month": v7(now - 31 * 86400 * 1000),
            "version 1": str(uuid.uuid1()), "other variant": v7(now, variant=0)}[kind]


@pytest.mark.parametrize("kind", ["nil", "all ones", "version 4", "now", "future", "far future", "1970", "last month", "version 1",
                                  "other variant"])
def test_forged_reservations(server, kind):
    with budget(server, 1000) as policy, Client(server) as client, nothing_moves(server, client, policy):
        for statement, arguments in [(SETTLE, (0, 0)), (RELEASE, ()), (EXTEND, (1,))]:
            client.begin()
            with pytest.raises(psycopg2.Error) as refused:
                client.do(statement, forged(kind), *arguments)
            client.rollback()
            assert (refused.value.pgcode, refused.value.diag.message_detail) == ("RG404", "reservation_not_found")


@pytest.mark.parametrize("text", ["", "x", "018bcfe5-6800-7000-8000-00000000000", "NULL", "018bcfe5-6800-7000-8000-000000000000 OR true"])
def test_reservations_that_are_no_uuid(server, text):
    with Client(server) as client:
        assert client.fails(SETTLE, text, 0, 0) == "22P02"


def test_anothers_reservation_is_none(server):
    """Not a user's of the same workspace, not an anonymous one's, not nobody's; and the answer is that for one that is not there."""
    workspace = fresh("workspace")
    anonymous = "anon:" + fresh()
    with budget(server, 1000) as policy, Client(server, workspace=workspace) as owner:
        held = owner.reserve(100).reservation
        others = [Client(server, workspace=workspace), Client(server, owner.user.upper(), workspace),
                  Client(server, anonymous, role="anonymous")]
        for other in others:
            for statement, arguments in [(SETTLE, (0, 0)), (RELEASE, ()), (EXTEND, (1,))]:
                messages = []
                for reservation in (held, forged("now")):
                    other.begin()
                    with pytest.raises(psycopg2.Error) as refused:
                        other.do(statement, reservation, *arguments)
                    other.rollback()
                    assert refused.value.pgcode == "RG404"
                    messages.append(refused.value.diag.message_primary.replace(reservation, "R"))
                assert messages[0] == messages[1]
            other.close()
        nobody = server.connect()
        for statement, arguments in [(SETTLE, (0, 0)), (RELEASE, ()), (EXTEND, (1,))]:
            assert sqlstate(nobody, statement, held, *arguments) == "RG404"
        assert owner.money(policy) == (0, 100)
        assert owner.settle(held, 1).outcome == "settled"


def test_the_same_user_in_another_workspace_acts_on_the_workspace_that_reserved(server):
    first, second = fresh("workspace"), fresh("workspace")
    with budget(server, 1000, "workspace") as policy, Client(server, workspace=first) as one, Client(server, one.user, second) as other:
        held = one.reserve(100).reservation
        try:
            other.settle(held, 60)
        except psycopg2.Error as error:
            assert error.pgcode == "RG404"
            one.settle(held, 60)
        assert one.money(policy) == (60, 0)
        assert other.money(policy) == (0, 0)


def test_what_is_reserved_without_identity_belongs_to_transactions_without(server):
    with budget(server, None, "global"):
        nobody = server.connect()
        held = run(nobody, RESERVE, 0, 10, "1 min")[0][0]
        with Client(server) as client:
            assert client.fails(SETTLE, held, 0, 1) == "RG404"
        assert run(nobody, SETTLE, held, 0, 1)[0][0] == "settled"
        nobody.close()


def test_without_identity_nothing_of_a_user_is_taken(server):
    nobody = server.connect()
    with nothing_moves(server, Client(server), "m"):
        assert sqlstate(nobody, TAKE, "m", 1) == "RG401"
        assert sqlstate(nobody, "SELECT relay_guard.quota_require('m')") == "RG401"
    nobody.close()


@pytest.mark.parametrize("length", [64, 65, 200, 2000, 3000, 8000])
def test_users_whose_names_begin_alike_are_two(server, length):
    """An account shows 64 bytes of its value, but is found by all of it; a name too long for the ledger's indexes admits nothing."""
    begin = "".join(random.Random(length).choices(string.printable[:94], k=length))
    policy = quota(server, 3)
    with budget(server, 10) as money, Client(server, begin + "1") as one, Client(server, begin + "2") as two:
        try:
            assert [client.take(policy, 3).allowed for client in (one, two, one, two)] == [True, True, False, False]
            assert [client.reserve(10).allowed for client in (one, two, one, two)] == [True, True, False, False]
            server.run("SELECT relay_guard.usage_rebuild()")
            assert [client.money(money) for client in (one, two)] == [(0, 10)] * 2
        except psycopg2.Error as error:
            assert length > 2000 and error.pgcode in ("54000", "22023")
            assert taken_in_ledger(server, policy) == 0


# Calls that come twice

def finals(server, reservation):
    return server.value("""SELECT count(*) FROM relay_guard.usage_ledger
        WHERE reservation = %s AND kind IN ('settle', 'release', 'expire')""", reservation)


def test_what_is_settled_stays_so(server):
    with budget(server, 1000) as policy, Client(server) as client:
        held = client.reserve(100).reservation
        first = client.settle(held, 30)
        assert (first.outcome, first.amount, first.held) == ("settled", 30, 100)
        again = client.settle(held, 99)
        assert (again.outcome, again.amount) == ("already_settled", 30)
        assert client.release(held).outcome == "already_settled"
        late = client.call(EXTEND, held, 10)
        assert (late.outcome, late.allowed) == ("already_settled", False)
        assert client.money(policy) == (30, 0)
        assert finals(server, held) == 1


def test_what_is_released_stays_so(server):
    with budget(server, 1000) as policy, Client(server) as client:
        held = client.reserve(100).reservation
        assert client.release(held).outcome == "released"
        assert client.release(held).outcome == "already_released"
        assert client.settle(held, 50).outcome == "already_released"
        late = client.call(EXTEND, held, 10)
        assert (late.outcome, late.allowed) == ("already_released", False)
        assert client.money(policy) == (0, 0)
        assert finals(server, held) == 1


def test_what_is_expired_stays_so(server):
    """By hand here: no worker runs."""
    with budget(server, 1000) as policy, Client(server) as client:
        held = client.reserve(100, "100 ms").reservation
        time.sleep(0.15)
        assert server.value("SELECT outcome FROM relay_guard.budget_expire(%s)", held) == "expired"
        assert client.money(policy) == (100, 0)
        assert client.settle(held, 1).outcome == "expired"
        assert client.release(held).outcome == "expired"
        assert client.call(EXTEND, held, 10).outcome == "expired"
        server.run("SELECT relay_guard.budget_expire(%s)", held)
        assert client.money(policy) == (100, 0)
        assert finals(server, held) == 1


def test_a_lease_that_runs_is_not_expired(server):
    with budget(server, 1000) as policy, Client(server) as client:
        held = client.reserve(100, "1 h").reservation
        try:
            server.run("SELECT relay_guard.budget_expire(%s)", held)
        except psycopg2.Error:
            pass
        assert client.money(policy) == (0, 100)
        assert finals(server, held) == 0
        client.release(held)


def test_a_lease_that_is_over_is_not_extended(server):
    """Nor settled for less: it counts as used from then on, whether a worker has come by or not."""
    with budget(server, 1000) as policy, Client(server) as client:
        held = client.reserve(100, "50 ms").reservation
        time.sleep(0.1)
        late = client.call(EXTEND, held, 10)
        assert (late.outcome, late.allowed) in (("expired", False), ("extended", True))
        settled = client.settle(held, 20)
        spent, reserved = client.money(policy)
        assert (settled.outcome, spent, reserved) in (("settled", 20, 0), ("expired", 100, 0))
        assert finals(server, held) == 1


def test_one_of_many_settlements_in_parallel_counts(server):
    with budget(server, 10 ** 6) as policy, Client(server) as owner:
        for round in range(15):
            held = owner.reserve(1000).reservation
            with clients(server, 8, owner.user) as many:
                def finish(client):
                    n = many.index(client)
                    return client.release(held) if n % 4 == 3 else client.settle(held, n + 1)
                answers = together(finish, *many)
            winners = [answer for answer in answers if answer.outcome in ("settled", "released")]
            assert len(winners) == 1
            assert {answer.outcome for answer in answers} <= {"settled", "released", "already_settled", "already_released"}
            assert {answer.amount for answer in answers} == {winners[0].amount}
            assert finals(server, held) == 1
        assert owner.money(policy) == spend_in_ledger(server, owner.user)
        assert owner.money(policy)[1] == 0


def is_waiting(server, client):
    return server.value("SELECT count(*) FROM pg_locks WHERE NOT granted AND pid = %s", client.connection.get_backend_pid()) > 0


def test_one_of_two_settlements_waits_for_the_other(server):
    """The second does not say what has become of it before the first has ended."""
    for ends, outcome, spent in [("commit", "already_settled", 10), ("rollback", "settled", 20)]:
        with budget(server, 1000) as policy, Client(server) as first, Client(server, first.user) as second:
            held = first.reserve(100).reservation
            first.begin()
            first.do(SETTLE, held, 0, 10)
            answers = []

            def finish(client):
                if client is first:
                    wait_for(lambda: is_waiting(server, second))
                    getattr(first, ends)()
                else:
                    answers.append(second.settle(held, 20).outcome)

            together(finish, first, second)
            assert answers == [outcome]
            assert first.money(policy) == (spent, 0)


def test_settling_twice_in_one_transaction(server):
    with budget(server, 1000) as policy, Client(server) as client:
        client.begin()
        held = client.do(RESERVE, 0, 100, "1 min").reservation
        assert [client.do(SETTLE, held, 0, n).outcome for n in (10, 20)] == ["settled", "already_settled"]
        assert client.do(RELEASE, held).outcome == "already_settled"
        client.commit()
        assert client.money(policy) == (10, 0)


def test_an_upstream_that_used_more_than_was_reserved_is_charged(server):
    with budget(server, 100) as policy, Client(server) as client:
        held = client.reserve(100).reservation
        assert client.settle(held, 250).amount == 250
        status = client.status(policy)
        assert (status.spent, status.reserved, status.remaining, status.blocked) == (250, 0, 0, True)
        assert not client.reserve(1).allowed


# Room

def test_more_accounts_than_a_transaction_may_hold(server):
    """Policies of the caller's own making are not needed: names of quotas are many enough."""
    server.run("""INSERT INTO relay_guard.quota_policy (name, scope, cap, "window")
        SELECT 'many' || i, 'user', 10, 'lifetime' FROM generate_series(1, 1025) i""")
    with Client(server) as client:
        take = "SELECT count(*) FROM (SELECT relay_guard.quota_take('many' || i) FROM generate_series(1, %s) i OFFSET 0) t"
        assert client.fails(take, 1025) == "54000"
        assert server.value("SELECT count(*) FROM relay_guard.usage_ledger WHERE user_id = %s", client.user) == 0
        assert client.call(take, 1024)
        assert [client.take("many1", 10).allowed, client.take("many1", 9).allowed] == [False, True]
    server.run("DELETE FROM relay_guard.quota_policy WHERE name LIKE 'many%'")


@pytest.fixture(scope="module")
def small(make_server):
    server = make_server({"relay_guard.max_counters": 1024, "max_connections": 40})
    install(server)
    yield server
    assert problems(server) == []
    server.stop("immediate")


def test_a_table_that_is_full_refuses_and_admits_nothing(small):
    """Accounts that open transactions hold cannot give way, and no account is no admission."""
    policy = quota(small, 10)
    with budget(small, 1000), clients(small, 24) as many, Client(small) as late:
        late.take(policy, 4)
        names = [quota(small, 10) for _ in range(60)]
        states = []
        for client in many:
            client.begin()
            for name in names:
                try:
                    assert client.do(TAKE, name, 1).allowed
                except psycopg2.Error as error:
                    states.append(error.pgcode)
                    break
        assert states and set(states) <= {"53200", "54000", "53400", "55000", "RG503", "RG429"}
        full = sum(client.connection.info.transaction_status == psycopg2.extensions.TRANSACTION_STATUS_INTRANS for client in many)
        with Client(small) as unknown:
            answers = []
            for _ in range(20):
                unknown.begin()
                unknown.identity = (fresh(), None, "user")
                try:
                    answers.append(unknown.do(TAKE, policy, 1).allowed)
                except psycopg2.Error as error:
                    answers.append(error.pgcode)
                unknown.rollback()
            assert full > 0 and answers
        for client in many:
            client.rollback()
        assert late.take(policy, 7).allowed is False
        assert late.take(policy, 6).allowed is True


def test_a_thousand_users_pass_through_a_small_table(small):
    """Accounts that nobody holds give way, and come back as they were."""
    policy = quota(small, 3)
    with budget(small, 30), Client(small) as client:
        users = [fresh() for _ in range(1500)]
        for user in users:
            client.identity = (user, None, "user")
            assert client.take(policy, 2).remaining == 1
        for user in users[::10]:
            client.identity = (user, None, "user")
            assert [client.take(policy, 2).allowed, client.take(policy, 1).allowed, client.take(policy, 1).allowed] == [False, True, False]
    assert taken_in_ledger(small, policy) == 1500 * 2 + 150
