"""The audit log over HTTP: what the application's routes leave in it, and what admins read of it."""
import base64
import collections
import contextlib
import datetime
import itertools
import json
import os
import pathlib
import re
import subprocess
import threading
import urllib.parse
import uuid

import psycopg2
import pytest

from conftest import ROOT, running, wait_until

FILES = "/api/v1/knowledge/files"
AUDIT = "/api/v1/audit"
READ = ["/audit", AUDIT, AUDIT + "/head", AUDIT + "/verify"]
CLIENT = "203.0.113.80"
ADDRESS = {"X-Forwarded-For": CLIENT}
CANARY = "a canary in metadata"

# Routes that write by other ways than the application's, and one that reads the log for users
ROUTES = """
    INSERT INTO relay_guard.route (method, path, query, auth, result, status, run_as) VALUES
    ('POST', '/test/audit/by_key', $$INSERT INTO relay.decrypted_knowledge_file (name, content_type)
     VALUES ('by key', 'text/plain') RETURNING id$$, 'api_key', 'row', 201, 'relay_app'),
    ('POST', '/test/audit/two', $$INSERT INTO relay.decrypted_knowledge_file (name, content_type)
     VALUES ('one', 'text/plain'), ('two', 'text/plain') RETURNING id$$, 'user', 'rows', 201, 'relay_app'),
    ('POST', '/test/audit/refused', $$WITH added AS (
         INSERT INTO relay.decrypted_knowledge_file (name, content_type) VALUES ('x', 'text/plain') RETURNING id)
     SELECT relay_guard.fail(409, 'refused', 'no') FROM added$$, 'user', 'row', 201, 'relay_app'),
    ('POST', '/test/audit/broken', $$INSERT INTO relay.decrypted_knowledge_file (name, content_type)
     VALUES ('x', 'text/plain') RETURNING 1 / (length(name) - 1)$$, 'user', 'row', 201, 'relay_app'),
    ('GET', '/test/audit/mine', 'SELECT resource_id, actor FROM relay_guard.audit_log ORDER BY id',
     'user', 'rows', 200, 'relay_auditor')
"""
QUOTAS = "UPDATE relay_guard.rate_policy SET quota = {} WHERE name IN ('ip', 'user', 'knowledge', 'api', 'anon_session')"


@pytest.fixture(scope="module", autouse=True)
def routes(postgres):
    before = postgres.sql("SELECT name, quota FROM relay_guard.rate_policy")
    postgres.sql(ROUTES, user="relay_owner")
    postgres.sql(QUOTAS.format(100000))
    yield
    postgres.sql("DELETE FROM relay_guard.route WHERE path LIKE '/test/audit/%'", user="relay_owner")
    for name, quota in before:
        postgres.sql(f"UPDATE relay_guard.rate_policy SET quota = {quota} WHERE name = '{name}'")


@pytest.fixture(scope="module")
def gateway(postgres):
    with running(postgres.url("relay_gateway"), TRUSTED_PROXIES="127.0.0.1") as gateway:
        wait_until(gateway.is_ready, what="readiness")
        yield gateway


def token(postgres, user, **arguments):
    named = "".join(f", {name} => '{value}'" for name, value in arguments.items())
    issued, = postgres.sql(f"SELECT relay_guard.issue_token('{user}'{named})")[0]
    return {"Authorization": f"Bearer {issued}", **ADDRESS}


def api_key(postgres, name, **arguments):
    named = "".join(f", {key} => '{value}'" for key, value in arguments.items())
    key_id, key = postgres.sql(f"SELECT id, key FROM relay_guard.api_key_create('{name}'{named})")[0]
    return key_id, {"X-API-Key": key, **ADDRESS}


@pytest.fixture(scope="module")
def admin(postgres):
    return token(postgres, "root", role="admin")


@pytest.fixture(scope="module")
def alice(postgres):
    return token(postgres, "alice", workspace="w1")


@contextlib.contextmanager
def changed(postgres, function, before, after):
    """A function of the application with another constant."""
    text, = postgres.sql(f"SELECT pg_get_functiondef('relay.{function}'::regproc)")[0]
    assert before in text
    postgres.sql(text.replace(before, after), user="relay_owner")
    try:
        yield
    finally:
        postgres.sql(text, user="relay_owner")


def get(gateway, headers, path=AUDIT, **query):
    return gateway.get(f"{path}?{urllib.parse.urlencode(query)}" if query else path, headers)


def events(gateway, headers, **query):
    answer = get(gateway, headers, **query)
    assert answer.status == 200, answer.body
    return answer.json()["events"]


