"""What tests of quotas and budgets share: policies, a model whose tokens cost one
micro-USD each, clients with an identity, and what the ledger says of them."""
import contextlib
import itertools
import threading

import psycopg2
from psycopg2.extras import NamedTupleCursor

from servers import run

serial = itertools.count(1)

RESERVE = "SELECT * FROM relay_guard.budget_reserve('m', %s, %s, %s)"
EXTEND = "SELECT * FROM relay_guard.budget_extend(%s, %s)"
SETTLE = "SELECT * FROM relay_guard.budget_settle(%s, %s, %s)"
RELEASE = "SELECT * FROM relay_guard.budget_release(%s)"
CHARGE = "SELECT * FROM relay_guard.budget_charge('m', %s, %s)"
TAKE = "SELECT * FROM relay_guard.quota_take(%s, %s)"
STATUS = "SELECT * FROM relay_guard.quota_status(%s)"

FINAL = {"settled", "released", "already_settled", "already_released", "expired"}


def fresh(kind="user"):
    """A name that no other test has."""
    return f"{kind}-{next(serial)}"


def install(server, database="postgres"):
    """The extension, no budget but those that a test makes, and the model m."""
    server.run("""CREATE EXTENSION relay_guard;
        UPDATE relay_guard.budget_policy SET enabled = false""", database=database)
    model(server, "m", database=database)


def model(server, name, price=1_000_000, database="postgres"):
    server.run("""INSERT INTO relay_guard.model
            (name, provider, input_price, output_price, embedding_price, max_input_tokens, max_output_tokens)
        VALUES (%s, 'test', %s, %s, %s, 1000000000, 1000000000)""", name, price, price, price, database=database)


def quota(server, cap, scope="user", window="lifetime", database="postgres"):
    """A new quota; its name."""
    name = fresh("quota")
    server.run('INSERT INTO relay_guard.quota_policy (name, scope, cap, "window") VALUES (%s, %s, %s, %s)',
               name, scope, cap, window, database=database)
    return name


@contextlib.contextmanager
def budget(server, hard, scope="user", window="month", warn=None, database="postgres"):
    """A budget that binds while the test runs; its name."""
    name = fresh("budget")
    server.run('INSERT INTO relay_guard.budget_policy (name, scope, "window", warn, hard) VALUES (%s, %s, %s, %s, %s)',
               name, scope, window, warn, hard, database=database)
    try:
        yield name
    finally:
        server.run("SET lock_timeout = '10s'; DELETE FROM relay_guard.budget_policy WHERE name = %s", name, database=database)


class Client:
    """A connection that acts as one user: each call is a transaction of its own, unless begin() has begun one."""

    def __init__(self, server, user=None, workspace=None, role="user", database="postgres", options=""):
        self.user = user or fresh()
        self.identity = (self.user, workspace, role)
        self.connection = server.connect(database)
        self.connection.cursor_factory = NamedTupleCursor
        if options:
            run(self.connection, options)

    def begin(self, mode=""):
        run(self.connection, f"BEGIN {mode}")
        run(self.connection, "SELECT relay_guard.assume(%s, %s, %s)", *self.identity)
        return self

    def do(self, statement, *arguments):
        """In the transaction that there is; the first row."""
        rows = run(self.connection, statement, *arguments)
        return rows[0] if rows else None

    def commit(self):
        run(self.connection, "COMMIT")

    def rollback(self):
        run(self.connection, "ROLLBACK")

    def call(self, statement, *arguments):
        """In a transaction of its own; the first row."""
        self.begin()
        try:
            row = self.do(statement, *arguments)
        except psycopg2.Error:
            if not self.connection.closed:
                self.rollback()
            raise
        self.commit()
        return row

    def fails(self, statement, *arguments):
        """The SQLSTATE that the call fails with, or None."""
        try:
            self.call(statement, *arguments)
        except psycopg2.Error as error:
            return error.pgcode
        return None

    def take(self, policy, n=1):
        return self.call(TAKE, policy, n)

    def reserve(self, tokens, ttl="10 min"):
        return self.call(RESERVE, 0, tokens, ttl)

    def settle(self, reservation, tokens):
        return self.call(SETTLE, reservation, 0, tokens)

    def release(self, reservation):
        return self.call(RELEASE, reservation)

    def status(self, policy):
        """What budget_status() says of one policy."""
        return self.call("SELECT * FROM relay_guard.budget_status() WHERE policy = %s", policy)

    def money(self, policy):
        """Spent and reserved, as the account has them."""
        status = self.status(policy)
        return status.spent, status.reserved

    def close(self):
        self.connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def together(work, *clients):
    """Runs work(client) for all clients at once; the list of what they return."""
    results = [None] * len(clients)
    failures = []
    barrier = threading.Barrier(len(clients))

    def one(n):
        try:
            barrier.wait()
            results[n] = work(clients[n])
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=one, args=(n,)) for n in range(len(clients))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return results


@contextlib.contextmanager
def clients(server, many, *arguments, **options):
    made = [Client(server, *arguments, **options) for _ in range(many)]
    try:
        yield made
    finally:
        for client in made:
            client.close()


class Watcher(threading.Thread):
    """Asks the same question again and again, as a session of its own, and keeps the answers that are wrong."""

    def __init__(self, server, question, is_right, database="postgres"):
        super().__init__()
        self.connection = server.connect(database)
        self.question = question
        self.is_right = is_right
        self.asked = 0
        self.wrong = []
        self.ended = threading.Event()

    def run(self):
        while not self.ended.is_set():
            answer = run(self.connection, *self.question)
            self.asked += 1
            if not self.is_right(answer):
                self.wrong.append(answer)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.join()
        self.connection.close()
        assert self.wrong == [], f"{len(self.wrong)} of {self.asked} answers were wrong"
        assert self.asked > 0


SPEND_OF_USER = """SELECT coalesce(sum(spent), 0)::bigint, coalesce(sum(reserved), 0)::bigint
    FROM relay_guard.usage_ledger WHERE user_id = %s AND policy IS NULL"""
TAKEN_OF_QUOTA = """SELECT coalesce(sum(units), 0)::bigint FROM relay_guard.usage_ledger l
    JOIN relay_guard.quota_policy p ON p.id = l.policy WHERE p.name = %s"""


def spend_in_ledger(server, user, **where):
    """Spent and reserved by one user, as the ledger sums them up."""
    return server.run(SPEND_OF_USER, user, **where)[0]


def taken_in_ledger(server, policy, **where):
    return server.value(TAKEN_OF_QUOTA, policy, **where)


def problems(server, **where):
    return server.run("SELECT * FROM relay_guard.check_ledger()", **where)
