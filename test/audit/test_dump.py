"""A log that is dumped, restored, copied or rolled back in time stays verifiable, and goes on."""
import os
import pathlib
import shutil
import time

import pytest
from journal import ACCOUNTS, SCHEMA, Journal, audited, check_entries, check_seals, exported_problems, new_ratchet, problems, run, whole
from sealing import seal
from servers import BINDIR, as_server, own_folder, sqlstate, wait_for, write
from standbys import base_backup, follow

COLUMNS = """id, xid::text, occurred_at::text, epoch, key_id, action, resource_type, resource_id, actor, source, status,
             old::text, new::text, details::text, encode(mac, 'hex')"""
ROWS = f"SELECT {COLUMNS} FROM relay_guard.audit_log ORDER BY epoch, xid, id"
SEALS = "SELECT seal_id, row_epoch, snap::text, rows, ids::text, encode(root, 'hex') FROM relay_guard.audit_seal ORDER BY seal_id"
TABLES = "SELECT relation::text, resource_type, key::text, redact::text, omit::text FROM relay_guard.audited_table ORDER BY 1"
PARTITIONS = """
    SELECT c.oid::regclass::text, pg_get_expr(relpartbound, c.oid), relrowsecurity, relacl::text,
           (SELECT array_agg(pg_get_triggerdef(t.oid) ORDER BY tgname) FROM pg_trigger AS t WHERE tgrelid = c.oid),
           (SELECT array_agg(pg_get_indexdef(indexrelid) ORDER BY indexrelid::regclass::text) FROM pg_index WHERE indrelid = c.oid)
    FROM pg_class AS c JOIN pg_inherits ON inhrelid = c.oid WHERE inhparent = 'relay_guard.audit_log'::regclass ORDER BY 1"""
VISITS = """CREATE TABLE app.visit (id int, at int, PRIMARY KEY (id, at)) PARTITION BY LIST (id);
            CREATE TABLE app.visit_1 PARTITION OF app.visit FOR VALUES IN (1);
            SELECT relay_guard.audit('app.visit')"""
# Restored, it makes no rows of its own.  Tables without foreign keys: pg_restore --jobs takes no heed of those.
CONFIGURATION = """INSERT INTO relay_guard.upstream (name, url) VALUES ('shop', 'http://10.0.0.1');
                   INSERT INTO relay_guard.rate_policy (name, identify_by, quota, "window") VALUES ('shop', 'user', 5, '1 min');
                   SELECT relay_guard.api_key_create('shop'), relay_guard.webhook_secret_set('shop')"""
TRIGGERS = """SELECT tgrelid::regclass::text, tgname, tgenabled FROM pg_trigger
              WHERE tgname LIKE 'relay_guard_audit%' OR tgname = 'audit_refuse' ORDER BY 1, 2"""
DUMPS = {
    "plain": (["--format=plain"], 0),
    "inserts": (["--inserts", "--rows-per-insert=7"], 0),
    "custom": (["--format=custom"], 4),
    "directory": (["--format=directory", "--jobs=3"], 3),
}
FAKETIME = list(pathlib.Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))


def fill(server, rounds=2, database="shop"):
    """Changes, each round sealed; then some that are in no seal yet."""
    for _ in range(rounds):
        changes(server, database)
        seal(server, database)
    changes(server, database)


CHANGES = 20 + ACCOUNTS + 2


def changes(server, database="shop"):
    """So many rows of the log."""
    server.run("""INSERT INTO app.entry SELECT gen_random_uuid()::text, i FROM generate_series(1, 20) AS i;
                  UPDATE app.account SET tag = 'changed ' || random();
                  INSERT INTO app.visit SELECT 1, coalesce(max(at) + 1, 1) FROM app.visit;
                  SELECT relay_guard.audit_event('shop.opened', 'shop', 'Zürich', '{"at": 9}')""", database=database)


def months_ago(server):
    """Writes and seals with the clock of the month before last, so that there are partitions of the past."""
    if not FAKETIME or "ASAN_OPTIONS" in os.environ:
        return
    server.stop()
    as_server("env", f"LD_PRELOAD={FAKETIME[0]}", "FAKETIME=-62d", "FAKETIME_DONT_FAKE_MONOTONIC=1",
              BINDIR / "pg_ctl", "-w", "-D", server.data, "-l", server.log_file, "start")
    server.run("SELECT relay_guard.audit_maintain()", database="shop")
    fill(server)
    server.restart()
    server.run("SELECT relay_guard.audit_maintain()", database="shop")


@pytest.fixture(scope="module")
def source(make_server):
    """Database shop with months of rows, sealed and not, and audited tables."""
    server = make_server({"relay_guard.audit_seal_interval": 0})
    server.run("CREATE DATABASE shop")
    audited(server, "shop")
    server.run(VISITS, database="shop")
    server.run(CONFIGURATION, database="shop")
    months_ago(server)
    fill(server)
    yield server
    server.stop("immediate")


