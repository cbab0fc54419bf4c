"""kill -9 takes nothing that was acknowledged, and leaves no gap that looks like tampering."""
import os
import random
import threading
import time

import pytest
from crashes import heir, kill_one_of, kill_process, kill_server  # noqa: F401
from journal import Journal, audited, check_proofs, exported_problems, new_ratchet, problems, run, whole
from sealing import seal
from servers import as_server, sqlstate, wait_for

pytestmark = pytest.mark.usefixtures("heir")
LONG = os.environ.get("RG_LONG", "0") != "0"
ROUNDS = 50 if LONG else 3
CLIENTS = 6
LAST = "SELECT max(id), count(*), (SELECT count(*) FROM relay_guard.audit_seal) FROM relay_guard.audit_log"
SEALS = "SELECT seal_id FROM relay_guard.audit_seal ORDER BY 1"
SEALER = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'relay_guard sealer'"


def forgets_commits(client):
    """Half of the clients wish for commits that a crash may take."""
    return "SET synchronous_commit = off" if client % 2 else ""


def ends_whole(server, journal=None):
    """Another seal leaves no row without, and the ratchet has proved every one."""
    if journal:
        print(f"{ROUNDS} kills, {len(journal.acknowledged)} transactions acknowledged")
    seal(server)
    assert whole(server) == 0
    assert check_proofs(server, server.k0) > 1
    assert exported_problems(server, "postgres", server.k0) == []


@pytest.fixture
def crashing(make_server, tmp_path_factory):
    server = make_server(started=False)
    server.k0 = new_ratchet(server)
    audited(server.start())
    yield server
    assert "PANIC" not in server.log() and "TRAP" not in server.log()
    server.stop("immediate")


@pytest.fixture(scope="module")
def asynchronous(make_server):
    """A server that writes its log when it must."""
    server = audited(make_server({"wal_writer_delay": "10s", "autovacuum": "off", "checkpoint_timeout": "1h"}))
    yield server
    server.stop("immediate")


def test_kill_9_of_the_server_takes_nothing_that_was_acknowledged(crashing):
    """Also from clients that asked for synchronous_commit = off: an audited change is durable when it is acknowledged."""
    journal = Journal()
    for _ in range(ROUNDS):
        journal.start(crashing, CLIENTS, forgets_commits)
        time.sleep(random.uniform(0.05, 0.6))
        kill_server(crashing)
        journal.stop()
        crashing.start()
        journal.check(crashing)
        whole(crashing)
    ends_whole(crashing, journal)


@pytest.mark.parametrize("change", [
    "INSERT INTO app.entry VALUES ('late', 1)", "SELECT relay_guard.audit_event('late', 'shop')",
    "BEGIN; SAVEPOINT s; INSERT INTO app.entry VALUES ('later', 1); RELEASE s; COMMIT",
    "SELECT relay_guard.audit_seal()"])
def test_an_audited_change_is_durable_whatever_synchronous_commit_says(asynchronous, change):
    """The last that the server does before it dies, with nobody else there to write the log for it."""
    before = asynchronous.run(LAST)
    connection = asynchronous.connect()
    run(connection, f"SET synchronous_commit = off; {change}")
    kill_server(asynchronous)
    connection.close()
    asynchronous.start()
    assert asynchronous.run(LAST) != before
    assert problems(asynchronous) == []


def test_kill_9_of_a_backend(crashing):
    """The postmaster ends the others; what the witness held is gone, which the next seal counts."""
    journal = Journal()
    for _ in range(ROUNDS):
        journal.start(crashing, CLIENTS, forgets_commits)
        time.sleep(random.uniform(0.1, 0.4))
        victim = random.choice([client for client in journal.clients if client.is_alive()])
        kill_process(crashing, victim.connection.get_backend_pid())
        journal.stop()
        journal.check(crashing)
        whole(crashing)
    ends_whole(crashing, journal)


def test_kill_9_of_the_sealer(crashing):
    """Wherever it is just then."""
    journal = Journal()
    for _ in range(ROUNDS):
        journal.start(crashing, 2)
        time.sleep(random.uniform(0.1, 0.4))
        kill_one_of(crashing, SEALER)
        journal.stop()
        journal.check(crashing)
        whole(crashing)
    ends_whole(crashing, journal)


def test_kill_9_in_the_midst_of_a_seal(crashing):
    """It has its lock and its snapshot, and waits for a partition that somebody else holds."""
    seal(crashing)
    seals = crashing.run(SEALS)
    crashing.run("INSERT INTO app.entry VALUES ('unsealed', 1)")
    holder, sealer = crashing.connect(), crashing.connect()
    run(holder, "BEGIN")
    for partition, in run(holder, "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'relay_guard.audit_log'::regclass"):
        run(holder, f"LOCK TABLE {partition}")
    sealing = threading.Thread(target=sqlstate, args=(sealer, "SELECT relay_guard.audit_seal()"))
    sealing.start()
    pid = sealer.get_backend_pid()
    wait_for(lambda: crashing.value("SELECT wait_event_type FROM pg_stat_activity WHERE pid = %s", pid) == "Lock")
    assert crashing.run("SELECT 1 FROM pg_locks WHERE relation = 'relay_guard.audit_seal'::regclass AND granted AND pid = %s", pid)
    kill_process(crashing, pid)
    sealing.join()
    assert crashing.run(SEALS) == seals or whole(crashing) == 0
    ends_whole(crashing)


def test_crash_between_the_commit_of_a_seal_and_the_turn_of_the_ratchet(crashing):
    """The file is as it was before the seal then: it turns when the next seal is made, and no key is used twice."""
    ratchet = crashing.options["relay_guard.audit_ratchet_file"]
    for _ in range(2):
        crashing.stop()
        before = ratchet.read_bytes()
        crashing.start()
        crashing.run("UPDATE app.account SET tag = tag || '.'")
        seal(crashing)
        kill_server(crashing)
        assert ratchet.read_bytes() != before
        as_server("sh", "-c", f"cat > {ratchet}", input=before.decode())
        crashing.start()
        assert whole(crashing) == 0
        crashing.run("UPDATE app.account SET tag = tag || '.'")
        ends_whole(crashing)
    steps = [step for step, in crashing.run("SELECT step FROM relay_guard.audit_seal ORDER BY seal_id")]
    assert steps == sorted(set(steps))
