"""Limits as a client sees them; each test comes from addresses of its own."""
import itertools
import time

import pytest

from conftest import running, wait_until

FILES = "/api/v1/knowledge/files"

addresses = itertools.count(1)


@pytest.fixture(scope="module")
def limited(postgres):
    with running(postgres.url("relay_gateway"), TRUSTED_PROXIES="127.0.0.1") as gateway:
        wait_until(gateway.is_ready, what="readiness")
        yield gateway


def address():
    return {"X-Forwarded-For": f"198.51.100.{next(addresses)}"}


def session(gateway):
    return gateway.ask("POST", "/api/v1/anon_session", address()).json()["token"]


def list_files(gateway, token, origin):
    return gateway.get(FILES, {"Authorization": f"Bearer {token}", **origin})


def test_the_31st_request_of_a_user_is_429(limited):
    alice, bob, origin = session(limited), session(limited), address()
    for left in range(29, -1, -1):
        answer = list_files(limited, alice, origin)
        assert answer.status == 200 and answer.header("X-RateLimit-Remaining") == str(left)
    asked = time.time()
    refused = list_files(limited, alice, origin)
    assert refused.status == 429 and refused.json()["code"] == "rate_limited"
    assert refused.json()["violated-policies"] == ["user"]
    wait = int(refused.header("Retry-After"))
    assert 0 < wait <= 32
    assert refused.header("RateLimit-Policy") == '"ip";q=60;w=30, "user";q=30;w=30, "knowledge";q=100;w=3600'
    assert f'"user";r=0;t={wait}' in refused.header("RateLimit")
    assert refused.header("X-RateLimit-Limit") == "30"
    assert refused.header("X-RateLimit-Remaining") == "0"
    assert asked < int(refused.header("X-RateLimit-Reset")) <= time.time() + wait + 1
    assert refused.header("Cache-Control") == "no-store"
    # another user goes on, from the same address: the refusal took nothing of it
    assert [list_files(limited, bob, origin).status for _ in range(30)] == [200] * 30


def test_an_address_is_limited_whoever_asks(limited):
    origin = address()
    tokens = [session(limited) for _ in range(3)]
    answers = [list_files(limited, tokens[i % 3], origin).status for i in range(61)]
    assert answers == [200] * 60 + [429]


def test_bad_credentials_count_against_their_address(limited):
    origin = address()
    answers = [list_files(limited, "nonsense", origin).status for _ in range(61)]
    assert answers == [401] * 60 + [429]


def test_an_ipv6_network_is_one_address(limited):
    answers = [list_files(limited, "nonsense", {"X-Forwarded-For": f"2001:db8:1:2::{i:x}"}).status
               for i in range(1, 62)]
    assert answers == [401] * 60 + [429]


def test_a_refused_value_costs_no_more_than_a_request(limited):
    token, origin = session(limited), address()
    headers = {"Authorization": f"Bearer {token}", **origin}
    assert limited.get(FILES + "?limit=x", headers).header("X-RateLimit-Remaining") == "29"
    assert list_files(limited, token, origin).header("X-RateLimit-Remaining") == "28"


def test_a_limit_that_a_statement_requires_says_when_to_come_back(postgres, limited):
    postgres.sql("""INSERT INTO relay_guard.rate_policy (name, identify_by, quota, "window") VALUES ('required', 'user', 1, '5 min');
                    INSERT INTO relay_guard.route (method, path, query, auth, result, run_as) VALUES
                        ('GET', '/test/required', 'SELECT allowed FROM relay_guard.rate_require(''required'')', 'anonymous', 'value', 'relay_app')""",
                 user="relay_owner")
    who = {"Authorization": f"Bearer {session(limited)}", **address()}
    assert limited.get("/test/required", who).status == 200
    refused = limited.get("/test/required", who)
    assert (refused.status, refused.json()["code"]) == (429, "rate_limited")
    assert 0 < int(refused.header("Retry-After")) <= 601


def test_healthz_of_pages_is_under_the_policy_api(limited):
    origin = address()
    answers = [limited.get("/api/healthz", origin) for _ in range(101)]
    assert [answer.status for answer in answers] == [200] * 100 + [429]
    assert answers[0].header("RateLimit-Policy") == '"api";q=100;w=60'
    assert answers[0].header("Cache-Control") == "no-store"
    # whoever probes is not limited
    for target in "/health", "/healthz", "/_stcore/health", "/ready":
        assert limited.get(target, origin).status == 200
