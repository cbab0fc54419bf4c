"""quota_replay() and budget_replay(): what they say is what a plain simulation says, and what
live limits do."""
import collections
import concurrent.futures
import datetime
import random
import threading
import uuid

import psycopg2.extras
import pytest

from servers import run

UTC = datetime.timezone.utc
SECOND = datetime.timedelta(seconds=1)
ALWAYS = "-infinity"
REPLAYED = 7  # the id of a policy of users

Take = collections.namedtuple("Take", "at policy value units user workspace")
Entry = collections.namedtuple("Entry", "recorded at kind reservation reserved spent user workspace")


#
# The plain simulation: dictionaries, one event after the other
#

def window_start(window, at):
    if window == "lifetime":
        return None
    start = at.replace(minute=0, second=0, microsecond=0)
    if window != "hour":
        start = start.replace(hour=0)
    return start.replace(day=1) if window == "month" else start


def key_of(scope, row):
    return {"global": "*", "user": row.user, "workspace": row.workspace, "anonymous":
            row.user if (row.user or "").startswith("anon:") else None}[scope]


class Tally:
    """Of one key and window."""

    def __init__(self):
        self.taken = 0
        self.numbers = dict.fromkeys(["asked", "admitted", "denied", "amount", "amount_admitted", "amount_denied",
                                      "spent", "would_spend"], 0)
        self.first_denied = self.first_warned = None
        self.is_judged = False

    def ask(self, at, amount, allowed):
        how = "admitted" if allowed else "denied"
        self.numbers["asked"] += 1
        self.numbers[how] += 1
        self.numbers["amount"] += amount
        self.numbers["amount_" + how] += amount
        if not allowed:
            self.first_denied = min(self.first_denied or at, at)


def simulate_quota(rows, policy, scope, window, cap, since):
    tallies = collections.defaultdict(Tally)
    for row in sorted(rows, key=lambda row: row.at):    # stable: as they were written
        key = row.value if scope is None else key_of(scope, row)
        if row.policy != policy or key is None:
            continue
        tally = tallies[key, window_start(window, row.at)]
        judged = since is None or row.at >= since
        allowed = not judged or tally.taken + row.units <= cap
        if allowed:
            tally.taken += row.units
        if judged:
            tally.is_judged = True
            tally.ask(row.at, row.units, allowed)
    return {key: tally for key, tally in tallies.items() if tally.is_judged}


def simulate_budget(rows, scope, window, warn, hard, since):
    tallies, held, ended = collections.defaultdict(Tally), collections.Counter(), set()
    for row in rows:
        key = key_of(scope, row)
        first = window_start(window, since) if since else None
        if key is None or (first and row.at < first):
            continue
        tally = tallies[key, window_start(window, row.at)]
        at = row.at if row.kind == "reserve" else row.recorded
        judged = since is None or at >= since
        tally.is_judged |= judged
        if row.kind in ("reserve", "extend"):
            if row.reservation not in ended:
                allowed = not judged or hard is None or tally.taken + row.reserved <= hard
                if allowed:
                    tally.taken += row.reserved
                    held[row.reservation] += row.reserved
                else:
                    ended.add(row.reservation)
                if judged:
                    tally.ask(at, row.reserved, allowed)
        else:
            charged = min(row.spent, held[row.reservation]) if row.reservation in ended else row.spent
            tally.taken += charged - held.pop(row.reservation, 0)
            if judged:
                tally.numbers["spent"] += row.spent
                tally.numbers["would_spend"] += charged
        if judged and warn is not None and tally.taken >= warn:
            tally.first_warned = min(tally.first_warned or at, at)
    return {key: tally for key, tally in tallies.items() if tally.is_judged}


def expected(tallies, columns):
    """Its rows, and their total."""
    def least(times):
        return min(filter(None, times), default=None)

    rows = [(key, start, *(tally.numbers[column] for column in columns), tally.first_denied, tally.first_warned)
            for (key, start), tally in tallies.items()]
    total = (None, None, *(sum(tally.numbers[column] for tally in tallies.values()) for column in columns),
             least(tally.first_denied for tally in tallies.values()), least(tally.first_warned for tally in tallies.values()))
    return sorted(rows, key=lambda row: (row[0], row[1] or datetime.datetime.min.replace(tzinfo=UTC))) + [total]