@pytest.fixture(scope="module")
def target(source, make_other):
    """A server of another cluster, with the ring of the source, for the restores of this file."""
    return make_other(source.keyring.read_text(), {"relay_guard.audit_seal_interval": 0})


def dump(source, name, *options):
    """What pg_dump writes of database shop."""
    path = source.folder / f"dump_{name}"
    shutil.rmtree(path, ignore_errors=True)
    source.program("pg_dump", "-d", "shop", "-f", path, *options)
    return path


def restore(server, path, *options, database="shop"):
    if path.is_dir() or not path.read_bytes().startswith(b"--"):
        said = server.program("pg_restore", "--exit-on-error", "-d", database, *options, path, check=False)
    else:
        said = server.program("psql", "-X", "-q", "-o", "/dev/null", "-v", "ON_ERROR_STOP=1", "-d", database, "-f", path, check=False)
    assert said == ""


def deleted(server, choice, database="shop"):
    """What audit_verify() says when a superuser deletes the row of this choice; it stays."""
    connection = server.connect(database, autocommit=False)
    (row_id, epoch), = run(connection, f"SELECT id, epoch FROM relay_guard.audit_log {choice} LIMIT 1")
    run(connection, "SET session_replication_role = replica")
    run(connection, "DELETE FROM relay_guard.audit_log WHERE id = %s AND epoch = %s", row_id, epoch)
    found = run(connection, "SELECT problem, id FROM relay_guard.audit_verify()")
    connection.close()
    return ("row_missing", row_id) in found


def unsealed(server, database):
    """What stands in no seal."""
    return server.run("""SELECT epoch, id FROM relay_guard.audit_log AS l WHERE NOT EXISTS
        (SELECT FROM relay_guard.audit_seal AS s WHERE s.row_epoch = l.epoch AND s.ids @> l.id)""", database=database)


def same_log(source, copy, database="shop"):
    for what in ROWS, SEALS, TABLES, PARTITIONS, TRIGGERS:
        assert copy.run(what, database=database) == source.run(what, database="shop")


def goes_on(server, database="shop", new_epoch=True, first_keys=()):
    """The copy verifies as it is; it writes, seals what had no seal and what it wrote, and tampering with either is found."""
    epochs = "SELECT DISTINCT epoch FROM relay_guard.audit_log"
    assert problems(server, database) == []
    before, last = server.run(epochs, database=database), server.value("SELECT max(id) FROM relay_guard.audit_log", database=database)
    left = unsealed(server, database)
    changes(server, database)
    assert server.value("SELECT count(*) FROM relay_guard.audit_log WHERE id > %s", last, database=database) == CHANGES
    assert problems(server, database) == []
    seal(server, database)
    assert whole(server, database) == 0
    assert len(server.run(epochs, database=database)) == len(before) + new_epoch
    assert deleted(server, f"WHERE id <= {last}", database) and deleted(server, f"WHERE id > {last}", database)
    if left:
        assert deleted(server, "WHERE epoch = %d AND id = %d" % left[0], database)
    assert server.value("SELECT relay_guard.audit_maintain()", database=database) == 0
    connection = server.connect(database)
    assert sqlstate(connection, "UPDATE relay_guard.audit_log SET actor = 'nobody'")
    assert sqlstate(connection, "DELETE FROM relay_guard.audit_seal")
    connection.close()
    changes(server, database)
    seal(server, database)
    assert whole(server, database) == 0
    assert exported_problems(server, database, *first_keys) == []


@pytest.mark.parametrize("name", DUMPS)
def test_restored_dump(source, target, name):
    options, jobs = DUMPS[name]
    database = f"shop_{name}"
    target.run(f"CREATE DATABASE {database}")
    restore(target, dump(source, name, *options), *([f"--jobs={jobs}"] if jobs else []), database=database)
    same_log(source, target, database)
    assert unsealed(target, database)
    goes_on(target, database)


def test_a_restored_log_is_dumped_and_restored_again(source, target, make_other):
    """Rows of three clusters in one chain."""
    target.run("CREATE DATABASE second")
    restore(target, dump(source, "first", "--format=plain"), database="second")
    changes(target, "second")
    seal(target, "second")
    changes(target, "second")
    path = source.folder / "second"
    target.program("pg_dump", "-d", "second", "-f", path)
    source.run("CREATE DATABASE third")
    restore(source, path, database="third")
    goes_on(source, "third")
    assert source.value("SELECT count(DISTINCT epoch) FROM relay_guard.audit_log", database="third") == 3


