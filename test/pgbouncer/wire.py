"""PostgreSQL's protocol by hand, for what a driver does not send."""
import socket
import struct


class Failed(Exception):
    """An ErrorResponse; str() is its message."""

    def __init__(self, fields):
        super().__init__(fields["M"])
        self.sqlstate = fields["C"]


def fields_of(body):
    return {part[:1].decode(): part[1:].decode() for part in body.split(b"\0") if part}


def text(value):
    return value.encode() + b"\0"


def parse(statement, name=""):
    return b"P", text(name) + text(statement) + struct.pack("!h", 0)


def bind(*values, name=""):
    """To the portal from the statement of that name."""
    body = text(name) + text(name) + struct.pack("!hh", 0, len(values))
    for value in values:
        body += struct.pack("!i", len(value.encode())) + value.encode()
    return b"B", body + struct.pack("!h", 0)


def execute(name="", rows=0):
    return b"E", text(name) + struct.pack("!i", rows)


SYNC = (b"S", b"")


def statement(query, *values):
    """The messages of one statement, its values apart from it."""
    return [parse(query), bind(*values), execute()]


def named(query, name):
    """The messages of one that leaves the unnamed portal alone."""
    close = [(b"C", kind + text(name)) for kind in (b"P", b"S")]
    return [parse(query, name), bind(name=name), execute(name), *close]


def fast_path(function, *arguments):
    """The fast-path call of a function, by oid, with text arguments."""
    body = struct.pack("!ihh", function, 0, len(arguments))
    for value in arguments:
        body += struct.pack("!i", len(value)) + value.encode()
    return b"F", body + struct.pack("!h", 0)


class Wire:
    def __init__(self, path, **startup):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        self.socket.connect(path)
        body = struct.pack("!i", 3 << 16)
        for name, value in startup.items():
            body += text(name) + text(value)
        self.socket.sendall(struct.pack("!i", len(body) + 5) + body + b"\0")
        self.until_ready()

    def close(self):
        self.socket.close()

    def exactly(self, size):
        data = b""
        while len(data) < size:
            piece = self.socket.recv(size - len(data))
            if not piece:
                raise ConnectionError("the server closed the connection")
            data += piece
        return data

    def until_ready(self):
        """First columns of all rows until ReadyForQuery; the first error, if any."""
        rows, error = [], None
        while True:
            kind, size = struct.unpack("!ci", self.exactly(5))
            body = self.exactly(size - 4)
            if kind == b"D":
                length, = struct.unpack("!i", body[2:6])
                rows.append(None if length < 0 else body[6:6 + length].decode())
            elif kind == b"E":
                error = error or Failed(fields_of(body))
                if fields_of(body)["S"] == "FATAL":
                    raise error
            elif kind == b"Z":
                return rows, error

    def send(self, *messages):
        self.socket.sendall(b"".join(kind + struct.pack("!i", len(body) + 4) + body for kind, body in messages))
        return self.until_ready()

    def query(self, statements):
        """A simple query, which may be several statements."""
        return self.send((b"Q", text(statements)))
