"""Nobody gets an identity from the client before, who had the same backend."""
import threading

import psycopg2
import pytest


def leaves_by_commit(client):
    client.run("COMMIT")


def leaves_by_rollback(client):
    client.run("ROLLBACK")


def leaves_by_error(client):
    assert client.refused("SELECT 1/0") == "22012"
    client.run("ROLLBACK")


def leaves_by_failed_commit(client):
    assert client.refused("SELECT 1/0") == "22012"
    client.run("COMMIT")


def leaves_by_chain(client):
    client.run("COMMIT AND CHAIN")
    assert client.who() is None
    client.run("COMMIT")


def leaves_by_cancel(client):
    timer = threading.Timer(0.1, client.connection.cancel)
    timer.start()
    assert client.refused("SELECT pg_sleep(20)") == "57014"
    timer.join()
    client.run("ROLLBACK")


def leaves_by_two_phases(client):
    client.run("PREPARE TRANSACTION 'hers'")
    assert client.notes() == []
    client.run("COMMIT PREPARED 'hers'")


WAYS = [leaves_by_commit, leaves_by_rollback, leaves_by_error, leaves_by_failed_commit, leaves_by_chain,
        leaves_by_cancel, leaves_by_two_phases]


@pytest.mark.parametrize("leave", WAYS, ids=lambda way: way.__name__)
def test_the_next_client_is_nobody(clients, leave):
    first, second = clients()
    backend = second.backend()
    first.begin_as("alice")
    assert first.notes() == ["hers"]
    assert first.backend() == backend
    leave(first)
    assert second.backend() == backend
    assert second.who() is None
    assert second.notes() == []
    assert first.who() is None
    second.begin_as("bob")
    assert second.notes() == ["his"]
    second.run("COMMIT")


def test_the_next_client_is_nobody_after_a_disconnect_in_the_middle(clients):
    first, second = clients()
    first.begin_as("alice")
    first.run("INSERT INTO note (body) VALUES ('unfinished')")
    first.close()
    assert second.who() is None
    assert second.notes() == []
    second.begin_as("alice")
    assert second.notes() == ["hers"]
    second.run("COMMIT")


def test_a_stale_handle_waits_and_does_not_act_as_the_next_user(clients):
    first, second = clients()
    second.begin_as("bob")
    second.run("COMMIT")
    first.begin_as("alice")
    seen = []
    waiting = threading.Thread(target=lambda: seen.append((second.who(), second.notes())))
    waiting.start()
    waiting.join(0.2)
    assert waiting.is_alive()
    first.run("COMMIT")
    waiting.join()
    assert seen == [(None, [])]


def test_clients_that_take_turns_stay_who_they_are(clients):
    names = {"alice": ["hers"], "bob": ["his"]}
    group = clients(6)
    wrong = []

    def work(client, who):
        for _ in range(25):
            client.begin_as(who)
            if client.who() != who or client.notes() != names[who]:
                wrong.append(who)
            client.run("COMMIT")
            client.notes() == [] or wrong.append("nobody")

    threads = [threading.Thread(target=work, args=(client, ("alice", "bob")[i % 2])) for i, client in enumerate(group)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len({client.backend() for client in group}) == 1


def test_authenticate_by_itself_warns_and_leaves_nothing(clients):
    first, second = clients()
    first.run("SELECT relay_guard.authenticate(%s)", first.tokens["alice"])
    assert any("outside a transaction block" in notice for notice in first.connection.notices)
    assert first.notes() == second.notes() == []


@pytest.mark.parametrize("database", ["lax", "strict"])
def test_a_statement_that_alice_prepared_shows_bob_his_rows(clients, database):
    first, second = clients(database=database)
    first.run("SET plan_cache_mode = force_generic_plan")
    first.begin_as("alice")
    first.run("PREPARE notes AS SELECT body FROM note")
    assert first.run("EXECUTE notes") == [("hers",)]
    first.run("COMMIT")
    assert second.run("EXECUTE notes") == []
    second.begin_as("bob")
    assert second.run("EXECUTE notes") == [("his",)]
    second.run("COMMIT")


def test_a_setting_that_alice_left_shows_bob_nothing_of_hers(clients):
    first, second = clients()
    first.begin_as("alice")
    first.run("SET row_security = off; SET app.user_id = 'alice'; SET search_path = pg_temp, public")
    first.run("COMMIT")
    assert second.value("SHOW app.user_id") == "alice"
    assert second.who() is None
    assert second.refused("SELECT * FROM note") == "42501"
    second.run("BEGIN; SET LOCAL row_security = on")
    assert second.notes() == []
    second.run("COMMIT")


@pytest.mark.parametrize("attempt", [
    "SET relay_guard.context = '5:alice-4:user5:token----'",
    "SET SESSION relay_guard.context = '5:alice-4:user5:token----'",
    "SELECT set_config('relay_guard.context', '5:alice-4:user5:token----', false)",
    "SELECT relay_guard.assume('alice')",
    "SELECT relay_guard.issue_token('alice')",
    "SET relay_guard.strict = off",
    "SET ROLE postgres",
    "SET SESSION AUTHORIZATION postgres"])
def test_a_client_cannot_give_itself_or_the_next_one_an_identity(clients, attempt):
    first, second = clients()
    assert first.refused(attempt) == "42501"
    assert first.notes() == second.notes() == []


def test_a_client_cannot_bring_an_identity_along(clients):
    with pytest.raises(psycopg2.OperationalError):
        clients(1, options="-c relay_guard.context=5:alice-4:user5:token----")
    only, = clients(1)
    assert only.notes() == []


def test_strict_mode_lets_ordinary_work_pass(clients):
    first, second = clients(database="strict")
    first.begin_as("alice")
    first.run("INSERT INTO note (body) VALUES ('new')")
    first.run("DECLARE c CURSOR FOR SELECT body FROM note ORDER BY body")
    assert first.run("FETCH ALL FROM c") == [("hers",), ("new",)]
    first.run("SELECT pg_advisory_xact_lock(1); NOTIFY news, 'to whoever listens'; DELETE FROM note WHERE body = 'new'")
    first.run("COMMIT")
    assert second.notes() == []