def test_restored_over_what_there_is(source, target):
    """pg_restore --clean, into a database that has a log of its own."""
    target.run("CREATE DATABASE over")
    audited(target, "over")
    seal(target, "over")
    restore(target, dump(source, "over", "--format=custom"), "--clean", "--if-exists", database="over")
    same_log(source, target, "over")
    goes_on(target, "over")


def test_schema_and_data_apart(source, target):
    """What refuses changes stands there before the rows come: --disable-triggers lets a superuser restore them."""
    target.run("CREATE DATABASE apart")
    restore(target, dump(source, "schema", "--schema-only"), database="apart")
    restore(target, dump(source, "data", "--data-only", "--disable-triggers"), database="apart")
    same_log(source, target, "apart")
    goes_on(target, "apart")


def test_data_only_into_a_schema_that_was_made_anew(source, target):
    target.run("CREATE DATABASE anew")
    target.run("CREATE EXTENSION relay_guard", database="anew")
    for part in SCHEMA, VISITS:
        target.run(part.split("SELECT relay_guard.audit(")[0], database="anew")
    # No audit() yet, which would write a row of its own; partitions of the months that the dump has
    for name, bounds, *_ in source.run(PARTITIONS, database="shop"):
        target.run(f"CREATE TABLE {name} PARTITION OF relay_guard.audit_log {bounds}", database="anew")
    restore(target, dump(source, "data", "--data-only", "--disable-triggers"), database="anew")
    target.run("""SELECT relay_guard.audit_maintain();
                  SELECT relay_guard.audit('app.account'), relay_guard.audit('app.entry', 'entry', '{tag,line}'),
                         relay_guard.audit('app.visit')""", database="anew")
    goes_on(target, "anew", new_epoch=False)


def test_dumpall(source, make_other):
    server = make_other(source.keyring.read_text(), {"relay_guard.audit_seal_interval": 0})
    path = source.folder / "all.sql"
    source.program("pg_dumpall", "-f", path)
    said = server.program("psql", "-X", "-q", "-d", "postgres", "-f", path)
    assert [line for line in said.splitlines() if "ERROR" in line and 'role "postgres" already exists' not in line] == []
    same_log(source, server)
    goes_on(server)


def test_restore_while_the_sealer_is_at_work(source, make_other):
    """It waits until the log is all there, rather than seal half of it and take numbers that the dump brings."""
    server = make_other(source.keyring.read_text(), {"relay_guard.audit_seal_interval": 1, "relay_guard.databases": "shop"})
    path = dump(source, "sections", "--format=custom")
    server.run("CREATE DATABASE shop")
    for section in "pre-data", "data", "post-data":
        restore(server, path, f"--section={section}")
        server.restart()  # which is when a sealer looks at every log, and makes what partitions are missing
        time.sleep(1)
    same_log_prefix(source, server)
    wait_for(lambda: not unsealed(server, "shop"))
    goes_on(server)


def test_dumped_while_it_is_written_and_sealed(source, target):
    """By several sessions of pg_dump in one snapshot, which cuts transactions and seals off where it is."""
    target.run("CREATE DATABASE busy")
    audited(target, "busy")
    target.run(VISITS, database="busy")
    journal = Journal()
    journal.start(target, 3, database="busy")
    wait_for(lambda: len(journal.acknowledged) > 100)
    path = source.folder / "dump_busy"
    target.program("pg_dump", "-d", "busy", "-f", path, "--format=directory", "--jobs=3")
    journal.stop()
    journal.check(target, "busy")
    source.run("CREATE DATABASE busy")
    restore(source, path, "--jobs=3", database="busy")
    assert 100 < check_entries(source, "busy") <= check_entries(target, "busy")
    goes_on(source, "busy")


def same_log_prefix(source, server):
    """All that the source has; the sealer may have added to it."""
    for what in ROWS, SEALS:
        assert set(source.run(what, database="shop")) <= set(server.run(what, database="shop"))


def test_database_from_a_template(source):
    """The rows that had no seal get one in the new database, whose xids are the server's, but not its own."""
    source.run("CREATE DATABASE copy TEMPLATE shop")
    same_log(source, source, "copy")
    goes_on(source, "copy")
    assert problems(source, "shop") == []
    source.run("DROP DATABASE copy")


def upgraded(source, make_other):
    """pg_upgrade of a copy of the source to a new cluster."""
    old, new = source.folder / "old_data", make_other(source.keyring.read_text(), {"relay_guard.audit_seal_interval": 0}, started=False)
    source.stop()
    as_server("cp", "-a", source.data, old)
    source.start()
    shutil.copy(old / "postgresql.auto.conf", new.data)
    work = own_folder(None)
    try:
        said = as_server("sh", "-c", f"cd {work} && exec {BINDIR}/pg_upgrade -U postgres -b {BINDIR} -B {BINDIR} -d {old} -D {new.data} -s {work} --link --no-sync",
                         check=False)
        assert said.returncode == 0, said.stdout
    finally:
        shutil.rmtree(work)
    return new.start()


