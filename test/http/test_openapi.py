"""/openapi.json is true: what the gateway answers is what it documents, for every route;
parameters that it names are taken, and those that it does not are not.  And /docs shows it."""
import http.server
import json
import threading
import uuid

import pytest

from conftest import running, wait_until
from openapi_document import code_of, fetch, names

FILES = "/api/v1/knowledge/files"
AUTH = "/api/auth/"
RESERVATIONS = "/api/v1/llm/reservations"
COMPLETIONS = "/v1/chat/completions"
CHAT = "/v1/chat"
STREAM = "/api/v1/stream"
JSON = {"Content-Type": "application/json"}
SAMPLES = {"uuid": str(uuid.UUID(int=7)), "date-time": "2026-01-31T13:45:00Z", "date": "2026-01-31"}


class Provider(http.server.BaseHTTPRequestHandler):
    """Of a language model that always says the same."""

    COUNTED = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        about = {"id": "chatcmpl-1", "created": 1, "model": asked["model"]}
        if not asked.get("stream"):
            choice = {"index": 0, "message": {"role": "assistant", "content": "Yes."}, "finish_reason": "stop"}
            return self.answer("application/json", json.dumps(
                {**about, "object": "chat.completion", "choices": [choice], "usage": self.COUNTED}))
        chunk = {**about, "object": "chat.completion.chunk"}
        choice = {"index": 0, "delta": {"content": "Yes."}, "finish_reason": "stop"}
        chunks = [{**chunk, "choices": [choice]}, {**chunk, "choices": [], "usage": self.COUNTED}]
        self.answer("text/event-stream", "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n")

    def answer(self, media, text):
        self.send_response(200)
        self.send_header("Content-Type", media)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module", autouse=True)
def provider(postgres):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    postgres.sql("INSERT INTO relay_guard.upstream (name, url, auth) "
                 f"VALUES ('test', 'http://127.0.0.1:{server.server_port}/v1', 'bearer')")
    postgres.sql("SELECT relay_guard.upstream_secret_set('test', 'sk-documented')")
    yield
    postgres.sql("DELETE FROM relay_guard.upstream")
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module", autouse=True)
def unlimited(postgres):
    """These ask more than sixty times in thirty seconds."""
    before = postgres.sql("SELECT name, quota FROM relay_guard.rate_policy")
    quotas = postgres.sql("SELECT name, cap FROM relay_guard.quota_policy")
    postgres.sql("UPDATE relay_guard.rate_policy SET quota = 100000; UPDATE relay_guard.quota_policy SET cap = 100000")
    postgres.sql("INSERT INTO relay_guard.model (name, provider, input_price, output_price, max_input_tokens, max_output_tokens) "
                 "VALUES ('documented', 'test', 1000000, 2000000, 1000, 1000)")
    yield
    postgres.sql("DELETE FROM relay_guard.model WHERE name = 'documented'")
    for name, quota in before:
        postgres.sql(f"UPDATE relay_guard.rate_policy SET quota = {quota} WHERE name = '{name}'")
    for name, cap in quotas:
        postgres.sql(f"UPDATE relay_guard.quota_policy SET cap = {cap} WHERE name = '{name}'")


@pytest.fixture(scope="module")
def gateway(postgres):
    """It opens what is for development, forgets refusals, and is asked from an address of its own."""
    with running(postgres.url("relay_gateway"), WORKERS=1, ALLOW_DEV_ROUTES=1, DENY_CACHE="off",
                 TRUSTED_PROXIES="127.0.0.1") as gateway:
        wait_until(gateway.is_ready, what="readiness")
        ask = gateway.ask
        gateway.ask = lambda method, target, headers=(), body=None: ask(
            method, target, {"X-Forwarded-For": "2001:db8:0a91::1", **dict(headers)}, body)
        yield gateway


@pytest.fixture(scope="module")
def document(gateway):
    return fetch(gateway)


@pytest.fixture(scope="module")
def world(gateway, postgres):
    return World(gateway, postgres)


