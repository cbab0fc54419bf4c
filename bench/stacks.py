"""What is measured: how each stack is set up, started and reached."""
import base64
import hashlib
import hmac
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request

import psycopg2

import measure

HERE = os.path.dirname(os.path.abspath(__file__))
HOME = os.path.abspath(os.environ.get("BENCH_HOME", ".bench"))
SECRET = "a secret for the benchmark only, 0123456789"
PEERS_USER = dict(PGUSER="postgres", PGPORT="5432")
AS_SERVER = [] if os.getuid() else [
    "setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]

# In the words of SHOW, the same for both clusters: the data stays in memory
POSTGRES = {"shared_buffers": "512MB", "max_wal_size": "4GB"}


def call(*command, stdin=os.devnull, **environment):
    with open(stdin) as file:
        done = subprocess.run(command, env={**os.environ, **environment}, stdin=file,
                              capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"bench: {command[0]} failed: {done.stderr or done.stdout}")
    return done.stdout.strip()


def psql(environment, *arguments):
    return call("psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", *arguments, **environment)


def connect(environment):
    """A session in which each statement is a transaction of its own, unless it says BEGIN."""
    session = psycopg2.connect(host=environment["PGHOST"], port=environment["PGPORT"],
                               dbname=environment["PGDATABASE"], user=environment["PGUSER"])
    session.autocommit = True
    return session


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def which(name):
    return shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin")


def start(name, command, prefix=(), cwd=None, **environment):
    """A server that does not outlive the benchmark; its log stands in HOME."""
    with open(f"{HOME}/{name}.log", "w") as log:
        return subprocess.Popen([*prefix, "setpriv", "--pdeathsig", "TERM", *command],
                                cwd=cwd, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                env={**os.environ, **environment})


def wait_until(ready, name, process):
    for _ in range(600):
        if ready():
            return
        if process.poll() is not None:
            break
        time.sleep(0.1)
    with open(f"{HOME}/{name}.log") as log:
        raise SystemExit(f"bench: {name} did not start:\n{log.read()[-2000:]}")


def get(url, token):
    request = urllib.request.Request(url + "/api/v1/knowledge/files?limit=50",
                                     headers={"Authorization": "Bearer " + token})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.read()
    except OSError:
        return None


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def make_token(user, issuer, audience, **more):
    claims = {"iss": issuer, "aud": audience, "sub": str(user), "role": "authenticated",
              "iat": int(time.time()), "exp": int(time.time()) + 86400, **more}
    signed = b".".join(encode(json.dumps(part).encode()) for part in
                       ({"alg": "HS256", "typ": "JWT"}, claims))
    seal = hmac.new(SECRET.encode(), signed, hashlib.sha256).digest()
    return (signed + b"." + encode(seal)).decode()


class Relay:
    """relay_guard itself, as make run starts it."""
    name = "relay_guard"

    def __init__(self, settings):
        self.home = f"{HOME}/relay"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.launch()
        self.prepare()
        if self.change({**POSTGRES, **settings}):
            self.stop()
            self.launch()
        self.issuer, self.audience = psql(
            self.superuser, "-c", "SELECT iss, aud FROM relay_guard.issuer LIMIT 1").split("|")

    def launch(self):
        self.process = start("relay_guard", ["ops/run"], RELAY_HOME=self.home,
                             RELAY_PORT=str(self.port), SUPABASE_JWT_SECRET=SECRET,
                             ACCESS_LOG="off", MAX_CONNECTIONS="40000")
        wait_until(self.is_ready, "relay_guard", self.process)
        self.environment = dict(
            line.removeprefix("export ").strip().replace("'", "").split("=", 1)
            for line in open(f"{self.home}/env"))
        self.superuser = {**self.environment, "PGUSER": "postgres"}
        self.database = measure.children(self.process.pid, "postgres")
        self.front = measure.children(self.process.pid, "relay_gateway")
        self.roots = self.database + self.front

    def is_ready(self):
        with open(f"{HOME}/relay_guard.log") as log:
            return "relay_guard ready" in log.read()

    def prepare(self):
        """Data, and limits that are never reached."""
        psql(self.superuser, "-c", "UPDATE relay_guard.rate_policy SET quota = 1000000000")
        if psql(self.superuser, "-c", "SELECT to_regclass('bench.knowledge_files') IS NULL") == "t":
            psql(self.superuser, "-f", f"{HERE}/relay_data.sql")
        if psql(self.superuser, "-c", "SELECT to_regclass('bench.note') IS NULL") == "t":
            psql(self.superuser, "-1", "-f", f"{HERE}/relay_notes.sql")

    def change(self, settings):
        """Writes settings; true when the server must start again to have them."""
        changed = False
        for name, value in settings.items():
            if psql(self.superuser, "-c", f"SHOW {name}") != str(value):
                psql(self.superuser, "-c", f"ALTER SYSTEM SET {name} = '{value}'")
                changed = True
        return changed

    def stop(self):
        self.process.terminate()
        self.process.wait()


class Redis:
    """A Redis in memory alone, at a port and a socket."""

    def __init__(self):
        self.port = free_port()
        self.folder = tempfile.mkdtemp(prefix="relay_bench.", dir="/tmp")
        self.socket = f"{self.folder}/redis"
        self.process = start("redis", [which("redis-server"), "--port", str(self.port),
                                       "--bind", "127.0.0.1", "--unixsocket", self.socket,
                                       "--save", "", "--dir", HOME])
        self.roots = [self.process.pid]
        wait_until(lambda: os.path.exists(self.socket), "redis", self.process)

    def stop(self):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


class PeersDatabase:
    """A PostgreSQL without relay_guard."""

    def __init__(self):
        self.data = f"{HOME}/postgres"
        self.socket = tempfile.mkdtemp(prefix="relay_bench.", dir="/tmp")
        self.bin = call("pg_config", "--bindir")
        self.environment = {"PGHOST": self.socket, **PEERS_USER}
        self.own(self.socket)
        fresh = not os.path.exists(f"{self.data}/PG_VERSION")
        if fresh:
            self.initialize()
        self.launch()
        if not psql(self.environment, "-d", "postgres", "-c",
                    "SELECT 1 FROM pg_database WHERE datname = 'bench'"):
            self.load()
        if psql(self.environment, "-d", "bench", "-c", "SELECT to_regclass('note') IS NULL") == "t":
            psql(self.environment, "-d", "bench", "-1", "-f", f"{HERE}/peers/notes.sql")
        self.roots = [self.postgres.pid]

    def own(self, path):
        if AS_SERVER:
            shutil.chown(path, "postgres", "postgres")

    def initialize(self):
        os.makedirs(self.data, mode=0o700, exist_ok=True)
        self.own(self.data)
        call(*AS_SERVER, f"{self.bin}/initdb", "-D", self.data, "-U", "postgres",
             "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8")

    def launch(self):
        settings = [f"--{name}={value}" for name, value in POSTGRES.items()]
        self.postgres = start("postgres", [
            f"{self.bin}/postgres", "-D", self.data, "-k", self.socket,
            "-p", "5432", "--listen_addresses=", *settings], AS_SERVER, cwd="/")
        wait_until(lambda: subprocess.run(
            ["pg_isready", "-q", "-h", self.socket, "-p", "5432"]).returncode == 0,
            "postgres", self.postgres)

    def load(self):
        psql(self.environment, "-d", "postgres", "-c", "DROP DATABASE IF EXISTS loading",
             "-c", "CREATE DATABASE loading")
        psql(self.environment, "-d", "loading", "-f", f"{HERE}/peers/schema.sql")
        psql(self.environment, "-d", "postgres", "-c", "ALTER DATABASE loading RENAME TO bench")

    def stop(self):
        self.postgres.send_signal(2)
        self.postgres.wait()
        shutil.rmtree(self.socket, ignore_errors=True)


class Peer:
    """A front-end on the peers' database and Redis: two worker processes."""

    def __init__(self, database, redis, issuer, audience):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = dict(
            PGHOST=database.socket, BENCH_REDIS_PORT=str(redis.port),
            BENCH_PORT=str(self.port), SUPABASE_JWT_SECRET=SECRET,
            BENCH_ISSUER=issuer, BENCH_AUDIENCE=audience, BENCH_NODE=f"{HOME}/node")
        self.process = self.launch()
        token = make_token(1, issuer, audience)
        wait_until(lambda: get(self.url, token), self.log, self.process)
        self.front = [self.process.pid]
        self.roots = self.front + database.roots + redis.roots

    def stop(self):
        self.process.terminate()
        self.process.wait()


class FastAPI(Peer):
    name = "FastAPI + asyncpg + Redis, tuned"
    log = "fastapi"
    needs = "uvicorn"

    def launch(self):
        return start(self.log, [
            "/usr/bin/python3", "-m", "uvicorn", "fastapi_app:app", "--host", "127.0.0.1",
            "--port", str(self.port), "--loop", "uvloop", "--http", "httptools",
            "--no-access-log", "--no-server-header", "--workers", "2"],
            cwd=f"{HERE}/peers", PYTHONDONTWRITEBYTECODE="1", **self.environment)


class Fastify(Peer):
    name = "Fastify + node-pg pipeline + Redis"
    log = "fastify"
    needs = "npm"

    def launch(self):
        os.makedirs(f"{HOME}/node", exist_ok=True)
        shutil.copy(f"{HERE}/peers/package.json", f"{HOME}/node/")
        if not os.path.exists(f"{HOME}/node/node_modules/pg"):
            call("npm", "install", "--no-audit", "--no-fund", "--prefix", f"{HOME}/node")
        return start(self.log, ["node", f"{HERE}/peers/fastify.js"], **self.environment)


class Nginx:
    """A static file of the size of the guarded read's answer."""
    name = "nginx, static file of the same size"
    log = "nginx"
    needs = "nginx"

    def __init__(self, body):
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        folder = f"{HOME}/nginx"
        self.write_files(folder, port, body)
        user = [] if os.getuid() else ["-g", "user root;"]
        self.process = start(self.log, [which("nginx"), "-p", folder, "-e", "error.log",
                                        "-c", "nginx.conf", *user])
        wait_until(lambda: get(self.url, ""), self.log, self.process)
        self.front = self.roots = [self.process.pid]

    def write_files(self, folder, port, body):
        page = f"{folder}/www/api/v1/knowledge/files"
        os.makedirs(os.path.dirname(page), exist_ok=True)
        with open(page, "wb") as file:
            file.write(body)
        with open(f"{HERE}/peers/nginx.conf") as template:
            text = template.read().replace("@PORT@", str(port))
        with open(f"{folder}/nginx.conf", "w") as file:
            file.write(f"pid {folder}/pid;\n" + text)

    def stop(self):
        self.process.terminate()
        self.process.wait()
