"""Events as a client that follows them sees them: each exactly once and in order, whoever appends,
whichever gateway it comes back to, and whatever ends in between."""
import concurrent.futures
import contextlib
import os
import re
import signal
import socket
import statistics
import threading
import time
import uuid

import psycopg2
import pytest

from conftest import running, wait_until

PARAMETERS = """[{"name": "name", "in": "path", "required": true, "schema": {"type": "string"}},
                 {"name": "after", "in": "query", "schema": {"type": "integer", "minimum": -1}}]"""
ROUTES = f"""
    INSERT INTO relay_guard.route (method, path, query, auth, result, parameters, run_as) VALUES
    ('GET', '/test/stream/{{name}}', 'SELECT request.name AS stream, request.after AS after', 'none', 'stream', '{PARAMETERS}', 'relay_app'),
    ('GET', '/test/news/{{name}}', 'SELECT request.name AS stream, coalesce(request.after, relay_guard.event_last(request.name)) AS after',
     'none', 'stream', '{PARAMETERS}', 'relay_app'),
    ('GET', '/test/mine', 'SELECT ''user:'' || relay_guard.user_id() AS stream', 'user', 'stream', '[]', 'relay_app'),
    ('GET', '/test/wrong', 'SELECT 1 AS n', 'none', 'stream', '[]', 'relay_app')
"""


@pytest.fixture(scope="module", autouse=True)
def routes(postgres):
    postgres.sql(ROUTES, user="relay_owner")
    yield
    postgres.sql("DELETE FROM relay_guard.route WHERE result = 'stream' AND path LIKE '/test/%'", user="relay_owner")


@pytest.fixture
def stream(postgres):
    return Stream(postgres, str(uuid.uuid4()))


class Stream:
    def __init__(self, postgres, name):
        self.postgres, self.name = postgres, name

    def append(self, *data, event="note"):
        for text in data:
            self.postgres.sql(f"SELECT relay_guard.event_append('{self.name}', '{event}', $d${text}$d$)")

    def fill(self, count):
        self.postgres.sql(f"SELECT relay_guard.event_append('{self.name}', NULL, n::text) FROM generate_series(1, {count}) n")

    def end(self):
        self.postgres.sql(f"SELECT relay_guard.event_end('{self.name}')")

    def age(self, hours):
        self.postgres.sql(f"""UPDATE relay_guard.event e SET at = at - interval '{hours} hours' FROM relay_guard.event_stream s
                              WHERE s.number = e.stream AND s.name = '{self.name}'""")
        self.postgres.sql("SELECT relay_guard.event_expire()")


class Follower:
    """An EventSource that shows what it receives."""

    def __init__(self, gateway, target, **headers):
        self.connection = gateway.connect()
        self.connection.request("GET", target, {name.replace("_", "-"): value for name, value in headers.items()})
        self.text, self.ended = "", False
        self.read_head()

    def read_head(self):
        buffer = b""
        while b"\r\n\r\n" not in buffer:
            data = self.connection.socket.recv(65536)
            assert data, "no answer"
            buffer += data
        head, self.rest = buffer.split(b"\r\n\r\n", 1)
        lines = head.decode().split("\r\n")
        assert lines[0].split()[1] == "200", buffer.decode()
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        self.take_chunks()

    def take_chunks(self):
        while b"\r\n" in self.rest:
            size, rest = self.rest.split(b"\r\n", 1)
            length = int(size, 16)
            if len(rest) < length + 2:
                return
            self.text += rest[:length].decode()
            self.rest = rest[length + 2:]
            self.ended |= length == 0

    def more(self, seconds=30):
        self.connection.socket.settimeout(seconds)
        data = self.connection.socket.recv(65536)
        self.rest += data
        self.take_chunks()
        return data != b""

    def events(self):
        """(id, event, data) of each that is whole."""
        return [(int(re.search(r"^id: (.*)$", block, re.M)[1]), (re.search(r"^event: (.*)$", block, re.M) or "  ")[1].strip(),
                 "\n".join(re.findall(r"^data: (.*)$", block, re.M)))
                for block in self.text.split("\n\n")[:-1] if block.startswith("id:")]

    def ids(self):
        return [event[0] for event in self.events()]

    def wait(self, count, seconds=30):
        end = time.monotonic() + seconds
        while self.text.count("\n\n") < count or len(self.events()) < count:
            assert time.monotonic() < end, f"{len(self.events())} of {count} events"
            assert self.more(max(0.01, end - time.monotonic())), "the stream ended"
        return self.events()

    def wait_for_end(self):
        while not self.ended and self.more():
            pass
        return self.ended

    def close(self):
        self.connection.close()


