"""The ratchet: proofs of seals that whoever takes the server cannot make again."""
import base64
import os
import shutil

import pytest
from sealing import events, key_of_step, last_seal, log_server, problems, proof, seal, seals, tamper
from servers import GATEWAY, as_server, wait_for, write


def audit_init(path):
    """Makes a ratchet; its first key."""
    said = as_server("sh", "-c", '"$1" keyring audit-init "$2" 2>/dev/null', "-", GATEWAY, path).stdout
    return base64.b64decode(said)


def state(path):
    """Step and key of a ratchet's file."""
    title, step, key = path.read_text().splitlines()
    assert title == "relay_guard audit ratchet 1"
    return int(step.removeprefix("step ")), base64.b64decode(key.removeprefix("key "))


class Ratchet:
    def __init__(self, server):
        self.path = server.folder / "ratchet"
        self.first = audit_init(self.path)

    def key(self, step):
        return key_of_step(self.first, step)

    def proves(self, made):
        return made["proof"] == proof(self.key(made["step"]), made["root"])


@pytest.fixture(scope="module")
def server(make_server):
    server = make_server(started=False)
    server.ratchet = Ratchet(server)
    server.options["relay_guard.audit_ratchet_file"] = server.ratchet.path
    server.start()
    server.run("CREATE EXTENSION relay_guard; SELECT relay_guard.audit_maintain()")
    yield server
    server.stop("immediate")


def test_every_seal_is_proved_and_wears_out_its_key(server):
    for _ in range(3):
        events(server, 1)
        seal(server)
    made = seals(server)
    assert [s["step"] for s in made] == list(range(len(made)))
    assert all(server.ratchet.proves(s) for s in made)
    assert state(server.ratchet.path) == (len(made), server.ratchet.key(len(made)))
    assert problems(server) == []


def test_file_is_written_in_place(server):
    before = server.ratchet.path.stat().st_ino
    events(server, 1)
    seal(server)
    assert server.ratchet.path.stat().st_ino == before and server.ratchet.path.stat().st_mode & 0o777 == 0o600


def test_sealing_without_anything_new_takes_no_step(server):
    before = state(server.ratchet.path)
    assert seal(server) == 0 and state(server.ratchet.path) == before


def test_sealing_that_is_rolled_back_takes_no_step(server):
    before = state(server.ratchet.path)
    events(server, 1)
    connection = server.connect(autocommit=False)
    connection.cursor().execute("SELECT relay_guard.audit_seal()")
    connection.rollback()
    assert state(server.ratchet.path) == before
    seal(server)
    assert last_seal(server)["step"] == before[0] and server.ratchet.proves(last_seal(server))


def test_crash_between_commit_and_step(server):
    """The file is at the step of the last seal, as if the server had ended right after the commit."""
    for anything_new in (False, True):
        events(server, 1)
        before = server.ratchet.path.read_text()
        seal(server)
        after = state(server.ratchet.path)
        write(server.ratchet.path, before)
        if anything_new:
            events(server, 1)
        assert seal(server) == int(anything_new)
        if anything_new:
            assert last_seal(server)["step"] == after[0] and server.ratchet.proves(last_seal(server))
        assert state(server.ratchet.path)[0] == after[0] + anything_new
    assert problems(server) == []


def test_sealing_of_several_months_goes_a_step_each(server):
    events(server, 1)
    tamper(server, """INSERT INTO relay_guard.audit_log SELECT (jsonb_populate_record(l, jsonb_build_object(
                          'id', id + 1000, 'occurred_at', occurred_at + interval '40 days'))).*
                      FROM relay_guard.audit_log l ORDER BY id DESC LIMIT 1""")
    before = server.ratchet.path.read_text()
    assert seal(server) == 2
    steps = [s["step"] for s in seals(server)]
    assert steps == list(range(len(steps))) and all(server.ratchet.proves(s) for s in seals(server))
    write(server.ratchet.path, before)
    events(server, 1)
    seal(server)
    assert last_seal(server)["step"] == len(steps) and server.ratchet.proves(last_seal(server))


def spoil(server, how):
    path = server.ratchet.path
    if how == "missing":
        path.rename(path.with_suffix(".away"))
        return "No such file"
    shutil.copy2(path, path.with_suffix(".away"))
    if how == "readable":
        path.chmod(0o644)
        return "others may read"
    if how == "foreign":
        shutil.chown(path, "daemon")
        return "another user" if os.geteuid() != 0 else ""
    path.write_text("no ratchet" if how == "garbage" else "")
    return "holds no ratchet"


def restore(server):
    away = server.ratchet.path.with_suffix(".away")
    write(server.ratchet.path, away.read_text())
    away.unlink()


