"""A value that does not open is not there: moved, damaged or in a route that decrypts by itself."""
import base64
import hashlib
import hmac
import json
import time
import uuid

import pytest

from conftest import running, wait_until

TABLES = """
    CREATE TABLE relay.test_sealed (id int PRIMARY KEY, value bytea);
    INSERT INTO relay.test_sealed
    SELECT i, relay_guard.encrypt('value ' || i, relay_guard.aad('test', i::text)) FROM generate_series(1, 4) AS i;
    UPDATE relay.test_sealed SET value = (SELECT value FROM relay.test_sealed WHERE id = 1) WHERE id = 2;
    UPDATE relay.test_sealed SET value = set_byte(value, 40, get_byte(value, 40) # 1) WHERE id = 3;
    UPDATE relay.test_sealed SET value = overlay(value PLACING '\\x00000063' FROM 2) WHERE id = 4;
    GRANT SELECT ON relay.test_sealed TO relay_app;
    CREATE FUNCTION relay.test_open(wanted int) RETURNS text LANGUAGE plpgsql AS $$
    BEGIN
        RETURN (SELECT relay_guard.decrypt_text(value, relay_guard.aad('test', id::text))
                FROM relay.test_sealed WHERE id = wanted);
    END $$;
    INSERT INTO relay_guard.route (method, path, query, auth, rate, result, parameters, run_as)
    SELECT 'GET', path, query, 'anonymous', '{ip,user}', 'row',
           '[{"name": "id", "in": "path", "required": true, "schema": {"type": "integer"}}]', 'relay_app'
    FROM (VALUES
        ('/test/sealed/{id}', 'SELECT relay_guard.decrypt_text(value, relay_guard.aad(''test'', id::text)) AS value
                               FROM relay.test_sealed WHERE id = request.id'),
        ('/test/inside/{id}', 'SELECT relay.test_open(id) AS value FROM relay.test_sealed WHERE id = request.id'),
        ('/test/refuse/{id}', 'SELECT relay_guard.fail(404, ''none'', ''not yours'', ''Ask.'') WHERE request.id > 0')
    ) AS r (path, query);
"""

# No other test's limits are used up
ADDRESS = {"X-Forwarded-For": "203.0.113.77"}

# What tells a request from another, not its answer
OWN = {"date", "x-request-id", "ratelimit", "x-ratelimit-remaining", "x-ratelimit-reset", "content-length"}


@pytest.fixture(scope="module", autouse=True)
def tables(postgres):
    postgres.sql(TABLES, user="relay_owner")
    postgres.sql("UPDATE relay_guard.rate_policy SET quota = 100000 WHERE name IN ('ip', 'user', 'knowledge')")
    yield
    postgres.sql("UPDATE relay_guard.rate_policy SET quota = CASE name WHEN 'ip' THEN 60 WHEN 'user' THEN 30 "
                 "ELSE 100 END WHERE name IN ('ip', 'user', 'knowledge')")


@pytest.fixture(scope="module")
def gateway(postgres):
    with running(postgres.url("relay_gateway"), TRUSTED_PROXIES="127.0.0.1") as gateway:
        wait_until(gateway.is_ready, what="readiness")
        yield gateway


@pytest.fixture(scope="module")
def alice(gateway):
    return gateway.ask("POST", "/api/v1/anon_session", ADDRESS).json()


def headers(user, **more):
    return {"Authorization": f"Bearer {user['token']}", **ADDRESS, **more}


def failures(postgres):
    return postgres.sql("SELECT value::int FROM relay_guard.metrics() "
                        "WHERE name = 'relay_guard_decrypt_failures_total'")[0][0]


def shape(answer):
    """Everything of an answer that does not belong to its request alone, in order."""
    body = answer.json()
    assert body.pop("request_id") == answer.header("X-Request-ID")
    body.pop("instance")
    return answer.status, body, [(name, None if name in OWN else value) for name, value in answer.headers]


def same_as_missing(found, missing):
    assert missing.status == 404 and missing.json()["code"] == "not_found"
    assert shape(found) == shape(missing)
    assert found.header("RateLimit") and found.header("X-RateLimit-Remaining")


@pytest.mark.parametrize("path", ["sealed", "inside"])
@pytest.mark.parametrize("row", [2, 3])
def test_a_route_that_decrypts_answers_as_if_the_row_were_missing(gateway, alice, path, row):
    assert gateway.get(f"/test/{path}/1", headers(alice)).json() == {"value": "value 1"}
    same_as_missing(gateway.get(f"/test/{path}/{row}", headers(alice)),
                    gateway.get(f"/test/{path}/999", headers(alice)))


