"""The worker of the ledger: leases that run out, totals, and telling of budgets that reached a limit."""
import json
import signal
import time

import pytest
from accounts import EXTEND, SETTLE, Client, budget, fresh, install, problems, spend_in_ledger
from crashes import heir, kill_one_of, kill_server  # noqa: F401
from servers import run, sqlstate, wait_for

SETTINGS = {"relay_guard.databases": "postgres, second", "relay_guard.usage_interval": 1,
            "max_worker_processes": 20}
WORKER = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'relay_guard ledger'"
BOGUS = "00000000-0000-7000-8000-000000000000"


@pytest.fixture(scope="module")
def server(make_server):
    server = make_server(SETTINGS)
    install(server)
    server.run("SELECT relay_guard.usage_maintain()")
    yield server
    assert problems(server) == []
    server.stop("immediate")


def make(make_server, **settings):
    server = make_server({**SETTINGS, **{name.replace("__", "."): value for name, value in settings.items()}})
    install(server)
    return server


def workers(server):
    return [pid for pid, in server.run(WORKER)]


def ends(server, reservation):
    """How the ledger says it ended: kind, what was charged, and what was no longer held."""
    return server.run("""SELECT kind, spent, reserved FROM relay_guard.usage_ledger
        WHERE reservation = %s AND kind IN ('settle', 'release', 'expire')""", str(reservation))


def is_expired(server, reservation, amount):
    return ends(server, reservation) == [("expire", amount, -amount)]


def holds(client, policy, spent, reserved):
    """Others see a commit a moment before the account lets go of what it freed."""
    wait_for(lambda: client.money(policy) == (spent, reserved))


def let_a_lease_end(server, client):
    """After which the worker has looked at those that were over before."""
    held = client.reserve(1, "300 ms")
    wait_for(lambda: is_expired(server, held.reservation, 1))


def status(server):
    row = server.run("SELECT pending, failures, warnings, hard_alerts, expired FROM relay_guard.usage_status")[0]
    return dict(zip(("pending", "failures", "warnings", "hard_alerts", "expired"), row))


def metric(server, name, **labels):
    rows = server.run("SELECT value FROM relay_guard.metrics() WHERE name = %s AND labels @> %s",
                      name, json.dumps(labels))
    return rows[0][0] if rows else None


# Leases

def test_lease_that_runs_out_is_charged_at_the_reserved_amount(server):
    with budget(server, 1000) as policy, Client(server) as client:
        before = status(server)["expired"]
        held = client.reserve(300, "300 ms")
        wait_for(lambda: is_expired(server, held.reservation, 300))
        holds(client, policy, 300, 0)
        assert spend_in_ledger(server, client.user) == (300, 0)
        wait_for(lambda: status(server)["expired"] == before + 1)
        assert metric(server, "relay_budget_leases_expired_total") == before + 1


def test_worker_goes_and_is_back_when_the_lease_ends(server):
    with budget(server, 1000), Client(server) as client:
        settled_down(server)
        before = metric(server, "relay_budget_open_reservations")
        held = client.reserve(10, "8 s")
        settled_down(server)
        assert ends(server, held.reservation) == []
        assert metric(server, "relay_budget_open_reservations") == before + 1
        wait_for(lambda: is_expired(server, held.reservation, 10))
        wait_for(lambda: metric(server, "relay_budget_open_reservations") == before)


def test_extended_lease_ends_when_it_was_extended_to(server):
    with budget(server, 1000), Client(server) as client:
        held = client.reserve(100, "2 s")
        extended = client.call("SELECT * FROM relay_guard.budget_extend(%s, 50, '6 s')", held.reservation)
        assert extended.outcome == "extended" and extended.amount == 150
        other = client.reserve(1, "300 ms")
        wait_for(lambda: is_expired(server, other.reservation, 1))
        assert ends(server, held.reservation) == []
        wait_for(lambda: is_expired(server, held.reservation, 150))
        ended = server.value("SELECT max(recorded_at) FROM relay_guard.usage_ledger WHERE reservation = %s",
                             str(held.reservation))
        assert ended >= extended.expires_at
        assert client.call(EXTEND, held.reservation, 1).outcome == "expired"