def pages(gateway, headers, **query):
    """The events of all pages; an empty one may have another after it."""
    cursors = set()
    while True:
        page = get(gateway, headers, **query).json()
        yield page["events"]
        if page["next"] is None:
            return
        assert page["next"] not in cursors, "the pages go in a circle"
        cursors.add(page["next"])
        query["after"] = page["next"]


def post(gateway, path, headers, body=None, **more):
    named = {**headers, "Content-Type": "application/json", **more}
    return gateway.ask("POST", path, named, json.dumps(body or {}).encode())


def rows_of(postgres, request_id):
    return postgres.sql("SELECT action, resource_type, resource_id, actor, via, workspace_id, api_key_id, host(client_ip), "
                        f"source, status FROM relay_guard.audit_log WHERE request_id = '{request_id}'")


# Who may read it

@pytest.mark.parametrize("path", READ)
def test_admins_alone_read_it(gateway, postgres, admin, path):
    postgres.sql("SELECT relay_guard.audit_seal()")
    anonymous = gateway.ask("POST", "/api/v1/anon_session", ADDRESS).json()["token"]
    assert gateway.get(path, ADDRESS).status == 401
    assert gateway.get(path, {"Authorization": "Bearer x.y.z", **ADDRESS}).status == 401
    for headers in ({"Authorization": f"Bearer {anonymous}", **ADDRESS}, token(postgres, "alice"),
                    token(postgres, "mallory", role="administrator"), api_key(postgres, f"plain {path}")[1]):
        answer = gateway.get(path, headers)
        assert answer.status == 403 and answer.json()["code"] == "admin_required"
        assert b"events" not in answer.body and b"root" not in answer.body
    for headers in admin, api_key(postgres, f"admin {path}", role="admin")[1]:
        answer = gateway.get(path, headers)
        assert answer.status == 200, answer.body
        assert answer.header("Cache-Control") == "no-store" and answer.header("ETag") is None
        assert answer.header("RateLimit-Policy")


def test_pain_audit_rows_visible_across_tenants(gateway, postgres, admin):
    """A route that may read the log shows users what is theirs, whatever its statement."""
    for user, workspace in ("ann", "w1"), ("ben", "w1"), ("cid", "w2"):
        assert post(gateway, FILES, token(postgres, user, workspace=workspace), {"name": user}).status == 201
    for user, workspace in ("ann", "w1"), ("ben", "w1"), ("cid", "w2"):
        mine = gateway.get("/test/audit/mine", token(postgres, user, workspace=workspace)).json()
        assert [row["actor"] for row in mine] == [user]
        assert gateway.get("/test/audit/mine", token(postgres, user, workspace="w3")).json() == []
        assert gateway.get("/test/audit/mine", token(postgres, user)).json() == []
    assert {"ann", "ben", "cid"} <= {row["actor"] for row in gateway.get("/test/audit/mine", admin).json()}


def test_routes_of_the_application_cannot_read_it(postgres):
    for table in "relay_guard.audit_log", "relay_guard.audit_seal", "relay.audit_logs":
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            postgres.sql(f"SET ROLE relay_app; SELECT count(*) FROM {table}")
    for call in "relay.audit_verdict()", "relay.audit_page(NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 1)":
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            postgres.sql(f"SET ROLE relay_app; SELECT {call.replace('verdict()', 'verdict(NULL)')}")


# What routes leave in it

def test_every_route_of_the_application_that_writes_is_tested_here(postgres):
    """Reservations and completions are left to others: the ledger that they are written to is a log itself.
    Sessions are left to test_sessions.py."""
    assert postgres.sql("SELECT method, path FROM relay_guard.route WHERE method <> 'GET' AND path NOT LIKE '/test/%' "
                        "AND path NOT LIKE '/api/v1/llm/%' AND path !~ '^/api/(auth|dev)/' AND result <> 'completion' ORDER BY 2, 1") == [
        ("POST", "/api/v1/anon_session"), ("POST", FILES), ("DELETE", FILES + "/{id}")]


def test_a_write_leaves_one_row_that_says_who_and_from_where(gateway, postgres, alice):
    added = post(gateway, FILES, alice, {"name": "a.txt", "metadata": {"title": CANARY}}, **{"X-Request-ID": "audit-add"})
    file = added.json()["id"]
    assert rows_of(postgres, "audit-add") == [
        ("INSERT", "knowledge_file", file, "alice", "token", "w1", None, CLIENT, "trigger", "ok")]
    assert gateway.ask("DELETE", f"{FILES}/{file}", {**alice, "X-Request-ID": "audit-delete"}).status == 204
    assert rows_of(postgres, "audit-delete") == [
        ("DELETE", "knowledge_file", file, "alice", "token", "w1", None, CLIENT, "trigger", "ok")]


