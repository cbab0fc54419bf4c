"""ops/audit-verify on logs that Python made: what it finds without a server, and only that."""
import base64
import os
import subprocess
import sys

import audit_formats
import pytest
from audit_formats import formats, hexadecimal, Log, Row, Seal, sign, sign_seal, tool

MASTER = bytes(range(32))
KEY = formats.derive(MASTER, b"audit___")
FIRST_KEY = bytes(range(32, 64))
OTHER = bytes(64)[:32]


def log(**options):
    """Three seals over rows out of order, with gaps, and two rows that wait for the next."""
    made = Log(KEY, **options)
    made.add(3, actor="alice", details='{"a": "ü\\n", "n": 12345678901234567890.10}')
    late = made.next_xid
    made.next_xid += 1
    made.add(2, resource_id="", old='{"x": [1, {"y": null}]}')
    made.seal(running=[late])
    made.next_id += 4
    made.add(1, row_id=made.next_id + 1)
    made.add(2, xid=late)
    made.seal()
    made.add(1, action='new,\nline "x"', client_ip="2001:db8::1")
    made.seal()
    made.add(2)
    return made


@pytest.fixture
def problems(tmp_path):
    """[(kind, id)] that the tool finds, in files of that format."""
    def find(made, form="csv", first_keys=(), anchors=(), ring=None):
        found = []
        write = audit_formats.WRITERS[form]
        tool.verify({1: KEY} if ring is None else ring, write(tmp_path / "log", made.rows, Row._fields),
                    write(tmp_path / "seals", made.seals, Seal._fields), first_keys, anchors, found.append)
        return [(line.split("\t")[0], int(line.split("\t")[1])) for line in found]
    return find


@pytest.mark.parametrize("form", ["csv", "json"])
@pytest.mark.parametrize("first_key", [None, FIRST_KEY])
def test_clean_log_has_no_problem(problems, form, first_key):
    assert problems(log(first_key=first_key), form, [first_key] * bool(first_key)) == []


def test_order_of_the_rows_does_not_matter(problems):
    made = log()
    made.rows.reverse()
    assert problems(made) == []


CHANGES = {"id": "99", "xid": "7", "occurred_at": "2026-11-21 10:32:43.123458+00:00", "epoch": "5", "action": "DELETE",
           "old": '{"x": [1, {"y":  null}]}', "details": '{"a": 1}', "new": None, "client_ip": "10.0.0.1",
           "api_key_id": "0199c0de-0000-7000-8000-00000000abcd", "source": "event", "status": "denied",
           "mac": hexadecimal(OTHER)}


@pytest.mark.parametrize("column", [column for column in Row._fields if column != "key_id"])
def test_change_of_any_column_is_named(problems, column):
    made = log()
    made.rows[1] = made.rows[1]._replace(**{column: CHANGES.get(column, "mallory")})
    expected = {"id": [("row_inserted", 99), ("row_missing", 2)], "epoch": [("row_inserted", 2), ("row_missing", 2)]}
    assert problems(made) == expected.get(column, [("row_changed", 2)])


def test_key_that_is_not_in_the_ring_is_named(problems):
    made = log()
    made.rows[1] = made.rows[1]._replace(key_id="3")
    assert problems(made) == [("key_missing", 2)]


def test_rows_that_are_gone_are_named_by_ranges(problems):
    made = log()
    del made.rows[1:3]
    del made.rows[-4]
    assert problems(made) == [("row_missing", 2), ("row_missing", 13)]


def test_row_that_no_seal_has_is_inserted_or_pending(problems):
    made = log()
    made.rows.append(sign(made.rows[0]._replace(id="500", xid="1000"), KEY))
    made.rows.append(sign(made.rows[0]._replace(id="501", xid="1000"), OTHER))
    made.rows.append(sign(made.rows[0]._replace(id="502", xid="9999"), OTHER))
    assert problems(made) == [("row_inserted", 500), ("row_inserted", 501), ("row_changed", 502)]


