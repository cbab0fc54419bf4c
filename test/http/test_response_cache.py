"""Bodies that the gateway holds, and that serve() finds to be current still."""
import base64
import concurrent.futures
import json
import re
import threading
import time
import urllib.request

import psycopg2
import pytest

from conftest import free_port, running, wait_until

ROUTES = """
    CREATE FUNCTION relay.cache_run() RETURNS bigint LANGUAGE sql VOLATILE
    RETURN (extract(epoch FROM clock_timestamp()) * 1000000)::bigint;
    CREATE TABLE relay.cache_value (id bigint PRIMARY KEY, owner text, v text NOT NULL DEFAULT 'a');
    INSERT INTO relay.cache_value (id) SELECT generate_series(1, 20);
    GRANT SELECT, INSERT, UPDATE ON relay.cache_value TO relay_app;
    GRANT EXECUTE ON FUNCTION relay.cache_run() TO relay_app;
    INSERT INTO relay_guard.rate_policy (name, identify_by, quota, "window", algorithm)
    VALUES ('cache_few', 'user', 3, '1 h', 'sliding_window');
    INSERT INTO relay_guard.route (method, path, query, auth, result, run_as, rate, cache_seconds, cache_tags, parameters)
    SELECT 'GET', path, query, auth, 'row', 'relay_app', rate::text[], seconds, tags::text[],
           CASE WHEN path ~ '{id}' THEN jsonb '[{"name": "id", "in": "path", "required": true, "schema": {"type": "integer"}}]'
                ELSE '[]' END
    FROM (VALUES
        ('/cache/value/{id}', $q$SELECT v, relay.cache_run() AS run FROM relay.cache_value WHERE id = request.id$q$,
         'none', '{}', 60, '{"values:{id}"}'),
        ('/cache/short', $q$SELECT relay.cache_run() AS run$q$, 'none', '{}', 1, '{}'),
        ('/cache/never', $q$SELECT relay.cache_run() AS run$q$, 'none', '{}', NULL, '{}'),
        ('/cache/own', $q$SELECT relay_guard.user_id() AS "user", relay.cache_run() AS run$q$,
         'anonymous', '{}', 60, '{"own:{user_id}"}'),
        ('/cache/maybe', $q$SELECT relay_guard.user_id() AS "user", relay.cache_run() AS run$q$,
         'optional', '{}', 60, '{}'),
        ('/cache/header', $q$SELECT relay.cache_run() AS run FROM relay_guard.response_header('X-Own', 'a')$q$,
         'none', '{}', 60, '{}'),
        ('/cache/few', $q$SELECT relay.cache_run() AS run$q$, 'anonymous', '{cache_few}', 60, '{}'),
        ('/cache/large/{id}', $q$SELECT relay.cache_run() AS run, repeat(md5(request.id::text), 1024) AS v$q$,
         'none', '{}', 60, '{}')
    ) r (path, query, auth, rate, seconds, tags);
    INSERT INTO relay_guard.route (method, path, query, auth, result, run_as, request_body) VALUES
    ('POST', '/cache/write', $q$SELECT relay_guard.cache_invalidate(request.tag)$q$, 'none', 'none', 'relay_app',
     '{"type": "object", "properties": {"tag": {"type": "string"}}, "required": ["tag"]}')
"""


@pytest.fixture(scope="module", autouse=True)
def routes(postgres):
    postgres.sql(ROUTES, user="relay_owner")
    yield
    postgres.sql("""DELETE FROM relay_guard.route WHERE path LIKE '/cache/%';
        DELETE FROM relay_guard.rate_policy WHERE name = 'cache_few';
        DROP TABLE relay.cache_value; DROP FUNCTION relay.cache_run()""", user="relay_owner")


@pytest.fixture(scope="module")
def one(postgres):
    """One worker, so that it is always the same that holds bodies."""
    with running(postgres.url("relay_gateway"), WORKERS=1, RESPONSE_CACHE="1M") as gateway:
        wait_until(gateway.is_ready, what="readiness")
        yield gateway


def run_of(gateway, path, headers=()):
    """Which run of the statement the answer is of."""
    answer = gateway.get(path, headers)
    assert answer.status == 200, answer.body
    return answer.json()["run"]


def is_held(gateway, path, headers=()):
    return run_of(gateway, path, headers) == run_of(gateway, path, headers)


def token(gateway):
    return gateway.ask("POST", "/api/v1/anon_session").json()["token"]


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def invalidate(postgres, *patterns):
    for pattern in patterns:
        postgres.sql(f"SELECT relay_guard.cache_invalidate('{pattern}')")


def test_a_body_is_made_once(one):
    assert is_held(one, "/cache/value/1")
    assert not is_held(one, "/cache/never")


