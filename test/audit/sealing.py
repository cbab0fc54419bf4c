"""What the tests of seals share."""
import hashlib
import struct

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


def seal(server, **where):
    return server.value("SELECT relay_guard.audit_seal()", **where)


def seals(server, since=0, **where):
    return [row for row, in server.run(f"SELECT row_to_json(s) FROM (SELECT {COLUMNS} FROM relay_guard.audit_seal "
                                       "WHERE seal_id > %s ORDER BY seal_id) s", since, **where)]


def last_seal(server, **where):
    return seals(server, **where)[-1]


def ids_text(*ids):
    """As int8multirange prints them."""
    ranges = []
    for id in sorted(ids):
        if ranges and ranges[-1][1] == id:
            ranges[-1][1] = id + 1
        else:
            ranges.append([id, id + 1])
    return "{%s}" % ",".join("[%d,%d)" % tuple(r) for r in ranges)


def problems(server, **where):
    return server.run("SELECT problem, id FROM relay_guard.audit_verify()", **where)


def tamper(server, statement, *arguments, **where):
    """As a superuser whom no trigger stops."""
    connection = server.connect(**where)
    run(connection, "SET session_replication_role = replica")
    run(connection, statement, *arguments)
    connection.close()


def next_key(key):
    """The key of the next step."""
    return hashlib.blake2b(b"", digest_size=32, key=key, salt=struct.pack("<Q", 1) + bytes(8),
                           person=b"ratchet_" + bytes(8)).digest()


def key_of_step(first, step):
    for _ in range(step):
        first = next_key(first)
    return first


def proof(key, root):
    return hashlib.blake2b(b"\x04" + bytes.fromhex(root), digest_size=32, key=key).hexdigest()
