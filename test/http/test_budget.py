"""Budgets as clients and admins see them: reservations, one's own usage, the day's budget.

Budgets of users and workspaces are of months, the shipped one is of a day."""
import concurrent.futures
import itertools
import json
import time
import uuid
from decimal import Decimal

import pytest

from conftest import running, wait_until

SHIPPED = "/api/v1/llm/reservations"
RESERVATIONS = "/test/llm/reservations"     # the same for anybody, each with budgets of its own
USAGE = "/api/v1/usage"
ADMIN = "/v1/admin/llm-budget"
ADMIN_KEY = "Zr8hN2xkTz5vLr0cYb7mJd4pFs9gKe3u"
HARD, WARN = 100000, 50000  # micro-USD of a user

# 3 and 15 USD for a million tokens: 1000 and 1000 of them are 18,000 micro-USD
SETUP = f"""
    INSERT INTO relay_guard.model (name, provider, input_price, output_price, embedding_price, max_input_tokens, max_output_tokens, enabled)
    VALUES ('t-chat', 'test', 3000000, 15000000, NULL, 200000, 10000, true), ('t-embed', 'test', 0, 0, 20000, 10000000, 0, true),
           ('t-off', 'test', 1, 1, NULL, 1, 1, false);
    INSERT INTO relay_guard.budget_policy (name, scope, "window", warn, hard) VALUES
        ('b_user', 'user', 'month', {WARN}, {HARD}), ('b_tenant', 'workspace', 'month', NULL, {2 * HARD}),
        ('b_closed', 'user', 'month', NULL, 0);
    UPDATE relay_guard.budget_policy SET enabled = false WHERE name = 'b_closed';
    INSERT INTO relay_guard.quota_policy (name, scope, cap, "window") VALUES ('b_everybody', 'global', 1000000, 'month'),
        ('b_tenant', 'workspace', 1000000, 'month');
    INSERT INTO relay_guard.route (method, path, query, auth, result, quota, budget, run_as) VALUES
        ('GET', '/test/budget/all', 'SELECT 1', 'anonymous', 'value', '{{anon_lifetime}}', 'all', 'relay_app'),
        ('GET', '/test/budget/user', 'SELECT 1', 'anonymous', 'value', '{{}}', 'b_user', 'relay_app'),
        ('GET', '/test/budget/closed', 'SELECT 1', 'anonymous', 'value', '{{}}', 'b_closed', 'relay_app'),
        ('GET', '/test/budget/none', 'SELECT 1', 'anonymous', 'value', '{{}}', NULL, 'relay_app'),
        ('POST', '/test/budget/embed', 'SELECT amount FROM relay_guard.budget_charge(''t-embed'', embedding_tokens => 1000001)',
         'anonymous', 'value', '{{}}', NULL, 'relay_app');
    INSERT INTO relay_guard.route (method, path, query, auth, parameters, request_body, rate, quota, budget, result, status, run_as)
    SELECT method, replace(path, '/api/v1/', '/test/'), query, 'anonymous', parameters, request_body, rate,
           CASE WHEN budget IS NULL THEN '{{}}' ELSE '{{anon_hour,anon_lifetime}}'::text[] END, budget, result, status, run_as
    FROM relay_guard.route WHERE path LIKE '{SHIPPED}%'
"""
REST = """
    DELETE FROM relay_guard.route WHERE path LIKE '/test/budget/%' OR path LIKE '/test/llm/%';
    DELETE FROM relay_guard.budget_policy WHERE name LIKE 'b\\_%';
    DELETE FROM relay_guard.quota_policy WHERE name LIKE 'b\\_%';
    DELETE FROM relay_guard.model WHERE name LIKE 't-%'
"""

users = itertools.count(1)
addresses = itertools.count(1)


@pytest.fixture(scope="module", autouse=True)
def policies(postgres):
    postgres.sql(SETUP, user="relay_owner")
    postgres.sql(f"SELECT relay_guard.api_key_set('budget-admin', '{ADMIN_KEY}', 'admin')")
    postgres.sql("SELECT relay_guard.audit_event('test', 'budgets')")
    postgres.sql("SELECT relay_guard.audit_seal()")
    yield
    postgres.sql("SELECT relay_guard.api_key_unset('budget-admin')")
    postgres.sql(REST, user="relay_owner")