def test_reservation_that_commits_after_its_lease_is_charged_then(server):
    with budget(server, 1000) as policy, Client(server) as slow, Client(server) as other:
        held = slow.begin().do("SELECT * FROM relay_guard.budget_reserve('m', 0, 70, '300 ms')")
        let_a_lease_end(server, other)
        settled_down(server)
        assert ends(server, held.reservation) == []
        slow.commit()
        wait_for(lambda: is_expired(server, held.reservation, 70))
        holds(slow, policy, 70, 0)


def test_reservation_that_is_rolled_back_is_never_charged(server):
    with budget(server, 1000) as policy, Client(server) as slow, Client(server) as other:
        held = slow.begin().do("SELECT * FROM relay_guard.budget_reserve('m', 0, 70, '300 ms')")
        let_a_lease_end(server, other)
        slow.rollback()
        let_a_lease_end(server, other)
        assert ends(server, held.reservation) == [] and slow.money(policy) == (0, 0)


def test_settling_that_began_before_the_lease_ended_counts(server):
    """The worker does not wait for it, and ends the others meanwhile."""
    with budget(server, 1000) as policy, Client(server) as slow, Client(server) as other:
        failures = status(server)["failures"]
        held = slow.reserve(200, "2 s")
        slow.begin().do(SETTLE, held.reservation, 0, 20)
        late = [other.reserve(1, "3 s").reservation for _ in range(3)]
        wait_for(lambda: all(is_expired(server, each, 1) for each in late))
        slow.commit()
        settled_down(server)
        assert ends(server, held.reservation) == [("settle", 20, -200)]
        holds(slow, policy, 20, 0)
        assert status(server)["failures"] == failures


def test_settling_that_is_rolled_back_leaves_it_to_the_worker(server):
    with budget(server, 1000) as policy, Client(server) as slow:
        held = slow.reserve(200, "2 s")
        slow.begin().do(SETTLE, held.reservation, 0, 20)
        time.sleep(2.5)
        slow.rollback()
        wait_for(lambda: is_expired(server, held.reservation, 200))
        holds(slow, policy, 200, 0)


def test_settling_after_the_worker_finds_it_expired(server):
    with budget(server, 1000) as policy, Client(server) as client:
        held = client.reserve(200, "300 ms")
        wait_for(lambda: is_expired(server, held.reservation, 200))
        for end in (client.settle(held.reservation, 20), client.release(held.reservation)):
            assert (end.outcome, end.amount) == ("expired", 200)
        assert ends(server, held.reservation) == [("expire", 200, -200)]
        holds(client, policy, 200, 0)


def test_clients_race_the_worker_for_the_end(server):
    """Whoever comes first; never both, and the account says what the ledger says."""
    with budget(server, 10**6) as policy, Client(server) as client:
        held = [client.reserve(10, "1 s").reservation for _ in range(40)]
        time.sleep(0.9)
        outcomes = [client.settle(each, 3).outcome for each in held for _ in range(2)]
        wait_for(lambda: all(ends(server, each) for each in held))
        kinds = [ends(server, each) for each in held]
        assert all(kind in ([("expire", 10, -10)], [("settle", 3, -10)]) for kind in kinds)
        assert set(outcomes) <= {"settled", "already_settled", "expired"}
        spent = sum(kind[0][1] for kind in kinds)
        holds(client, policy, spent, 0)
        assert spend_in_ledger(server, client.user) == (spent, 0)


def test_hundreds_of_leases_end_once_each(server):
    with budget(server, 10**6) as policy, Client(server) as client:
        settled_down(server)
        before = status(server)["expired"]
        client.begin()
        for _ in range(600):
            client.do("SELECT FROM relay_guard.budget_reserve('m', 0, 2, '300 ms')")
        client.commit()
        wait_for(lambda: spend_in_ledger(server, client.user) == (1200, 0))
        holds(client, policy, 1200, 0)
        settled_down(server)
        assert status(server)["expired"] == before + 600