class World:
    """Who asks, and what there is to ask for."""

    def __init__(self, gateway, postgres):
        self.gateway, self.postgres = gateway, postgres
        self.tokens = {role: postgres.sql(f"SELECT relay_guard.issue_token('documented-{role}', 'workspace', '{role}')")[0][0]
                       for role in ("user", "admin")}

    def credentials(self, document, operation):
        if not operation["security"]:
            return {}
        admin = "admin_required" in document.codes(operation, 403)
        return {"Authorization": "Bearer " + self.tokens["admin" if admin else "user"]}

    def ask(self, document, method, path, target=None, body=None, headers=None):
        """As somebody who may, and checked against the document."""
        operation = document.operation(method, path)
        given = {**self.credentials(document, operation), **(JSON if body is not None else {}), **(headers or {})}
        answer = self.gateway.ask(method, target or path, given, body if body is None or isinstance(body, bytes)
                                  else json.dumps(body).encode())
        document.check(answer, method, path)
        return answer

    def register(self, document):
        account = {"email": f"{uuid.uuid4()}@documented.example", "password": "four words, never together"}
        return account, self.ask(document, "POST", AUTH + "register", body=account)

    def file(self, document):
        return self.ask(document, "POST", FILES, body={"name": "documented.txt", "metadata": {"n": 1}}).json()["id"]

    def reservation(self, document):
        return self.ask(document, "POST", RESERVATIONS, body={
            "model": "documented", "input_tokens": 1, "max_output_tokens": 1}).json()["id"]


def plain(world, document, method, path):
    return world.ask(document, method, path)


def files(world, document, method, path):
    for _ in range(2):
        world.file(document)
    page = world.ask(document, "GET", FILES, FILES + "?limit=1")
    assert page.json()["next"] is not None
    return world.ask(document, "GET", FILES, f"{FILES}?limit=100&after={page.json()['next']}")


def new_file(world, document, method, path):
    return world.ask(document, "POST", FILES, body={"name": "documented", "content_type": "text/plain", "metadata": {}})


def a_file(world, document, method, path):
    return world.ask(document, method, path, f"{FILES}/{world.file(document)}")


def audit(world, document, method, path):
    world.file(document)
    filters = "status=ok&action=INSERT&resource_type=knowledge_file&limit=2&since=2020-01-01T00:00:00Z"
    page = world.ask(document, method, path, f"{path}?{filters}")
    assert page.json()["events"] and page.json()["next"]
    return world.ask(document, method, path, f"{path}?{filters}&after={page.json()['next']}")


def seal(world, document, method, path):
    world.postgres.sql("SELECT relay_guard.audit_event('test', 'documented')")
    world.postgres.sql("SELECT relay_guard.audit_seal()")
    return world.ask(document, method, path)


def new_reservation(world, document, method, path):
    return world.ask(document, method, path, body={
        "model": "documented", "input_tokens": 5, "max_output_tokens": 5, "ttl_seconds": 60})


def usage(world, document, method, path):
    settle(world, document, "POST", RESERVATIONS + "/{id}/settle")
    return world.ask(document, method, path)


def extend(world, document, method, path):
    return world.ask(document, method, path, path.replace("{id}", world.reservation(document)), {"tokens": 1})


def settle(world, document, method, path):
    return world.ask(document, method, path, path.replace("{id}", world.reservation(document)),
                     {"input_tokens": 1, "output_tokens": 1})


def release(world, document, method, path):
    return world.ask(document, method, path, path.replace("{id}", world.reservation(document)))


def register(world, document, method, path):
    return world.register(document)[1]


def login(world, document, method, path):
    account, _ = world.register(document)
    return world.ask(document, method, path, body=account)


def completion(world, document, method, path):
    body = {"messages": [{"role": "user", "content": "Is it so?"}], "max_tokens": 5}
    streamed = world.ask(document, method, path, body={**body, "stream": True})
    assert streamed.header("Content-Type") == "text/event-stream"
    return world.ask(document, method, path, body=body)


def chat(world, document, method, path):
    return world.ask(document, method, path, body={"message": "Is it so?", "messages": [{"role": "user", "content": "Hello"}]})


def stream_again(world, document, method, path):
    """An answer that goes on: it ends where all of it was seen."""
    id, = world.postgres.sql("SELECT stream ->> 'reservation' FROM relay_guard.serve('POST', '/api/v1/stream', "
                             f"headers => ARRAY['authorization', 'Bearer {world.tokens['user']}', 'content-type', 'application/json'], "
                             """body => '{"message": "Is it so?"}')""")[0]
    return world.ask(document, method, path, path.replace("{id}", id))


