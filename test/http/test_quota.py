"""Quotas of routes as a client sees them.  Users are new in each test; windows are months
and lifetimes, or the test waits until an hour has time left."""
import concurrent.futures
import itertools
import time
import uuid

import psycopg2
import pytest

from conftest import running, wait_until

CAP = 4
POLICIES = f"""
    INSERT INTO relay_guard.quota_policy (name, scope, cap, "window", unit) VALUES
        ('q_user', 'user', {CAP}, 'month', 'request'), ('q_workspace', 'workspace', {CAP}, 'month', 'request'),
        ('q_wide', 'user', 1000, 'day', 'request'), ('q_none', 'user', 0, 'month', 'request'),
        ('q_ip', 'ip', {CAP}, 'month', 'request'), ('q_ever', 'user', {CAP}, 'lifetime', 'request'),
        ('q_off', 'user', 1, 'month', 'request')
"""
N = """[{"name": "n", "in": "query", "schema": {"type": "integer", "minimum": 0, "default": 1}}]"""


def route(name, query, quota, method="GET", auth="anonymous", result="value"):
    return f"('{method}', '/test/quota/{name}', '{query}', '{auth}', '{result}', '{quota}', '{N}', 'relay_app')"


ROUTES = "INSERT INTO relay_guard.route (method, path, query, auth, result, quota, parameters, run_as) VALUES " + ", ".join([
    route("message", "SELECT 1 / request.n", "{anon_hour,anon_lifetime}", "POST"),
    route("ever", "SELECT request.n", "{anon_lifetime}", "POST"),
    route("user", "SELECT 1 / request.n", "{q_user}"),
    route("user", "SELECT 1 / request.n", "{q_user}", "POST"),
    route("row", "SELECT request.n AS n WHERE request.n > 0", "{q_user}", result="row"),
    route("twice", "SELECT request.n", "{q_user,q_wide,q_user}"),
    route("both", "SELECT request.n", "{q_wide,q_user}"),
    route("workspace", "SELECT request.n", "{q_workspace}"),
    route("none", "SELECT request.n", "{q_none}"),
    route("mine", "SELECT request.n", "{q_ever}"),
    route("off", "SELECT request.n", "{q_off}"),
    route("open", "SELECT request.n", "{anon_lifetime,q_ip}", auth="none"),
    route("optional", "SELECT request.n", "{anon_lifetime}", auth="optional"),
    route("signed", "SELECT request.n", "{q_user}", auth="user"),
    route("own", "SELECT used FROM relay_guard.quota_require(''q_user'')", "{}"),
    route("own-ever", "SELECT used FROM relay_guard.quota_require(''q_ever'')", "{}")])

users = itertools.count(1)
addresses = itertools.count(1)


@pytest.fixture(scope="module", autouse=True)
def routes(postgres):
    postgres.sql(POLICIES, user="relay_owner")
    postgres.sql("UPDATE relay_guard.quota_policy SET enabled = false WHERE name = 'q_off'", user="relay_owner")
    postgres.sql(ROUTES, user="relay_owner")
    postgres.sql("SELECT relay_guard.audit_event('test', 'quotas')")
    postgres.sql("SELECT relay_guard.audit_seal()")
    yield
    postgres.sql("DELETE FROM relay_guard.route WHERE path LIKE '/test/quota/%'", user="relay_owner")
    postgres.sql("DELETE FROM relay_guard.quota_policy WHERE name LIKE 'q\\_%'", user="relay_owner")


@pytest.fixture(scope="module")
def gateway(postgres):
    with running(postgres.url("relay_gateway"), TRUSTED_PROXIES="127.0.0.1") as gateway:
        wait_until(gateway.is_ready, what="readiness")
        yield gateway


@pytest.fixture(autouse=True)
def away_from_midnight():
    """No month ends during a test."""
    left = 86400 - time.time() % 86400
    if left < 30:
        time.sleep(left + 0.1)


def anonymous():
    return f"anon:{uuid.uuid4()}"


def user():
    return f"quota-user-{next(users)}"


def headers(postgres, who, **claims):
    role = "anonymous" if who.startswith("anon:") else "user"
    extra = "".join(f", {name} => '{value}'" for name, value in claims.items())
    token = postgres.sql(f"SELECT relay_guard.issue_token('{who}', role => '{role}'{extra})")[0][0]
    return {"Authorization": f"Bearer {token}", "X-Forwarded-For": f"198.51.100.{next(addresses)}"}


