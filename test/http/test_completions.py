"""Language models behind the gateway: what clients get of them, and what is charged."""
import json
import os
import signal
import socket
import threading
import time

import pytest

from conftest import Connection, close_listener, running, wait_until
from model_provider import KEY, PATH, Provider, Stream, add_provider, chat, remove_provider

USER = "completion-user"


@pytest.fixture(scope="module")
def provider():
    provider = Provider()
    yield provider
    close_listener(provider.listener)


@pytest.fixture(scope="module")
def world(postgres, provider):
    add_provider(postgres, f"http://127.0.0.1:{provider.port}/v1")
    yield postgres
    remove_provider(postgres)


@pytest.fixture(scope="module")
def front(postgres, world):
    with running(postgres.url("relay_gateway"), WORKERS=1, DRAIN_TIMEOUT="5s", http_proxy="http://127.0.0.1:9") as gateway:
        wait_until(gateway.is_ready, what="readiness")
        yield gateway


@pytest.fixture
def short(world):
    """A lease of two seconds."""
    world.sql("ALTER DATABASE relay SET relay_guard.completion_grace = '1s'")
    world.sql("UPDATE relay_guard.upstream SET connect_timeout = '0.2 s', answer_timeout = '0.2 s', idle_timeout = '0.6 s' WHERE name = 'fake'")
    yield
    world.sql("ALTER DATABASE relay RESET relay_guard.completion_grace")
    world.sql("UPDATE relay_guard.upstream SET connect_timeout = '1 s', answer_timeout = '1 s', idle_timeout = '1 s' WHERE name = 'fake'")


@pytest.fixture(scope="module")
def token(world):
    return new_token(world)


def new_token(postgres, user=USER):
    return postgres.sql(f"SELECT relay_guard.issue_token('{user}')")[0][0]


def ask(gateway, *request):
    return gateway.ask(*request)


def open_stream(gateway, *request):
    connection = gateway.connect()
    connection.request(*request)
    return Stream(connection)


def ends(postgres, user=USER):
    """How the reservations of a user ended: (kind, input, output), in order."""
    return postgres.sql(f"""SELECT e.kind, e.input_tokens, e.output_tokens FROM relay_guard.usage_ledger r
        JOIN relay_guard.usage_ledger e ON e.reservation = r.reservation AND e.kind IN ('settle', 'release', 'expire')
        WHERE r.kind = 'reserve' AND r.user_id = '{user}' ORDER BY r.id""")


def reserved(postgres, user=USER):
    return postgres.sql(f"SELECT count(*) FROM relay_guard.usage_ledger WHERE kind = 'reserve' AND user_id = '{user}'")[0][0]


class Billed:
    """What the requests inside are charged: with billed as b: …; b.ends()"""

    def __init__(self, postgres, user=USER):
        self.postgres, self.user = postgres, user

    def __enter__(self):
        self.before, self.held = len(ends(self.postgres, self.user)), reserved(self.postgres, self.user)
        return self

    def __exit__(self, *how):
        pass

    def ends(self, count=1, seconds=5):
        wait_until(lambda: len(ends(self.postgres, self.user)) >= self.before + count, seconds, "the settlement")
        assert reserved(self.postgres, self.user) == self.held + count
        return ends(self.postgres, self.user)[self.before:]


@pytest.fixture
def bill(world):
    with Billed(world) as billed:
        yield billed


def contents(stream):
    """The text of an answer in OpenAI's chunks."""
    chunks = [json.loads(data) for data in stream.data() if data != "[DONE]"]
    return "".join(choice["delta"].get("content", "") for chunk in chunks for choice in chunk["choices"])


def test_a_stream_passes_chunk_by_chunk(front, provider, token, bill):
    stream = open_stream(front, *chat(token=token, say=["Hel", "lo"], every=0.2, usage=[7, 9]))
    assert stream.status == 200 and stream.header("Content-Type") == "text/event-stream"
    assert stream.header("Cache-Control") == "no-store, no-transform" and stream.header("X-Accel-Buffering") == "no"
    assert stream.header("X-Frame-Options") == "DENY" and stream.header("X-Request-ID")
    assert b"Hel" in stream.more() and b"lo" not in stream.text
    stream.rest()
    assert stream.whole and contents(stream) == "Hello"
    assert stream.data()[-1] == "[DONE]" and all(json.loads(data)["choices"] for data in stream.data()[:-1])
    assert bill.ends() == [("settle", 7, 9)]
    assert stream.connection.request("GET", "/health") is None and stream.connection.read().status == 200


