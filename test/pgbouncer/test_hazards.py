"""What outlives a transaction reaches the next client of the backend; in strict
mode a transaction with an identity cannot make any of it."""
import pytest

REFUSED = "25000"


def test_held_cursor_shows_alices_rows_to_the_next_client(clients):
    first, second = clients()
    first.begin_as("alice")
    first.run("DECLARE c CURSOR WITH HOLD FOR SELECT body FROM note")
    first.run("COMMIT")
    assert second.who() is None
    assert second.run("FETCH ALL FROM c") == [("hers",)]


def test_strict_mode_refuses_a_held_cursor(clients):
    first, second = clients(database="strict")
    first.begin_as("alice")
    assert first.refused("DECLARE c CURSOR WITH HOLD FOR SELECT body FROM note") == REFUSED
    first.run("COMMIT")
    assert second.refused("FETCH ALL FROM c") == "34000"


def test_held_cursor_declared_before_the_identity_is_filled_with_it(clients):
    first, second = clients()
    first.run("BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT body FROM note")
    first.run("SELECT relay_guard.authenticate(%s)", first.tokens["alice"])
    first.run("COMMIT")
    assert second.run("FETCH ALL FROM c") == [("hers",)]


def test_strict_mode_refuses_an_identity_after_a_held_cursor(clients):
    first, second = clients(database="strict")
    first.run("BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT body FROM note")
    assert first.refused("SELECT relay_guard.authenticate(%s)", first.tokens["alice"]) == REFUSED
    first.run("COMMIT")
    assert second.refused("FETCH ALL FROM c") == "34000"


def test_held_cursor_of_an_unidentified_transaction_may_stay(clients):
    first, second = clients(database="strict")
    first.run("BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT body FROM note; COMMIT")
    assert second.run("FETCH ALL FROM c") == []
    second.begin_as("bob")
    assert second.run("FETCH ALL FROM c") == []
    second.run("COMMIT")


def test_temporary_table_shows_alices_rows_to_the_next_client(clients):
    first, second = clients()
    first.begin_as("alice")
    first.run("CREATE TEMP TABLE copied AS SELECT * FROM note")
    first.run("COMMIT")
    assert second.run("SELECT body FROM copied") == [("hers",)]


@pytest.mark.parametrize("statement", ["CREATE TEMP TABLE copied AS SELECT * FROM note",
                                       "SELECT * INTO TEMP copied FROM note",
                                       "CREATE TEMP VIEW copied AS SELECT * FROM note",
                                       "CREATE TEMP SEQUENCE copied"])
def test_strict_mode_refuses_a_temporary_table(clients, statement):
    first, second = clients(database="strict")
    first.begin_as("alice")
    assert first.refused(statement) == REFUSED
    first.run("COMMIT")
    assert second.refused("SELECT * FROM copied") == "42P01"


def test_temporary_table_in_the_way_takes_the_next_clients_rows(clients):
    first, second = clients()
    first.run("CREATE TEMP TABLE note (user_id text, body text)")
    second.begin_as("bob")
    second.run("INSERT INTO note VALUES ('bob', 'secret')")
    second.run("COMMIT")
    assert first.run("SELECT body FROM note") == [("secret",)]


def test_strict_mode_refuses_a_temporary_table_that_others_left(clients):
    first, second = clients(database="strict")
    first.run("CREATE TEMP TABLE note (user_id text, body text)")
    second.begin_as("bob")
    assert second.refused("INSERT INTO note VALUES ('bob', 'secret')") == REFUSED
    second.run("ROLLBACK")
    second.begin_as("bob")
    assert second.refused("SELECT * FROM note") == REFUSED
    second.run("ROLLBACK")
    assert first.run("SELECT body FROM note") == []


def test_strict_mode_refuses_an_identity_after_a_temporary_table(clients):
    first, = clients(1, database="strict")
    first.run("BEGIN; CREATE TEMP TABLE copied (body text)")
    assert first.refused("SELECT relay_guard.authenticate(%s)", first.tokens["alice"]) == REFUSED
    first.run("ROLLBACK; CREATE TEMP TABLE copied (body text)")
    assert first.refused("WITH login AS MATERIALIZED (SELECT relay_guard.authenticate(%s)) "
                         "INSERT INTO copied SELECT body FROM login, note", first.tokens["alice"]) == REFUSED
    assert first.run("SELECT * FROM copied") == []


def test_listen_gives_the_channel_to_the_next_client(clients):
    first, second = clients()
    first.begin_as("alice")
    first.run("LISTEN hers")
    first.run("COMMIT")
    assert second.run("SELECT pg_listening_channels()") == [("hers",)]


def test_strict_mode_refuses_listen(clients):
    first, second = clients(database="strict")
    first.begin_as("alice")
    assert first.refused("LISTEN hers") == REFUSED
    first.run("COMMIT")
    assert second.run("SELECT pg_listening_channels()") == []


def test_session_lock_is_the_next_clients_to_release(clients):
    first, second = clients()
    first.begin_as("alice")
    first.run("SELECT pg_advisory_lock(42)")
    first.run("COMMIT")
    assert second.value("SELECT pg_advisory_unlock(42)") is True


@pytest.mark.parametrize("lock", ["pg_advisory_lock(42)", "pg_try_advisory_lock(42)", "pg_advisory_lock_shared(4, 2)"])
def test_strict_mode_refuses_a_session_lock(clients, lock):
    first, second = clients(database="strict")
    first.begin_as("alice")
    assert first.refused(f"SELECT {lock}") == REFUSED
    first.run("COMMIT")
    assert first.refused(f"SELECT relay_guard.authenticate(%s), {lock}", first.tokens["alice"]) == REFUSED
    second.run("SELECT pg_advisory_unlock_all()")
    assert second.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0


def test_strict_mode_lets_the_session_do_all_that_without_an_identity(clients):
    first, second = clients(database="strict")
    first.run("CREATE TEMP TABLE mine (a int); LISTEN mine; SELECT pg_advisory_lock(42)")
    second.begin_as("bob")
    assert second.notes() == ["his"]
    second.run("COMMIT")