# How each route succeeds
SUCCESS = {
    ("GET", "/health"): plain, ("GET", "/healthz"): plain, ("GET", "/api/healthz"): plain,
    ("GET", "/_stcore/health"): plain, ("GET", "/ready"): plain, ("GET", "/openapi.json"): plain,
    ("POST", "/api/v1/anon_session"): plain,
    ("POST", AUTH + "register"): register, ("POST", AUTH + "login"): login, ("POST", AUTH + "logout"): plain,
    ("GET", "/v1/events"): plain, ("GET", AUTH + "csrf"): plain, ("GET", AUTH + "me"): plain, ("POST", "/api/dev/demo/login"): plain,
    ("GET", FILES): files, ("POST", FILES): new_file, ("GET", FILES + "/{id}"): a_file, ("DELETE", FILES + "/{id}"): a_file,
    ("GET", "/audit"): audit, ("GET", "/api/v1/audit"): audit, ("GET", "/api/v1/audit/head"): seal,
    ("GET", "/api/v1/audit/verify"): plain,
    ("GET", "/v1/admin/llm-budget"): plain, ("GET", "/api/v1/usage"): usage,
    ("POST", COMPLETIONS): completion, ("POST", CHAT): chat, ("POST", STREAM): chat, ("GET", STREAM + "/{id}"): stream_again,
    ("GET", "/v1/models"): plain,
    ("POST", RESERVATIONS): new_reservation, ("POST", RESERVATIONS + "/{id}/extend"): extend,
    ("POST", RESERVATIONS + "/{id}/settle"): settle, ("DELETE", RESERVATIONS + "/{id}"): release,
}


def shipped(document):
    return {key: operation for key, operation in document.operations().items() if not key[1].startswith("/test/")}


def test_each_documented_route_is_tried(document):
    assert set(shipped(document)) == set(SUCCESS)


@pytest.mark.parametrize("method, path", SUCCESS, ids=lambda value: value)
def test_success_is_as_documented(world, document, method, path):
    answer = SUCCESS[method, path](world, document, method, path)
    assert answer.status == min(int(status) for status in document.operation(method, path)["responses"] if status.isdigit())


def test_each_route_says_what_it_is(document):
    for (method, path), operation in shipped(document).items():
        assert operation["summary"] != f"{method} {path}", path
        assert operation["description"] and operation["tags"]
        for parameter in document.parameters(operation):
            assert parameter.get("description"), f"{method} {path}: {parameter['name']}"
        body = operation.get("requestBody", {"content": {"application/json": {"schema": {}}}})
        for name, member in body["content"]["application/json"]["schema"].get("properties", {}).items():
            assert member.get("description"), f"{method} {path}: {name}"
        for status, answer in operation["responses"].items():
            content = document.resolve(answer).get("content", {})
            assert "application/json" not in content or status == "503" or \
                document.closed(content["application/json"]["schema"]).keys() - {"type"}, f"{method} {path}: {status}"


def test_names_are_unique_and_the_order_is_kept(gateway, document):
    ids = [operation["operationId"] for operation in document.operations().values()]
    assert len(set(ids)) == len(ids)
    paths = list(document.whole["paths"])
    assert paths == sorted(paths)
    assert gateway.get("/openapi.json").body == gateway.get("/openapi.json").body


def of_database(document):
    """Routes that the database answers, and whom they take."""
    return [(method, path, operation) for (method, path), operation in shipped(document).items()
            if "500" in operation["responses"]]


def with_samples(document, operation, path):
    """The path with a value for each variable, and the least body."""
    for parameter in document.parameters(operation):
        if parameter["in"] == "path":
            path = path.replace("{%s}" % parameter["name"], sample(parameter["schema"]))
    return path


def sample(schema):
    if "enum" in schema:
        return schema["enum"][0]
    if schema.get("pattern", "").startswith("^[0-9]"):
        return "1-1"
    return str(SAMPLES.get(schema.get("format"), schema.get("minimum", "word")))


def test_without_credentials_a_secured_route_is_401(gateway, document):
    for method, path, operation in of_database(document):
        answer = gateway.ask(method, with_samples(document, operation, path))
        document.check(answer, method, path)
        secured = operation["security"] and {} not in operation["security"]
        assert (answer.status == 401) == bool(secured)