def test_the_provider_is_asked_with_the_key_and_little_else(front, provider, token):
    open_stream(front, *chat(token=token, more={"user": USER})).rest()
    line, headers = provider.heads[-1]
    assert line == "POST /v1/chat/completions HTTP/1.1" and headers["authorization"] == f"Bearer {KEY}"
    assert set(headers) == {"host", "authorization", "traceparent", "content-type", "accept", "user-agent", "content-length"}
    assert provider.bodies[-1]["stream_options"]["include_usage"] is True and USER not in json.dumps(provider.bodies[-1]["user"])


def test_usage_comes_in_the_stream_where_it_was_asked_for(front, token):
    stream = open_stream(front, *chat(token=token, usage=[3, 4], more={"stream_options": {"include_usage": True}})).rest()
    assert json.loads(stream.data()[-2])["usage"] == {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}


def test_an_answer_as_a_whole_passes(front, token, bill):
    answer = ask(front, *chat(stream=False, token=token, usage=[5, 6]))
    assert answer.status == 200 and answer.header("Content-Type") == "application/json" and answer.header("Cache-Control") == "no-store"
    assert answer.json()["choices"][0]["message"]["content"] == "Hello" and answer.json()["usage"]["total_tokens"] == 11
    assert bill.ends() == [("settle", 5, 6)]


def test_a_reply_is_one_object(front, token, bill):
    answer = ask(front, *chat("reply", token=token, say=["a\"b", "\u00e4\n"], usage=[5, 6], finish="length"))
    assert answer.status == 200 and answer.json() == {
        "reply": "a\"b\u00e4\n", "model": "fake", "finish_reason": "length", "usage": {"input_tokens": 5, "output_tokens": 6}}
    assert bill.ends() == [("settle", 5, 6)]


def completion_id(stream):
    return stream.header("X-Completion-ID")


def stored(postgres, completion):
    return postgres.sql(f"""SELECT e.id, e.event, e.data FROM relay_guard.event e JOIN relay_guard.event_stream s ON s.number = e.stream
        WHERE s.name = 'completion/{completion}' ORDER BY e.id""")


def has_ended(postgres, completion):
    return postgres.sql(f"SELECT ended_at IS NOT NULL FROM relay_guard.event_stream WHERE name = 'completion/{completion}'")[0][0]


def test_events_have_ids_and_are_kept(front, world, token, bill):
    say = ["Hel", "lo", "\n\u00e4", "x" * 30000]
    stream = open_stream(front, *chat("events", token=token, say=say, usage=[5, 6])).rest()
    retry, *events = stream.events()
    assert stream.whole and retry == {"retry": "3000"}
    assert [int(event["id"]) for event in events] == list(range(len(events)))
    assert [event["event"] for event in events] == ["message_chunk"] * (len(events) - 2) + ["usage", "done"]
    assert "".join(json.loads(event["data"])["text"] for event in events[:-2]) == "".join(say)
    assert json.loads(events[-2]["data"]) == {"input_tokens": 5, "output_tokens": 6}
    assert json.loads(events[-1]["data"]) == {"finish_reason": "stop", "model": "fake"}
    assert stored(world, completion_id(stream)) == [(int(event["id"]), event["event"], event["data"]) for event in events]
    assert has_ended(world, completion_id(stream)) and bill.ends() == [("settle", 5, 6)]


def resume(gateway, completion, token, after):
    return open_stream(gateway, "GET", f"{PATH}events/{completion}", {"Authorization": f"Bearer {token}", "Last-Event-ID": after})


# stream: "no resume" (nginx#1505, any-llm#847, agents-api#552)
def test_who_comes_back_gets_exactly_what_is_missing(front, world, token):
    stream = open_stream(front, *chat("events", token=token, say=list("abcdef"), every=0.1))
    stream.until("id: 2\n")
    seen = int(stream.events()[-1]["id"])
    beside = resume(front, completion_id(stream), token, seen)
    stream.rest()
    beside.rest()
    assert beside.events()[0] == {"retry": "3000"}
    assert beside.events()[1:] == [event for event in stream.events() if int(event.get("id", -1)) > seen]
    other = resume(front, completion_id(stream), new_token(world, "somebody-else"), seen)
    assert other.status == 404


