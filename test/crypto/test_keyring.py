"""Servers whose key ring changes under them."""
import base64
import concurrent.futures
import hashlib
import hmac
import json
import pathlib
import random
import re
import threading
import time

import psycopg2
import pytest
from servers import as_server, key_line, keyring, new_ring, not_with_sanitizers, run, sqlstate, states, wait_for, write

SECRET = "k7Qp2xVb9LmZ4tRw8sYc1nDf6hGj3aE0"
ENCRYPT = "SELECT relay_guard.encrypt(%s::text, '')"
DECRYPT = "SELECT relay_guard.decrypt_text(%s, '')"
KEY_OF_NEW = "SELECT relay_guard.key_id(relay_guard.encrypt('x'::text, ''))"


@pytest.fixture
def fresh(server):
    """The server, with a ring of one key and nothing stored."""
    new_ring(server.folder / "new")
    (server.folder / "new").rename(server.keyring)
    server.reload()
    server.run("DELETE FROM relay_guard.issuer")
    server.run("TRUNCATE relay_guard.api_key, relay_guard.api_key_pepper, relay_guard.webhook_secret")
    return server


# A server whose ring changes

def test_rotation_needs_no_reload(fresh):
    old = fresh.connect()
    sealed = run(old, ENCRYPT, "before")[0][0]
    keyring("add", fresh.keyring)
    time.sleep(0.15)
    assert run(old, KEY_OF_NEW) == [(2,)] and run(old, DECRYPT, sealed) == [("before",)]
    assert run(old, "SELECT key_id, state FROM relay_guard.keyring_status") == [(1, "active"), (2, "primary")]
    keyring("promote", fresh.keyring, 1)
    time.sleep(0.15)
    assert run(old, KEY_OF_NEW) == [(1,)]


def test_no_read_fails_while_keys_rotate(fresh):
    """Backends with an old ring open at once what was sealed under a key they have not heard of."""
    reader = fresh.connect()
    assert run(reader, DECRYPT, run(reader, ENCRYPT, "0")[0][0]) == [("0",)]
    for n in range(1, 20):
        keyring("add", fresh.keyring)
        sealed = fresh.value(ENCRYPT, str(n))
        assert run(reader, DECRYPT, sealed) == [(str(n),)]
    assert run(reader, KEY_OF_NEW) == [(20,)]


def test_no_read_fails_under_load_while_keys_rotate(fresh):
    fresh.run("CREATE TABLE load (id int PRIMARY KEY, sealed bytea)")
    end, done = time.monotonic() + 2, threading.Event()
    rounds = [0] * 4

    def client(me):
        session = fresh.connect()
        while not done.is_set():
            run(session, "INSERT INTO load VALUES (%s, relay_guard.encrypt('x'::text, '')) "
                         "ON CONFLICT (id) DO UPDATE SET sealed = EXCLUDED.sealed", random.randrange(8))
            assert set(run(session, "SELECT relay_guard.decrypt_text(sealed, '') FROM load")) == {("x",)}
            rounds[me] += 1
        session.close()

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        clients = [pool.submit(client, me) for me in range(4)]
        try:
            while time.monotonic() < end or len(states(fresh.keyring)) <= 12:
                keyring("add", fresh.keyring)
                time.sleep(0.05)
                if len(states(fresh.keyring)) > 60:
                    break
            wait_for(lambda: min(rounds) > 20 or any(one.done() for one in clients))
        finally:
            done.set()
        for one in clients:
            one.result()
    assert min(rounds) > 20
    assert fresh.value("SELECT count(*) FROM relay_guard.keyring_status") > 10
    fresh.run("DROP TABLE load")


def test_a_statement_that_is_under_way_sees_a_new_key(fresh):
    fresh.run("CREATE TABLE mail (sealed bytea)")
    reader = fresh.connect()
    run(reader, ENCRYPT, "warm")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(run, reader, """
            DO $$ DECLARE found bytea; BEGIN
                FOR i IN 1 .. 6000 LOOP
                    SELECT sealed INTO found FROM mail;
                    EXIT WHEN found IS NOT NULL;
                    PERFORM pg_sleep(0.01);
                END LOOP;
                PERFORM set_config('my.text', relay_guard.decrypt_text(found, ''), false);
                PERFORM set_config('my.key', relay_guard.key_id(relay_guard.encrypt('x'::text, ''))::text, false);
            END $$""")
        time.sleep(0.2)
        keyring("add", fresh.keyring)
        fresh.run("INSERT INTO mail SELECT relay_guard.encrypt('new'::text, '')")
        waiting.result()
    assert run(reader, "SELECT current_setting('my.text'), current_setting('my.key')") == [("new", "2")]
    fresh.run("DROP TABLE mail")