@pytest.mark.parametrize("at", [1, 3, -3])
def test_copy_of_an_authentic_row_is_named(problems, at):
    made = log()
    copied = made.rows[at]
    made.rows.insert(0 if at > 0 else len(made.rows), copied)
    assert problems(made) == [("row_duplicated", int(copied.id))]


def test_copy_in_the_place_of_another_is_named_with_the_missing_one(problems):
    made = log()
    made.rows[1] = made.rows[2]
    assert sorted(problems(made)) == [("row_duplicated", 3), ("row_missing", 2)]


def test_two_swapped_rows_are_named(problems):
    made = log()
    first, second = made.rows[0], made.rows[4]
    made.rows[0], made.rows[4] = first._replace(id=second.id), second._replace(id=first.id)
    assert sorted(problems(made)) == [("row_changed", 1), ("row_changed", 5)]


SEAL_CHANGES = {"epoch": "5", "row_epoch": "5", "snap": "1:1:", "month": "2026-10-01", "rows": "1", "ids": "{[1,9)}",
                "digest": hexadecimal(OTHER), "unwitnessed": "3", "sealed_at": "2026-01-01 00:00:00+00",
                "previous": hexadecimal(OTHER), "root": hexadecimal(OTHER), "mac": hexadecimal(OTHER), "step": "7",
                "findings": '[{"id": 3}]', "proof": hexadecimal(OTHER)}


@pytest.mark.parametrize("column", SEAL_CHANGES)
def test_change_of_a_seal_is_named(problems, column):
    made = log()
    made.seals[1] = made.seals[1]._replace(**{column: SEAL_CHANGES[column]})
    assert ("seal_changed", 2) in problems(made)


def test_seal_that_is_gone_is_named(problems):
    made = log()
    del made.seals[1]
    assert ("seal_missing", 2) in problems(made)


def test_seal_over_other_rows_is_named(problems):
    made = log()
    seal = made.seals[2]
    made.seals[2] = sign_seal(seal._replace(digest=hexadecimal(OTHER)), KEY)
    assert problems(made) == [("seal_digest", 3)]


def test_link_to_another_seal_is_named(problems):
    made = log()
    made.seals[2] = sign_seal(made.seals[2]._replace(previous=made.seals[0].root), KEY)
    assert problems(made) == [("seal_link", 3)]


def test_findings_are_told_with_the_row(problems):
    made = log()
    made.seals[2] = sign_seal(made.seals[2]._replace(
        findings='[{"id": 77, "xid": 9, "found": 0, "witnessed": 1}, {"xid": 10, "found": 1, "witnessed": 3}]'), KEY)
    assert problems(made) == [("seal_finding", 77), ("seal_finding", 3)]


def test_cut_tail_is_found_by_the_anchor_alone(problems):
    made = log()
    root = formats.read_bytea(made.seals[2].root)
    gone = made.rows[-3]
    made.seals.pop()
    assert problems(made, anchors=[(3, root)]) == [("anchor", 3)]
    made.rows.remove(gone)
    assert problems(made, anchors=[(2, formats.read_bytea(made.seals[1].root))]) == []


def test_rewriting_with_the_ring_is_found_by_k0_and_by_the_anchor(problems):
    made = log(first_key=FIRST_KEY)
    anchor = (2, formats.read_bytea(made.seals[1].root))
    made.rewrite(3, KEY, actor="mallory")
    assert problems(made) == []
    assert problems(made, anchors=[anchor]) == [("anchor", 2)]
    assert problems(made, first_keys=[FIRST_KEY]) == [("seal_proof", 1), ("seal_proof", 2), ("seal_proof", 3)]


def test_proofs_cannot_be_left_out_or_made_by_a_later_key(problems):
    made = log(first_key=FIRST_KEY)
    made.seals[2] = sign_seal(made.seals[2]._replace(step=None), KEY)
    assert problems(made, first_keys=[FIRST_KEY]) == [("seal_proof", 3)]
    made = log()
    assert problems(made, first_keys=[FIRST_KEY]) == [("seal_proof", 3)]
    later = log(first_key=FIRST_KEY)
    key = formats.ratchet(formats.ratchet(formats.ratchet(FIRST_KEY)))
    previous = None
    for n, seal in enumerate(later.seals):
        later.seals[n] = sign_seal(seal._replace(step=str(n + 3), previous=previous), KEY, key)
        previous, key = later.seals[n].root, formats.ratchet(key)
    assert problems(later, first_keys=[FIRST_KEY]) == [("tail_missing", 1)]