def leave(stream):
    stream.connection.reset()


def end_its_side(stream):
    stream.connection.socket.shutdown(socket.SHUT_WR)


# budget: "streaming client leaves: unbilled" (litellm#14457, #6633)
@pytest.mark.parametrize("how", [leave, end_its_side])
@pytest.mark.parametrize("shape", ["openai", "events"])
def test_a_client_that_leaves_ends_the_stream_and_pays_for_what_was_made(front, world, provider, token, bill, shape, how):
    stream = open_stream(front, *chat(shape, token=token, say=["abcdef", "ghi", "jk"], silence=9))
    stream.until("jk")
    how(stream)
    assert provider.left.acquire(timeout=3)
    (kind, input_tokens, output_tokens), = bill.ends()
    assert kind == "settle" and output_tokens == 4 and input_tokens >= 8
    if shape == "events":
        wait_until(lambda: has_ended(world, completion_id(stream)), what="the end of the stream")
        *chunks, error = stored(world, completion_id(stream))
        assert "".join(json.loads(data)["text"] for _, _, data in chunks) == "abcdefghijk"
        assert error[1] == "error" and json.loads(error[2])["code"] == "client_left"


@pytest.mark.parametrize("how", ["reset", "half-closed"])
def test_an_answer_as_a_whole_is_paid_for_though_its_client_has_left(front, provider, token, bill, how):
    connection, before = front.connect(), len(provider.bodies)
    connection.request(*chat(stream=False, token=token, hang=0.5, usage=[5, 6]))
    wait_until(lambda: len(provider.bodies) > before)
    if how == "reset":
        connection.reset()
    else:
        connection.socket.shutdown(socket.SHUT_WR)
        assert connection.is_closed()
    assert bill.ends() == [("settle", 5, 6)]


def test_a_client_that_left_before_anything_was_asked_pays_nothing(front, world, token, bill):
    world.sql("UPDATE relay_guard.upstream SET url = 'http://192.0.2.1' WHERE name = 'fake'")
    try:
        connection = front.connect()
        connection.request(*chat(stream=False, token=token))
        wait_until(lambda: reserved(world) > bill.held)
        time.sleep(0.1)
        connection.reset()
        assert bill.ends() == [("release", 0, 0)]
    finally:
        restore(world, None)


def restore(postgres, provider):
    port = provider.port if provider else restore.port
    postgres.sql(f"UPDATE relay_guard.upstream SET url = 'http://127.0.0.1:{port}/v1' WHERE name = 'fake'")


@pytest.fixture(autouse=True)
def remember_port(provider):
    restore.port = provider.port


def test_an_order_that_comes_too_late_costs_nothing(postgres, world, provider):
    user = "late-user"
    with Billed(world, user) as bill, running(postgres.url("relay_gateway"), WORKERS=1, DB_WRITE_CONNECTIONS=1,
                                              REQUEST_TIMEOUT="1s") as gateway:
        wait_until(gateway.is_ready, what="readiness")
        before, late = [gateway.connect() for _ in range(3)], gateway.connect()
        for connection in before:               # one behind the other, on the only connection for writes
            connection.request("POST", "/test/sleep/0.6")
        wait_until(lambda: gateway.sleeping(postgres) == 1, what="the first statement")
        late.request(*chat("events", token=new_token(postgres, user)))
        asked = len(provider.bodies)
        assert late.read().status == 504 and reserved(postgres, user) == bill.held
        assert bill.ends(seconds=10) == [("release", 0, 0)] and len(provider.bodies) == asked
        assert len(gateway.access_log()) == len({line["request_id"] for line in gateway.access_log()})
    assert postgres.sql("""SELECT count(*) FROM relay_guard.event_stream s JOIN relay_guard.usage_ledger l
        ON s.name = 'completion/' || l.reservation WHERE l.user_id = 'late-user' AND l.kind = 'reserve' AND s.ended_at IS NULL""") == [(0,)]