def test_a_key_that_comes_back_is_used_at_once(fresh):
    session = fresh.connect()
    sealed = run(session, ENCRYPT, "x")[0][0]
    keyring("add", fresh.keyring)
    keyring("retire", fresh.keyring, 1)
    time.sleep(0.15)
    run(session, KEY_OF_NEW)
    with pytest.raises(psycopg2.Error, match="key 1 is retired") as error:
        run(session, DECRYPT, sealed)
    assert error.value.pgcode == "RG503" and "HINT" in str(error.value)
    keyring("promote", fresh.keyring, 1, "--retired")
    assert run(session, DECRYPT, sealed) == [("x",)]
    unknown = bytes(sealed[:1]) + (77).to_bytes(4, "big") + bytes(sealed[5:])
    with pytest.raises(psycopg2.Error, match="key 77 is not in the key ring") as error:
        run(session, DECRYPT, unknown)
    assert error.value.pgcode == "RG503"


@pytest.mark.parametrize("spoil", ["readable", "garbage", "gone", "link"])
def test_a_file_that_goes_bad_leaves_the_ring_that_was_good(fresh, spoil):
    session = fresh.connect()
    sealed = run(session, ENCRYPT, "x")[0][0]
    good = fresh.keyring.read_text()
    logged = len(fresh.log())
    if spoil == "readable":
        keyring("add", fresh.keyring)
        fresh.keyring.chmod(0o644)
    elif spoil == "garbage":
        fresh.write_ring("not a ring\n")
    elif spoil == "gone":
        fresh.keyring.unlink()
    else:
        fresh.keyring.rename(fresh.folder / "elsewhere")
        fresh.keyring.symlink_to(fresh.folder / "elsewhere")
    fresh.reload()
    for connection in session, fresh.connect():
        assert run(connection, DECRYPT, sealed) == [("x",)] and run(connection, KEY_OF_NEW) == [(1,)]
        assert run(connection, "SELECT relay_guard.ready() ->> 'keyring'") == [("true",)]
    for _ in range(3):
        time.sleep(0.11)
        run(session, KEY_OF_NEW)
    told = re.findall(r"key ring .* cannot be used: (.*)", fresh.log()[logged:])
    assert len(told) == 2, "each session says so once"
    fresh.keyring.unlink(missing_ok=True)
    fresh.write_ring(good + key_line(2))
    assert run(session, "SELECT count(*) FROM relay_guard.keyring_status") != [(0,)]
    time.sleep(0.15)
    run(session, KEY_OF_NEW)
    assert run(session, "SELECT key_id FROM relay_guard.keyring_status") == [(1,), (2,)]


def test_a_ring_that_could_not_be_read_once_is_read_again(fresh):
    """Too many open files at the wrong moment: that is not for ever."""
    session = fresh.connect()
    run(session, DECRYPT, run(session, ENCRYPT, "x")[0][0])
    keyring("add", fresh.keyring)
    sealed = fresh.value(ENCRYPT, "y")
    process = pathlib.Path(f"/proc/{pid_of(session)}")
    limit = re.search(r"^Max open files +(\d+)", (process / "limits").read_text(), re.M)[1]
    as_server("prlimit", "--nofile=3:", "--pid", process.name)
    assert sqlstate(session, DECRYPT, sealed) == "RG503" and "Too many open files" in fresh.log()
    as_server("prlimit", f"--nofile={limit}:", "--pid", process.name)
    assert run(session, DECRYPT, sealed) == [("y",)]


