"""relay_gateway keyring, and what makes a ring beside it."""
import concurrent.futures
import fcntl
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

import pytest
from servers import GATEWAY, as_server, key_line, keyring, new_ring, not_with_sanitizers, own_folder, states, wait_for, write

ROOT = pathlib.Path(__file__).resolve().parents[2]


def refused(*arguments):
    status, said = keyring(*arguments, check=False)
    assert status != 0
    return said


@pytest.fixture
def folder(home):
    folder = own_folder(home)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def ring(folder):
    new_ring(folder / "ring")
    return folder / "ring"


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
        #include <fcntl.h>
        #include <stdlib.h>
        #include <sys/syscall.h>
        #include <unistd.h>
        int flock(int fd, int how)
        {
            close(open(getenv("IS_THERE"), O_CREAT | O_WRONLY, 0600));
            while (access(getenv("GO_ON"), F_OK) != 0)
                usleep(1000);
            return syscall(SYS_flock, fd, how);
        }""")
    slow.chmod(0o755)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        is_there, go_on = folder / "is there", folder / "go on"
        waiting = pool.submit(keyring, "add", ring, env=dict(
            os.environ, LD_PRELOAD=str(slow), IS_THERE=str(is_there), GO_ON=str(go_on)))
        wait_for(is_there.exists)
        keyring("add", ring)
        assert not waiting.done()
        go_on.touch()
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


@pytest.mark.parametrize("command", ["exec sleep 30", "echo; exec >&-; exec sleep 30", "trap '' TERM; while :; do sleep 0.1; done"])
def test_fetch_does_not_wait_for_ever(folder, command):
    start = time.monotonic()
    assert "too long" in refused("fetch", "--timeout", 1, folder / "ring", "sh", "-c", command)
    assert time.monotonic() - start < 25 and not (folder / "ring").exists()


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
