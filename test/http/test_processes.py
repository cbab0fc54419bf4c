"""Master and workers: deaths, reloads, ends."""
import contextlib
import fcntl
import os
import signal
import subprocess
import threading
import time

import pytest

from conftest import Gateway, clean_environment, gateway_binary, wait_until


def test_a_worker_that_dies_is_replaced(start):
    gateway = start()
    before = gateway.workers()
    victim = min(before)
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: len(gateway.workers()) == 2 and victim not in gateway.workers())
    for _ in range(20):
        assert gateway.get("/health").status == 200
    wait_until(lambda: all(gateway.get("/test/echo/a").status == 200 for _ in range(10)))
    assert "a worker died" in gateway.errors()


def test_no_connection_is_refused_while_a_worker_is_replaced(start):
    gateway = start(WORKERS=1)
    for _ in range(3):
        os.kill(gateway.workers().pop(), signal.SIGKILL)
        assert gateway.get("/health").status == 200


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_what_is_under_way_is_finished(start, postgres, how):
    gateway = start()
    idle = gateway.connect()
    idle.request("GET", "/health")
    assert idle.read().status == 200
    busy = gateway.connect()
    busy.request("GET", "/test/sleep/2")
    wait_until(lambda: gateway.sleeping(postgres) == 1, what="the statement")
    gateway.process.send_signal(how)
    assert idle.is_closed()
    answer = busy.read()
    assert answer.status == 200 and answer.header("connection") == "close"
    assert gateway.process.wait(60) == 0
    with pytest.raises(OSError):
        gateway.connect()


def test_who_has_just_connected_is_answered_before_the_end(start):
    gateway = start(WORKERS=1)
    fresh, ahead = gateway.connect(), gateway.connect()
    time.sleep(0.1)
    gateway.process.send_signal(signal.SIGTERM)
    time.sleep(0.2)
    fresh.request("GET", "/health")
    assert fresh.read().status == 200
    assert ahead.is_closed()
    assert gateway.process.wait(60) == 0


def test_the_end_does_not_wait_for_ever(start, postgres):
    gateway = start(DRAIN_TIMEOUT="300ms")
    busy = gateway.connect()
    busy.request("GET", "/test/sleep/9")
    wait_until(lambda: gateway.sleeping(postgres) == 1, what="the statement")
    assert gateway.stop() == 0
    assert gateway.sleeping(postgres) == 1, "it was waited for"


def test_workers_end_with_their_master(start):
    gateway = start()
    workers = gateway.workers()
    gateway.process.kill()
    gateway.process.wait()
    wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") and
                               open(f"/proc/{pid}/stat").read().split()[2] != "Z" for pid in workers))


def test_a_reload_loses_no_request(start):
    gateway = start()
    before = gateway.workers()
    gateway.process.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        assert gateway.get("/health").status == 200
    wait_until(lambda: len(gateway.workers()) == 2 and not before & gateway.workers(), what="the end of the old ones")


def test_a_reload_loses_no_request_on_kept_connections(start):
    gateway, ended, lost, last = start(), threading.Event(), [], []

    def work():
        connection = gateway.connect()
        while not ended.is_set():
            connection.request("GET", "/health")
            answer = connection.read()
            if answer is None:
                lost.append(connection)
            elif answer.header("connection") == "close":
                last.append(answer)
            if answer is None or answer.header("connection") == "close":
                connection = gateway.connect()
    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        gateway.process.send_signal(signal.SIGHUP)
        time.sleep(0.7)
    ended.set()
    for thread in threads:
        thread.join()
    assert lost == [] and last != []


def test_a_reload_reads_the_file_again(start, tmp_path):
    settings = tmp_path / "settings"
    settings.write_text("# of the gateway\nALLOWED_HOSTS='localhost'\n")
    gateway = start(RELAY_CONFIG=settings)
    assert gateway.get("/health").status == 200
    settings.write_text("ALLOWED_HOSTS=example.org\n")
    gateway.process.send_signal(signal.SIGHUP)
    wait_until(lambda: all(gateway.get("/health").status == 421 for _ in range(20)))
    settings.write_text("ALLOWED_HOSTS=example.org\nLOG_LEVEL=loud\n")
    gateway.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "the old one stays" in gateway.errors())
    assert gateway.get("/health").status == 421


def test_a_reload_right_after_another_counts_too(start, postgres, tmp_path):
    settings = tmp_path / "settings"
    settings.write_text("ALLOWED_HOSTS=localhost\n")
    gateway = start(WORKERS=1, RELAY_CONFIG=settings)
    busy = gateway.connect()
    busy.request("GET", "/test/sleep/2")
    wait_until(lambda: gateway.sleeping(postgres) == 1, what="the statement")
    for host in ("a.example", "b.example"):
        settings.write_text(f"ALLOWED_HOSTS={host}\n")
        gateway.process.send_signal(signal.SIGHUP)
        wait_until(lambda: gateway.errors().count("was read again") == 1 + (host == "b.example"))
        time.sleep(0.2)
    assert busy.read().status == 200
    wait_until(lambda: status_of_host(gateway, "b.example") == 200)
    assert status_of_host(gateway, "a.example") == 421


