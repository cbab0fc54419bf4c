"""Authentic logs, made by Python with the keys: rows and seals as docs/formats.md has them.

The hashes are those of ops/audit-verify, which the page and the server are held to by
test_formats.py."""
import datetime
import importlib.machinery
import importlib.util
import io
import json
import pathlib
import sys

TOOL = pathlib.Path(__file__).parents[2] / "ops" / "audit-verify"
sys.path.insert(0, str(TOOL.parent))

import audit_log as formats  # noqa: E402


def load_tool():
    loader = importlib.machinery.SourceFileLoader("audit_verify", str(TOOL))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


tool = load_tool()
Row, Seal = formats.Row, formats.Seal
EXAMPLE_EPOCH = "16909060"
START = datetime.datetime(2026, 11, 21, 10, 32, 43, 123456, datetime.timezone.utc)

NO_ROW = Row(*[None] * len(Row._fields))._replace(
    epoch=EXAMPLE_EPOCH, action="INSERT", resource_type="card", session_role="app", source="trigger", status="ok",
    new='{"id": 1}')


def hexadecimal(data):
    return None if data is None else "\\x" + data.hex()


def sign(row, key):
    return row._replace(mac=hexadecimal(formats.blake2b(formats.row_message(row, formats.read_time(row.occurred_at)), key)))


def sign_seal(seal, key, step_key=None):
    """With root, MAC and proof of its columns."""
    seal = seal._replace(digest=seal.digest or hexadecimal(b"\0" * 32))
    root = formats.seal_root(seal)
    return seal._replace(root=hexadecimal(root), mac=hexadecimal(formats.seal_mac(key, root)),
                         proof=step_key and hexadecimal(formats.seal_proof(step_key, root)))


def month_of(row):
    start = formats.EPOCH + formats.read_time(row.occurred_at) * formats.MICROSECOND
    return start.date().replace(day=1).isoformat()


def multirange(ids):
    ranges = []
    for row_id in sorted(ids):
        if ranges and ranges[-1][1] == row_id:
            ranges[-1][1] = row_id + 1
        else:
            ranges.append([row_id, row_id + 1])
    return "{" + ",".join(f"[{first},{end})" for first, end in ranges) + "}"


def digest(rows):
    ordered = sorted(rows, key=lambda row: (int(row.xid), int(row.id)))
    return hexadecimal(formats.blake2b(b"".join(formats.read_bytea(row.mac) for row in ordered)))


class Log:
    """Rows and seals under one key of a ring, as a server without mistakes makes them."""

    def __init__(self, key, key_id=1, epoch=EXAMPLE_EPOCH, first_key=None):
        self.key, self.key_id, self.epoch = key, str(key_id), str(epoch)
        self.rows, self.seals, self.pending = [], [], []
        self.next_id, self.next_xid, self.at = 1, 1000, START
        self.step, self.step_key = (0, first_key) if first_key else (None, None)

    def add(self, count=1, xid=None, row_id=None, **columns):
        """Rows of one transaction."""
        xid = xid or self.next_xid
        self.next_xid = max(self.next_xid, xid) + 1
        for _ in range(count):
            self.at += datetime.timedelta(milliseconds=1)
            row = NO_ROW._replace(**{"id": str(row_id or self.next_id), "xid": str(xid), "epoch": self.epoch,
                                     "key_id": self.key_id, "occurred_at": self.at.isoformat(" "), **columns})
            self.rows.append(sign(row, self.key))
            self.pending.append(self.rows[-1])
            self.next_id = max(self.next_id, int(self.rows[-1].id)) + 1
        return self.rows[-1]

    def seal(self, rows=None, running=(), **columns):
        """One seal for each month that has rows to be sealed."""
        rows = self.pending if rows is None else rows
        snap = ":".join((str(min([*running, self.next_xid])), str(self.next_xid), ",".join(map(str, running))))
        for month in sorted({month_of(row) for row in rows}):
            self.seal_month(month, [row for row in rows if month_of(row) == month], snap, columns)
        self.pending = [row for row in self.pending if row not in rows] if rows is not self.pending else []

    def seal_month(self, month, rows, snap, columns):
        seal = Seal(str(len(self.seals) + 1), self.epoch, rows[0].epoch, snap, month, str(len(rows)),
                    multirange(int(row.id) for row in rows), digest(rows), "0", None, self.at.isoformat(" "),
                    self.seals[-1].root if self.seals else None, None, self.key_id, None,
                    None if self.step is None else str(self.step), None)
        self.seals.append(sign_seal(seal._replace(**columns), self.key, self.step_key))
        if self.step is not None:
            self.step, self.step_key = self.step + 1, formats.ratchet(self.step_key)

    def rewrite(self, at, key, **columns):
        """As whoever has the ring: a row, its seal, and all seals after it, all consistent."""
        old = self.rows[at]
        self.rows[at] = sign(old._replace(**columns), key)
        for n, seal in enumerate(self.seals):
            ids = formats.read_multirange(seal.ids)
            rows = [row for row in self.rows if row.epoch == seal.row_epoch
                    and any(first <= int(row.id) < end for first, end in ids)]
            fresh = sign_seal(seal._replace(digest=digest(rows), previous=self.seals[n - 1].root if n else None), key)
            self.seals[n] = fresh._replace(proof=seal.proof)


