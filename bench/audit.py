"""What the audit log adds to a change, beside the triggers that others have.

Every table is the same but for who writes down its changes.  Ratios are to the
table without an audit; the CPU time is the backend's, COMMIT included.
"""
import os
import time
from dataclasses import dataclass

import measure
import stacks
from backend import Backend, SAMPLES
from report import middle, print_table, ratio, verdict

DATABASE = "bench_audit"
NONE, OURS = "no audit", "relay_guard.audit()"
TABLES = {
    NONE: "plain",
    "row trigger in PL/pgSQL, one table": "row_trigger",
    "statement trigger in PL/pgSQL, partitions": "statement_trigger",
    OURS: "relay_guard",
}
IDENTITY = ("SELECT relay_guard.assume('00000000-0000-4000-8000-000000000042'), "
            "set_config('app.user_id', '42', true), set_config('app.request_id', gen_random_uuid()::text, true)")
COLUMNS = "(owner_id, title, quantity, price, status)"

# What others were measured to cost, as the aims were set; none of them has a MAC
GIVEN = {
    "insert": "supa_audit ×10, 2ndQuadrant ×5.2",
    "copy": "supa_audit ×10.4, 2ndQuadrant ×3.9",
    "one": "supa_audit ×3.9, 2ndQuadrant ×1.4",
}

ROWS = 1000         # of a statement
COPIED = 100_000
CLIENTS = 4
SECONDS = 2
LONG = os.environ.get("BENCH_LONG") == "1"
GROWTH = [1_000_000] + [10_000_000] * LONG

CHANGES = {
    "insert": "INSERT INTO bench.{table} " + COLUMNS + " SELECT * FROM bench.fresh LIMIT {rows}",
    "update": "UPDATE bench.{table} SET status = 'paid', quantity = quantity + 1 WHERE id > {above}",
    "delete": "DELETE FROM bench.{table} WHERE id > {above}",
}
KEPT = 100_000      # rows of a table that no measure touches


@dataclass
class Cost:
    """Of a row, in microseconds and bytes."""
    cpu: float
    elapsed: float
    wal: float


def prepare(relay):
    """A database of its own, so that the log starts empty."""
    stacks.psql(relay.superuser, "-c", f"DROP DATABASE IF EXISTS {DATABASE}",
                "-c", f"CREATE DATABASE {DATABASE}")
    environment = {**relay.superuser, "PGDATABASE": DATABASE}
    stacks.psql(environment, "-f", f"{stacks.HERE}/audit.sql")
    stacks.psql(environment, "-c", "VACUUM (ANALYZE)", "-c", "CHECKPOINT")
    return environment


def wal(backend):
    return int(backend.run("SELECT pg_current_wal_insert_lsn() - '0/0'"))


def cost(backend, statement, rows):
    """Of a statement and its COMMIT; who is behind it is known before."""
    backend.run(f"BEGIN; {IDENTITY}")
    written, began, spent = wal(backend), time.perf_counter(), backend.clock()
    backend.run(statement)
    backend.run("COMMIT")
    spent, elapsed = backend.clock() - spent, time.perf_counter() - began
    return Cost(spent / rows * 1e6, elapsed / rows * 1e6, (wal(backend) - written) / rows)


def change(backend, table, rows=ROWS):
    """Inserts rows, changes and deletes them; {change: cost}"""
    backend.run(f"ALTER SEQUENCE bench.{table}_id_seq RESTART WITH {KEPT + 1}")
    found = {name: cost(backend, statement.format(table=table, rows=rows, above=KEPT), rows)
             for name, statement in CHANGES.items()}
    backend.run(f"VACUUM bench.{table}")
    return found


def statements(backend, rounds):
    """{change: {way: costs}}, way by way in turn"""
    samples = measure.alternate(
        {way: lambda table=table: change(backend, table) for way, table in TABLES.items()},
        1 + rounds * SAMPLES)
    return {name: {way: [sample[name] for sample in found[1:]] for way, found in samples.items()}
            for name in CHANGES}


def print_statements(found):
    for name, costs in found.items():
        print_costs(f"{name.upper()} of {ROWS:,} rows in a statement", costs, GIVEN.get(name))