def statuses(gateway, times, method, target, who):
    return [gateway.ask(method, target, who).status for _ in range(times)]


def within_the_hour(seconds=30):
    """So that no window ends between two requests of a test."""
    left = 3600 - time.time() % 3600
    if left < seconds:
        time.sleep(left + 0.1)


def taken(postgres, policy, who):
    return postgres.sql("SELECT coalesce(sum(l.units), 0)::int FROM relay_guard.usage_ledger l JOIN relay_guard.quota_policy p "
                        f"ON p.id = l.policy WHERE p.name = '{policy}' AND l.value = '{who}'")[0][0]


def test_the_21st_message_of_an_hour_is_refused(postgres, gateway):
    within_the_hour()
    who = headers(postgres, anonymous())
    for left in range(19, -1, -1):
        answer = gateway.ask("POST", "/test/quota/message", who)
        assert answer.status == 200
        assert f'"anon_hour";r={left};t=' in answer.header("RateLimit")
        assert f'"anon_lifetime";r={left + 80}' in answer.header("RateLimit")
    asked = time.time()
    refused = gateway.ask("POST", "/test/quota/message", who)
    answered = time.time()
    problem = refused.json()
    assert (refused.status, problem["code"], problem["violated-policies"]) == (429, "quota_exhausted", ["anon_hour"])
    assert problem["detail"] == "the quota anon_hour of 20 an hour is used up"
    wait = int(refused.header("Retry-After"))
    assert 0 < wait <= 3600 and 3600 - answered % 3600 - 2 <= wait <= 3600 - asked % 3600 + 2
    assert problem["suggestion"] == f"Wait {wait} s or sign in, then try again."
    assert refused.header("RateLimit-Policy") == '"anon_hour";q=20;w=3600, "anon_lifetime";q=100'
    assert refused.header("RateLimit") == f'"anon_hour";r=0;t={wait}, "anon_lifetime";r=80'
    assert refused.header("X-RateLimit-Limit") == "20" and refused.header("X-RateLimit-Remaining") == "0"
    assert refused.header("Cache-Control") == "no-store" and refused.header("x-should-retry") is None


def test_the_101st_message_of_a_lifetime_is_refused_for_good(postgres, gateway):
    name = anonymous()
    who = headers(postgres, name)
    assert statuses(gateway, 100, "POST", "/test/quota/ever", who) == [200] * 100
    refused = gateway.ask("POST", "/test/quota/ever", who)
    problem = refused.json()
    assert (refused.status, problem["code"], problem["violated-policies"]) == (429, "quota_exhausted", ["anon_lifetime"])
    assert problem["suggestion"] == "Sign in to go on."
    assert refused.header("Retry-After") is None and refused.header("x-should-retry") == "false"
    assert refused.header("RateLimit-Policy") == '"anon_lifetime";q=100' and refused.header("RateLimit") == '"anon_lifetime";r=0'
    assert refused.header("X-RateLimit-Reset") is None and refused.header("Cache-Control") == "no-store"
    assert taken(postgres, "anon_lifetime", name) == 100


def test_a_signed_in_user_goes_on(postgres, gateway):
    who = headers(postgres, user())
    assert statuses(gateway, 25, "POST", "/test/quota/message", who) == [200] * 25
    assert gateway.ask("POST", "/test/quota/message", who).header("RateLimit") is None


def test_a_lifetime_of_somebody_signed_in_has_another_suggestion(postgres, gateway):
    who = headers(postgres, user())
    assert statuses(gateway, CAP, "GET", "/test/quota/mine", who) == [200] * CAP
    refused = gateway.get("/test/quota/mine", who)
    assert refused.status == 429 and "Sign in" not in refused.json()["suggestion"]


def test_a_handler_that_fails_gives_it_back(postgres, gateway):
    name = user()
    who = headers(postgres, name)
    for _ in range(2 * CAP):
        failed = gateway.get("/test/quota/user?n=0", who)
        assert failed.status == 500
        assert gateway.get("/test/quota/row?n=0", who).status == 404
        assert gateway.get("/test/quota/user?n=-1", who).status == 422
        assert gateway.get("/test/quota/user?n=x", who).status == 422
    assert taken(postgres, "q_user", name) == 0
    assert statuses(gateway, CAP + 1, "GET", "/test/quota/user", who) == [200] * CAP + [429]
    assert taken(postgres, "q_user", name) == CAP


