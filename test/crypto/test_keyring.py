"""The key ring: its commands, and servers whose ring changes under them."""
import base64
import concurrent.futures
import fcntl
import hashlib
import hmac
import json
import os
import pathlib
import random
import re
import resource
import shutil
import signal
import socket
import subprocess
import time

import psycopg2
import pytest
from conftest import GATEWAY, as_server, key_line, not_with_sanitizers, own_folder, run, sqlstate

ROOT = pathlib.Path(__file__).resolve().parents[2]
SECRET = "k7Qp2xVb9LmZ4tRw8sYc1nDf6hGj3aE0"
ENCRYPT = "SELECT relay_guard.encrypt(%s::text, '')"
DECRYPT = "SELECT relay_guard.decrypt_text(%s, '')"
KEY_OF_NEW = "SELECT relay_guard.key_id(relay_guard.encrypt('x'::text, ''))"


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


def refused(*arguments):
    status, said = keyring(*arguments, check=False)
    assert status != 0
    return said


def write(path, text, mode=0o600):
    path.write_text(text)
    path.chmod(mode)
    if os.geteuid() == 0:
        shutil.chown(path, "postgres", "postgres")
    return path


@pytest.fixture
def folder(home):
    folder = own_folder(home)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def ring(folder):
    new_ring(folder / "ring")
    return folder / "ring"


@pytest.fixture
def fresh(server):
    """The server, with a ring of one key and nothing stored."""
    new_ring(server.folder / "new")
    (server.folder / "new").rename(server.keyring)
    server.reload()
    server.run("DELETE FROM relay_guard.issuer")
    server.run("TRUNCATE relay_guard.api_key, relay_guard.api_key_pepper, relay_guard.webhook_secret")
    return server


# The commands

def test_a_ring_rotates(ring):
    assert states(ring) == [["1", "primary"]]
    assert keyring("add", ring)[1].startswith("key 2 ")
    assert states(ring) == [["1", "active"], ["2", "primary"]]
    keyring("add", ring, "--active")
    keyring("promote", ring, 3)
    keyring("retire", ring, 1)
    assert states(ring) == [["1", "retired"], ["2", "active"], ["3", "primary"]]
    keyring("promote", ring, 1, "--retired")
    assert states(ring) == [["1", "primary"], ["2", "active"], ["3", "active"]]


def test_no_command_shows_a_key(ring):
    keyring("add", ring)
    keys = [line.split()[1] for line in ring.read_text().splitlines()]
    said = "".join(keyring(*command, check=False)[1] for command in [
        ("list", ring), ("add", ring), ("promote", ring, 1), ("retire", ring, 2), ("retire", ring, 1),
        ("promote", ring, 99), ("fetch", ring, "cat", ring), ("fetch", ring, "sh", "-c", f"tail -n 1 {ring}")])
    assert said and not any(key[:12] in said for key in keys)


def test_what_is_refused_leaves_the_ring(ring):
    before = (ring.read_text(), ring.stat().st_mtime_ns)
    assert "is the primary key" in refused("retire", ring, 1)
    assert "not in the ring" in refused("retire", ring, 2)
    assert "not in the ring" in refused("promote", ring, 2)
    assert "no key id" in refused("promote", ring, "first")
    assert "arguments" in refused("promote", ring) and "arguments" in refused("add", ring, "--force")
    assert "exists" in refused("new", ring)
    assert (ring.read_text(), ring.stat().st_mtime_ns) == before
    keyring("add", ring)
    keyring("retire", ring, 1)
    assert "retired" in refused("promote", ring, 1)
    before = ring.stat().st_ino
    keyring("retire", ring, 1)
    keyring("promote", ring, 2)
    assert states(ring) == [["1", "retired"], ["2", "primary"]] and ring.stat().st_ino == before


def test_a_full_ring_is_refused(folder):
    full = write(folder / "full", "".join(key_line(n, "primary" if n == 1 else "") for n in range(1, 65)))
    assert "64" in refused("add", full)
    assert len(states(full)) == 64


@pytest.mark.parametrize("command", [["list"], ["add"], ["promote"], ["retire"]])
def test_files_that_hold_no_ring_safely_are_refused(folder, command):
    def said(path):
        return refused(command[0], path, *(["1"] if command[0] in ("promote", "retire") else []))

    line = key_line(1, "primary")
    assert "others may read" in said(write(folder / "open", line, 0o644))
    assert "others may read" in said(write(folder / "group", line, 0o640))
    assert "line 1" in said(write(folder / "text", "no ring"))
    assert "64 kB" in said(write(folder / "large", "#" * 65537))
    (folder / "link").symlink_to(write(folder / "good", line))
    os.mkfifo(folder / "pipe", 0o600)
    if os.geteuid() == 0:
        shutil.chown(folder / "pipe", "postgres", "postgres")
    assert "not a regular file" in said(folder / "pipe") and "not a regular file" in said(folder)
    assert "symbolic links" in said(folder / "link") and "No such file" in said(folder / "missing")
    if os.geteuid() == 0:
        shutil.chown(write(folder / "foreign", line), "daemon")
        assert "another user" in said(folder / "foreign") or "denied" in said(folder / "foreign")


