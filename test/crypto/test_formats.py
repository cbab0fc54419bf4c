"""docs/formats.md against the server: another program, made from that page alone,
opens what the server sealed, and seals what the server opens."""
import hashlib
import hmac
import json
import pathlib
import os
import re
import struct

import formats
import pytest
from servers import key_line
from cryptography.exceptions import InvalidTag
from worked_example import worked_example

PAGE = (pathlib.Path(__file__).parents[2] / "docs" / "formats.md").read_text()
AAD = "relay_guard.aad('shop.card.number', '42', NULL)"

EXAMPLE = worked_example(PAGE)
RING = formats.read_ring(EXAMPLE["ring line"])


@pytest.fixture(scope="module")
def other(make_server):
    """A server with the ring of the page."""
    server = make_server(started=False)
    server.write_ring(EXAMPLE["ring line"] + "\n")
    server.start()
    server.run("CREATE EXTENSION relay_guard")
    yield server
    server.stop("immediate")


def test_the_example_of_the_page_has_all_that_is_tested():
    assert len(EXAMPLE) == 34
    assert RING == {7: EXAMPLE["master key"]} and EXAMPLE["master key"] == bytes(range(32))


def test_subkeys_of_the_page():
    rows = re.findall(r"^\| (\w+).*\| `(\w{8})` \| ([0-9a-f]{64}) \|$", PAGE, re.MULTILINE)
    assert {name: context.encode() for name, context, _ in rows} == formats.CONTEXTS
    for name, _, subkey in rows:
        assert formats.subkey(RING[7], name).hex() == subkey


def test_each_step_of_the_page():
    derived = formats.message_key(formats.subkey(RING[7], "columns"), EXAMPLE["nonce"])
    for name, value in derived._asdict().items():
        assert value == EXAMPLE[name], name
    assert formats.aad("shop.card.number", "42", None) == EXAMPLE["aad"]
    envelope = formats.read_envelope(EXAMPLE["envelope"])
    assert envelope.header + EXAMPLE["aad"] == EXAMPLE["authenticated"]
    assert EXAMPLE["plaintext"] == "grüße".encode()
    assert formats.make_envelope(RING, "columns", 7, EXAMPLE["nonce"], EXAMPLE["plaintext"],
                                 EXAMPLE["aad"]) == EXAMPLE["envelope"]


def test_table_of_the_envelope_is_of_the_example():
    fields = [bytes.fromhex(field) for field in
              re.findall(r"^\| .* \| (?:version|id of|ciphertext|tag).* \| ([0-9a-f]+) \|$", PAGE, re.MULTILINE)]
    assert b"".join(fields[:2]) + EXAMPLE["nonce"] + b"".join(fields[2:]) == EXAMPLE["envelope"]


def test_server_opens_the_example_of_the_page(other):
    assert bytes(other.value(f"SELECT {AAD}")) == EXAMPLE["aad"]
    assert other.value(f"SELECT relay_guard.decrypt_text(%s, {AAD})", EXAMPLE["envelope"]) == "grüße"


@pytest.mark.parametrize("kind, value, plaintext", [
    ("text", "grüße", "grüße".encode()),
    ("text", "", b""),
    ("bytea", b"\0\xff\1", b"\0\xff\1"),
    ("jsonb", '{"b":1.0,  "a":"ü"}', '{"a": "ü", "b": 1.0}'.encode()),
])
def test_values_of_the_server_open_elsewhere(server, kind, value, plaintext):
    ring = formats.read_ring(server.keyring.read_text())
    server.run(f"CREATE TABLE IF NOT EXISTS card (id serial, {kind}_number bytea);"
               f"ALTER TABLE card ADD COLUMN IF NOT EXISTS {kind}_number bytea")
    stored = server.value(f"INSERT INTO card ({kind}_number) VALUES (relay_guard.encrypt(%s::{kind}, {AAD}))"
                          f" RETURNING {kind}_number", value)
    place = formats.aad("shop.card.number", "42", None)
    assert formats.open_envelope(ring, "columns", bytes(stored), place) == plaintext
    with pytest.raises(InvalidTag):
        formats.open_envelope(ring, "columns", bytes(stored), formats.aad("shop.card.number", "42", ""))
    with pytest.raises(InvalidTag):
        formats.open_envelope(ring, "secrets", bytes(stored), place)


