"""What the tests of seals share."""
from audit_formats import formats, multirange
from servers import run

COLUMNS = ("seal_id, epoch, row_epoch, snap::text, month::text, rows, ids::text, encode(digest, 'hex') AS digest, "
           "unwitnessed, findings, encode(previous, 'hex') AS previous, encode(root, 'hex') AS root, step, "
           "encode(proof, 'hex') AS proof")


def log_server(make_server, options=()):
    """A server whose log has partitions and nothing in them."""
    server = make_server(options)
    server.run("CREATE EXTENSION relay_guard; SELECT relay_guard.audit_maintain()")
    return server


def event(connection, resource_id="r"):
    """A row of the log in the connection's transaction; its id."""
    return run(connection, "SELECT relay_guard.audit_event('test', 'thing', %s)", resource_id)[0][0]


def events(server, count, **where):
    """Rows of a transaction each; their ids."""
    connection = server.connect(**where)
    ids = [event(connection) for _ in range(count)]
    connection.close()
    return ids


def seal(server, database="postgres", **where):
    """How many seals it made."""
    return server.value("SELECT relay_guard.audit_seal()", database=database, **where)


def seals(server, since=0, **where):
    return [row for row, in server.run(f"SELECT row_to_json(s) FROM (SELECT {COLUMNS} FROM relay_guard.audit_seal "
                                       "WHERE seal_id > %s ORDER BY seal_id) s", since, **where)]


def last_seal(server, **where):
    return seals(server, **where)[-1]


def ids_text(*ids):
    """As int8multirange prints them."""
    return multirange(ids)


def problems(server, **where):
    return server.run("SELECT problem, id FROM relay_guard.audit_verify()", **where)


def tamper(server, statement, *arguments, **where):
    """As a superuser whom no trigger stops."""
    connection = server.connect(**where)
    run(connection, "SET session_replication_role = replica")
    run(connection, statement, *arguments)
    connection.close()


def key_of_step(first, step):
    for _ in range(step):
        first = formats.ratchet(first)
    return first


def proof(key, root):
    return formats.seal_proof(key, bytes.fromhex(root)).hex()