def test_comments_order_mode_and_owner_stay(folder):
    before = "# of the office\n" + key_line(7, "primary") + "\n" + key_line(3, "2026-02-28T23:59:59Z")
    ring = write(folder / "ring", before, 0o400)
    owner = (ring.stat().st_uid, ring.stat().st_gid)
    # root changes it, too, and does not take it away from the server
    for command in (["add"], ["retire", "3"]):
        subprocess.run([GATEWAY, "keyring", command[0], ring, *command[1:]], check=True, stdout=subprocess.DEVNULL)
        assert (ring.stat().st_uid, ring.stat().st_gid, ring.stat().st_mode & 0o777) == (*owner, 0o400)
    lines = ring.read_text().splitlines()
    was = before.splitlines()
    assert lines[0] == was[0] and lines[2] == "" and lines[1] == was[1].removesuffix(" primary")
    assert lines[3] == was[3].replace(" 2026", " retired 2026")
    assert re.fullmatch(r"8 \S{44} primary 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", lines[4])
    assert os.listdir(folder) == ["ring"]


def test_changes_at_once_are_all_made(ring):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: keyring("add", ring, *(["--active"] if n % 2 else [])), range(16)))
    assert [state[0] for state in states(ring)] == [str(n) for n in range(1, 18)]


def test_a_change_that_waited_is_made_to_the_file_that_is_there_then(ring):
    with open(ring) as former, concurrent.futures.ThreadPoolExecutor(1) as pool:
        fcntl.flock(former, fcntl.LOCK_EX)
        waiting = pool.submit(keyring, "add", ring)
        time.sleep(0.3)
        assert not waiting.done()
        new_ring(ring.with_name("next"))
        ring.with_name("next").rename(ring)
        key = ring.read_text().split()[1]
        fcntl.flock(former, fcntl.LOCK_UN)
        waiting.result()
    assert key in ring.read_text() and states(ring) == [["1", "active"], ["2", "primary"]]


@not_with_sanitizers
def test_the_file_that_was_locked_must_still_be_the_one_of_that_name(folder, ring):
    if shutil.which("cc") is None:
        pytest.skip("no compiler")
    slow = folder / "slow.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-x", "c", "-o", slow, "-"], check=True, text=True, input="""
        #include <sys/syscall.h>
        #include <unistd.h>
        int flock(int fd, int how) { usleep(400000); return syscall(SYS_flock, fd, how); }""")
    slow.chmod(0o755)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(keyring, "add", ring, env=dict(os.environ, LD_PRELOAD=str(slow)))
        time.sleep(0.2)
        keyring("add", ring)
        assert not waiting.done()
        waiting.result()
    assert [state[0] for state in states(ring)] == ["1", "2", "3"]


def test_what_a_broken_off_command_left_is_in_nobodys_way(ring):
    write(ring.with_name("ring.being-edited"), "half of a")
    keyring("add", ring)
    assert len(states(ring)) == 2 and os.listdir(ring.parent) == ["ring"]


def test_a_command_that_breaks_off_leaves_a_ring(ring):
    ring.write_text("#" * 60000 + "\n" + ring.read_text())
    key = ring.read_text().splitlines()[1].split()[1]
    for _ in range(60):
        prefix = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"] if os.geteuid() == 0 else []
        process = subprocess.Popen([*prefix, GATEWAY, "keyring", "add", ring, "--active"], stdout=subprocess.DEVNULL)
        time.sleep(random.uniform(0.002, 0.03))
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert states(ring)[0] == ["1", "primary"] and key in ring.read_text()
        if len(states(ring)) > 50:
            write(ring, "#" * 60000 + f"\n1 {key} primary\n")
    # and a full disk
    ring.with_name("ring.being-edited").unlink(missing_ok=True)
    before = ring.read_text()
    status, _ = keyring("add", ring, check=False, preexec_fn=lambda: (
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN), resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))))
    assert status == 1 and ring.read_text() == before and os.listdir(ring.parent) == ["ring"]


def test_fetch_makes_a_ring_of_what_a_command_prints(folder, ring):
    target = folder / "fetched"
    status, said = keyring("fetch", target, "cat", ring)
    assert target.read_text() == ring.read_text() and target.stat().st_mode & 0o777 == 0o600
    on_disk = as_server("stat", "-f", "-c", "%T", folder).stdout.strip() not in ("tmpfs", "ramfs")
    assert ("is on a disk" in said) == on_disk
    # the same again is no change
    before = target.stat()
    keyring("fetch", target, "cat", ring)
    assert target.stat().st_ino == before.st_ino
    keyring("add", ring)
    keyring("fetch", target, "cat", ring)
    assert states(target) == [["1", "active"], ["2", "primary"]]
    # words are words: no shell reads them
    assert "no key ring" in refused("fetch", target, "echo", f"$(cat {ring})", ";", "touch", folder / "x")
    assert not (folder / "x").exists()


