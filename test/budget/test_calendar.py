"""Windows tile time in every zone, and begin where Python's own calendar says."""
import datetime as dt
import os
import random
import zoneinfo

import psycopg2
import pytest
from servers import run, sqlstate

UTC = dt.timezone.utc
SECOND = dt.timedelta(seconds=1)
HOUR = dt.timedelta(hours=1)
DAY = dt.timedelta(days=1)
TICK = dt.timedelta(microseconds=1)
FIRST, LAST = dt.datetime(1970, 1, 1, tzinfo=UTC), dt.datetime(2100, 1, 1, tzinfo=UTC)

ODD_ZONES = {
    "UTC": "no odds at all",
    "Europe/Berlin": "days of 23 and 25 hours",
    "Asia/Kathmandu": "a quarter of an hour",
    "Australia/Lord_Howe": "clocks set by half an hour",
    "America/St_Johns": "clocks set a minute after midnight, and a zone of half an hour",
    "Africa/Casablanca": "clocks set four times a year",
    "America/Sao_Paulo": "midnights that do not exist",
    "America/Havana": "midnights that come twice",
    "Pacific/Apia": "a day that does not exist",
    "Africa/Monrovia": "seconds, until 1972",
    "America/Caracas": "clocks set by half an hour, at half past two",
    "Asia/Colombo": "clocks set back by half an hour, from half past midnight",
    "Antarctica/Troll": "clocks set by two hours",
    "America/Scoresbysund": "midnights that do not exist, then another zone",
}
ZONES = sorted(zoneinfo.available_timezones() - {"localtime"}) if os.environ.get("RG_LONG") else list(ODD_ZONES)


def offset(zone, at):
    return at.astimezone(zone).utcoffset()


def last_change(zone, at):
    """When clocks of a zone were set last, at most a day before."""
    low, high = int((at - DAY).timestamp()), int(at.timestamp())
    now = offset(zone, at)
    while high - low > 1:
        middle = (low + high) // 2
        if offset(zone, dt.datetime.fromtimestamp(middle, UTC)) == now:
            high = middle
        else:
            low = middle
    return dt.datetime.fromtimestamp(high, UTC)


def changes(zone):
    """All since 1970, but for such as were undone within half a day."""
    found, at = [], FIRST
    while at < LAST:
        if offset(zone, at) != offset(zone, at + DAY / 2):
            found.append(last_change(zone, at + DAY / 2))
        at += DAY / 2
    return found


def midnight(zone, date):
    """When a date begins: the second time, if its midnight comes twice; when clocks skip it, if it does not come."""
    wall = dt.datetime(date.year, date.month, date.day)
    before, after = ((wall - wall.replace(tzinfo=zone, fold=fold).utcoffset()).replace(tzinfo=UTC) for fold in (0, 1))
    if before.astimezone(zone).replace(tzinfo=None, fold=0) == wall:
        return max(before, after)
    return last_change(zone, before)


def next_date(calendar, date):
    return date + DAY if calendar == "day" else (date.replace(day=1) + 32 * DAY).replace(day=1)


def date_window(zone, calendar, at):
    first = at.astimezone(zone).date() - 2 * DAY
    date = first if calendar == "day" else first.replace(day=1)
    while midnight(zone, next_date(calendar, date)) <= at:
        date = next_date(calendar, date)
    return midnight(zone, date), midnight(zone, next_date(calendar, date))