@pytest.mark.parametrize("kind, plaintext, value", [
    ("text", "grüße".encode(), "grüße"),
    ("bytea", b"\0\xff\1", b"\0\xff\1"),
    ("jsonb", '{"a": "ü"}'.encode(), {"a": "ü"}),
    ("text", os.urandom(30000).hex().encode(), None),
])
def test_values_made_elsewhere_open_in_the_server(server, kind, plaintext, value):
    ring = formats.read_ring(server.keyring.read_text())
    envelope = formats.make_envelope(ring, "columns", 1, os.urandom(24), plaintext,
                                     formats.aad("shop.card.number", "42", None))
    opened = server.value(f"SELECT relay_guard.decrypt_{kind}(%s, {AAD})", envelope)
    assert (bytes(opened) if kind == "bytea" else opened) == (plaintext.decode() if value is None else value)


def test_encrypted_column_opens_elsewhere_and_takes_what_was_made_there(server):
    ring = formats.read_ring(server.keyring.read_text())
    server.run("""CREATE TABLE diary (id bigint PRIMARY KEY, owner uuid, draft boolean, shared text, entry jsonb);
                  SELECT relay_guard.encrypt_column('diary', 'entry', '{owner,draft,shared,id}')""")
    owner = "0199c0de-0000-7000-8000-00000000abcd"
    server.run("INSERT INTO decrypted_diary VALUES (-7, %s, true, NULL, %s)", owner, '{"mood":  "grüßt"}')
    label, bound = server.run("SELECT label, aad FROM relay_guard.encrypted_column WHERE relation = 'diary'::regclass")[0]
    assert label == "public.diary.entry" and bound == ["owner", "draft", "shared", "id"]
    place = formats.aad(label, owner, "true", None, "-7")
    stored = bytes(server.value("SELECT entry FROM diary"))
    assert formats.open_envelope(ring, "columns", stored, place) == '{"mood": "grüßt"}'.encode()
    other = formats.make_envelope(ring, "columns", 1, os.urandom(24), b"[1]", place)
    server.run("UPDATE diary SET entry = %s", other)
    assert server.value("SELECT entry FROM decrypted_diary") == [1]


def test_many_keys_and_nonces_agree(other):
    """Half of all keys have the other branch of the doubling."""
    ring = {n: os.urandom(32) for n in range(1, 41)}
    other.write_ring("".join(key_line(n, "primary" if n == 1 else "", key) for n, key in ring.items()))
    other.reload()
    halves = {formats.message_key(formats.subkey(key, "columns"), bytes(24)).L[0] >> 7 for key in ring.values()}
    assert halves == {0, 1}
    for n in ring:
        envelope = formats.make_envelope(ring, "columns", n, os.urandom(24), str(n).encode(), b"")
        assert other.value("SELECT relay_guard.decrypt_text(%s, '')", envelope) == str(n)
    other.write_ring(EXAMPLE["ring line"] + "\n")
    other.reload()


def test_parts_of_any_kind_make_the_same_aad(server):
    lists = [[], [""], [None], ["a", "bc"], ["ab", "c"], ["ü€", None, "\1"], ["x" * 70000]]
    for parts in lists:
        made = server.value("SELECT relay_guard.aad(VARIADIC %s::text[])", parts)
        assert bytes(made) == formats.aad(*parts)


def test_secret_of_a_row_opens_elsewhere(server):
    ring = formats.read_ring(server.keyring.read_text())
    secret = os.urandom(24).hex()
    server.run("SELECT relay_guard.issuer_add('https://id.example', 'app')")
    server.run("SELECT relay_guard.jwt_key_add('https://id.example', 'k1', %s)", secret)
    sealed = bytes(server.value("SELECT secret FROM relay_guard.jwt_key"))
    row = formats.row_aad("jwt_key", "https://id.example", "k1")
    assert formats.open_envelope(ring, "secrets", sealed, row) == secret.encode()
    with pytest.raises(InvalidTag):
        formats.open_envelope(ring, "secrets", sealed, formats.row_aad("jwt_key", "https://id.example", "k2"))


def test_secret_of_a_webhook_opens_elsewhere(server):
    ring = formats.read_ring(server.keyring.read_text())
    secret = server.value("SELECT relay_guard.webhook_secret_set('shop')")
    sealed = bytes(server.value("SELECT secret FROM relay_guard.webhook_secret"))
    assert formats.open_envelope(ring, "secrets", sealed, formats.row_aad("webhook_secret", "shop", "")) == secret.encode()


def test_pepper_and_api_key_of_the_page():
    sealed = formats.make_envelope(RING, "secrets", 7, EXAMPLE["nonce"], EXAMPLE["pepper"], EXAMPLE["pepper aad"])
    assert formats.row_aad("api_key_pepper", "", "") == EXAMPLE["pepper aad"]
    assert sealed == EXAMPLE["sealed pepper"]
    assert formats.to_base64url(bytes(range(32))) == EXAMPLE["api key"].removeprefix("rgk_")
    assert formats.api_key_hash(EXAMPLE["pepper"], EXAMPLE["api key"]) == EXAMPLE["api key hash"]