@pytest.fixture(scope="module")
def gateway(postgres):
    with running(postgres.url("relay_gateway"), TRUSTED_PROXIES="127.0.0.1") as gateway:
        wait_until(gateway.is_ready, what="readiness")
        yield gateway


@pytest.fixture(autouse=True)
def away_from_midnight():
    """No day and no month ends during a test."""
    left = 86400 - time.time() % 86400
    if left < 30:
        time.sleep(left + 0.1)


class Client:
    """A user with an address of its own."""

    def __init__(self, postgres, gateway, name=None, role="user", **claims):
        self.name = name or f"budget-user-{next(users)}"
        self.gateway = gateway
        extra = "".join(f", {claim} => '{value}'" for claim, value in claims.items())
        token, = postgres.sql(f"SELECT relay_guard.issue_token('{self.name}', role => '{role}'{extra})")[0]
        self.headers = {"Authorization": f"Bearer {token}", "X-Forwarded-For": f"198.51.102.{next(addresses)}",
                        "Content-Type": "application/json"}

    def ask(self, method, target, **body):
        return self.gateway.ask(method, target, self.headers, json.dumps(body).encode() if body else None)

    def reserve(self, input_tokens=1000, max_output_tokens=1000, model="t-chat", **more):
        return self.ask("POST", RESERVATIONS, model=model, input_tokens=input_tokens, max_output_tokens=max_output_tokens, **more)

    def reserved(self, *tokens):
        answer = self.reserve(*tokens)
        assert answer.status == 201, answer.body
        return answer.json()["id"]

    def settle(self, reservation, input_tokens=1000, output_tokens=1000):
        return self.ask("POST", f"{RESERVATIONS}/{reservation}/settle", input_tokens=input_tokens, output_tokens=output_tokens)

    def usage(self):
        answer = self.ask("GET", USAGE)
        assert answer.status == 200, answer.body
        return exact(answer)

    def budget(self, policy):
        return next(budget for budget in self.usage()["budgets"] if budget["policy"] == policy)


@pytest.fixture
def client(postgres, gateway):
    return lambda name=None, role="user", **claims: Client(postgres, gateway, name, role, **claims)


def exact(answer):
    """Numbers with a point as what they say, not as what a float makes of them."""
    return json.loads(answer.body, parse_float=Decimal)


def usd(micro):
    return Decimal(micro) / 1000000


def ledger(postgres, where="true"):
    """Spend and holds of today, in micro-USD."""
    return postgres.sql("SELECT coalesce(sum(spent) FILTER (WHERE usage = 'llm'), 0)::bigint, "
                        "coalesce(sum(spent) FILTER (WHERE usage = 'embedding'), 0)::bigint, coalesce(sum(reserved), 0)::bigint "
                        f"FROM relay_guard.usage_ledger WHERE reserved_at >= date_trunc('day', now(), 'UTC') AND {where}")[0]


def assert_stopped(answer, policy):
    problem = answer.json()
    assert (answer.status, problem["code"]) == (429, "insufficient_quota"), problem
    assert policy in problem["detail"] and "until 20" in problem["detail"]
    assert answer.header("x-should-retry") == "false" and answer.header("Retry-After") is None
    assert answer.header("Cache-Control") == "no-store"


def test_pain_a_user_tells_what_the_own_calls_have_cost(client):
    """Whoever settles says what was used: those who are billed for it may not."""
    calls = [("POST", "", {"model": "t-chat", "input_tokens": 1, "max_output_tokens": 1}), ("POST", "/{id}/extend", {"tokens": 1}),
             ("POST", "/{id}/settle", {"input_tokens": 0, "output_tokens": 0}), ("DELETE", "/{id}", {})]
    for user in client(), client(workspace="w1"), client(f"anon:{uuid.uuid4()}", "anonymous"):
        for method, path, body in calls:
            refused = user.ask(method, SHIPPED + path.replace("{id}", str(uuid.uuid4())), **body)
            assert (refused.status, refused.json()["code"]) == (403, "admin_required")
    admin = client(role="admin")
    made = admin.ask("POST", SHIPPED, **calls[0][2])
    assert made.status == 201
    assert admin.ask("POST", f"{SHIPPED}/{made.json()['id']}/settle", input_tokens=1, output_tokens=1).status == 200


