"""docs/formats.md on the audit log, against ops/audit-verify, which was made from it, and
against the server: what either wrote, the other finds whole."""
import hashlib
import pathlib
import re
import subprocess
import sys

import audit_formats
import pytest
from audit_formats import formats, Row, Seal, server_problems, tool
from worked_example import worked_example

PAGE = (pathlib.Path(__file__).parents[2] / "docs" / "formats.md").read_text().split("\n## The audit log\n")[1]

EXAMPLE = worked_example(PAGE)
KEY = formats.derive(bytes(range(32)), b"audit___")


def record(name, kind):
    return next(iter(map(kind._make, formats.read_csv(iter([",".join(kind._fields) + "\n", EXAMPLE[name] + "\n"]),
                                                   kind._fields))))


ROWS = [record("row", Row), record("second row", Row)]
SEAL = record("seal", Seal)


def test_the_example_of_the_page_has_all_that_is_tested():
    assert sorted(EXAMPLE) == sorted(["row", "row message", "row mac", "second row", "second row mac", "digest", "seal",
                                      "seal message", "root", "seal mac", "K0", "key of step 1", "proof"])


def test_rows_of_the_page():
    assert ROWS[0].session_id == "" and ROWS[0].workspace_id is None
    assert formats.row_message(ROWS[0], formats.read_time(ROWS[0].occurred_at)) == EXAMPLE["row message"]
    for row, mac in zip(ROWS, ("row mac", "second row mac")):
        assert audit_formats.sign(row, KEY).mac == row.mac == "\\x" + EXAMPLE[mac].hex()


def test_seal_of_the_page():
    assert audit_formats.digest(ROWS) == SEAL.digest == "\\x" + EXAMPLE["digest"].hex()
    assert formats.seal_message(SEAL) == EXAMPLE["seal message"]
    assert formats.seal_root(SEAL) == EXAMPLE["root"] == formats.read_bytea(SEAL.root)
    assert formats.seal_mac(KEY, EXAMPLE["root"]) == EXAMPLE["seal mac"] == formats.read_bytea(SEAL.mac)


def test_ratchet_of_the_page():
    assert formats.ratchet(EXAMPLE["K0"]) == EXAMPLE["key of step 1"]
    assert formats.seal_proof(EXAMPLE["K0"], EXAMPLE["root"]) == EXAMPLE["proof"] == formats.read_bytea(SEAL.proof)
    assert tool.read_first_key(re.search(r"^    key (\S{44})$", PAGE, re.MULTILINE)[1]) == EXAMPLE["K0"]


def test_page_names_the_columns_in_the_order_of_the_messages():
    rows, seals = PAGE.split("### Rows")[1].split("### Seals")
    named = re.findall(r"`(\w+)`", rows.split("in this order,")[1].split("\n\n")[0])
    assert sorted(named) == sorted(set(Row._fields) - {"mac"})
    probe = Row(**{name: f"<{name}>" for name in Row._fields})._replace(id="1", xid="2", epoch="4", key_id="5")
    message = formats.row_message(probe, 3)
    numbers = {"xid": formats.xid_field(8, 2), "occurred_at": formats.int64_field(8, 3), "epoch": formats.int32_field(4, 4),
               "key_id": formats.int32_field(4, 5), "id": formats.int64_field(8, 1)}
    assert message == b"\1" + b"".join(numbers.get(name) or formats.text_field(f"<{name}>") for name in named)
    named = re.findall(r"`(\w+)`", seals.split("has the fields")[1].split(". Seals")[0])
    assert named == [name for name in Seal._fields if name not in ("root", "mac", "proof", "key_id", "step")] + ["key_id", "step"]


@pytest.fixture(scope="module")
def example(make_server):
    """A server with the ring of the page, and its log."""
    server = make_server(started=False)
    server.write_ring("7 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8= primary\n")
    server.start()
    server.run("CREATE EXTENSION relay_guard")
    connection = server.connect()
    with connection.cursor() as cursor:
        cursor.execute(audit_formats.partition("2026-11-01") + "SET session_replication_role = replica")
    for table, records in (("audit_log", [EXAMPLE["row"], EXAMPLE["second row"]]), ("audit_seal", [EXAMPLE["seal"]])):
        (server.folder / table).write_text("".join(line + "\n" for line in records))
        (server.folder / table).chmod(0o644)
        with connection.cursor() as cursor:
            cursor.execute(f"COPY relay_guard.{table} FROM '{server.folder / table}' CSV")
    yield connection
    connection.close()
    server.stop("immediate")


def test_server_finds_the_log_of_the_page_whole(example):
    assert server_problems(example) == []


def test_server_finds_what_is_changed_of_it(example):
    with example.cursor() as cursor:
        cursor.execute("BEGIN; SET LOCAL session_replication_role = replica;"
                       "UPDATE relay_guard.audit_log SET details = '{\"key\": [\"od\"]}' WHERE id = 7")
        assert server_problems(example) == [("row_changed", 7)]
        cursor.execute("ROLLBACK")