def test_pg_upgrade(source, make_other):
    new = upgraded(source, make_other)
    same_log(source, new)
    goes_on(new)


@pytest.fixture
def primary(make_server):
    """A server that archives, with a ratchet."""
    server = make_server(started=False)
    archive = own_folder(server.folder)
    server.k0 = new_ratchet(server, "shop")
    server.options.update({"relay_guard.audit_seal_interval": 0, "archive_mode": "on", "archive_command": f"cp %p {archive}/%f",
                           "restore_command": f"cp {archive}/%f %p"})
    server.start()
    server.run("CREATE DATABASE shop")
    audited(server, "shop")
    server.run(VISITS, database="shop")
    fill(server)
    return server


def take_ratchet(primary, server):
    """Moves a copy of the ratchet file along, as an operator does."""
    copy = server.folder / "ratchet"
    as_server("cp", "-p", primary.options["relay_guard.audit_ratchet_file"], copy)
    server.options["relay_guard.audit_ratchet_file"] = copy


def test_promoted_standby(primary):
    """It verifies while it follows, and goes on with a ratchet that was copied seals ago."""
    standby = base_backup(primary)
    take_ratchet(primary, standby)
    follow(primary, standby)
    try:
        fill(primary)
        at = primary.value("SELECT pg_current_wal_insert_lsn()")
        wait_for(lambda: standby.value("SELECT pg_last_wal_replay_lsn() >= %s", at))
        same_log(primary, standby)
        whole(standby, "shop")
        assert sqlstate(standby.connect("shop"), "SELECT relay_guard.audit_seal()") == "25006"
        primary.stop("immediate")
        standby.pg_ctl("promote")
        whole(standby, "shop")
        goes_on(standby, new_epoch=False, first_keys=[primary.k0])
    finally:
        standby.stop("immediate")


def test_standby_whose_primary_dies_under_load(primary):
    """It may lack what was acknowledged last, but has no change without its row, nor a seal without its rows."""
    standby = base_backup(primary)
    take_ratchet(primary, standby)
    follow(primary, standby)
    try:
        journal = Journal()
        journal.start(primary, 3, database="shop")
        wait_for(lambda: standby.value("SELECT count(*) FROM app.entry", database="shop") > 500)
        primary.stop("immediate")
        journal.stop()
        standby.pg_ctl("promote")
        assert check_entries(standby, "shop") > 500
        whole(standby, "shop")
        goes_on(standby, new_epoch=False, first_keys=[primary.k0])
    finally:
        standby.stop("immediate")


def test_recovery_to_a_time_before_some_seals(primary):
    """The ratchet file remembers them: audit_verify() says which are missing, now and after others took their place."""
    server = base_backup(primary)
    fill(primary)
    primary.run("SELECT pg_create_restore_point('here')")
    kept = primary.run(SEALS, database="shop")
    fill(primary)
    lost = len(primary.run(SEALS, database="shop")) - len(kept)
    primary.run("SELECT pg_switch_wal()")
    primary.stop()
    take_ratchet(primary, server)
    server.options.update({"recovery_target_name": "here", "recovery_target_action": "promote"})
    write(server.data / "recovery.signal", "")
    server.start()
    try:
        wait_for(lambda: not server.value("SELECT pg_is_in_recovery()"))
        assert server.run(SEALS, database="shop") == kept
        last = server.value("SELECT max(step) FROM relay_guard.audit_seal", database="shop")
        (problem, seal_id, detail), = problems(server, "shop")
        assert (problem, seal_id) == ("tail_missing", len(kept))
        assert detail == f"the ratchet is at step {last + lost + 1}, but the last seal at {last}"
        changes(server)
        seal(server, "shop")
        assert check_seals(server, "shop") == 0
        (problem, seal_id, detail), = problems(server, "shop")
        assert (problem, seal_id) == ("tail_missing", len(kept) + 1)
        assert detail == f"of the ratchet's steps {last + 1} to {last + lost} no seal is left"
        assert exported_problems(server, "shop", primary.k0) == ["tail_missing"]
    finally:
        server.stop("immediate")


def test_a_new_ratchet_for_a_restored_log(source, make_other):
    """K0 is another one from here on; what the old one proved it still proves."""
    server = make_other(source.keyring.read_text(), started=False)
    k0 = new_ratchet(server, "shop")
    server.options["relay_guard.audit_seal_interval"] = 0
    server.start()
    server.run("CREATE DATABASE shop")
    restore(server, dump(source, "ratcheted", "--format=custom"))
    goes_on(server, first_keys=[k0])
