"""What a superuser does to the log with its triggers out of the way, audit_verify() names."""
import datetime

import audit_formats
import psycopg2
import pytest
from audit_formats import exported, formats, hexadecimal, Log, Row, Seal, server_problems, sign_seal, tool

MONTHS = ("2026-10-30 12:00:00", "2026-11-21 10:32:43")
OTHER = hexadecimal(bytes(32))


def made_log(key):
    """Two months with a seal each, a third seal over rows out of order, and a row that waits."""
    log = Log(key, epoch="5")
    for month in MONTHS:
        log.at = datetime.datetime.fromisoformat(month).replace(tzinfo=datetime.timezone.utc)
        log.add(4, actor="alice", via="token", workspace_id="w1", resource_id="42", request_id="r-1",
                api_key_id="0199c0de-0000-7000-8000-00000000abcd", session_id="s", client_ip="192.0.2.7",
                old='{"n": 1.50, "t": "grüße"}', details='{"x": null}')
        late = log.next_xid
        log.next_xid += 1
        log.add(2)
        log.seal(running=[late])
    log.next_id += 3
    log.add(2, xid=late)
    log.add(1, action="audit.start", source="system", new=None)
    log.seal()
    log.add(1)
    return log


@pytest.fixture(scope="module")
def log(server):
    made = made_log(audit_formats.ring_key(server))
    connection = server.connect()
    audit_formats.put(connection, made)
    connection.close()
    return made


@pytest.fixture
def superuser(server, log):
    """A transaction that is rolled back, in which no trigger fires."""
    connection = server.connect(autocommit=False)
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
    yield connection
    connection.rollback()
    connection.close()


@pytest.fixture
def tampered(superuser):
    """What audit_verify() says after a statement, for which no constraint stands in the way."""
    def run(statement, *arguments):
        with superuser.cursor() as cursor:
            cursor.execute("""ALTER TABLE relay_guard.audit_log DROP CONSTRAINT IF EXISTS audit_log_source_check,
                                  DROP CONSTRAINT IF EXISTS audit_log_status_check, DROP CONSTRAINT IF EXISTS audit_log_mac_check;
                              ALTER TABLE relay_guard.audit_seal DROP CONSTRAINT IF EXISTS audit_seal_pkey""")
            cursor.execute(statement, arguments or None)
        return sorted(server_problems(superuser))
    return run


def test_whole_log_has_no_problem(superuser):
    assert server_problems(superuser) == []


CHANGES = {
    "id": "id + 900", "xid": "'1'", "occurred_at": "occurred_at + interval '1 microsecond'", "epoch": "epoch + 1",
    "api_key_id": "'0199c0de-0000-7000-8000-00000000abce'", "client_ip": "'192.0.2.6'", "old": "'{\"n\": 1.51}'",
    "new": "NULL", "details": "'{}'", "mac": "set_byte(mac, 31, get_byte(mac, 31) # 1)", "key_id": "2"}


@pytest.mark.parametrize("column", Row._fields)
@pytest.mark.parametrize("row_id", [2, 8])
def test_one_byte_of_any_column(tampered, column, row_id):
    change = CHANGES.get(column, f"overlay(coalesce({column}, 'x') placing 'y' from 1 for 1)")
    found = tampered(f"UPDATE relay_guard.audit_log SET {column} = {change} WHERE id = {row_id}")
    expected = {"id": [("row_inserted", row_id + 900), ("row_missing", row_id)],
                "epoch": [("row_changed", row_id), ("row_missing", row_id)], "key_id": [("key_missing", row_id)]}
    assert found == expected.get(column, [("row_changed", row_id)])


def test_null_and_the_empty_text_are_different(tampered):
    assert tampered("UPDATE relay_guard.audit_log SET via = '' WHERE id = 5") == [("row_changed", 5)]


def test_text_that_moves_from_one_column_to_the_next(tampered):
    assert tampered("UPDATE relay_guard.audit_log SET actor = 'alic', via = 'etoken' WHERE id = 2") == [("row_changed", 2)]


def test_row_that_no_seal_has_yet(tampered, log):
    last = int(log.rows[-1].id)
    assert tampered(f"UPDATE relay_guard.audit_log SET actor = 'mallory' WHERE id = {last}") == [("row_changed", last)]


