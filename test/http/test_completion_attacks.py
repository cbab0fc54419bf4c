"""Providers and clients that mean ill, or are broken: what is charged, what is told, and what it costs the gateway."""
import json
import socket
import time

import pytest

from conftest import Connection, close_listener, running, wait_until
from model_provider import KEY, Provider, Stream, add_provider, chat, remove_provider
from test_completions import Billed, ask, leave, new_token, open_stream, problem

USER = "attacked-user"


def early_usage(output):
    return 'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":%d}}\n\n' % output


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
    with running(postgres.url("relay_gateway"), WORKERS=1) as gateway:
        wait_until(gateway.is_ready, what="readiness")
        yield gateway


@pytest.fixture(scope="module")
def token(world):
    return new_token(world, USER)


@pytest.fixture
def patient(world):
    """Nine seconds for the provider's answer, and between its words."""
    world.sql("UPDATE relay_guard.upstream SET answer_timeout = '9 s', idle_timeout = '9 s' WHERE name = 'fake'")
    yield
    world.sql("UPDATE relay_guard.upstream SET answer_timeout = '1 s', idle_timeout = '1 s' WHERE name = 'fake'")


@pytest.fixture
def bill(world):
    with Billed(world, USER) as billed:
        yield billed


# A usage of the beginning is not that of the end
def test_what_comes_behind_the_usage_is_charged_too(front, token, bill):
    open_stream(front, *chat(token=token, raw=early_usage(2), say=["abcdef"] * 10, cut=True)).rest()
    assert bill.ends() == [("settle", 7, 22)]


# Whoever has the answer, but leaves before the usage, does not get what the model thought unseen for nothing
@pytest.mark.parametrize("shape", ["openai", "events"])
def test_leaving_between_the_reason_and_the_usage_is_charged_by_the_usage(front, token, bill, shape):
    stream = open_stream(front, *chat(shape, token=token, usage=[7, 900], pause=0.5))
    stream.until("stop" if shape == "openai" else "lo")
    time.sleep(0.1)
    leave(stream)
    assert bill.ends() == [("settle", 7, 900)]


class Narrow(Connection):
    """Of a client that reads nothing, and whose kernel takes next to nothing."""

    def __init__(self, port):
        self.socket, self.buffer = socket.socket(), b""
        self.socket.settimeout(60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.connect(("127.0.0.1", port))


# Nor when so much waits for him that the provider is not read any more
def test_leaving_while_the_usage_waits_behind_the_answer_is_charged_at_once(front, token, provider, bill):
    connection = Narrow(front.port)
    provider.sent = 0
    connection.request(*chat(token=token, say=[], last=900000, usage=[7, 900], pause=0.3))
    wait_until(lambda: provider.sent > 900000, what="the reason")
    time.sleep(0.6)
    connection.reset()
    assert bill.ends() == [("settle", 7, 900)]


# What the provider says when the client reads again is no end of an answer with a hole in it
def test_a_stream_that_broke_while_it_was_not_read_has_no_good_end(front, patient, token):
    connection = Narrow(front.port)
    connection.request(*chat(token=token, say=["x" * 250000], times=2, silence=0.3, error={"message": "overloaded"}, pause=3))
    time.sleep(1)
    stream = Stream(connection).rest()
    assert "[DONE]" not in stream.data() and json.loads(stream.data()[-1])["error"]["code"] == "upstream_failed"


# Else a model could be made to think at somebody else's cost, as often as one likes
@pytest.mark.parametrize("say, until", [(["abc"], "abc"), ([], None)], ids=["behind the first words", "before them"])
def test_leaving_a_model_that_thinks_is_charged_for_the_time(front, patient, provider, token, bill, say, until):
    stream = open_stream(front, *chat(token=token, think=3, say=say, silence=9))
    stream.until(until) if until else time.sleep(3)
    leave(stream)
    (kind, _, output_tokens), = bill.ends()
    assert kind == "settle" and 90 <= output_tokens <= 900


def test_a_key_that_is_cut_is_not_told_either(front, token):
    answer = ask(front, *chat(token=token, status=400, message="x" * 285 + " " + KEY))
    assert problem(answer) == (400, "completion_refused") and KEY[:8] not in answer.body.decode()


def test_a_long_reason_to_end_is_cut_between_characters(front, token, bill):
    stream = open_stream(front, *chat("events", token=token, finish="\u00e9" * 70)).rest()
    assert json.loads(stream.events()[-1]["data"])["finish_reason"] == "\u00e9" * 31
    bill.ends()


# Else the order is malformed, and what nobody has asked for is charged
def test_as_many_tokens_as_a_model_and_n_allow_can_be_ordered(front, world, token, bill):
    world.sql("""UPDATE relay_guard.model SET max_output_tokens = 1000000000 WHERE name = 'fake';
                 UPDATE relay_guard.budget_policy SET hard = 1000000000000 WHERE name = 'fake'""")
    try:
        assert ask(front, *chat(stream=False, token=token, more={"n": 128})).status == 200
        assert bill.ends() == [("settle", 7, 9)]
    finally:
        world.sql("""UPDATE relay_guard.model SET max_output_tokens = 1000 WHERE name = 'fake';
                     UPDATE relay_guard.budget_policy SET hard = 1000000000 WHERE name = 'fake'""")


# 9 bytes of a request were 16 kB of the provider's, and of the memory of the database
def test_a_number_does_not_grow_on_its_way(front, provider, token, bill):
    method, target, headers, body = chat(token=token, more={"a": 5})
    answer = ask(front, method, target, headers, body.replace(b'"a": 5', b'"a": 1e-16000'))
    assert problem(answer) == (400, "invalid_json") and "out of range" in answer.json()["detail"]
    assert ask(front, method, target, headers, body.replace(b'"a": 5', b'"a": 5e-324')).status == 200
    assert len(json.dumps(provider.bodies[-1])) < 1000 and bill.ends()


def peak_memory(gateway):
    """Bytes."""
    worker, = gateway.workers()
    with open(f"/proc/{worker}/status") as status:
        return int(next(line for line in status if line.startswith("VmHWM")).split()[1]) * 1024


# 8 MB of empty lists are some 300 MB of values
def test_an_answer_of_too_many_values_is_none(front, world, token, bill):
    world.sql("UPDATE relay_guard.upstream SET max_response = 8000000 WHERE name = 'fake'")
    before = peak_memory(front)
    answer = ask(front, *chat("reply", token=token, many=2600000))
    assert problem(answer) == (502, "upstream_failed") and bill.ends()[0][0] == "settle"
    stream = open_stream(front, *chat("openai", token=token, many=300000)).rest()
    assert '"upstream_failed"' in stream.text.decode()
    assert peak_memory(front) - before < 64 << 20