def test_one_that_fails_keeps_none_of_the_others(server):
    """As after somebody detached the month of a reservation that is still open."""
    server.run("INSERT INTO relay_guard.open_reservation VALUES (%s, now() - interval '1 day', now() - interval '1 day')", BOGUS)
    try:
        with budget(server, 1000), Client(server) as client:
            failures = status(server)["failures"]
            held = client.reserve(5, "300 ms")
            wait_for(lambda: is_expired(server, held.reservation, 5))
            wait_for(lambda: status(server)["failures"] > failures)
            assert "there is no such reservation" in server.log()
    finally:
        server.run("DELETE FROM relay_guard.open_reservation WHERE reservation = %s", BOGUS)
    wait_for(lambda: not status(server)["pending"])


# The worker's life

def test_worker_that_is_ended_or_killed_is_replaced(make_server, heir):
    server = make(make_server)
    server.run("INSERT INTO relay_guard.budget_policy (name, scope, \"window\", hard) VALUES ('mine', 'user', 'month', 1000)")
    for how in (signal.SIGTERM, signal.SIGKILL):
        with Client(server) as client:
            held = client.reserve(50, "3 s")
            if how == signal.SIGKILL:
                kill_one_of(server, WORKER)
            else:
                wait_for(lambda: server.run(f"SELECT pg_terminate_backend(pid) FROM ({WORKER}) AS worker"))
        wait_for(lambda: is_expired(server, held.reservation, 50))
    assert problems(server) == []
    server.stop("immediate")


def test_leases_that_ended_while_the_server_was_down(make_server):
    server = make(make_server)
    with budget(server, 1000), Client(server) as client:
        held = client.reserve(50, "2 s")
        server.stop()
        time.sleep(1.5)
        server.start()
        wait_for(lambda: is_expired(server, held.reservation, 50))
        wait_for(lambda: not workers(server))
    server.stop("immediate")


def test_database_that_is_not_named_keeps_what_is_reserved(make_server):
    """Nothing is free that was not paid; an administrator can end it by hand."""
    server = make(make_server, relay_guard__databases="")
    server.run("CREATE ROLE boss LOGIN; SELECT relay_guard.grant_role('admin', 'boss')")
    with budget(server, 100) as policy, Client(server) as client:
        held = client.reserve(80, "300 ms")
        time.sleep(1.5)
        assert workers(server) == [] and ends(server, held.reservation) == []
        assert not client.reserve(30).allowed and client.money(policy) == (0, 80)
        assert server.run("SELECT * FROM relay_guard.usage_status") == [(None,) * 6]
        assert metric(server, "relay_budget_alerts_total") is None
        server.run("SELECT relay_guard.usage_roll()")
        ended = server.run("""SELECT e.outcome, e.amount FROM relay_guard.open_reservation o,
            LATERAL relay_guard.budget_expire(o.reservation) e WHERE o.lease_until <= now()""")
        assert ended == [("expired", 80)]
        assert client.money(policy) == (80, 0) and client.settle(held.reservation, 1).outcome == "expired"
    assert problems(server) == []
    server.stop("immediate")


def test_promotion_that_nobody_confirmed_leaves_leases_open(make_server):
    """The former primary may have settled them last."""
    server = make(make_server, relay_guard__after_promotion="deny")
    with budget(server, 100), Client(server) as client:
        held = client.reserve(80, "2 s")
        server.run("TRUNCATE relay_guard.usage_timeline")
        time.sleep(4.5)
        assert ends(server, held.reservation) == [] and status(server)["failures"] == 0
        server.run("SELECT relay_guard.usage_confirm_promotion()")
        wait_for(lambda: is_expired(server, held.reservation, 80))
    server.stop("immediate")


