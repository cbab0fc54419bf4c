"""Inside the database: what a guard costs in one backend.

Each way of doing something is a statement that does it many times.  What it
costs is the CPU time of the backend, which is exact to the nanosecond and the
same whatever else the machine does, less that of a statement that does nothing
as often.
"""
import json
import os
import struct
from statistics import median

import measure
import signed
import stacks
from report import difference, print_table, quotient, verdict

HERE = os.path.dirname(os.path.abspath(__file__))
USER = "00000000-0000-4000-8000-000000000042"
SAMPLES = 5     # of each way in a round, in turn with the others
REMEMBERED = 1024   # tokens that a backend knows; see src/token_cache.c
TOKENS = 8000
LONG = os.environ.get("BENCH_LONG") == "1"
GROWTH = [1000, 100_000] + [10_000_000] * LONG
SETTINGS = {"relay_guard.max_counters": GROWTH[-1] + 100_000}


class Backend:
    """One session, and the CPU time of the process behind it."""

    def __init__(self, environment):
        self.session = stacks.connect(environment)
        self.cursor = self.session.cursor()
        self.clock = measure.cpu_clock(self.session.info.backend_pid)
        for setting in "jit = off", "max_parallel_workers_per_gather = 0", "work_mem = '256MB'":
            self.run(f"SET {setting}")

    def run(self, statement, *values):
        self.cursor.execute(statement, values or None)
        return self.cursor.fetchone()[0] if self.cursor.description else None

    def literal(self, value):
        return self.cursor.mogrify("%s", (value,)).decode()

    def cost(self, statement, before=None):
        """CPU seconds of a statement, in a transaction after another if there is one."""
        if before:
            self.run(f"BEGIN; {before}")
        start = self.clock()
        self.run(statement)
        spent = self.clock() - start
        if before:
            self.run("ROLLBACK")
        return spent

    def compare(self, rounds, calls, ways):
        """Microseconds a call of each way, {name: (statement, before)}, sample by sample."""
        found = {name: [] for name in ways}
        for sample in range(1 + rounds * SAMPLES):
            for name, way in ways.items():
                spent = self.cost(*way) / calls * 1e6
                if sample > 0:
                    found[name].append(spent)
        return found


def prepare(relay):
    """Tables, policies, tokens; once, but the tokens at each start, for they expire."""
    if stacks.psql(relay.superuser, "-c", "SELECT to_regclass('bench.scanned') IS NULL") == "t":
        stacks.psql(relay.superuser, "-1", "-f", f"{HERE}/peers/pgjwt.sql", "-f", f"{HERE}/inside.sql")
        stacks.psql(relay.superuser, "-c", "VACUUM (ANALYZE, FREEZE) bench.scanned, bench.paged",
                    "-c", "CHECKPOINT")
    backend = Backend(relay.superuser)
    write_tokens(backend, relay)
    write_upsert(backend)
    return backend


#
# The identity in a policy
#

def as_role(backend, table, role, condition):
    """Makes a role that a policy of its own binds; what a transaction does to be it."""
    if backend.run("SELECT to_regrole(%s) IS NULL", role):
        backend.run(f"CREATE ROLE {role}")
    backend.run(f"DROP POLICY IF EXISTS {role} ON {table}")
    backend.run(f"CREATE POLICY {role} ON {table} TO {role} USING ({condition})")
    return enter(backend, table, role)


def enter(backend, table, role, user=USER):
    backend.run(f"GRANT USAGE ON SCHEMA bench, auth TO {role}; GRANT SELECT ON {table} TO {role}")
    claims = json.dumps({"sub": user, "role": "authenticated", "aud": "authenticated"})
    return (f"SELECT relay_guard.assume('{user}'), set_config('app.user_id', '{user}', true), "
            f"set_config('request.jwt.claims', '{claims}', true); SET LOCAL ROLE {role}")