def test_it_is_counted(start):
    gateway = start(WORKERS=1, METRICS_LISTEN=(listen := f"127.0.0.1:{free_port()}"))

    def counted():
        page = urllib.request.urlopen(f"http://{listen}/metrics").read().decode()
        return {name: int(value) for name, value in re.findall(r"^(relay_response_cache\S+) (\d+)$", page, re.M)}

    for _ in range(3):
        gateway.get("/cache/value/1")
    found = counted()
    assert found['relay_response_cache_total{result="hit"}'] == 2
    assert found['relay_response_cache_total{result="miss"}'] == 1
    assert found["relay_response_cache_evictions_total"] == 0 and 100 < found["relay_response_cache_bytes"] < 1000


def test_nothing_is_held_without_a_cache(start):
    gateway = start(RESPONSE_CACHE=0, WORKERS=1)
    assert not is_held(gateway, "/cache/value/1")
    assert gateway.get("/cache/value/1").header("etag") is not None


def test_a_body_is_held_no_longer_than_its_route_says(one):
    first = run_of(one, "/cache/short")
    time.sleep(1.1)
    assert run_of(one, "/cache/short") != first


@pytest.mark.parametrize("pattern, ends", [
    ("values:2", True), ("values:*", True), ("*", True), ("values:3", False), ("value:*", False), ("values", False)])
def test_a_pattern_ends_the_bodies_under_its_tags(one, postgres, pattern, ends):
    first = run_of(one, "/cache/value/2")
    assert run_of(one, "/cache/value/2") == first
    invalidate(postgres, pattern)
    assert (run_of(one, "/cache/value/2") != first) == ends


def test_routes_invalidate_too(one):
    first = run_of(one, "/cache/value/4")
    answer = one.ask("POST", "/cache/write", {"Content-Type": "application/json"}, b'{"tag": "values:4"}')
    assert answer.status == 200
    assert run_of(one, "/cache/value/4") != first


def test_limits_are_taken_and_told_for_each_request(one):
    user = bearer(token(one))
    answers = [one.get("/cache/few", user) for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 200, 200, 429]
    assert len({answer.body for answer in answers[:3]}) == 1
    assert [answer.header("x-ratelimit-remaining") for answer in answers[:3]] == ["2", "1", "0"]


def test_a_revoked_token_gets_nothing_at_once(one, postgres):
    jwt = token(one)
    user = bearer(jwt)
    assert is_held(one, "/cache/own", user)
    payload = jwt.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    postgres.sql(f"SELECT relay_guard.revoke(jti => '{claims['jti']}')")
    assert one.get("/cache/own", user).status == 401


def test_other_peoples_revocations_end_no_body(one, postgres):
    first = run_of(one, "/cache/value/5")
    postgres.sql("SELECT relay_guard.revoke(jti => 'somebody else''s')")
    assert run_of(one, "/cache/value/5") == first


def test_users_never_get_each_others_bodies(one):
    users = [bearer(token(one)) for _ in range(3)]
    seen = [one.get("/cache/own", user).json() for user in users * 2]
    assert seen[:3] == seen[3:] and len({body["user"] for body in seen}) == 3
    nobody = one.get("/cache/maybe").json()
    assert nobody["user"] is None and one.get("/cache/maybe").json() == nobody
    assert one.get("/cache/maybe", users[0]).json()["user"] == seen[0]["user"]


def test_credentials_that_look_alike_are_not_alike(one):
    """Prefixes, spellings and places of credentials: never another's body, and 401 for what is none."""
    jwt = token(one)
    own = one.get("/cache/own", bearer(jwt)).json()["user"]
    for headers in ({"Authorization": f"bearer {jwt}"}, {"authorization": f"BEARER  {jwt}"},
                    {**bearer(jwt), "Cookie": "a=1; b=2"}, {**bearer(jwt), "Cookie": "b=2; a=1"}):
        for _ in range(2):
            assert one.get("/cache/own", headers).json()["user"] == own
    for headers in ({"Authorization": f"Bearer {jwt[:-1]}"}, {"Authorization": f"Bearer {jwt}x"},
                    {"Authorization": jwt}, {"Cookie": f"Authorization=Bearer {jwt}"}, {"X-API-Key": jwt}, {}):
        assert one.get("/cache/own", headers).status == 401


def test_clients_cannot_show_a_validator(one):
    """The header by which the gateway shows what it holds is taken from nobody else."""
    assert is_held(one, "/cache/value/6")
    for value in ("", "A" * 32, "x"):
        answer = one.get("/cache/value/7", {"X-Relay-Held": value})
        assert answer.status == 200 and answer.json()["v"] == "a"
        assert all("relay-held" not in name for name, _ in answer.headers)


def test_methods_and_queries_have_bodies_of_their_own(one):
    assert run_of(one, "/cache/value/8?a=1") != run_of(one, "/cache/value/8?a=2")
    assert run_of(one, "/cache/value/%38") != run_of(one, "/cache/value/8")
    length = one.get("/cache/value/8").header("content-length")
    head = one.ask("HEAD", "/cache/value/8")
    assert head.status == 200 and head.body == b"" and head.header("content-length") == length


def test_an_answer_with_headers_of_its_own_is_not_held(one):
    """A cookie in it would be somebody's."""
    assert not is_held(one, "/cache/header")
    answer = one.get("/cache/header")
    assert (answer.header("x-own"), answer.header("etag"), answer.header("cache-control")) == ("a", None, "no-store")