def test_server_knows_the_api_key_of_the_page(other):
    other.run("INSERT INTO relay_guard.api_key_pepper (secret) VALUES (%s)", EXAMPLE["sealed pepper"])
    other.run("INSERT INTO relay_guard.api_key (name, hash, role, scopes, rate) VALUES ('page', %s, 'api_key', '{}', '{}')",
              EXAMPLE["api key hash"])
    found = other.value("SELECT relay_guard.authenticate_api_key(%s)", EXAMPLE["api key"])
    assert found == "key:" + other.value("SELECT id::text FROM relay_guard.api_key")


def test_api_key_of_the_server_has_the_hash_of_the_page(server):
    ring = formats.read_ring(server.keyring.read_text())
    key = server.value("SELECT key FROM relay_guard.api_key_create('formats')")
    assert re.fullmatch(r"rgk_[\w-]{43}", key)
    sealed, stored = server.run("SELECT p.secret, k.hash FROM relay_guard.api_key_pepper p, relay_guard.api_key k")[0]
    pepper = formats.open_envelope(ring, "secrets", bytes(sealed), formats.row_aad("api_key_pepper", "", ""))
    assert formats.api_key_hash(pepper, key) == bytes(stored)


def test_token_of_the_server_is_signed_by_the_subkey(other):
    token = other.value("SELECT relay_guard.issue_token('alice')")
    signed, signature = token.rsplit(".", 1)
    header, claims = (json.loads(formats.from_base64url(part)) for part in signed.split("."))
    assert header == {"alg": "HS256", "typ": "JWT", "kid": "ring-7"}
    assert (claims["iss"], claims["aud"]) == ("relay_guard", "relay_guard/postgres")
    mac = hmac.digest(formats.subkey(RING[7], "tokens"), signed.encode(), hashlib.sha256)
    assert formats.from_base64url(signature) == mac


@pytest.fixture(scope="module")
def notes(other):
    other.run("""CREATE ROLE formats_app;
        CREATE TABLE note (id bigint, at timestamptz);
        GRANT SELECT ON note TO formats_app;
        INSERT INTO note SELECT n, to_timestamp(946684800) + n * interval '1 day' FROM generate_series(1, 9) n;
        INSERT INTO relay_guard.route (method, path, query, auth, parameters, result, result_key, keyset, keyset_start, run_as)
        VALUES ('GET', '/api/v1/notes', 'SELECT at, id FROM public.note WHERE (at, id) > (request.after_at, request.after_id)
                                         ORDER BY at, id LIMIT request.limit', 'user',
                '[{"name":"limit","in":"query","schema":{"type":"integer","default":2}}]', 'rows', 'rows',
                '{at,id}', '{1999-01-01,0}', 'formats_app')""")

    def get(query=""):
        status, body = other.run("""SELECT status, convert_from(body, 'UTF8')
            FROM relay_guard.serve('GET', '/api/v1/notes', %s, ARRAY['authorization', 'Bearer ' || relay_guard.issue_token('alice')])""",
            query)[0]
        return status, json.loads(body)
    return get


def test_cursor_of_the_page(notes):
    values = [(1184, struct.pack(">q", 86400 * 10**6)), (20, struct.pack(">q", 5))]
    assert formats.write_cursor(values) == EXAMPLE["cursor plaintext"]
    assert formats.cursor_aad("GET", "/api/v1/notes", "alice") == EXAMPLE["cursor aad"]
    sealed = formats.make_envelope(RING, "cursors", 7, EXAMPLE["nonce"], EXAMPLE["cursor plaintext"], EXAMPLE["cursor aad"])
    assert formats.to_base64url(sealed) == EXAMPLE["cursor"]
    status, page = notes("after=" + EXAMPLE["cursor"])
    assert status == 200 and [row["id"] for row in page["rows"]] == [2, 3]


def test_cursor_of_the_server_opens_elsewhere(notes):
    _, page = notes()
    plain = formats.open_envelope(RING, "cursors", formats.from_base64url(page["next"]), EXAMPLE["cursor aad"])
    assert formats.read_cursor(plain) == [(1184, struct.pack(">q", 2 * 86400 * 10**6)), (20, struct.pack(">q", 2))]


def test_cursor_may_hold_a_null():
    values = [(25, None), (25, b""), (25, b"x")]
    assert formats.read_cursor(formats.write_cursor(values)) == values