def test_open_reservations_keep_nobody_from_dropping_the_database(server):
    server.run("CREATE DATABASE second")
    install(server, "second")
    with Client(server, database="second") as client:
        client.reserve(10, "1 h")
    wait_for(lambda: server.value("SELECT count(*) FROM relay_guard.open_reservation", database="second") == 1)
    wait_for(lambda: not server.run("SELECT 1 FROM pg_stat_activity WHERE datname = 'second' AND backend_type = 'relay_guard ledger'"))
    server.run("DROP EXTENSION relay_guard CASCADE", database="second")
    install(server, "second")
    with Client(server, database="second") as client:
        held = client.reserve(10, "300 ms")
    wait_for(lambda: server.run("SELECT 1 FROM relay_guard.usage_ledger WHERE reservation = %s AND kind = 'expire'",
                                str(held.reservation), database="second"))
    server.run("DROP DATABASE second WITH (FORCE)")
    assert "was terminated by" not in server.log()


def test_interval_is_changed_by_a_reload(make_server):
    server = make(make_server, relay_guard__usage_interval=3600)
    with budget(server, 1000), Client(server) as client:
        wait_for(lambda: not status(server)["pending"])
        client.reserve(10, "1 h")
        time.sleep(2)
        assert server.value("SELECT count(*) FROM relay_guard.open_reservation") == 0
        server.run("ALTER SYSTEM SET relay_guard.usage_interval = 1")
        server.pg_ctl("reload")
        client.reserve(10, "1 h")
        wait_for(lambda: server.value("SELECT count(*) FROM relay_guard.open_reservation") == 2)
    assert sqlstate(server.connect(), "SET relay_guard.usage_interval = 2") == "55P02"
    server.stop("immediate")


# Alerts

class Listener:
    def __init__(self, server):
        self.connection = server.connect()
        run(self.connection, "LISTEN relay_guard_budget")

    def heard(self, policy):
        self.connection.poll()
        return [told for told in (json.loads(notice.payload) for notice in self.connection.notifies)
                if told["policy"] == policy]

    def kinds(self, policy):
        return [told["kind"] for told in self.heard(policy)]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()


def alerts(server, policy):
    return server.run("""SELECT kind, value, spent, reserved, "limit" FROM relay_guard.budget_alert
        WHERE policy = %s ORDER BY at, kind DESC, value""", policy)


def settled_down(server):
    """After which the worker has told what there was to tell, and gone."""
    wait_for(lambda: not status(server)["pending"] and not workers(server))


def test_warning_and_hard_limit_are_told_once_each(server):
    before = status(server)
    with budget(server, 100, warn=50) as policy, Client(server) as client, Listener(server) as listener:
        client.call("SELECT * FROM relay_guard.budget_charge('m', 0, 49)")
        settled_down(server)
        assert listener.kinds(policy) == []
        client.reserve(10)
        wait_for(lambda: listener.kinds(policy) == ["warning"])
        client.reserve(41)
        assert not client.reserve(1).allowed
        wait_for(lambda: listener.kinds(policy) == ["warning", "hard"])
        client.call("SELECT * FROM relay_guard.budget_charge('m', 0, 500)")
        assert not client.reserve(1).allowed
        settled_down(server)
        assert alerts(server, policy) == [("warning", client.user, 49, 10, 50), ("hard", client.user, 49, 51, 100)]
        warning, hard = listener.heard(policy)
        assert warning["value"] == client.user and warning["scope"] == "user"
        assert (warning["spent_usd"], warning["reserved_usd"], warning["limit_usd"]) == (0.000049, 0.00001, 0.00005)
        assert (hard["kind"], hard["limit_usd"]) == ("hard", 0.0001)
        assert hard["window_start"] < hard["at"] < hard["window_end"]
    after = status(server)
    assert (after["warnings"], after["hard_alerts"]) == (before["warnings"] + 1, before["hard_alerts"] + 1)
    assert metric(server, "relay_budget_alerts_total", kind="warning") == after["warnings"]
    assert metric(server, "relay_budget_alerts_total", kind="hard") == after["hard_alerts"]


