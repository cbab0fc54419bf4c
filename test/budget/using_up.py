"""What is used up and stays so, whatever dies; and what a crash must leave behind."""
import random

from books import check_accounts, check_reservations
from load import BUDGETS, Client, Open, workspace_of
from servers import run

USED_UP = [("'full'", "budget_reserve('m', 1, 0)", "NOT allowed AND reservation IS NULL AND blocked_by = 'user_day'"),
           ("'holder'", "budget_reserve('m', 1, 0)", "NOT allowed AND reservation IS NULL AND blocked_by = 'user_day'"),
           ("'anon:lost', NULL, 'anonymous'", "quota_take('anon_lifetime')", "NOT allowed AND used = 100 AND remaining = 0")]


class Filler(Client):
    """Uses up what USED_UP asks for."""

    def fill(self):
        self.connect()
        self.start("fill-1", "full")
        told = self.ask("budget_charge('m', 920000)")
        assert told["amount"] == BUDGETS["user_day"][2]
        self.wrote("charge", None, spent=told["amount"])
        self.commit()
        self.start("fill-2", "holder")
        held, self.lease = {}, 3600
        for tokens in (400_000, 0), (400_000, 0), (120_000, 0):
            self.reserve(held, tokens)
        assert sum(reservation.held for reservation in held.values()) == BUDGETS["user_day"][2]
        self.commit()
        self.start("fill-3", "anon:lost", "anonymous")
        assert self.ask("quota_take('anon_lifetime', 100)")["allowed"]
        self.wrote("take", "anon_lifetime", units=100)
        self.commit()
        self.connection.close()
        return self


def inherited(rows):
    """The reservations of the users of the load that nobody settled: {user: {reservation: Open}}."""
    opens = check_reservations(rows)
    heirs = {}
    for row in rows:
        if row.kind == "reserve" and row.reservation in opens and row.user_id[0] == "u" and opens[row.reservation] > 1000:
            heirs.setdefault(row.user_id, {})[row.reservation] = Open(opens[row.reservation], row.lease_until.timestamp())
    return list(heirs.items())


def check_rebuilt(server):
    """Whatever accounts there are have what the ledger says, also those that are asked for now."""
    connection = server.connect(user="client")
    for user in random.sample([f"u{i}" for i in range(100)], 20):
        run(connection, "BEGIN; SELECT relay_guard.assume(%s, %s)", user, workspace_of(user))
        run(connection, "SELECT * FROM relay_guard.budget_status()")
        run(connection, "ROLLBACK")
    connection.close()
    check_accounts(server, asked=True)


def forgets_commits(client):
    """Half of the clients wish for commits that a crash may take."""
    return "SET synchronous_commit = off" if int(client) % 2 else ""