def test_it_counts_as_any_request(gateway, alice):
    left = int(gateway.get("/test/sealed/1", headers(alice)).header("X-RateLimit-Remaining"))
    for path in "sealed/2", "sealed/999", "refuse/1":
        left -= 1
        assert gateway.get(f"/test/{path}", headers(alice)).header("X-RateLimit-Remaining") == str(left)


def best_time(gateway, user, path):
    """The shortest of many, in seconds: what the machine does besides falls away."""
    connection = gateway.connect()
    times = []
    for _ in range(40):
        started = time.perf_counter()
        connection.request("GET", path, headers(user))
        assert connection.read().status == 404
        times.append(time.perf_counter() - started)
    connection.close()
    return min(times)


def is_as_quick(gateway, user, path, other, tolerance):
    """In one of five rounds: a difference that a client could use is there in each."""
    return any(best_time(gateway, user, path) < best_time(gateway, user, other) + tolerance for _ in range(5))


def test_both_kinds_of_missing_take_comparable_time(gateway, alice):
    assert is_as_quick(gateway, alice, "/test/sealed/2", "/test/sealed/999", 0.002)


def test_the_logs_know_the_cause_and_the_client_does_not(gateway, postgres, alice):
    time.sleep(1.1)    # a backend says it once a second
    answer = gateway.get("/test/sealed/2", headers(alice, **{"X-Request-ID": "moved-1"}))
    assert b"open" not in answer.body and b"AAD" not in answer.body
    wait_until(lambda: "request moved-1" in (postgres.dir / "log").read_text(), what="a line in the log")
    log = (postgres.dir / "log").read_text()
    assert "Last in function decrypt_text(), request moved-1." in log
    assert "ERROR:  there is no such thing here" not in log and "ERROR:  the value does not open" not in log
    told = [json.loads(line) for line in gateway.errors().splitlines() if "moved-1" in line]
    assert [line["sqlstate"] for line in told] == ["RG404"] and "does not open" not in str(told)


def test_an_attack_is_counted(gateway, postgres, alice):
    before = failures(postgres)
    assert gateway.get("/test/sealed/2", headers(alice)).status == 404
    assert failures(postgres) == before + 1
    assert gateway.get("/test/sealed/999", headers(alice)).status == 404
    assert failures(postgres) == before + 1


def test_a_missing_key_is_503_and_only_the_logs_say_which(gateway, postgres, alice):
    before = failures(postgres)
    answer = gateway.get("/test/sealed/4", headers(alice, **{"X-Request-ID": "no-key"}))
    assert answer.status == 503 and answer.json()["code"] == "unavailable"
    assert answer.header("Retry-After") == "1"
    assert b"key" not in answer.body.replace(b"no-key", b"") and b"99" not in answer.body
    wait_until(lambda: "key 99 is not in the key ring" in (postgres.dir / "log").read_text(), what="a line in the log")
    assert any("no-key" in line and "key 99 is not in the key ring" in line
               for line in gateway.errors().splitlines())
    assert failures(postgres) == before


def test_what_a_route_refuses_by_itself_stays_its_own(gateway, alice):
    answer = gateway.get("/test/refuse/1", headers(alice))
    problem = answer.json()
    assert answer.status == 404
    assert (problem["code"], problem["detail"], problem["suggestion"]) == ("none", "not yours", "Ask.")
    assert answer.header("RateLimit-Policy")


def hs256(secret, **claims):
    """A token as an outside issuer makes it."""
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=")
             for part in ({"alg": "HS256", "kid": "k"}, claims)]
    mac = hmac.digest(secret.encode(), b".".join(parts), hashlib.sha256)
    return b".".join([*parts, base64.urlsafe_b64encode(mac).rstrip(b"=")]).decode()


