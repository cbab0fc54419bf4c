"""Encrypted columns in dumps, in other servers, and in the log of changes."""
import pytest
from servers import key_line, run, sqlstate, wait_for

TABLE = """
    CREATE SCHEMA app;
    CREATE TABLE app.card (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, user_id text NOT NULL DEFAULT 'nobody',
                           number text NOT NULL DEFAULT 'none', note jsonb);
    SELECT relay_guard.encrypt_column('app.card', 'number', '{user_id,id}');
    SELECT relay_guard.encrypt_column('app.card', 'note', '{id}', 'a label with '' and "');
    GRANT SELECT, INSERT ON app.decrypted_card TO PUBLIC;
    INSERT INTO app.decrypted_card (user_id, number, note)
    SELECT 'u' || i, '4111 ' || i, jsonb_build_object('i', i) FROM generate_series(1, 20) i;
"""
ROWS = "SELECT id, user_id, number, note FROM app.decrypted_card ORDER BY id"
STORED = "SELECT id, user_id, encode(number, 'hex'), encode(note, 'hex') FROM app.card ORDER BY id"
CLEAR = [(i, f"u{i}", f"4111 {i}", {"i": i}) for i in range(1, 21)]


@pytest.fixture(scope="module")
def source(make_server):
    server = make_server({"wal_level": "logical", "track_commit_timestamp": "on"})
    server.run("CREATE DATABASE shop")
    server.run("CREATE EXTENSION relay_guard", database="shop")
    server.run("SET client_min_messages = error; " + TABLE, database="shop")
    yield server
    server.stop("immediate")


def fresh(source, make_server, ring=None):
    """Another server, with the source's ring unless another is given."""
    server = make_server()
    server.write_ring(ring or source.keyring.read_text())
    server.reload()
    return server


def restored(source, server, *options):
    dump = source.folder / "dump.sql"
    source.program("pg_dump", "-d", "shop", "-f", dump, *options)
    server.run("CREATE DATABASE shop")
    server.program("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", "shop", "-f", dump)
    return dump.read_text()


@pytest.mark.parametrize("options", [(), ("--inserts", "--rows-per-insert=7"), ("--format=custom",)])
def test_restore_encrypts_twice(source, make_server, options):
    """pgsodium#109: triggers of the restored table encrypted what was encrypted already."""
    server = fresh(source, make_server)
    if options == ("--format=custom",):
        dump = source.folder / "dump.custom"
        source.program("pg_dump", "-d", "shop", "-f", dump, *options)
        server.run("CREATE DATABASE shop")
        server.program("pg_restore", "--exit-on-error", "-d", "shop", dump)
    else:
        text = restored(source, server, *options)
        assert "4111 " not in text
    assert server.run(STORED, database="shop") == source.run(STORED, database="shop")
    assert server.run(ROWS, database="shop") == CLEAR
    definition = "SELECT relation::text, column_name, label, plaintext::text, aad, decrypted_view::text FROM relay_guard.encrypted_column ORDER BY 2"
    assert server.run(definition, database="shop") == source.run(definition, database="shop")
    # and goes on as before: defaults, identity, guard, CHECK, privileges
    assert server.run("INSERT INTO app.decrypted_card (note) VALUES ('{}') RETURNING id, user_id, number",
                      database="shop") == [(21, "nobody", "none")]
    connection = server.connect("shop")
    assert sqlstate(connection, "UPDATE app.card SET number = (SELECT number FROM app.card WHERE id = 1) WHERE id = 2") == "23514"
    run(connection, "SET session_replication_role = replica")
    assert sqlstate(connection, "UPDATE app.card SET number = 'plain' WHERE id = 2") == "23514"
    connection.close()
    grants = "SELECT relacl::text, reloptions FROM pg_class WHERE oid = 'app.decrypted_card'::regclass"
    assert server.run(grants, database="shop") == source.run(grants, database="shop")
    server.stop()