def test_what_a_failed_request_says_is_left_counts_what_comes_back(postgres, gateway):
    who = headers(postgres, user())
    missing = gateway.get("/test/quota/row?n=0", who)
    assert missing.status == 404 and f'"q_user";r={CAP};t=' in missing.header("RateLimit")
    assert f'"q_user";r={CAP - 1};t=' in gateway.get("/test/quota/row", who).header("RateLimit")


def test_refusals_before_the_handler_cost_nothing(postgres, gateway):
    name = anonymous()
    who = headers(postgres, name)
    assert statuses(gateway, 2, "GET", "/test/quota/signed", who) == [403] * 2
    assert statuses(gateway, 2, "OPTIONS", "/test/quota/user", who) == [204] * 2
    assert statuses(gateway, 2, "GET", "/test/quota/nowhere", who) == [404] * 2
    assert statuses(gateway, 2, "DELETE", "/test/quota/user", who) == [405] * 2
    assert taken(postgres, "q_user", name) == 0


def test_head_costs_nothing_and_passes_no_quota_that_is_used_up(postgres, gateway):
    name = user()
    who = headers(postgres, name)
    assert statuses(gateway, 2 * CAP, "HEAD", "/test/quota/user", who) == [200] * 2 * CAP
    assert taken(postgres, "q_user", name) == 0
    assert statuses(gateway, CAP, "GET", "/test/quota/user", who) == [200] * CAP
    assert statuses(gateway, 2, "HEAD", "/test/quota/user", who) == [429] * 2


def test_users_and_tenants_are_apart(postgres, gateway):
    alice, bob = headers(postgres, user()), headers(postgres, user())
    assert statuses(gateway, CAP + 1, "GET", "/test/quota/user", alice) == [200] * CAP + [429]
    assert statuses(gateway, CAP + 1, "GET", "/test/quota/user", bob) == [200] * CAP + [429]
    here = [headers(postgres, user(), workspace="here") for _ in range(2)]
    there = headers(postgres, user(), workspace="there")
    assert [gateway.get("/test/quota/workspace", here[i % 2]).status for i in range(CAP + 2)] == [200] * CAP + [429] * 2
    assert statuses(gateway, CAP + 1, "GET", "/test/quota/workspace", there) == [200] * CAP + [429]


def test_quotas_are_taken_all_or_none(postgres, gateway):
    name = user()
    who = headers(postgres, name)
    assert statuses(gateway, CAP + 5, "GET", "/test/quota/both", who) == [200] * CAP + [429] * 5
    assert (taken(postgres, "q_wide", name), taken(postgres, "q_user", name)) == (CAP, CAP)


def test_a_quota_that_is_named_twice_is_taken_once(postgres, gateway):
    name = user()
    assert gateway.get("/test/quota/twice", headers(postgres, name)).header("RateLimit-Policy").count("q_user") == 1
    assert taken(postgres, "q_user", name) == 1


def test_a_quota_of_nothing_denies_everything(postgres, gateway):
    assert statuses(gateway, 2, "GET", "/test/quota/none", headers(postgres, user())) == [429] * 2


def test_a_quota_that_is_switched_off_binds_nobody(postgres, gateway):
    assert statuses(gateway, 3, "GET", "/test/quota/off", headers(postgres, user())) == [200] * 3


def test_without_credentials_it_is_the_address_that_counts(postgres, gateway):
    postgres.sql("UPDATE relay_guard.quota_policy SET cap = 3 WHERE name = 'anon_lifetime'", user="relay_owner")
    try:
        for target in "/test/quota/open", "/test/quota/optional":
            here = {"X-Forwarded-For": f"198.51.101.{next(addresses)}"}
            there = {"X-Forwarded-For": f"198.51.101.{next(addresses)}"}
            assert statuses(gateway, 4, "GET", target, here) == [200] * 3 + [429]
            assert statuses(gateway, 4, "GET", target, there) == [200] * 3 + [429]
        network = [gateway.get("/test/quota/optional", {"X-Forwarded-For": f"2001:db8:7:{next(addresses):x}::1"}).status,
                   *(gateway.get("/test/quota/optional", {"X-Forwarded-For": f"2001:db8:9:9::{i}"}).status for i in range(1, 5))]
        assert network == [200, 200, 200, 200, 429]
    finally:
        postgres.sql("UPDATE relay_guard.quota_policy SET cap = 100 WHERE name = 'anon_lifetime'", user="relay_owner")


