"""The gateway alone: a file from memory, without a database, beside nginx; and what
idle connections cost it."""
import contextlib
import os
import resource
import socket
import time

import measure
import stacks
from report import middle, print_table, ratio, verdict

SIZE = 7000     # bytes of the file: as the guarded read's answer
PATH = "/api/v1/knowledge/files"
ACTIVE = 32
IDLE = [0, 100, 1000, 10000]
AIM = 7         # µs CPU a request, with request id, headers and log
BODY = b'{"files":"' + b"x" * (SIZE - 12) + b'"}'


class Gateway:
    """relay_gateway with a file and no database."""

    def __init__(self, log):
        self.name = "relay_gateway, with its log" if log else "relay_gateway, ACCESS_LOG=off"
        port = stacks.free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.port = port
        web = f"{stacks.HOME}/web"
        os.makedirs(os.path.dirname(web + PATH), exist_ok=True)
        with open(web + PATH, "wb") as file:
            file.write(BODY)
        self.log = f"{stacks.HOME}/access{port}"
        self.process = stacks.start(
            "gateway", [os.environ.get("RELAY_GATEWAY", "./relay_gateway")],
            DATABASE_URL="host=/nonexistent", LISTEN=f"127.0.0.1:{port}", METRICS_LISTEN="off",
            WORKERS="2", WEB_ROOT=web, MAX_CONNECTIONS="40000", IDLE_TIMEOUT="60min",
            ACCESS_LOG=self.log if log else "off", RELAY_PORT="0", GZIP="off")
        stacks.wait_until(lambda: stacks.get(self.url, ""), "gateway", self.process)
        self.roots = self.front = [self.process.pid]

    def stop(self):
        self.process.terminate()
        self.process.wait()
        with contextlib.suppress(OSError):
            os.unlink(self.log)


def load(stack, seconds, connections=ACTIVE):
    return measure.http("get", stack.url + PATH, "", stack.roots, connections, seconds)


class Idle:
    """Connections that have each asked once and wait."""

    def __init__(self, port, count):
        self.sockets = []
        for _ in range(count):
            self.sockets.append(socket.create_connection(("127.0.0.1", port)))
            self.sockets[-1].sendall(f"GET {PATH} HTTP/1.1\r\nHost: bench\r\n\r\n".encode())
        for waiting in self.sockets:
            left = SIZE
            while left > 0:
                left -= len(waiting.recv(65536))

    def close(self):
        for waiting in self.sockets:
            waiting.close()


def print_alone(rounds, seconds):
    with contextlib.ExitStack() as stack:
        fronts = [Gateway(True), Gateway(False), stacks.Nginx(BODY)]
        for front in fronts:
            stack.callback(front.stop)
            load(front, 1)
        found = measure.alternate({front: lambda front=front: load(front, seconds) for front in fronts}, rounds)
    rows = [[f"a file of {SIZE} bytes, wrk -t1 -c{ACTIVE}", "req/s", "p99 ms", "CPU µs a request",
             "relay_gateway: CPU", "to reach", ""]]
    ours = found[fronts[0]]
    for front, results in found.items():
        micros = middle(results, "cpu") * 1000
        own = isinstance(front, Gateway)
        rows.append([front.name, f"{middle(results, 'rate'):,.0f}", f"{middle(results, 'p99'):.2f}", f"{micros:.2f}",
                     f"×{ratio(ours, results, 'cpu'):.2f}", f"≤ {AIM}" if own else "",
                     verdict(micros <= AIM) if own else ""])
    print_table(*rows)


def can_open():
    """Of this process; the gateway has as many."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard - 200


def print_growth(rounds, seconds):
    gateway = Gateway(True)
    found, bytes_each = {}, {}
    try:
        load(gateway, 1)
        for count in (count for count in IDLE if count <= can_open()):
            before = measure.memory(gateway.front)
            with contextlib.closing(Idle(gateway.port, count)):
                bytes_each[count] = (measure.memory(gateway.front) - before) * 2 ** 20 / max(count, 1)
                found[count] = [load(gateway, seconds) for _ in range(rounds)]
    finally:
        gateway.stop()
    rows = [[f"{ACTIVE} connections among idle ones", "req/s", "p99 ms", "CPU µs a request", "to none: CPU",
             "bytes an idle one"]]
    for count, results in found.items():
        rows.append([f"{count:,}", f"{middle(results, 'rate'):,.0f}", f"{middle(results, 'p99'):.2f}",
                     f"{middle(results, 'cpu') * 1000:.2f}", f"×{ratio(results, found[0], 'cpu'):.2f}",
                     f"{bytes_each[count]:,.0f}" if count >= 1000 else ""])
    print_table(*rows)


def print_connections(rounds, seconds):
    """As many as ask at once; what it costs to make ten thousand shows in short runs."""
    gateway = Gateway(True)
    try:
        load(gateway, 1)
        found = measure.alternate({count: lambda count=count: load(gateway, seconds, count)
                                   for count in (1, 100, 10000) if count <= can_open()}, rounds)
    finally:
        gateway.stop()
    rows = [["connections that ask", "req/s", "p99 ms", "CPU µs a request"]]
    for count, results in found.items():
        rows.append([f"{count:,}", f"{middle(results, 'rate'):,.0f}", f"{middle(results, 'p99'):.2f}",
                     f"{middle(results, 'cpu') * 1000:.2f}"])
    print_table(*rows)


class Streams:
    """Clients that follow a feed in which nothing happens."""

    def __init__(self, port, count):
        self.sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]
        for start in range(0, count, 100):
            for waiting in self.sockets[start:start + 100]:
                waiting.sendall(b"GET /v1/events HTTP/1.1\r\nHost: bench\r\n\r\n")
            for waiting in self.sockets[start:start + 100]:
                if not waiting.recv(65536).startswith(b"HTTP/1.1 200"):
                    raise SystemExit("bench: a client of /v1/events was refused")

    def close(self):
        for waiting in self.sockets:
            waiting.close()


def sockets_of(port):
    """Connections that somebody listens at that port has."""
    with open("/proc/net/tcp") as table:
        return sum(line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "01" for line in table)


def print_streams(relay):
    """As the aim says: at most 2 kB each, all gone within 2 s of leaving."""
    count = min(10000, can_open()) - 500
    before = measure.memory(relay.front)
    with contextlib.closing(Streams(relay.port, count)):
        each = (measure.memory(relay.front) - before) * 2 ** 20 / count
        spent = measure.cpu(relay.front)
        time.sleep(30)
        spent = (measure.cpu(relay.front) - spent) / 30
    left = time.monotonic()
    while sockets_of(relay.port) > 10 and time.monotonic() - left < 30:
        time.sleep(0.05)
    took = time.monotonic() - left
    print_table(["idle clients of /v1/events", "bytes each", "to reach", "", "CPU a second", "gone after", "to reach", ""],
                [f"{count:,}", f"{each:,.0f}", "≤ 2,048", verdict(each <= 2048), f"{spent * 1000:.0f} ms",
                 f"{took:.1f} s", "≤ 2 s", verdict(took <= 2)])


def print_gateway(relay, rounds, seconds):
    print(f"{rounds} rounds of {seconds} s; two workers each, client and server share {os.cpu_count()} CPUs\n")
    print_alone(rounds, seconds)
    print_growth(rounds, max(1, seconds // 2))
    print_connections(rounds, max(6, seconds))
    print_streams(relay)
