"""Clients that change audited tables and write down, outside of the server, what it
acknowledged; and what must then hold between tables, log and seals, by this file's own
reckoning rather than audit_verify()'s."""
import base64
import collections
import contextlib
import pathlib
import random
import re
import subprocess
import sys
import tempfile
import threading

import psycopg2

from audit_formats import TOOL, exported, formats
from servers import keyring, run

ACCOUNTS = 16
START = "start"
SCHEMA = f"""
    CREATE SCHEMA app;
    CREATE TABLE app.account (id int PRIMARY KEY, tag text NOT NULL, filler text NOT NULL DEFAULT repeat('x', 50));
    CREATE TABLE app.entry (tag text, line int, xid xid8 DEFAULT pg_current_xact_id(), PRIMARY KEY (tag, line));
    SELECT relay_guard.audit('app.account'), relay_guard.audit('app.entry', 'entry', '{{tag,line}}');
    INSERT INTO app.account SELECT i, '{START}' FROM generate_series(1, {ACCOUNTS}) AS i;
"""
PROBLEMS = "SELECT problem, id, detail FROM relay_guard.audit_verify()"


def audited(server, database="postgres"):
    """Makes the extension and the tables of SCHEMA in the database."""
    server.run("CREATE EXTENSION relay_guard", database=database)
    server.run(SCHEMA, database=database)
    return server


def new_ratchet(server, database="postgres"):
    """A new ratchet file and a sealer that uses it, from the server's start on; K0."""
    path = server.folder / "ratchet"
    said = keyring("audit-init", path)[1]
    server.options.update({"relay_guard.audit_ratchet_file": path, "relay_guard.databases": database,
                           "relay_guard.audit_seal_interval": "1"})
    return base64.b64decode(re.search(r"[A-Za-z0-9+/]{43}=", said)[0])


def problems(server, database="postgres"):
    return server.run(PROBLEMS, database=database)


def entries_of(tag):
    """How many rows of app.entry the transaction of this tag writes."""
    number = int(tag.rsplit("-", 1)[1])
    return 40 if number % 10 == 9 else 1 + number % 2


def lost(error):
    """Whether it is the server's death that the client met: libpq's own errors have no SQLSTATE."""
    return isinstance(error, psycopg2.Error) and (error.pgcode is None or error.pgcode.startswith("57P"))


class Client(threading.Thread):
    """One client's transactions, each under a tag of its own, until the server is gone or it is told to stop."""

    def __init__(self, name, connection, settings=""):
        super().__init__(daemon=True)
        self.name = name
        self.connection = connection
        self.settings = settings
        self.sent, self.acknowledged, self.rolled_back = set(), set(), set()
        self.stopping = False
        self.failure = None

    def run(self):
        number = 0
        try:
            run(self.connection, self.settings or "SELECT")
            while not self.stopping:
                self.transaction(f"{self.name}-{number}", number)
                number += 1
        except Exception as error:  # pylint: disable=broad-except
            self.failure = None if lost(error) else error
        finally:
            with contextlib.suppress(psycopg2.Error):
                self.connection.close()

    def transaction(self, tag, number):
        """BEGIN to COMMIT in one message, so that many are under way whenever the server dies."""
        rolls_back = number % 6 == 5
        if rolls_back:
            self.rolled_back.add(tag)
        self.sent.add(tag)
        run(self.connection, "; ".join(["BEGIN", *self.changes(tag, number), "ROLLBACK" if rolls_back else "COMMIT"]))
        if not rolls_back:
            self.acknowledged.add(tag)

    @staticmethod
    def changes(tag, number):
        account = random.randrange(1, ACCOUNTS + 1)
        yield f"SELECT pg_advisory_xact_lock({account})"
        if number % 4 == 3:  # one row goes and another comes
            yield f"DELETE FROM app.account WHERE id = {account}"
            yield f"INSERT INTO app.account VALUES ({account}, '{tag}')"
        else:
            yield f"UPDATE app.account SET tag = '{tag}' WHERE id = {account}"
        if number % 5 == 2:
            yield f"SAVEPOINT s; INSERT INTO app.entry VALUES ('{tag}', 1000); ROLLBACK TO s"
        yield f"INSERT INTO app.entry SELECT '{tag}', generate_series(1, {entries_of(tag)})"