def test_an_error_before_the_limits_were_taken_tells_nothing_of_them(gateway, postgres):
    secret = "a secret of an issuer, 0123456789abcdef"
    postgres.sql(f"SELECT relay_guard.issuer_add('damaged', 'app'), "
                 f"relay_guard.jwt_key_add('damaged', 'k', '{secret}')")
    user = {"token": hs256(secret, iss="damaged", aud="app", sub="dora", exp=int(time.time()) + 60)}
    assert gateway.get("/test/sealed/1", headers(user)).status == 200
    postgres.sql("UPDATE relay_guard.jwt_key SET secret = set_byte(secret, 40, get_byte(secret, 40) # 1) "
                 "WHERE iss = 'damaged'")
    answer = gateway.get("/test/sealed/1", headers(user))
    assert answer.status == 503 and answer.header("RateLimit") is None and b"jwt_key" not in answer.body
    postgres.sql("DELETE FROM relay_guard.issuer WHERE iss = 'damaged'")


FILES = "/api/v1/knowledge/files"
DAMAGE = "set_byte(metadata, 40, get_byte(metadata, 40) # 1)"


def add(gateway, user, name):
    answer = gateway.ask("POST", FILES, headers(user, **{"Content-Type": "application/json"}),
                         json.dumps({"name": name, "metadata": {"of": name}}).encode())
    assert answer.status == 201 and answer.json()["metadata"] == {"of": name}
    return answer.json()["id"]


def attack(postgres, target, value):
    """As a superuser who writes past every trigger."""
    postgres.sql("SET session_replication_role = replica; "
                 f"UPDATE relay.knowledge_file SET metadata = {value} WHERE id = '{target}'")


def value_of(row):
    return f"(SELECT metadata FROM relay.knowledge_file WHERE id = '{row}')"


def names(answer):
    assert answer.status == 200
    return [file["name"] for file in answer.json()["files"]]


def pages(gateway, user, limit):
    """The names on each page."""
    found, after = [], ""
    while True:
        answer = gateway.get(f"{FILES}?limit={limit}{after}", headers(user))
        found.append(names(answer))
        if answer.json()["next"] is None:
            return found
        after = f"&after={answer.json()['next']}"


@pytest.fixture
def users(gateway):
    """Two of them, with three files each."""
    opened = [gateway.ask("POST", "/api/v1/anon_session", ADDRESS).json() for _ in range(2)]
    for user in opened:
        user["files"] = [add(gateway, user, name) for name in "abc"]
    return opened


def moved_within_a_user(alice, bob):
    return value_of(alice["files"][0])


def moved_to_another_user(alice, bob):
    return value_of(bob["files"][1])


def damaged(alice, bob):
    return DAMAGE


def of_another_column(alice, bob):
    return (f"(SELECT relay_guard.encrypt('{{}}'::jsonb, relay_guard.aad('relay.knowledge_file.name', user_id, id::text)) "
            f"FROM relay.knowledge_file WHERE id = '{alice['files'][1]}')")


ATTACKS = [moved_within_a_user, moved_to_another_user, damaged, of_another_column]


@pytest.mark.parametrize("value", ATTACKS)
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_helicone_5597_a_value_of_another_row_or_tenant_is_not_there(gateway, postgres, users, method, value):
    alice, bob = users
    target = alice["files"][1]
    attack(postgres, target, value(alice, bob))
    before = failures(postgres)
    found = gateway.ask(method, f"{FILES}/{target}", headers(alice))
    assert failures(postgres) == before + 1
    same_as_missing(found, gateway.ask(method, f"{FILES}/{uuid.uuid4()}", headers(alice)))
    assert failures(postgres) == before + 1
    assert names(gateway.get(FILES, headers(alice))) == ["c", "a"]
    assert names(gateway.get(FILES, headers(bob))) == ["c", "b", "a"]
    assert postgres.sql(f"SELECT count(*) FROM relay.knowledge_file WHERE id = '{target}'") == [(1,)]


def test_a_moved_value_takes_no_longer_than_a_missing_one(gateway, postgres, users):
    alice, bob = users
    attack(postgres, alice["files"][1], moved_to_another_user(alice, bob))
    moved, missing = f"{FILES}/{alice['files'][1]}", f"{FILES}/{uuid.uuid4()}"
    assert is_as_quick(gateway, alice, moved, missing, 0.001)


def test_moved_back_it_is_there_again(gateway, postgres, users):
    alice, _ = users
    target = alice["files"][1]
    value, = postgres.sql(f"SELECT encode(metadata, 'hex') FROM relay.knowledge_file WHERE id = '{target}'")[0]
    attack(postgres, target, DAMAGE)
    assert gateway.get(f"{FILES}/{target}", headers(alice)).status == 404
    attack(postgres, target, f"decode('{value}', 'hex')")
    assert gateway.get(f"{FILES}/{target}", headers(alice)).json()["metadata"] == {"of": "b"}