def test_the_request_id_is_the_one_of_the_answer(gateway, postgres, alice):
    answer = post(gateway, FILES, alice, {"name": "b.txt"})
    assert [row[2] for row in rows_of(postgres, answer.header("X-Request-ID"))] == [answer.json()["id"]]


def test_an_anonymous_session_is_no_change_but_what_it_does_is(gateway, postgres):
    opened = gateway.ask("POST", "/api/v1/anon_session", {**ADDRESS, "X-Request-ID": "audit-session"}).json()
    assert rows_of(postgres, "audit-session") == []
    headers = {"Authorization": f"Bearer {opened['token']}", **ADDRESS}
    post(gateway, FILES, headers, {"name": "c.txt"}, **{"X-Request-ID": "audit-anonymous"})
    assert [row[3:8] for row in rows_of(postgres, "audit-anonymous")] == [
        (opened["user_id"], "token", None, None, CLIENT)]


def test_a_write_by_api_key_names_the_key(gateway, postgres):
    key_id, headers = api_key(postgres, "writer", workspace="w3")
    assert post(gateway, "/test/audit/by_key", headers, **{"X-Request-ID": "audit-key"}).status == 201
    assert [row[3:8] for row in rows_of(postgres, "audit-key")] == [
        (f"key:{key_id}", "api_key", "w3", key_id, CLIENT)]


def test_a_statement_leaves_a_row_for_each_that_it_changed(gateway, postgres, alice):
    answer = post(gateway, "/test/audit/two", alice, **{"X-Request-ID": "audit-two"})
    assert sorted(row[2] for row in rows_of(postgres, "audit-two")) == sorted(row["id"] for row in answer.json())


@pytest.fixture
def configuring(postgres):
    """A route by which admins set a quota, as whoever is granted it."""
    postgres.sql("""CREATE ROLE test_configurer; SELECT relay_guard.grant_role('app', 'test_configurer');
        GRANT SELECT (name), UPDATE (quota) ON relay_guard.rate_policy TO test_configurer;
        INSERT INTO relay_guard.route (method, path, query, auth, result, status, run_as) VALUES
        ('POST', '/test/audit/quota', $$UPDATE relay_guard.rate_policy SET quota = 123456 WHERE name = 'api'$$,
         'admin', 'none', 204, 'test_configurer')""")
    yield
    postgres.sql("DELETE FROM relay_guard.route WHERE path = '/test/audit/quota'; "
                 "DROP OWNED BY test_configurer; DROP ROLE test_configurer")


def test_a_change_of_the_configuration_names_the_admin(gateway, postgres, admin, alice, configuring):
    """Who took a limit away, by a route or by hand."""
    before, = postgres.sql("SELECT quota FROM relay_guard.rate_policy WHERE name = 'api'")[0]
    assert post(gateway, "/test/audit/quota", alice, **{"X-Request-ID": "audit-not-configured"}).status == 403
    assert post(gateway, "/test/audit/quota", admin, **{"X-Request-ID": "audit-configured"}).status == 204
    shown = events(gateway, admin, resource_type="relay_guard.rate_policy", resource_id="api", limit=1)
    wanted = {"action": "UPDATE", "actor": "root", "via": "token", "client_ip": CLIENT, "request_id": "audit-configured",
              "session_role": "relay_gateway", "old": {"quota": before}, "new": {"quota": 123456}}
    assert [{name: event[name] for name in wanted} for event in shown] == [wanted]
    assert [row for row in rows_of(postgres, "audit-not-configured") if row[0] == "UPDATE"] == []
    route, = events(gateway, admin, resource_type="relay_guard.route", resource_id='["POST", "/test/audit/quota"]')
    assert (route["action"], route["actor"], route["session_role"]) == ("INSERT", None, "postgres")
    assert route["new"]["run_as"] == "test_configurer"


@pytest.mark.parametrize("method, path, body, status", [
    ("POST", FILES, {"name": ""}, 422),
    ("POST", FILES, {"name": "x", "content_type": "none"}, 422),
    ("DELETE", f"{FILES}/{uuid.uuid4()}", None, 404),
    ("POST", "/test/audit/refused", {}, 409),
    ("POST", "/test/audit/broken", {}, 500),
])
def test_what_was_refused_or_rolled_back_leaves_none(gateway, postgres, alice, method, path, body, status):
    request_id = f"audit-{uuid.uuid4()}"
    answer = gateway.ask(method, path, {**alice, "Content-Type": "application/json", "X-Request-ID": request_id},
                         json.dumps(body).encode() if body is not None else None)
    assert answer.status == status
    assert rows_of(postgres, request_id) == []