#
# Generated ledgers
#

QUOTA_COLUMNS = ["asked", "admitted", "denied", "amount", "amount_admitted", "amount_denied"]
BUDGET_COLUMNS = [*QUOTA_COLUMNS, "spent", "would_spend"]


def users(chance, count):
    name = f"{chance.choice(['anon:', 'u'])}{chance.randrange(count)}"
    return name, chance.choice([None, "w1", "w2"])


def random_takes(chance, start, count):
    at = start
    for _ in range(count):
        at += chance.random() ** 8 * datetime.timedelta(hours=20)
        at = at.replace(microsecond=at.microsecond // 1000 * 1000)
        user, workspace = users(chance, 5)
        yield Take(at, chance.choice([REPLAYED, REPLAYED, 2]), user, chance.choice([1, 1, 1, 2, 9]), user, workspace)


def random_entries(chance, start, count):
    """Reservations that overlap, many of them over midnight; in the order of the ledger."""
    at, open_ones = start, {}
    for _ in range(count):
        at += chance.random() ** 6 * datetime.timedelta(hours=12)
        at = at.replace(microsecond=at.microsecond // 1000 * 1000)
        what = chance.choice(["reserve", "reserve", "extend", "settle", "settle", "settle", "release", "expire", "charge"])
        if what == "reserve":
            one = Entry(at, at, what, uuid.UUID(int=chance.getrandbits(128)), chance.randrange(100), 0, *users(chance, 3))
            open_ones[one] = one.reserved
            yield one
        elif what == "charge":
            yield Entry(at, at, what, None, 0, chance.randrange(60), *users(chance, 3))
        elif open_ones:
            first = chance.choice(list(open_ones))
            if what == "extend":
                more = chance.choice([0, 1, 20, 80])
                open_ones[first] += more
                yield first._replace(recorded=at, kind=what, reserved=more)
            else:
                held = open_ones.pop(first)
                spent = {"settle": chance.choice([0, held // 2, held, held * 2]), "release": 0, "expire": held}[what]
                yield first._replace(recorded=at, kind=what, reserved=-held, spent=spent)


def in_next_month():
    """Some time in it, of which the ledger has a partition."""
    today = datetime.datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return (today.replace(day=1) + datetime.timedelta(days=32)).replace(day=1)


@pytest.fixture
def ledger(server):
    """What puts rows in it behind its triggers, in place of those that are there."""
    connection = server.connect()
    psycopg2.extras.register_uuid(conn_or_curs=connection)
    run(connection, "SET session_replication_role = replica; SET timezone = 'UTC'; SELECT relay_guard.usage_maintain()")
    run(connection, """INSERT INTO relay_guard.quota_policy (id, name, scope, cap, "window")
        OVERRIDING SYSTEM VALUE VALUES (%s, 'replayed', 'user', 1, 'hour') ON CONFLICT DO NOTHING""", REPLAYED)

    def put(rows):
        run(connection, "DELETE FROM relay_guard.usage_ledger")
        with connection.cursor() as cursor:
            psycopg2.extras.execute_values(cursor, """
                INSERT INTO relay_guard.usage_ledger (id, xid, epoch, recorded_at, reserved_at, kind, reservation, policy, value,
                    units, user_id, workspace_id, usage, model, reserved, spent, lease_until)
                SELECT nextval('relay_guard.usage_ledger_id_seq'), pg_current_xact_id(), 0, v.recorded::timestamptz, v.at::timestamptz,
                    v.kind, v.reservation::uuid, v.policy::int, v.value, v.units, v.who, v.workspace,
                    CASE WHEN v.kind <> 'take' THEN 'llm' END, CASE WHEN v.kind <> 'take' THEN 'm' END, v.reserved, v.spent,
                    CASE WHEN v.kind IN ('reserve', 'extend') THEN v.recorded::timestamptz END
                FROM (VALUES %s) AS v (n, recorded, at, kind, reservation, policy, value, units, who, workspace, reserved, spent)
                ORDER BY v.n""", [(n, *as_row(row)) for n, row in enumerate(rows)], page_size=1_000_000)
        return connection

    yield put
    connection.close()


def as_row(row):
    if isinstance(row, Take):
        return (row.at, row.at, "take", None, row.policy, row.value, row.units, row.user, row.workspace, 0, 0)
    return (row.recorded, row.at, row.kind, row.reservation, None, None, 0, row.user, row.workspace, row.reserved, row.spent)


def replayed(connection, function, proposal, since, columns):
    return run(connection, f"SELECT value, nullif(window_start, '-infinity'), {columns} FROM relay_guard.{function}(%s, %s)",
               psycopg2.extras.Json(proposal), since or ALWAYS)


@pytest.mark.parametrize("seed", range(6))
def test_quotas_deny_what_a_plain_simulation_denies(ledger, seed):
    chance = random.Random(seed)
    rows = list(random_takes(chance, in_next_month() + chance.random() * datetime.timedelta(days=2), 600))
    connection = ledger(rows)
    for _ in range(12):
        scope = chance.choice([None, "user", "workspace", "global", "anonymous"])
        window = chance.choice(["hour", "day", "month", "lifetime"])
        cap = chance.choice([0, 1, 3, 7, 20, 10**15])
        since = chance.choice([None, chance.choice(rows).at, chance.choice(rows).at + SECOND])
        proposal = {"policy": "replayed", "cap": cap, "window": window, **({"scope": scope} if scope else {})}
        assert replayed(connection, "quota_replay", proposal, since, """asked, admitted, denied,
            units_asked, units_admitted, units_denied, first_denied_at, NULL""") == \
            expected(simulate_quota(rows, REPLAYED, scope, window, cap, since), QUOTA_COLUMNS), (proposal, since)


@pytest.mark.parametrize("seed", range(8))
def test_budgets_deny_what_a_plain_simulation_denies(ledger, seed):
    chance = random.Random(seed)
    rows = list(random_entries(chance, in_next_month() + chance.random() * datetime.timedelta(days=2), 800))
    connection = ledger(rows)
    for _ in range(12):
        scope, window = chance.choice(["user", "workspace", "global"]), chance.choice(["day", "month"])
        hard = chance.choice([None, 0, 50, 120, 400, 2000, 10**15])
        warn = chance.choice([None, 0 if hard == 0 else 40] if hard is not None else [0, 300])
        since = chance.choice([None, chance.choice(rows).recorded, chance.choice(rows).recorded + SECOND])
        proposal = {key: value for key, value in
                    {"scope": scope, "window": window, "hard": hard, "warn": warn}.items() if value is not None}
        assert replayed(connection, "budget_replay", proposal, since, """asked, admitted, denied, amount_asked,
            amount_admitted, amount_denied, spent, would_spend, first_denied_at, first_warned_at""") == \
            expected(simulate_budget(rows, scope, window, warn, hard, since), BUDGET_COLUMNS), (proposal, since)


#
# Live limits
#

@pytest.fixture(scope="module")
def live(server):
    """A model of which a token costs a millionth of a dollar, and nothing that limits."""
    server.run("""UPDATE relay_guard.budget_policy SET enabled = false;
        INSERT INTO relay_guard.model (name, provider, input_price, output_price, embedding_price, max_input_tokens, max_output_tokens)
            VALUES ('m', 'test', 1000000, 1000000, 1000000, 1000000, 1000000)""")
    return server


def forget(server, *policies):
    """An empty ledger, and these policies only."""
    server.run("SET session_replication_role = replica; DELETE FROM relay_guard.usage_ledger")
    server.run("""DELETE FROM relay_guard.quota_policy WHERE NOT shipped;
        DELETE FROM relay_guard.budget_policy WHERE NOT shipped;""" + ";".join(policies))
    server.run("SELECT relay_guard.usage_rebuild()")
    wait_for_quiet_midnight()


def wait_for_quiet_midnight():
    """Tests that want one day and hour begin in one."""
    now = datetime.datetime.now(UTC)
    if now.minute == 59 and now.second > 30:
        threading.Event().wait(61 - now.second)


def transaction(connection, user, statement, *arguments):
    """What it answers, as that user."""
    run(connection, "BEGIN")
    run(connection, "SELECT relay_guard.assume(%s, %s)", user, "w" + user[-1])
    row = run(connection, statement, *arguments)[0]
    run(connection, "COMMIT")
    return row


RESERVE = "SELECT reservation, allowed FROM relay_guard.budget_reserve('m', %s, 0)"
EXTEND = "SELECT allowed FROM relay_guard.budget_extend(%s, %s)"
SETTLE = "SELECT amount FROM relay_guard.budget_settle(%s, %s, 0)"
RELEASE = "SELECT outcome FROM relay_guard.budget_release(%s)"
CHARGE = "SELECT amount FROM relay_guard.budget_charge('m', %s)"
TAKE = "SELECT allowed FROM relay_guard.quota_take('q', %s)"


def random_calls(chance, count):
    """A script of calls: (user, what, which reservation, tokens)."""
    opened = []
    for n in range(count):
        user, what = f"u{chance.randrange(3)}", chance.choice(["reserve", "reserve", "extend", "settle", "settle", "release", "charge"])
        if what == "reserve":
            opened.append((user, n))
            yield user, what, n, chance.randrange(60)
        elif what == "charge":
            yield user, what, None, chance.randrange(12)
        elif opened:
            user, one = opened[chance.randrange(len(opened))]
            if what != "extend":
                opened.remove((user, one))
            yield user, what, one, chance.choice([0, 5, 30, 90])


class Client:
    """Makes the calls of a script; where it is denied an extension it stops, and pays for what it holds at most."""

    def __init__(self, server):
        self.connection = server.connect()
        psycopg2.extras.register_uuid(conn_or_curs=self.connection)
        self.denied = 0
        self.reservations, self.held, self.stopped = {}, {}, set()

    def call(self, user, what, one, tokens):
        if what == "charge":
            transaction(self.connection, user, CHARGE, tokens)
        elif what == "reserve":
            self.reserve(user, one, tokens)
        elif one in self.reservations:
            getattr(self, what)(user, one, tokens)

    def reserve(self, user, one, tokens):
        reservation, allowed = transaction(self.connection, user, RESERVE, tokens)
        if allowed:
            self.reservations[one], self.held[one] = reservation, tokens
        else:
            self.denied += 1

    def extend(self, user, one, tokens):
        if one in self.stopped:
            return
        if transaction(self.connection, user, EXTEND, self.reservations[one], tokens)[0]:
            self.held[one] += tokens
        else:
            self.denied += 1
            self.stopped.add(one)

    def settle(self, user, one, tokens):
        used = min(tokens, self.held[one]) if one in self.stopped else tokens
        transaction(self.connection, user, SETTLE, self.reservations[one], used)

    def release(self, user, one, tokens):
        transaction(self.connection, user, RELEASE, self.reservations[one])


def budget(name, scope, window, hard):
    return f"""INSERT INTO relay_guard.budget_policy (name, scope, "window", hard) VALUES ('{name}', '{scope}', '{window}', {hard})"""


def quota(name, scope, window, cap):
    return f"""INSERT INTO relay_guard.quota_policy (name, scope, "window", cap) VALUES ('{name}', '{scope}', '{window}', {cap})"""


def play(server, calls, policy=None, at=0):
    """The calls, with that policy from the at-th on; how many it denied, when it came, and what was spent."""
    client, since = Client(server), ALWAYS
    for n, call in enumerate(calls):
        if policy and n == at:
            server.run(policy)
        if n == at:
            since = server.value("SELECT clock_timestamp() + interval '1 ms'")
            threading.Event().wait(0.003)
        client.call(*call)
    spent = server.value("SELECT coalesce(sum(spent), 0)::bigint FROM relay_guard.usage_ledger WHERE recorded_at >= %s", since)
    return client.denied, since, spent


@pytest.mark.parametrize("scope,window,hard,at", [
    ("global", "day", 400, 0), ("user", "day", 150, 0), ("workspace", "month", 150, 60), ("user", "day", 80, 100), ("global", "day", 0, 20)])
def test_a_live_budget_denies_what_its_replay_said(live, scope, window, hard, at):
    calls = list(random_calls(random.Random(f"{scope} {hard}"), 200))
    forget(live)
    _, since, _ = play(live, calls, at=at)
    said = live.run("SELECT denied, would_spend FROM relay_guard.budget_replay(%s, %s) WHERE value IS NULL",
                    psycopg2.extras.Json({"scope": scope, "window": window, "hard": hard}), since)[0]
    forget(live)
    denied, _, spent = play(live, calls, budget("b", scope, window, hard), at)
    assert (denied, spent) == said and denied > 0


@pytest.mark.parametrize("scope,window,cap", [("user", "hour", 12), ("global", "lifetime", 30)])
def test_a_live_quota_denies_what_its_replay_said(live, scope, window, cap):
    chance = random.Random(cap)
    takes = [(f"u{chance.randrange(3)}", chance.choice([1, 1, 2, 5])) for _ in range(80)]
    denied = {}
    for limit in 10**6, cap:
        forget(live, quota("q", scope, window, limit))
        connection = live.connect()
        denied[limit] = sum(not transaction(connection, user, TAKE, units)[0] for user, units in takes)
        if limit != cap:
            said = live.value("SELECT denied FROM relay_guard.quota_replay(%s, '-infinity') WHERE value IS NULL",
                              psycopg2.extras.Json({"policy": "q", "cap": cap}))
    assert denied[10**6] == 0 and denied[cap] == said > 0


def test_a_policy_denies_nothing_of_its_own_history(live):
    """Of what eight clients did at once: every policy admitted all that the ledger has."""
    forget(live, budget("b_user", "user", "day", 300), budget("b_all", "global", "month", 700), quota("q", "user", "day", 40))

    def work(seed):
        client, chance = Client(live), random.Random(seed)
        for call in random_calls(chance, 120):
            # What is settled within its reservation never goes beyond a limit
            client.call(*call[:3], 0 if call[1] in ("settle", "charge") else call[3])
            client.denied += not transaction(client.connection, call[0], TAKE, 1)[0]
        return client.denied

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(work, range(8))) > 0
    for function, policy in ("budget_replay", "b_user"), ("budget_replay", "b_all"), ("quota_replay", "q"):
        asked, denied = live.run(f"SELECT asked, denied FROM relay_guard.{function}(%s, '-infinity') WHERE value IS NULL",
                                 psycopg2.extras.Json({"policy": policy}))[0]
        assert asked > 0 and denied == 0, policy


def test_a_replay_is_not_quadratic(ledger):
    """Of one key, and with as many reservations open as there are."""
    start = in_next_month()
    rows = [Entry(start + n * SECOND, start + n * SECOND, "reserve", uuid.UUID(int=n), 1, 0, "u", None) for n in range(20_000)]
    rows += [row._replace(kind="settle", reserved=-1, spent=1, recorded=row.at + datetime.timedelta(days=3)) for row in rows]
    connection = ledger(rows)
    run(connection, "SET statement_timeout = '20s'")
    found = replayed(connection, "budget_replay", {"scope": "global", "window": "month", "hard": 19_990}, None, "denied, would_spend")
    assert found[-1][2:] == (10, 19_990)


def test_windows_are_those_of_the_time_zone(make_server):
    server = make_server({"relay_guard.timezone": "Asia/Kolkata"})
    server.run("CREATE EXTENSION relay_guard;" + quota("q", "user", "day", 5))
    connection = server.connect()
    transaction(connection, "u1", TAKE, 3)
    for window in "hour", "day", "month":
        proposal = psycopg2.extras.Json({"policy": "q", "window": window, "cap": 2})
        assert run(connection, """
            SELECT window_start = date_trunc(%s, now(), 'Asia/Kolkata'), denied
            FROM relay_guard.quota_replay(%s, '-infinity') WHERE value = 'u1'""", window, proposal) == [(True, 1)]
    server.stop("immediate")
