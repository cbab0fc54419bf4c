"""Servers of the tests' own, each with a key ring that the test may change.

One cluster is made for the whole run; every server starts on a copy of it.
Nothing here needs the server of test/with_server.  The fixtures at the end are for
conftest.py to import."""
import base64
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import time

import psycopg2
import pytest

BINDIR = pathlib.Path(subprocess.check_output(
    [os.environ.get("PG_CONFIG", "pg_config"), "--bindir"], text=True).strip())
GATEWAY = BINDIR / "relay_gateway"

# It locks no memory, keeps what is freed, reports signals that a test sends, and must be the first to be loaded
not_with_sanitizers = pytest.mark.skipif("ASAN_OPTIONS" in os.environ, reason="AddressSanitizer stands in the way")


def as_server(*command, check=True, **options):
    """Runs a program as the user that owns the servers, who is never root."""
    prefix = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"] if os.geteuid() == 0 else []
    return subprocess.run([*prefix, *map(str, command)], check=check, cwd="/", text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)


def own_folder(parent):
    """A folder that belongs to that user, short enough for a socket's path."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="rg_test.", dir=parent))
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
    return folder


def key_line(key_id, state="", key=None):
    return f"{key_id} {base64.b64encode(key or os.urandom(32)).decode()} {state}".strip() + "\n"


def keyring(*arguments, check=True, **options):
    """relay_gateway keyring as the server's user; its status and all that it says."""
    done = as_server(GATEWAY, "keyring", *arguments, check=False, **options)
    assert not check or done.returncode == 0, done.stdout
    return done.returncode, done.stdout


def new_ring(path):
    """A new ring whose key has the id 1."""
    keyring("new", path)
    path.write_text(re.sub(r"^\d+", "1", path.read_text()))


def states(ring):
    return [line.split("\t")[:2] for line in keyring("list", ring)[1].splitlines()]


def write(path, text, mode=0o600):
    path.write_text(text)
    path.chmod(mode)
    if os.geteuid() == 0:
        shutil.chown(path, "postgres", "postgres")
    return path


class Server:
    """A PostgreSQL with relay_guard preloaded, and its key ring in .keyring."""

    def __init__(self, template, folder, options=()):
        self.folder = folder
        self.data = folder / "data"
        self.log_file = folder / "log"
        self.keyring = folder / "keyring"
        self.options = {"shared_preload_libraries": "relay_guard", "fsync": "off", "listen_addresses": "",
                        "unix_socket_directories": folder, "relay_guard.keyring_file": self.keyring,
                        "max_prepared_transactions": 2, **dict(options)}
        as_server("cp", "-a", template, self.data)
        self.write_ring(key_line(1, "primary"))

    def write_ring(self, text):
        """Puts another ring in the place of the one there is, as a whole."""
        write(self.folder / "keyring.new", text).rename(self.keyring)

    def pg_ctl(self, *arguments, check=True, **environment):
        return as_server("env", *(f"{name}={setting}" for name, setting in environment.items()),
                         BINDIR / "pg_ctl", "-w", "-D", self.data, "-l", self.log_file, *arguments, check=check)

    def start(self, **environment):
        settings = "".join(f"{name} = '{value}'\n" for name, value in self.options.items())
        with open(self.data / "postgresql.auto.conf", "w") as file:
            file.write(settings)
        started = self.pg_ctl("start", check=False, **environment)
        if started.returncode != 0:
            raise RuntimeError(self.log())
        return self

    def stop(self, mode="fast"):
        self.pg_ctl("-m", mode, "stop", check=False)

    def restart(self, mode="fast"):
        self.stop(mode)
        return self.start()

    def reload(self):
        """Returns when new sessions have the configuration; running ones read it before their next command."""
        loaded = "SELECT pg_conf_load_time()"
        before = self.value(loaded)
        self.pg_ctl("reload")
        wait_for(lambda: self.value(loaded) != before)

    def connect(self, database="postgres", user="postgres", autocommit=True):
        connection = psycopg2.connect(host=str(self.folder), dbname=database, user=user)
        connection.autocommit = autocommit
        return connection

    def run(self, statement, *arguments, database="postgres", user="postgres"):
        connection = self.connect(database, user)
        try:
            return run(connection, statement, *arguments)
        finally:
            connection.close()

    def value(self, statement, *arguments, **where):
        return self.run(statement, *arguments, **where)[0][0]

    def environment(self, database="postgres", user="postgres"):
        return dict(os.environ, PGHOST=str(self.folder), PGPORT="5432", PGUSER=user, PGDATABASE=database)

    def program(self, name, *arguments, database="postgres", check=True, **options):
        """Runs one of PostgreSQL's client programs, or the gateway's; its output."""
        return subprocess.run([BINDIR / name, *map(str, arguments)], check=check, text=True, cwd="/",
                              env=self.environment(database), stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, **options).stdout

    def log(self):
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""


def run(connection, statement, *arguments):
    with connection.cursor() as cursor:
        cursor.execute(statement, arguments or None)
        return cursor.fetchall() if cursor.description else None


def sqlstate(connection, statement, *arguments):
    """The SQLSTATE that the statement fails with, or None."""
    try:
        run(connection, statement, *arguments)
    except psycopg2.Error as error:
        return error.pgcode
    return None


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


@pytest.fixture(scope="session")
def home():
    folder = own_folder(None)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def template(home):
    as_server(BINDIR / "initdb", "-D", home / "template", "-U", "postgres", "--auth=trust", "--no-sync",
              "--encoding=UTF8", "--locale=C.UTF-8")
    return home / "template"


@pytest.fixture(scope="session")
def make_server(home, template):
    """make_server({setting: value}) starts one that lives as long as the run."""
    servers = []

    def make(options=(), started=True):
        server = Server(template, own_folder(home), options)
        servers.append(server)
        return server.start() if started else server

    yield make
    for server in servers:
        server.stop("immediate")


@pytest.fixture(scope="module")
def server(make_server):
    """A server for the tests of one file, with the extension in database postgres."""
    server = make_server()
    server.run("CREATE EXTENSION relay_guard")
    yield server
    server.stop("immediate")