def test_who_was_refused_is_found_by_the_request(gateway, postgres, admin):
    mallory = token(postgres, "mallory")
    assert gateway.get(AUDIT, {**mallory, "X-Request-ID": "audit-denied"}).status == 403
    wait_until(lambda: events(gateway, admin, request_id="audit-denied"), what="a row of the refusal")
    event, = events(gateway, admin, status="denied", request_id="audit-denied")
    assert (event["actor"], event["client_ip"], event["source"], event["via"]) == ("mallory", CLIENT, "system", "token")


def test_no_row_of_another_user_is_touched_or_recorded(gateway, postgres, alice):
    file = post(gateway, FILES, alice, {"name": "hers"}).json()["id"]
    bob = token(postgres, "bob")
    assert gateway.ask("DELETE", f"{FILES}/{file}", {**bob, "X-Request-ID": "audit-foreign"}).status == 404
    assert rows_of(postgres, "audit-foreign") == []


def test_encrypted_metadata_is_not_in_it(gateway, postgres, admin, alice):
    post(gateway, FILES, alice, {"name": "sealed.txt", "metadata": {"title": CANARY}}, **{"X-Request-ID": "audit-sealed"})
    event, = events(gateway, admin, request_id="audit-sealed")
    assert event["new"]["name"] == "sealed.txt" and event["old"] is None
    assert set(event["new"]["metadata"]) == {"key_id", "digest"}
    everything = postgres.sql("SELECT string_agg(l::text, '') FROM relay_guard.audit_log l")[0][0]
    assert CANARY not in everything and CANARY.encode().hex() not in everything


def test_an_event_shows_every_column_but_what_only_verification_needs(gateway, admin):
    event = events(gateway, admin, limit=1)[0]
    assert list(event) == ["id", "occurred_at", "action", "resource_type", "resource_id", "status", "source", "actor",
                           "via", "workspace_id", "api_key_id", "session_id", "session_role", "request_id", "client_ip",
                           "old", "new", "details", "omitted_bytes"]
    assert datetime.datetime.strptime(event["occurred_at"], "%Y-%m-%dT%H:%M:%S.%fZ")


def test_reading_it_leaves_no_row(gateway, postgres, admin):
    for path in "/audit", AUDIT, AUDIT + "/verify":
        assert gateway.get(path, {**admin, "X-Request-ID": "audit-reading"}).status == 200
    assert rows_of(postgres, "audit-reading") == []


# Filters and pages

FILTERS = {"status": ["ok", "error", "denied"], "actor": ["f-ann", "f-ben"], "action": ["f-read", "f-write"],
           "resource_type": ["f-doc", "f-job"], "resource_id": ["1", "2"], "request_id": ["f-req-1", "f-req-2"]}


@pytest.fixture(scope="module")
def recorded(gateway, postgres, admin):
    """An event for each combination of what can be asked for."""
    connection = psycopg2.connect(postgres.url("postgres"))
    with connection, connection.cursor() as cursor:
        for actor, request_id in itertools.product(FILTERS["actor"], FILTERS["request_id"]):
            cursor.execute("SELECT relay_guard.assume(%s, request_id => %s)", [actor, request_id])
            cursor.execute("SELECT relay_guard.audit_event(a, t, i, status => s) FROM unnest(%s) a, unnest(%s) t, unnest(%s) i, "
                           "unnest(%s) s", [FILTERS[name] for name in ("action", "resource_type", "resource_id", "status")])
            connection.commit()
    connection.close()
    found = list(itertools.chain(*pages(gateway, admin, limit=100)))
    return [event for event in found if event["action"].startswith("f-")]


def asked_for(recorded, query):
    return [event for event in recorded if all(event[name] == value for name, value in query.items())]


def test_each_filter_finds_what_it_says(gateway, admin, recorded):
    assert len(recorded) == 96
    for name, values in FILTERS.items():
        if name == "status":
            continue
        for value in values:
            found = itertools.chain(*pages(gateway, admin, **{name: value}, limit=100))
            assert [e for e in found if e["action"].startswith("f-")] == asked_for(recorded, {name: value})


def test_filters_combined_find_what_fits_all(gateway, admin, recorded):
    for count in 2, 3, 6:
        for names in itertools.combinations(FILTERS, count):
            query = {name: FILTERS[name][-1] for name in names}
            found = [e for e in events(gateway, admin, limit=100, **query) if e["action"].startswith("f-")]
            assert found == asked_for(recorded, query), query


def test_what_fits_nothing_is_an_empty_page(gateway, admin, recorded):
    for name in "actor", "action", "resource_type", "resource_id", "request_id":
        assert get(gateway, admin, **{name: "f-nothing"}).json() == {"events": [], "next": None}


def test_a_filter_is_a_value_and_never_sql(gateway, admin, recorded):
    for text in "' OR true --", "%", "f-ann\\", "é☃":
        assert events(gateway, admin, actor=text) == []