def test_no_statement_is_logged_with_a_bad_ring(fresh):
    session = fresh.connect()
    run(session, KEY_OF_NEW)
    fresh.keyring.chmod(0o604)
    time.sleep(0.15)
    logged = len(fresh.log())
    run(session, "SELECT 'a secret of the statement' <> relay_guard.issue_token('alice')")
    assert "others may read it" in fresh.log()[logged:] and "a secret of" not in fresh.log()[logged:]
    fresh.keyring.chmod(0o600)


def test_another_file_is_read_after_a_reload(fresh):
    session = fresh.connect()
    sealed = run(session, ENCRYPT, "x")[0][0]
    other = write(fresh.folder / "other", fresh.keyring.read_text().replace(" primary", "") + key_line(5, "primary"))
    try:
        fresh.run(f"ALTER SYSTEM SET relay_guard.keyring_file = '{other}'")
        fresh.reload()
        for connection in session, fresh.connect():
            assert run(connection, KEY_OF_NEW) == [(5,)] and run(connection, DECRYPT, sealed) == [("x",)]
        fresh.run("ALTER SYSTEM SET relay_guard.keyring_file = ''")
        fresh.reload()
        assert run(session, KEY_OF_NEW) == [(5,)], "no file is no reason to forget a ring"
    finally:
        fresh.run(f"ALTER SYSTEM SET relay_guard.keyring_file = '{fresh.keyring}'")
        fresh.reload()
    assert run(session, KEY_OF_NEW) == [(1,)]


def test_a_ring_is_read_without_preload(make_server):
    server = make_server({"shared_preload_libraries": ""})
    server.run("CREATE EXTENSION relay_guard")
    session = server.connect()
    assert run(session, KEY_OF_NEW) == [(1,)]
    server.write_ring(server.keyring.read_text().replace(" primary", "") + key_line(2, "primary"))
    time.sleep(0.15)
    assert run(session, KEY_OF_NEW) == [(2,)]
    server.stop()


def test_a_retired_key_ends_in_new_sessions_at_once_and_in_others_at_a_reload(fresh):
    fresh.restart()  # the postmaster has the ring of its start
    session = fresh.connect()
    sealed = run(session, ENCRYPT, "x")[0][0]
    keyring("add", fresh.keyring)
    keyring("retire", fresh.keyring, 1)
    assert sqlstate(fresh.connect(), DECRYPT, sealed) == "RG503"
    assert run(session, DECRYPT, sealed) == [("x",)]
    fresh.reload()
    assert sqlstate(session, DECRYPT, sealed) == "RG503"


def test_keyring_status_says_when_keys_were_made(fresh):
    fresh.write_ring(key_line(1, "retired 2024-02-29T12:30:00Z") + key_line(9, "primary") +
                     key_line(4, "2026-01-02T03:04:05Z"))
    assert fresh.run("SELECT key_id, state, created AT TIME ZONE 'UTC' || '' FROM relay_guard.keyring_status") == [
        (1, "retired", "2024-02-29 12:30:00"), (9, "primary", None), (4, "active", "2026-01-02 03:04:05")]


# What a process gives away

def status_line(pid, name):
    return re.search(rf"^{name}:\s+(\S+)", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M)[1]


def postmaster_of(server):
    return (server.data / "postmaster.pid").read_text().split()[0]


def pid_of(connection):
    return run(connection, "SELECT pg_backend_pid()")[0][0]


@not_with_sanitizers
def test_the_ring_is_locked_in_memory_after_a_fork(fresh):
    session = fresh.connect()
    pid = pid_of(session)
    assert status_line(pid, "VmLck") == "0"
    assert run(session, "SELECT DISTINCT locked FROM relay_guard.keyring_status") == [(True,)]
    assert status_line(pid, "VmLck") != "0"
    run(session, KEY_OF_NEW)
    keyring("add", fresh.keyring)
    time.sleep(0.15)
    run(session, KEY_OF_NEW)
    assert run(session, "SELECT key_id, locked FROM relay_guard.keyring_status") == [(1, True), (2, True)]
    # each ring anew
    as_server("prlimit", "--memlock=0", "--pid", pid)
    keyring("add", fresh.keyring)
    time.sleep(0.15)
    assert run(session, KEY_OF_NEW) == [(3,)]
    assert run(session, "SELECT DISTINCT locked FROM relay_guard.keyring_status") == [(False,)]