VALUES = """[1.50, 1e3, -0.0, 12345678901234567890123.4500, 1e-7, 1e130, {"b": 1, "aa": "ü€😀", "": null, "é": true},
            "\\"\\\\\\b\\f\\n\\r\\t\\u0001\\u007f/", [], {}, [[false]], ""]"""


@pytest.fixture(scope="module")
def written(server):
    """Rows of every kind, written by the server."""
    server.run(audit_formats.partition(server.value("SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-01')")))
    server.run("SELECT relay_guard.audit_event('plain', 'thing')")
    server.run("SELECT relay_guard.audit_event(E'new\\nline', 'a,b \"c\"', '', %s, 'denied')", VALUES)
    server.run("SELECT relay_guard.audit_event('null', 'thing', '\\.', 'null', 'error')")
    server.run("BEGIN; SELECT relay_guard.assume('grüße', 'user', 'w\\1', request_id => 'r', client_ip => '2001:db8::/64');"
               "SELECT relay_guard.audit_event('event', 'thing', E'\\t\\r', '\"text\"'); COMMIT")
    return server


EXPORTS = {"csv": "\\copy (SELECT * FROM relay_guard.{0}) TO '{1}' CSV HEADER",
           "json": "\\copy (SELECT row_to_json(r) FROM relay_guard.{0} r) TO '{1}' CSV QUOTE E'\\x01' DELIMITER E'\\x02'"}


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "America/St_Johns"])
@pytest.mark.parametrize("form", EXPORTS)
def test_what_the_server_wrote_is_whole_elsewhere(written, tmp_path, form, zone):
    for table, name in (("audit_log", "log"), ("audit_seal", "seals")):
        written.program("psql", "-X", "-q", "-c", f"SET TimeZone = '{zone}'", "-c",
                        EXPORTS[form].format(table, tmp_path / name))
    done = subprocess.run([sys.executable, audit_formats.TOOL, "--keyring", written.keyring, "log", "seals"],
                          cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "") and done.stderr.startswith("4 rows"), done
    log = (tmp_path / "log").read_text()
    (tmp_path / "log").write_text(log.replace("12345678901234567890123.4500", "12345678901234567890123.450"))
    done = subprocess.run([sys.executable, audit_formats.TOOL, "--keyring", written.keyring, "log", "seals"],
                          cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout.split("\t")[0]) == (1, "row_changed")


def test_epoch_of_the_page(written):
    system, database = written.run("SELECT system_identifier, oid::bigint FROM pg_control_system(), pg_database"
                                   " WHERE datname = current_database()")[0]
    place = (system % 2**64).to_bytes(8, "big") + database.to_bytes(4, "big")
    epoch = int.from_bytes(hashlib.blake2b(place, digest_size=32).digest()[:4], "big", signed=True)
    assert written.run("SELECT DISTINCT epoch FROM relay_guard.audit_log") == [(epoch or 1,)]


def test_containarium_1326_never_verifies_because_of_clock_precision(written):
    """The MAC is of the microseconds that are stored, not of a finer clock."""
    times = [at for at, in written.run("SELECT occurred_at::text FROM relay_guard.audit_log")]
    assert len(times) == 4
    connection = written.connect()
    assert server_problems(connection) == []
    connection.close()


@pytest.mark.parametrize("form", EXPORTS)
@pytest.mark.parametrize("encoding, exported", [("LATIN1", "UTF8"), ("SQL_ASCII", "SQL_ASCII")])
def test_database_in_another_encoding_is_whole_elsewhere(written, tmp_path, encoding, exported, form):
    name = f"{encoding}_{form}".lower()
    written.run(f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0")
    written.run("CREATE EXTENSION relay_guard; SELECT relay_guard.audit_maintain()", database=name)
    written.program("psql", "-X", "-q", "-c", f"SET client_encoding = {exported}",
                    "-c", "SELECT relay_guard.audit_event('grüße', 'thing', 'ü', '{\"ö\": \"ä\"}')",
                    "-c", "SELECT relay_guard.audit_event('event', E'no UTF-8: \\374', 'r', to_jsonb(E'\\374'::text))",
                    "-c", "SELECT relay_guard.audit_seal()", database=name)
    assert written.run("SELECT * FROM relay_guard.audit_verify()", database=name) == []
    for table, file in (("audit_log", "log"), ("audit_seal", "seals")):
        written.program("psql", "-X", "-q", "-c", f"SET client_encoding = {exported}", "-c",
                        EXPORTS[form].format(table, tmp_path / file), database=name)
    found = []
    tool.verify(formats.read_keyring(written.keyring), tmp_path / "log", tmp_path / "seals", tell=found.append)
    assert found == []