@pytest.mark.parametrize("query, pointer", [
    ("status=bad", "/query/status"), ("status=", "/query/status"), ("actor=", "/query/actor"),
    ("request_id=a%20b", "/query/request_id"), ("limit=0", "/query/limit"), ("limit=x", "/query/limit"),
    ("after=x", "/query/after"), ("after=1", "/query/after"), ("after=1-2-3", "/query/after"), ("after=-1-2", "/query/after"),
    ("since=yesterday", "/query/since"), ("since=2026-11-21", "/query/since"), ("since=2026-02-30T00:00:00Z", "/query/since"),
    ("until=2026-11-21T00:00:00", "/query/until"), ("until=infinity", "/query/until"),
    ("actor=a&actor=b", "/query/actor"), ("actor=" + "x" * 1025, "/query/actor"),
])
@pytest.mark.parametrize("path", READ[:2])
def test_what_is_no_value_is_refused_and_named(gateway, admin, path, query, pointer):
    answer = gateway.get(f"{path}?{query}", admin)
    assert answer.status == 422
    assert answer.json()["pointer"] == pointer and answer.json()["suggestion"]


def test_a_cursor_beyond_all_numbers_is_refused(gateway, admin):
    answer = get(gateway, admin, after="1-9999999999999999999")
    assert answer.status == 422 and b"bigint" not in answer.body


@pytest.mark.parametrize("path", READ[:2])
def test_page_size(gateway, admin, recorded, path):
    for query, size in ({}, 50), ({"limit": 7}, 7), ({"limit": 1000}, 100):
        page = get(gateway, admin, path, **query).json()
        assert list(page) == ["events", "next"] and len(page["events"]) == size and page["next"]


@pytest.mark.parametrize("query", [{}, {"actor": "f-ann"}, {"resource_type": "f-doc"},
                                   {"resource_type": "f-doc", "resource_id": "1"}])
@pytest.mark.parametrize("limit", [1, 12, 16, 100])
def test_pages_hold_every_event_once_newest_first(gateway, admin, recorded, query, limit):
    end = recorded[-1]["occurred_at"]
    found = list(itertools.chain(*pages(gateway, admin, since=end, limit=limit, **query)))
    keys = [(event["occurred_at"], event["id"]) for event in found]
    assert keys == sorted(set(keys), reverse=True)
    assert [e for e in found if e["action"].startswith("f-")] == asked_for(recorded, query)


def test_pages_are_complete_and_without_duplicates_while_others_write(gateway, postgres, admin, recorded):
    stop = threading.Event()

    def write():
        connection = psycopg2.connect(postgres.url("postgres"))
        connection.autocommit = True
        with connection.cursor() as cursor:
            while not stop.is_set():
                cursor.execute("SELECT relay_guard.audit_event('during', 'noise')")
        connection.close()

    writers = [threading.Thread(target=write) for _ in range(3)]
    for writer in writers:
        writer.start()
    try:
        wait_until(lambda: events(gateway, admin, action="during"), what="the first of the others")
        found = list(itertools.chain(*pages(gateway, admin, limit=9, since=recorded[-1]["occurred_at"])))
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    ids = [event["id"] for event in found]
    assert len(ids) == len(set(ids))
    assert [event for event in found if event["action"].startswith("f-")] == recorded
    assert any(event["action"] == "during" for event in found)


def test_since_is_included_and_until_is_not(gateway, admin, recorded):
    first, last = recorded[-1]["occurred_at"], recorded[0]["occurred_at"]

    def between(since, until):
        found = itertools.chain(*pages(gateway, admin, since=since, until=until, limit=100))
        return [event["id"] for event in found if event["action"].startswith("f-")]

    expected = [event["id"] for event in recorded if first <= event["occurred_at"] < last]
    assert between(first, last) == expected and 0 < len(expected) < len(recorded)
    shifted = datetime.datetime.fromisoformat(first.replace("Z", "+00:00")).astimezone(
        datetime.timezone(datetime.timedelta(hours=5, minutes=30))).isoformat()
    assert between(shifted, last) == expected
    microsecond = first[:-1] + "1Z"        # a digit more than the log has: rounded to it
    assert between(microsecond, last) == expected
    assert between(first, first) == [] and between(last, first) == []
    assert between("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z") == [event["id"] for event in recorded]


@pytest.fixture
def large(postgres):
    """Seven events of nearly a megabyte, then one of more, then a small one."""
    postgres.sql("SELECT relay_guard.audit_event('large', 'bytes', details => jsonb_build_object('x', repeat('x', n))) "
                 "FROM unnest(array_fill(900000, ARRAY[7]) || ARRAY[3000000, 1]) n")