def test_events_as_they_are_sent(gateway, stream):
    stream.append("one", "two\nlines", "", event="note")
    follower = Follower(gateway, f"/test/stream/{stream.name}")
    assert follower.wait(3) == [(0, "note", "one"), (1, "note", "two\nlines"), (2, "note", "")]
    assert follower.text == ("retry: 3000\n\nid: 0\nevent: note\ndata: one\n\n"
                             "id: 1\nevent: note\ndata: two\ndata: lines\n\nid: 2\nevent: note\ndata: \n\n")
    assert follower.headers["content-type"] == "text/event-stream"
    assert follower.headers["cache-control"] == "no-store, no-transform"
    assert follower.headers["x-accel-buffering"] == "no" and "content-length" not in follower.headers
    stream.append("late")
    assert follower.wait(4)[3] == (3, "note", "late")
    follower.close()


def test_a_client_goes_on_where_it_was(gateway, start, stream):
    """By Last-Event-ID or ?after=, on any gateway: exactly the missing events, none twice."""
    stream.fill(100)
    other = start()
    for gate, target, headers in ((gateway, "", {"Last_Event_ID": "41"}), (other, "?after=41", {}), (other, "?after=3", {"Last_Event_ID": "41"})):
        follower = Follower(gate, f"/test/stream/{stream.name}{target}", **headers)
        follower.wait(58)
        assert follower.ids() == list(range(42, 100))
        follower.close()


def test_what_comes_from_now_on(gateway, stream):
    stream.fill(3)
    follower = Follower(gateway, f"/test/news/{stream.name}")
    stream.fill(1)
    assert [event[0] for event in follower.wait(1)] == [3]
    follower.close()


def test_a_finished_stream_replays_its_tail_and_ends(gateway, stream):
    stream.fill(3)
    live = Follower(gateway, f"/test/stream/{stream.name}")
    live.wait(3)
    stream.end()
    late = Follower(gateway, f"/test/stream/{stream.name}?after=0")
    for follower in (live, late):
        assert follower.wait_for_end()
    assert (live.ids(), late.ids()) == ([0, 1, 2], [1, 2])
    assert gateway.get(f"/test/stream/{stream.name}", {"Last-Event-ID": "2"}).status == 204
    with pytest.raises(psycopg2.Error, match="the stream has ended"):
        stream.fill(1)


def test_events_that_are_gone_are_said_to_be(gateway, stream):
    stream.fill(3)
    stream.age(2)
    stream.fill(2)
    for after in ("0", "1", "99"):
        answer = gateway.get(f"/test/stream/{stream.name}", {"Last-Event-ID": after})
        assert (answer.status, answer.json()["code"]) == (410, "events_expired")
    for target in ("", "?after=2"):
        follower = Follower(gateway, f"/test/stream/{stream.name}{target}")
        assert [event[0] for event in follower.wait(2)] == [3, 4]
        follower.close()