@pytest.mark.parametrize("how", ["missing", "readable", "garbage", "empty",
                                 pytest.param("foreign", marks=pytest.mark.skipif(os.geteuid() != 0, reason="only root"))])
def test_ratchet_that_fails_does_not_stop_seals_and_is_told_once(server, how):
    events(server, 1)
    seal(server)
    assert last_seal(server)["step"] is not None
    told = spoil(server, how)
    seen = len(server.log())
    for i in range(3):
        connection = server.connect()
        events(server, 1)
        connection.cursor().execute("SELECT relay_guard.audit_seal()")
        made = last_seal(server)
        assert made["rows"] == 1 and made["step"] is None and made["proof"] is None
        if i == 0:
            finding, = made["findings"]
            assert told in finding["ratchet"]
        else:
            assert made["findings"] is None
        connection.close()
    assert "have no proof" in server.log()[seen:]
    restore(server)
    events(server, 1)
    seal(server)
    assert server.ratchet.proves(last_seal(server)) and last_seal(server)["findings"] is None
    assert last_seal(server)["step"] == state(server.ratchet.path)[0] - 1


def test_ratchet_that_is_taken_from_the_settings_is_found(server):
    events(server, 1)
    connection = server.connect()
    connection.cursor().execute("SET relay_guard.audit_ratchet_file = ''; SELECT relay_guard.audit_seal()")
    connection.close()
    finding, = last_seal(server)["findings"]
    assert "audit_ratchet_file is not set" in finding["ratchet"]


def test_ratchet_that_is_made_anew_begins_with_0_and_is_found(server):
    events(server, 1)
    seal(server)
    server.ratchet.path.unlink()
    former, server.ratchet = server.ratchet, Ratchet(server)
    for step in (0, 1):
        events(server, 1)
        seal(server)
        made = last_seal(server)
        assert made["step"] == step and server.ratchet.proves(made) and not former.proves(made)
        assert made["findings"] == ([{"ratchet": "it is another than that of the seal before"}] if step == 0 else None)
    assert server.log().count("is another than before") == 1
    before = server.ratchet.path.read_text()
    events(server, 1)
    seal(server)
    write(server.ratchet.path, before)
    events(server, 1)
    seal(server)
    assert last_seal(server)["step"] == 3 and server.ratchet.proves(last_seal(server))
    found = [problem for problem, _ in problems(server)]
    assert found.count("seal_step") == 1 and "tail_missing" not in found


def test_nobody_but_superusers_sees_or_chooses_the_file(server):
    server.run("CREATE ROLE curious LOGIN; SELECT relay_guard.grant_role('admin', 'curious')")
    connection = server.connect(user="curious")
    for statement in ("SHOW relay_guard.audit_ratchet_file", "SET relay_guard.audit_ratchet_file = '/tmp/x'"):
        with pytest.raises(Exception, match="superuser|permission denied|pg_read_all_settings"):
            connection.cursor().execute(statement)
    connection.close()


def test_cut_off_tail_is_found(server):
    """Whoever removes the last seals cannot turn the ratchet back."""
    for _ in range(3):
        events(server, 1)
        seal(server)
    tamper(server, "DELETE FROM relay_guard.audit_seal WHERE seal_id >= %s", last_seal(server)["seal_id"] - 1)
    assert "tail_missing" in [problem for problem, _ in problems(server)]
    events(server, 1)
    seal(server)
    assert last_seal(server)["step"] == state(server.ratchet.path)[0] - 1


def test_each_database_has_a_ratchet_of_its_own(make_server):
    """The worker takes it from the database's settings, and tells of a bad one once, not every second."""
    server = log_server(make_server, {"relay_guard.databases": "postgres, other", "max_worker_processes": 20,
                                      "relay_guard.audit_seal_interval": "1s"})
    ratchet = Ratchet(server)
    server.run(f"ALTER DATABASE postgres SET relay_guard.audit_ratchet_file = '{ratchet.path}'")
    server.run("CREATE DATABASE other")
    server.run("ALTER DATABASE other SET relay_guard.audit_ratchet_file = '/nowhere/ratchet'")
    server.run("CREATE EXTENSION relay_guard; SELECT relay_guard.audit_maintain()", database="other")
    sealer = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'relay_guard sealer'"
    for count in (1, 2):
        wait_for(lambda: server.run(sealer) == [])
        events(server, 1)
        events(server, 1, database="other")
        wait_for(lambda: len(seals(server)) == count and len(seals(server, database="other")) == count)
    assert all(ratchet.proves(s) for s in seals(server))
    assert all(s["step"] is None for s in seals(server, database="other"))
    assert server.log().count("seals of the audit log have no proof: No such file or directory") == 1
    server.stop("immediate")
