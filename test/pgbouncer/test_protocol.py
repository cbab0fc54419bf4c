"""Attacks that need the protocol itself: start-up packets, pipelines, fast path."""
import os

import pytest

from conftest import direct, run
from wire import Failed, SYNC, Wire, bind, execute, fast_path, named, parse, statement

FORGED = "5:alice-4:user5:token----"


@pytest.fixture
def wire(bouncer):
    """Opens a connection, through the pooler unless told otherwise."""
    opened = []

    def connect(database="lax", pooled=True, **startup):
        path = bouncer.socket if pooled else f"{os.environ['PGHOST']}/.s.PGSQL.{os.environ['PGPORT']}"
        opened.append(Wire(path, **{"user": "web", "database": database, **startup}))
        return opened[-1]
    yield connect
    for connection in opened:
        connection.close()
    bouncer.forget_servers()


@pytest.mark.parametrize("pooled", [True, False])
@pytest.mark.parametrize("user", ["web", "postgres"])
@pytest.mark.parametrize("startup", [{"relay_guard.context": FORGED}, {"options": f"-c relay_guard.context={FORGED}"}])
def test_a_start_up_packet_brings_no_identity(wire, pooled, user, startup):
    with pytest.raises(Failed) as refusal:
        wire(pooled=pooled, user=user, **startup)
    assert pooled or refusal.value.sqlstate == "42501"


@pytest.mark.parametrize("startup", [{"relay_guard.strict": "off"}, {"options": "-c relay_guard.strict=off"}])
def test_a_start_up_packet_does_not_switch_strict_mode_off(wire, startup):
    with pytest.raises(Failed) as refusal:
        wire("strict", pooled=False, **startup)
    assert refusal.value.sqlstate == "42501"


def test_a_pipeline_is_one_transaction_and_ends_with_it(wire, tokens):
    connection = wire()
    rows, error = connection.send(*statement("SELECT relay_guard.authenticate($1)", tokens["lax"]["alice"]),
                                  *statement("SELECT body FROM note"), SYNC)
    assert (rows, error) == (["alice", "hers"], None)
    assert connection.send(*statement("SELECT relay_guard.user_id()"), SYNC) == ([None], None)


def test_an_error_in_a_pipeline_ends_its_identity(wire, tokens):
    connection = wire()
    rows, error = connection.send(*statement("SELECT relay_guard.authenticate($1)", tokens["lax"]["alice"]),
                                  *statement("SELECT 1/0"), *statement("SELECT body FROM note"), SYNC)
    assert rows == ["alice"] and error.sqlstate == "22012"
    assert connection.send(*statement("SELECT relay_guard.user_id()"), SYNC) == ([None], None)
    assert connection.send(*statement("SELECT body FROM note"), SYNC) == ([], None)


def test_a_pipeline_of_two_identities_is_refused(wire, tokens):
    connection = wire()
    rows, error = connection.send(*statement("SELECT relay_guard.authenticate($1)", tokens["lax"]["alice"]),
                                  *statement("SELECT relay_guard.authenticate($1)", tokens["lax"]["bob"]),
                                  *statement("SELECT body FROM note"), SYNC)
    assert rows == ["alice"] and error.sqlstate == "RG403"


def test_statements_of_one_simple_query_share_the_identity_and_no_more(wire, tokens):
    connection = wire()
    assert connection.query(f"SELECT relay_guard.authenticate('{tokens['lax']['alice']}'); SELECT body FROM note") == \
        (["alice", "hers"], None)
    assert connection.query("SELECT body FROM note") == ([], None)


@pytest.mark.parametrize("function, arguments", [("pg_advisory_lock(bigint)", ["1"]),
                                                 ("pg_try_advisory_lock(int,int)", ["1", "1"])])
def test_strict_mode_sees_the_fast_path(wire, tokens, function, arguments):
    connection = wire("strict")
    oid = run(direct("strict"), "SELECT %s::regprocedure::oid::int", function)[0][0]
    connection.query("BEGIN")
    connection.send(*statement("SELECT relay_guard.authenticate($1)", tokens["strict"]["alice"]), SYNC)
    assert connection.send(fast_path(oid, *arguments))[1].sqlstate == "25000"
    connection.query("ROLLBACK")
    assert connection.query("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == (["0"], None)


def test_the_fast_path_gives_an_identity_to_nobody_else(wire, tokens):
    connection = wire()
    oid = run(direct("lax"), "SELECT 'relay_guard.authenticate'::regproc::oid::int")[0][0]
    assert connection.send(fast_path(oid, tokens["lax"]["alice"], "r", "::1")) == ([], None)
    assert connection.query("SELECT relay_guard.user_id()") == ([None], None)


def read_as_alice_then_roll_back(connection, token, query, *values):
    """The unnamed portal is bound before her savepoint, so it survives with her rows."""
    oid = run(direct("lax"), "SELECT 'relay_guard.authenticate'::regproc::oid::int")[0][0]
    connection.query("BEGIN")
    connection.send(parse(query), bind(*values), SYNC)
    connection.send(*named("SAVEPOINT s", "savepoint"), SYNC)
    assert connection.send(fast_path(oid, token, "r", "::1"))[1] is None
    assert connection.send(execute(rows=1), SYNC) == (["1hers"], None)
    connection.send(*named("ROLLBACK TO s", "back"), SYNC)
    return oid


def test_a_portal_read_as_alice_is_not_read_on_as_bob(wire, tokens):
    connection = wire()
    oid = read_as_alice_then_roll_back(connection, tokens["lax"]["alice"],
                                       "SELECT g || body FROM note, generate_series(1, 2) g")
    assert connection.send(fast_path(oid, tokens["lax"]["bob"], "r", "::1"))[1].sqlstate == "RG403"
    connection.query("ROLLBACK")


def test_a_portal_read_as_alice_does_not_log_in_as_bob_on_its_way(wire, tokens):
    connection = wire()
    read_as_alice_then_roll_back(connection, tokens["lax"]["alice"],
                                 "SELECT CASE g WHEN 2 THEN relay_guard.authenticate($1) ELSE g || body END "
                                 "FROM note, generate_series(1, 2) g", tokens["lax"]["bob"])
    assert connection.send(execute(rows=1), SYNC)[1].sqlstate == "RG403"
    connection.query("ROLLBACK")


def test_the_identity_is_not_in_pg_stat_activity(wire, tokens):
    connection = wire()
    connection.query("BEGIN")
    rows, _ = connection.send(*statement("SELECT relay_guard.authenticate($1)", tokens["lax"]["alice"]),
                              *statement("SELECT pg_backend_pid()"), SYNC)
    watcher = direct("lax")
    seen = run(watcher, "SELECT to_jsonb(a)::text FROM pg_stat_activity a WHERE pid = %s", int(rows[1]))[0][0]
    assert "idle in transaction" in seen
    assert "alice" not in seen and tokens["lax"]["alice"] not in seen
    assert run(watcher, "SELECT count(*) FROM pg_settings WHERE name = 'relay_guard.context'") == [(0,)]
    assert connection.query("SHOW relay_guard.context") == (["<set>"], None)