def csv_field(value):
    """As COPY … CSV writes it."""
    if value is None:
        return ""
    return '"' + value.replace('"', '""') + '"' if value == "" or any(c in value for c in '",\n\r') else value


def write_csv(path, rows, columns):
    with open(path, "w", encoding="utf-8", newline="") as file:
        file.write(",".join(columns) + "\n")
        file.writelines(",".join(map(csv_field, row)) + "\n" for row in rows)
    return path


JSON_NUMBERS = {"id", "epoch", "key_id", "seal_id", "row_epoch", "rows", "unwitnessed", "step"}


def json_field(column, value):
    """As row_to_json() writes it."""
    if value is None:
        return "null"
    if column in JSON_NUMBERS or column in formats.JSONB_COLUMNS:
        return value
    return json.dumps(value.replace(" ", "T", 1) if column.endswith("_at") else value, ensure_ascii=False)


def write_json(path, rows, columns):
    with open(path, "w", encoding="utf-8") as file:
        for row in rows:
            file.write("{" + ",".join(f'"{column}":{json_field(column, value)}'
                                      for column, value in zip(columns, row)) + "}\n")
    return path


WRITERS = {"csv": write_csv, "json": write_json}


# Into a server, as only its superuser can

def ring_key(server, key_id=1):
    """The subkey for the audit log of a server's ring."""
    return formats.read_keyring(server.keyring)[key_id]


def partition(month):
    """Makes the partition of a month, given by its first day, unless there is one."""
    name = "relay_guard.audit_log_" + month[:7].replace("-", "_")
    return f"SELECT relay_guard.make_month_partition('relay_guard.audit_log', '{month}', 'relay_guard.audit_finish_partition') WHERE to_regclass('{name}') IS NULL;"


def copy_text(value):
    if value is None:
        return "\\N"
    return value.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")


def copy_into(connection, table, rows):
    text = "".join("\t".join(map(copy_text, row)) + "\n" for row in rows)
    with connection.cursor() as cursor:
        cursor.copy_expert(f"COPY {table} FROM STDIN", io.StringIO(text))


def put(connection, log):
    """The rows and seals of a log, with the partitions that they need."""
    with connection.cursor() as cursor:
        cursor.execute("".join(map(partition, sorted({month_of(row) for row in log.rows}))))
        cursor.execute("SET session_replication_role = replica")
        copy_into(connection, "relay_guard.audit_log", log.rows)
        copy_into(connection, "relay_guard.audit_seal", log.seals)
        cursor.execute("RESET session_replication_role")


def exported(connection, folder):
    """LOG and SEALS as psql writes them; the seals first, so that every sealed row is there."""
    with connection.cursor() as cursor:
        for table, name in (("audit_seal", "seals"), ("audit_log", "log")):
            with open(folder / name, "w", encoding="utf-8") as file:
                cursor.copy_expert(f"COPY (SELECT * FROM relay_guard.{table}) TO STDOUT CSV HEADER", file)
    return folder / "log", folder / "seals"


def server_problems(connection, *months):
    """[(kind, id)] that audit_verify() finds."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT problem, id FROM relay_guard.audit_verify({', '.join(['%s'] * len(months))})", months)
        return cursor.fetchall()
