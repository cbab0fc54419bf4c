"""The audit log as docs/formats.md has it: messages and their hashes, values as
PostgreSQL prints them, and the files that psql writes.  For ops/audit-verify."""
import base64
import binascii
import datetime
import decimal
import hashlib
import itertools
import json
import re
import struct
from collections import namedtuple

LOG_COLUMNS = ("id xid occurred_at epoch key_id action resource_type resource_id actor via session_role"
               " workspace_id api_key_id session_id request_id client_ip source status old new details mac").split()
SEAL_COLUMNS = ("seal_id epoch row_epoch snap month rows ids digest unwitnessed findings sealed_at previous"
                " root key_id mac step proof").split()
JSONB_COLUMNS = {"old", "new", "details", "findings"}
Row = namedtuple("Row", LOG_COLUMNS)
Seal = namedtuple("Seal", SEAL_COLUMNS)


class Unreadable(Exception):
    """What was given cannot be read: the caller's fault, not the log's."""


# Messages and their hashes

ABSENT = b"\xff\xff\xff\xff"
TAG_ROW, TAG_SEAL, TAG_SEAL_MAC, TAG_PROOF = b"\1", b"\2", b"\3", b"\4"
length_of = struct.Struct(">I").pack
int32_field = struct.Struct(">Ii").pack
int64_field = struct.Struct(">Iq").pack
xid_field = struct.Struct(">IQ").pack


def bytes_field(data):
    return ABSENT if data is None else length_of(len(data)) + data


def text_field(text):
    return ABSENT if text is None else bytes_field(text.encode(errors="surrogateescape"))


def blake2b(data, key=b""):
    return hashlib.blake2b(data, digest_size=32, key=key).digest()


def derive(key, context):
    """crypto_kdf_derive_from_key() of libsodium, subkey number 1."""
    return hashlib.blake2b(b"", digest_size=32, key=key, salt=struct.pack("<QQ", 1, 0),
                           person=context + bytes(8)).digest()


def ratchet(key):
    return derive(key, b"ratchet_")


def row_message(row, occurred_at):
    return b"".join((
        TAG_ROW, xid_field(8, int(row.xid)), int64_field(8, occurred_at), int32_field(4, int(row.epoch)),
        int32_field(4, int(row.key_id)),
        *map(text_field, (row.action, row.resource_type, row.actor, row.via, row.session_role, row.workspace_id,
                          row.api_key_id, row.session_id, row.request_id, row.client_ip, row.source, row.status)),
        int64_field(8, int(row.id)), *map(text_field, (row.resource_id, row.old, row.new, row.details))))


def seal_message(seal):
    return b"".join((
        TAG_SEAL, int64_field(8, int(seal.seal_id)), int32_field(4, int(seal.epoch)),
        int32_field(4, int(seal.row_epoch)), text_field(seal.snap), text_field(seal.month),
        int64_field(8, int(seal.rows)), text_field(seal.ids), bytes_field(read_bytea(seal.digest)),
        int64_field(8, int(seal.unwitnessed)), text_field(seal.findings),
        int64_field(8, read_time(seal.sealed_at)), bytes_field(read_bytea(seal.previous)),
        int32_field(4, int(seal.key_id)), ABSENT if seal.step is None else int64_field(8, int(seal.step))))


def seal_root(seal):
    return blake2b(seal_message(seal))


def seal_mac(key, root):
    return blake2b(TAG_SEAL_MAC + root, key)


def seal_proof(key, root):
    return blake2b(TAG_PROOF + root, key)


# Values as PostgreSQL prints them

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
MICROSECOND = datetime.timedelta(microseconds=1)
TIME = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d{1,6})?[+-]\d\d(?::\d\d){0,2}").fullmatch


def read_time(text):
    """Microseconds since 1970-01-01 UTC."""
    if not TIME(text):
        raise Unreadable(f"\"{text}\" is no time with its offset; SET DateStyle = ISO before the export")
    return (datetime.datetime.fromisoformat(text) - EPOCH) // MICROSECOND


def read_bytea(text):
    if text is None:
        return None
    if not text.startswith("\\x"):
        raise Unreadable("bytea is not hexadecimal; SET bytea_output = hex before the export")
    return bytes.fromhex(text[2:])


class Snapshot:
    """pg_snapshot: xmin:xmax:xip,xip."""

    def __init__(self, text):
        xmin, xmax, running = text.split(":")
        self.xmin, self.xmax = int(xmin), int(xmax)
        self.running = {int(xid) for xid in running.split(",") if xid}

    def sees(self, xid):
        return xid < self.xmin or (xid < self.xmax and xid not in self.running)


