"""Every migration up, down and up again; and the index that was cut short."""
import os
import pathlib
import subprocess

import psycopg2
import pytest

INDEX = "relay.knowledge_file_user_id_created_at_id"


def alembic(*arguments):
    environment = dict(os.environ, PGDATABASE="relay", PGUSER="relay_owner")
    done = subprocess.run(["alembic", "-c", "migrations/alembic.ini", *arguments],
                          env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def rows(sql):
    connection = psycopg2.connect(dbname="relay")
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall() if cursor.description else None
    finally:
        connection.close()


def schema():
    dump = ["pg_dump", "--schema-only", "--schema=relay", "relay"]
    lines = subprocess.run(dump, check=True, capture_output=True, text=True).stdout
    return [line for line in lines.splitlines() if not line.startswith("\\")]


def routes():
    return rows("SELECT method, path, query, auth, rate::text, result, status "
                "FROM relay_guard.route ORDER BY path, method")


def index():
    """The index's oid and whether it is valid, or None."""
    found = rows("SELECT indexrelid, indisvalid FROM pg_index "
                 f"WHERE indexrelid = to_regclass('{INDEX}')")
    return found[0] if found else None


@pytest.fixture(scope="module", autouse=True)
def database():
    subprocess.run(["ops/create_database"], check=True)


@pytest.fixture(autouse=True)
def at_head(database):
    yield
    alembic("upgrade", "head")


def test_set_up_twice_changes_nothing():
    before = schema(), routes()
    subprocess.run(["ops/create_database"], check=True)
    assert (schema(), routes()) == before


def test_down_to_nothing_and_up_again():
    before = schema(), routes()
    alembic("downgrade", "base")
    assert rows("SELECT to_regclass('relay.knowledge_file')") == [(None,)]
    assert not [path for _, path, *_ in routes() if path.startswith("/api/v1/")]
    alembic("upgrade", "head")
    assert (schema(), routes()) == before


def test_each_step_down_and_up():
    for _ in pathlib.Path("migrations/versions").glob("[0-9]*.py"):
        alembic("downgrade", "-1")
        alembic("upgrade", "+1")
        alembic("downgrade", "-1")
    assert rows("SELECT count(*) FROM relay.alembic_version") == [(0,)]


def test_offline_script_names_every_object():
    script = alembic("upgrade", "head", "--sql")
    assert "CREATE INDEX CONCURRENTLY" in script
    assert "INSERT INTO relay_guard.route" in script


def test_invalid_index_is_built_anew():
    alembic("downgrade", "0001")
    rows("INSERT INTO relay.knowledge_file (user_id, name, content_type) "
         "SELECT 'a', 'n', 'text/plain' FROM generate_series(1, 2)")
    with pytest.raises(psycopg2.errors.UniqueViolation):
        rows(f"CREATE UNIQUE INDEX CONCURRENTLY {INDEX.split('.')[1]} "
             "ON relay.knowledge_file (user_id)")
    left_over, valid = index()
    assert not valid
    alembic("upgrade", "0002")
    built, valid = index()
    assert valid and built != left_over
    rows("DELETE FROM relay.knowledge_file")


def test_valid_index_is_kept():
    alembic("downgrade", "0002")
    before = index()
    alembic("stamp", "0001")
    alembic("upgrade", "head")
    assert index() == before


def test_index_goes_with_its_migration():
    alembic("downgrade", "0001")
    assert index() is None


VALUES = "(gen_random_uuid(), 'a', 'n', 'text/plain', '{}'), (gen_random_uuid(), 'b', 'n', 'text/plain', " \
         """'{"canary in a row": ["é", 1.50, null]}')"""
SHOWN = "SELECT id, user_id, metadata FROM {} ORDER BY user_id"


def heap():
    """The bytes of the table's files, TOAST included."""
    rows("CHECKPOINT")
    paths = rows("SELECT current_setting('data_directory') || '/' || pg_relation_filepath(oid) FROM pg_class "
                 "WHERE oid = 'relay.knowledge_file'::regclass "
                 "OR oid = (SELECT reltoastrelid FROM pg_class WHERE oid = 'relay.knowledge_file'::regclass)")
    return b"".join(open(path, "rb").read() for path, in paths)


def test_metadata_are_encrypted_and_come_back():
    alembic("downgrade", "0004")
    rows(f"INSERT INTO relay.knowledge_file (id, user_id, name, content_type, metadata) VALUES {VALUES}")
    before = rows(SHOWN.format("relay.knowledge_file"))
    assert b"canary in a row" in heap()
    alembic("upgrade", "0005")
    assert b"canary in a row" not in heap()
    assert rows("SELECT count(*) FROM relay.knowledge_file WHERE relay_guard.is_envelope(metadata)") == [(2,)]
    assert rows(SHOWN.format("relay.decrypted_knowledge_file")) == before
    alembic("downgrade", "0004")
    assert rows(SHOWN.format("relay.knowledge_file")) == before
    with pytest.raises(psycopg2.errors.CheckViolation):
        rows("UPDATE relay.knowledge_file SET metadata = '[]'")
    assert rows("SELECT to_regclass('relay.decrypted_knowledge_file')") == [(None,)]
    assert not [query for _, _, query, *_ in routes() if "decrypted_" in query]
    rows("INSERT INTO relay.knowledge_file (user_id, name, content_type) VALUES ('c', 'n', 'text/plain')")
    assert rows("SELECT metadata FROM relay.knowledge_file WHERE user_id = 'c'") == [({},)]
    rows("DELETE FROM relay.knowledge_file")


def test_a_damaged_value_stops_the_way_back():
    """Nothing is lost by a downgrade."""
    rows("INSERT INTO relay.decrypted_knowledge_file (user_id, name, content_type) VALUES ('a', 'n', 'text/plain')")
    rows("SET session_replication_role = replica; "
         "UPDATE relay.knowledge_file SET metadata = set_byte(metadata, 40, get_byte(metadata, 40) # 1)")
    environment = dict(os.environ, PGDATABASE="relay", PGUSER="relay_owner")
    done = subprocess.run(["alembic", "-c", "migrations/alembic.ini", "downgrade", "0004"],
                          env=environment, capture_output=True, text=True)
    assert done.returncode != 0 and "open" in done.stderr
    assert rows("SELECT count(*) FROM relay.knowledge_file") == [(1,)]
    rows("DELETE FROM relay.knowledge_file")
