"""An application behind the gateway, and routes to it."""
import contextlib
import re
import socket
import threading
import time

from conftest import ROOT

NAMED = 'SELECT 7 AS plan, request.rest AS "rest"'
REST = '[{"name": "rest", "in": "path", "required": true, "schema": {"type": "string"}}]'


def page_verifier():
    """The verifier of docs/proxy.md, as a reader copies it."""
    block, = re.findall(r"```python\n(.*?)```", (ROOT / "docs/proxy.md").read_text(), re.S)
    names = {}
    exec(block, names)
    return names["relay_identity"]


relay_identity = page_verifier()


class Request:
    def __init__(self, method, target, headers, body):
        self.method, self.target, self.headers, self.body = method, target, headers, body

    def header(self, name):
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(values) <= 1, f"{name} came {len(values)} times"
        return values[0] if values else None

    def names(self):
        return {key.lower() for key, value in self.headers}

    def identity(self, *secrets, **changed):
        parts = {"method": self.method, "target": self.target, "headers": self.headers, "body": self.body}
        return relay_identity(secrets, **dict(parts, **changed))


class Upstream:
    """An application over bare sockets; the path says how it behaves."""

    def __init__(self, wrap=None):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self.listener.getsockname()[1]
        self.requests, self.connections, self.left, self.late = [], 0, threading.Event(), threading.Event()
        self.sent = 0
        self.go_on = threading.Semaphore(0)
        self.wrap = wrap
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                self.connections += 1
                threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        with contextlib.suppress(OSError, ValueError):
            if self.wrap:
                client = self.wrap(client)
            stream = client.makefile("rb")
            while self.answer(client, self.read(stream)):
                pass
        client.close()

    def read(self, stream):
        lines = []
        if stream.peek(1)[:1] == b"\x16":
            raise ValueError("TLS")
        while (line := stream.readline().decode("latin-1")) not in ("\r\n", ""):
            lines.append(line.rstrip("\r\n"))
        if not lines:
            raise ConnectionError("closed")
        method, target, _ = lines[0].split(" ")
        headers = [(name, value.lstrip(" ")) for name, _, value in (line.partition(":") for line in lines[1:])]
        length = int(dict((name.lower(), value) for name, value in headers).get("content-length", 0))
        request = Request(method, target, headers, stream.read(length))
        self.requests.append(request)
        return request

    def answer(self, client, request):
        name, *rest = request.target.partition("?")[0].strip("/").split("/")
        behaviour = getattr(self, "on_" + name, self.on_ok)
        return behaviour(client, request, *rest)

    def send(self, client, *lines, body=b""):
        client.sendall("".join(line + "\r\n" for line in [*lines, ""]).encode("latin-1") + body)

    def on_ok(self, client, request, *rest):
        self.send(client, "HTTP/1.1 200 OK", "Content-Type: text/plain", "Content-Length: 5", body=b"" if request.method == "HEAD" else b"hello")
        return True

    def on_status(self, client, request, status):
        body = b"" if status in ("204", "304") else b"x"
        length = [] if status in ("204", "304") else ["Content-Length: 1"]
        self.send(client, f"HTTP/1.1 {status} Whatever", *length, "Location: http://elsewhere.example/", 'ETag: "a"', body=body)
        return True

    def on_echo(self, client, request, *rest):
        self.send(client, "HTTP/1.1 200 OK", f"Content-Length: {len(request.body)}", body=request.body)
        return True

    def on_headers(self, client, request, *rest):
        self.send(client, "HTTP/1.1 200 OK", "Content-Length: 0", "Server: secret/1", "Connection: X-Hop, keep-alive", "X-Hop: 1",
                  "Keep-Alive: timeout=5", "X-Kept: yes", "X-Kept: twice", "X-Frame-Options: ALLOWALL", "Content-Security-Policy: default-src *",
                  "Access-Control-Allow-Origin: *", "X-Request-ID: upstream", "RateLimit: x", "X-Relay-User: root", "Cache-Control: max-age=60",
                  "Set-Cookie: theme=dark; Path=/", "Set-Cookie: __Host-relay_sid=stolen; Path=/; Secure", "Set-Cookie: =relay_sid=x",
                  "Strict-Transport-Security: max-age=0", "X-Accel-Redirect: /etc", "Trailer: X-After", "Proxy-Authenticate: Basic")
        return True

    def on_interim(self, client, request, *rest):
        client.sendall(b"HTTP/1.1 100 Continue\r\nX-Interim: 1\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
        return self.on_ok(client, request)

    def on_trailers(self, client, request, *rest):
        self.send(client, "HTTP/1.1 200 OK", "Transfer-Encoding: chunked", "Trailer: X-After",
                  body=b"2\r\nab\r\n0\r\nX-After: 1\r\nX-Relay-User: root\r\n\r\n")
        return True

    def on_steps(self, client, request, *rest):
        """A chunk whenever the test says so, the last one too."""
        self.send(client, "HTTP/1.1 200 OK", "Transfer-Encoding: chunked")
        for chunk in (b"3\r\none\r\n", b"3\r\ntwo\r\n", b"0\r\n\r\n"):
            self.go_on.acquire()
            client.sendall(chunk)
        return True

    def on_events(self, client, request, *rest):
        self.send(client, "HTTP/1.1 200 OK", "Content-Type: text/event-stream")
        client.settimeout(0.05)
        self.left.clear()
        n = 0
        with contextlib.suppress(ConnectionError):
            while True:
                client.sendall(f"id: {n}\ndata: {n}\n\n".encode())
                n += 1
                with contextlib.suppress(TimeoutError):
                    if client.recv(1) == b"":
                        break
        self.left.set()
        return False

    def on_big(self, client, request, size, *rest):
        self.send(client, "HTTP/1.1 200 OK", f"Content-Length: {size}")
        self.sent = 0
        piece = b"x" * 65536
        while self.sent < int(size):
            self.sent += client.send(piece[:int(size) - self.sent])
        return True

    def on_cut(self, client, request, how):
        heads = {"length": ("Content-Length: 100",), "chunks": ("Transfer-Encoding: chunked",), "head": ()}
        if how == "nothing":
            return False
        if how == "half":
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Le")
            return False
        self.send(client, "HTTP/1.1 200 OK", *heads[how], body=b"5\r\nhello\r\n")
        return False

    def on_hang(self, client, request, *rest):
        self.left.clear()
        client.recv(1)
        self.left.set()
        return False

    def on_stall(self, client, request, *rest):
        self.send(client, "HTTP/1.1 200 OK", "Content-Length: 100", body=b"hello")
        return self.on_hang(client, request)

    def on_surplus(self, client, request, which):
        """An answer, and bytes that nobody asked for, on a connection that stays open."""
        client.sendall(SURPLUS[which] + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nSECRET")
        return True

    def on_late(self, client, request, *rest):
        """The same, a little later."""
        self.late.clear()
        self.on_ok(client, request)
        time.sleep(0.1)
        client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nSECRET")
        self.late.set()
        return True

    def on_raw(self, client, request, which):
        client.sendall(RAW[which])
        return False


SURPLUS = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "204-with-length": b"HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\nabc",
    "304": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
}

RAW = {
    "garbage": b"lorem ipsum dolor\r\n\r\n",
    "two-lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "both-framings": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
    "odd-encoding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
    "folded": b"HTTP/1.1 200 OK\r\nX-A: 1\r\n X-B: 2\r\nContent-Length: 1\r\n\r\na",
    "control": b"HTTP/1.1 200 OK\r\nX-A: 1\x01\r\nContent-Length: 1\r\n\r\na",
    "split": b"HTTP/1.1 200 OK\r\nX-A: 1\rSet-Cookie: a=b\r\nContent-Length: 1\r\n\r\na",
    "switch": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    "long-head": b"HTTP/1.1 200 OK\r\nX-A: " + b"x" * 20000 + b"\r\nContent-Length: 1\r\n\r\na",
    "many-headers": b"HTTP/1.1 200 OK\r\n" + b"X-A: 1\r\n" * 100 + b"Content-Length: 1\r\n\r\na",
    "nine": b"<html>HTTP/0.9</html>",
}


def add_upstream(postgres, name, url, prefix, auth="none", methods="GET,POST,PUT,PATCH,DELETE", query=NAMED, more="", route=""):
    """Its secret, and a route for each method."""
    columns = dict(re.findall(r"(\w+) => ([^;]+)", more))
    extra = "".join(f", {name}" for name in columns), "".join(f", {value}" for value in columns.values())
    added = dict(re.findall(r"(\w+) => ([^;]+)", route))
    routed = "".join(f", {name}" for name in added), "".join(f", {value}" for value in added.values())
    path, declared = (prefix + "/{rest...}", REST)
    secret, = postgres.sql(f"""
        INSERT INTO relay_guard.upstream (name, url, strip_prefix{extra[0]}) VALUES ('{name}', '{url}', '{prefix}'{extra[1]});
        INSERT INTO relay_guard.route (method, path, query, auth, result, upstream, parameters, run_as{routed[0]})
        SELECT m, '{path}', $q${query}$q$, '{auth}', 'proxy', '{name}', '{declared}', 'relay_app'{routed[1]}
        FROM unnest('{{{methods}}}'::text[]) m;
        SELECT relay_guard.upstream_secret_set('{name}')""", user="relay_owner")[0]
    return secret