def test_second_ratchet_needs_its_own_first_key(problems):
    """Begun anew, as when its file was lost, it goes on with the next step."""
    made = log(first_key=FIRST_KEY)
    made.step_key = formats.ratchet(formats.ratchet(formats.ratchet(OTHER)))
    made.seal()
    made.add(1)
    made.seal()
    assert problems(made) == []
    assert problems(made, first_keys=[FIRST_KEY, OTHER]) == []
    assert problems(made, first_keys=[FIRST_KEY]) == [("seal_proof", 4), ("seal_proof", 5)]


def test_ratchet_of_another_cluster_may_begin_anew_or_go_on(problems):
    for step, key in ((0, OTHER), (3, None)):
        made = log(first_key=FIRST_KEY)
        made.epoch, made.step, made.step_key = "77", step, key or made.step_key
        made.seal()
        made.next_xid = 1000
        made.add(1)
        made.seal()
        assert problems(made, first_keys=[FIRST_KEY, OTHER]) == []


@pytest.mark.parametrize("step", [0, 2])
def test_step_used_twice_is_named(problems, step):
    made = log(first_key=FIRST_KEY)
    made.step = step
    made.seal()
    assert ("seal_step", 4) in problems(made)


def test_epochs_are_told_apart(problems):
    """A restored log goes on in another cluster, whose ids of transactions and rows begin anew."""
    made = log()
    made.epoch = "77"
    made.seal()
    made.next_xid, made.next_id = 1000, 1
    made.add(3)
    made.seal()
    made.add(1)
    assert problems(made) == []
    made.rows.append(sign(made.rows[0]._replace(id="900", xid="99999"), KEY))
    assert problems(made) == [("row_inserted", 900)]


def test_rows_of_a_database_that_no_seal_knows_are_forged(problems):
    """The first seal of another database takes over what it finds, so none are left when there are seals."""
    made, other = log(), Log(KEY, epoch="78")
    other.add(1, row_id=900)
    made.rows += other.rows
    assert problems(made) == [("row_inserted", 900)]
    made.seals.clear()
    assert ("row_inserted", 900) not in problems(made)


def test_retired_months_may_be_gone_but_not_in_part(problems):
    made = Log(KEY)
    for month in ("01", "02", "03"):
        made.add(3, occurred_at=f"2026-{month}-15 12:00:00+00")
        made.seal()
    february = made.rows[3:6]
    made.rows = made.rows[6:]
    assert problems(made) == [("row_missing", 1), ("row_missing", 4)]
    event = made.add(action="audit.retire", source="event", details='{"before": "2026-03-01"}',
                     occurred_at="2026-04-01 12:00:00+00")
    assert problems(made) == [("row_missing", 1), ("row_missing", 4)]
    made.rows[-1] = sign(event._replace(source="system"), OTHER)
    assert ("row_missing", 1) in problems(made)
    made.rows[-1] = sign(event._replace(source="system"), KEY)
    assert problems(made) == []
    made.rows.append(february[0])
    assert problems(made) == [("row_missing", 5)]


def test_jsonb_text_is_made_anew(problems, tmp_path):
    made = Log(KEY)
    made.add(details='{"": [], "a": {}, "big": 1' + "0" * 50 + '.10, "esc": "\\"\\\\\\b\\f\\n\\r\\t\\u0001/ü\x7f", "t": [true, false, null, -0.5]}')
    made.add(details="null")
    made.add(details='"text"', new='{"n": 100000}')
    made.add(details="[" * 3000 + "1" + "]" * 3000)
    made.seal()
    def squeezed(path, rows, columns):
        audit_formats.write_json(path, rows, columns)
        path.write_text(path.read_text().replace(", ", ",").replace(": ", ":").replace('"n":100000', '"n":1E+5'))
        return path
    audit_formats.WRITERS["squeezed"] = squeezed
    found = []
    status = tool.run_deep(lambda: found.extend(problems(made, "squeezed")) or 0)
    assert status == 0 and found == []


