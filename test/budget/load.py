"""Clients that take, reserve, extend, settle and release, roll back and vanish, and write
down, outside of the server, what it told them.

Each client is a process: 64 threads would wait for each other, and the one that
watches for them all.  A transaction carries its name as the request id of its
identity, so that its rows in the ledger are known as its own.
"""
import collections
import contextlib
import copy
import dataclasses
import itertools
import multiprocessing
import os
import random
import socket
import time

import psycopg2

from servers import run

USERS = 100
WORKSPACES = 10
MODEL = "m"
INPUT_PRICE, OUTPUT_PRICE, EMBEDDING_PRICE = 2_500_000, 10_000_000, 130_000  # micro-USD for a million tokens
LARGE = (100_000, 80_000)  # tokens of a reservation that few fit beside
SMALL = (1, 1)  # of one that nobody settles: the lease is charged
SETTLED = ((0, 0), (0, 0), (1, 0), (3, 0), (1, 1), (0, 2))  # so little that there is room until the end
LEASE = 4  # seconds
NICE = 5  # clients wait for the server and for the one who watches
FORK = multiprocessing.get_context("fork")

QUOTAS = {"few": ("user", 5, "day"), "per_ip": ("ip", 10**9, "hour"), "messages": ("user", 10**9, "month"),
          "everybody": ("global", 10**12, "lifetime"), "team": ("workspace", 200, "lifetime")}
BUDGETS = {"user_day": ("user", "day", 2_300_000), "user_month": ("user", "month", 10**12),
           "workspace_day": ("workspace", "day", 8_000_000), "all_day": ("global", "day", 60_000_000)}
SCHEMA = f"""
    UPDATE relay_guard.budget_policy SET enabled = false;
    INSERT INTO relay_guard.model (name, provider, input_price, output_price, embedding_price, max_input_tokens, max_output_tokens)
        VALUES ('{MODEL}', 'test', {INPUT_PRICE}, {OUTPUT_PRICE}, {EMBEDDING_PRICE}, 10000000, 10000000);
    CREATE ROLE client LOGIN; SELECT relay_guard.grant_role('trusted', 'client');
"""


