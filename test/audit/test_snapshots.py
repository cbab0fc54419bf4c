"""Seals go on, in constant time, whatever transactions are open, and cover each row once in whatever order it commits."""
import itertools
import os
import random

import pytest
from journal import Journal, audited, problems, run, whole
from sealing import seal
from servers import sqlstate

LONG = os.environ.get("RG_LONG", "0") != "0"
UNWITNESSED = "SELECT sum(unwitnessed)::int FROM relay_guard.audit_seal"
TAGS = itertools.count()


@pytest.fixture(scope="module")
def log(make_server):
    """A server whose seals are made by hand only."""
    server = audited(make_server({"max_prepared_transactions": 20, "relay_guard.audit_seal_interval": 0, "autovacuum": "off",
                                  "max_locks_per_transaction": 256}))
    yield server
    server.stop("immediate")


@pytest.fixture
def sessions(log):
    """sessions() opens one that ends with the test."""
    opened = []

    def open_session(begin=None):
        opened.append(log.connect())
        if begin:
            run(opened[-1], begin)
        return opened[-1]

    yield open_session
    for connection in opened:
        connection.close()


def change(connection, rows=1):
    run(connection, f"INSERT INTO app.entry SELECT 'row {next(TAGS)}', generate_series(1, {rows})")


def change_and_seal(server, times=1, session=None):
    connection = session or server.connect()
    for _ in range(times):
        change(connection)
        run(connection, "SELECT relay_guard.audit_seal()")
    if not session:
        connection.close()


def ends_sealed(server):
    """Nothing is wrong before the next seal, and after it no row is left without."""
    whole(server)
    seal(server)
    return whole(server) == 0


def rows_read_by_a_seal(connection):
    """How many rows of the log and of the seals, by the server's statistics."""
    count = """SELECT pg_stat_force_next_flush(), sum(pg_stat_get_tuples_returned(oid) + pg_stat_get_tuples_fetched(oid))
               FROM pg_class WHERE relname LIKE 'audit\\_%' AND relnamespace = 'relay_guard'::regnamespace"""
    run(connection, "SET stats_fetch_consistency = none")
    change(connection)
    read = []
    for _ in range(2):
        run(connection, "SELECT pg_stat_force_next_flush()")
        read.append(run(connection, count)[0][1])
        run(connection, "SELECT relay_guard.audit_seal()")
    return int(read[1] - read[0])


def test_pain_waiting_for_xmin_lets_a_held_snapshot_stop_all_seals(log, sessions):
    reader = sessions("BEGIN ISOLATION LEVEL REPEATABLE READ")
    seen = run(reader, "SELECT count(*) FROM relay_guard.audit_log")
    writer = sessions("BEGIN")
    change(writer)
    idle = sessions("BEGIN; SELECT pg_current_xact_id()")
    for _ in range(5):
        change_and_seal(log)
        assert whole(log) == 0, "a visible row has no seal"
    assert run(reader, "SELECT count(*) FROM relay_guard.audit_log") == seen
    assert run(reader, "SELECT problem, id FROM relay_guard.audit_verify()") == []
    run(writer, "COMMIT")
    assert whole(log) == 1, "the row that came late awaits its seal"
    assert ends_sealed(log)
    change(idle)
    run(idle, "COMMIT")
    assert whole(log) == 1
    assert ends_sealed(log)


def test_pain_a_forgotten_prepared_transaction_stops_all_seals(log, sessions):
    """Neither it nor the number of seals since makes a seal read more."""
    forgetful = sessions("BEGIN")
    change(forgetful)
    run(forgetful, "PREPARE TRANSACTION 'forgotten'")
    rolled_back = sessions("BEGIN")
    change(rolled_back)
    run(rolled_back, "PREPARE TRANSACTION 'rolled back'")
    sealer = sessions()
    change_and_seal(log, 3, sealer)
    first = rows_read_by_a_seal(sealer)
    change_and_seal(log, 60, sealer)
    last = rows_read_by_a_seal(sealer)
    assert 0 < last <= first + 5
    assert whole(log) == 0
    run(forgetful, "COMMIT PREPARED 'forgotten'")
    run(rolled_back, "ROLLBACK PREPARED 'rolled back'")
    assert whole(log) == 1
    assert ends_sealed(log)
    assert log.value(UNWITNESSED) == 0