@pytest.mark.parametrize("how", ["expiry", "somebody"])
def test_who_waits_for_what_was_deleted_is_sent_away(postgres, gateway, stream, how):
    stream.fill(1)
    follower = Follower(gateway, f"/test/stream/{stream.name}")
    follower.wait(1)
    first = "last_id + 1" if how == "expiry" else "first_id"
    postgres.sql(f"""WITH appended AS (SELECT relay_guard.event_append('{stream.name}', NULL, 'x'))
                     SELECT FROM appended; DELETE FROM relay_guard.event e USING relay_guard.event_stream s
                     WHERE s.name = '{stream.name}' AND e.stream = s.number;
                     UPDATE relay_guard.event_stream SET first_id = {first} WHERE name = '{stream.name}'""")
    while follower.more():
        pass
    assert follower.ids() == [0] and not follower.ended
    if how == "expiry":
        assert gateway.get(f"/test/stream/{stream.name}", {"Last-Event-ID": "0"}).status == 410


@pytest.mark.parametrize("target, headers, status, code", [
    ("/test/stream/nowhere", {}, 404, "not_found"), ("/test/wrong", {}, 500, "internal"),
    ("/test/mine", {}, 401, "unauthenticated"), ("/test/stream/{}", {"Last-Event-ID": "x"}, 400, "invalid_last_event_id"),
    ("/test/stream/{}", {"Last-Event-ID": "-1"}, 400, "invalid_last_event_id"),
    ("/test/mine?token={}", {}, 401, "unauthenticated"), ("/test/stream/{}?after=-2", {}, 422, None)])
def test_refusals_come_before_the_stream(gateway, stream, target, headers, status, code):
    stream.fill(1)
    answer = gateway.get(target.format(stream.name), headers)
    assert answer.status == status and (code is None or answer.json()["code"] == code)
    assert answer.header("Content-Type") == "application/problem+json"


def test_head_and_old_clients(gateway, stream):
    stream.fill(2)
    stream.end()
    assert gateway.ask("HEAD", f"/test/stream/{stream.name}").header("Content-Type") == "text/event-stream"
    connection = gateway.connect()
    connection.request("GET", f"/test/stream/{stream.name}", version="1.0")
    while connection.more():
        pass
    assert connection.buffer.endswith(b"id: 1\ndata: 2\n\n") and b"Transfer-Encoding" not in connection.buffer


def test_tenants_streams_are_separate(postgres, gateway):
    users = [str(uuid.uuid4()) for _ in range(2)]
    tokens = [postgres.sql(f"SELECT relay_guard.issue_token('{user}')")[0][0] for user in users]
    for user in users:
        Stream(postgres, f"user:{user}").append(f"of {user}")
    for user, token in zip(users, tokens):
        follower = Follower(gateway, "/test/mine", Authorization=f"Bearer {token}")
        assert follower.wait(1)[0][2] == f"of {user}"
        follower.close()


def test_the_gateways_login_alone_reads_no_stream(postgres, stream):
    stream.fill(1)
    number = postgres.sql(f"SELECT number FROM relay_guard.event_stream WHERE name = '{stream.name}'")[0][0]
    assert postgres.sql(f"SELECT * FROM relay_guard.event_read({number}, gen_random_uuid(), -1, 10)", user="relay_gateway") == []
    for table in ("event", "event_stream"):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            postgres.sql(f"SELECT * FROM relay_guard.{table}", user="relay_gateway")


def test_concurrent_appenders_leave_no_gap(postgres, gateway, stream):
    """Some roll back, some commit late: nobody sees an id before a smaller one, and all come once."""
    stream.fill(1)
    followers = [Follower(gateway, f"/test/stream/{stream.name}") for _ in range(3)]

    def append(worker):
        connection = psycopg2.connect(postgres.url("postgres"))
        with connection.cursor() as cursor:
            for n in range(25):
                cursor.execute("SELECT relay_guard.event_append(%s, 'n', %s)", (stream.name, f"{worker}-{n}"))
                if n % 5 == 0:
                    time.sleep(0.003)
                connection.rollback() if n % 3 == 0 else connection.commit()
        connection.close()
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(append, range(4)))
    total = 1 + 4 * 16
    for follower in followers:
        follower.wait(total)
        assert follower.ids() == list(range(total)) and len({event[2] for event in follower.events()}) == total
        follower.close()