def test_reserve_extend_settle(postgres, client):
    alice = client()
    answer = alice.reserve(1000, 1000)
    made = exact(answer)
    assert answer.status == 201 and made["amount_usd"] == usd(18000) and made["warning"] is None
    more = exact(alice.ask("POST", f"{RESERVATIONS}/{made['id']}/extend", tokens=100, ttl_seconds=3600))
    assert more["id"] == made["id"] and more["amount_usd"] == usd(19500) and more["expires_at"] > made["expires_at"]
    assert alice.budget("b_user")["reserved_usd"] == usd(19500)
    settled = exact(alice.settle(made["id"], 1000, 333))
    assert settled == {"id": made["id"], "outcome": "settled", "amount_usd": usd(3000 + 333 * 15), "held_usd": usd(19500)}
    budget = alice.budget("b_user")
    assert (budget["spent_usd"], budget["reserved_usd"]) == (usd(7995), 0)
    assert ledger(postgres, f"user_id = '{alice.name}'") == (7995, 0, 0)


def test_the_ledger_tells_which_request_of_whom_a_row_is_of(postgres, client):
    alice = client(workspace="w1")
    ids = [f"ledger-{uuid.uuid4()}" for _ in range(4)]
    alice.headers["X-Request-ID"] = ids[0]
    first, second = alice.reserved(), alice.reserved()
    alice.headers["X-Request-ID"] = ids[1]
    assert alice.ask("POST", f"{RESERVATIONS}/{first}/extend", tokens=1).status == 200
    alice.headers["X-Request-ID"] = ids[2]
    alice.settle(first)
    alice.headers["X-Request-ID"] = ids[3]
    assert alice.ask("DELETE", f"{RESERVATIONS}/{second}").status == 204
    assert postgres.sql("SELECT kind, reservation::text, request_id, workspace_id, api_key FROM relay_guard.usage_ledger "
                        f"WHERE user_id = '{alice.name}' ORDER BY id") == [
        ("reserve", first, ids[0], "w1", None), ("reserve", second, ids[0], "w1", None), ("extend", first, ids[1], "w1", None),
        ("settle", first, ids[2], "w1", None), ("release", second, ids[3], "w1", None)]


def test_an_unknown_model_is_told_the_allowed_ones(client):
    for model in "nowhere", "t-off":
        refused = client().reserve(model=model)
        problem = refused.json()
        assert (refused.status, problem["code"]) == (422, "model_not_allowed")
        assert "t-chat" in problem["suggestion"] and "t-embed" in problem["suggestion"] and "t-off" not in problem["suggestion"]


def test_what_has_no_room_is_refused_and_costs_no_message(postgres, client):
    anonymous = client(f"anon:{uuid.uuid4()}", "anonymous")
    assert anonymous.reserve(1000, 6000).status == 201
    for _ in range(3):
        assert_stopped(anonymous.reserve(1000, 1000), "b_user")
    assert anonymous.reserve(model="nowhere").status == 422
    assert anonymous.reserve(input_tokens=-1).status == 422
    assert anonymous.ask("POST", RESERVATIONS, model="t-chat").status == 422
    used = {quota["policy"]: quota["used"] for quota in anonymous.usage()["quotas"]}
    assert used["anon_lifetime"] == 1
    assert anonymous.reserve(1, 1).status == 201


def test_the_21st_reservation_of_an_anonymous_user_is_refused(client):
    left = 3600 - time.time() % 3600
    if left < 30:
        time.sleep(left + 0.1)
    anonymous = client(f"anon:{uuid.uuid4()}", "anonymous")
    answers = [anonymous.reserve(1, 1) for _ in range(21)]
    assert [answer.status for answer in answers] == [201] * 20 + [429]
    assert answers[20].json()["code"] == "quota_exhausted" and '"anon_hour";q=20;w=3600' in answers[20].header("RateLimit-Policy")
    assert client().reserve(1, 1).status == 201