# budget: "no usage frame: unbilled" (kuadrant-operator#2199)
@pytest.mark.parametrize("stream", [True, False])
def test_without_usage_an_estimate_is_charged(front, token, bill, stream):
    answer = ask(front, *chat("reply", token=token, say=["abcdefghij"], usage=None)) if not stream else \
        open_stream(front, *chat(token=token, say=["abcde", "fghij"], usage=None)).rest()
    assert answer.status == 200
    (kind, input_tokens, output_tokens), = bill.ends()
    assert kind == "settle" and output_tokens == 4 and input_tokens >= 8


def problem(answer):
    return answer.status, answer.json()["code"]


REFUSALS = [
    (400, (400, "completion_refused"), "release"), (422, (400, "completion_refused"), "release"), (413, (400, "completion_refused"), "release"),
    (401, (502, "upstream_failed"), "release"), (403, (502, "upstream_failed"), "release"), (404, (502, "upstream_failed"), "release"),
    (500, (502, "upstream_failed"), "release"), (503, (502, "upstream_failed"), "release"), (302, (502, "upstream_failed"), "release"),
    (429, (429, "provider_busy"), "release")]


@pytest.mark.parametrize("status, told, end", REFUSALS)
@pytest.mark.parametrize("shape, stream", [("openai", True), ("openai", False), ("reply", False), ("events", True)])
def test_what_the_provider_refuses_costs_nothing(front, token, bill, status, told, end, shape, stream):
    answer = ask(front, *chat(shape, stream, token, status=status, message=f"bad \r\n key {KEY[:9]}", headers={"Retry-After": 17, "Location": "/"}))
    assert problem(answer) == told and answer.header("Retry-After") == ("17" if status == 429 else None)
    assert answer.json().get("detail") == (f"bad    key {KEY[:9]}" if told[0] == 400 else answer.json().get("detail"))
    assert (KEY[:9] in answer.body.decode()) == (told[0] == 400)
    assert bill.ends() == [(end, 0, 0)]


@pytest.mark.parametrize("script", [{"status": 400, "message": f"key {KEY} is wrong"}, {"status": 401, "message": f"key {KEY} is wrong"},
                                    {"status": 400, "body": KEY}])
def test_the_key_is_never_told(front, token, script):
    answer = ask(front, *chat(token=token, **script))
    assert KEY not in answer.body.decode() + str(answer.headers)
    assert KEY not in front.errors() and KEY not in json.dumps(front.access_lines())


def test_a_reason_is_cut(front, token):
    assert ask(front, *chat(token=token, status=400, message="\u00e4" * 1000)).json()["detail"] == "\u00e4" * 300


# stream: "error after the 200 as HTML" (nginx#1505, any-llm#847)
@pytest.mark.parametrize("script", [{"cut": True}, {"early": True}, {"silence": 3}, {"error": {"message": KEY}}, {"raw": "data: {\n\n"}, {"raw": "data: ", "fill": 1100000},
                                    {"raw": "data: 7\n\n"}], ids=["cut", "early", "silent", "error", "no-json", "long-line", "no-object"])
@pytest.mark.parametrize("shape", ["openai", "events"])
def test_what_breaks_after_the_200_is_told_in_the_stream(front, world, token, bill, shape, script):
    stream = open_stream(front, *chat(shape, token=token, **script)).rest()
    assert stream.status == 200 and stream.whole
    code = "upstream_timeout" if "silence" in script else "upstream_failed"
    if shape == "openai":
        error = json.loads(stream.data()[-1])["error"]
        assert set(error) == {"message", "type", "param", "code"} and (error["type"], error["code"]) == ("server_error", code)
    else:
        assert stream.events()[-1]["event"] == "error" and json.loads(stream.events()[-1]["data"])["code"] == code
        assert has_ended(world, completion_id(stream))
    assert KEY not in stream.text.decode() and "[DONE]" not in stream.text.decode()
    (kind, input_tokens, output_tokens), = bill.ends()
    assert kind == "settle" and input_tokens >= 8 and output_tokens == (0 if "raw" in script else 2)


def test_a_stream_without_its_last_line_is_whole_if_it_has_a_reason_to_end(front, token, bill):
    stream = open_stream(front, *chat(token=token, done=False)).rest()
    assert contents(stream) == "Hello" and stream.data()[-1] == "[DONE]" and bill.ends() == [("settle", 7, 9)]