# The policy's condition, and the constant that it is beside
READERS = {
    "a constant text": ("owner = '{user}'", None),
    "(SELECT relay_guard.user_id()), as by protect()":
        ("owner = (SELECT relay_guard.user_id())", "a constant text"),
    "relay_guard.user_id()": ("owner = relay_guard.user_id()", "a constant text"),
    "current_setting('app.user_id')":
        ("owner = current_setting('app.user_id')", "a constant text"),
    "a constant uuid": ("owner_uuid = '{user}'", None),
    "relay_guard.user_uuid()": ("owner_uuid = relay_guard.user_uuid()", "a constant uuid"),
    "auth.uid() of Supabase": ("owner_uuid = auth.uid()", "a constant uuid"),
}


def print_readers(backend, rounds):
    rows = backend.run("SELECT count(*) FROM bench.scanned")
    found = backend.compare(rounds, rows, {
        name: ("SELECT count(*) FROM bench.scanned",
               as_role(backend, "bench.scanned", f"bench_reader_{n}", condition.format(user=USER)))
        for n, (name, (condition, _)) in enumerate(READERS.items())})
    table = [[f"identity in a policy, scan of {rows:,} rows", "ns a row over the constant",
              "scan to the constant's", "to reach", ""]]
    for name, (_, constant) in READERS.items():
        floor = found[constant or name]
        more, ratio = difference(found[name], floor) * 1000, quotient(found[name], floor)
        ours = "relay_guard" in name
        table.append([name, f"{more:.1f}", f"×{ratio:.2f}", "≤ 2 ns, ≤ ×1.05" if ours else "",
                      verdict(more <= 2, ratio <= 1.05) if ours else ""])
    print_table(*table)


PAGE = ("PERFORM id, name, mime, size_bytes, status, created_at FROM bench.paged{} "
        "ORDER BY created_at DESC, id DESC LIMIT 50")


def repeated(statement, count):
    return f"DO $$ BEGIN FOR n IN 1 .. {count} LOOP {statement}; END LOOP; END $$"


def print_page(backend, rounds):
    pages = 3000
    where, policy = (repeated(PAGE.format(condition), pages)
                     for condition in (" WHERE user_id = 42", ""))
    setting = "user_id = (SELECT current_setting('app.user_id', true)::bigint)"
    as_role(backend, "bench.paged", "bench_setting", setting)
    found = backend.compare(rounds, pages, {
        "WHERE user_id = 42, no policy": (where, "SELECT 1"),
        "the policy of protect()": (policy, enter(backend, "bench.paged", "bench_protect", "42")),
        "a policy on current_setting('app.user_id')":
            (policy, enter(backend, "bench.paged", "bench_setting", "42")),
    })
    floor = next(iter(found.values()))
    table = [["newest 50 of a user's 1,000 rows, composite index", "µs a page", "to WHERE",
              "to reach", ""]]
    for name, costs in found.items():
        ratio = quotient(costs, floor)
        ours = "protect" in name
        table.append([name, f"{median(costs):.1f}", f"×{ratio:.3f}", "≤ ×1.03" if ours else "",
                      verdict(ratio <= 1.03) if ours else ""])
    print_table(*table)


#
# Tokens
#

