"""What the ledger must say if the clients were told the truth, and the accounts if the ledger
says it: reckoned here from single rows, with no function of the extension."""
import collections
import datetime
import time
import zoneinfo

from load import Row, workspace_of

COLUMNS = """id, kind, policy, value, reservation::text, units, reserved, spent, user_id, workspace_id, api_key,
    reserved_at, recorded_at, lease_until, request_id"""
FINAL = ("settle", "release", "expire")
UTC = datetime.timezone.utc

LedgerRow = collections.namedtuple("LedgerRow", [column.split("::")[0].strip() for column in COLUMNS.split(",")])
Policy = collections.namedtuple("Policy", "id name scope window limit is_quota")


def ledger(server, database="postgres"):
    return [LedgerRow(*row) for row in server.run(f"SELECT {COLUMNS} FROM relay_guard.usage_ledger ORDER BY id", database=database)]


def policies(server, database="postgres"):
    return [Policy(*row) for row in server.run("""
        SELECT id, name, scope, "window", cap, true FROM relay_guard.quota_policy WHERE enabled
        UNION ALL SELECT id, name, scope, "window", hard, false FROM relay_guard.budget_policy WHERE enabled""", database=database)]


def midnight(day, zone):
    """Where clocks show it twice the second, and where they skip it when they do."""
    return max(datetime.datetime(day.year, day.month, day.day, tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))


def window_start(window, at, zone=UTC):
    """When the calendar's window of that time began, in a zone whose clocks are set by whole hours."""
    local = at.astimezone(zone)
    if window == "lifetime":
        return None
    if window == "hour":
        offset = local.utcoffset()
        return (at.astimezone(UTC) + offset).replace(minute=0, second=0, microsecond=0) - offset
    day = local.date()
    if midnight(day, zone) > at:
        day -= datetime.timedelta(days=1)
    return midnight(day.replace(day=1) if window == "month" else day, zone)


def value_of(policy, row):
    if policy.is_quota:
        return row.value
    return {"global": "*", "user": row.user_id, "workspace": row.workspace_id, "api_key": row.api_key}[policy.scope]


def sums(rows, of_policies, zone=UTC):
    """{(policy, value, start of the window): [used, reserved]} of these rows, by their policies."""
    accounts = collections.defaultdict(lambda: [0, 0])
    for row in rows:
        for policy in of_policies:
            binds = row.policy == policy.id if policy.is_quota else row.policy is None
            if binds and value_of(policy, row) is not None:
                account = accounts[policy.name, value_of(policy, row), window_start(policy.window, row.reserved_at, zone)]
                account[0] += row.units if policy.is_quota else row.spent
                account[1] += row.reserved
    return dict(accounts)


def zone_of(server):
    return zoneinfo.ZoneInfo(server.value("SELECT current_setting('relay_guard.timezone')"))


def live(server, database="postgres"):
    """The same of the accounts in shared memory."""
    return {(policy, value, start): [used, reserved] for policy, value, start, used, reserved in server.run("""
        SELECT policy, value, CASE WHEN isfinite(window_start) THEN window_start END, used, reserved FROM relay_guard.account WHERE seeded""", database=database)}


def differences(server, database):
    """Accounts that are not what the ledger's rows make."""
    wanted = sums(ledger(server, database), policies(server, database), zone_of(server))
    return {key: (have, wanted.get(key, [0, 0])) for key, have in live(server, database).items() if have != wanted.get(key, [0, 0])}


def problems(server, database, asked):
    """What check_ledger() finds; accounts that others ask for all the time cannot be compared."""
    return server.run("SELECT * FROM relay_guard.check_ledger() WHERE problem <> 'account_in_use' OR NOT %s", asked, database=database)


def check_accounts(server, database="postgres", asked=False):
    """Every account says to the micro-USD what the ledger's rows make; what they make.

    Only the worker that ends leases is at work, so what differs does so for a moment;
    and, if asked, those who change nothing."""
    for _ in range(40):
        wrong = differences(server, database) or problems(server, database, asked)
        if not wrong:
            break
        time.sleep(0.05)
    assert not wrong, f"accounts and what the ledger says: {wrong}"
    return sums(ledger(server, database), policies(server, database), zone_of(server))