@pytest.mark.parametrize("stream, spent", [(True, 0), (False, 1000)])
def test_a_provider_that_does_not_answer_is_504_and_paid_for(front, token, bill, stream, spent):
    answer = ask(front, *chat(stream=stream, token=token, hang=3))
    assert problem(answer) == (504, "upstream_timeout")
    (kind, _, output_tokens), = bill.ends()
    assert (kind, output_tokens) == ("settle", spent)


@pytest.mark.parametrize("script", [{"cut": True}, {"raw": "{}}"}, {"raw": "[]"}, {"raw": '{"error": {"message": "x"}}'}],
                         ids=["cut", "no-json", "no-object", "error"])
def test_an_answer_that_is_none_is_502_and_paid_for(front, token, bill, script):
    answer = ask(front, *chat("reply", token=token, **script))
    assert problem(answer) == (502, "upstream_failed") and bill.ends()[0][0::2] == ("settle", 1000)


def test_a_provider_that_was_asked_for_a_stream_and_sends_none_is_502(front, token, bill):
    assert problem(ask(front, *chat(token=token, whole=True))) == (502, "upstream_failed")
    (kind, input_tokens, output_tokens), = bill.ends()
    assert kind == "settle" and input_tokens >= 8 and output_tokens == 0


@pytest.mark.skipif("RG_LONG" not in os.environ, reason="takes half a minute")
@pytest.mark.parametrize("shape", ["openai", "events"])
def test_silence_is_filled_with_comments(front, world, token, bill, shape):
    world.sql("UPDATE relay_guard.upstream SET idle_timeout = '30 s' WHERE name = 'fake'")
    try:
        stream = open_stream(front, *chat(shape, token=token, silence=17)).rest()
    finally:
        world.sql("UPDATE relay_guard.upstream SET idle_timeout = '1 s' WHERE name = 'fake'")
    assert stream.whole and b"\n\n: ping\n\n" in stream.text and bill.ends() == [("settle", 7, 9)]


@pytest.mark.parametrize("url, code", [("http://127.0.0.1:1", "upstream_unreachable"), ("http://nowhere.invalid", "upstream_unreachable"),
                                       ("http://192.0.2.1", "upstream_unreachable"), ("https://127.0.0.1:{port}", "upstream_untrusted")])
def test_a_provider_that_cannot_be_reached_costs_nothing(front, world, provider, token, bill, url, code):
    world.sql(f"UPDATE relay_guard.upstream SET url = '{url.format(port=provider.port)}' WHERE name = 'fake'")
    try:
        assert problem(ask(front, *chat(token=token))) == (502, code) and bill.ends() == [("release", 0, 0)]
    finally:
        restore(world, provider)


def test_nothing_of_the_database_is_held_while_the_model_answers(front, world, token, bill):
    streams = [open_stream(front, *chat(shape, token=token, silence=0.5)).until("lo") for shape in ("openai", "events") * 3]
    time.sleep(0.2)
    busy = world.sql("SELECT state, query FROM pg_stat_activity WHERE usename = 'relay_gateway' AND (state <> 'idle' OR xact_start IS NOT NULL)")
    assert busy == []
    for stream in streams:
        stream.rest()
    assert bill.ends(6) == [("settle", 7, 9)] * 6


def test_a_slow_reader_slows_the_provider(front, provider, token, bill):
    connection = front.connect()
    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    provider.sent = 0
    connection.request(*chat(token=token, say=["x" * 1000], times=20000, usage=[1, 2]))

    def is_stuck():
        before = provider.sent
        time.sleep(0.5)
        return before == provider.sent > 100000
    wait_until(is_stuck, what="the end of the provider's writing")
    assert provider.sent < 12000000
    connection.reset()
    assert bill.ends()[0][0] == "settle"


ROUTES = {"openai": "/v1/chat/completions", "reply": "/v1/chat", "events": "/api/v1/stream"}


def question(shape, token=None, **script):
    """A request of the application's own routes."""
    method, _, headers, body = chat(shape, token=token, **script)
    if shape != "openai":
        body = json.dumps({"message": json.loads(body)["messages"][0]["content"], "model": "fake"}).encode()
    return method, ROUTES[shape], headers, body


@pytest.fixture(scope="module")
def anonymous(front):
    return front.ask("POST", "/api/v1/anon_session").json()["token"]