def test_each_account_is_told_of_apart(server):
    """Also where two values differ only in what is cut off of them."""
    long = "https://accounts.example.com/realms/customers/of/the/north:" + "x" * 20
    with budget(server, 100, warn=50) as policy, Listener(server) as listener, \
            Client(server, long + "1") as one, Client(server, long + "2") as two, Client(server) as three:
        for client in (one, two, three):
            client.reserve(60)
            client.release(client.reserve(1).reservation)
        wait_for(lambda: len(listener.kinds(policy)) == 3)
        settled_down(server)
        assert listener.kinds(policy) == ["warning"] * 3
        assert len({told["account"] for told in listener.heard(policy)}) == 3
        assert [row[1] for row in alerts(server, policy)].count(long[:64]) == 2


def test_what_is_rolled_back_alerts_nobody_and_hides_nothing(server):
    with budget(server, 100, warn=50) as policy, Client(server) as client, Listener(server) as listener:
        client.begin().do("SELECT FROM relay_guard.budget_reserve('m', 0, 100, '1 h')")
        client.do("SELECT FROM relay_guard.budget_charge('m', 0, 10)")
        time.sleep(1.5)
        assert listener.kinds(policy) == []
        client.rollback()
        settled_down(server)
        assert listener.kinds(policy) == [] == alerts(server, policy)
        client.reserve(60)
        wait_for(lambda: listener.kinds(policy) == ["warning"])
        client.reserve(40)
        wait_for(lambda: listener.kinds(policy) == ["warning", "hard"])


def test_transaction_under_way_is_told_of_when_it_commits(server):
    with budget(server, 100, warn=50) as policy, Client(server) as client, Listener(server) as listener:
        client.begin().do("SELECT FROM relay_guard.budget_reserve('m', 0, 60, '1 h')")
        time.sleep(1.5)
        assert listener.kinds(policy) == []
        client.commit()
        wait_for(lambda: listener.kinds(policy) == ["warning"])


def test_request_that_no_budget_could_hold_is_not_its_exhaustion(server):
    """It would use up the alert that is told once."""
    with budget(server, 100, warn=50) as policy, Client(server) as client, Listener(server) as listener:
        assert not client.reserve(10**6).allowed
        settled_down(server)
        assert listener.kinds(policy) == []
        client.reserve(99)
        assert not client.reserve(2).allowed
        wait_for(lambda: listener.kinds(policy) == ["warning", "hard"])
        assert metric(server, "relay_budget_refusals_total", policy=policy) == 2


def test_limit_that_was_raised_is_told_of_again(server):
    with budget(server, 100) as policy, Client(server) as client, Listener(server) as listener:
        client.call("SELECT * FROM relay_guard.budget_charge('m', 0, 100)")
        wait_for(lambda: listener.kinds(policy) == ["hard"])
        server.run("UPDATE relay_guard.budget_policy SET hard = 200 WHERE name = %s", policy)
        client.call("SELECT * FROM relay_guard.budget_charge('m', 0, 99)")
        settled_down(server)
        assert listener.kinds(policy) == ["hard"]
        client.call("SELECT * FROM relay_guard.budget_charge('m', 0, 1)")
        wait_for(lambda: listener.kinds(policy) == ["hard", "hard"])
        assert [row[4] for row in alerts(server, policy)] == [100, 200]


def test_refused_reservations_are_alerted_though_the_client_rolls_back(server):
    """A route answers 429 by an error."""
    with budget(server, 100, warn=50) as policy, Client(server) as client, Listener(server) as listener:
        client.reserve(90)
        wait_for(lambda: listener.kinds(policy) == ["warning"])
        client.begin().do("SELECT FROM relay_guard.budget_reserve('m', 0, 20, '1 h')")
        client.rollback()
        wait_for(lambda: listener.kinds(policy) == ["warning", "hard"])


def test_nobody_is_told_twice_by_a_crash_or_a_restart(make_server, heir):
    server = make(make_server)
    server.run("""INSERT INTO relay_guard.budget_policy (name, scope, "window", warn, hard)
        VALUES ('mine', 'user', 'month', 50, 100), ('everybody', 'global', 'month', 50, 1000)""")
    user = fresh()
    with Client(server, user) as client:
        client.reserve(60, "1 h")
        wait_for(lambda: len(alerts(server, "mine") + alerts(server, "everybody")) == 2)
    told = alerts(server, "mine"), alerts(server, "everybody")
    for end in (kill_server, lambda s: s.stop()):
        end(server)
        server.start()
        with Client(server, user) as client, Listener(server) as listener:
            client.release(client.reserve(1).reservation)
            settled_down(server)
            assert listener.kinds("mine") == listener.kinds("everybody") == []
        assert (alerts(server, "mine"), alerts(server, "everybody")) == told
    server.stop("immediate")