def test_prepared_transactions_are_committed_after_a_restart_and_after_a_crash(log, sessions):
    for mode in "fast", "immediate":
        session = sessions("BEGIN")
        change(session, 30)
        run(session, "SAVEPOINT s")
        change(session)
        run(session, "ROLLBACK TO s")
        run(session, "PREPARE TRANSACTION 'kept'")
        change_and_seal(log, 3)
        log.restart(mode)
        assert whole(log) == 0
        change_and_seal(log, 3)
        log.run("COMMIT PREPARED 'kept'")
        assert whole(log) == 30
        assert ends_sealed(log)
        assert log.value("SELECT unwitnessed FROM relay_guard.audit_seal ORDER BY seal_id DESC LIMIT 1") == 1


def test_pain_ids_that_commit_out_of_order_read_as_forged(log, sessions):
    first, second, third = (sessions("BEGIN") for _ in range(3))
    for session in first, second, third:
        change(session)
    for session in second, first, third:
        run(session, "COMMIT")
        assert whole(log) == 1
        assert ends_sealed(log)
    ids = log.run("SELECT array_agg(id), array_agg(xid::text::bigint) FROM (SELECT * FROM relay_guard.audit_log ORDER BY id DESC LIMIT 3) AS l")
    assert len(set(map(str, ids[0]))) == 2


def test_ids_against_the_order_of_xids(log, sessions):
    """Whoever has the older xid may write later."""
    early, late = sessions("BEGIN; SELECT pg_current_xact_id()"), sessions("BEGIN")
    change(late)
    change(early)
    run(early, "COMMIT")
    assert ends_sealed(log)
    run(late, "COMMIT")
    assert ends_sealed(log)


def test_pain_gaps_from_rollbacks_and_crashes_read_as_deleted_rows(log, sessions):
    session = sessions()
    for end in "ROLLBACK", "COMMIT", "ROLLBACK":
        run(session, "BEGIN")
        change(session, 3)
        run(session, end)
    run(session, "SELECT nextval('relay_guard.audit_log_id_seq') FROM generate_series(1, 100)")
    assert ends_sealed(log)
    log.restart("immediate")
    change_and_seal(log)
    assert whole(log) == 0


def test_transactions_of_more_subtransactions_than_a_snapshot_holds(log, sessions):
    session = sessions("BEGIN")
    for i in range(150):
        run(session, f"SAVEPOINT s{i}")
        change(session)
        if i % 3 == 0:
            run(session, f"ROLLBACK TO s{i}")
        if i % 50 == 10:
            change_and_seal(log)
            assert whole(log) == 0
    run(session, "COMMIT")
    assert whole(log) == 100
    assert ends_sealed(log)
    run(session, """DO $$ BEGIN FOR i IN 1..200 LOOP
        BEGIN
            INSERT INTO app.entry VALUES ('caught', i);
            IF i % 2 = 0 THEN RAISE 'undone'; END IF;
        EXCEPTION WHEN raise_exception THEN NULL;
        END; END LOOP; END $$""")
    assert whole(log) == 100
    assert ends_sealed(log)
    assert log.value("SELECT bool_and(findings IS NULL) FROM relay_guard.audit_seal")


def test_serializable_transactions_conflict_no_more_than_without_a_log(log, sessions):
    for session in (pair := [sessions("SET enable_seqscan = off; BEGIN ISOLATION LEVEL SERIALIZABLE") for _ in range(2)]):
        run(session, "SELECT * FROM app.account WHERE id = 1")
    for i, session in enumerate(pair):
        run(session, f"UPDATE app.account SET tag = 'serial' WHERE id = {5 + i}")
        change_and_seal(log)
    for session in pair:
        run(session, "COMMIT")
    assert ends_sealed(log)
    before = log.value("SELECT count(*) FROM relay_guard.audit_log")
    for session in pair:
        run(session, "BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT * FROM app.account WHERE id IN (7, 8)")
    for i, session in enumerate(pair):
        run(session, f"UPDATE app.account SET tag = 'skewed' WHERE id = {7 + i}")
    outcomes = [sqlstate(session, "COMMIT") for session in pair]
    assert sorted(map(str, outcomes)) == ["40001", "None"]
    assert log.value("SELECT count(*) FROM relay_guard.audit_log") == before + 1
    assert ends_sealed(log)