def test_the_routes_of_the_application_answer(front, world, anonymous):
    assert contents(open_stream(front, *question("openai", anonymous)).rest()) == "Hello"
    assert ask(front, *question("reply")).json()["reply"] == "Hello"
    stream = open_stream(front, *question("events", anonymous)).rest()
    again = open_stream(front, "GET", f"/api/v1/stream/{completion_id(stream)}?after=0", {"Authorization": f"Bearer {anonymous}"}).rest()
    assert again.events()[1:] == stream.events()[2:]
    assert {"fake"} <= {model["id"] for model in front.get("/v1/models").json()["data"]}


@pytest.mark.parametrize("script, status, kind, code", [
    ({"status": 400, "message": "bad"}, 400, "invalid_request_error", "completion_refused"), ({"status": 429}, 429, "rate_limit_error", "provider_busy"),
    ({"status": 401}, 502, "server_error", "upstream_failed"), ({"hang": 3}, 504, "server_error", "upstream_timeout")])
def test_clients_of_openai_get_its_errors(front, anonymous, script, status, kind, code):
    answer = ask(front, *question("openai", anonymous, **script))
    error = answer.json()["error"]
    assert (answer.status, error["type"], error["code"]) == (status, kind, code) and set(error) == {"message", "type", "param", "code"}


def total(postgres, user):
    return tuple(map(int, postgres.sql(f"""SELECT coalesce(sum(input_tokens), 0), coalesce(sum(output_tokens), 0) FROM relay_guard.usage_ledger
        WHERE user_id = '{user}' AND kind = 'settle'""")[0]))


def at_once(count, work):
    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# budget: "spend lost" (litellm#34805, #38157, #35531)
def test_fifty_streams_are_charged_to_the_token(start, world, provider):
    gateway, user = start(WORKERS=2), "fifty"
    token, input_before, output_before = new_token(world, user), provider.input, provider.output

    def work(number):
        shape = ("openai", "events", "reply")[number % 3]
        request = chat(shape, token=token, say=["abc"] * 5, every=0.02, usage=[100 + number, 200 + number])
        answer = open_stream(gateway, *request).rest() if shape != "reply" else ask(gateway, *request)
        assert answer.status == 200

    with Billed(world, user) as bill:
        at_once(50, work)
        assert [kind for kind, *_ in bill.ends(50)] == ["settle"] * 50
    assert total(world, user) == (provider.input - input_before, provider.output - output_before) == (6225, 11225)


# budget: "check-then-charge races" (litellm#34732, #40095)
def test_a_budget_is_not_overrun_by_many_at_once(start, world, provider):
    gateway, user = start(WORKERS=2), "overrun"
    token, answers = new_token(world, user), []
    world.sql("UPDATE relay_guard.budget_policy SET hard = 10500 WHERE name = 'fake'")
    try:
        at_once(50, lambda number: answers.append(ask(gateway, *chat("reply", token=token, hang=0.4, usage=[1, 1000]))))
    finally:
        world.sql("UPDATE relay_guard.budget_policy SET hard = 1000000000 WHERE name = 'fake'")
    taken = [answer for answer in answers if answer.status == 200]
    refused = [answer for answer in answers if answer.status != 200]
    assert 5 <= len(taken) <= 10, [answer.status for answer in answers]
    assert {problem(answer) for answer in refused} == {(429, "insufficient_quota")} and len(answers) == 50


def kill_worker(gateway):
    worker, = gateway.workers()
    os.kill(worker, signal.SIGKILL)


# budget: "reservations leak" (litellm#27639, #30460, #40050)
def test_a_worker_that_dies_leaves_what_was_reserved_to_be_charged(start, world, short):
    gateway, user = start(WORKERS=1), "killed"
    with Billed(world, user) as bill:
        stream = open_stream(gateway, *chat(token=new_token(world, user), silence=9)).until("lo")
        kill_worker(gateway)
        assert not stream.rest().whole
        (kind, _, _), = bill.ends(seconds=20)
    assert kind == "expire"
    spent, held = world.sql(f"SELECT sum(spent), sum(reserved) FROM relay_guard.usage_ledger WHERE user_id = '{user}'")[0]
    assert spent > 1000 and held == 0


def test_a_stream_that_outlasts_its_lease_keeps_it(start, world, short):
    gateway, user = start(WORKERS=1), "long"
    with Billed(world, user) as bill:
        open_stream(gateway, *chat(token=new_token(world, user), say=["abc"] * 30, every=0.1)).rest()
        assert bill.ends() == [("settle", 7, 9)]
    assert world.sql(f"SELECT count(*) FROM relay_guard.usage_ledger WHERE user_id = '{user}' AND kind = 'extend'")[0][0] >= 2