def status_of_host(gateway, host):
    connection = gateway.connect()
    connection.send(f"GET /health HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    status = connection.read().status
    connection.close()
    return status


def test_a_reload_that_all_are_told_loses_no_request(start, postgres):
    gateway = start()
    before = gateway.workers()
    busy = gateway.connect()
    busy.request("GET", "/test/sleep/1")
    wait_until(lambda: gateway.sleeping(postgres) == 1, what="the statement")
    for pid in [*before, gateway.process.pid]:      # as killall does
        os.kill(pid, signal.SIGHUP)
    assert busy.read().status == 200
    wait_until(lambda: not before & gateway.workers(), what="the reload")
    assert "a worker died" not in gateway.errors()


def test_a_port_that_is_taken(gateway, postgres):
    second = Gateway(postgres.url("relay_gateway"), RELAY_PORT=gateway.port)
    done = subprocess.run([gateway_binary()], env=second.environment, capture_output=True, text=True)
    assert done.returncode == 1 and "cannot listen" in done.stderr


def test_a_unix_socket(start, tmp_path):
    path = tmp_path / "socket"
    for _ in range(2):
        process = subprocess.Popen([gateway_binary()], stderr=subprocess.DEVNULL, env=clean_environment(
            LISTEN=f"unix:{path}", DATABASE_URL="host=/nonexistent", ACCESS_LOG="off"))
        wait_until(path.exists)
        answer = subprocess.run(["curl", "-s", "--unix-socket", path, "http://localhost/health"],
                                capture_output=True, text=True)
        assert '"status":"ok"' in answer.stdout
        process.terminate()
        assert process.wait(60) == 0 and not path.exists()


def test_a_reload_does_not_move_the_sockets(tmp_path):
    settings, own, other, errors = (tmp_path / name for name in ("settings", "own", "other", "errors"))
    settings.write_text(f"LISTEN=unix:{own}\n")
    process = subprocess.Popen([gateway_binary()], stderr=open(errors, "w"), env=clean_environment(
        RELAY_CONFIG=settings, DATABASE_URL="host=/nonexistent", ACCESS_LOG="off", WORKERS=1))
    wait_until(own.exists)
    other.touch()
    settings.write_text(f"LISTEN=unix:{other}\n")
    process.send_signal(signal.SIGHUP)
    wait_until(lambda: "was read again" in errors.read_text())
    process.terminate()
    assert process.wait(60) == 0 and not own.exists() and other.exists()
    assert "stay as they were until a restart" in errors.read_text()


def stop_with_a_full_pipe(postgres):
    """A gateway that ends with more lines than the pipe of its access log holds."""
    gateway = Gateway(postgres.url("relay_gateway"), ACCESS_LOG="-")
    gateway.process = subprocess.Popen([gateway.binary], env=gateway.environment, text=True,
                                       stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    fcntl.fcntl(gateway.process.stdout, fcntl.F_SETPIPE_SZ, 4096)
    wait_until(gateway.listens)
    for _ in range(200):
        gateway.get("/health")
    gateway.process.terminate()
    return gateway.process


def test_lines_in_a_pipe_are_whole_and_wait_for_a_slow_reader(postgres):
    process = stop_with_a_full_pipe(postgres)
    time.sleep(0.3)
    lines = process.stdout.read().splitlines()
    assert process.wait(60) == 0
    assert len(lines) >= 200
    assert all(line.startswith('{"time":') and line.endswith("}") for line in lines)


def test_a_gateway_stops_though_nobody_reads_its_log(postgres):
    assert stop_with_a_full_pipe(postgres).wait(60) == 0


def test_a_reload_waits_for_no_reader_of_a_log(start, tmp_path):
    log = tmp_path / "log"
    os.mkfifo(log)
    reader = os.open(log, os.O_RDONLY | os.O_NONBLOCK)
    gateway = start(WORKERS=1, ACCESS_LOG=log)
    os.close(reader)
    gateway.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "the old one stays" in gateway.errors(), 10)
    assert gateway.get("/health").status == 200 and gateway.stop() == 0


def fill(pipe):
    """To its last byte."""
    os.set_blocking(pipe, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(pipe, b"x")
    os.set_blocking(pipe, True)


def test_a_gateway_serves_though_nobody_reads_what_went_wrong(postgres):
    gateway = Gateway(postgres.url("relay_gateway"), WORKERS=1, LOG_LEVEL="debug", DATABASE_URL="host=/nonexistent")
    unread, errors = os.pipe()
    fcntl.fcntl(errors, fcntl.F_SETPIPE_SZ, 4096)
    gateway.process = subprocess.Popen([gateway.binary], env=gateway.environment, stdout=subprocess.DEVNULL, stderr=errors)
    try:
        wait_until(gateway.listens)
        fill(errors)
        for worker in gateway.workers():
            os.kill(worker, signal.SIGKILL)     # a line of the master's, and some of its successor's
        wait_until(lambda: gateway.get("/test/echo/a").status == 503, 10, "an answer without the database")
        gateway.process.terminate()
        assert gateway.process.wait(20) == 0
    finally:
        gateway.process.kill()
    os.close(unread), os.close(errors)


def asked(connection, target):
    """The status; None where nothing comes within a second."""
    connection.socket.settimeout(1)
    connection.request("GET", target)
    with contextlib.suppress(TimeoutError):
        return connection.read().status


def test_clients_leave_descriptors_to_the_others(start, postgres, tmp_path):
    """Who opens connections and keeps them idle keeps neither new clients out nor the database."""
    limited = tmp_path / "gateway"
    limited.write_text(f"#!/bin/sh\nulimit -n 128\nexec {gateway_binary()}\n")
    limited.chmod(0o755)
    gateway = start(binary=limited, WORKERS=1, DB_WRITE_CONNECTIONS=2)
    idle = []
    for _ in range(130):
        idle.append(gateway.connect())
        assert asked(idle[-1], "/health") == 200
    for pid in gateway.backends(postgres):
        postgres.sql(f"SELECT pg_terminate_backend({pid})")
    wait_until(lambda: asked(gateway.connect(), "/test/echo/a") == 200, 20, "an answer")
    assert "there are no descriptors for MAX_CONNECTIONS" in gateway.errors()