def test_fetch_in_memory_does_not_warn(ring):
    if as_server("stat", "-f", "-c", "%T", "/dev/shm").stdout.strip() != "tmpfs":
        pytest.skip("/dev/shm is no tmpfs")
    memory = own_folder("/dev/shm")
    try:
        assert keyring("fetch", memory / "ring", "cat", ring)[1] == ""
    finally:
        shutil.rmtree(memory)


def test_fetch_refuses_what_is_no_ring_and_says_why(folder, ring):
    target = folder / "fetched"
    reasons = {"status 3": ["sh", "-c", f"cat {ring}; exit 3"], "signal 9": ["sh", "-c", "kill -9 $$"],
               "cannot be run": ["/nonexistent"], "no key is marked primary": ["true"],
               "no base64": ["echo", "1 abc primary"], "64 kB": ["cat", "/dev/zero"]}
    for reason, command in reasons.items():
        assert reason in refused("fetch", target, *command)
        assert reason in refused("fetch", ring, *command)
    assert not target.exists() and states(ring) == [["1", "primary"]]
    assert sorted(os.listdir(folder)) == ["ring"]


@pytest.mark.parametrize("command", ["exec sleep 30", "echo; exec >&-; exec sleep 30", "trap '' TERM; while :; do sleep 1; done"])
def test_fetch_does_not_wait_for_ever(folder, command):
    start = time.monotonic()
    assert "too long" in refused("fetch", "--timeout", 1, folder / "ring", "sh", "-c", command)
    assert time.monotonic() - start < 6 and not (folder / "ring").exists()


def test_fetch_keeps_every_key_of_the_present_ring(folder, ring):
    keyring("add", ring)
    other = write(folder / "other", "".join(ring.read_text().splitlines(True)[1:]))
    before = ring.read_text()
    assert "key 1 of the present ring is not in it" in refused("fetch", ring, "cat", other)
    write(other, key_line(1) + ring.read_text().splitlines(True)[1])
    assert "key 1 of the present ring is another one" in refused("fetch", ring, "cat", other)
    assert ring.read_text() == before
    keyring("fetch", "--force", ring, "cat", other)
    assert ring.read_text() == other.read_text()
    # a present file that cannot be judged
    write(ring, "broken")
    assert "no ring at present" in refused("fetch", ring, "cat", other)
    keyring("fetch", "--force", ring, "cat", other)
    assert ring.read_text() == other.read_text()


def test_root_key_regenerated_by_a_new_container(folder):
    """vault#27: a start without the key ring must not make another one beside the data."""
    (folder / "data").mkdir()
    write(folder / "data/PG_VERSION", "15\n")
    home = folder / "home"
    home.mkdir()
    (folder / "data").rename(home / "data")
    if os.geteuid() == 0:
        shutil.chown(home, "postgres", "postgres")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    done = subprocess.run([ROOT / "ops/run"], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          env=dict(os.environ, RELAY_HOME=str(home), RELAY_PORT=str(port)), timeout=60)
    assert done.returncode == 1 and "Bring it back" in done.stdout and not (home / "keyring").exists()
    assert (home / "data/PG_VERSION").read_text() == "15\n"


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
    end = time.monotonic() + 2

    def client():
        session = fresh.connect()
        rounds = 0
        while time.monotonic() < end:
            run(session, "INSERT INTO load VALUES (%s, relay_guard.encrypt('x'::text, '')) "
                         "ON CONFLICT (id) DO UPDATE SET sealed = EXCLUDED.sealed", random.randrange(8))
            assert set(run(session, "SELECT relay_guard.decrypt_text(sealed, '') FROM load")) == {("x",)}
            rounds += 1
        session.close()
        return rounds

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        clients = [pool.submit(client) for _ in range(4)]
        while time.monotonic() < end:
            keyring("add", fresh.keyring)
            time.sleep(0.05)
            if len(states(fresh.keyring)) > 60:
                break
        assert min(one.result() for one in clients) > 20
    assert fresh.value("SELECT count(*) FROM relay_guard.keyring_status") > 10
    fresh.run("DROP TABLE load")


def test_a_statement_that_is_under_way_sees_a_new_key(fresh):
    fresh.run("CREATE TABLE mail (sealed bytea)")
    reader = fresh.connect()
    run(reader, ENCRYPT, "warm")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(run, reader, """
            DO $$ DECLARE found bytea; BEGIN
                FOR i IN 1 .. 500 LOOP
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
    for _ in range(100):
        if "terminated by signal 11" in server.log():
            break
        time.sleep(0.05)
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
        assert waiting.result(10) == 6
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