def test_schema_and_data_apart(source, make_server):
    """As pg_upgrade and --data-only restores do: guards and CHECKs stand before the rows come."""
    server = fresh(source, make_server)
    restored(source, server, "--schema-only")
    data = source.folder / "data.sql"
    source.program("pg_dump", "-d", "shop", "-f", data, "--data-only", "--table=app.card")
    server.program("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", "shop", "-f", data)
    assert server.run(ROWS, database="shop") == CLEAR
    server.stop()


def test_other_ring_is_an_error(source, make_server):
    server = fresh(source, make_server, key_line(5, "primary"))
    restored(source, server, "--inserts", "--disable-triggers")
    connection = server.connect("shop")
    with pytest.raises(Exception, match="key 1 is not in the key ring") as error:
        run(connection, ROWS)
    assert error.value.pgcode == "RG503"
    connection.close()
    server.stop()


def test_update_orphans_the_key(source):
    """pgsodium#104: an update left a row that names a key it was not encrypted with."""
    ring = source.keyring.read_text()
    source.write_ring(ring.replace(" primary", "") + key_line(2, "primary"))
    source.reload()
    changed = source.run("""UPDATE app.decrypted_card SET number = number || '!', note = note WHERE id = 3
                            RETURNING number, note""", database="shop")
    assert changed == [("4111 3!", {"i": 3})]
    keys = "SELECT relay_guard.key_id(number), relay_guard.key_id(note) FROM app.card WHERE id = 3"
    assert source.run(keys, database="shop") == [(2, 1)]
    assert source.run(ROWS, database="shop") == [(i, u, n + "!" if i == 3 else n, note) for i, u, n, note in CLEAR]
    source.run("UPDATE app.decrypted_card SET number = rtrim(number, '!') WHERE id = 3", database="shop")
    # an owner that changes takes the value along, under the key there is now
    source.run("UPDATE app.decrypted_card SET user_id = 'other' WHERE id = 4", database="shop")
    assert source.run("SELECT number, user_id FROM app.decrypted_card WHERE id = 4", database="shop") == [("4111 4", "other")]
    source.run("UPDATE app.decrypted_card SET user_id = 'u4' WHERE id = 4", database="shop")
    assert source.run(ROWS, database="shop") == CLEAR


def test_replicated_changes_are_applied_as_they_are(source, make_server):
    server = fresh(source, make_server)
    restored(source, server, "--schema-only")
    source.run("CREATE PUBLICATION card FOR TABLE app.card", database="shop")
    server.run(f"CREATE SUBSCRIPTION card CONNECTION 'host={source.folder} dbname=shop user=postgres' PUBLICATION card",
               database="shop")
    wait_for(lambda: server.run(ROWS, database="shop") == CLEAR)
    source.run("""UPDATE app.decrypted_card SET note = '"changed"' WHERE id = 5;
                  UPDATE app.decrypted_card SET user_id = 'moved' WHERE id = 6;
                  DELETE FROM app.decrypted_card WHERE id = 7""", database="shop")
    expected = source.run(ROWS, database="shop")
    assert expected != CLEAR
    wait_for(lambda: server.run(ROWS, database="shop") == expected)
    assert server.run(STORED, database="shop") == source.run(STORED, database="shop")
    # the publisher's plaintext, were there any, would not come in
    connection = server.connect("shop")
    run(connection, "SET session_replication_role = replica")
    assert sqlstate(connection, "INSERT INTO app.card (user_id, number) VALUES ('x', 'plain')") == "23514"
    connection.close()
    server.run("DROP SUBSCRIPTION card", database="shop")
    server.stop()


def test_no_plaintext_in_wal_of_writes_through_the_view(source):
    """Vault 0.3: a trigger encrypted what had been logged in clear."""
    source.run("SELECT pg_switch_wal()")
    source.run("""INSERT INTO app.decrypted_card (number) VALUES ('needle-in-the-wal');
                  UPDATE app.decrypted_card SET number = number || '-again' WHERE number LIKE 'needle%'""", database="shop")
    segment = source.value("SELECT pg_walfile_name(pg_current_wal_insert_lsn())")
    written = (source.data / "pg_wal" / segment).read_bytes()
    assert b"nobody" in written and b"needle-in" not in written
