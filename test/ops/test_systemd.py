"""ops/relay_gateway.service and .socket, and what the gateway does for systemd."""
import contextlib
import os
import signal
import socket
import subprocess
import sys

import pytest

from conftest import OPS, ROOT, answers, clean_environment, curl, free_port, gateway_binary, program, wait_until

MOST_EXPOSED = 20  # of 100, as systemd-analyze security counts

# Takes the place of systemd: the sockets are descriptors 3, 4 and so on
LAUNCHER = """
import os, sys
count = int(sys.argv[1])
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(count), LISTEN_FDNAMES="x")
os.execv(sys.argv[2], sys.argv[2:])
"""


def analyze(*arguments):
    return subprocess.run([program("systemd-analyze"), *map(str, arguments)], capture_output=True, text=True,
                          env=clean_environment(SYSTEMD_LOG_LEVEL="warning"))


def test_the_units_are_valid(folder):
    service = (OPS / "relay_gateway.service").read_text()
    installed = "/usr/lib/postgresql/15/bin/relay_gateway"
    assert f"ExecStart={installed}\n" in service
    (folder / "relay_gateway.service").write_text(service.replace(installed, gateway_binary()))
    (folder / "relay_gateway.socket").write_text((OPS / "relay_gateway.socket").read_text())
    done = analyze("verify", folder / "relay_gateway.service", folder / "relay_gateway.socket")
    assert done.returncode == 0 and done.stderr == ""


def test_the_service_may_do_little():
    done = analyze("security", "--offline=true", f"--threshold={MOST_EXPOSED}", "--no-pager",
                   OPS / "relay_gateway.service")
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze cannot look at files")
    assert done.returncode == 0, done.stdout[-200:] + done.stderr


def listening(port=0):
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("127.0.0.1", port))
    made.listen(64)
    return made


class Listener:
    """Hears what NOTIFY_SOCKET is told."""

    def __init__(self, address):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.settimeout(60)

    def next(self):
        return self.socket.recv(4096).decode()


@pytest.fixture
def launch(folder):
    """Starts a gateway with sockets that are there already."""
    started = []

    def launch(sockets, **settings):
        settings = {"DATABASE_URL": "host=/nonexistent", "ACCESS_LOG": "off", "WEB_ROOT": ROOT / "web",
                    "LISTEN": "127.0.0.1:1", **settings}

        def arrange():
            copies = [os.dup(each.fileno()) for each in sockets]
            for place, copy in enumerate(copies):
                os.dup2(copy, 100 + place)
            for place in range(len(copies)):
                os.dup2(100 + place, 3 + place)
        process = subprocess.Popen([sys.executable, "-c", LAUNCHER, str(len(sockets)), gateway_binary()],
                                   env=clean_environment(**settings), preexec_fn=arrange, close_fds=False,
                                   stderr=open(folder / "errors", "w"))
        started.append(process)
        return process
    yield launch
    for process in started:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()


def health(port):
    return curl("--noproxy", "*", f"http://127.0.0.1:{port}/health")


def test_connections_wait_in_systemds_socket_until_the_gateway_is_there(launch):
    with listening() as passed:
        port = passed.getsockname()[1]
        early = socket.create_connection(("127.0.0.1", port), timeout=60)
        early.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        process = launch([passed], WORKERS=3)
        assert early.recv(100).startswith(b"HTTP/1.1 200")
        early.close()
        for _ in range(20):
            assert '"status":"ok"' in health(port)
        process.terminate()
        assert process.wait(10) == 0
        assert answers(port)  # the socket is still systemd's


def test_a_unix_socket_of_systemd_stays_after_the_gateway(launch, folder):
    path = folder / "socket"
    with socket.socket(socket.AF_UNIX) as passed:
        passed.bind(str(path))
        passed.listen(8)
        process = launch([passed], WORKERS=2, LISTEN=f"unix:{path}")
        assert '"status":"ok"' in curl("--unix-socket", path, "http://localhost/health")
        process.terminate()
        assert process.wait(10) == 0 and path.exists()


def test_several_sockets_are_shared_out(launch):
    with listening() as first, listening() as second:
        launch([first, second], WORKERS=2)
        for passed in (first, second):
            assert '"status":"ok"' in health(passed.getsockname()[1])


def test_more_sockets_than_workers_are_refused(launch, folder):
    with listening() as first, listening() as second:
        assert launch([first, second], WORKERS=1).wait(10) == 1
    assert "there are more of them than workers" in (folder / "errors").read_text()


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_a_socket_that_is_none_to_listen_at_is_refused(launch, folder, kind):
    with socket.socket(socket.AF_UNIX, kind) as passed:
        assert launch([passed], WORKERS=1).wait(10) == 1
    assert "no listening stream socket" in (folder / "errors").read_text()


def test_sockets_for_another_process_are_left_alone(start, folder):
    port = free_port()
    start(gateway_binary(), environment=clean_environment(
        LISTEN=f"127.0.0.1:{port}", DATABASE_URL="host=/nonexistent", ACCESS_LOG="off", LISTEN_PID=1, LISTEN_FDS=1))
    wait_until(lambda: answers(port))


@pytest.mark.parametrize("abstract", [False, True])
def test_systemd_is_told_what_goes_on(start, folder, abstract):
    name = f"\0rg_ops.{os.getpid()}" if abstract else str(folder / "notify")
    listener, port, settings = Listener(name), free_port(), folder / "settings"
    settings.write_text("ALLOWED_HOSTS=\n")
    process = start(gateway_binary(), environment=clean_environment(
        LISTEN=f"127.0.0.1:{port}", DATABASE_URL="host=/nonexistent", ACCESS_LOG="off", WORKERS=2, RELAY_CONFIG=settings,
        NOTIFY_SOCKET=name.replace("\0", "@")))
    assert listener.next() == "READY=1" and answers(port)
    for text in ("ALLOWED_HOSTS=localhost\n", "LOG_LEVEL=loud\n"):
        settings.write_text(text)
        process.send_signal(signal.SIGHUP)
        reloading = listener.next().splitlines()
        assert reloading[0] == "RELOADING=1" and reloading[1].startswith("MONOTONIC_USEC=")
        assert listener.next() == "READY=1"
    process.terminate()
    assert listener.next() == "STOPPING=1"
    assert process.wait(10) == 0
