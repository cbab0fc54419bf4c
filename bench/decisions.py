"""Inside the database: decisions a second over connections, beside Redis."""
import contextlib

import measure
import stacks
from report import middle, print_table, ratio, verdict

SECONDS = 1     # of one load: short, and in turn with the others
TURNS = 2       # of each load in a round
CLIENTS = [1, 4, 16]
DEPTH = 16
REDIS = "Redis, GCRA in Lua"
NOTHING = "SELECT 1"
TAKE = "SELECT (relay_guard.rate_take_key('bench', (:n)::text)).allowed"
TAKE_MANY = ("SELECT count(*) FROM generate_series(1, 16) AS i"
             " WHERE (relay_guard.rate_take_key('bench', (:n + i)::text)).allowed")
ANY_KEY = "random(1, 1000)"
HOT_KEY = "1"
with open(f"{stacks.HERE}/peers/upsert.sql") as statement:
    UPSERT = statement.read()


def require_allowed(allowed):
    """To refuse costs less: a limiter that does it is no measure."""
    if not allowed:
        raise SystemExit("bench: a limit that should never be reached refuses")


class Postgres:
    """pgbench on the database of relay_guard."""

    def __init__(self, relay):
        self.relay = relay
        require_allowed(stacks.psql(relay.superuser, "-c", TAKE.replace(":n", "1")) == "t")

    def load(self, name, statement, key=ANY_KEY, clients=16, depth=1, decisions=1):
        """A load: the statement on a key, alone or depth of them in a pipeline."""
        path = f"{stacks.HOME}/{name}.sql"
        lines = [f"{statement};".replace(":n", f":n + {i}" if i else ":n") for i in range(depth)]
        if depth > 1:
            lines = ["\\startpipeline", *lines, "\\endpipeline"]
        with open(path, "w") as file:
            print(f"\\set n {key}", *lines, sep="\n", file=file)
        return lambda: measure.pgbench(self.relay.database, SECONDS, self.relay.superuser,
                                       path, clients, depth * decisions)


class Redis:
    """redis-benchmark with the limiter in Lua."""

    def __init__(self, redis):
        self.redis = redis
        self.script = stacks.call("redis-cli", "-s", redis.socket, "-x", "SCRIPT", "LOAD",
                                  stdin=f"{stacks.HERE}/peers/gcra.lua")
        self.command = ["EVALSHA", self.script, "1", "rate:__rand_int__", "1000000", "30000000"]
        answer = stacks.call("redis-cli", "-s", redis.socket, *self.command)
        require_allowed(answer.startswith("1"))

    def load(self, clients=16, depth=1):
        return lambda: measure.redis(self.redis.socket, self.redis.roots, SECONDS, clients, depth,
                                     self.command)


def measure_decisions(postgres, redis, turns):
    """{(what, clients): results}"""
    loads = {}
    for clients in CLIENTS:
        loads["SELECT 1", clients] = postgres.load("nothing", NOTHING, clients=clients)
        loads["relay_guard.rate_take_key()", clients] = postgres.load("take", TAKE, clients=clients)
        loads[REDIS, clients] = redis.load(clients)
    return measure.alternate(loads, turns)


def print_decisions(found):
    rows = [["decisions a second, 1,000 keys", *(f"{n} connections" for n in CLIENTS),
             "to SELECT 1", "CPU-s/1000 at 16", "to SELECT 1", "to reach", ""]]
    for name in dict.fromkeys(name for name, _ in found):
        ratios = [ratio(found[name, n], found["SELECT 1", n], "rate") for n in CLIENTS]
        ours = "relay_guard" in name
        rows.append([name, *(f"{middle(found[name, n], 'rate'):,.0f}" for n in CLIENTS),
                     " ".join(f"×{value:.2f}" for value in ratios),
                     f"{middle(found[name, 16], 'cpu'):.4f}",
                     f"×{ratio(found[name, 16], found['SELECT 1', 16], 'cpu'):.2f}",
                     "≥ ×0.85" if ours else "",
                     verdict(*(value >= 0.85 for value in ratios)) if ours else ""])
    print_table(*rows)


def print_batches(postgres, redis, turns):
    peer = f"{REDIS}, pipelined × {DEPTH}"
    found = measure.alternate({
        peer: redis.load(depth=DEPTH),
        f"SELECT 1, pipelined × {DEPTH}": postgres.load("batch_nothing", NOTHING, depth=DEPTH),
        f"relay_guard.rate_take_key(), pipelined × {DEPTH}":
            postgres.load("batch_take", TAKE, depth=DEPTH),
        f"relay_guard.rate_take_key(), {DEPTH} in a statement":
            postgres.load("batch_many", TAKE_MANY, decisions=DEPTH),
    }, turns)
    rows = [["decisions in batches, 16 connections", "a second", "CPU-s/1000", "to Redis",
             "to reach", ""]]
    for name, results in found.items():
        value = ratio(results, found[peer], "rate")
        ours = "relay_guard" in name
        rows.append([name, f"{middle(results, 'rate'):,.0f}", f"{middle(results, 'cpu'):.4f}",
                     f"×{value:.2f}", "> ×1" if ours else "", verdict(value > 1) if ours else ""])
    print_table(*rows)


@contextlib.contextmanager
def held_snapshot(environment):
    """What pg_dump does to everybody else: a snapshot that is kept."""
    session = stacks.connect(environment)
    session.cursor().execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1")
    yield
    session.close()


def print_hot_key(postgres, turns):
    environment = postgres.relay.superuser

    def emptied(load):
        stacks.psql(environment, "-c", "TRUNCATE bench.upserted")
        return load()

    def held(load):
        with held_snapshot(environment):
            return emptied(load)

    loads = {"SELECT 1": postgres.load("nothing", NOTHING),
             "relay_guard.rate_take_key()": postgres.load("hot_take", TAKE, HOT_KEY),
             "upsert into an unlogged table": postgres.load("hot_upsert", UPSERT, HOT_KEY)}
    found = measure.alternate({
        (name, how): lambda load=load, how=how: how(load)
        for name, load in loads.items() for how in (emptied, held)}, turns)
    rows = [["one hot key, 16 clients", "tps", "to SELECT 1", "under a held snapshot", "to without",
             "to reach", ""]]
    for name in loads:
        free, under = found[name, emptied], found[name, held]
        value, change = ratio(free, found["SELECT 1", emptied], "rate"), ratio(under, free, "rate")
        ours = "relay_guard" in name
        rows.append([name, f"{middle(free, 'rate'):,.0f}", f"×{value:.2f}",
                     f"{middle(under, 'rate'):,.0f}", f"×{change:.2f}",
                     "≥ ×0.8, ≥ ×0.95" if ours else "",
                     verdict(value >= 0.8, change >= 0.95) if ours else ""])
    print_table(*rows)