@pytest.fixture
def command(tmp_path):
    made = log(first_key=FIRST_KEY)
    (tmp_path / "ring").write_text(f"# ring\n\n1 {base64.b64encode(MASTER).decode()} primary\n")
    audit_formats.write_csv(tmp_path / "log", made.rows, Row._fields)
    audit_formats.write_json(tmp_path / "seals", made.seals, Seal._fields)

    def run(*arguments, **options):
        return subprocess.run([sys.executable, audit_formats.TOOL, "--keyring", "ring", *arguments], cwd=tmp_path,
                              capture_output=True, text=True, **options)
    run.folder, run.made = tmp_path, made
    return run


def test_command_says_what_it_found_and_how_it_ended(command):
    key = base64.b64encode(FIRST_KEY).decode()
    anchor = "3:" + formats.read_bytea(command.made.seals[2].root).hex()
    done = command("--k0", "-", "--anchor", anchor, "log", "seals", input=key + "\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "11 rows, 3 seals: no problems\n")
    done = command("--k0", base64.b64encode(OTHER).decode(), "log", "seals")
    assert done.returncode == 1 and done.stdout.startswith("seal_proof\t1\t") and done.stderr.endswith("3 problems\n")


@pytest.mark.parametrize("change, said", [
    (lambda text: text.split("\n", 1)[1], "CSV HEADER"),
    (lambda text: text.replace("+00:00", ""), "DateStyle"),
    (lambda text: text.replace("\\x", ""), "bytea_output"),
    (lambda text: "id\n", "CSV HEADER"),
    (lambda text: text + '"', "in quotes"),
    (lambda text: text + "1,2\n", "2 fields"),
    (lambda text: '{"id":1}\n', "no object with"),
    (lambda text: '{"id":NaN}\n', "NaN"),
    (lambda text: '{"id"\n', "cannot be read"),
])
def test_command_says_why_it_cannot_read_a_file(command, change, said):
    path = command.folder / "log"
    path.write_text(change(path.read_text()))
    done = command("log", "seals")
    assert done.returncode == 2 and said in done.stderr and "Traceback" not in done.stderr


def test_log_without_seals_is_told(command):
    (command.folder / "seals").write_text("")
    done = command("log", "seals")
    assert done.returncode == 0 and "no seal" in done.stderr


def test_command_needs_a_ring_and_well_formed_keys(command):
    (command.folder / "ring").write_text("1 AAAA primary\n")
    assert command("log", "seals").returncode == 2
    assert command("log", "seals", "--k0", "AAAA").returncode == 2
    assert command("log", "seals", "--anchor", "1:00").returncode == 2
    assert command("log", "nothing").returncode == 2


def test_forged_step_far_away_costs_no_time(problems):
    made = log(first_key=FIRST_KEY)
    made.seals[1] = made.seals[1]._replace(step=str(2**62))
    assert ("seal_proof", 2) in problems(made, first_keys=[FIRST_KEY])


@pytest.mark.skipif("RG_LONG" not in os.environ, reason="RG_LONG=1 reads a million rows")
def test_million_rows_need_little_memory(command):
    made = Log(KEY)
    with open(command.folder / "log", "w") as file:
        file.write(",".join(Row._fields) + "\n")
        for _ in range(1000):
            made.add(1000)
            made.seal()
            file.writelines(",".join(map(audit_formats.csv_field, row)) + "\n" for row in made.rows)
            made.rows.clear()
    audit_formats.write_csv(command.folder / "seals", made.seals, Seal._fields)
    done = command("log", "seals", preexec_fn=lambda: __import__("resource").setrlimit(9, (10**9, 10**9)))
    assert done.returncode == 0 and "100000 rows, 10 %" in done.stderr, done.stderr