class Sealer(threading.Thread):
    """Seals by hand, without end, so that whatever happens meets a seal under way."""

    def __init__(self, connection):
        super().__init__(daemon=True)
        self.connection = connection
        self.stopping = False
        self.failure = None

    def run(self):
        try:
            while not self.stopping:
                run(self.connection, "SELECT relay_guard.audit_seal()")
        except Exception as error:  # pylint: disable=broad-except
            self.failure = None if lost(error) else error
        finally:
            with contextlib.suppress(psycopg2.Error):
                self.connection.close()


class Journal:
    """What all clients heard, over every life of the server."""

    def __init__(self):
        self.clients = []
        self.sealers = []
        self.lives = 0

    @property
    def acknowledged(self):
        return set().union(*(client.acknowledged for client in self.clients))

    def start(self, server, clients, settings=lambda client: "", database="postgres"):
        """Starts so many clients, and one that seals; settings(i) is SQL that the i-th begins its session with."""
        self.lives += 1
        started = [Client(f"{self.lives}.{i}", server.connect(database), settings(i)) for i in range(clients)]
        self.clients += started
        self.sealers.append(Sealer(server.connect(database)))
        for thread in *started, self.sealers[-1]:
            thread.start()

    def stop(self):
        """Returns when every client has ended, whether told here or because it lost its server."""
        threads = self.clients + self.sealers
        for thread in threads:
            thread.stopping = True
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive()
            if thread.failure:
                raise thread.failure

    def check(self, server, database="postgres"):
        """The tables hold what was acknowledged, and the log what the tables hold; nothing else, and nothing twice."""
        connection = server.connect(database)
        try:
            tags = self.check_tables(connection)
            check_log(connection, tags)
            check_accounts(connection)
        finally:
            connection.close()
        return len(tags)

    def check_tables(self, connection):
        written = collections.Counter(tag for (tag,) in run(connection, "SELECT tag FROM app.entry"))
        sent, rolled_back = (set().union(*(getattr(client, name) for client in self.clients))
                             for name in ("sent", "rolled_back"))
        assert not self.acknowledged - set(written), "an acknowledged change was lost"
        assert not set(written) - (sent - rolled_back), "a change came that nobody sent"
        assert all(entries_of(tag) == count for tag, count in written.items()), "a change was torn"
        return written


def check_entries(server, database="postgres"):
    """As check() does, of a copy that need not have all that was acknowledged; how many rows."""
    connection = server.connect(database)
    try:
        tags = collections.Counter(tag for (tag,) in run(connection, "SELECT tag FROM app.entry"))
        check_log(connection, tags)
    finally:
        connection.close()
    return sum(tags.values())


def check_log(connection, tags):
    """Each row of the table has one row of the log, of the transaction that wrote it; none is left."""
    run(connection, "SET jit = off")
    assert run(connection, """
        SELECT e.tag, e.line, l.resource_id FROM app.entry AS e FULL JOIN
            (SELECT resource_id, xid FROM relay_guard.audit_log WHERE resource_type = 'entry' AND source = 'trigger') AS l
            ON l.resource_id::jsonb = jsonb_build_array(e.tag, e.line::text) AND l.xid = e.xid
        WHERE e.tag IS NULL OR l.resource_id IS NULL""") == []
    (count, ids), = run(connection, """SELECT count(*), count(DISTINCT id) FROM relay_guard.audit_log
                                       WHERE resource_type = 'entry' AND source = 'trigger'""")
    assert count == ids == sum(tags.values())