def test_large_values_make_pages_shorter_and_none_is_missing(gateway, admin, large):
    found = [page for page in pages(gateway, admin, action="large", limit=50)]
    assert [len(page) for page in found] == [6, 3]
    shown = list(itertools.chain(*found))
    assert [len(event["details"]["x"]) if event["details"] else None for event in shown] == [1, None] + [900000] * 7
    assert [event["omitted_bytes"] for event in shown] == [None, len('{"x": ""}') + 3000000] + [None] * 7


# Bounded at every depth

DEEP = 120000


@pytest.fixture(scope="module")
def deep(postgres, recorded):
    """More rows than one request looks at, newer than all others."""
    postgres.sql(f"SELECT count(relay_guard.audit_event('deep', 'deep', (n % 1000)::text)) FROM generate_series(1, {DEEP}) AS n")


def test_what_is_rare_is_found_behind_many_others_in_bounded_pages(gateway, admin, recorded, deep):
    found = [page for page in pages(gateway, admin, actor="f-ann", action="f-read", limit=50)]
    assert found[0] == []
    assert list(itertools.chain(*found)) == asked_for(recorded, {"actor": "f-ann", "action": "f-read"})
    assert len(found) == 2


def test_what_is_not_there_ends(gateway, admin, deep):
    assert [page for page in pages(gateway, admin, actor="f-nobody")] == [[], []]


@pytest.fixture
def explain(postgres, deep):
    """The plans of a page's statements, as they ran."""
    connection = psycopg2.connect(postgres.url("postgres"))
    connection.notices = collections.deque()        # a list keeps the last fifty
    cursor = connection.cursor()
    cursor.execute("LOAD 'auto_explain'; SET auto_explain.log_nested_statements = on; SET auto_explain.log_min_duration = 0; "
                   "SET auto_explain.log_analyze = on; SET auto_explain.log_timing = off; SET auto_explain.log_format = json; "
                   "SET client_min_messages = log; SELECT relay_guard.assume('root', role => 'admin'); SET ROLE relay_auditor")

    def explain(**query):
        names = ["status", "actor", "action", "resource_type", "resource_id", "request_id", "since", "until", "after", "size"]
        connection.notices.clear()
        cursor.execute("SELECT json_array_length(events), next FROM relay.audit_page("
                       "%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)", [query.get(name) for name in names])
        listed, after = cursor.fetchone()
        plans = [json.loads(notice.split("plan:\n", 1)[1]) for notice in connection.notices if "plan:\n" in notice]
        nodes = [node for plan in plans if "audit_log" in plan["Query Text"] for node in walk(plan["Plan"])]
        return listed, after, nodes

    yield explain
    connection.close()


def walk(node):
    yield node
    for child in node.get("Plans", ()):
        yield from walk(child)


def read(nodes):
    """How many rows were read from the log, by which indexes."""
    scans = [node for node in nodes if "Scan" in node["Node Type"] and "Relation Name" in node and node["Actual Rows"] > 0]
    rows = sum(node["Actual Rows"] * node["Actual Loops"] + node.get("Rows Removed by Filter", 0) for node in scans)
    return rows, {node.get("Index Name", node["Node Type"]).split("_", 4)[-1] for node in scans}


def is_sorted(nodes):
    return any(node["Node Type"].endswith("Sort") and "occurred_at" in str(node.get("Sort Key"))
               and node["Actual Rows"] > 100 for node in nodes)