def test_whoever_owns_the_row_now_does_not_read_it(gateway, postgres, users):
    """A row that is given to another tenant takes its value along, but not its place."""
    alice, bob = users
    postgres.sql("SET session_replication_role = replica; UPDATE relay.knowledge_file "
                 f"SET user_id = '{bob['user_id']}' WHERE id = '{alice['files'][1]}'")
    for user in alice, bob:
        assert gateway.get(f"{FILES}/{alice['files'][1]}", headers(user)).status == 404
    assert names(gateway.get(FILES, headers(bob))) == ["c", "b", "a"]


def test_pages_stay_full_and_lose_nothing_else(gateway, postgres):
    user = gateway.ask("POST", "/api/v1/anon_session", ADDRESS).json()
    files = [add(gateway, user, f"{i:02}") for i in range(12)]
    for i in 11, 8, 7, 3, 0:    # newest, in the middle, where a page ends, oldest
        attack(postgres, files[i], DAMAGE)
    shown = [f"{i:02}" for i in range(11, -1, -1) if i not in (11, 8, 7, 3, 0)]
    assert pages(gateway, user, 3) == [shown[:3], shown[3:6], shown[6:]]
    assert pages(gateway, user, 7) == [shown, []]
    assert pages(gateway, user, 50) == [shown]


def test_a_page_decrypts_its_own_rows_alone(gateway, postgres, users):
    alice, bob = users
    attack(postgres, alice["files"][0], DAMAGE)
    for file in bob["files"]:
        attack(postgres, file, DAMAGE)
    before = failures(postgres)
    assert names(gateway.get(f"{FILES}?limit=2", headers(alice))) == ["c", "b"]
    assert gateway.get(f"{FILES}/{bob['files'][0]}", headers(alice)).status == 404
    assert failures(postgres) == before


def test_the_list_is_read_in_the_order_of_its_index(postgres):
    postgres.sql("INSERT INTO relay.decrypted_knowledge_file (user_id, name, content_type) "
                 "SELECT 'reader ' || n % 50, n::text, 'text/plain' FROM generate_series(1, 5000) AS n")
    postgres.sql("ANALYZE relay.knowledge_file")
    query, = postgres.sql(f"SELECT query FROM relay_guard.route WHERE method = 'GET' AND path = '{FILES}'")[0]
    for name, parameter in ("after_created_at", 1), ("after_id", 2), ("limit", 3):
        query = query.replace(f"request.{name}", f"${parameter}")
    plan = postgres.sql(
        "BEGIN; SELECT relay_guard.assume('reader 7'); SET LOCAL ROLE relay_app; "
        "SET LOCAL plan_cache_mode = force_generic_plan; "
        f"PREPARE list(timestamptz, uuid, bigint) AS {query}; "
        "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) "
        "EXECUTE list('infinity', 'ffffffff-ffff-ffff-ffff-ffffffffffff', 20)")
    plan = "\n".join(line for line, in plan).replace(".00 loops", " loops")  # rows have decimals from 18 on
    assert "Index Scan using knowledge_file_user_id_created_at_id" in plan and "Sort" not in plan
    assert "rows=20 loops=1" in plan and "rows=100" not in plan, plan
    postgres.sql("DELETE FROM relay.knowledge_file WHERE user_id LIKE 'reader %'")


def test_nothing_of_metadata_is_stored_in_clear(gateway, postgres, users):
    raw, = postgres.sql(f"SELECT metadata FROM relay.knowledge_file WHERE id = '{users[0]['files'][0]}'")[0]
    assert bytes(raw)[0] == 1 and b"of" not in bytes(raw)[29:-16] and len(raw) == 45 + len('{"of": "a"}')
    assert postgres.sql("SELECT count(*) FROM relay.knowledge_file WHERE NOT relay_guard.is_envelope(metadata)") == [(0,)]


def test_what_is_no_object_is_refused(gateway, users):
    for metadata in [], "text", 1, None:
        answer = gateway.ask("POST", FILES, headers(users[0], **{"Content-Type": "application/json"}),
                             json.dumps({"name": "x", "metadata": metadata}).encode())
        assert answer.status == 422 and answer.json()["pointer"] == "/body/metadata"


def test_the_application_has_no_findings(postgres):
    assert postgres.sql("SELECT code, object FROM relay_guard.lint() WHERE object ~ 'knowledge_file'") == []