def write_tokens(backend, relay):
    """Tokens of 500 users: one of each that comes again and again, and ever new ones."""
    backend.run("TRUNCATE bench.token, bench.frame")
    again = [stacks.make_token(user, relay.issuer, relay.audience) for user in range(500)]
    tokens = {
        "new": [stacks.make_token(n % 500, relay.issuer, relay.audience, jti=str(n))
                for n in range(TOKENS)],
        "again": again * (TOKENS // len(again)),
    }
    for kind, list_of_kind in tokens.items():
        backend.run("INSERT INTO bench.token SELECT %s, * FROM unnest(%s)", kind, list_of_kind)
        for route in "open", "known", "guarded":
            backend.run("INSERT INTO bench.frame SELECT %s, * FROM unnest(%s)", f"{route} {kind}",
                        [frame(f"/bench/{route}", token) for token in list_of_kind])
    backend.run("VACUUM ANALYZE bench.token")
    backend.run("VACUUM ANALYZE bench.frame")


def frame(path, token):
    """What the gateway sends for a GET; see src/frame.h."""
    headers = {"authorization": f"Bearer {token}", "user-agent": "bench", "accept": "*/*"}
    pairs = "".join(f"{name}\0{value}\0" for name, value in headers.items())
    return (f"GET\0{path}\0\0".encode() + bytes(10) + b"\xff\xff\x7f\0\0\1" +
            b"0199c0de-0000-7000-8000-000000000000\0" +
            struct.pack(">I", len(headers)) + pairs.encode())


def calls_of(backend, procedure, values):
    return f"CALL bench.call_{procedure}({backend.literal(values)}::text[])", None


def compare_calls(backend, rounds, kinds):
    """authenticate() on each kind of tokens beside nothing, and assume() of as many users."""
    count = len(next(iter(kinds.values())))
    users = [str(n % 500) for n in range(count)]
    return backend.compare(rounds, count, {
        **{f"{name} {kind}": calls_of(backend, name, tokens)
           for kind, tokens in kinds.items() for name in ("nothing", "authenticate")},
        "nothing users": calls_of(backend, "nothing", users),
        "assume": calls_of(backend, "assume", users),
    })


def assuming(found):
    return difference(found["assume"], found["nothing users"])


def print_tokens(backend, rounds):
    found = compare_calls(backend, rounds, {
        kind: backend.run("SELECT array_agg(token) FROM bench.token WHERE kind = %s", kind)
        for kind in ("new", "again")})
    count = 200
    peer = backend.compare(rounds, count, {name: (
        f"SELECT count({call}) FROM (SELECT token FROM bench.token LIMIT {count}) AS few", None)
        for name, call in {"nothing": "relay_guard.has_scope(token)",
                           "verify": f"pgjwt.verify(token, '{stacks.SECRET}')"}.items()})
    context = assuming(found)
    rows = [["HS256 token, a transaction each, 500 users", "µs a call", "of it verification",
             "to reach", ""]]
    for name, kind, most in (("first seen", "new", 2), ("seen before", "again", 0.3)):
        call = difference(found[f"authenticate {kind}"], found[f"nothing {kind}"])
        rows.append([f"relay_guard.authenticate(), {name}", f"{call:.2f}", f"{call - context:.2f}",
                     f"≤ {most} µs", verdict(call - context <= most)])
    verify = difference(peer["verify"], peer["nothing"])
    rows.append(["relay_guard.assume(): the identity alone", f"{context:.2f}", "", "", ""])
    rows.append(["verify() as in pgjwt, in SQL", f"{verify:.1f}", f"{verify:.1f}", "", ""])
    print_table(*rows)


def print_public_keys(backend, rounds, relay):
    """Tokens under public keys, where this version takes them."""
    if backend.run("SELECT to_regprocedure('relay_guard.jwt_public_key_add(text, jsonb, text)') IS NULL"):
        return
    found = compare_calls(backend, rounds, {
        alg: signed.make_tokens(relay, alg, REMEMBERED + 200) for alg in signed.ALGORITHMS})
    rows = [["token first seen, public key", "µs a call", "of it verification", "OpenSSL alone"]]
    for alg in signed.ALGORITHMS:
        call = difference(found[f"authenticate {alg}"], found[f"nothing {alg}"])
        rows.append([f"relay_guard.authenticate(), {alg}", f"{call:.1f}",
                     f"{call - assuming(found):.1f}", f"{signed.openssl(alg):.1f}"])
    print_table(*rows)


#
# Limits
#

def write_upsert(backend):
    """The peer's statement in a loop, a transaction each; and nothing in the same."""
    with open(f"{HERE}/peers/upsert.sql") as file:
        upsert = file.read().replace(":n", "n % 1000")
    for name, statement in {"upsert": f"{upsert} INTO allowed",
                            "no_limit": "allowed := relay_guard.has_scope((n % 1000)::text)"}.items():
        backend.run(f"""CREATE OR REPLACE PROCEDURE bench.call_{name}(count int) LANGUAGE plpgsql AS
            $$ DECLARE allowed boolean; BEGIN
            FOR n IN 1 .. count LOOP {statement}; COMMIT; END LOOP; END $$""")


def each(call, count):
    return f"SELECT count({call}) FROM generate_series(1, {count}) AS n"


def print_limits(backend, rounds, redis_rate):
    count, upserts = 100_000, 2000
    identity = f"SELECT relay_guard.assume('{USER}')"
    found = backend.compare(rounds, count, {
        "nothing": (each("relay_guard.has_scope('bench')", count), identity),
        "rate_take": (each("relay_guard.rate_take('bench')", count), identity),
        "nothing keyed": (each("relay_guard.has_scope((n * 617 % 1000)::text)", count), None),
        "rate_take_key":
            (each("relay_guard.rate_take_key('bench', (n * 617 % 1000)::text)", count), None),
    })
    peer = backend.compare(rounds, upserts, {
        "nothing": (f"CALL bench.call_no_limit({upserts})", None),
        "upsert": (f"CALL bench.call_upsert({upserts})", None)})
    costs = {
        "relay_guard.rate_take(), own identity": difference(found["rate_take"], found["nothing"]),
        "relay_guard.rate_take_key(), 1,000 keys":
            difference(found["rate_take_key"], found["nothing keyed"]),
        "upsert into an unlogged table, 1,000 keys, a transaction each":
            difference(peer["upsert"], peer["nothing"]),
        "Redis, GCRA in Lua, round trip: 1 / its rate at 16 clients": 1e6 / redis_rate,
    }
    print_table(["one limit check", "µs", "to reach", ""], *(
        [name, f"{cost:.2f}", *(["≤ 1 µs", verdict(cost <= 1)] if "relay_guard" in name else ["", ""])]
        for name, cost in costs.items()))


def print_growth(backend, rounds):
    count = 100_000
    rows = [["limit check, by keys in the table", "µs", "to 1,000 keys"]]
    ways = {}
    for keys in GROWTH:
        backend.run(each("relay_guard.rate_take_key('bench', n::text)", keys))
        key = f"(n::bigint * 7919 % {keys} + 1)::text"
        ways[f"nothing {keys}"] = each(f"relay_guard.has_scope({key})", count), None
        ways[f"take {keys}"] = each(f"relay_guard.rate_take_key('bench', {key})", count), None
    found = backend.compare(rounds, count, ways)
    costs = {keys: difference(found[f"take {keys}"], found[f"nothing {keys}"]) for keys in GROWTH}
    for keys, cost in costs.items():
        rows.append([f"{keys:,}", f"{cost:.3f}", f"×{cost / costs[1000]:.2f}"])
    print_table(*rows)


#
# Admission
#

def print_admission(backend, rounds):
    ways = {}
    for kind in "again", "new":
        for route in "open", "known", "guarded":
            ways[f"{route} {kind}"] = (
                "SELECT count(*) FROM bench.frame WHERE kind = "
                f"'{route} {kind}' AND substr(relay_guard.serve(frame), 1, 4) <> '\\x000000c8'", None)
    for name, (statement, _) in ways.items():
        if backend.run(statement) != 0:
            raise SystemExit(f"bench: a route that should answer 200 did not: {name}")
    found = backend.compare(rounds, TOKENS, ways)
    rows = [["admission in serve(), over the same route without guards", "µs a request",
             "to reach", ""]]
    for kind, said, most in (("again", "seen before", 1), ("new", "first seen", 2.5)):
        known, guarded = (difference(found[f"{route} {kind}"], found[f"open {kind}"])
                          for route in ("known", "guarded"))
        rows.append([f"token {said}, identity", f"{known:.2f}", "", ""])
        rows.append([f"token {said}, identity, three limits", f"{guarded:.2f}",
                     f"≤ {most} µs", verdict(guarded <= most)])
    rows.append(["the route without guards", f"{median(found['open again']):.2f}", "", ""])
    print_table(*rows)