def instants(zone, zone_changes):
    draw = random.Random(str(zone))
    near = [change + step for change in zone_changes
            for step in (-25 * HOUR, -HOUR, -HOUR / 2, -TICK, 0 * SECOND, TICK, SECOND, HOUR / 2, HOUR, 23 * HOUR + 59 * SECOND)]
    anywhere = [FIRST + TICK * draw.randrange((LAST - FIRST) // TICK) for _ in range(300)]
    return near + anywhere + [FIRST, FIRST + TICK, LAST - TICK, LAST, dt.datetime(2000, 2, 29, 12, tzinfo=UTC)]


WINDOWS = """SELECT at, this.window_start, this.window_end, this = last, this.window_end = next.window_start, this = first
             FROM unnest(%s::timestamptz[]) AS at, relay_guard.usage_window(%s, at) AS this,
                  relay_guard.usage_window(%s, this.window_start) AS first,
                  relay_guard.usage_window(%s, this.window_end - interval '1 us') AS last,
                  relay_guard.usage_window(%s, this.window_end) AS next"""


def windows(connection, calendar, times):
    """All the windows of the times, once it is sure that they tile."""
    rows = run(connection, WINDOWS, times, *[calendar] * 4)
    assert len(rows) == len(times)
    for at, start, end, *tiles in rows:
        assert start <= at < end and all(tiles), (calendar, at, start, end)
    return [(at, start.astimezone(UTC), end.astimezone(UTC)) for at, start, end, *_ in rows]


def check_hour(zone, shifts, start, end):
    """Begins with an hour of the local clock, or where that is shifted by other than hours; no hour begins in it."""
    local = start.astimezone(zone)
    assert (local.minute, local.second) == (0, 0) or start in shifts, start
    assert end - start == HOUR or (end - start < HOUR and {start, end} & shifts), (start, end)


@pytest.fixture(scope="module")
def in_zone(make_server):
    server = make_server()
    server.run("CREATE EXTENSION relay_guard")

    def restarted(name):
        server.options["relay_guard.timezone"] = name
        server.restart("immediate")
        return server.connect()
    yield restarted
    server.stop("immediate")


@pytest.mark.parametrize("name", ZONES)
def test_windows_tile_time(in_zone, name):
    zone = zoneinfo.ZoneInfo(name)
    zone_changes = changes(zone)
    times = instants(zone, zone_changes)
    connection = in_zone(name)
    run(connection, "SET TimeZone = 'UTC'")
    for calendar in "day", "month":
        for at, start, end in windows(connection, calendar, times):
            assert (start, end) == date_window(zone, calendar, at), (calendar, at)
    shifts = {change for change in zone_changes if (offset(zone, change) - offset(zone, change - SECOND)) % HOUR}
    for at, start, end in windows(connection, "hour", times):
        check_hour(zone, shifts, start, end)
    connection.close()


def lengths(connection, calendar, since, until):
    return [row[0] for row in run(connection, """
        SELECT DISTINCT w.window_end - w.window_start
        FROM generate_series(%s::timestamptz, %s::timestamptz, '17 min') AS at, relay_guard.usage_window(%s, at) AS w
        ORDER BY 1""", since, until, calendar)]


def test_days_and_hours_are_of_odd_lengths_where_clocks_are_set(in_zone):
    connection = in_zone("Australia/Lord_Howe")
    assert lengths(connection, "day", "2026-01-01", "2026-12-31") == [HOUR * 23.5, DAY, HOUR * 24.5]
    assert lengths(connection, "hour", "2026-01-01", "2026-12-31") == [HOUR / 2, HOUR]
    connection = in_zone("Europe/Berlin")
    assert lengths(connection, "day", "2026-01-01", "2026-12-31") == [23 * HOUR, DAY, 25 * HOUR]
    assert lengths(connection, "hour", "2026-01-01", "2026-12-31") == [HOUR]
    connection = in_zone("UTC")
    assert lengths(connection, "day", "2026-01-01", "2026-12-31") == [DAY]
    assert lengths(connection, "month", "2024-01-01", "2025-12-31") == [n * DAY for n in (28, 29, 30, 31)]


def test_a_day_that_does_not_exist_has_no_window(in_zone):
    connection = in_zone("Pacific/Apia")
    run(connection, "SET TimeZone = 'Pacific/Apia'")
    days = [row[0] for row in run(connection, """
        SELECT DISTINCT (w.window_start AT TIME ZONE 'Pacific/Apia')::date::text
        FROM generate_series(timestamptz '2011-12-28', '2012-01-02', '1 h') AS at, relay_guard.usage_window('day', at) AS w
        WHERE w.window_start < '2012-01-02' ORDER BY 1""")]
    assert days == ["2011-12-28", "2011-12-29", "2011-12-31", "2012-01-01"]


def test_the_session_has_no_say_in_its_windows(in_zone):
    connection = in_zone("Asia/Kathmandu")
    window = "SELECT relay_guard.usage_window('day', '2026-11-21 20:00+00')::text, extract(epoch FROM (relay_guard.usage_window('day', '2026-11-21 20:00+00')).window_start)"
    expected = run(connection, "SELECT extract(epoch FROM timestamptz '2026-11-21 18:15+00')")[0][0]
    for setting in "TimeZone = 'America/New_York'", "DateStyle = 'SQL, DMY'", "timezone_abbreviations = 'India'":
        run(connection, f"SET {setting}")
        assert run(connection, window)[0][1] == expected
    assert sqlstate(connection, "SET relay_guard.timezone = 'UTC'") == "55P02"
    assert sqlstate(connection, "ALTER ROLE postgres SET relay_guard.timezone = 'UTC'") == "55P02"
    assert sqlstate(connection, "ALTER DATABASE postgres SET relay_guard.timezone = 'UTC'") == "55P02"


@pytest.mark.parametrize("zone", ["Europe/Atlantis", "noon", "", "UTC; DROP TABLE x", "../../etc/passwd", "right/Europe/Berlin"])
def test_a_zone_that_does_not_exist_stops_the_start(make_server, zone):
    server = make_server({"relay_guard.timezone": zone}, started=False)
    with pytest.raises(RuntimeError, match="relay_guard.timezone"):
        server.start()


def test_without_the_preload_windows_are_those_of_utc(make_server):
    server = make_server({"shared_preload_libraries": "", "relay_guard.timezone": "Asia/Kathmandu"})
    server.run("CREATE EXTENSION relay_guard")
    assert server.value("SELECT window_start = '2026-11-21 00:00+00' FROM relay_guard.usage_window('day', '2026-11-21 20:00+00')")
    server.stop("immediate")


def test_times_beyond_the_calendar_are_refused(in_zone):
    connection = in_zone("Pacific/Apia")
    for calendar in "hour", "day", "month", "lifetime":
        for time in "infinity", "-infinity":
            assert sqlstate(connection, "SELECT relay_guard.usage_window(%s, %s)", calendar, time) == "22008"
    for calendar in "hour", "day", "month":
        for time in "294276-12-31 23:59:59.999999+00", "4714-11-24 00:00:00+00 BC":
            assert sqlstate(connection, "SELECT relay_guard.usage_window(%s, %s)", calendar, time) == "22008"
    for word in "week", "", "Day", "day ", "lifetime\n":
        assert sqlstate(connection, "SELECT relay_guard.usage_window(%s, now())", word) == "22023"
    assert run(connection, "SELECT relay_guard.usage_window(NULL, now())") == [(None,)]
    for time in "4000-02-29 23:59:59.999999+00", "1582-10-15 00:00+00", "0001-01-01 00:00+00 BC":
        assert run(connection, "SELECT w.window_start <= %s AND %s < w.window_end FROM relay_guard.usage_window('month', %s) AS w",
                   time, time, time) == [(True,)]
