"""Inside the database: what a guard costs in one backend.

Each way of doing something is a statement that does it many times.  What it
costs is the CPU time of the backend, which is exact to the nanosecond and the
same whatever else the machine does, less that of a statement that does nothing
as often.
"""
import json
import os
from statistics import median

import signed
import stacks
from backend import REMEMBERED, TOKENS, store_tokens
from report import difference, print_table, quotient, verdict

USER = "00000000-0000-4000-8000-000000000042"
LONG = os.environ.get("BENCH_LONG") == "1"
GROWTH = [1000, 100_000] + [10_000_000] * LONG
SETTINGS = {"relay_guard.max_counters": GROWTH[-1] * 5 // 4 + 100_000}  # identities may have 7/8 of the table


#
# The identity in a policy
#

def as_role(backend, table, role, condition, user=USER):
    """Makes a role that a policy of its own binds; what a transaction does to be it."""
    if backend.run("SELECT to_regrole(%s) IS NULL", role):
        backend.run(f"CREATE ROLE {role}")
    backend.run(f"DROP POLICY IF EXISTS {role} ON {table}")
    backend.run(f"CREATE POLICY {role} ON {table} TO {role} USING ({condition})")
    return enter(backend, table, role, user)


def enter(backend, table, role, user):
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
    where, subselect, policy = (repeated(PAGE.format(condition), pages) for condition in
                                (" WHERE user_id = 42", " WHERE user_id = (SELECT 42::bigint)", ""))
    others = {
        "a policy on (SELECT current_setting('app.user_id'))":
            "user_id = (SELECT current_setting('app.user_id', true)::bigint)",
        "a policy on user_bigint() without SELECT": "user_id = relay_guard.user_bigint()",
    }
    found = backend.compare(rounds, pages, {
        "WHERE user_id = 42, no policy": (where, "SELECT 1"),
        "WHERE user_id = (SELECT 42), no policy": (subselect, "SELECT 1"),
        "the policy of protect()": (policy, enter(backend, "bench.paged", "bench_protect", "42")),
        **{name: (policy, as_role(backend, "bench.paged", f"bench_page_{n}", condition, "42"))
           for n, (name, condition) in enumerate(others.items())},
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

def call(procedure, kind):
    return f"CALL bench.call_{procedure}('{kind}')", None


def ways_to_call(kinds):
    return {f"{name} {kind}": call(name, kind)
            for kind in kinds for name in ("nothing", "authenticate")}


def authenticating(found, kind):
    return difference(found[f"authenticate {kind}"], found[f"nothing {kind}"])


def print_tokens(backend, rounds):
    found = backend.compare(rounds, TOKENS, {
        **ways_to_call(["new", "again"]),
        "nothing users": call("nothing", "users"),
        "assume": call("assume", "users"),
    })
    few = "(SELECT token FROM bench.token WHERE kind = 'new' LIMIT 200) AS few"
    peer = backend.compare(rounds, 200, {
        "nothing": (f"SELECT count(relay_guard.has_scope(token)) FROM {few}", None),
        "verify": (f"SELECT count(pgjwt.verify(token, '{stacks.SECRET}')) FROM {few}", None),
    })
    context = difference(found["assume"], found["nothing users"])
    rows = [["HS256 token, a transaction each, 500 users", "µs a call", "of it beyond assume()",
             "to reach", ""]]
    for name, kind, most in (("first seen", "new", 2), ("seen before", "again", 0.3)):
        whole = authenticating(found, kind)
        rows.append([f"relay_guard.authenticate(), {name}", f"{whole:.2f}", f"{whole - context:.2f}",
                     f"≤ {most} µs", verdict(whole - context <= most)])
    verify = difference(peer["verify"], peer["nothing"])
    rows.append(["relay_guard.assume(): the identity alone", f"{context:.2f}", "", "", ""])
    rows.append(["verify() as in pgjwt, in SQL", f"{verify:.1f}", f"{verify:.1f}", "", ""])
    print_table(*rows)


def print_public_keys(backend, rounds, relay):
    """Tokens under public keys, where this version takes them."""
    register = "relay_guard.jwt_public_key_add(text, jsonb, text)"
    if backend.run("SELECT to_regprocedure(%s) IS NULL", register):
        return
    count = REMEMBERED + 200
    for alg in signed.ALGORITHMS:
        store_tokens(backend, alg, signed.make_tokens(relay, alg, count))
    found = backend.compare(rounds, count, ways_to_call(signed.ALGORITHMS))
    print_table(["token first seen, public key", "µs a call", "openssl speed, µs"], *(
        [f"relay_guard.authenticate(), {alg}", f"{authenticating(found, alg):.1f}",
         f"{signed.openssl(alg):.1f}"] for alg in signed.ALGORITHMS))


#
# Limits
#

def each(call, count):
    return f"SELECT count({call}) FROM generate_series(1, {count}) AS n"


def print_limits(backend, rounds, redis_rate):
    count, statements = 100_000, 5000
    identity = f"SELECT relay_guard.assume('{USER}')"
    found = backend.compare(rounds, count, {
        "nothing": (each("relay_guard.has_scope('bench')", count), identity),
        "rate_take": (each("relay_guard.rate_take('bench')", count), identity),
        "nothing keyed": (each("relay_guard.has_scope((n * 617 % 1000)::text)", count), None),
        "rate_take_key":
            (each("relay_guard.rate_take_key('bench', (n * 617 % 1000)::text)", count), None),
    })
    alone = backend.compare(rounds, statements, {
        "nothing": (repeated("PERFORM relay_guard.has_scope('bench')", statements), identity),
        "rate_take": (repeated("PERFORM relay_guard.rate_take('bench')", statements), identity)})
    peer = backend.compare(rounds, statements, {
        "nothing": (f"CALL bench.call_no_limit({statements})", None),
        "upsert": (f"CALL bench.call_upsert({statements})", None)})
    costs = {
        "relay_guard.rate_take(), own identity": difference(found["rate_take"], found["nothing"]),
        "relay_guard.rate_take_key(), 1,000 keys":
            difference(found["rate_take_key"], found["nothing keyed"]),
        "relay_guard.rate_take(), a statement each": difference(alone["rate_take"], alone["nothing"]),
        "upsert into an unlogged table, 1,000 keys, a transaction each":
            difference(peer["upsert"], peer["nothing"]),
        "Redis, GCRA in Lua, round trip: 1 / its rate at 16 clients": 1e6 / redis_rate,
    }
    rows = [["one limit check", "µs", "to reach", ""]]
    for name, cost in costs.items():
        ours = "relay_guard" in name
        rows.append([name, f"{cost:.2f}", "≤ 1 µs" if ours else "", verdict(cost <= 1) if ours else ""])
    print_table(*rows)


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
