"""What the tests of rate limits share: TAP, and a server of their own.

Each script runs itself again under test/with_server, with the options that it
needs, so that it may stop, crash and fill that server as it likes.
"""
import os
import subprocess
import sys
import time

import psycopg2

HERE = os.path.dirname(os.path.abspath(__file__))
count = 0
failures = 0


def own_server(options=""):
    """Returns inside a throwaway server that has these options."""
    script = os.path.abspath(sys.argv[0])
    if os.environ.get("RATES_SERVER_OF") == script:
        return
    environment = dict(os.environ, RATES_SERVER_OF=script, SERVER_OPTIONS=options)
    server = os.path.join(HERE, "..", "with_server")
    os.execve(server, [server, sys.executable, script], environment)


def ok(passed, name):
    global count, failures
    count += 1
    failures += not passed
    print(f"{'ok' if passed else 'not ok'} {count} - {name}", flush=True)


def same(got, wanted, name):
    ok(got == wanted, name)
    if got != wanted:
        print(f"# got {got!r}, wanted {wanted!r}", flush=True)


def done():
    print(f"1..{count}")
    sys.exit(failures > 0)


def connect(database="postgres"):
    connection = psycopg2.connect(dbname=database)
    connection.autocommit = True
    return connection


def query(connection, statement, *arguments):
    with connection.cursor() as cursor:
        cursor.execute(statement, arguments or None)
        return cursor.fetchall() if cursor.description else None


def value(connection, statement, *arguments):
    return query(connection, statement, *arguments)[0][0]


def sqlstate(connection, statement):
    """The SQLSTATE that the statement fails with, or None."""
    try:
        query(connection, statement)
    except psycopg2.Error as error:
        return error.pgcode
    return None


def until(condition, seconds=20):
    """Waits for the condition to hold; whether it did in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if condition():
                return True
        except psycopg2.OperationalError:
            pass
        time.sleep(0.1)
    return False


def reconnect():
    """A connection to the server once it takes them again."""
    connections = []
    until(lambda: connections.append(connect()) or True)
    return connections[0]


def restart():
    """Stops the server as an operator does, and starts it again."""
    bindir = subprocess.check_output([os.environ.get("PG_CONFIG", "pg_config"), "--bindir"], text=True).strip()
    directory = os.environ["PGHOST"]
    command = [f"{bindir}/pg_ctl", "-w", "-m", "fast", "-D", f"{directory}/data", "-l", f"{directory}/log", "restart"]
    if os.geteuid() == 0:
        command = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"] + command
    subprocess.run(command, check=True, cwd="/", stdout=subprocess.DEVNULL)