def cost(input_tokens, output_tokens=0):
    """In micro-USD, rounded up once."""
    return -(-(input_tokens * INPUT_PRICE + output_tokens * OUTPUT_PRICE) // 10**6)


def forenoon():
    """A time zone in which it is nine: no day and no month ends while the test runs."""
    ahead = 9 - time.gmtime().tm_hour
    return f"Etc/GMT{-ahead if ahead >= -12 else -ahead - 24:+d}"


def policies(quotas=QUOTAS, budgets=BUDGETS):
    for name, (scope, cap, window) in quotas.items():
        yield f"""INSERT INTO relay_guard.quota_policy (name, scope, cap, "window", unit) VALUES ('{name}', '{scope}', {cap}, '{window}', 'message')"""
    for name, (scope, window, hard) in budgets.items():
        yield f"""INSERT INTO relay_guard.budget_policy (name, scope, "window", warn, hard) VALUES ('{name}', '{scope}', '{window}', {hard // 2}, {hard})"""


def with_limits(server, quotas=QUOTAS, budgets=BUDGETS, database="postgres"):
    """Makes the extension, a model and these policies in the database."""
    server.run("CREATE EXTENSION relay_guard", database=database)
    server.run(SCHEMA + ";".join(policies(quotas, budgets)), database=database)
    return server


@dataclasses.dataclass(frozen=True)
class Row:
    """What a row of the ledger must say of a transaction's act."""
    kind: str
    policy: str = None
    reservation: str = None
    units: int = 0
    reserved: int = 0
    spent: int = 0


@dataclasses.dataclass
class Entry:
    """A transaction: what it wrote, and what became of it."""
    user: str
    fate: str = "under way"  # committing, acknowledged, rolled back
    rows: list = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Open:
    """A reservation that its client has not settled."""
    held: int
    until: float


class Cut(Exception):
    """The client is gone, without a word."""


class Broken(Exception):
    """The server told what cannot be."""


def expect(holds, *what):
    if not holds:
        raise Broken(*what)


def workspace_of(user):
    return f"w{int(user[1:]) % WORKSPACES}" if user[1:].isdigit() else "elsewhere"


def lost(error):
    """Whether it is the server's death that the client met: libpq's own errors have no SQLSTATE."""
    return isinstance(error, psycopg2.Error) and (error.pgcode is None or error.pgcode.startswith("57P"))


def cut(connection):
    """Ends the connection as a client that was killed would, with no Terminate."""
    with contextlib.suppress(OSError):
        wire = socket.socket(fileno=os.dup(connection.fileno()))
        wire.shutdown(socket.SHUT_RDWR)
        wire.close()
    connection.close()


class Client:
    """One client's transactions until it is told to stop or the server is gone."""

    def __init__(self, name, server, *, settings="", opens=(), overspends=False, lease=LEASE, large=LARGE,
                 quotas=QUOTAS, budgets=BUDGETS, ahead=0):
        self.name, self.server, self.settings = name, server, settings
        self.overspends, self.lease, self.large = overspends, lease, large
        self.quotas, self.budgets = quotas, budgets
        self.ahead = ahead  # seconds, of the server's clock
        self.entries = {}
        self.opens = collections.defaultdict(dict, {user: dict(held) for user, held in opens})
        self.denied = collections.Counter()
        self.failure = None
        self.connection = self.transaction = None
        self.random = random.Random(name + str(os.urandom(8)))

    def connect(self):
        self.connection = self.server.connect(user="client")
        run(self.connection, self.settings or "SELECT")

    def work(self, crowd):
        numbers = itertools.count()
        try:
            self.connect()
            while crowd.goes_on():
                try:
                    self.transact(f"{self.name}-{next(numbers)}")
                except Cut:
                    self.connect()
                crowd.tick()
        except Exception as error:  # pylint: disable=broad-except
            self.failure = None if lost(error) else f"{self.name}: {type(error).__name__}: {error}"

    def transact(self, tag):
        """BEGIN, one to three acts of one user, and an end."""
        user = self.chosen_user()
        after = copy.deepcopy(self.opens[user])
        self.start(tag, user)
        for _ in range(self.random.choice((1, 1, 1, 2, 3))):
            self.perhaps_in_savepoint(after)
        self.end(user, after)

    def start(self, tag, user, role="user"):
        self.transaction = self.entries[tag] = Entry(user)
        run(self.connection, "BEGIN; SELECT relay_guard.assume(%s, %s, %s, %s, %s)",
            user, workspace_of(user), role, tag, f"10.0.0.{self.random.randrange(8)}")

    def chosen_user(self):
        """One with an open reservation, most of the time, if there are any."""
        holders = [user for user, opens in self.opens.items() if opens]
        if holders and self.random.random() < 0.7:
            return self.random.choice(holders)
        return f"u{self.random.randrange(USERS)}"

    def end(self, user, after):
        chance = self.random.random()
        if chance < 0.02:
            self.transaction.fate = "rolled back"
            cut(self.connection)
            raise Cut()
        if chance < 0.12:
            run(self.connection, "ROLLBACK")
            self.transaction.fate = "rolled back"
            return
        self.commit()
        self.opens[user] = after
        if self.random.random() < 0.005:  # gone between two transactions
            cut(self.connection)
            raise Cut()

    def commit(self):
        self.transaction.fate = "committing"
        run(self.connection, "COMMIT")
        self.transaction.fate = "acknowledged"

    def perhaps_in_savepoint(self, after):
        chance = self.random.random()
        if chance > 0.2:
            self.act(after)
            return
        rows, before = list(self.transaction.rows), copy.deepcopy(after)
        run(self.connection, "SAVEPOINT s")
        self.act(after)
        if chance < 0.05:
            run(self.connection, "RELEASE s")
            return
        run(self.connection, "ROLLBACK TO s")
        self.transaction.rows = rows
        after.clear()
        after.update(before)

    def act(self, after):
        chance = self.random.random()
        if chance < 0.15:
            self.take(self.random.choice(list(self.quotas)))
        elif chance < 0.18:
            self.reserve(after, SMALL, forgets=True)
        elif after and chance < 0.9:
            self.random.choice((self.settle, self.settle, self.settle, self.release, self.extend))(
                after, self.random.choice(list(after)))
        elif sum(map(len, self.opens.values())) + len(after) < 3:
            self.reserve(after, self.large)
        if self.overspends and self.random.random() < 0.2:
            self.charge()

    def ask(self, call, *arguments):
        """The columns that the function answers with, by name."""
        with self.connection.cursor() as cursor:
            cursor.execute(f"SELECT * FROM relay_guard.{call}", arguments)
            return dict(zip((column.name for column in cursor.description), cursor.fetchone()))

    def wrote(self, *row, **columns):
        self.transaction.rows.append(Row(*row, **columns))

    def take(self, policy):
        n = self.random.choice((1, 1, 2, 5))
        told = self.ask("quota_take(%s, %s)", policy, n)
        expect(told["limit"] == self.quotas[policy][1] and told["remaining"] == told["limit"] - told["used"] >= 0, policy, told)
        if told["allowed"]:
            self.wrote("take", policy, units=n)
        else:
            expect(told["remaining"] < n, policy, n, told)
            self.denied[policy] += 1

    def reserve(self, after, tokens, forgets=False):
        told = self.ask("budget_reserve(%s, %s, %s, %s)", MODEL, *tokens, f"{self.lease} s")
        amount = cost(*tokens)
        if not told["allowed"]:
            expect(told["blocked_by"] in self.budgets and told["reservation"] is None, told)
            self.denied[told["blocked_by"]] += 1
            return
        expect(told["amount"] == amount and told["remaining"] >= 0 and told["blocked_by"] is None, amount, told)
        self.wrote("reserve", None, told["reservation"], reserved=amount)
        if not forgets:
            after[told["reservation"]] = Open(amount, told["expires_at"].timestamp())

    def extend(self, after, reservation):
        tokens = self.large[1] // 8
        told = self.ask("budget_extend(%s, %s)", reservation, tokens)
        if self.is_over(told, after, reservation):
            return
        expect(told["outcome"] == ("extended" if told["allowed"] else "blocked"), told)
        if not told["allowed"]:
            expect(told["blocked_by"] in self.budgets, told)
            self.denied[told["blocked_by"]] += 1
            return
        self.wrote("extend", None, reservation, reserved=cost(0, tokens))
        after[reservation].held += cost(0, tokens)

    def settle(self, after, reservation):
        tokens = (30_000, 200_000) if self.overspends and self.random.random() < 0.1 else self.random.choice(SETTLED)
        told = self.ask("budget_settle(%s, %s, %s)", reservation, *tokens)
        if not self.is_over(told, after, reservation):
            held = after.pop(reservation).held
            expect(told == {"outcome": "settled", "amount": cost(*tokens), "held": held}, tokens, held, told)
            self.wrote("settle", None, reservation, reserved=-held, spent=cost(*tokens))

    def release(self, after, reservation):
        told = self.ask("budget_release(%s)", reservation)
        if not self.is_over(told, after, reservation):
            held = after.pop(reservation).held
            expect(told["outcome"] == "released" and told["held"] == held, held, told)
            self.wrote("release", None, reservation, reserved=-held)

    def is_over(self, told, after, reservation):
        """Whether the lease ran out before, which must be so by this clock too."""
        if told["outcome"] != "expired":
            return False
        expect(time.time() + self.ahead > after[reservation].until - 0.1, "expired before its time", told)
        after.pop(reservation)
        return True

    def charge(self):
        tokens = self.random.randrange(1, 1000)
        if self.random.random() < 0.5:
            told, amount = self.ask("budget_charge(%s, %s)", MODEL, tokens), cost(tokens)
        else:
            told = self.ask("budget_charge(%s, embedding_tokens => %s)", MODEL, tokens)
            amount = -(-tokens * EMBEDDING_PRICE // 10**6)
        expect(told["amount"] == amount, amount, told)
        self.wrote("charge", None, spent=amount)


class Watcher:
    """Reads every account as fast as it can, for one that is over its limit or below nothing."""

    READ = """SELECT count(*), max(CASE WHEN "limit" BETWEEN 1 AND 1000000000 THEN (used + reserved)::float8 / "limit" END),
        array_agg(format('%s %s: %s used, %s reserved of %s', policy, value, used, reserved, "limit"))
            FILTER (WHERE used < 0 OR reserved < 0 OR used + reserved > "limit")
        FROM relay_guard.account"""

    def __init__(self, server):
        self.server = server
        self.reads = 0
        self.fullest = 0.0
        self.accounts = 0
        self.wrong = self.failure = None

    def work(self, crowd):
        try:
            connection = self.server.connect()
            run(connection, "SET jit = off")
            while crowd.goes_on() and not self.wrong:
                (accounts, fullest, self.wrong), = run(connection, self.READ)
                self.reads += 1
                self.accounts = max(self.accounts, accounts)
                self.fullest = max(self.fullest, fullest or 0)
        except Exception as error:  # pylint: disable=broad-except
            self.failure = None if lost(error) else f"{type(error).__name__}: {error}"


class Asker:
    """Asks for what is used up, and the moment that a lost server is back."""

    def __init__(self, server, used_up, recovers=False):
        self.server = server
        self.used_up = used_up
        self.recovers = recovers  # it may be a standby still
        self.lives = 0
        self.answers = 0
        self.failure = None

    def work(self, crowd):
        try:
            while crowd.goes_on():
                with contextlib.suppress(psycopg2.OperationalError):
                    self.ask(crowd, self.server.connect(user="client"))
        except Exception as error:  # pylint: disable=broad-except
            self.failure = f"{type(error).__name__}: {error}"

    def ask(self, crowd, connection):
        answers = 0
        try:
            while crowd.goes_on():
                for identity, call, refused in self.used_up:
                    run(connection, f"BEGIN; SELECT relay_guard.assume({identity})")
                    told, = run(connection, f"SELECT {refused} FROM relay_guard.{call}")
                    expect(told == (True,), f"admitted as answer {answers} of life {self.lives}: {call}")
                    run(connection, "ROLLBACK")
                    answers += 1
                crowd.tick()
                time.sleep(0.01)
        except psycopg2.Error as error:
            if not lost(error) and not (self.recovers and error.pgcode == "25006"):
                raise
        finally:
            self.answers += answers
            self.lives += answers > 0
            connection.close()


class Crowd:
    """Workers, each in a process of its own; what they know comes back with stop()."""

    def __init__(self):
        self.stopping = FORK.Event()
        self.members = []
        self.ticks = FORK.RawArray("q", 128)  # how often each has done what it does
        self.me = None

    def goes_on(self):
        return not self.stopping.is_set()

    def tick(self):
        self.ticks[self.me] += 1

    def start(self, worker, nice=0):
        ours, theirs = FORK.Pipe(duplex=False)
        process = FORK.Process(target=self.be, args=(worker, nice, theirs), daemon=True)
        self.me = len(self.members)
        process.start()
        theirs.close()
        self.members.append((process, ours))

    def be(self, worker, nice, report):
        os.nice(nice)
        worker.work(self)
        worker.connection = None
        report.send(worker)

    def stop(self, seconds=60):
        """The workers as they ended, whether told here or because they lost their server."""
        self.stopping.set()
        ended = []
        for process, report in self.members:
            assert report.poll(seconds), "a client hangs"
            ended.append(report.recv())
            process.join(seconds)
        self.members = []
        failures = [worker.failure for worker in ended if worker.failure]
        assert not failures, failures[:5]
        return ended


def start_clients(crowd, server, clients, name="c", **options):
    for i in range(clients):
        crowd.start(Client(f"{name}.{i}", server, **{key: value(i) if callable(value) else value
                                                     for key, value in options.items()}), NICE)
