"""One user's calls, each in a transaction of its own."""
import contextlib

import psycopg2

from servers import run


class User:
    """acts.reserve("m", 1, 1) → what budget_reserve() answers, column by column."""

    def __init__(self, server, user="alice", workspace=None, role="user"):
        self.server = server
        self.identity = (user, workspace, role)

    def ask(self, call, *arguments):
        with contextlib.closing(self.server.connect(user="client", autocommit=False)) as connection:
            run(connection, "SELECT relay_guard.assume(%s, %s, %s)", *self.identity)
            with connection.cursor() as cursor:
                cursor.execute(f"SELECT * FROM relay_guard.{call}({', '.join(['%s'] * len(arguments))})", arguments)
                told = dict(zip((column.name for column in cursor.description), cursor.fetchone()))
            connection.commit()
        return told

    def take(self, policy, n=1):
        return self.ask("quota_take", policy, n)

    def reserve(self, input_tokens, output_tokens=0, ttl="10 min", model="m"):
        return self.ask("budget_reserve", model, input_tokens, output_tokens, ttl)

    def extend(self, reservation, tokens):
        return self.ask("budget_extend", reservation, tokens)

    def settle(self, reservation, input_tokens, output_tokens=0):
        return self.ask("budget_settle", reservation, input_tokens, output_tokens)

    def release(self, reservation):
        return self.ask("budget_release", reservation)

    def charge(self, input_tokens, output_tokens=0, model="m"):
        return self.ask("budget_charge", model, input_tokens, output_tokens)

    def sqlstate(self, call, *arguments):
        try:
            self.ask(call, *arguments)
        except psycopg2.Error as error:
            return error.pgcode
        return None

    def status(self):
        """{policy: (spent, reserved)} of what binds this user now."""
        with contextlib.closing(self.server.connect(user="client", autocommit=False)) as connection:
            run(connection, "SELECT relay_guard.assume(%s, %s, %s)", *self.identity)
            return {policy: (spent, reserved) for policy, spent, reserved in
                    run(connection, "SELECT policy, spent, reserved FROM relay_guard.budget_status()")}