def test_no_resume(postgres, start, stream):
    """The server restarts while clients listen: they stay connected, and get what they missed."""
    gateway = start(WORKERS=1)
    stream.fill(2)
    followers = [Follower(gateway, f"/test/stream/{stream.name}") for _ in range(5)]
    for follower in followers:
        follower.wait(2)
    for mode in ("fast", "immediate"):
        postgres.stop(mode)
        time.sleep(0.3)
        postgres.start()
        stream.fill(10)
    for follower in followers:
        follower.wait(22)
        assert follower.ids() == list(range(22)) and not follower.ended
        follower.close()


def test_proxy_buffers(gateway, stream):
    """Each event leaves at once, and what stands in between is told not to keep it."""
    stream.fill(1)
    follower = Follower(gateway, f"/test/stream/{stream.name}")
    assert follower.headers["x-accel-buffering"] == "no" and "no-transform" in follower.headers["cache-control"]
    follower.wait(1)
    took = []
    for n in range(1, 10):
        began = time.monotonic()
        stream.fill(1)
        assert len(follower.wait(n + 1)) == n + 1
        took.append(time.monotonic() - began)
    assert statistics.median(took) < 1
    follower.close()


def test_error_after_the_200_as_html(postgres, gateway, stream):
    """A stream that vanishes ends short of its last chunk: nothing but events is ever in it."""
    stream.fill(2)
    follower = Follower(gateway, f"/test/stream/{stream.name}")
    follower.wait(2)
    number = postgres.sql(f"DELETE FROM relay_guard.event_stream WHERE name = '{stream.name}' RETURNING number")[0][0]
    postgres.sql(f"SELECT relay_guard.event_note({number})")
    assert not follower.wait_for_end() and "<" not in follower.text and "{" not in follower.text


def test_a_gateway_that_stops_sends_its_clients_elsewhere(start, stream):
    gateway = start()
    stream.fill(1)
    followers = [Follower(gateway, f"/test/stream/{stream.name}") for _ in range(4)]
    for follower in followers:
        follower.wait(1)
    gateway.process.send_signal(signal.SIGTERM)
    for follower in followers:
        assert follower.wait_for_end() and re.search(r"\nretry: [1-4]\d\d\d\n\n$", follower.text)
    assert gateway.process.wait(60) == 0
    assert len({follower.text for follower in followers}) > 1


def test_a_client_comes_back_to_be_checked_anew(start, stream):
    gateway = start(STREAM_LIFETIME="1s")
    stream.fill(1)
    follower = Follower(gateway, f"/test/stream/{stream.name}")
    follower.wait(1)
    time.sleep(1.1)
    stream.fill(1)
    assert follower.wait_for_end() and follower.ids() == [0, 1]


def overtake(postgres, gateway, stream):
    """A client that reads nothing, while another reads more than any buffer holds."""
    worker = gateway.workers().pop()
    stream.fill(1)
    fast = Follower(gateway, f"/test/stream/{stream.name}")
    fast.wait(1)
    slow = gateway.connect()
    slow.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    slow.request("GET", f"/test/stream/{stream.name}")
    before = memory(worker)
    for _ in range(4):
        postgres.sql(f"SELECT relay_guard.event_append('{stream.name}', NULL, repeat('x', 65536)) FROM generate_series(1, 15)")
    fast.wait(61)
    fast.close()
    assert memory(worker) - before < 3000
    return slow


def assert_it_may_come_back(gateway, stream, slow):
    seen = max(map(int, re.findall(rb"id: (\d+)\n", slow.buffer)))
    assert seen < 60
    again = Follower(gateway, f"/test/stream/{stream.name}", Last_Event_ID=str(seen - 1))
    again.wait(61 - seen)
    assert again.ids() == list(range(seen, 61))
    again.close()