@pytest.mark.parametrize("gone, found", [((3,), [3]), ((1,), [1]), ((1, 2, 3, 4), [1]), ((2, 3, 5), [2, 5])])
def test_deleted_rows(tampered, gone, found):
    problems = tampered("DELETE FROM relay_guard.audit_log WHERE id = ANY(%s)", list(gone))
    assert problems == [("row_missing", row_id) for row_id in found]


def test_everything_deleted(tampered):
    assert tampered("DELETE FROM relay_guard.audit_log") == [("row_missing", 1), ("row_missing", 7), ("row_missing", 16)]
    assert tampered("DELETE FROM relay_guard.audit_seal") == []


def test_partition_that_was_dropped(tampered):
    assert tampered("DROP TABLE relay_guard.audit_log_2026_10") == [("row_missing", 1)]


def test_forged_rows(tampered):
    copy = """INSERT INTO relay_guard.audit_log
              SELECT (jsonb_populate_record(l, %s)).* FROM relay_guard.audit_log l WHERE id = 2"""
    assert tampered(copy, '{"id": 500}') == [("row_inserted", 500)]
    assert tampered(copy, '{"id": 501, "xid": "99999"}') == [("row_changed", 501), ("row_inserted", 500)]


def test_forged_row_in_a_gap_of_the_ids(tampered):
    assert tampered("""INSERT INTO relay_guard.audit_log SELECT (jsonb_populate_record(l, '{"id": 14}')).*
                       FROM relay_guard.audit_log l WHERE id = 16""") == [("row_inserted", 14)]


@pytest.mark.parametrize("row_id", [2, 16])
def test_replayed_copy_of_an_authentic_row(tampered, row_id):
    assert tampered("INSERT INTO relay_guard.audit_log SELECT * FROM relay_guard.audit_log WHERE id = %s",
                    row_id) == [("row_duplicated", row_id)]


def test_copy_in_the_place_of_a_deleted_row(tampered):
    assert tampered("""WITH gone AS (DELETE FROM relay_guard.audit_log WHERE id = 3)
                       INSERT INTO relay_guard.audit_log SELECT * FROM relay_guard.audit_log WHERE id = 2
                       """) == [("row_duplicated", 2), ("row_missing", 3)]


def test_two_swapped_rows(tampered):
    assert tampered("UPDATE relay_guard.audit_log SET id = CASE id WHEN 2 THEN 9 ELSE 2 END WHERE id IN (2, 9)"
                    ) == [("row_changed", 2), ("row_changed", 9)]


SEAL_CHANGES = {
    "epoch": "epoch + 1", "row_epoch": "row_epoch + 1", "snap": "'1:1:'", "month": "'2026-09-01'", "rows": "rows - 1",
    "ids": "'{[7,20)}'", "unwitnessed": "9", "findings": "'[]'", "sealed_at": "sealed_at + interval '1 microsecond'",
    "previous": OTHER, "key_id": "2", "step": "0"}


@pytest.mark.parametrize("column", [column for column in Seal._fields if column not in ("seal_id", "proof")])
def test_each_column_of_a_seal(tampered, column):
    change = SEAL_CHANGES.get(column, f"set_byte({column}, 31, get_byte({column}, 31) # 1)")
    change = f"'{change}'" if change.startswith("\\x") else change
    assert ("seal_changed", 2) in tampered(f"UPDATE relay_guard.audit_seal SET {column} = {change} WHERE seal_id = 2")


def test_seals_that_are_gone_numbered_anew_or_there_twice(tampered):
    assert tampered("UPDATE relay_guard.audit_seal SET seal_id = 7 WHERE seal_id = 3") == [
        ("seal_changed", 7), ("seal_missing", 3)]
    assert ("seal_missing", 2) in tampered("DELETE FROM relay_guard.audit_seal WHERE seal_id = 2")
    assert ("seal_duplicated", 1) in tampered("INSERT INTO relay_guard.audit_seal SELECT * FROM relay_guard.audit_seal WHERE seal_id = 1")


def test_proof_that_a_seal_did_not_have(tampered):
    for change in ("step = -5", "proof = root", "step = -5, proof = root"):
        assert ("seal_changed", 3) in tampered(f"UPDATE relay_guard.audit_seal SET {change} WHERE seal_id = 3")


