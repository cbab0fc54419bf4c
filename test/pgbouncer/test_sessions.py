"""A session's request behind PgBouncer leaves nothing for the next client of the connection."""
import pytest
from conftest import direct, make_database, run

ROUTES = """
    CREATE FUNCTION session_open() RETURNS text LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
        $$ SELECT relay_guard.session_start('alice')::text $$;
    INSERT INTO relay_guard.route (method, path, query, auth, result, run_as) VALUES
        ('POST', '/session/open', 'SELECT public.session_open()', 'none', 'value', 'web'),
        ('GET', '/session/who', 'SELECT relay_guard.user_id()', 'user', 'value', 'web'),
        ('GET', '/session/notes', 'SELECT string_agg(body, '','') FROM public.note', 'user', 'value', 'web'),
        ('GET', '/session/fails', 'SELECT 1 / (relay_guard.user_id() <> ''alice'')::int', 'user', 'value', 'web');
"""
SERVE = "SELECT status, headers, convert_from(body, 'UTF8') FROM relay_guard.serve(%s, %s, headers => %s)"
LEFT = "SELECT relay_guard.user_id(), relay_guard.csrf_token(), relay_guard.gateway_flag('dev'), current_user"
FLAGS = ["x-relay-flags", "dev"]


@pytest.fixture(scope="module")
def connect(bouncer):
    make_database("sessions")
    run(direct("sessions"), "SELECT relay_guard.grant_role('trusted', 'web')")
    run(direct("sessions"), ROUTES)
    return lambda: bouncer.connect("sessions")


def test_nothing_of_a_session_is_left(connect):
    first, second = connect(), connect()
    backend = run(second, "SELECT pg_backend_pid()")
    (status, headers, _), = run(first, SERVE, "POST", "/session/open", FLAGS)
    cookie = headers[headers.index("Set-Cookie") + 1].split(";")[0]
    nobody = [(None, None, False, "web")]
    assert status == 200 and run(second, LEFT) == nobody
    assert run(first, SERVE, "GET", "/session/who", [*FLAGS, "cookie", cookie])[0][::2] == (200, '"alice"')
    assert run(second, LEFT) == nobody and run(second, "SELECT count(*) FROM note") == [(0,)]
    assert run(first, SERVE, "GET", "/session/notes", [*FLAGS, "cookie", cookie])[0][::2] == (200, '"hers"')
    assert run(second, SERVE, "GET", "/session/who", [])[0][0] == 401
    with pytest.raises(Exception, match="division by zero"):
        run(first, SERVE, "GET", "/session/fails", [*FLAGS, "cookie", cookie])
    assert run(second, LEFT) == nobody and run(second, "SELECT count(*) FROM note") == [(0,)]
    # nor within the transaction of whoever asked
    run(first, "BEGIN")
    assert run(first, SERVE, "GET", "/session/who", [*FLAGS, "cookie", cookie])[0][0] == 200
    assert run(first, LEFT) == nobody
    run(first, "COMMIT")
    assert run(second, "SELECT pg_backend_pid()") == backend