def test_what_a_crash_kept_from_being_told_is_told_by_the_totals(make_server, heir):
    """While no worker ran, budgets reached their limits; then the server was killed."""
    server = make(make_server, relay_guard__databases="")
    server.run("""INSERT INTO relay_guard.budget_policy (name, scope, "window", warn, hard)
        VALUES ('mine', 'user', 'month', 50, 100), ('everybody', 'global', 'day', NULL, 100), ('room', 'workspace', 'day', 900, 1000)""")
    long = "u" * 80
    with Client(server, long, workspace="w") as client:
        client.reserve(70, "1 h")
        client.call("SELECT * FROM relay_guard.budget_charge('m', 0, 40)")
    kill_server(server)
    server.options["relay_guard.databases"] = "postgres"
    server.start()
    wait_for(lambda: alerts(server, "mine") == [("warning", long[:64], 40, 70, 50), ("hard", long[:64], 40, 70, 100)])
    wait_for(lambda: alerts(server, "everybody") == [("hard", "*", 40, 70, 100)])
    with Client(server, long, workspace="w") as client:
        client.release(client.reserve(1).reservation) if client.reserve(1).allowed else None
    settled_down(server)
    assert len(alerts(server, "mine")) == 2 and len(alerts(server, "everybody")) == 1 and alerts(server, "room") == []
    server.stop("immediate")


# Metrics

def test_a_round_under_way_is_not_done(server):
    """Who waits for it, and who watches its age, would think that all is summed up."""
    with budget(server, 1000), Client(server) as client:
        wait_for(lambda: not status(server)["pending"])
        blocker = server.connect()
        try:
            run(blocker, "BEGIN; LOCK TABLE relay_guard.usage_total IN EXCLUSIVE MODE")
            client.reserve(1)
            wait_for(lambda: server.value("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'relay_guard.usage_total'::regclass") == 1)
            assert status(server)["pending"]
            assert metric(server, "relay_usage_ledger_round_age_seconds") > 0
        finally:
            blocker.close()
        wait_for(lambda: not status(server)["pending"])


def test_global_budgets_are_shown_to_monitoring_whether_or_not_they_are_in_memory(make_server):
    server = make(make_server)
    server.run("""INSERT INTO relay_guard.budget_policy (name, scope, "window", warn, hard)
        VALUES ('everybody', 'global', 'day', 20000000, 50000000), ('secret', 'user', 'day', 1, 2)""")

    def shown():
        return server.run("""SELECT labels ->> 'kind', value::text FROM relay_guard.metrics()
            WHERE name = 'relay_budget_usd' AND labels ->> 'policy' = 'everybody' ORDER BY 1""")

    assert shown() == [("hard", "50"), ("reserved", "0"), ("spent", "0"), ("warn", "20")]
    with Client(server, "x") as client:
        assert not client.reserve(100).allowed
        server.run("DELETE FROM relay_guard.budget_policy WHERE name = 'secret'")
        client.reserve(1_000_001, "1 h")
        client.call("SELECT * FROM relay_guard.budget_charge('m', 0, 12345678)")
    expected = [("hard", "50"), ("reserved", "1.000001"), ("spent", "12.345678"), ("warn", "20")]
    assert shown() == expected
    wait_for(lambda: not status(server)["pending"])
    server.run("SELECT relay_guard.usage_rebuild()")
    assert server.run("SELECT 1 FROM relay_guard.account") == [] and shown() == expected
    assert not server.run("SELECT 1 FROM relay_guard.metrics() WHERE labels::text ~ '\"x\"'")
    assert metric(server, "relay_usage_ledger_round_age_seconds") == 0
    server.stop("immediate")