@pytest.mark.parametrize("column", ["snap", "ids", "root", "month", "row_epoch"])
def test_seal_that_lost_a_value(superuser, column):
    with superuser.cursor() as cursor:
        cursor.execute(f"""ALTER TABLE relay_guard.audit_seal ALTER {column} DROP NOT NULL;
                           UPDATE relay_guard.audit_seal SET {column} = NULL WHERE seal_id = 2""")
    assert ("seal_changed", 2) in server_problems(superuser)


def test_forged_seal_with_absurd_ids(tampered):
    for ids in ("{[1,9223372036854775807)}", "{[-9223372036854775808,9223372036854775807)}"):
        found = tampered("UPDATE relay_guard.audit_seal SET ids = %s, rows = 9223372036854775806 WHERE seal_id = 1", ids)
        assert ("seal_changed", 1) in found


def test_partition_restored_from_an_older_copy(tampered):
    """Of its rows, those are gone that were written since the copy was made."""
    assert tampered("""CREATE TABLE older AS SELECT * FROM relay_guard.audit_log_2026_11 WHERE id < 15;
                       TRUNCATE relay_guard.audit_log_2026_11;
                       INSERT INTO relay_guard.audit_log_2026_11 SELECT * FROM older""") == [("row_missing", 16)]


def test_row_that_no_index_knows(tampered):
    """Rows are read from the table's pages: what was hidden from the indexes is seen."""
    assert tampered("""UPDATE pg_index SET indisready = false
                       WHERE indrelid = 'relay_guard.audit_log_2026_11'::regclass;
                       INSERT INTO relay_guard.audit_log_2026_11 SELECT * FROM relay_guard.audit_log WHERE id = 9
                       """) == [("row_duplicated", 9)]


def test_value_that_cannot_be_read_is_named_by_its_place(superuser, tampered):
    with superuser.cursor() as cursor:
        cursor.execute("""CREATE EXTENSION pg_surgery;
                          ALTER TABLE relay_guard.audit_log_2026_11 ALTER old SET STORAGE EXTERNAL;
                          INSERT INTO relay_guard.audit_log_2026_11 SELECT (jsonb_populate_record(l,
                              jsonb_build_object('id', 700, 'old', jsonb_build_object('x', repeat('x', 9000))))).*
                          FROM relay_guard.audit_log l WHERE id = 9""")
        cursor.execute("SELECT reltoastrelid FROM pg_class WHERE oid = 'relay_guard.audit_log_2026_11'::regclass")
        toast = cursor.fetchone()[0]
    with pytest.raises(psycopg2.Error) as failure:
        tampered(f"SELECT heap_force_kill({toast}, ARRAY['(0,1)'::tid])")
    assert 'of partition "audit_log_2026_11" of the audit log' in failure.value.diag.context


def test_mac_of_another_length(tampered):
    assert tampered("UPDATE relay_guard.audit_log SET mac = substr(mac, 1, 31) WHERE id = 2") == [("row_changed", 2)]


def test_columns_that_lost_their_values(superuser):
    with superuser.cursor() as cursor:
        cursor.execute("""ALTER TABLE relay_guard.audit_log ALTER mac DROP NOT NULL, ALTER xid DROP NOT NULL,
                              ALTER action DROP NOT NULL;
                          UPDATE relay_guard.audit_log SET mac = NULL WHERE id = 2;
                          UPDATE relay_guard.audit_log SET xid = NULL WHERE id = 9;
                          UPDATE relay_guard.audit_log SET action = NULL WHERE id = 5""")
    assert sorted(server_problems(superuser)) == [("row_changed", 2), ("row_changed", 5), ("row_changed", 9),
                                                  ("row_missing", 2), ("row_missing", 9)]


def test_forged_findings_do_not_end_the_verification(tampered):
    assert tampered("UPDATE relay_guard.audit_seal SET findings = '[{\"id\": 1e30}]' WHERE seal_id = 2") == [("seal_changed", 2)]


def rewritten(connection, log, key):
    """With the ring in hand: a row anew, its seal, and all later ones."""
    log.rewrite(1, key, actor="mallory")
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM relay_guard.audit_log; DELETE FROM relay_guard.audit_seal")
    audit_formats.copy_into(connection, "relay_guard.audit_log", log.rows)
    audit_formats.copy_into(connection, "relay_guard.audit_seal", log.seals)
    return log


