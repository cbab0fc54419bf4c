"""relay_gateway keyring audit-init, which makes a ratchet."""
import base64
import os
import re
import shutil
import subprocess

import pytest
from servers import GATEWAY, keyring, own_folder


@pytest.fixture
def folder(home):
    folder = own_folder(home)
    yield folder
    shutil.rmtree(folder)


def audit_init(*arguments, **options):
    return subprocess.run([GATEWAY, "keyring", "audit-init", *map(str, arguments)], text=True,
                          stderr=subprocess.PIPE, **options)


def test_makes_a_ratchet_and_shows_its_first_key_once(folder):
    done = audit_init(folder / "ratchet", stdout=subprocess.PIPE)
    assert done.returncode == 0
    key = done.stdout.removesuffix("\n")
    assert len(base64.b64decode(key, validate=True)) == 32
    assert (folder / "ratchet").read_text() == f"relay_guard audit ratchet 1\nstep 0\nkey {key}\n"
    assert (folder / "ratchet").stat().st_mode & 0o7777 == 0o600
    assert "only time" in done.stderr and key not in done.stderr
    assert os.listdir(folder) == ["ratchet"]


def test_two_ratchets_differ(folder):
    assert audit_init(folder / "a", stdout=subprocess.PIPE).stdout != audit_init(folder / "b", stdout=subprocess.PIPE).stdout


def test_never_replaces_a_file(folder):
    (folder / "there").write_text("something")
    (folder / "link").symlink_to(folder / "nothing")
    for name in ("there", "link"):
        done = audit_init(folder / name, stdout=subprocess.PIPE)
        assert done.returncode == 1 and "exists" in done.stderr and done.stdout == ""
    assert (folder / "there").read_text() == "something" and not (folder / "nothing").exists()


def test_a_key_that_nobody_saw_makes_no_ratchet(folder):
    with open("/dev/full", "w") as full:
        done = audit_init(folder / "ratchet", stdout=full)
    assert done.returncode == 1 and "stdout" in done.stderr
    assert os.listdir(folder) == []


def test_needs_one_file(folder):
    assert keyring("audit-init", check=False)[0] == 2
    assert keyring("audit-init", folder / "a", folder / "b", check=False)[0] == 2
    assert os.listdir(folder) == []


def test_help_names_it():
    said = subprocess.run([GATEWAY, "--help"], text=True, stdout=subprocess.PIPE, check=True).stdout
    assert re.search(r"keyring audit-init FILE", said)