def test_nobody_ends_or_extends_anothers_reservation(postgres, client):
    alice, bob = client(), client()
    neighbour = client(workspace="w1")
    mine, unknown = alice.reserved(), str(uuid.uuid4())
    calls = [("POST", "/extend", {"tokens": 1}), ("POST", "/settle", {"input_tokens": 1, "output_tokens": 1}), ("DELETE", "", {})]
    for other in bob, neighbour:
        for method, action, body in calls:
            answers = [other.ask(method, f"{RESERVATIONS}/{reservation}{action}", **body) for reservation in (mine, unknown)]
            assert [answer.status for answer in answers] == [404, 404]
            problems = [answer.json() for answer in answers]
            assert {problem["code"] for problem in problems} == {"reservation_not_found"}
            assert len({(problem["detail"], problem.get("suggestion")) for problem in problems}) == 1
    assert alice.budget("b_user")["reserved_usd"] == usd(18000)
    assert alice.settle(mine).status == 200


def test_a_reservation_ends_once(postgres, client):
    alice = client()
    settled, released = alice.reserved(100, 100), alice.reserved(100, 100)
    first, again = alice.settle(settled, 100, 10), alice.settle(settled, 7, 7)
    assert exact(first)["outcome"] == "settled"
    assert exact(again) == {**exact(first), "outcome": "already_settled"}
    refused = alice.ask("DELETE", f"{RESERVATIONS}/{settled}")
    assert (refused.status, refused.json()["code"]) == (409, "reservation_settled")
    assert [alice.ask("DELETE", f"{RESERVATIONS}/{released}").status for _ in range(2)] == [204, 204]
    for method, action, body in ("POST", "/settle", {"input_tokens": 1, "output_tokens": 1}), ("POST", "/extend", {"tokens": 1}):
        refused = alice.ask(method, f"{RESERVATIONS}/{released}{action}", **body)
        assert (refused.status, refused.json()["code"]) == (409, "reservation_released")
    assert ledger(postgres, f"user_id = '{alice.name}'") == (450, 0, 0)


def test_absurd_numbers_are_refused(client):
    alice = client()
    for body in ({"input_tokens": 10**12}, {"input_tokens": 1.5}, {"input_tokens": "1"}, {"max_output_tokens": -1},
                 {"max_output_tokens": None}, {"ttl_seconds": 0}, {"ttl_seconds": 10**9}, {"model": ""}, {"amount": 0}):
        assert alice.ask("POST", RESERVATIONS, **{"model": "t-chat", "input_tokens": 1, "max_output_tokens": 1, **body}).status == 422
    assert alice.ask("POST", f"{RESERVATIONS}/x/settle", input_tokens=1, output_tokens=1).status in (404, 422)
    assert alice.budget("b_user")["reserved_usd"] == 0