def test_bad_credentials_are_401_where_any_are_looked_at(gateway, document):
    for method, path, operation in of_database(document):
        answer = gateway.ask(method, with_samples(document, operation, path), {"Authorization": "Bearer a.b.c"})
        document.check(answer, method, path)
        assert (answer.status == 401) == bool(operation["security"])


def test_who_may_not_is_403(gateway, document, postgres):
    anonymous = postgres.sql("SELECT relay_guard.issue_token('anon:documented', role => 'anonymous')")[0][0]
    for method, path, operation in of_database(document):
        codes = document.codes(operation, 403) or set()
        answer = gateway.ask(method, with_samples(document, operation, path), {"Authorization": f"Bearer {anonymous}"})
        document.check(answer, method, path)
        assert (answer.status == 403) == bool(codes & {"admin_required", "sign_in_required", "workspace_required"})


def wrong(schema):
    if "enum" in schema or "format" in schema or schema.get("type") != "string":
        return "%7Bwrong%7D"
    return "x" * (schema["maxLength"] + 1) if "maxLength" in schema else "%20" if "pattern" in schema else None


def in_query(document):
    return [(method, path, operation, parameter) for method, path, operation in of_database(document)
            for parameter in document.parameters(operation) if parameter["in"] == "query"]


def test_documented_parameters_are_taken_and_wrong_ones_are_422(world, document):
    for method, path, operation, parameter in in_query(document):
        name, schema = parameter["name"], parameter["schema"]
        target = with_samples(document, operation, path)
        if name != "after":     # a cursor is not any text
            answer = world.ask(document, method, path, f"{target}?{name}={sample(schema)}")
            assert answer.status == 200, f"{path}: {name}"
        if wrong(schema) is not None:
            answer = world.ask(document, method, path, f"{target}?{name}={wrong(schema)}")
            assert (answer.status, code_of(answer)) == (422, "invalid_parameter"), f"{path}: {name}"
            assert names(answer, f"/query/{name}")
        again = f"{name}={sample(schema)}"
        answer = world.ask(document, method, path, f"{target}?{again}&{again}")
        assert answer.status == 422 and (name == "after" or code_of(answer) == "duplicate_parameter")


def test_a_value_in_the_path_that_is_wrong_is_422(world, document):
    for method, path, operation in of_database(document):
        for parameter in document.parameters(operation):
            if parameter["in"] != "path" or wrong(parameter["schema"]) is None:
                continue
            answer = world.ask(document, method, path, path.replace("{%s}" % parameter["name"], wrong(parameter["schema"])))
            assert answer.status == 422 and names(answer, f"/path/{parameter['name']}")


def test_undocumented_parameters_are_ignored(world, document):
    for method, path, operation in of_database(document):
        if method == "GET" and "{" not in path:
            assert world.ask(document, method, path, f"{path}?undocumented=1&undocumented=2").status == \
                world.ask(document, method, path).status


def test_bodies_are_what_their_schema_says(world, document):
    for method, path, operation in of_database(document):
        if "requestBody" not in operation:
            continue
        target = with_samples(document, operation, path)
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        for body, headers, status, code in [
                (None, JSON, 422, "missing_parameter"), (b"{", None, 400, "invalid_json"),
                (b"{}", {"Content-Type": "text/plain"}, 415, "unsupported_media_type"),
                (b"{}", None, 422, "missing_parameter"), (b"[]", None, 422, "invalid_parameter"),
                (b'{"name": "' + b"x" * 1100000 + b'"}', None, 413, "body_too_large"),
                ({**{name: 1 for name in schema["required"]}, "undocumented": 1}, None, 422, "invalid_parameter")]:
            answer = world.ask(document, method, path, target, body, headers)
            assert (answer.status, code_of(answer)) == (status, code), path


def test_a_session_is_a_credential_as_documented(world, document):
    """Where it is named a cookie is enough to read, and needs the token beside it to write."""
    account, _ = world.register(document)
    signed_in = world.ask(document, "POST", AUTH + "login", body=account)
    cookie = signed_in.header("Set-Cookie").split(";")[0]
    token = {"Sec-Fetch-Site": "same-origin", "X-CSRF-Token": signed_in.json()["csrfToken"]}
    for method, path, operation in of_database(document):
        if not operation["security"]:
            continue
        answer = world.gateway.ask(method, with_samples(document, operation, path), {"Cookie": cookie})
        document.check(answer, method, path)
        assert {"session": []} in operation["security"] and answer.status != 401, path
        if method != "GET" and "admin_required" not in document.codes(operation, 403):
            assert (answer.status, code_of(answer)) == (403, "csrf_failed"), path
            assert "X-CSRF-Token" in {parameter["name"] for parameter in document.parameters(operation)}
            answer = world.gateway.ask(method, with_samples(document, operation, path), {"Cookie": cookie, **token})
            document.check(answer, method, path)
            assert answer.status not in (401, 403), path