@not_with_sanitizers
def test_a_ring_that_cannot_be_locked_says_so(make_server):
    server = make_server()
    server.run("CREATE EXTENSION relay_guard")
    as_server("prlimit", "--memlock=0", "--pid", postmaster_of(server))
    session = server.connect()
    assert run(session, "SELECT locked FROM relay_guard.keyring_status") == [(False,)]
    assert run(session, KEY_OF_NEW) == [(1,)]
    server.stop()


def test_a_backend_that_used_a_key_is_closed_to_its_own_user(fresh):
    session = fresh.connect()
    process = pathlib.Path(f"/proc/{pid_of(session)}")
    assert (process / "mem").stat().st_uid == fresh.data.stat().st_uid
    as_server("cat", process / "environ")
    run(session, KEY_OF_NEW)
    assert (process / "mem").stat().st_uid == 0
    for name in "mem", "environ":
        assert "denied" in as_server("cat", process / name, check=False).stdout


@not_with_sanitizers
@pytest.mark.parametrize("used", [False, True])
def test_a_backend_that_used_a_key_makes_no_core_dump(make_server, used):
    if pathlib.Path("/proc/sys/kernel/core_pattern").read_text().startswith(("|", "/")):
        pytest.skip("core dumps do not go into the server's folder")
    server = make_server()
    server.run("CREATE EXTENSION relay_guard")
    if as_server("prlimit", "--core=unlimited", "--pid", postmaster_of(server), check=False).returncode != 0:
        pytest.skip("core dumps are forbidden")
    session = server.connect()
    if used:
        run(session, KEY_OF_NEW)
    as_server("kill", "-SEGV", pid_of(session))
    wait_for(lambda: "terminated by signal 11" in server.log())
    assert bool(list(server.data.glob("core*"))) == (not used)
    server.stop("immediate")


# Without a ring

def test_a_server_without_a_ring_starts_and_says_so(make_server):
    server = make_server({"relay_guard.keyring_file": ""})
    server.run("CREATE EXTENSION relay_guard")
    session = server.connect()
    assert run(session, "SELECT * FROM relay_guard.keyring_status") == []
    assert run(session, "SELECT relay_guard.ready() ->> 'keyring'") == [("false",)]
    server.run("SELECT relay_guard.issuer_add('https://id.test', 'app')")
    builtin = token({"iss": "relay_guard", "aud": "relay_guard/postgres", "sub": "a", "exp": 4102444800}, "ring-1")
    for use in (KEY_OF_NEW, "SELECT relay_guard.issue_token('alice')", "SELECT relay_guard.rekey_secrets()",
                f"SELECT relay_guard.jwt_key_add('https://id.test', 'k', '{SECRET}')",
                f"SELECT relay_guard.authenticate('{builtin}')", "SELECT relay_guard.api_key_create('k')",
                "SELECT relay_guard.decrypt_text(%s, '')"):
        with pytest.raises(psycopg2.Error, match="the server has no key ring") as error:
            run(session, use, *([b"\x01\0\0\0\1" + bytes(50)] if "%s" in use else []))
        assert error.value.pgcode == "RG503" and "keyring new" in error.value.diag.message_hint
    server.stop()


def test_a_ring_that_comes_later_is_used(make_server):
    server = make_server(started=False)
    server.keyring.unlink()
    server.start()
    server.run("CREATE EXTENSION relay_guard")
    session = server.connect()
    assert sqlstate(session, KEY_OF_NEW) == "RG503"
    assert "cannot be used: No such file" in server.log()
    assert not server.keyring.exists()
    keyring("new", server.keyring)
    assert str(run(session, KEY_OF_NEW)[0][0]) == states(server.keyring)[0][0]
    server.stop()


def test_a_line_made_in_sql_is_a_ring_and_in_no_log(make_server):
    server = make_server({"log_statement": "all", "log_min_duration_statement": "0", "log_min_messages": "debug2"})
    server.run("CREATE EXTENSION relay_guard")
    line = server.value("SELECT relay_guard.keyring_new_line()")
    server.write_ring(line + "\n")
    number = int(line.split()[0])
    assert states(server.keyring) == [[str(number), "primary"]]
    assert server.run("SELECT key_id, state, created <= now() FROM relay_guard.keyring_status") == [(number, "primary", True)]
    assert server.value(KEY_OF_NEW) == number
    assert line.split()[1] not in server.log()
    server.stop()