def check_accounts(connection):
    """The log's old and new values lead from the first row of each account to the one that is there, by every change once."""
    changes = run(connection, f"""
        SELECT resource_id, string_agg(old ->> 'tag', ''), string_agg(new ->> 'tag', ''), count(*), xid::text
        FROM relay_guard.audit_log WHERE resource_type = 'account' AND source = 'trigger' AND new ->> 'tag' IS DISTINCT FROM '{START}'
        GROUP BY resource_id, xid""")
    after = {(account, old): new for account, old, new, _, _ in changes}
    assert len(after) == len(changes), "two changes of one value"
    assert sorted(new for _, _, new, _, _ in changes) == sorted(
        tag for (tag,) in run(connection, "SELECT DISTINCT tag FROM app.entry")), "not one change of an account each"
    steps = 0
    for account, last in run(connection, "SELECT id::text, tag FROM app.account"):
        tag = START
        while (account, tag) in after:
            tag = after[account, tag]
            steps += 1
        assert tag == last, f"account {account} has a change that the log has not"
    assert steps == len(changes), "the log has a change that no account has"


def check_seals(server, database="postgres"):
    """Rows and seals agree: each seal's digest is that of its rows, and no row is in two; how many rows are in none."""
    connection = server.connect(database)
    try:
        run(connection, "SET jit = off")
        seals = run(connection, """
            SELECT s.seal_id, s.rows, s.digest, s.previous, s.root, count(l.id), string_agg(l.mac, ''::bytea ORDER BY l.xid, l.id)
            FROM relay_guard.audit_seal AS s LEFT JOIN unnest(s.ids) AS r ON true
                LEFT JOIN generate_series(lower(r), upper(r) - 1) AS id ON true
                LEFT JOIN relay_guard.audit_log AS l ON l.id = id.id AND l.epoch = s.row_epoch
            GROUP BY s.seal_id ORDER BY s.seal_id""")
        (rows,), = run(connection, "SELECT count(*) FROM relay_guard.audit_log")
    finally:
        connection.close()
    previous = None
    for seal_id, sealed, digest, link, root, found, macs in seals:
        assert sealed == found, f"seal {seal_id}"
        assert bytes(digest) == formats.blake2b(bytes(macs or b"")), f"seal {seal_id}"
        assert (link and bytes(link)) == previous, f"seal {seal_id}"
        previous = bytes(root)
    assert [row[0] for row in seals] == list(range(1, len(seals) + 1))
    return rows - sum(row[1] for row in seals)


def check_proofs(server, k0, database="postgres"):
    """Each seal has a proof by the ratchet, worn out step by step from K0; how many there are."""
    proofs = server.run("SELECT step, root, proof FROM relay_guard.audit_seal ORDER BY seal_id", database=database)
    key, at = k0, 0
    for step, root, proof in proofs:
        while at < step:
            key, at = formats.ratchet(key), at + 1
        assert at == step
        assert bytes(proof) == formats.seal_proof(key, bytes(root)), f"step {step}"
    return len(proofs)


def exported_problems(server, database="postgres", *first_keys):
    """What ops/audit-verify says of the log and its seals, exported, without the server."""
    connection = server.connect(database)
    files = exported(connection, pathlib.Path(tempfile.mkdtemp(dir=server.folder)))
    connection.close()
    keys = [argument for key in first_keys for argument in ("--k0", base64.b64encode(key).decode())]
    done = subprocess.run([sys.executable, TOOL, "--keyring", server.keyring, *keys, *files],
                          stdout=subprocess.PIPE, text=True)
    assert done.returncode == (done.stdout != ""), done
    return [line.split("\t")[0] for line in done.stdout.splitlines()]


def whole(server, database="postgres"):
    """Nothing is wrong with the log, by audit_verify() and by the reckoning here; how many rows await their seal."""
    found = problems(server, database)
    assert found == [], found
    return check_seals(server, database)