def test_signing_out_by_a_form_is_303_as_documented(world, document):
    form = {"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "same-origin"}
    answer = world.ask(document, "POST", AUTH + "logout", None, b"a=b", form)
    assert answer.status == 303 and answer.header("Location") == "/"


def test_what_is_not_there_is_404_as_documented(world, document):
    bodies = {"extend": {"tokens": 1}, "settle": {"input_tokens": 1, "output_tokens": 1}}
    for method, path, operation in of_database(document):
        if "{id}" in path:
            answer = world.ask(document, method, path, path.replace("{id}", SAMPLES["uuid"]), bodies.get(path.rsplit("/", 1)[1]))
            assert answer.status == 404


def test_what_was_ended_is_409_as_documented(world, document):
    reservation = world.reservation(document)
    world.ask(document, "DELETE", RESERVATIONS + "/{id}", f"{RESERVATIONS}/{reservation}")
    for end, body in ("extend", {"tokens": 1}), ("settle", {"input_tokens": 1, "output_tokens": 1}):
        answer = world.ask(document, "POST", f"{RESERVATIONS}/{{id}}/{end}", f"{RESERVATIONS}/{reservation}/{end}", body)
        assert (answer.status, code_of(answer)) == (409, "reservation_released")


def test_a_limit_is_429_as_documented(gateway, document, postgres):
    before = postgres.sql("SELECT name, quota FROM relay_guard.rate_policy")
    postgres.sql("UPDATE relay_guard.rate_policy SET quota = 0")
    try:
        for method, path, operation in of_database(document):
            answer = gateway.ask(method, with_samples(document, operation, path))
            document.check(answer, method, path)
            assert (answer.status, code_of(answer)) == (429, "rate_limited"), path
            assert answer.header("Retry-After") is not None
    finally:
        for name, quota in before:
            postgres.sql(f"UPDATE relay_guard.rate_policy SET quota = {quota} WHERE name = '{name}'")


def test_a_changed_route_is_documented_at_once(gateway, postgres):
    postgres.sql("INSERT INTO relay_guard.route (method, path, query, auth, result, run_as, summary) "
                 "VALUES ('GET', '/test/new-word', 'SELECT 1', 'none', 'value', 'relay_app', 'one')", user="relay_owner")
    try:
        assert fetch(gateway).operation("GET", "/test/new-word")["summary"] == "one"
        postgres.sql("UPDATE relay_guard.route SET summary = 'two' WHERE path = '/test/new-word'", user="relay_owner")
        assert fetch(gateway).operation("GET", "/test/new-word")["summary"] == "two"
    finally:
        postgres.sql("DELETE FROM relay_guard.route WHERE path = '/test/new-word'", user="relay_owner")
    assert "/test/new-word" not in fetch(gateway).whole["paths"]


def test_no_statement_and_no_role_is_shown(gateway):
    shown = gateway.get("/openapi.json").body
    for secret in b"SELECT", b"relay_app", b"relay_guard.", b"search_path", b"INSERT INTO":
        assert secret not in shown, secret


def test_the_pages_show_it_without_foreign_assets(gateway):
    page = gateway.get("/docs")
    assert page.status == 200 and page.header("Content-Type") == "text/html; charset=utf-8"
    assert page.body == gateway.get("/docs.html").body
    for name, media in ("/docs.js", "text/javascript"), ("/docs.css", "text/css"):
        asset = gateway.get(name)
        assert name.encode() in page.body and asset.header("Content-Type").startswith(media)
    for inline in b"<style", b"style=", b"onclick", b"http:", b"https:":
        assert inline not in page.body
    script = gateway.get("/docs.js").body
    for risk in b"innerHTML", b"outerHTML", b"insertAdjacentHTML", b"document.write", b"eval(":
        assert risk not in script
