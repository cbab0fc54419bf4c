"""The guarded read with cache_seconds: bodies that the gateway holds, and their end."""
import contextlib
import threading

import measure
import stacks
from report import middle, print_table, ratio

ROUTE = "path = '/api/v1/knowledge/files' AND method = 'GET'"
NONE = "without cache_seconds"
WAYS = {NONE: (None, None), "cache_seconds = 60": (60, None),
        "and one user's bodies invalidated every 100 ms": (60, "files:1"),
        "and all of them": (60, "*")}


@contextlib.contextmanager
def invalidating(relay, pattern):
    """Every 100 ms, while it lasts."""
    ended = threading.Event()

    def work():
        session = stacks.connect(relay.superuser)
        with session.cursor() as cursor:
            while not ended.wait(0.1):
                cursor.execute("SELECT relay_guard.cache_invalidate(%s)", (pattern,))
        session.close()

    thread = threading.Thread(target=work)
    if pattern:
        thread.start()
    yield
    ended.set()
    if pattern:
        thread.join()


def set_seconds(relay, seconds):
    tags = "'{}'" if seconds is None else "ARRAY['files:{user_id}']"
    stacks.psql(relay.superuser, "-c", "UPDATE relay_guard.route SET cache_seconds = "
                f"{'NULL' if seconds is None else seconds}, cache_tags = {tags} WHERE {ROUTE}")


def load(relay, tokens, way, seconds):
    keep, pattern = WAYS[way]
    set_seconds(relay, keep)
    measure.http("read", relay.url, tokens, relay.roots, 32, 1)
    with invalidating(relay, pattern):
        return measure.http("read", relay.url, tokens, relay.roots, 32, seconds)


def print_held(relay, tokens, rounds, seconds):
    found = measure.alternate(
        {way: lambda way=way: load(relay, tokens, way, seconds) for way in WAYS}, rounds)
    set_seconds(relay, None)
    rows = [[way, f"{middle(results, 'rate'):,.0f}", f"{middle(results, 'p99'):.1f}",
             f"{middle(results, 'cpu'):.4f}", f"×{ratio(results, found[NONE], 'rate'):.2f}",
             f"×{ratio(results, found[NONE], 'cpu'):.2f}"] for way, results in found.items()]
    print_table(["the same of a cached route, wrk -t1 -c32", "req/s", "p99 ms", "CPU-s/1000", "req/s", "CPU"], *rows)
