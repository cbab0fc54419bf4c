"""Faults under load: no acknowledged write is lost, nobody sees another's rows, and it goes on."""
import contextlib
import os
import signal
import socket
import statistics
import subprocess
import threading
import time
import uuid

import pytest

from conftest import BIN, Postgres, gateway_binary, running, wait_until
from test_lanes import JSON

LONG = os.environ.get("RG_LONG") == "1"
CLIENTS = 16 if LONG else 6
ROUNDS = 10 if LONG else 2

BOOKS = """
    CREATE TABLE relay.book (id bigserial PRIMARY KEY, user_id text NOT NULL DEFAULT relay_guard.user_id(),
                             entry text NOT NULL);
    SELECT relay_guard.protect('relay.book', grant_to => 'relay_app');
    GRANT USAGE ON SEQUENCE relay.book_id_seq TO relay_app;
    INSERT INTO relay_guard.route (method, path, query, auth, result, request_body, run_as)
    VALUES ('POST', '/test/book', 'INSERT INTO relay.book (entry) VALUES (request.entry) RETURNING entry',
            'anonymous', 'row', '{"type": "object", "required": ["entry"], "properties": {"entry": {"type": "string"}}}',
            'relay_app'),
           ('GET', '/test/book', 'SELECT user_id, entry FROM relay.book', 'anonymous', 'rows', NULL, 'relay_app')
"""


@pytest.fixture(scope="module")
def server():
    """A PostgreSQL that may be stopped, starved and killed."""
    server = Postgres()
    server.start()
    try:
        server.create_database()
        server.sql(BOOKS, user="relay_owner")
        yield server
    finally:
        server.stop()
        subprocess.run(["rm", "-rf", server.dir], check=True)


class Client:
    """A tenant who writes, and reads what is his, until told to stop."""

    def __init__(self, gateway, token, user_id):
        self.gateway, self.user_id = gateway, user_id
        self.headers = {"Authorization": f"Bearer {token}", **JSON}
        self.acknowledged, self.wrong, self.statuses, self.answered = set(), [], {}, []
        self.stopped = False
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.stopped:
            for act in (self.write, self.read):
                try:
                    act()
                except (OSError, AssertionError):
                    self.count(None)
                    time.sleep(0.02)

    def count(self, answer):
        status = answer.status if answer else None
        self.statuses[status] = self.statuses.get(status, 0) + 1
        if status == 200:
            self.answered.append(time.monotonic())

    def write(self):
        entry = str(uuid.uuid4())
        answer = self.gateway.ask("POST", "/test/book", self.headers, b'{"entry":"%s"}' % entry.encode())
        if answer and answer.status == 200:
            self.acknowledged.add(entry)
            if answer.json()["entry"] != entry:
                self.wrong.append(answer.body)
        self.count(answer)

    def read(self):
        before = set(self.acknowledged)
        answer = self.gateway.ask("GET", "/test/book", self.headers)
        if answer and answer.status == 200:
            rows = answer.json()
            if {row["user_id"] for row in rows} - {self.user_id}:
                self.wrong.append(answer.body)
            if before - {row["entry"] for row in rows}:
                self.wrong.append("an acknowledged write is not there")
        self.count(answer)


class Load:
    def __init__(self, gateway, server):
        self.gateway, self.server = gateway, server
        sessions = [gateway.ask("POST", "/api/v1/anon_session").json() for _ in range(CLIENTS)]
        self.clients = [Client(gateway, session["token"], session["user_id"]) for session in sessions]

    def __enter__(self):
        for client in self.clients:
            client.thread.start()
        wait_until(lambda: all(client.acknowledged for client in self.clients), what="a first write of each")
        return self

    def statuses(self):
        counts = {}
        for client in self.clients:
            for status, count in dict(client.statuses).items():
                counts[status] = counts.get(status, 0) + count
        return counts

    def recovers(self, seconds=60):
        """Every client is answered with what it asked for, after now."""
        now = time.monotonic()
        wait_until(lambda: all(client.answered and client.answered[-1] > now for client in self.clients),
                   seconds, f"recovery, after {self.statuses()}")

    def __exit__(self, *error):
        for client in self.clients:
            client.stopped = True
        for client in self.clients:
            client.thread.join()
        if error[0] is None:
            self.check()

    def check(self):
        rows = self.server.sql("SELECT user_id, entry FROM relay.book")
        assert len({entry for _, entry in rows}) == len(rows), "a write was carried out twice"
        stored = set(rows)
        for client in self.clients:
            assert client.wrong == []
            assert client.acknowledged
            assert {(client.user_id, entry) for entry in client.acknowledged} <= stored


@pytest.fixture
def load(server):
    """A gateway of the module's server under load, for the settings given."""
    contexts = []

    def load(**settings):
        context = running(server.url("relay_gateway"), **settings)
        gateway = context.__enter__()
        contexts.append(context)
        wait_until(gateway.is_ready, what="readiness")
        return Load(gateway, server)
    yield load
    for context in contexts:
        context.__exit__(None, None, None)


def postmaster(server):
    return int((server.data / "postmaster.pid").read_text().split()[0])


def children(pid):
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout
    return [int(child) for child in found.split()]