def test_a_slow_reader_is_bounded_and_may_come_back(postgres, start, stream):
    gateway = start(WORKERS=1, WRITE_TIMEOUT="1s", LOG_LEVEL="debug")
    slow = overtake(postgres, gateway, stream)
    wait_until(lambda: "cut off" in gateway.errors(), what="its end")
    with contextlib.suppress(ConnectionResetError):
        while slow.more():
            pass
    assert_it_may_come_back(gateway, stream, slow)


def test_a_slow_reader_that_goes_on_while_the_database_is_away(postgres, start, stream):
    """What it lacks is read when that is possible; meanwhile nobody else waits."""
    gateway = start(WORKERS=1)
    slow = overtake(postgres, gateway, stream)
    postgres.stop("fast")
    try:
        wait_until(lambda: gateway.get("/v1/events").status == 503, what="the outage")
        slow.socket.settimeout(1)
        with contextlib.suppress(TimeoutError):
            while slow.more():
                pass
        assert b"id: 60\n" not in slow.buffer and gateway.get("/health").status == 200
    finally:
        postgres.start()
    slow.socket.settimeout(30)
    while b"id: 60\n" not in slow.buffer:
        assert slow.more()
    slow.close()


@pytest.mark.skipif("RG_LONG" not in os.environ, reason="takes half a minute")
def test_a_reader_that_takes_a_little_at_a_time_is_no_better(postgres, start, stream):
    gateway = start(WORKERS=1)
    slow = overtake(postgres, gateway, stream)
    files = len(os.listdir(f"/proc/{gateway.workers().pop()}/fd"))

    def is_gone():
        time.sleep(0.5)
        slow.buffer += slow.socket.recv(1000)
        return len(os.listdir(f"/proc/{gateway.workers().pop()}/fd")) < files
    wait_until(is_gone, 40, "the end of it")
    with contextlib.suppress(ConnectionResetError):
        while slow.more():
            pass
    assert_it_may_come_back(gateway, stream, slow)


def memory(pid):
    """What a process has in memory of its own, in kB."""
    return int(re.search(r"Private_Dirty:\s+(\d+)", open(f"/proc/{pid}/smaps_rollup").read())[1])


IDLE = 10000 if os.environ.get("RG_LONG") else 1000


def follow(gateway, head, count):
    clients = [socket.create_connection(("127.0.0.1", gateway.port), 60) for _ in range(count)]
    for client in clients:
        client.sendall(head)
    for client in clients:
        assert b"200 OK" in client.recv(2048)
    return clients


def test_idle_clients_cost_little_and_leave_nothing(start, stream):
    """At most 2 kB each, and gone soon."""
    gateway = start(WORKERS=1, MAX_CONNECTIONS=IDLE + 100)
    worker = gateway.workers().pop()
    stream.fill(1)
    warm = Follower(gateway, f"/test/stream/{stream.name}")
    warm.wait(1)
    stream.fill(1)
    warm.wait(2)
    before, files = memory(worker), len(os.listdir(f"/proc/{worker}/fd"))
    head = f"GET /test/stream/{stream.name}?after=1 HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    clients = [follow(gateway, head, 100) for _ in range(IDLE // 100)]
    clients = [client for some in clients for client in some]
    each = (memory(worker) - before) * 1024 / IDLE
    print(f"{IDLE} idle clients: {each:.0f} bytes each")
    stream.fill(1)
    assert warm.wait(3)
    for client in clients:
        received = b""
        while b"id: 2\n" not in received:
            received += client.recv(4096)
    for client in clients:
        client.close()
    wait_until(lambda: len(os.listdir(f"/proc/{worker}/fd")) <= files, what="the end of the connections")
    assert each <= 2048
    warm.close()