# budget: "spend lost at shutdown" (litellm#34805, #38157, #35531)
def test_a_gateway_that_is_stopped_says_so_in_the_stream_and_settles(start, world, provider):
    gateway, user = start(WORKERS=1, DRAIN_TIMEOUT="5s"), "stopped"
    token = new_token(world, user)
    before = len(provider.bodies)
    with Billed(world, user) as bill:
        openai = open_stream(gateway, *chat(token=token, silence=9)).until("lo")
        events = open_stream(gateway, *chat("events", token=token, silence=9)).until("lo")
        whole = gateway.connect()
        whole.request(*chat("reply", token=token, hang=0.3, usage=[5, 6]))
        wait_until(lambda: reserved(world, user) == 3)
        without_client = gateway.connect()
        without_client.request(*chat("reply", token=token, hang=0.5, usage=[7, 8]))
        wait_until(lambda: len(provider.bodies) == before + 4)
        without_client.reset()
        stopped = threading.Thread(target=gateway.end)
        stopped.start()
        assert json.loads(openai.rest().data()[-1])["error"]["code"] == "unavailable" and openai.whole
        assert events.rest().events()[-1]["event"] == "error" and events.whole
        assert whole.read().json()["reply"] == "Hello"
        for connection in openai.connection, events.connection, whole:
            connection.close()
        stopped.join()
        settled = bill.ends(4, seconds=0.5)
        assert [kind for kind, *_ in settled] == ["settle"] * 4 and settled[2:] == [("settle", 5, 6), ("settle", 7, 8)]
    assert has_ended(world, completion_id(events))


def test_the_limit_of_a_worker_is_503_and_costs_nothing(start, world):
    gateway, user = start(WORKERS=1, COMPLETION_LIMIT=1), "limited"
    token = new_token(world, user)
    with Billed(world, user) as bill:
        first = open_stream(gateway, *chat(token=token, silence=0.5)).until("lo")
        answer = ask(gateway, *chat(token=token))
        assert problem(answer) == (503, "upstream_busy") and answer.header("Retry-After")
        first.rest()
        assert sorted(kind for kind, *_ in bill.ends(2)) == ["release", "settle"]


def test_while_the_database_is_away_streams_go_on_and_are_settled_once(start, postgres, world, provider):
    gateway, user = start(WORKERS=1), "away"
    token = new_token(world, user)
    before = len(ends(world, user))
    openai = open_stream(gateway, *chat(token=token, say=["ab"] * 6, every=0.3, usage=[5, 6])).until("ab")
    events = open_stream(gateway, *chat("events", token=token, say=["ab"] * 6, every=0.3, usage=[5, 6])).until("ab")
    postgres.stop()
    openai.rest()
    assert openai.data()[-1] == "[DONE]"
    postgres.start()
    events.rest()
    wait_until(lambda: len(ends(world, user)) == before + 2, 20, "the settlement")
    assert ends(world, user)[before:] == [("settle", 5, 6)] * 2
    assert events.whole and [int(event["id"]) for event in events.events()[1:]] == list(range(8))
    assert len(stored(world, completion_id(events))) == 8


def test_what_completions_came_to_is_counted(start, world):
    from conftest import free_port
    port = free_port()
    gateway, token = start(WORKERS=1, METRICS_LISTEN=f"127.0.0.1:{port}"), new_token(world, "counted")
    open_stream(gateway, *chat(token=token, usage=[5, 6])).rest()
    ask(gateway, *chat(token=token, status=400))
    ask(gateway, *chat(token=token, status=500))
    leave(open_stream(gateway, *chat(token=token, silence=9)).until("lo"))

    def page():
        connection = Connection(port)
        connection.request("GET", "/metrics")
        return connection.read().body.decode()
    wait_until(lambda: 'relay_completions_total{outcome="client_left"} 1' in page())
    for line in ('relay_completions_total{outcome="finished"} 1', 'relay_completions_total{outcome="refused"} 1',
                 'relay_completions_total{outcome="failed"} 1', 'relay_completion_tokens_total{kind="output"} 8'):
        assert line + "\n" in page()
