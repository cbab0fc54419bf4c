"""No two values that processes of one server encrypt at the same time have the same nonce."""
import concurrent.futures
import os
import pathlib
import re
import subprocess
import threading

import pytest
from servers import own_folder, run

BACKENDS = 8
EACH = 100_000
PG_CONFIG = os.environ.get("PG_CONFIG", "pg_config")


def exports_random():
    library = subprocess.check_output([PG_CONFIG, "--pkglibdir"], text=True).strip() + "/relay_guard.so"
    return " T rg_random" in subprocess.check_output(["nm", "-D", library], text=True)


@pytest.fixture(scope="module")
def drawn(make_server, home):
    """A server whose postmaster has random bytes in its buffer when it forks."""
    if not exports_random():
        pytest.skip("this PostgreSQL hides the functions of its modules")
    module = own_folder(home) / "draw_at_preload.so"
    include = subprocess.check_output([PG_CONFIG, "--includedir-server"], text=True).strip()
    subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-D_GNU_SOURCE", f"-I{include}", "-o", module,
                    pathlib.Path(__file__).parent / "draw_at_preload.c"], check=True)
    server = make_server({"shared_preload_libraries": f"relay_guard, {module}"})
    server.run("CREATE EXTENSION relay_guard; CREATE TABLE drawn (nonce bytea)")
    yield server
    server.stop("immediate")


DRAW = """INSERT INTO drawn SELECT substr(relay_guard.encrypt(n::text, ''), 6, 24)
          FROM generate_series(1, %s) AS n"""


def test_pain_nonces_of_forked_backends_repeat(drawn):
    together = threading.Barrier(BACKENDS)

    def encrypt(_):
        connection = drawn.connect()
        together.wait()
        run(connection, DRAW, EACH)
        connection.close()

    with concurrent.futures.ThreadPoolExecutor(BACKENDS) as pool:
        list(pool.map(encrypt, range(BACKENDS)))
    found, different, lengths = drawn.run("SELECT count(*), count(DISTINCT nonce), min(length(nonce)) FROM drawn")[0]
    assert (found, different, lengths) == (BACKENDS * EACH, BACKENDS * EACH, 24)


def test_pain_nonces_of_parallel_workers_repeat(drawn):
    connection = drawn.connect()
    run(connection, """SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;
                       SET max_parallel_workers_per_gather = 4; SET parallel_leader_participation = off;
                       CREATE TABLE source AS SELECT n FROM generate_series(1, 20000) n; ANALYZE source""")
    plan = "\n".join(line for (line,) in run(connection, """EXPLAIN (ANALYZE, VERBOSE, COSTS OFF)
        CREATE TABLE by_workers AS SELECT substr(relay_guard.encrypt(n::text, ''), 6, 24) AS nonce FROM source"""))
    found, different = run(connection, "SELECT count(nonce), count(DISTINCT nonce) FROM by_workers")[0]
    connection.close()
    assert int(re.search(r"Workers Launched: (\d+)", plan)[1]) > 1
    assert "encrypt(" in plan[plan.index("Parallel Seq Scan"):]
    assert (found, different) == (20000, 20000)
