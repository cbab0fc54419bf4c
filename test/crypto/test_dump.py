"""A dump holds ciphertext and no secret, and opens wherever its key ring is; nor does
the data directory hold what was encrypted."""
import base64
import hashlib
import hmac
import json
import os
import re
import subprocess
import time
from types import SimpleNamespace

import formats
import psycopg2
import pytest
from conftest import BINDIR, key_line, run, sqlstate

PLACE = "relay_guard.aad('shop.card.number', owner, id::text)"
CARDS = f"""SELECT id, relay_guard.decrypt_text(number, {PLACE}), relay_guard.decrypt_bytea(scan, {PLACE}),
                   relay_guard.decrypt_jsonb(extra, {PLACE}) ->> 'pin'
            FROM card ORDER BY id"""
ENVELOPES = "SELECT id, number::text, scan::text, extra::text FROM card ORDER BY id"
ALL_FORMATS = {
    "plain": ["pg_dump"],
    "inserts": ["pg_dump", "--inserts"],
    "custom": ["pg_dump", "-Fc", "-Z0"],
    "compressed": ["pg_dump", "-Fc"],
    "all": ["pg_dumpall"],
}


def canary():
    """Text that stands nowhere else, and that no compression makes shorter."""
    return os.urandom(30).hex()


def forms(secret):
    """How the bytes may be written down: as they are, in hex, in base64 from any offset."""
    yield secret
    yield secret.hex().encode()
    yield secret.hex().upper().encode()
    for encode in base64.b64encode, base64.urlsafe_b64encode:
        for offset in range(3):
            yield encode(bytes(offset) + secret)[4:].rstrip(b"=")[:-2]


def found(content, secrets):
    return [secret for secret in secrets if any(form in content for form in forms(secret))]


def prepared(connection, statement, values):
    """Runs a statement with parameters that travel and are kept as such."""
    run(connection, f"PREPARE card AS {statement}")
    for row in values:
        run(connection, f"EXECUTE card ({', '.join(['%s'] * len(row))})", *row)
    run(connection, "DEALLOCATE card")


@pytest.fixture(scope="module")
def shop(make_server):
    """Two keys, all kinds of stored secrets, and cards encrypted under both keys."""
    server = make_server({"wal_level": "logical", "work_mem": "64kB"}, started=False)
    server.write_ring(key_line(3, "primary"))
    server.start()
    connection = server.connect()
    run(connection, """CREATE EXTENSION relay_guard;
        CREATE TABLE card (id int PRIMARY KEY, owner text, number bytea, scan bytea, extra bytea, in_clear text)""")
    secrets = SimpleNamespace(hs256=canary(), webhook=canary(), api_key="rgk_" + canary(), in_clear=canary())
    run(connection, "SELECT relay_guard.issuer_add('https://id.example', 'app')")
    run(connection, "SELECT relay_guard.jwt_key_add('https://id.example', 'k1', %s)", secrets.hs256)
    run(connection, "SELECT relay_guard.webhook_secret_set('shop', %s)", secrets.webhook)
    run(connection, "SELECT relay_guard.api_key_set('given', %s, 'api_key')", secrets.api_key)
    secrets.made_key = run(connection, "SELECT key FROM relay_guard.api_key_create('made')")[0][0]
    cards = [(n, f"user {n % 3}", canary(), os.urandom(30 + 3000 * (n % 2)), canary()) for n in range(20)]
    insert = f"""INSERT INTO card SELECT id, owner, relay_guard.encrypt(n, {PLACE}), relay_guard.encrypt(s, {PLACE}),
        relay_guard.encrypt(jsonb_build_object('pin', x), {PLACE}), '{secrets.in_clear}'
        FROM (VALUES ($1::int, $2::text, $3::text, $4::bytea, $5::text)) AS new (id, owner, n, s, x)"""
    prepared(connection, insert, cards[:10])
    server.write_ring(key_line(4, "primary") + server.keyring.read_text().replace(" primary", ""))
    server.reload()
    connection.close()
    connection = server.connect()
    prepared(connection, insert, cards[10:])
    connection.close()
    yield SimpleNamespace(server=server, cards=cards, secrets=secrets, ring=server.keyring.read_text())
    server.stop("immediate")


