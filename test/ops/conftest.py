"""What stands in ops/, started on free ports in a folder of its own.

The files are taken as they are, but for addresses and paths: each of those
must occur, so that a test notices when a file says something else.
"""
import contextlib
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import socketserver
import subprocess
import tempfile
import threading
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
OPS = ROOT / "ops"
PATH = os.environ["PATH"] + ":/usr/sbin:/sbin"
BIN = pathlib.Path(subprocess.run([os.environ.get("PG_CONFIG", "pg_config"), "--bindir"],
                                  check=True, capture_output=True, text=True).stdout.strip())


def gateway_binary():
    built = ROOT / "relay_gateway"
    return os.environ.get("RELAY_GATEWAY") or str(built if built.exists() else BIN / "relay_gateway")


def program(name):
    found = shutil.which(name, path=PATH)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def clean_environment(**settings):
    kept = {name: value for name, value in os.environ.items()
            if not name.startswith(("PG", "RELAY_", "DATABASE_", "LISTEN", "NOTIFY_")) or name == "PG_CONFIG"}
    return dict(kept, **{"PATH": PATH, "METRICS_LISTEN": "off"}, **{name: str(value) for name, value in settings.items()})


def free_port():
    """One that no connection to elsewhere is given before somebody listens there."""
    lowest = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = random.SystemRandom().randrange(10000, max(lowest, 20000))
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def wait_until(condition, seconds=60, what="it"):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds} s"
        time.sleep(0.02)


def answers(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2):
        return True
    return False


def changed(name, *changes):
    """The text of ops/name with other addresses and paths."""
    text = (OPS / name).read_text()
    for old, new in changes:
        assert old in text, f"{name} has no {old!r}"
        text = text.replace(old, str(new))
    return text


@pytest.fixture
def folder():
    path = pathlib.Path(tempfile.mkdtemp(prefix="rg_ops."))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def start():
    """Starts processes that end with the test."""
    started = []

    def start(*command, environment=None, stderr=subprocess.DEVNULL, **options):
        process = subprocess.Popen(["setpriv", "--pdeathsig", "TERM", *map(str, command)], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=stderr,
                                   env=environment or clean_environment(), **options)
        started.append(process)
        return process
    yield start
    for process in started:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()


def make_pair(folder):
    certificate, key = folder / "tls.pem", folder / "tls.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-days", "30", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                    "-out", certificate, "-keyout", key], check=True, capture_output=True)
    key.chmod(0o600)
    return certificate, key


class Gateway:
    """One without a database: it answers /health, and 503 elsewhere."""

    def __init__(self, folder, start, port, **settings):
        self.folder, self.port = folder, port
        settings = {"LISTEN": f"127.0.0.1:{port}", "DATABASE_URL": "host=/nonexistent", "ACCESS_LOG": folder / "access",
                    "WEB_ROOT": ROOT / "web", "WORKERS": 2, "TRUSTED_PROXIES": "127.0.0.1", **settings}
        self.process = start(gateway_binary(), environment=clean_environment(**settings),
                             stderr=open(folder / "errors", "w"))
        wait_until(lambda: answers(port), what="the gateway's start")

    def log(self, path):
        """The lines of requests for that path; workers write them once a second."""
        def found():
            lines = [json.loads(line) for line in (self.folder / "access").read_text().splitlines()]
            return [line for line in lines if line.get("path") == path]
        wait_until(found, 4, f"{path} in the access log")
        return found()


class Slow(socketserver.StreamRequestHandler):
    """Answers with the head it got and three pieces, each when told to."""

    def handle(self):
        head = b""
        while (line := self.rfile.readline()) not in (b"\r\n", b""):
            head += line
        if not head.startswith(b"GET /stream"):
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
            return
        self.server.heads.append(head.decode())
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n"
                         b"Connection: close\r\n\r\n")
        for number in range(3):
            piece = b"data: %d\n\n" % number
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            if not self.server.go_on.acquire(timeout=60):
                return
        self.wfile.write(b"0\r\n\r\n")


class SlowServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True

    def __init__(self, port):
        super().__init__(("127.0.0.1", port), Slow)
        self.heads, self.go_on = [], threading.Semaphore(0)
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()


@pytest.fixture
def slow_server():
    """In the gateway's place, an application whose answers come bit by bit."""
    servers = []

    def make(port):
        servers.append(SlowServer(port))
        return servers[-1]
    yield make
    for server in servers:
        server.shutdown()
        server.server_close()


def curl(*arguments):
    done = subprocess.run(["curl", "-sS", "-m", "10", *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def assert_comes_bit_by_bit(server, *arguments):
    """The next piece is sent only when the one before has arrived."""
    client = subprocess.Popen(["curl", "-sSN", "-m", "10", *map(str, arguments)], stdout=subprocess.PIPE, text=True)
    for number in range(3):
        assert client.stdout.readline() == f"data: {number}\n"
        assert client.stdout.readline() == "\n"
        server.go_on.release()
    assert client.stdout.read() == "" and client.wait(10) == 0
