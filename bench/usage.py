"""Limits, quotas and budgets: what a call costs, how many there are in a second, and
what becomes of that as keys and rows of the ledger grow.

The database is the section's own, so that the ledger starts empty and no worker
looks after it: an account is in shared memory, or summed from the ledger by whoever
touches it first, and both are measured apart.  BENCH_LONG=1 adds ten million keys, each
with its rows in the ledger; their database is kept for the next time.
"""
from statistics import median

import decisions
import inside
import measure
import stacks
from backend import Backend, SAMPLES
from report import middle, print_table, ratio, verdict

DATABASE = "bench_usage"
GROWTH = inside.GROWTH
# The rate counters of all sizes stay, and identities may have 7/8 of the table
SETTINGS = {"relay_guard.max_counters": sum(GROWTH) * 5 // 4 + 200_000}
KEPT = 1_000_000    # with so many keys, a database is kept for the next time
FILLED = 1_000_000  # users in a transaction
CALLS = 250         # of a sample, each on a key of its own, and not those of the last
CLIENTS = [1, 4, 16]
SECONDS = 1         # of one load
HOT_SECONDS = 3
ANYBODY, ONE = "random(1, 1000)", "1"

# A statement or two, each a transaction
NOTHING = ["SELECT 1"]
INSERT = ["INSERT INTO bench.inserted (n) VALUES (:n)"]
QUOTA = ["SELECT (relay_guard.quota_take('bench')).allowed FROM relay_guard.assume('u' || :n)"]
BUDGET = ["SELECT (relay_guard.budget_reserve('m', 100, 100)).reservation FROM relay_guard.assume('u' || :n) \\gset",
          "SELECT (relay_guard.budget_settle(:reservation, 100, 50)).outcome FROM relay_guard.assume('u' || :n)"]
ROW = ["SELECT bench.budget_take('u' || :n, 1)"]
ROWS = ["SELECT bench.budget_take('u' || :n, 200)", "SELECT bench.budget_settle('u' || :n, 200, 150)"]
OURS = "relay_guard"


#
# The database
#

def prepare(relay, keys):
    """The database in which so many users have rows in the ledger, which has fewer by now or is not there."""
    database = DATABASE if keys < KEPT else f"{DATABASE}_{keys}"
    environment = {**relay.superuser, "PGDATABASE": database}
    if not stacks.psql(relay.superuser, "-c", f"SELECT 1 FROM pg_database WHERE datname = '{database}'"):
        stacks.psql(relay.superuser, "-c", f"CREATE DATABASE {database}")
        stacks.psql(environment, "-f", f"{stacks.HERE}/usage.sql")
    fill(environment, keys)
    return environment


def fill(environment, keys):
    there = int(stacks.psql(environment, "-c", "SELECT count(*) FROM bench.budget"))
    for above in range(there, keys, FILLED):
        stacks.psql(environment, "-c", f"CALL bench.fill({above}, {min(keys, above + FILLED)})")
    stacks.psql(environment, "-c", "VACUUM (ANALYZE) bench.budget, relay_guard.usage_ledger", "-c", "CHECKPOINT")


#
# What a call costs, by keys
#

def call(backend, name, keys, turn):
    """Microseconds of CPU time for one of the calls, each with a user of its own."""
    return backend.cost(f"CALL bench.call_{name}({keys}, {turn * CALLS}, {CALLS})") / CALLS * 1e6


def sample_limit(backend, keys):
    count, key = 100_000, f"'u' || (n::bigint * 7919 % {keys} + 1)"
    taken, nothing = (backend.cost(inside.each(statement, count)) / count * 1e6 for statement in (
        f"relay_guard.rate_take_key('bench', {key})", f"relay_guard.has_scope({key})"))
    return taken - nothing


def sample(backend, keys, turn):
    """{way: microseconds}, beyond a transaction that does nothing."""
    found = {"limit": sample_limit(backend, keys)}
    nothing = call(backend, "nothing", keys, turn)
    for name, transactions in ("quota", 1), ("budget", 2):
        backend.run("SELECT relay_guard.usage_rebuild()")
        for touch in "first", "again":
            found[name, touch] = call(backend, name, keys, turn) - nothing * transactions
    for name in "row", "insert":
        found[name] = call(backend, name, keys, turn) - nothing
    return found


WAYS = {
    "limit": "relay_guard.rate_take_key(), in a loop",
    ("quota", "again"): "relay_guard.quota_take(), its account live",
    ("quota", "first"): "relay_guard.quota_take(), its account summed from the ledger",
    ("budget", "again"): "relay_guard.budget_reserve() and _settle(), live, two transactions",
    ("budget", "first"): "relay_guard.budget_reserve() and _settle(), summed from the ledger",
    "row": "a row, SELECT … FOR UPDATE and UPDATE in PL/pgSQL",
    "insert": "INSERT of a row with one index",
}


def measure_growth(relay, rounds):
    """{keys: {way: costs}}"""
    found = {}
    for keys in GROWTH:
        backend = Backend(prepare(relay, keys))
        backend.run(inside.each("relay_guard.rate_take_key('bench', 'u' || n)", keys))
        samples = [sample(backend, keys, turn) for turn in range(1 + rounds * SAMPLES)][1:]
        found[keys] = {way: [one[way] for one in samples] for way in WAYS}
    return found


def print_growth(found):
    rows = [["µs of CPU a call, COMMIT included, by keys", *(f"{keys:,}" for keys in GROWTH),
             f"{GROWTH[-1]:,} to {GROWTH[0]:,}"]]
    for way, name in WAYS.items():
        costs = [median(found[keys][way]) for keys in GROWTH]
        rows.append([name, *(f"{cost:.2f}" for cost in costs), f"×{costs[-1] / costs[0]:.2f}"])
    print_table(*rows)


def print_rebuild(backend):
    """One account that all rows of the ledger belong to, as a crash leaves it."""
    rows = [["a budget of everybody, first touch", "rows of its own", "ms of CPU"]]
    backend.run("UPDATE relay_guard.budget_policy SET enabled = true WHERE name = 'everybody'")
    for name, before in ("all of them summed", None), ("after relay_guard.usage_roll()", "SELECT relay_guard.usage_roll()"):
        if before and not backend.run("SELECT to_regproc('relay_guard.usage_roll') IS NULL"):
            backend.run(before)
        backend.run("SELECT relay_guard.usage_rebuild()")
        count = backend.run("SELECT count(*) FROM relay_guard.usage_ledger WHERE policy IS NULL")
        cost = backend.cost("CALL bench.call_budget(1, 0, 1)")
        rows.append([name, f"{count:,}", f"{cost * 1000:.2f}"])
    print_table(*rows)


#
# How many a second
#

class Loads:
    """pgbench on the section's database, and redis-benchmark."""

    def __init__(self, relay, environment, redis):
        self.relay, self.environment, self.redis = relay, environment, redis
        self.script = stacks.call("redis-cli", "-s", redis.socket, "-x", "SCRIPT", "LOAD",
                                  stdin=f"{stacks.HERE}/peers/budget.lua")
        self.command = ["EVALSHA", self.script, "1", "budget:__rand_int__", "1", "1000000000000"]
        decisions.require_allowed(self.redis_cli(*self.command).startswith("1"))
        for statement in QUOTA[0], ROW[0]:
            decisions.require_allowed(stacks.psql(environment, "-c", statement.replace(":n", "1")) == "t")

    def redis_cli(self, *command):
        return stacks.call("redis-cli", "-s", self.redis.socket, *command)

    def postgres(self, statements, key=ANYBODY, clients=16, seconds=SECONDS):
        path = f"{stacks.HOME}/usage_{abs(hash((*statements, key)))}.sql"
        with open(path, "w") as file:
            print(f"\\set n {key}", *(line if line.endswith("gset") else f"{line};" for line in statements), sep="\n", file=file)
        return lambda: measure.pgbench(self.relay.database, seconds, self.environment, path, clients, len(statements))

    def memory(self, clients=16):
        return lambda: measure.redis(self.redis.socket, self.redis.roots, SECONDS, clients, 1, self.command)

    def durable(self, clients=16):
        """Redis that says yes when the disk has it, too."""
        def load():
            self.redis_cli("CONFIG", "SET", "appendfsync", "always")
            self.redis_cli("CONFIG", "SET", "appendonly", "yes")
            try:
                return self.memory(clients)()
            finally:
                self.redis_cli("CONFIG", "SET", "appendonly", "no")
        return load


def print_rates(loads, rounds):
    floor = "INSERT of a row with one index"
    peer = "a row, SELECT … FOR UPDATE and UPDATE in PL/pgSQL"
    pair = "the same, reserve and settle"
    ways = {
        floor: lambda n: loads.postgres(INSERT, clients=n),
        f"{OURS}.quota_take()": lambda n: loads.postgres(QUOTA, clients=n),
        peer: lambda n: loads.postgres(ROW, clients=n),
        f"{OURS}.budget_reserve() → budget_settle()": lambda n: loads.postgres(BUDGET, clients=n),
        pair: lambda n: loads.postgres(ROWS, clients=n),
        "Redis, check and INCRBY in Lua, appendfsync always": loads.durable,
        "Redis, the same, in memory alone": loads.memory,
    }
    found = measure.alternate({(name, n): make(n) for name, make in ways.items() for n in CLIENTS}, rounds)
    rows = [["calls a second, 1,000 keys, durable", *(f"{n} connections" for n in CLIENTS), "to INSERT",
             "CPU-s/1000 at 16", "at 16 to FOR UPDATE"]]
    for name in ways:
        beside = pair if "budget" in name or name == pair else peer
        rows.append([name, *(f"{middle(found[name, n], 'rate'):,.0f}" for n in CLIENTS),
                     " ".join(f"×{ratio(found[name, n], found[floor, n], 'rate'):.2f}" for n in CLIENTS),
                     f"{middle(found[name, 16], 'cpu'):.4f}",
                     f"×{ratio(found[name, 16], found[beside, 16], 'rate'):.2f}"])
    print_table(*rows)


def print_hot_key(loads, rounds):
    """All clients on one key; then while a snapshot is held, as pg_dump does."""
    def held(load):
        with decisions.held_snapshot(loads.environment):
            return load()

    def free(load):
        stacks.psql(loads.environment, "-c", "VACUUM bench.budget")
        return load()

    ways = {f"{OURS}.quota_take()": QUOTA, f"{OURS}.budget_reserve() → budget_settle()": BUDGET,
            "a row, SELECT … FOR UPDATE and UPDATE in PL/pgSQL": ROW}
    made = {name: loads.postgres(statements, ONE, seconds=HOT_SECONDS) for name, statements in ways.items()}
    found = measure.alternate({(name, how): lambda load=load, how=how: how(load)
                               for name, load in made.items() for how in (free, held)}, rounds)
    rows = [["one hot key, 16 clients, durable", "calls a second", "under a held snapshot", "to without", "to reach", ""]]
    for name in ways:
        change = ratio(found[name, held], found[name, free], "rate")
        ours = OURS in name
        rows.append([name, f"{middle(found[name, free], 'rate'):,.0f}", f"{middle(found[name, held], 'rate'):,.0f}",
                     f"×{change:.2f}", "≥ ×0.8" if ours else "", verdict(change >= 0.8) if ours else ""])
    print_table(*rows)


def print_usage(relay, redis, rounds):
    stacks.psql(relay.superuser, "-c", f"DROP DATABASE IF EXISTS {DATABASE}")
    print_growth(measure_growth(relay, rounds))
    environment = prepare(relay, GROWTH[1])
    print_rebuild(Backend(environment))
    loads = Loads(relay, environment, redis)
    print_rates(loads, rounds)
    print_hot_key(loads, rounds)