def test_what_is_not_there_is_not_held(one, postgres):
    assert one.get("/cache/value/21").status == 404
    postgres.sql("INSERT INTO relay.cache_value (id) VALUES (21)", user="relay_owner")
    assert one.get("/cache/value/21").status == 200


@pytest.mark.parametrize("change", [
    "UPDATE relay_guard.route SET query = query || ' ' WHERE path = '/cache/value/{id}'",
    "CREATE POLICY p ON relay.cache_value USING (true)",
    "GRANT DELETE ON relay.cache_value TO relay_app",
    "COMMENT ON ROLE relay_app IS 'x'",
    "ALTER TABLE relay.cache_value ALTER v SET DEFAULT 'b'",
    "CREATE OR REPLACE FUNCTION relay.cache_f() RETURNS int LANGUAGE sql RETURN 1",
    "ALTER ROLE relay_app SET statement_timeout = '10min'",
])
def test_whatever_may_change_an_answer_ends_it(one, postgres, change):
    first = run_of(one, "/cache/value/9")
    assert run_of(one, "/cache/value/9") == first
    postgres.sql(change)
    assert run_of(one, "/cache/value/9") != first


def test_policies_bind_at_once(one, postgres):
    assert one.get("/cache/value/10").status == 200
    postgres.sql("ALTER TABLE relay.cache_value ENABLE ROW LEVEL SECURITY;"
                 "DROP POLICY IF EXISTS p ON relay.cache_value")
    try:
        assert one.get("/cache/value/10").status == 404
    finally:
        postgres.sql("ALTER TABLE relay.cache_value DISABLE ROW LEVEL SECURITY")


def test_a_restart_of_the_server_ends_every_body(one, postgres):
    first = run_of(one, "/cache/value/11")
    postgres.stop("immediate")
    postgres.start()
    wait_until(one.is_ready, what="recovery")
    assert run_of(one, "/cache/value/11") != first


def test_memory_is_bounded_and_the_latest_stay(one):
    """32 kB a body, 1 MB in all: forty do not fit."""
    first = run_of(one, "/cache/large/0")
    runs = {n: run_of(one, f"/cache/large/{n}") for n in range(1, 41)}
    assert run_of(one, "/cache/large/40") == runs[40]
    assert run_of(one, "/cache/large/25") == runs[25]
    assert run_of(one, "/cache/large/0") != first


def test_a_body_follows_every_committed_write(one, postgres):
    """Writers change a value and invalidate it; whoever asks after a commit sees that value or a later one."""
    connection = psycopg2.connect(postgres.url("postgres"))
    began = time.monotonic()
    committed, seen, done = [0], [0], threading.Event()

    def read():
        while not done.is_set():
            known = committed[0]
            value = int(one.get("/cache/value/12").json()["v"])
            assert value >= known, "an answer from before the commit"
            seen[0] += 1

    postgres.sql("UPDATE relay.cache_value SET v = '0' WHERE id = 12; SELECT relay_guard.cache_invalidate('values:12')")
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(read) for _ in range(4)]
        n = 0
        try:
            while time.monotonic() < began + (3 if seen[0] > 100 and n > 50 else 60):
                with connection, connection.cursor() as cursor:
                    n += 1
                    cursor.execute("SELECT relay_guard.cache_invalidate('values:12');"
                                   "UPDATE relay.cache_value SET v = %s WHERE id = 12", (str(n),))
                    if n % 3 == 0:
                        connection.rollback()
                        continue
                committed[0] = n
                time.sleep(0.002)
        finally:
            done.set()
        for reader in readers:
            reader.result()
    connection.close()
    assert seen[0] > 100 and n > 50


def test_while_a_commit_waits_nothing_is_taken_for_current(one, postgres):
    """Announced before the commit, counted after it: in between the body is made anew, and not kept."""
    path = "/cache/value/13"
    first = run_of(one, path)
    postgres.sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    postgres.sql("SELECT pg_reload_conf()")
    wait_until(lambda: postgres.sql("SHOW synchronous_standby_names") == [("nobody",)], what="the setting")
    waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    commits = []

    def commit_that_waits():
        """They do once the checkpointer knows of the setting too."""
        if not commits or commits[-1].done():
            commits.append(pool.submit(postgres.sql, "UPDATE relay.cache_value SET v = 'b' WHERE id = 13;"
                                       "SELECT relay_guard.cache_invalidate('values:13')"))
        return postgres.sql(waiting)

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        try:
            wait_until(commit_that_waits, what="the wait")
            runs = [run_of(one, path) for _ in range(3)]
        finally:
            postgres.sql(f"SELECT pg_cancel_backend(pid) FROM ({waiting}) w")
            postgres.sql("ALTER SYSTEM RESET synchronous_standby_names")
            postgres.sql("SELECT pg_reload_conf()")
        for commit in commits:
            commit.result()
    assert len({first, *runs}) == 4
    assert one.get(path).json()["v"] == "b" and is_held(one, path)
