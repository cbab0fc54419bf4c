"""A rotation from its first to its last step, beside clients that write and read."""
import os
import threading
import time

import psycopg2
import pytest
from servers import keyring, run

LONG = os.environ.get("RG_LONG", "0") != "0"
ROWS = 100000 if LONG else 30000
CLIENTS = 8

ENCRYPT = "relay_guard.encrypt(%s::text, relay_guard.aad('l.t.c', %s::text))"


class Client(threading.Thread):
    """Writes rows of its own, through the view and the table, and reads everybody's until it is told to stop."""

    def __init__(self, server, number, stop):
        super().__init__()
        self.connection = server.connect()
        self.number, self.stop = number, stop
        self.done = dict.fromkeys(["view", "table", "insert", "read", "list"], 0)
        self.failures = []
        self.written = {}

    def one(self, statement, *arguments):
        rows = run(self.connection, statement, *arguments)
        assert len(rows) == 1, (statement, arguments, rows)
        return rows[0]

    def row(self, step):
        return 1 + self.number + CLIENTS * (step * 7919 % (ROWS // CLIENTS))

    def view(self, step):
        row, value = self.row(step), f"value {step} of {self.number}"
        self.one("UPDATE decrypted_t SET c = %s WHERE id = %s RETURNING id", value, row)
        self.written[row] = value

    def table(self, step):
        row, value = self.row(step), f"value {step} of {self.number}"
        self.one(f"UPDATE t SET c = {ENCRYPT}, note = 'new' WHERE id = %s RETURNING id", value, row, row)
        self.written[row] = value

    def insert(self, step):
        row = ROWS + 1 + self.number + CLIENTS * step
        self.one("INSERT INTO decrypted_t VALUES (%s, NULL, %s) RETURNING id", row, f"value of {row}")
        self.written[row] = f"value of {row}"

    def read(self, step):
        row = self.row(step // 2)
        value, = self.one("SELECT c FROM decrypted_t WHERE id = %s", row)
        assert value == self.written.get(row, f"value {row}"), (row, value)

    def list(self, step):
        first = self.row(step)
        count, = self.one("SELECT count(c) FROM decrypted_t WHERE id BETWEEN %s AND %s", first, first + 9)
        assert count == min(10, ROWS - first + 1) or first + 9 > ROWS, (first, count)

    def run(self):
        step = 0
        while not self.stop.is_set():
            for what in self.done:
                try:
                    getattr(self, what)(step)
                    self.done[what] += 1
                except (psycopg2.Error, AssertionError) as error:
                    self.failures.append((what, getattr(error, "pgcode", None), str(error)))
            step += 1


def done_by(clients):
    """How often they have done what they did least."""
    return min(sum(client.done[what] for client in clients) for what in clients[0].done)


def while_they_go_on(enough, seconds=60):
    """Until it was enough; the tests look whether it was."""
    end = time.monotonic() + seconds
    while not enough() and time.monotonic() < end:
        time.sleep(0.05)


@pytest.fixture(scope="module")
def rotation(make_server):
    """A rotation under load; what was seen on the way."""
    server = make_server()
    server.run("CREATE EXTENSION relay_guard")
    server.run("""
        CREATE TABLE t (id bigint PRIMARY KEY, note text, c text);
        INSERT INTO t SELECT i, NULL, 'value ' || i FROM generate_series(1, %s) i""", ROWS)
    server.run("SELECT relay_guard.encrypt_column('t', 'c', '{id}', 'l.t.c'); ANALYZE t")
    old_ring = server.keyring.read_text()
    dump = server.folder / "dump"
    server.program("pg_dump", "-Fc", "-f", dump)

    stop = threading.Event()
    clients = [Client(server, number, stop) for number in range(CLIENTS)]
    for client in clients:
        client.start()
    seen = {"server": server, "clients": clients, "old_ring": old_ring, "dump": dump}
    try:
        while_they_go_on(lambda: done_by(clients) > 50)
        keyring("add", server.keyring)
        seen["before"] = dict(server.run("SELECT key_id, rows_seen FROM relay_guard.keyring_status"))
        began = time.monotonic()
        server.run("CALL relay_guard.rekey_all()")
        seen["seconds"] = time.monotonic() - began
        seen["after"] = dict(server.run("SELECT key_id, rows_seen FROM relay_guard.keyring_status"))
        seen["keys"] = server.run("SELECT DISTINCT relay_guard.key_id(c) FROM t")
        seen["at retirement"] = sum(client.done["read"] for client in clients)
        keyring("retire", server.keyring, 1)
        server.reload()
        while_they_go_on(lambda: done_by(clients) > 100 and sum(client.done["read"] for client in clients) > seen["at retirement"] + 10)
    finally:
        stop.set()
        for client in clients:
            client.join()
    yield seen
    server.stop("immediate")


def test_no_read_and_no_write_fails_while_keys_rotate(rotation):
    """Not even with 40001, which two clients of one row can get: a rekey alone causes none."""
    assert [failure for client in rotation["clients"] for failure in client.failures] == []
    for what in rotation["clients"][0].done:
        assert sum(client.done[what] for client in rotation["clients"]) > 100, what
    assert sum(client.done["read"] for client in rotation["clients"]) > rotation["at retirement"] + 10


def test_every_row_is_under_the_new_key_and_keyring_status_says_so(rotation):
    assert rotation["keys"] == [(2,)]
    assert rotation["before"] == {1: None, 2: None}
    assert rotation["after"][1] == 0 and rotation["after"][2] >= ROWS


def test_no_write_of_a_client_was_lost(rotation):
    values = dict(rotation["server"].run("SELECT id, c FROM decrypted_t"))
    written = {row: value for client in rotation["clients"] for row, value in client.written.items()}
    assert {row: values.get(row) for row in written} == written
    assert all(values[row] == f"value {row}" for row in range(1, ROWS + 1) if row not in written)
    assert len(values) == ROWS + sum(client.done["insert"] for client in rotation["clients"])


def test_old_backup_opens_with_the_old_ring(rotation, make_server):
    server = make_server()
    server.write_ring(rotation["old_ring"])
    server.reload()
    server.program("pg_restore", "-d", "postgres", rotation["dump"])
    assert server.value("SELECT count(*) FROM decrypted_t WHERE c = 'value ' || id") == ROWS
    server.stop("immediate")


def test_old_backup_with_the_ring_after_retirement_names_the_key(rotation, make_server):
    server = make_server()
    server.write_ring(rotation["server"].keyring.read_text())
    server.reload()
    server.program("pg_restore", "-d", "postgres", rotation["dump"])
    with pytest.raises(psycopg2.Error, match="key 1 is retired"):
        server.run("SELECT * FROM decrypted_t")
    server.stop("immediate")


@pytest.mark.skipif(not LONG, reason="RG_LONG=1 re-encrypts a million rows")
def test_a_million_rows(server):
    server.run("""
        CREATE TABLE m (id uuid PRIMARY KEY, c text);
        INSERT INTO m SELECT gen_random_uuid(), 'value ' || i FROM generate_series(1, 1000000) i""")
    server.run("SELECT relay_guard.encrypt_column('m', 'c', '{id}', 'l.m.c')")
    keyring("add", server.keyring)
    scanned = "SELECT seq_scan, seq_tup_read FROM pg_stat_user_tables WHERE relname = 'm'"
    before = server.run(scanned)
    server.run("CALL relay_guard.rekey('m', 'c')")
    time.sleep(1)
    assert server.run(scanned) == before
    assert server.value("SELECT count(*) FROM decrypted_m") == 1000000
    assert server.run("SELECT DISTINCT relay_guard.key_id(c) FROM m") == [(2,)]
    server.run("DROP TABLE m CASCADE")