def print_costs(title, found, given):
    rows = [[title, "µs of CPU a row", "to no audit", "elapsed to no audit", "bytes of WAL a row",
             "to reach", ""]]
    for way, costs in found.items():
        value = ratio(costs, found[NONE], "cpu")
        ours = way == OURS
        rows.append([way, f"{middle(costs, 'cpu'):.2f}", f"×{value:.2f}",
                     f"×{ratio(costs, found[NONE], 'elapsed'):.2f}", f"{middle(costs, 'wal'):.0f}",
                     "≤ ×3.5, stretch ×2.5" if ours else "", verdict(value <= 3.5) if ours else ""])
    print_table(*rows)
    print_given(given)


def print_given(given):
    if given:
        print(f"as measured elsewhere: {given}\n")


#
# COPY
#

def write_file(backend):
    """What COPY reads: in the server's own folder, for the server reads it."""
    path = f"{stacks.HOME}/audit.csv"
    backend.run(f"COPY (SELECT * FROM bench.fresh LIMIT {COPIED}) TO '{path}'")
    return path


def copy(backend, table, path):
    backend.run(f"TRUNCATE bench.{table}")
    return cost(backend, f"COPY bench.{table} {COLUMNS} FROM '{path}'", COPIED)


def print_copy(backend, rounds):
    path = write_file(backend)
    found = measure.alternate({way: lambda table=table: copy(backend, table, path)
                               for way, table in TABLES.items()}, rounds)
    print_costs(f"COPY of {COPIED:,} rows", found, GIVEN["copy"])


#
# One row, by several clients
#

def script(table):
    path = f"{stacks.HOME}/audit_{table}.sql"
    with open(path, "w") as file:
        print("\\set owner random(1, 1000)",
              f"INSERT INTO bench.{table} {COLUMNS} VALUES (:owner, "
              "'a title as long as most of them are, and no longer', 7, 12.34, 'new');",
              sep="\n", file=file)
    return path


def print_single(relay, environment, rounds):
    found = measure.alternate({
        way: lambda path=script(table): measure.pgbench(
            relay.database, SECONDS, environment, path, CLIENTS, 1)
        for way, table in TABLES.items()}, rounds * 2)
    rows = [[f"INSERT of one row, {CLIENTS} clients, durable", "a second", "no audit to it",
             "CPU-s/1000", "to no audit", "to reach", ""]]
    for way, results in found.items():
        slower = ratio(found[NONE], results, "rate")
        ours = way == OURS
        rows.append([way, f"{middle(results, 'rate'):,.0f}", f"×{slower:.2f}",
                     f"{middle(results, 'cpu'):.4f}", f"×{ratio(results, found[NONE], 'cpu'):.2f}",
                     "≤ ×1.2" if ours else "", verdict(slower <= 1.2) if ours else ""])
    print_table(*rows)
    print_given(GIVEN["one"])


#
# Growth
#

def logged(backend):
    return backend.run("SELECT count(*) FROM relay_guard.audit_log")


def fill(backend, path, rows):
    """Until the log has so many rows."""
    missing = rows - logged(backend)
    while missing > 0:
        copy(backend, "relay_guard", path)
        missing -= COPIED


def print_growth(backend, rounds, found):
    """Beside what was found while the log was all but empty."""
    path = write_file(backend)
    rows = [["INSERT of 1,000 rows, by rows in the log", "µs of CPU a row", "to the first",
             "to no audit"]]
    first = middle(found[OURS], "cpu")
    for size in [0, *GROWTH]:
        if size:
            fill(backend, path, size)
            found = statements(backend, rounds)["insert"]
        cpu = middle(found[OURS], "cpu")
        rows.append([f"{size:,}", f"{cpu:.2f}", f"×{cpu / first:.2f}",
                     f"×{ratio(found[OURS], found[NONE], 'cpu'):.2f}"])
    print_table(*rows)


def print_checks(backend):
    """Sealing what has never been sealed, and verifying all of it, once."""
    count = logged(backend)
    rows = [[f"{count:,} rows of the log", "µs of CPU a row"]]
    for name, statement in (("audit_seal()", "SELECT relay_guard.audit_seal()"),
                            ("audit_verify()", "SELECT count(*) FROM relay_guard.audit_verify()")):
        rows.append([name, f"{backend.cost(statement) / count * 1e6:.2f}"])
    print_table(*rows)


def print_audit(relay, rounds):
    environment = prepare(relay)
    backend = Backend(environment)
    found = statements(backend, rounds)
    print_statements(found)
    print_copy(backend, rounds)
    print_single(relay, environment, rounds)
    print_growth(backend, rounds, found["insert"])
    print_checks(backend)
