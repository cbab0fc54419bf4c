"""What the tests of rate limits share: TAP, and a server of their own.

Each script runs itself again under test/with_server, with the options that it
needs, so that it may stop, crash and fill that server as it likes.  With
RG_LONG=1 those that have a longer version run it.
"""
import os
import subprocess
import sys
import threading
import time

import psycopg2

HERE = os.path.dirname(os.path.abspath(__file__))
LONG = os.environ.get("RG_LONG", "0") != "0"
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


def pain(spared, name):
    """What went wrong in other limiters, by the name it is known under, does not here."""
    ok(spared, f"pain: {name}")


def tell(figures):
    """A figure for the reader, which decides nothing."""
    print(f"# {figures}", flush=True)


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


def until(condition, seconds=60):
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


def as_server(*command, **environment):
    """Runs one of PostgreSQL's programs as the user that owns the server."""
    bindir = subprocess.check_output([os.environ.get("PG_CONFIG", "pg_config"), "--bindir"], text=True).strip()
    prefix = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"] if os.geteuid() == 0 else []
    prefix += ["env"] + [f"{name}={setting}" for name, setting in environment.items()]
    subprocess.run(prefix + [f"{bindir}/{command[0]}", *command[1:]], check=True, cwd="/", stdout=subprocess.DEVNULL)


def restart(**environment):
    """Stops the server as an operator does, and starts it again; also one that was killed."""
    directory = os.environ["PGHOST"]
    as_server("pg_ctl", "-w", "-m", "fast", "-D", f"{directory}/data", "-l", f"{directory}/log", "restart", **environment)


def server_log():
    with open(os.path.join(os.environ["PGHOST"], "log"), errors="replace") as file:
        return file.read()


def together(clients, work):
    """Runs work(client, connection) in all clients at once; the list of what they return."""
    connections = [connect() for _ in range(clients)]
    results = [None] * clients
    barrier = threading.Barrier(clients)

    def run(client):
        barrier.wait()
        results[client] = work(client, connections[client])

    threads = [threading.Thread(target=run, args=(client,)) for client in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for connection in connections:
        connection.close()
    return results


def admitted(connection, policy, keys, first, last, cost=1):
    """How many hits of these keys, an SQL expression of i, are allowed."""
    return value(connection, f"""SELECT count(*) FILTER (WHERE (taken).allowed) FROM
        (SELECT relay_guard.rate_take_key('{policy}', {keys}, {cost}) AS taken
         FROM generate_series({first}, {last}) AS i OFFSET 0) AS hits""")


def counter_status():
    with connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT * FROM relay_guard.counter_status")
        return dict(zip((column.name for column in cursor.description), cursor.fetchone()))