def test_a_snapshot_taken_before_many_seals_writes_after_them(log, sessions):
    session = sessions("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM app.entry")
    change_and_seal(log, 5)
    change(session)
    change_and_seal(log)
    run(session, "COMMIT")
    assert whole(log) == 1
    assert ends_sealed(log)


class Walk:
    """Sessions that begin, change, save, prepare, commit and roll back as chance has it."""

    def __init__(self, server, seed, sessions=6):
        self.random = random.Random(seed)
        self.server = server
        self.sessions = [server.connect() for _ in range(sessions)]
        self.open = [False] * sessions
        self.prepared = []
        self.names = itertools.count()

    def step(self):
        i = self.random.randrange(len(self.sessions))
        session = self.sessions[i]
        if not self.open[i]:
            run(session, "BEGIN ISOLATION LEVEL " + self.random.choice(["READ COMMITTED", "REPEATABLE READ"]))
            self.open[i] = True
            return
        action = self.random.choice(["change"] * 4 + ["save", "undo", "commit", "roll back", "prepare", "finish"])
        getattr(self, action.replace(" ", "_"))(i, session)

    def change(self, _, session):
        change(session, self.random.choice([1, 1, 30]))

    def save(self, _, session):
        run(session, "SAVEPOINT s")

    def undo(self, _, session):
        run(session, "SAVEPOINT s")
        change(session)
        run(session, "ROLLBACK TO s")

    def commit(self, i, session):
        run(session, "COMMIT")
        self.open[i] = False

    def roll_back(self, i, session):
        run(session, "ROLLBACK")
        self.open[i] = False

    def prepare(self, i, session):
        if len(self.prepared) < 10:
            self.prepared.append(f"walk {next(self.names)}")
            run(session, f"PREPARE TRANSACTION '{self.prepared[-1]}'")
            self.open[i] = False

    def finish(self, *_):
        if self.prepared:
            name = self.prepared.pop(self.random.randrange(len(self.prepared)))
            self.server.run(f"{self.random.choice(['COMMIT', 'ROLLBACK'])} PREPARED '{name}'")

    def end(self):
        while self.prepared:
            self.finish()
        for session in self.sessions:
            session.close()


@pytest.mark.parametrize("seed", range(30 if LONG else 3))
def test_any_order_of_transactions_and_seals(log, seed):
    walk = Walk(log, seed)
    unwitnessed = log.value(UNWITNESSED)
    for _ in range(20):
        for _ in range(walk.random.randrange(15)):
            walk.step()
        assert ends_sealed(log)
    walk.end()
    assert ends_sealed(log)
    assert log.value("SELECT bool_and(findings IS NULL) FROM relay_guard.audit_seal")
    assert log.value(UNWITNESSED) == unwitnessed


def test_two_databases_of_one_server(log):
    """They share xids, the witness and nothing else."""
    journals = {database: Journal() for database in ("one", "two")}
    for database in journals:
        log.run(f"CREATE DATABASE {database}")
        audited(log, database)
    for database, journal in journals.items():
        journal.start(log, 2, database=database)
    journals["two"].clients[0].join(0.4)
    for database, journal in journals.items():
        journal.stop()
        whole(log, database)
        seal(log, database)
        assert whole(log, database) == 0
        assert journal.check(log, database) > 0
        assert log.value("SELECT bool_and(findings IS NULL) FROM relay_guard.audit_seal", database=database)
    one, two = (log.run("SELECT DISTINCT epoch FROM relay_guard.audit_log", database=database) for database in journals)
    assert len(one) == len(two) == 1 and one != two
    log.run("DROP DATABASE two")
    assert problems(log, "one") == []