# Stored secrets

def token(claims, kid, secret=SECRET):
    def encode(part):
        return base64.urlsafe_b64encode(part).rstrip(b"=")

    text = b".".join(encode(json.dumps(part).encode()) for part in ({"alg": "HS256", "kid": kid}, claims))
    return (text + b"." + encode(hmac.new(secret.encode(), text, hashlib.sha256).digest())).decode()


OUTSIDE = token({"iss": "https://id.test", "aud": "app", "sub": "alice", "exp": 4102444800}, "k1")


def verdict(connection, call, argument):
    """The user id, or the error, in a transaction of its own."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute(f"SELECT relay_guard.{call}(%s)", [argument])
            return cursor.fetchone()[0]
    except psycopg2.Error as error:
        return error.pgcode, error.diag.message_primary, error.diag.message_detail
    finally:
        run(connection, "ROLLBACK")


@pytest.fixture
def secrets(fresh):
    """Secrets of every table, under key 1."""
    fresh.run("SELECT relay_guard.issuer_add('https://id.test', 'app')")
    fresh.run(f"SELECT relay_guard.jwt_key_add('https://id.test', 'k1', '{SECRET}')")
    fresh.run(f"SELECT relay_guard.jwt_key_add('https://id.test', 'k2', '{SECRET[::-1]}')")
    fresh.run("SELECT relay_guard.webhook_secret_set('hook'), relay_guard.webhook_secret_set('hook')")
    fresh.api_key = fresh.value("SELECT key FROM relay_guard.api_key_create('one')")
    return fresh


def sealed_under(server):
    return server.run("SELECT relay_guard.key_id(secret), count(*) FROM (SELECT secret FROM relay_guard.jwt_key "
                      "UNION ALL SELECT secret FROM relay_guard.api_key_pepper "
                      "UNION ALL SELECT secret FROM relay_guard.webhook_secret) s GROUP BY 1 ORDER BY 1")


def good(server, session):
    return verdict(session, "authenticate", OUTSIDE) == "alice" and \
        verdict(session, "authenticate_api_key", server.api_key).startswith("key:") and \
        run(session, "SELECT relay_guard.webhook_sign('hook', 'm1', 'body')") != []


def test_secrets_outlive_their_key(secrets):
    session = secrets.connect()
    assert good(secrets, session)
    keyring("add", secrets.keyring)
    assert sealed_under(secrets) == [(1, 5)] and good(secrets, session)
    assert secrets.value("SELECT relay_guard.rekey_secrets()") == 5
    assert sealed_under(secrets) == [(2, 5)]
    assert secrets.value("SELECT relay_guard.rekey_secrets()") == 0
    keyring("retire", secrets.keyring, 1)
    secrets.reload()
    assert good(secrets, session) and good(secrets, secrets.connect())


def test_secrets_whose_key_retired_too_early_are_a_fault_of_the_server(secrets):
    session = secrets.connect()
    assert good(secrets, session)
    keyring("add", secrets.keyring)
    keyring("retire", secrets.keyring, 1)
    secrets.reload()
    for connection in session, secrets.connect():
        assert verdict(connection, "authenticate", OUTSIDE)[:2] == ("RG503", "key 1 is retired")
        code, message, detail = verdict(connection, "authenticate_api_key", secrets.api_key)
        assert (code, message) == ("RG503", "the pepper of API keys does not open")
    with pytest.raises(psycopg2.Error) as error:
        secrets.run("SELECT relay_guard.rekey_secrets()")
    assert error.value.pgcode == "RG503" and "relay_guard.jwt_key (https://id.test, k1)" in str(error.value)
    # nothing is lost: the key is only refused
    keyring("promote", secrets.keyring, 1, "--retired")
    assert good(secrets, session)


def test_rekey_secrets_is_all_or_nothing(secrets):
    keyring("add", secrets.keyring)
    secrets.run("UPDATE relay_guard.jwt_key SET secret = set_byte(secret, 40, get_byte(secret, 40) # 1) WHERE kid = 'k2'")
    with pytest.raises(psycopg2.Error, match=r"relay_guard.jwt_key \(https://id.test, k2\) does not open"):
        secrets.run("SELECT relay_guard.rekey_secrets()")
    assert sealed_under(secrets) == [(1, 5)]
    # a secret of another row is not taken for this one's
    secrets.run("UPDATE relay_guard.jwt_key SET secret = (SELECT secret FROM relay_guard.jwt_key WHERE kid = 'k1') "
                "WHERE kid = 'k2'")
    with pytest.raises(psycopg2.Error, match="moved to this row"):
        secrets.run("SELECT relay_guard.rekey_secrets()")
    secrets.run("DELETE FROM relay_guard.jwt_key WHERE kid = 'k2'")
    assert secrets.value("SELECT relay_guard.rekey_secrets()") == 4 and good(secrets, secrets.connect())


def test_rekey_secrets_waits_for_secrets_that_are_coming_in(secrets):
    writer = secrets.connect(autocommit=False)
    run(writer, f"SELECT relay_guard.jwt_key_add('https://id.test', 'k3', '{SECRET}')")
    keyring("add", secrets.keyring)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(secrets.value, "SELECT relay_guard.rekey_secrets()")
        time.sleep(0.3)
        # readers do not wait
        assert not waiting.done() and verdict(secrets.connect(), "authenticate", OUTSIDE) == "alice"
        writer.commit()
        assert waiting.result(60) == 6
    assert sealed_under(secrets) == [(2, 6)]


def test_tokens_of_our_own_end_with_their_key(fresh):
    session = fresh.connect()
    issued = run(session, "SELECT relay_guard.issue_token('alice')")[0][0]
    assert verdict(session, "authenticate", issued) == "alice"
    keyring("add", fresh.keyring)
    assert verdict(session, "authenticate", issued) == "alice"
    keyring("retire", fresh.keyring, 1)
    fresh.reload()
    for connection in session, fresh.connect():
        assert verdict(connection, "authenticate", issued) == ("RG401", "the token is not valid", "token_key")
    # a key that never was, and one that is new to a session
    forged = token({"iss": "relay_guard", "aud": "relay_guard/postgres", "sub": "a", "exp": 4102444800}, "ring-9")
    assert verdict(session, "authenticate", forged) == ("RG401", "the token is not valid", "token_key")
    keyring("add", fresh.keyring)
    issued = fresh.value("SELECT relay_guard.issue_token('bob')")
    assert verdict(session, "authenticate", issued) == "bob"


def test_cursors_end_with_their_key(fresh):
    fresh.run("CREATE ROLE pages_app; SELECT relay_guard.grant_role('app', 'pages_app')")
    fresh.run("CREATE TABLE page AS SELECT n FROM generate_series(1, 9) n; GRANT SELECT ON page TO pages_app")
    fresh.run("""INSERT INTO relay_guard.route (method, path, query, auth, parameters, result, result_key, keyset, keyset_start, run_as)
        VALUES ('GET', '/pages', 'SELECT n FROM public.page WHERE n > request.after_n ORDER BY n LIMIT request.limit', 'none',
                '[{"name":"limit","in":"query","schema":{"type":"integer","default":2}}]', 'rows', 'pages', '{n}', '{0}', 'pages_app')""")

    def page(connection, query=""):
        status, body = run(connection, "SELECT status, convert_from(body, 'UTF8')::jsonb FROM relay_guard.serve('GET', '/pages', %s)",
                           query)[0]
        return status, body.get("code") or [row["n"] for row in body["pages"]], body.get("next")

    session = fresh.connect()
    cursor = "after=" + page(session)[2]
    assert page(session, cursor)[:2] == (200, [3, 4])
    keyring("add", fresh.keyring)
    assert page(session, cursor)[:2] == (200, [3, 4])
    keyring("retire", fresh.keyring, 1)
    fresh.reload()
    nonsense = page(session, "after=nonsense")
    assert nonsense[0] in (400, 422)
    for connection in session, fresh.connect():
        assert page(connection, cursor) == nonsense
    assert page(session)[0] == 200