def test_as_many_as_the_cap_whoever_is_faster(postgres, gateway):
    name = user()
    who = headers(postgres, name)
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: gateway.ask("POST", "/test/quota/user", who).status, range(64)))
    assert sorted(answers) == [200] * CAP + [429] * (64 - CAP)
    assert taken(postgres, "q_user", name) == CAP


def test_a_cap_that_is_raised_counts_at_once(postgres, gateway):
    """The gateway repeats refusals by rates from memory, but none by quotas."""
    who = headers(postgres, user())
    assert statuses(gateway, CAP + 2, "GET", "/test/quota/user", who) == [200] * CAP + [429] * 2
    postgres.sql(f"UPDATE relay_guard.quota_policy SET cap = {CAP + 2} WHERE name = 'q_user'", user="relay_owner")
    try:
        assert statuses(gateway, 3, "GET", "/test/quota/user", who) == [200, 200, 429]
    finally:
        postgres.sql(f"UPDATE relay_guard.quota_policy SET cap = {CAP} WHERE name = 'q_user'", user="relay_owner")


def test_a_statement_that_requires_a_quota_is_refused_as_a_route_is(postgres, gateway):
    who = headers(postgres, user())
    assert [gateway.get("/test/quota/own", who).json() for _ in range(CAP)] == list(range(1, CAP + 1))
    refused = gateway.get("/test/quota/own", who)
    assert (refused.status, refused.json()["code"]) == (429, "quota_exhausted")
    assert 0 < int(refused.header("Retry-After")) <= 31 * 86400 and refused.header("Cache-Control") == "no-store"
    assert statuses(gateway, CAP, "GET", "/test/quota/own-ever", who) == [200] * CAP
    refused = gateway.get("/test/quota/own-ever", who)
    assert (refused.status, refused.json()["code"]) == (429, "quota_exhausted")
    assert refused.header("Retry-After") is None and refused.header("x-should-retry") == "false"


def test_a_month_is_as_long_as_it_is(postgres, gateway):
    answer = gateway.get("/test/quota/user", headers(postgres, user()))
    length, = postgres.sql("SELECT extract(epoch FROM m + interval '1 month' - m)::int "
                           "FROM date_trunc('month', now() AT TIME ZONE 'UTC') m")[0]
    assert answer.header("RateLimit-Policy") == f'"q_user";q={CAP};w={length}'
    assert int(answer.header("RateLimit").rpartition("t=")[2]) <= length


def test_a_refusal_is_in_the_audit_log(postgres, gateway):
    name = user()
    who = headers(postgres, name)
    request_id = f"quota-{uuid.uuid4()}"
    assert gateway.get("/test/quota/none", {**who, "X-Request-ID": request_id}).status == 429
    query = f"SELECT actor, resource_id, details FROM relay_guard.audit_log WHERE action = 'denied' AND request_id = '{request_id}'"
    wait_until(lambda: postgres.sql(query), what="the row of a denial")
    (actor, resource, details), = postgres.sql(query)
    assert (actor, resource) == (name, "GET /test/quota/none")
    assert (details["class"], details["code"], details["http_status"]) == ("quota", "quota_exhausted", 429)


def test_a_route_names_quotas_and_budgets_that_there_are(postgres):
    for column, value in ("quota", "{q_nowhere}"), ("budget", "nowhere"):
        with pytest.raises(psycopg2.errors.UndefinedObject):
            postgres.sql(f"UPDATE relay_guard.route SET {column} = '{value}' WHERE path = '/test/quota/user'", user="relay_owner")
    with pytest.raises(psycopg2.errors.CheckViolation):
        postgres.sql("UPDATE relay_guard.route SET quota = '{q_user,q_ip,q_wide,q_none,q_ever}' "
                     "WHERE path = '/test/quota/user'", user="relay_owner")