@pytest.mark.parametrize("depth", [0, 1, 1000, DEEP // 2, DEEP - 100])
def test_a_page_reads_its_own_rows_at_every_depth(postgres, explain, depth):
    after, = postgres.sql("SELECT relay.audit_cursor(occurred_at, id) FROM relay_guard.audit_log "
                          f"ORDER BY occurred_at DESC, id DESC OFFSET {depth} LIMIT 1")[0]
    listed, _, nodes = explain(after=after, size=50)
    rows, indexes = read(nodes)
    assert listed == 50 and 50 <= rows <= 52 and len(indexes) == 1 and "occurred_at" in indexes.pop()
    assert not is_sorted(nodes)


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("kind", ["deep", None])
def test_the_filter_on_a_resource_is_read_from_its_index(postgres, explain, kind, known):
    """Also while the planner knows nothing of the month."""
    if known:
        postgres.sql("VACUUM ANALYZE relay_guard.audit_log")
    yesterday = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(1)
    listed, _, nodes = explain(resource_type=kind, resource_id="17", since=yesterday, size=50)
    rows, indexes = read(nodes)
    assert listed == 50 and rows == 2 * DEEP // 1000 and all("resource" in index for index in indexes)
    listed, after, nodes = explain(resource_type=kind, resource_id="nothing", size=50)
    assert (listed, after, read(nodes)[0]) == (0, None, 0)


@pytest.mark.parametrize("query", [{"status": "error"}, {"actor": "f-nobody"}, {"action": "f-nothing"},
                                   {"resource_type": "f-nothing"}, {"request_id": "f-nothing"}])
def test_a_filter_without_an_index_reads_a_bounded_number_of_rows(explain, query):
    listed, after, nodes = explain(size=50, **query)
    rows, _ = read(nodes)
    assert listed == 0 and after is not None and rows == 2 * 100000     # once for the events, once for next
    assert not is_sorted(nodes)


def test_the_plan_knows_the_filters_however_often_it_ran(explain):
    for _ in range(8):      # from the sixth on, PostgreSQL would think of a plan for all values
        _, _, nodes = explain(resource_type="deep", resource_id="17", size=50)
    rows, indexes = read(nodes)
    assert rows == 2 * DEEP // 1000 and all("resource" in index for index in indexes)


def test_a_resource_with_too_many_rows_is_searched_for_by_time(gateway, postgres, admin, explain):
    postgres.sql("SELECT relay_guard.audit_event('hot', 'hot', CASE WHEN n % 2 = 0 THEN 'hot' ELSE n::text END) "
                 "FROM generate_series(1, 600) AS n")
    with changed(postgres, "audit_page", "100000", "100"):
        listed, _, nodes = explain(resource_id="hot", size=20)
        rows, _ = read(nodes)
        assert listed == 20 and rows <= 101 + 42
        found = list(itertools.chain(*pages(gateway, admin, resource_type="hot", resource_id="hot", limit=20)))
    assert len(found) == len({event["id"] for event in found}) == 300
    assert found == list(itertools.chain(*pages(gateway, admin, resource_id="hot", limit=100)))


def test_partitions_outside_of_since_and_until_are_not_opened(explain):
    _, _, nodes = explain(since="2099-01-01Z", size=50)
    assert not [node for node in nodes if "Relation Name" in node]


# Seals

def test_the_head_is_the_newest_seal(gateway, postgres, admin):
    postgres.sql("SELECT relay_guard.audit_event('before', 'head')")
    postgres.sql("SELECT relay_guard.audit_seal()")
    last = "SELECT max(seal_id) FROM relay_guard.audit_seal"
    before = postgres.sql(last)[0][0]
    head = gateway.get(AUDIT + "/head", admin).json()
    assert list(head) == ["seal_id", "root", "sealed_at"]
    assert before <= head["seal_id"] <= postgres.sql(last)[0][0]
    assert postgres.sql(f"SELECT encode(root, 'hex') FROM relay_guard.audit_seal WHERE seal_id = {head['seal_id']}") == [(head["root"],)]


def test_an_untouched_log_verifies_and_a_changed_row_is_named(gateway, postgres, admin, recorded):
    postgres.sql("SELECT relay_guard.audit_seal()")
    whole = gateway.get(AUDIT + "/verify", admin).json()
    month = postgres.sql("SELECT to_char(date_trunc('month', now(), 'UTC') AT TIME ZONE 'UTC', 'YYYY-MM-DD')")[0][0]
    assert whole == {"verified": True, "since": f"{month}T00:00:00Z", "problems": [], "more": False}
    target = recorded[5]["id"]
    tamper = ("SET session_replication_role = replica; "
              f"UPDATE relay_guard.audit_log SET actor = '{{}}' WHERE id = {target}")
    postgres.sql(tamper.format("mallory"))
    found = gateway.get(AUDIT + "/verify", admin).json()
    assert not found["verified"] and ("row_changed", target) in [(p["problem"], p["id"]) for p in found["problems"]]
    postgres.sql(tamper.format(recorded[5]["actor"]))
    assert gateway.get(AUDIT + "/verify", admin).json()["verified"]


def test_what_is_too_much_for_a_request_is_said(gateway, postgres, admin, recorded):
    with changed(postgres, "audit_verdict", "500000", "50"):
        answer = gateway.get(AUDIT + "/verify", admin)
        assert answer.status == 422 and answer.json()["code"] == "too_many_rows" and "psql" in answer.json()["suggestion"]
        assert get(gateway, admin, AUDIT + "/verify", since="2099-01-01T00:00:00Z").json()["verified"]


def test_one_verification_at_a_time(gateway, postgres, admin):
    holder = psycopg2.connect(postgres.url("postgres"))
    with holder, holder.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock('relay_guard.audit_seal'::regclass::bigint)")
        answer = gateway.get(AUDIT + "/verify", admin)
        assert answer.status == 409 and answer.json()["code"] == "already_verifying"
    holder.close()
    assert gateway.get(AUDIT + "/verify", admin).status == 200


@pytest.mark.parametrize("since", ["x", "2026-11-21", ""])
def test_verify_refuses_what_is_no_time(gateway, admin, since):
    answer = get(gateway, admin, AUDIT + "/verify", since=since)
    assert answer.status == 422 and answer.json()["pointer"] == "/query/since"


def exported(table, path):
    """What ops/audit-verify reads, from the database of make run."""
    connection = psycopg2.connect(user="postgres")
    with connection, connection.cursor() as cursor, open(path, "w") as file:
        cursor.copy_expert(f"COPY (SELECT * FROM relay_guard.{table}) TO STDOUT CSV HEADER", file)
    connection.close()
    return path


def test_make_run_shows_the_first_key_that_its_seals_verify_with(tmp_path):
    home = pathlib.Path(os.environ["RELAY_HOME"])
    key, = re.findall(r"^ +([A-Za-z0-9+/]{43}=)$", (home / "out").read_text(), re.MULTILINE)
    connection = psycopg2.connect(user="postgres")
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("SELECT relay_guard.audit_event('run', 'test')")
        cursor.execute("SELECT relay_guard.audit_seal()")
        cursor.execute("SELECT bool_and(proof IS NOT NULL) FROM relay_guard.audit_seal")
        assert cursor.fetchone() == (True,)
    connection.close()
    keyring = next(path for path in (home / "keyring", home / "state/keyring") if path.exists())
    files = [exported("audit_seal", tmp_path / "seals.csv"), exported("audit_log", tmp_path / "log.csv")][::-1]
    for k0, status in (key, 0), (base64.b64encode(bytes(32)).decode(), 1):
        done = subprocess.run([ROOT / "ops/audit-verify", "--keyring", keyring, "--k0", k0, *files], capture_output=True, text=True)
        assert done.returncode == status, done.stdout + done.stderr


# Queries of old

def test_queries_of_the_seed_on_audit_logs_work(gateway, postgres, alice):
    post(gateway, FILES, alice, {"name": "old.txt"}, **{"X-Request-ID": "audit-seed"})
    query = ("SELECT relay_guard.assume('root', role => 'admin'); SET ROLE relay_auditor; SET search_path = relay; "
             "SELECT {} FROM audit_logs WHERE request_id = 'audit-seed' AND timestamp > now() - interval '1 hour' "
             "AND ip_address = '203.0.113.80' AND api_key_id IS NULL ORDER BY timestamp DESC LIMIT 10")
    assert postgres.sql("BEGIN; " + query.format("action, resource_type, ip_address")) == [("INSERT", "knowledge_file", CLIENT)]
    assert postgres.sql("SELECT attname FROM pg_attribute WHERE attrelid = 'relay.audit_logs'::regclass AND attnum > 0 ORDER BY attnum") == [
        ("id",), ("action",), ("resource_type",), ("resource_id",), ("api_key_id",), ("request_id",), ("ip_address",), ("timestamp",)]


def test_the_view_shows_what_the_log_shows(postgres):
    postgres.sql("BEGIN; SELECT relay_guard.assume('alice', 'w1'); SELECT relay_guard.audit_event('seen', 'view'); COMMIT")
    count = "BEGIN; {} SET LOCAL ROLE relay_auditor; SELECT count(*) FROM relay.audit_logs"
    assert postgres.sql(count.format(""))[0][0] == 0
    assert postgres.sql(count.format("SELECT relay_guard.assume('nobody');"))[0][0] == 0
    assert postgres.sql(count.format("SELECT relay_guard.assume('alice', 'w1');"))[0][0] > 0


def test_the_view_lends_nobody_its_owners_rights(postgres):
    postgres.sql("CREATE ROLE test_viewer; GRANT USAGE ON SCHEMA relay TO test_viewer; GRANT SELECT ON relay.audit_logs TO test_viewer")
    try:
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            postgres.sql("BEGIN; SELECT relay_guard.assume('root', role => 'admin'); SET LOCAL ROLE test_viewer; "
                         "SELECT count(*) FROM relay.audit_logs")
    finally:
        postgres.sql("DROP OWNED BY test_viewer; DROP ROLE test_viewer")


def test_nobody_writes_through_the_view(postgres):
    for statement in ("INSERT INTO relay.audit_logs (action, resource_type) VALUES ('x', 'y')",
                      "UPDATE relay.audit_logs SET action = 'x'", "DELETE FROM relay.audit_logs"):
        for user in "relay_owner", "postgres":
            with pytest.raises(psycopg2.Error):
                postgres.sql(f"BEGIN; SELECT relay_guard.assume('root', role => 'admin'); {statement}", user=user)


def test_the_application_has_no_findings(postgres):
    assert postgres.sql("SELECT code, object FROM relay_guard.lint() WHERE (object ~ 'audit' OR detail ~ 'relay_auditor') "
                        "AND object !~ '/test/'") == []
