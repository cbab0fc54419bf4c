"""Encrypted values of one server, opened by another."""
import psycopg2
import pytest
from servers import run


def test_value_opens_with_the_same_ring_elsewhere(server, make_server):
    envelope = server.value("SELECT relay_guard.encrypt('häl', relay_guard.aad('t', '7'))")
    other = make_server()
    other.write_ring(server.keyring.read_text())
    other.reload()
    other.run("CREATE EXTENSION relay_guard")
    opened = "SELECT relay_guard.decrypt_text(%s, relay_guard.aad('t', '7'))"
    assert other.value(opened, bytes(envelope)) == "häl"
    other.stop()


def test_value_opens_in_a_database_of_another_encoding(server):
    envelope = server.value("SELECT relay_guard.encrypt('häl', relay_guard.aad('ä', '7'))")
    server.run("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    server.run("CREATE EXTENSION relay_guard", database="latin")
    connection = server.connect("latin")
    connection.set_client_encoding("UTF8")
    opened = run(connection, "SELECT relay_guard.decrypt_text(%s, relay_guard.aad('ä', '7'))", bytes(envelope))
    assert opened == [("häl",)]
    jsonb = server.value("""SELECT relay_guard.encrypt('{"€": 1}'::jsonb, '')""")
    with pytest.raises(psycopg2.Error) as error:
        run(connection, "SELECT relay_guard.decrypt_jsonb(%s, '')", bytes(jsonb))
    assert error.value.pgcode == "22P05" and "e2" not in str(error.value).split("HINT")[0]
    connection.close()


def test_a_database_of_any_encoding_has_the_extension(server):
    """Its script is ASCII: in these encodings other bytes are not even text, or are other letters."""
    for encoding in "EUC_JP", "EUC_KR", "WIN1252", "SQL_ASCII":
        server.run(f"CREATE DATABASE encoded ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0")
        connection = server.connect("encoded")
        run(connection, "CREATE EXTENSION relay_guard")
        assert run(connection, "SELECT count(*) FROM pg_description WHERE description ~ '[^[:ascii:]]' AND objoid IN "
                               "(SELECT oid FROM pg_proc WHERE pronamespace = 'relay_guard'::regnamespace)") == [(0,)]
        connection.close()
        server.run("DROP DATABASE encoded")