def test_as_many_as_there_is_room_for_whoever_is_faster(client):
    alice = client()
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: alice.reserve(1000, 1000), range(24)))
    assert sorted(answer.status for answer in answers) == [201] * (HARD // 18000) + [429] * (24 - HARD // 18000)
    for answer in answers:
        if answer.status == 429:
            assert_stopped(answer, "b_user")


def test_a_warning_names_its_budget(client):
    alice = client()
    assert alice.reserve(1000, 1000).json()["warning"] is None
    assert alice.reserve(1000, 2000).json()["warning"] == "b_user"
    assert alice.budget("b_user")["at_warning"] is True


def test_a_route_with_a_budget_is_closed_when_it_is_used_up(client):
    alice, bob = client(), client()
    alice.settle(alice.reserved(0, 6000), 0, 8000)
    for target in "/test/budget/all", "/test/budget/user":
        refused = alice.ask("GET", target)
        assert_stopped(refused, "b_user")
        assert refused.json()["violated-policies"] == ["b_user"] and refused.json()["resets_at"].endswith("-01T00:00:00Z")
        assert bob.ask("GET", target).status == 200
    assert alice.ask("GET", "/test/budget/none").status == 200
    assert alice.usage()["blocked"] is True and bob.usage()["blocked"] is False


def test_a_budget_stop_costs_no_quota(postgres, client):
    anonymous = client(f"anon:{uuid.uuid4()}", "anonymous")
    anonymous.settle(anonymous.reserved(0, 6000), 0, 8000)
    assert [anonymous.ask("GET", "/test/budget/all").status for _ in range(3)] == [429] * 3
    assert {quota["policy"]: quota["used"] for quota in anonymous.usage()["quotas"]}["anon_lifetime"] == 1


def test_a_budget_that_is_switched_off_closes_nothing(postgres, client):
    alice = client()
    assert alice.ask("GET", "/test/budget/closed").status == 200
    postgres.sql("UPDATE relay_guard.budget_policy SET enabled = true WHERE name = 'b_closed'", user="relay_owner")
    try:
        assert_stopped(alice.ask("GET", "/test/budget/closed"), "b_closed")
        assert_stopped(alice.ask("GET", "/test/budget/all"), "b_closed")
        assert alice.ask("GET", "/test/budget/user").status == 200
    finally:
        postgres.sql("UPDATE relay_guard.budget_policy SET enabled = false WHERE name = 'b_closed'", user="relay_owner")
    assert alice.ask("GET", "/test/budget/closed").status == 200


def test_a_limit_that_is_raised_counts_at_once(postgres, client):
    alice = client()
    alice.settle(alice.reserved(0, 6000), 0, 8000)
    assert_stopped(alice.ask("GET", "/test/budget/user"), "b_user")
    postgres.sql(f"UPDATE relay_guard.budget_policy SET hard = {10 * HARD} WHERE name = 'b_user'", user="relay_owner")
    try:
        assert alice.ask("GET", "/test/budget/user").status == 200
        assert alice.reserve().status == 201
    finally:
        postgres.sql(f"UPDATE relay_guard.budget_policy SET hard = {HARD} WHERE name = 'b_user'", user="relay_owner")


def test_ones_own_usage_and_nobody_elses(postgres, client):
    alice, bob = client(workspace="w2"), client(workspace="w2")
    stranger = client(workspace="w3")
    alice.settle(alice.reserved(100, 100), 100, 40)
    alice.settle(alice.reserved(100, 100), 1, 1)
    assert alice.ask("POST", "/test/budget/embed").json() == 20001
    alice.reserved(10, 10)
    bob.settle(bob.reserved(1000, 1000))
    usage = alice.usage()
    for period in "today", "this_month":
        spend = usage[period]
        assert spend["models"] == [
            {"model": "t-chat", "usage": "llm", "calls": 2, "input_tokens": 101, "output_tokens": 41, "spend_usd": usd(101 * 3 + 41 * 15)},
            {"model": "t-embed", "usage": "embedding", "calls": 1, "input_tokens": 1000001, "output_tokens": 0, "spend_usd": usd(20001)}]
        assert spend["spend_usd"] == usd(101 * 3 + 41 * 15 + 20001) and spend["from"].endswith("T00:00:00Z")
    budgets = {budget["policy"]: budget for budget in usage["budgets"]}
    assert set(budgets) == {"b_user", "b_tenant"}
    assert budgets["b_user"]["spent_usd"] == usage["today"]["spend_usd"] and budgets["b_user"]["reserved_usd"] == usd(180)
    assert budgets["b_tenant"]["spent_usd"] == usage["today"]["spend_usd"] + usd(18000)
    assert budgets["b_user"]["hard_limit_usd"] == usd(HARD) and budgets["b_user"]["warning_threshold_usd"] == usd(WARN)
    assert [(quota["policy"], quota["used"], quota["remaining"]) for quota in usage["quotas"]] == [("b_tenant", 0, 1000000)]
    nothing = stranger.usage()
    assert nothing["this_month"]["models"] == [] and nothing["this_month"]["spend_usd"] == 0
    assert {budget["policy"]: budget["spent_usd"] for budget in nothing["budgets"]} == {"b_user": 0, "b_tenant": 0}
    assert alice.name not in json.dumps(bob.usage(), default=str)


def test_usage_needs_somebody(gateway):
    assert gateway.get(USAGE).status == 401
    assert gateway.ask("POST", RESERVATIONS, {"Content-Type": "application/json"}, b"{}").status == 401


def report(gateway):
    answer = gateway.get(ADMIN, {"X-API-Key": ADMIN_KEY, "X-Forwarded-For": f"198.51.103.{next(addresses)}"})
    assert answer.status == 200, answer.body
    return exact(answer)


def test_the_days_budget_is_for_admins(postgres, gateway, client):
    assert gateway.get(ADMIN).status == 401
    assert gateway.get(ADMIN, {"X-API-Key": ADMIN_KEY[::-1]}).status == 401
    assert client().ask("GET", ADMIN).status == 403
    assert client(f"anon:{uuid.uuid4()}", "anonymous").ask("GET", ADMIN).status == 403
    assert client("root", "admin").ask("GET", ADMIN).status == 200
    assert list(report(gateway)) == ["date", "llm_spend_usd", "embedding_spend_usd", "total_spend_usd", "warning_threshold_usd",
                                     "hard_limit_usd", "at_warning", "blocked"]


def test_the_days_budget_is_what_the_ledger_says(postgres, gateway, client):
    alice = client()
    alice.settle(alice.reserved(100, 100), 7, 3)
    alice.ask("POST", "/test/budget/embed")
    llm, embedding, _ = ledger(postgres)
    assert llm > 0 and embedding > 0
    day, = postgres.sql("SELECT (now() AT TIME ZONE 'UTC')::date::text")[0]
    assert report(gateway) == {
        "date": day, "llm_spend_usd": usd(llm), "embedding_spend_usd": usd(embedding), "total_spend_usd": usd(llm + embedding),
        "warning_threshold_usd": 20, "hard_limit_usd": 50, "at_warning": False, "blocked": False}


def test_the_days_budget_warns_blocks_and_opens_again(postgres, gateway, client):
    alice = client()
    alice.settle(alice.reserved(100, 100), 100, 100)
    llm, embedding, held = ledger(postgres)
    spent = llm + embedding + held
    limits = "UPDATE relay_guard.budget_policy SET warn = {}, hard = {} WHERE name = 'global_daily'"
    try:
        postgres.sql(limits.format(spent, spent + 1000000), user="relay_owner")
        assert (report(gateway)["at_warning"], report(gateway)["blocked"]) == (True, False)
        assert alice.ask("GET", "/test/budget/all").status == 200
        postgres.sql(limits.format(1, spent), user="relay_owner")
        assert (report(gateway)["at_warning"], report(gateway)["blocked"]) == (True, True)
        assert report(gateway)["hard_limit_usd"] == usd(spent)
        for answer in alice.ask("GET", "/test/budget/all"), alice.reserve(1, 1):
            assert_stopped(answer, "global_daily")
        assert alice.usage()["blocked"] is True and "global_daily" not in json.dumps(alice.usage(), default=str)
        postgres.sql(limits.format(spent + 1, spent + 10000), user="relay_owner")
        assert (report(gateway)["at_warning"], report(gateway)["blocked"]) == (False, False)
        assert alice.ask("GET", "/test/budget/all").status == 200
        assert alice.reserve(1, 1).status == 201
    finally:
        postgres.sql(limits.format(20000000, 50000000), user="relay_owner")


def test_a_stop_is_in_the_audit_log(postgres, client):
    """By the route, and by its statement: there is room, but not for so much."""
    alice = client()
    ids = [f"budget-{uuid.uuid4()}" for _ in range(2)]
    reservation = alice.reserved(0, 6000)
    alice.headers["X-Request-ID"] = ids[1]
    assert_stopped(alice.reserve(1000, 1000), "b_user")
    alice.settle(reservation, 0, 8000)
    alice.headers["X-Request-ID"] = ids[0]
    assert_stopped(alice.ask("GET", "/test/budget/user"), "b_user")
    query = ("SELECT actor, details ->> 'class', details ->> 'code' FROM relay_guard.audit_log "
             f"WHERE action = 'denied' AND request_id IN ('{ids[0]}', '{ids[1]}')")
    wait_until(lambda: len(postgres.sql(query)) == 2, what="the rows of denials")
    assert set(postgres.sql(query)) == {(alice.name, "quota", "insufficient_quota")}


def test_lease_that_ran_out_says_so(postgres, client):
    alice = client()
    answer = alice.reserve(100, 100, ttl_seconds=1)
    reservation = answer.json()["id"]
    time.sleep(1.1)
    postgres.sql(f"SELECT relay_guard.budget_expire('{reservation}')")
    refused = alice.settle(reservation, 1, 1)
    assert (refused.status, refused.json()["code"]) == (409, "reservation_expired")
    assert alice.budget("b_user")["spent_usd"] == usd(1800)
