"""Windows of the calendar end at their hour, midnight and month's end: nothing is carried over, and nothing is lost."""
import datetime
import threading
import zoneinfo

import pytest
from acting import User
from books import Books, check_accounts, check_reservations, ledger, midnight, policies, sums
from clocks import UTC, Clock, needs_faketime
from crashes import heir, kill_server  # noqa: F401
from load import Crowd, Watcher, start_clients, with_limits
from servers import wait_for

pytestmark = [needs_faketime, pytest.mark.usefixtures("heir")]
QUOTAS = {f"per_{window}": ("user", 5, window) for window in ("hour", "day", "month")} | {"ever": ("user", 8, "lifetime")}
BUDGETS = {"user_day": ("user", "day", 1000), "all_month": ("global", "month", 10**12)}
TOKENS = 400  # 1000 micro-USD of input
PARTITIONS = """SELECT tableoid::regclass::text, kind FROM relay_guard.usage_ledger WHERE reservation = %s ORDER BY id"""


def months_end(now):
    """The next but for a day, so that it is never just now."""
    later = now + datetime.timedelta(days=1)
    return (later.replace(day=1) + datetime.timedelta(days=32)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


ENDS = {"hour": lambda end: end - datetime.timedelta(hours=3), "day": lambda end: end - datetime.timedelta(days=1),
        "month": lambda end: end}


@pytest.fixture(scope="module")
def clock(make_server):
    """A server's clock, shortly before the end of a month."""
    server = make_server({"relay_guard.databases": "postgres", "relay_guard.usage_interval": 1, "max_connections": 40}, started=False)
    clock = Clock(server)
    clock.end = months_end(datetime.datetime.now(UTC))
    clock.set(clock.end - datetime.timedelta(days=2))
    clock.start()
    with_limits(server, QUOTAS, BUDGETS)
    yield clock
    assert "PANIC" not in server.log() and "TRAP" not in server.log()
    server.stop("immediate")


def before(clock, window, seconds=30):
    """Sets the clock to shortly before the window's end; when that is."""
    end = ENDS[window](clock.end)
    clock.set(end - datetime.timedelta(seconds=seconds))
    return end


def taken(user, policy, wanted):
    """How many of so many takes are allowed."""
    return sum(user.take(policy)["allowed"] for _ in range(wanted))


def end_leases(server, users):
    """As the worker does, which libfaketime does not deceive: PostgreSQL 15 starts it in a signal handler."""
    return [server.value("SELECT outcome FROM relay_guard.budget_expire(%s)", reservation)
            for reservation in check_reservations([row for row in ledger(server) if row.user_id in users])]


@pytest.mark.parametrize("window", ENDS)
def test_a_quota_begins_anew_and_carries_nothing_over(clock, window):
    user = User(clock.server, f"quota-{window}")
    end = before(clock, window)
    assert user.take(f"per_{window}", 3)["resets_at"] == end
    assert taken(user, f"per_{window}", 4) == 2
    clock.step(60)
    told = user.take(f"per_{window}", 2)
    assert (told["allowed"], told["used"]) == (True, 2) and told["resets_at"] > end
    assert taken(user, f"per_{window}", 6) == 3
    clock.step(-60)  # the clock is set back: the window that ended is as it was
    assert taken(user, f"per_{window}", 1) == 0
    clock.step(60)
    assert taken(user, f"per_{window}", 1) == 0
    check_accounts(clock.server)


def test_a_lifetime_has_no_end(clock):
    user = User(clock.server, "ever")
    before(clock, "month")
    assert taken(user, "ever", 5) == 5
    clock.step(60)
    assert taken(user, "ever", 5) == 3
    assert user.take("ever")["resets_at"] is None


@pytest.mark.parametrize("window", ["day", "month"])
@pytest.mark.parametrize("crash", [False, True])
def test_what_is_under_way_settles_into_the_window_that_took_it(clock, window, crash):
    user = User(clock.server, f"straddles-{window}-{crash}")
    before(clock, window)
    user.charge(100)
    settled, released, extended = (user.reserve(100)["reservation"] for _ in range(3))
    assert not user.reserve(1)["allowed"]
    clock.step(60)
    if crash:
        kill_server(clock.server)
        clock.start()
    assert user.status()["user_day"] == (0, 0)
    assert user.reserve(TOKENS)["allowed"] and not user.reserve(1)["allowed"]
    full = user.status()["user_day"]
    assert full == (0, 1000)
    assert user.settle(settled, 40)["outcome"] == "settled"
    assert user.release(released)["outcome"] == "released"
    assert user.extend(extended, 20)["allowed"]  # there is room where it was taken
    assert user.settle(extended, 50)["amount"] == 125
    assert user.status()["user_day"] == full
    wanted = check_accounts(clock.server)
    assert [account for (policy, value, _), account in sorted(wanted.items(), key=str)
            if (policy, value) == ("user_day", user.identity[0])] == [[250 + 100 + 125, 0], [0, 1000]]


def test_a_lease_that_runs_out_is_charged_where_it_was_taken(clock):
    user = User(clock.server, "leaves")
    before(clock, "month")
    reservation = user.reserve(200, ttl="40 s")["reservation"]
    assert end_leases(clock.server, ["leaves"]) == ["open"]
    clock.step(60)
    assert end_leases(clock.server, ["leaves"]) == ["expired"]
    assert user.status()["user_day"] == (0, 0)
    assert user.settle(reservation, 1)["outcome"] == "expired"
    assert sums([row for row in ledger(clock.server) if row.user_id == "leaves"], policies(clock.server))[
        "user_day", "leaves", clock.end - datetime.timedelta(days=1)] == [500, 0]
    check_accounts(clock.server)


def test_settling_across_a_months_end_is_exactly_once(clock):
    """Eight at a time, and once more when the month is over for long."""
    user = User(clock.server, "once")
    before(clock, "month")
    reservation = user.reserve(TOKENS)["reservation"]
    clock.step(60)
    told = []
    threads = [threading.Thread(target=lambda: told.append(user.settle(reservation, 300)["outcome"])) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(told) == ["already_settled"] * 7 + ["settled"]
    clock.step(20 * 86400)
    assert user.settle(reservation, 300)["outcome"] == user.release(reservation)["outcome"] == "already_settled"
    clock.step(-20 * 86400)
    partitions = clock.server.run(PARTITIONS, reservation)
    assert [kind for _, kind in partitions] == ["reserve", "settle"]
    assert len(set(partition for partition, _ in partitions)) == 1
    check_accounts(clock.server)


def test_a_load_over_midnight_of_a_months_end(clock):
    """Eight clients, and a watcher; transactions under way when the month ends."""
    books, crowd = Books(), Crowd()
    before(clock, "month", 6)
    crowd.start(Watcher(clock.server))
    start_clients(crowd, clock.server, 8, quotas=QUOTAS, budgets=BUDGETS, ahead=clock.ahead, large=(100, 50), lease=3)
    wait_for(lambda: clock.now() > clock.end + datetime.timedelta(seconds=2))
    watcher, *clients = crowd.stop()
    assert watcher.wrong is None and watcher.reads > 20
    books.add(clients)
    mine = {entry.user for entry in books.entries.values()}
    clock.step(10)
    assert set(end_leases(clock.server, mine)) <= {"expired"}
    rows = books.check(clock.server, of=mine)
    assert {row.reserved_at < clock.end for row in rows} == {True, False}
    late = [row for row in rows if row.kind == "settle" and row.reserved_at < clock.end < row.recorded_at]
    print(f"{len(rows)} rows, {len(late)} settled into the month before")
    assert late
    check_accounts(clock.server)


ZONES = {
    "Asia/Beirut": datetime.date(2021, 3, 28),  # there is no midnight: 24:00 is 1:00
    "America/Havana": datetime.date(2021, 11, 7),  # there are two: at 1:00 it is 0:00 again
    "Asia/Kolkata": datetime.date(2021, 6, 1),  # hours begin at half past UTC's
    "America/New_York": datetime.date(2021, 11, 7)}  # has 25 hours


@pytest.mark.parametrize("name", ZONES)
def test_days_of_a_time_zone(make_server, name):
    """They end once, at its midnight, and not an hour before or after."""
    zone = zoneinfo.ZoneInfo(name)
    begin, end = midnight(ZONES[name], zone), midnight(ZONES[name] + datetime.timedelta(days=1), zone)
    server = make_server({"relay_guard.timezone": name}, started=False)
    clock = Clock(server)
    clock.set(begin - datetime.timedelta(hours=1, seconds=30))
    clock.start()
    with_limits(server, QUOTAS, BUDGETS)
    user = User(server)
    assert user.take("per_day", 5)["resets_at"] == begin
    assert user.take("per_hour", 5)["resets_at"] == begin - datetime.timedelta(hours=1)
    reservation = user.reserve(TOKENS)["reservation"]
    clock.step(3600)
    assert not user.take("per_day")["allowed"] and not user.reserve(1)["allowed"]
    assert user.take("per_hour", 5)["resets_at"] == begin and not user.take("per_hour")["allowed"]
    clock.step(60)
    assert user.take("per_day", 5)["resets_at"] == end and user.reserve(TOKENS)["allowed"]
    assert user.reserve(1)["resets_at"] == end
    assert user.take("per_hour", 5)["resets_at"] == begin + datetime.timedelta(hours=1)
    user.settle(reservation, 1)
    clock.set(end - datetime.timedelta(seconds=30))
    assert not user.take("per_day")["allowed"] and not user.reserve(1)["allowed"]
    assert check_accounts(server)["user_day", "alice", begin] == [0, 1000]
    clock.step(60)
    assert user.take("per_day", 5)["allowed"] and user.reserve(TOKENS)["allowed"]
    check_accounts(server)
    server.stop("immediate")