def test_who_has_the_ring_is_found_by_an_anchor_not_here(server, superuser, tmp_path):
    """audit_verify() says nothing: it has the same keys as whoever did it."""
    key = audit_formats.ring_key(server)
    whole = made_log(key)
    anchor = formats.read_bytea(whole.seals[-1].root)
    rewritten(superuser, made_log(key), key)
    assert server_problems(superuser) == []
    found = []
    tool.verify({1: key}, *exported(superuser, tmp_path), (), [(len(whole.seals), anchor)], found.append)
    assert [line.split("\t")[:2] for line in found] == [["anchor", str(len(whole.seals))]]


def test_who_has_the_ring_is_found_by_the_first_key_of_the_ratchet(server, superuser, tmp_path):
    key, first_key = audit_formats.ring_key(server), bytes(range(32, 64))
    log = Log(key, epoch="5", first_key=first_key)
    log.add(3)
    log.seal()
    log.add(3)
    log.seal()
    rewritten(superuser, log, key)
    assert server_problems(superuser) == []
    found = []
    tool.verify({1: key}, *exported(superuser, tmp_path), [first_key], (), found.append)
    assert [line.split("\t")[:2] for line in found] == [["seal_proof", "1"], ["seal_proof", "2"]]


def test_steps_of_the_ratchet_that_are_gone(server, superuser):
    key = audit_formats.ring_key(server)
    log = Log(key, epoch="5", first_key=bytes(32))
    for _ in range(3):
        log.add(2)
        log.seal()
    with superuser.cursor() as cursor:
        cursor.execute("DELETE FROM relay_guard.audit_log; DELETE FROM relay_guard.audit_seal")
    log.seals[2] = sign_seal(log.seals[2]._replace(step="5"), key, bytes(32))
    audit_formats.copy_into(superuser, "relay_guard.audit_log", log.rows)
    audit_formats.copy_into(superuser, "relay_guard.audit_seal", log.seals)
    assert server_problems(superuser) == [("tail_missing", 3)]


def test_seal_of_other_rows_made_with_the_ring(server, superuser):
    key = audit_formats.ring_key(server)
    log = made_log(key)
    log.seals[2] = sign_seal(log.seals[2]._replace(digest=OTHER), key)
    with superuser.cursor() as cursor:
        cursor.execute("DELETE FROM relay_guard.audit_seal WHERE seal_id = 3")
    audit_formats.copy_into(superuser, "relay_guard.audit_seal", log.seals[2:])
    assert server_problems(superuser) == [("seal_digest", 3)]


def test_findings_of_a_seal(server, superuser):
    key = audit_formats.ring_key(server)
    log = made_log(key)
    log.seal(rows=[log.rows[-1]],
             findings='[{"id": 77, "xid": 9, "found": 0, "witnessed": 1}, {"xid": 10, "found": 1, "witnessed": 3}]')
    audit_formats.copy_into(superuser, "relay_guard.audit_seal", log.seals[3:])
    assert server_problems(superuser) == [("seal_finding", 77), ("seal_finding", 4)]


def test_row_that_was_deleted_before_it_was_sealed(make_server):
    """What the transaction left in shared memory tells, unless the server crashed in between."""
    server = make_server({"relay_guard.audit_seal_interval": "0"})
    server.run("CREATE EXTENSION relay_guard")
    server.run("SELECT relay_guard.audit_maintain()")
    gone = server.value("SELECT relay_guard.audit_event('gone', 'thing')")
    server.run("SELECT relay_guard.audit_event('stays', 'thing')")
    server.run("SET session_replication_role = replica; DELETE FROM relay_guard.audit_log WHERE action = 'gone'")
    server.run("SELECT relay_guard.audit_seal()")
    connection = server.connect()
    assert server_problems(connection) == [("seal_finding", gone)]
    connection.close()
    server.stop("immediate")


def test_month_of_rows_and_seals_may_be_asked_for_alone(superuser):
    with superuser.cursor() as cursor:
        cursor.execute("DELETE FROM relay_guard.audit_log WHERE id IN (2, 8)")
    assert server_problems(superuser) == [("row_missing", 2), ("row_missing", 8)]
    assert server_problems(superuser, "2026-11-07", None) == [("row_missing", 8)]
    assert server_problems(superuser, None, "2026-10-31 23:59:59+00") == [("row_missing", 2)]
    assert server_problems(superuser, "2026-12-01", None) == []
