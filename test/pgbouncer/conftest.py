"""A PgBouncer before the server of test/with_server: transaction pooling, and
one server connection for each database, so that all clients share it."""
import os
import pathlib
import pwd
import shutil
import subprocess
import tempfile
import time

import psycopg2
import pytest

PORT = 6432  # only names the socket, which stands in a folder of its own
CONFIGURATION = """
[databases]
* = host={server} port={server_port}
[pgbouncer]
listen_addr =
listen_port = {port}
unix_socket_dir = {folder}
auth_type = trust
auth_file = {folder}/users
admin_users = postgres
pool_mode = transaction
default_pool_size = 1
server_reset_query =
logfile = {folder}/log
pidfile = {folder}/pid
"""


def direct(database, user="postgres"):
    connection = psycopg2.connect(dbname=database, user=user)
    connection.autocommit = True
    return connection


def run(connection, statement, *arguments):
    with connection.cursor() as cursor:
        cursor.execute(statement, arguments or None)
        return cursor.fetchall() if cursor.description else None


def make_database(name):
    run(direct("postgres"), f"CREATE DATABASE {name}")
    run(direct(name), """
        CREATE EXTENSION relay_guard;
        CREATE TABLE note (user_id text NOT NULL DEFAULT relay_guard.user_id(), body text);
        INSERT INTO note VALUES ('alice', 'hers'), ('bob', 'his');
        SELECT relay_guard.protect('note', grant_to => 'web');
        GRANT CREATE ON SCHEMA public TO web;
    """)


class Bouncer:
    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="rg_bouncer.")
        path = pathlib.Path(self.folder)
        (path / "users").write_text('"web" ""\n"postgres" ""\n')
        (path / "ini").write_text(CONFIGURATION.format(folder=self.folder, port=PORT, server=os.environ["PGHOST"],
                                                       server_port=os.environ["PGPORT"]))
        command = ["setpriv", "--pdeathsig", "TERM"]
        if os.geteuid() == 0:  # it refuses to run as root
            owner = pwd.getpwnam("postgres")
            for made in (path, path / "users", path / "ini"):
                os.chown(made, owner.pw_uid, owner.pw_gid)
            command += ["--reuid=postgres", "--regid=postgres", "--init-groups"]
        command += [shutil.which("pgbouncer", path=os.environ["PATH"] + ":/usr/sbin"), "-q", self.folder + "/ini"]
        self.process = subprocess.Popen(command, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.socket = f"{self.folder}/.s.PGSQL.{PORT}"
        deadline = time.monotonic() + 60
        while not os.path.exists(self.socket):
            assert self.process.poll() is None and time.monotonic() < deadline, (path / "log").read_text()
            time.sleep(0.01)

    def connect(self, database, user="web", **options):
        connection = psycopg2.connect(host=self.folder, port=PORT, dbname=database, user=user, **options)
        connection.autocommit = True
        return connection

    def forget_servers(self):
        """Closes the server connections with what tests left in them."""
        console = self.connect("pgbouncer", "postgres")
        run(console, "RECONNECT")
        console.close()

    def stop(self):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.folder)


@pytest.fixture(scope="session")
def bouncer():
    run(direct("postgres"), "CREATE ROLE web LOGIN")
    make_database("lax")
    make_database("strict")
    run(direct("postgres"), "ALTER DATABASE strict SET relay_guard.strict = on")
    started = Bouncer()
    yield started
    started.stop()


@pytest.fixture(scope="session")
def tokens(bouncer):
    """Tokens of alice and bob for a database."""
    def make(database):
        return {who: run(direct(database), "SELECT relay_guard.issue_token(%s)", who)[0][0] for who in ("alice", "bob")}
    return {database: make(database) for database in ("lax", "strict")}


class Client:
    """A client of the pooler; what is sent outside of transactions goes by itself."""

    def __init__(self, bouncer, database, tokens, **options):
        self.connection = bouncer.connect(database, **options)
        self.tokens = tokens[database]

    def run(self, statement, *arguments):
        return run(self.connection, statement, *arguments)

    def value(self, statement, *arguments):
        return self.run(statement, *arguments)[0][0]

    def begin_as(self, who):
        self.run("BEGIN")
        assert self.value("SELECT relay_guard.authenticate(%s)", self.tokens[who]) == who

    def backend(self):
        return self.value("SELECT pg_backend_pid()")

    def who(self):
        return self.value("SELECT relay_guard.user_id()")

    def notes(self):
        return [body for body, in self.run("SELECT body FROM note ORDER BY body")]

    def refused(self, statement, *arguments):
        """The SQLSTATE that it fails with."""
        with pytest.raises(psycopg2.Error) as caught:
            self.run(statement, *arguments)
        return caught.value.pgcode

    def close(self):
        self.connection.close()


@pytest.fixture
def clients(bouncer, tokens):
    """Makes clients; afterwards their server connections are closed."""
    made = []

    def make(count=2, database="lax", **options):
        new = [Client(bouncer, database, tokens, **options) for _ in range(count)]
        made.extend(new)
        return new
    yield make
    for client in made:
        client.close()
    bouncer.forget_servers()