def plaintexts(shop):
    """All that must stand nowhere: what was encrypted, the secrets, the keys, what opens them."""
    ring = formats.read_ring(shop.ring)
    sealed = bytes(shop.server.value("SELECT secret FROM relay_guard.api_key_pepper"))
    pepper = formats.open_envelope(ring, "secrets", sealed, formats.row_aad("api_key_pepper", "", ""))
    kept = [shop.secrets.hs256, shop.secrets.webhook, shop.secrets.api_key, shop.secrets.made_key]
    cards = [text for card in shop.cards for text in (card[2], card[4])]
    return ([text.encode() for text in kept + cards] + [card[3][:48] for card in shop.cards] + [pepper] +
            list(ring.values()) + [formats.subkey(key, purpose) for key in ring.values() for purpose in formats.CONTEXTS])


@pytest.fixture(scope="module")
def dumps(shop, home):
    made = {}
    shop.envelopes = shop.server.run(ENVELOPES)
    for name, command in ALL_FORMATS.items():
        made[name] = home / f"dump.{name}"
        done = subprocess.run([BINDIR / command[0], *command[1:]], check=True, capture_output=True,
                              env=shop.server.environment())
        made[name].write_bytes(done.stdout)
    return made


@pytest.mark.parametrize("name", [name for name in ALL_FORMATS if name != "compressed"])
def test_no_secret_and_no_plaintext_is_in_a_dump(shop, dumps, name):
    content = dumps[name].read_bytes()
    assert found(content, plaintexts(shop)) == []
    # what is there is found
    number = bytes(shop.server.value("SELECT number FROM card WHERE id = 1"))
    assert found(content, [shop.secrets.in_clear.encode(), number]) == [shop.secrets.in_clear.encode(), number]


def test_pain_plaintext_is_in_the_wal_first(shop):
    """Nor is it in tables, TOAST tables, indexes, temporary files or statistics."""
    server = shop.server
    connection = server.connect()
    run(connection, "UPDATE card SET number = relay_guard.encrypt(relay_guard.decrypt_text(number, %s), %s)"
        .replace("%s", PLACE))
    run(connection, "CREATE INDEX ON card (number)")
    # under way, with temporary files of envelopes on disk
    run(connection, """BEGIN; DECLARE sorted CURSOR FOR SELECT c.* FROM card c, generate_series(1, 100) ORDER BY scan;
                       FETCH 10 FROM sorted""")
    server.run("CHECKPOINT; SELECT pg_switch_wal(); CHECKPOINT")
    wanted = plaintexts(shop)
    present, files, temporary = [], 0, 0
    for path in server.data.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            files += 1
            temporary += "pgsql_tmp" in str(path)
            present += [(path, secret) for secret in found(content, wanted)]
    run(connection, "ROLLBACK")
    connection.close()
    assert present == [] and files > 500 and temporary > 0
    wal = b"".join(path.read_bytes() for path in (server.data / "pg_wal").glob("0*"))
    assert found(wal, [shop.secrets.in_clear.encode()])


@pytest.fixture(scope="module")
def start_restored(make_server, shop, dumps):
    """Restores a dump into a new cluster with the same ring."""
    def start(name):
        server = make_server(started=False)
        server.write_ring(shop.ring)
        server.start()
        if name in ("custom", "compressed"):
            server.program("pg_restore", "-d", "postgres", "--exit-on-error", dumps[name])
        else:
            stop = 0 if name == "all" else 1    # pg_dumpall makes the role that is there
            output = server.program("psql", "-X", "-q", "-v", f"ON_ERROR_STOP={stop}", "-f", dumps[name])
            assert re.findall(r"ERROR: +(.*)", output) == ['role "postgres" already exists'] * (name == "all")
        return server
    return start