def kill_a_backend(server):
    victim = server.sql("SELECT min(pid) FROM pg_stat_activity WHERE application_name = 'relay_gateway'")[0][0]
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: not os.path.exists(f"/proc/{victim}"), what="its end")
    subprocess.run([BIN / "pg_isready", "-q", "-t", "10", "-h", server.dir], check=False)


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_postgresql_restarts(load, server, mode):
    with load() as clients:
        for _ in range(ROUNDS):
            server.stop(mode)
            time.sleep(0.3)
            server.start()
            clients.recovers()
    assert set(clients.statuses()) <= {200, 503}


def test_a_backend_is_killed(load, server):
    with load() as clients:
        for _ in range(ROUNDS):
            kill_a_backend(server)
            clients.recovers()
    assert set(clients.statuses()) <= {200, 503}


def test_a_worker_is_killed(load):
    with load() as clients:
        for _ in range(2 * ROUNDS):
            os.kill(min(clients.gateway.workers()), signal.SIGKILL)
            time.sleep(0.1)
            clients.recovers()
    assert set(clients.statuses()) <= {200, 503, None}


def test_the_server_stalls(load, server):
    with load(REQUEST_TIMEOUT="600ms") as clients:
        for _ in range(ROUNDS):
            stopped = [postmaster(server), *children(postmaster(server))]
            for pid in stopped:
                os.kill(pid, signal.SIGSTOP)
            try:
                late = clients.statuses().get(504, 0)
                assert statistics.median(times_of_health(clients.gateway, 1.5)) < 0.4
                wait_until(lambda: clients.statuses().get(504, 0) > late, what="the end of a request's time")
            finally:
                for pid in stopped:
                    os.kill(pid, signal.SIGCONT)
            clients.recovers()
    counts = clients.statuses()
    assert counts[504] > 0 and set(counts) <= {200, 503, 504}


def test_the_disk_of_the_log_is_full(load):
    with load(ACCESS_LOG="/dev/full") as clients:
        clients.recovers()
        wait_until(lambda: clients.gateway.get("/ready").json().get("missing") == ["telemetry"], what="the note of it")
        clients.recovers()
    assert set(clients.statuses()) == {200}
    assert "lines are lost" in clients.gateway.errors()


def test_it_is_told_to_stop(load):
    with load() as clients:
        clients.gateway.process.send_signal(signal.SIGTERM)
        assert clients.gateway.process.wait(60) == 0
        time.sleep(0.1)
    # None: the listener has gone; nothing that was begun is cut off
    assert set(clients.statuses()) <= {200, None}


def test_it_is_told_to_read_its_settings_again(load):
    with load() as clients:
        for _ in range(2 * ROUNDS):
            clients.gateway.process.send_signal(signal.SIGHUP)
            time.sleep(0.5)
            clients.recovers()
    assert set(clients.statuses()) <= {200, None}


def test_the_clock_steps(load, tmp_path):
    """Of the gateway's machine; its time limits do not notice."""
    clock = tmp_path / "clock"
    clock.write_text("+0")
    found = subprocess.run(["dpkg", "-L", "libfaketime"], capture_output=True, text=True).stdout.split()
    library = next(path for path in found if path.endswith("libfaketime.so.1"))
    with load(LD_PRELOAD=library, FAKETIME_TIMESTAMP_FILE=clock, FAKETIME_NO_CACHE=1,
              FAKETIME_DONT_FAKE_MONOTONIC=1, REQUEST_TIMEOUT="10s") as clients:
        dates = set()
        for step in ("+3600", "-3600", "+86400", "+0"):
            clock.write_text(step)
            clients.recovers()
            time.sleep(1.1)		# the answer's date is made once a second
            dates.add(clients.gateway.get("/health").header("date")[:16])
    assert len(dates) >= 2, "the clock was not stepped"
    assert set(clients.statuses()) == {200}


def times_of_health(gateway, seconds):
    """What each answer took."""
    times = []
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        began = time.monotonic()
        assert gateway.get("/health").status == 200
        times.append(time.monotonic() - began)
        time.sleep(0.02)
    return times


@pytest.fixture
def without_database():
    with contextlib.ExitStack() as stack:
        yield lambda host, **how: stack.enter_context(
            running(f"postgresql://relay_gateway@{host}/relay", **how))


def test_a_name_is_not_found(without_database):
    gateway = without_database("nowhere.invalid")
    assert max(times_of_health(gateway, 1)) < 4
    assert gateway.get("/test/book").status == 503


def test_a_name_service_does_not_answer(without_database, tmp_path):
    """Nobody waits with the connections that wait for it."""
    silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        silent.bind(("127.0.0.153", 53))
    except PermissionError:
        pytest.skip("only root can be a name service")
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.153\noptions timeout:5 attempts:1\n")
    (tmp_path / "gateway").write_text(
        f"#!/bin/sh\nexec unshare -m sh -c 'mount --bind {tmp_path}/resolv.conf /etc/resolv.conf && "
        f"exec {gateway_binary()}'\n")
    (tmp_path / "gateway").chmod(0o755)
    gateway = without_database("database.example.org", binary=str(tmp_path / "gateway"))
    silent.settimeout(30)
    assert silent.recv(512), "the name was asked for"
    assert max(times_of_health(gateway, 2)) < 4     # the resolver waits for 5 s
    assert gateway.get("/test/book").status == 503
