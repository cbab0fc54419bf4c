"""Clients that cost patience: slow ones, idle ones, many, and for long."""
import os
import resource
import signal
import socket
import statistics
import subprocess
import time

import pytest

from conftest import wait_until

LONG = os.environ.get("RG_LONG") == "1"
SLICES = 0.003 if LONG else 0.02    # seconds that other programs may have of each request's time


def latency(gateway, count=60):
    """The median of that many requests, one after the other, in seconds."""
    taken = []
    for _ in range(count):
        began = time.monotonic()
        assert gateway.get("/test/echo/a").status == 200
        taken.append(time.monotonic() - began)
    return statistics.median(taken)


SLOW = {
    "headers": ["-H", "-i", "1"],
    "body": ["-B", "-i", "1", "-s", "8192", "-t", "POST"],
    "read": ["-X", "-w", "10", "-y", "20", "-n", "1", "-z", "32", "-k", "3"],
}


@pytest.mark.parametrize("what", SLOW)
def test_a_thousand_slow_clients(start, what):
    gateway = start()
    target = "/test/large/200000" if what == "read" else "/test/notes"

    def attack():
        wait_until(lambda: connections(gateway) == 0, 60, "the end of the last attack")
        quiet = latency(gateway)
        attackers = subprocess.Popen(
            ["slowhttptest", *SLOW[what], "-c", "1000", "-r", "1000", "-x", "24", "-p", "3", "-l", "60",
             "-u", f"http://127.0.0.1:{gateway.port}{target}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            began = time.monotonic()    # on a slow machine the first are thrown out before the last come
            wait_until(lambda: connections(gateway) >= max(900 - 200 * (time.monotonic() - began), 50), what="the attack")
            return quiet, latency(gateway, 400 if LONG else 60)
        finally:
            attackers.kill()
            attackers.wait()
    assert_undisturbed(attack)


def assert_undisturbed(measure, times=5):
    """measure() tells the latency without others and beside them; what else the machine does passes."""
    measured = []
    while len(measured) < times:
        measured.append(measure())
        quiet, busy = measured[-1]
        if busy < 2 * quiet + SLICES:
            return
    raise AssertionError(", ".join(f"{1000 * quiet:.2f} ms, beside others {1000 * busy:.2f}" for quiet, busy in measured))


def connections(gateway):
    """Those that are open to its port."""
    port = f":{gateway.port:04X}"
    with open("/proc/net/tcp") as table:
        return sum(line.split()[1].endswith(port) and line.split()[3] == "01" for line in table)


def memory(gateway):
    """Of all workers, without what they share, in bytes."""
    total = 0
    for pid in gateway.workers():
        with open(f"/proc/{pid}/smaps_rollup") as rollup:
            total += sum(1024 * int(line.split()[1]) for line in rollup if line.startswith("Private_"))
    return total


def descriptors(gateway):
    return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in gateway.workers())


@pytest.fixture
def many_files():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield before[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def open_idle(gateway, count):
    """Connections that have had an answer and now wait, all of them open."""
    request = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    idle = []
    for _ in range(count):
        client = socket.create_connection(("127.0.0.1", gateway.port))
        client.sendall(request)
        idle.append(client)
        if len(idle) % 100 == 0:
            for each in idle[-100:]:
                assert each.recv(4096).startswith(b"HTTP/1.1 200")
    return idle


def test_ten_thousand_idle_connections(start, many_files):
    count = min(10000, many_files - 500)
    gateway = start(MAX_CONNECTIONS=count + 500)
    quiet, empty, few = latency(gateway), memory(gateway), descriptors(gateway)
    idle = open_idle(gateway, count)
    try:
        assert connections(gateway) >= count
        each = (memory(gateway) - empty) / count
        print(f"{each:.0f} bytes for each of {count} idle connections")
        assert each < 1024
        assert_undisturbed(lambda: (quiet, latency(gateway)), 20)
    finally:
        for client in idle:
            client.close()
    wait_until(lambda: descriptors(gateway) <= few + 4, what="their end")


def one_of_each(gateway):
    """Everything a client may do, well or badly."""
    assert gateway.get("/test/echo/a").status == 200
    assert gateway.get("/nowhere").status == 404
    assert gateway.get("/").status == 200
    assert gateway.ask("POST", "/test/notes", {"Content-Type": "application/json"}, b'{"text":"a"}').status == 200
    assert gateway.ask("POST", "/test/notes", {"Content-Type": "application/json"}, b'{').status in (400, 422)
    assert gateway.get("/test/large/100000").status == 200
    gateway.get("/test/whoami", {"Authorization": "Bearer x.y.z"})
    connection = gateway.connect()
    connection.send(b"GET /unfinished HTT")
    connection.reset()
    connection = gateway.connect()
    connection.request("GET", "/test/large/3000000")
    connection.reset()
    connection = gateway.connect()
    connection.send(b"rubbish\r\n\r\n")
    connection.read()
    connection.close()


def test_nothing_grows(start):
    """Ten minutes with RG_LONG."""
    gateway = start()

    def soak(seconds):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            one_of_each(gateway)

    soak(60 if LONG else 2)
    wait_until(lambda: connections(gateway) == 0)
    files, sizes = descriptors(gateway), [memory(gateway)]
    while len(sizes) == 1 or sizes[-1] >= sizes[-2] + (1 << 20 if LONG else 2 << 20):
        assert len(sizes) < 5, sizes    # of a slow machine the first may show how it begins
        soak(600 if LONG else 4)
        wait_until(lambda: connections(gateway) == 0)
        assert descriptors(gateway) <= files + 2
        sizes.append(memory(gateway))
    assert gateway.stop(signal.SIGTERM) == 0
