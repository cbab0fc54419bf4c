"""A PostgreSQL and gateways of their own, and HTTP over bare sockets."""
import contextlib
import json
import os
import pathlib
import pwd
import random
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

import psycopg2
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(subprocess.run([os.environ.get("PG_CONFIG", "pg_config"), "--bindir"],
                                  check=True, capture_output=True, text=True).stdout.strip())


def gateway_binary():
    built = ROOT / "relay_gateway"
    return os.environ.get("RELAY_GATEWAY") or str(built if built.exists() else BIN / "relay_gateway")


def clean_environment(**settings):
    """Without what a PostgreSQL or gateway around the tests has set."""
    kept = {name: value for name, value in os.environ.items()
            if not name.startswith(("PG", "RELAY_", "DATABASE_")) or name == "PG_CONFIG"}
    return dict({**kept, "METRICS_LISTEN": "off"}, **{name: str(value) for name, value in settings.items()})


def free_port():
    """One that no connection to elsewhere is given before a gateway listens there."""
    lowest = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = random.SystemRandom().randrange(10000, max(lowest, 20000))
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def close_listener(listener):
    """With whoever accepts: one that was not woken would accept what comes to the number's next socket."""
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def wait_until(condition, seconds=30, what="it"):
    """As long as a slow machine may need: a test of how long it takes measures that itself."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds} s"
        time.sleep(0.02)


class Postgres:
    """A server in a folder of its own, reached by unix socket."""

    starts = 0

    def __init__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="rg_http."))
        self.as_server = []
        if os.getuid() == 0:
            postgres = pwd.getpwnam("postgres")
            os.chown(self.dir, postgres.pw_uid, postgres.pw_gid)
            self.as_server = ["runuser", "-u", "postgres", "--"]
        self.keyring = self.dir / "keyring"
        self.run(BIN / "initdb", "-D", self.data, "-U", "postgres", "--auth=trust",
                 "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8")
        (self.dir / "keyring").write_text(subprocess.run(
            [gateway_binary(), "keyring", "new"], check=True, capture_output=True, text=True).stdout)
        if self.as_server:
            os.chown(self.keyring, postgres.pw_uid, postgres.pw_gid)
        self.keyring.chmod(0o600)
        with open(self.data / "postgresql.conf", "a") as conf:
            conf.write((ROOT / "test/server.conf").read_text())
            conf.write(f"relay_guard.keyring_file = '{self.keyring}'\n"
                       "relay_guard.databases = 'relay'\nmax_connections = 200\n")

    @property
    def data(self):
        return self.dir / "data"

    def run(self, *command):
        subprocess.run([*self.as_server, *map(str, command)], check=True, cwd=self.dir,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                       env=clean_environment())

    def start(self):
        self.run(BIN / "pg_ctl", "-w", "-D", self.data, "-l", self.dir / "log",
                 "-o", f"-c listen_addresses= -k {self.dir}", "start")
        Postgres.starts += 1

    def stop(self, mode="immediate"):
        self.run(BIN / "pg_ctl", "-w", "-D", self.data, "-m", mode, "stop")

    def url(self, user, database="relay"):
        return f"postgresql:///{database}?host={self.dir}&port=5432&user={user}"

    def sql(self, statement, user="postgres", database="relay"):
        connection = psycopg2.connect(self.url(user, database))
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall() if cursor.description else None
        finally:
            connection.close()

    def create_database(self):
        subprocess.run([ROOT / "ops/create_database"], check=True, stdout=subprocess.DEVNULL,
                       env=clean_environment(PGHOST=self.dir, PGPORT=5432, PGUSER="postgres"))


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)

    def header(self, name):
        values = [value for key, value in self.headers if key == name.lower()]
        assert len(values) <= 1, f"{name} occurs {len(values)} times"
        return values[0] if values else None


class Connection:
    """A connection on which any bytes can be sent."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.buffer = b""

    def send(self, data):
        self.socket.sendall(data)

    def request(self, method, target, headers=(), body=None, version="1.1"):
        lines = [f"{method} {target} HTTP/{version}", "Host: localhost"]
        lines += [f"{name}: {value}" for name, value in dict(headers).items()]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join(lines).encode() + b"\r\n\r\n" + (body or b""))

    def more(self):
        data = self.socket.recv(65536)
        self.buffer += data
        return data != b""

    def read(self, method="GET"):
        """The next answer; None when the connection is closed instead."""
        while b"\r\n\r\n" not in self.buffer:
            if not self.more():
                return None
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        lines = head.decode("latin-1").split("\r\n")
        status = int(lines[0].split()[1])
        headers = [(name.lower(), value.strip())
                   for name, _, value in (line.partition(":") for line in lines[1:])]
        length = int(dict(headers).get("content-length", 0))
        if method == "HEAD" or status in (100, 204, 304):
            length = 0
        while len(self.buffer) < length:
            assert self.more(), "the body is incomplete"
        body, self.buffer = self.buffer[:length], self.buffer[length:]
        return Answer(status, headers, body)

    def reset(self):
        """Leaves as a client does that crashes."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def is_closed(self):
        try:
            return self.buffer == b"" and not self.more()
        except ConnectionResetError:
            return True

    def close(self):
        self.socket.close()


class Gateway:
    def __init__(self, database_url, binary=None, **settings):
        self.port, self.binary = free_port(), binary or gateway_binary()
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="rg_gateway."))
        self.environment = clean_environment(
            **{"DATABASE_URL": database_url, "RELAY_PORT": self.port, "WEB_ROOT": ROOT / "web", "WEBHOOKS": "off",
               "WORKERS": 2, "ACCESS_LOG": self.dir / "access", **settings})
        self.process = None

    def start(self):
        self.began = time.time()
        self.process = subprocess.Popen([self.binary], env=self.environment,
                                        stdout=subprocess.DEVNULL,
                                        stderr=open(self.dir / "errors", "w"))
        wait_until(self.listens, what="the gateway's start")
        self.starts_seen = Postgres.starts
        return self

    def listens(self):
        assert self.process.poll() is None, self.errors()
        try:
            answer = self.get("/health")
            return answer is not None and answer.status in (200, 307)    # production says https
        except OSError:
            return False

    def connect(self):
        return Connection(self.port)

    def ask(self, method, target, headers=(), body=None):
        connection = self.connect()
        try:
            connection.request(method, target, headers, body)
            return connection.read(method)
        finally:
            connection.close()

    def get(self, target, headers=()):
        return self.ask("GET", target, headers)

    def is_ready(self):
        return self.get("/ready").status == 200

    def workers(self):
        found = subprocess.run(["pgrep", "-P", str(self.process.pid)],
                               capture_output=True, text=True).stdout
        return {int(pid) for pid in found.split()}

    def backends(self, postgres, state="true"):
        """Its connections in the server that are in that state; others may have gateways too."""
        return [pid for pid, in postgres.sql(
            f"SELECT pid FROM pg_stat_activity WHERE application_name = 'relay_gateway' AND {state} "
            f"AND backend_start >= to_timestamp({self.began})")]

    def sleeping(self, postgres):
        """How many of its statements are in pg_sleep()."""
        return len(self.backends(postgres, "state = 'active' AND wait_event = 'PgSleep'"))

    def errors(self):
        return (self.dir / "errors").read_text()

    def access_log(self, *request_ids):
        """The requests so far, these among them; workers write them once a second."""
        def is_written():
            return set(request_ids) <= {line.get("request_id") for line in self.access_lines()}
        wait_until(is_written, what="the lines of " + ", ".join(request_ids))
        return [line for line in self.access_lines() if "anchor" not in line]

    def access_lines(self):
        whole = (self.dir / "access").read_text().rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines()]

    def stop(self, how=signal.SIGTERM):
        status = self.end(how)
        shutil.rmtree(self.dir, ignore_errors=True)
        return status

    def end(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        return self.process.wait(60)

    def renew(self):
        """Connected anew, instead of when the next try of each worker is due."""
        self.end()
        self.start()

    def forget_outages(self):
        if self.starts_seen != Postgres.starts:
            self.renew()


@pytest.fixture(scope="session")
def postgres():
    server = Postgres()
    server.start()
    try:
        server.create_database()
        add_routes(server)
        yield server
    finally:
        server.stop()
        shutil.rmtree(server.dir)


@contextlib.contextmanager
def running(database_url, **settings):
    gateway = Gateway(database_url, **settings)
    try:
        yield gateway.start()
    finally:
        if gateway.process and gateway.process.poll() is None:
            gateway.stop()


@pytest.fixture(scope="session")
def gateway(postgres):
    """A gateway as most installations have it."""
    with running(postgres.url("relay_gateway")) as gateway:
        wait_until(gateway.is_ready, what="readiness")
        yield gateway


@pytest.fixture(autouse=True)
def no_outage_before(request):
    """A test that stops the server leaves the next one a gateway that has it again."""
    if "gateway" in request.fixturenames:
        request.getfixturevalue("gateway").forget_outages()


@pytest.fixture
def start(postgres):
    """Starts gateways with settings of their own."""
    with contextlib.ExitStack() as stack:
        def start(user="relay_gateway", database="relay", ready=True, **settings):
            gateway = stack.enter_context(running(postgres.url(user, database), **settings))
            if ready:
                wait_until(gateway.is_ready, what="readiness")
            return gateway
        yield start


ROUTES = """
    CREATE TABLE IF NOT EXISTS relay.test_unique (n int UNIQUE DEFERRABLE INITIALLY DEFERRED);
    CREATE TABLE IF NOT EXISTS relay.test_note (id serial, text text NOT NULL);
    GRANT SELECT, INSERT ON relay.test_unique, relay.test_note TO relay_app;
    GRANT USAGE ON SEQUENCE relay.test_note_id_seq TO relay_app;
    INSERT INTO relay.test_unique VALUES (1);
    INSERT INTO relay_guard.route (method, path, query, auth, result, request_body, parameters, run_as)
    VALUES
    ('GET', '/test/echo/{word}', 'SELECT request.word', 'none', 'value', NULL,
     '[{"name": "word", "in": "path", "required": true, "schema": {"type": "string"}}]', 'relay_app'),
    ('GET', '/test/sleep/{seconds}', 'SELECT request.seconds FROM pg_sleep(request.seconds)', 'none',
     'value', NULL,
     '[{"name": "seconds", "in": "path", "required": true, "schema": {"type": "number"}}]', 'relay_app'),
    ('POST', '/test/sleep/{seconds}', 'SELECT request.seconds FROM pg_sleep(request.seconds)', 'none',
     'value', NULL,
     '[{"name": "seconds", "in": "path", "required": true, "schema": {"type": "number"}}]', 'relay_app'),
    ('POST', '/test/unique', 'INSERT INTO relay.test_unique VALUES (1) RETURNING n', 'none', 'row',
     NULL, '[]', 'relay_app'),
    ('POST', '/test/notes', 'INSERT INTO relay.test_note (text) VALUES (request.text) RETURNING text',
     'none', 'row', '{"type": "object", "required": ["text"], "properties": {"text": {"type": "string"}}}',
     '[]', 'relay_app'),
    ('GET', '/test/divide/{n}', 'SELECT 1 / request.n', 'none', 'value', NULL,
     '[{"name": "n", "in": "path", "required": true, "schema": {"type": "integer"}}]', 'relay_app'),
    ('GET', '/test/large/{n}', 'SELECT repeat(''x'', request.n::int)', 'none', 'value', NULL,
     '[{"name": "n", "in": "path", "required": true, "schema": {"type": "integer"}}]', 'relay_app'),
    ('GET', '/test/whoami', 'SELECT relay_guard.user_id()', 'anonymous', 'value', NULL, '[]', 'relay_app');
    INSERT INTO relay_guard.route (method, path, query, auth, result, slow, parameters, run_as)
    SELECT method, '/test/slow/{seconds}', 'SELECT request.seconds FROM pg_sleep(request.seconds)', 'none',
        'value', true, '[{"name": "seconds", "in": "path", "required": true, "schema": {"type": "number"}}]',
        'relay_app' FROM unnest(ARRAY['GET', 'POST']) method
"""


def add_routes(server):
    server.sql(ROUTES, user="relay_owner")