def check_reservations(rows):
    """Holds end once, and with nothing left; {reservation: held} of those that are open."""
    held, final = collections.Counter(), collections.Counter()
    for row in rows:
        if row.reservation:
            held[row.reservation] += row.reserved
            final[row.reservation] += row.kind in FINAL
    assert max(final.values(), default=0) <= 1, "a reservation ended twice"
    assert all(held[reservation] == 0 for reservation in final if final[reservation]), "something is held after the end"
    return {reservation: amount for reservation, amount in held.items() if not final[reservation]}


class Books:
    """What all clients heard, over every life of the server."""

    def __init__(self):
        self.entries = {}
        self.denied = collections.Counter()

    def forget(self, tags):
        """Of a server that is gone."""
        for tag in tags:
            del self.entries[tag]

    def add(self, clients):
        for client in clients:
            self.entries.update(client.entries)
            self.denied.update(client.denied)

    def fates(self):
        return collections.Counter(entry.fate for entry in self.entries.values())

    def acknowledged(self):
        """Those that wrote something and were told that it is kept."""
        return [entry for entry in self.entries.values() if entry.rows and entry.fate == "acknowledged"]

    def check(self, server, may_lack=frozenset(), of=None, database="postgres"):
        """The ledger holds what was acknowledged, once, and beside it at most what is in doubt; its rows.

        may_lack are transactions that may be missing although they were acknowledged; of
        are the users that count, if not all."""
        rows = [row for row in ledger(server, database) if of is None or row.user_id in of]
        names = {policy.id: policy.name for policy in policies(server, database) if policy.is_quota}
        of_tag = collections.defaultdict(list)
        for row in rows:
            of_tag[row.request_id if row.kind != "expire" else None].append(row)
        leases = of_tag.pop(None, [])
        check_leases(leases, rows)
        kept = [self.check_entry(tag, entry, of_tag.pop(tag, []), names, tag in may_lack) for tag, entry in self.entries.items()]
        assert not of_tag, f"the ledger has rows of nobody: {next(iter(of_tag.values()))}"
        assert len({row.id for row in rows}) == len(rows) == sum(kept) + len(leases)
        check_reservations(rows)
        return rows

    @staticmethod
    def check_entry(tag, entry, found, names, may_lack):
        """How many rows the transaction has, which are all or none of its own."""
        have = sorted(map(str, (Row(row.kind, names.get(row.policy), row.reservation, row.units, row.reserved, row.spent) for row in found)))
        wanted = sorted(map(str, entry.rows))
        if entry.fate == "acknowledged" and not may_lack:
            assert have == wanted, f"{tag} was acknowledged: {have}, not {wanted}"
        elif entry.fate in ("acknowledged", "committing"):
            assert have in ([], wanted), f"{tag} is torn: {have}, not {wanted}"
        else:
            assert have == [], f"{tag} was {entry.fate}: {have}"
        assert all((row.user_id, row.workspace_id) == (entry.user, workspace_of(entry.user)) for row in found), tag
        return len(found)

    def told(self, rows):
        """What users spent and hold by what their clients heard; those in doubt asked of the ledger."""
        kept = {row.request_id for row in rows}
        totals = collections.defaultdict(lambda: [0, 0])
        for tag, entry in self.entries.items():
            if entry.fate == "acknowledged" or (entry.fate == "committing" and tag in kept):
                for row in entry.rows:
                    totals[entry.user][0] += row.spent
                    totals[entry.user][1] += row.reserved
        return totals

    def check_told(self, rows, policy):
        """Accounts of users are what they were told, and the leases that ran out."""
        told = self.told(rows)
        for row in rows:
            if row.kind == "expire":
                told[row.user_id][0] += row.spent
                told[row.user_id][1] += row.reserved
        have = collections.defaultdict(lambda: [0, 0])
        for (name, value, _), (used, reserved) in sums(rows, [policy]).items():
            have[value][0] += used
            have[value][1] += reserved
        assert {user: total for user, total in told.items() if any(total)} == {user: total for user, total in have.items() if any(total)}


def check_leases(expired, rows):
    """Only what was held, after the lease, and charged as it was held."""
    held, until = collections.Counter(), {}
    for row in rows:
        if row.reservation and row.kind in ("reserve", "extend"):
            held[row.reservation] += row.reserved
            until[row.reservation] = max(filter(None, (row.lease_until, until.get(row.reservation))))
    for row in expired:
        assert row.kind == "expire" and row.reservation in held, row
        assert (row.spent, row.reserved) == (held[row.reservation], -held[row.reservation]), row
        assert row.recorded_at >= until[row.reservation], row