def read_multirange(text):
    """[(first, one past the last)] of {[1,4),[6,7)}."""
    ranges = [(int(first), int(end)) for first, end in re.findall(r"\[(-?\d+),(-?\d+)\)", text)]
    if text != "{" + ",".join(f"[{first},{end})" for first, end in ranges) + "}":
        raise Unreadable(f"\"{text}\" is no int8multirange")
    return ranges


class Number(str):
    """A number of a JSON text, with its digits as they stand there."""


ESCAPES = {"\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", '"': '\\"', "\\": "\\\\"}


def jsonb_string(text):
    return '"' + re.sub(r'["\\\x00-\x1f]', lambda c: ESCAPES.get(c[0]) or f"\\u{ord(c[0]):04x}", text) + '"'


def jsonb_number(digits):
    """jsonb prints no exponents; other programs that had the line in hand may."""
    if "e" not in digits.lower():
        return digits
    number = decimal.Decimal(digits)
    return format(number, "f") if abs(number.adjusted()) < 200_000 else digits


def jsonb_text(value):
    """As jsonb_out() prints it: a blank after commas and colons, keys in the order there is."""
    if isinstance(value, Number):
        return jsonb_number(value)
    if isinstance(value, str):
        return jsonb_string(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{jsonb_string(key)}: {jsonb_text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(jsonb_text, value)) + "]"
    return {True: "true", False: "false", None: "null"}[value]


# Files

CSV_FIELD = re.compile(r'("(?:[^"]|"")*"|[^,"]*)(?:,|$)').findall


def csv_value(field):
    """NULL is nothing at all, the empty text is in quotes."""
    if field.startswith('"'):
        return field[1:-1].replace('""', '"')
    return field or None


def csv_records(lines):
    """Each line, or the lines that belong together since a text in quotes goes on."""
    for line in lines:
        if line.count('"') % 2:
            parts, quotes = [line], 1
            while quotes % 2:
                more = next(lines, None)
                if more is None:
                    raise Unreadable("it ends within a text in quotes")
                parts.append(more)
                quotes += more.count('"')
            line = "".join(parts)
        yield line.rstrip("\r\n")


def read_csv(lines, columns):
    records = csv_records(lines)
    header = [csv_value(field) for field in CSV_FIELD(next(records) + ",")[:-1]]
    if set(columns) - set(header):
        raise Unreadable("its first line names no column " + ", ".join(sorted(set(columns) - set(header))) +
                         "; export it WITH CSV HEADER")
    places = [header.index(column) for column in columns]
    for record in records:
        fields = CSV_FIELD(record + ",")[:-1]
        if len(fields) != len(header):
            raise Unreadable(f"a line has {len(fields)} fields, not {len(header)}: {record[:60]}")
        yield [csv_value(fields[place]) for place in places]


DECODER = json.JSONDecoder(parse_int=Number, parse_float=Number, parse_constant=Number)


def json_value(column, value):
    if value is None or column not in JSONB_COLUMNS:
        return value
    return jsonb_text(value)


def read_json(lines, columns):
    for line in lines:
        if not line.strip():
            continue
        record = DECODER.decode(line)
        missing = [column for column in columns if column not in record] if isinstance(record, dict) else columns
        if missing:
            raise Unreadable(f"a line is no object with {', '.join(missing)}: {line[:60]}")
        yield [json_value(column, record[column]) for column in columns]


def read_table(path, kind):
    """The rows of a file, whose first character tells what it is.  Bytes that are no
    UTF-8, as a database in SQL_ASCII may hold, are hashed as they are."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="\n") as lines:
            first = next(lines, "")
            read = read_json if first.strip() == "" or first.startswith("{") else read_csv
            for record in read(itertools.chain([first], lines), kind._fields):
                yield kind._make(record)
    except (Unreadable, ValueError, TypeError, RecursionError) as error:
        raise Unreadable(f"{path} cannot be read: {error}") from error


def read_keyring(path):
    """{id of a key: its subkey for the audit log}"""
    ring = {}
    with open(path, encoding="utf-8") as file:
        for words in map(str.split, file):
            if not words or words[0].startswith("#"):
                continue
            try:
                key = base64.b64decode(words[1], validate=True)
            except (IndexError, binascii.Error):
                key = b""
            if len(key) != 32 or not words[0].isdecimal():
                raise Unreadable(f"{path} is no key ring")
            ring[int(words[0])] = derive(key, b"audit___")
    return ring