def opened(server):
    return [(n, number, bytes(scan), pin) for n, number, scan, pin in server.run(CARDS)]


@pytest.mark.parametrize("name", list(ALL_FORMATS))
def test_pain_restore_encrypts_twice(shop, dumps, start_restored, name):
    server = start_restored(name)
    assert opened(server) == [(n, number, scan, pin) for n, _, number, scan, pin in shop.cards]
    assert server.run(ENVELOPES) == shop.envelopes
    server.stop()


@pytest.fixture(scope="module")
def restored(start_restored):
    server = start_restored("custom")
    yield server
    server.stop("immediate")


def make_token(secret):
    claims = {"iss": "https://id.example", "aud": "app", "sub": "alice", "exp": int(time.time()) + 3600}
    signed = ".".join(formats.to_base64url(json.dumps(part).encode())
                      for part in ({"alg": "HS256", "typ": "JWT", "kid": "k1"}, claims))
    return f"{signed}.{formats.to_base64url(hmac.digest(secret.encode(), signed.encode(), hashlib.sha256))}"


def use(server):
    """What each kind of stored secret answers: nothing, or an SQLSTATE."""
    connection = server.connect()
    try:
        return SimpleNamespace(
            card=sqlstate(connection, CARDS),
            api_key=sqlstate(connection, "SELECT relay_guard.authenticate_api_key(%s)", server.api_key),
            webhook=sqlstate(connection, "SELECT relay_guard.webhook_sign('shop', 'm1', 'body')"),
            hs256=sqlstate(connection, "SELECT relay_guard.authenticate(%s)", server.token))
    finally:
        connection.close()


def test_restored_secrets_work(shop, restored):
    restored.api_key = shop.secrets.api_key
    restored.token = make_token(shop.secrets.hs256)
    assert vars(use(restored)) == {"card": None, "api_key": None, "webhook": None, "hs256": None}


def test_pain_another_ring_looks_like_missing_rows(shop, restored):
    restored.write_ring(key_line(9, "primary"))
    restored.restart()
    for reading in CARDS, CARDS.replace(".decrypt_", ".try_decrypt_"):
        with pytest.raises(psycopg2.Error) as error:
            restored.run(reading)
        assert error.value.pgcode == "RG503" and "key 3 is not in the key ring" in str(error.value)
    answers = use(restored)
    assert (answers.api_key, answers.webhook, answers.hs256) == ("RG503", "RG503", "RG503")


def test_ring_without_the_old_key_opens_what_the_new_one_made(shop, restored):
    restored.write_ring("".join(line for line in shop.ring.splitlines(True) if line.startswith("4 ")))
    restored.restart()
    assert len(restored.run(CARDS.replace("FROM card", "FROM card WHERE id >= 10"))) == 10
    with pytest.raises(psycopg2.Error, match="key 3 is not in the key ring"):
        restored.run(CARDS)


def test_no_ring_is_said(shop, restored):
    restored.options["relay_guard.keyring_file"] = ""
    restored.restart()
    for reading in CARDS, CARDS.replace(".decrypt_", ".try_decrypt_"):
        with pytest.raises(psycopg2.Error, match="the server has no key ring") as error:
            restored.run(reading)
        assert error.value.pgcode == "RG503"
    answers = use(restored)
    assert (answers.api_key, answers.webhook, answers.hs256) == ("RG503", "RG503", "RG503")


def test_ring_that_is_brought_back_opens_all(shop, restored):
    restored.options["relay_guard.keyring_file"] = restored.keyring
    restored.write_ring(shop.ring)
    restored.restart()
    assert opened(restored) == [(n, number, scan, pin) for n, _, number, scan, pin in shop.cards]
    assert vars(use(restored)) == {"card": None, "api_key": None, "webhook": None, "hs256": None}
