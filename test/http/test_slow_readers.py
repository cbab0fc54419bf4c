"""Clients that ask for much and do not read it."""
import contextlib
import socket
import time

import pytest

from conftest import free_port, wait_until
from test_metrics import scrape

MEGABYTE = 1 << 20


class Reader:
    """A client with as small a buffer as the system gives, who asks for size bytes."""

    def __init__(self, gateway, size):
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.settimeout(60)
        self.socket.connect(("127.0.0.1", gateway.port))
        self.socket.sendall(f"GET /test/large/{size} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        self.got = 0

    def read(self, most=65536):
        """Bytes that came now; 0 at the end, or when it has been cut off."""
        try:
            data = self.socket.recv(most)
        except ConnectionResetError:
            return 0
        self.got += len(data)
        return len(data)

    def read_all(self):
        while self.read():
            pass
        return self.got

    def close(self):
        self.socket.close()


@pytest.fixture
def launch(start):
    """A gateway whose metrics can be read, and who keeps little."""
    def launched(**settings):
        gateway = start(WORKERS=1, METRICS_LISTEN=f"127.0.0.1:{free_port()}", **settings)
        gateway.metrics_port = int(gateway.environment["METRICS_LISTEN"].split(":")[1])
        return gateway
    return launched


def test_answers_that_nobody_reads_take_bounded_memory(launch):
    gateway = launch(MAX_OUTPUT_MEMORY="16M")
    before = scrape(gateway).get("process_resident_memory_bytes")
    with contextlib.ExitStack() as stack:
        readers = []
        for _ in range(16):
            readers.append(stack.enter_context(contextlib.closing(Reader(gateway, 4 * MEGABYTE))))
            time.sleep(0.1)
        wait_until(lambda: scrape(gateway).get("relay_readers_cut_off_total", reason="memory") > 2)
        metrics = scrape(gateway)
        assert metrics.get("relay_output_bytes") <= 16 * MEGABYTE
        assert metrics.get("process_resident_memory_bytes") - before < 48 * MEGABYTE
        # whoever reads is served meanwhile
        for _ in range(5):
            with contextlib.closing(Reader(gateway, 4 * MEGABYTE)) as reader:
                assert reader.read_all() > 4 * MEGABYTE
    wait_until(lambda: scrape(gateway).get("relay_output_bytes") == 0)
    wait_until(lambda: scrape(gateway).get("relay_connections", state="write") == 0)


def test_the_slowest_reader_is_cut_off_first(launch):
    gateway = launch(MAX_OUTPUT_MEMORY="12M")
    with contextlib.ExitStack() as stack:
        steady, asleep = (stack.enter_context(contextlib.closing(Reader(gateway, 7 * MEGABYTE))) for _ in range(2))
        wait_until(lambda: scrape(gateway).get("relay_connections", state="write") == 2, what="two answers")
        deadline, reads = time.monotonic() + 1.5, 0
        while time.monotonic() < deadline or reads < 60:
            steady.read(32768)
            reads += 1
            time.sleep(0.02)
        assert scrape(gateway).get("relay_readers_cut_off_total", reason="memory") == 0
        third = stack.enter_context(contextlib.closing(Reader(gateway, 7 * MEGABYTE)))
        wait_until(lambda: scrape(gateway).get("relay_readers_cut_off_total", reason="memory") == 1)
        assert asleep.read_all() < 7 * MEGABYTE
        assert steady.read_all() > 7 * MEGABYTE
        assert third.read_all() > 7 * MEGABYTE


def test_a_reader_that_stands_still_is_cut_off_and_a_slow_one_is_not(launch):
    gateway = launch(WRITE_TIMEOUT="2s")
    with contextlib.ExitStack() as stack:
        slow, trickle, asleep = (stack.enter_context(contextlib.closing(Reader(gateway, 4 * MEGABYTE)))
                                 for _ in range(3))
        last, deadline = time.monotonic(), time.monotonic() + 60
        while time.monotonic() < deadline and \
                scrape(gateway).get("relay_readers_cut_off_total", reason="slow") < 2:
            since, last = time.monotonic() - last, time.monotonic()
            slow.read(1 + int(8000 * since))    # the gateway's own socket takes minutes to empty
            trickle.read(1 + int(400 * since))
            time.sleep(0.05)
        assert scrape(gateway).get("relay_readers_cut_off_total", reason="slow") == 2
        assert asleep.read_all() < 4 * MEGABYTE and trickle.read_all() < 4 * MEGABYTE
        assert slow.read_all() > 4 * MEGABYTE


def test_an_answer_as_large_as_the_bound_arrives(launch):
    gateway = launch(MAX_OUTPUT_MEMORY="1M")
    with contextlib.closing(Reader(gateway, MEGABYTE)) as reader:
        assert reader.read_all() > MEGABYTE
