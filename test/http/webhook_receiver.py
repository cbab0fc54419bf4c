"""Receivers of webhooks, and endpoints that name them."""
import contextlib
import hashlib
import hmac
import http.server
import json
import re
import ssl
import subprocess
import threading
import time

import pytest

from conftest import ROOT


def page_verifier():
    """The verifier of docs/webhooks.md, as a reader copies it."""
    block, = re.findall(r"```python\n(.*?)```", (ROOT / "docs/webhooks.md").read_text(), re.S)
    names = {}
    exec(block, names)
    return names["webhook_verify"]


webhook_verify = page_verifier()


class Message:
    """One attempt, as it came."""

    def __init__(self, path, headers, body, address):
        self.path, self.headers, self.body, self.address, self.at = path, headers, body, address, time.time()

    def header(self, name):
        values = [value for key, value in self.headers if key.lower() == name]
        assert len(values) <= 1, f"{name} came {len(values)} times"
        return values[0] if values else None

    @property
    def id(self):
        return self.header("webhook-id")

    @property
    def data(self):
        return json.loads(self.body)["data"]

    def check(self, *secrets, body=None, **changed):
        """As receivers verify it; ValueError where it is not the sender's.  changed: headers, - written as _."""
        headers = {name.lower(): value for name, value in self.headers} | {name.replace("_", "-"): value for name, value in changed.items()}
        assert webhook_verify(secrets, headers, self.body if body is None else body) == headers["webhook-id"]
        plain = "sha256=" + hmac.new(secrets[0].encode(), self.body, hashlib.sha256).hexdigest()
        assert self.header("x-signature") == plain


def make_certificate(folder, names):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", "/CN=receiver",
                    "-addext", f"subjectAltName={names}", "-out", folder / "receiver.pem", "-keyout", folder / "receiver.key"],
                   check=True, capture_output=True)
    (folder / "receiver.pem").chmod(0o644)
    return folder / "receiver.pem", folder / "receiver.key"


class Receiver:
    """Answers as the path says: /ok, /status/500, /hang, ...; and notes what came."""

    def __init__(self, certificate=None, key=None, address="127.0.0.1"):
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                message = Message(self.path, list(self.headers.items()), body, self.connection.getsockname()[0])
                receiver.messages.append(message)
                receiver.behave(self, self.path, message)

            def do_GET(self):
                receiver.gets.append(self.path)
                receiver.answer(self, 200)

            def log_message(self, *arguments):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads, request_queue_size = True, 256

            def get_request(self):
                connection, client = super().get_request()
                receiver.reached.append(connection.getsockname()[0])
                return connection, client

            def handle_error(self, *arguments):
                pass

        self.messages, self.gets, self.answers, self.go_on = [], [], [], threading.Event()
        self.reached = []      # its own addresses, by which it was connected to
        self.server = Server((address, 0), Handler)
        self.port, self.secure = self.server.server_address[1], certificate is not None
        if self.secure:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, key)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def url(self, path="/ok", host="127.0.0.1"):
        return f"{'https' if self.secure else 'http'}://{host}:{self.port}{path}"

    def behave(self, handler, path, message):
        kind, _, argument = path.lstrip("/").partition("?")[0].partition("/")
        with contextlib.suppress(OSError):
            if kind == "next" and self.answers:
                self.answer(handler, *self.answers.pop(0))
            elif kind == "status":
                self.answer(handler, int(argument))
            elif kind == "retry":
                self.answer(handler, 503, {"Retry-After": argument.replace("_", " ")})
            elif kind == "redirect":
                self.answer(handler, 307, {"Location": self.url("/ok")})
            elif kind == "hang":
                self.go_on.wait(30)
                self.answer(handler, 200)
            elif kind == "flood":
                self.flood(handler)
            elif kind == "headers":
                handler.wfile.write(b"HTTP/1.1 200 OK\r\n" + b"X-A: %s\r\n" % (b"a" * 1000) * 80 + b"\r\n")
                handler.close_connection = True
            elif kind == "garbage":
                handler.wfile.write(b"220 mail.example ESMTP\r\n")
                handler.close_connection = True
            elif kind == "cut":
                handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nten bytes.")
                handler.close_connection = True
            else:
                self.answer(handler, 200)

    def answer(self, handler, status, headers={}):
        handler.send_response(status)
        for name, value in {"Content-Length": "2", **headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(b"ok")

    def flood(self, handler):
        """Goes on and on, until nobody reads; how much that was is its answer's length."""
        handler.send_response(200)
        handler.end_headers()
        self.flooded = 0
        with contextlib.suppress(OSError):
            while self.flooded < 1 << 30:
                self.flooded += handler.wfile.write(b"x" * 65536)
        self.flood_ended = True
        handler.close_connection = True

    def of(self, number):
        """Attempts to deliver the message whose payload has that number."""
        return [message for message in self.messages if message.data.get("n") == number]

    def close(self):
        self.go_on.set()
        self.server.shutdown()
        self.server.server_close()


class Outbox:
    """Endpoints and messages of a database."""

    def __init__(self, postgres):
        self.sql, self.count = postgres.sql, 0
        self.sql("""GRANT EXECUTE ON FUNCTION relay_guard.webhook_send(text, jsonb, text) TO relay_app;
            INSERT INTO relay_guard.route (method, path, query, auth, result, request_body, parameters, run_as)
            VALUES ('POST', '/test/webhook', 'SELECT relay_guard.webhook_send(''test.sent'', request.body)', 'none', 'value',
                    '{"type": "object"}', '[]', 'relay_app')""")

    def endpoint(self, url, timeout="15 s", secret=True):
        """A new one, and its secret."""
        self.count += 1
        name = f"e{self.count}"
        self.sql(f"""INSERT INTO relay_guard.webhook_endpoint (name, url, timeout) VALUES ('{name}', '{url}', '{timeout}')""")
        return name, secret and self.sql(f"SELECT relay_guard.webhook_endpoint_secret_set('{name}')")[0][0]

    def send(self, number, more="", via=None):
        """By a request to that gateway, which then sends it at once, or by SQL, which it finds within a second."""
        if via:
            answer = via.ask("POST", "/test/webhook", {"Content-Type": "application/json", "X-Request-ID": f"r{number}"},
                             f'{{"n": {number}{more}}}'.encode())
            assert answer.status == 200
            return answer.json()
        return self.sql(f"""SELECT relay_guard.webhook_send('test.sent', '{{"n": {number}{more}}}')""")[0][0]

    def deliveries(self, endpoint="%"):
        """(state, attempts, last_status, last_error, seconds until the next), the oldest first."""
        return self.sql(f"""SELECT state, attempts, last_status, last_error, extract(epoch FROM next_at - clock_timestamp())::float
                            FROM relay_guard.webhook_history WHERE endpoint LIKE '{endpoint}' ORDER BY delivery""")

    def delivery(self, endpoint="%"):
        row, = self.deliveries(endpoint)
        return row

    def is_over(self, endpoint="%", attempts=1):
        """So many attempts of all its deliveries have ended."""
        return all(row[0] for row in self.sql(f"""
            SELECT leased_until IS NULL AND attempts >= {attempts} FROM relay_guard.webhook_history WHERE endpoint LIKE '{endpoint}'"""))

    def hurry(self):
        """What waits for its next attempt has waited."""
        self.sql("UPDATE relay_guard.webhook_delivery SET next_at = now() WHERE state = 'pending' AND leased_until IS NULL")

    def lose_leases(self):
        self.sql("UPDATE relay_guard.webhook_delivery SET next_at = now(), leased_until = now() WHERE leased_until IS NOT NULL")

    def clear(self):
        self.sql("DELETE FROM relay_guard.webhook_endpoint; DELETE FROM relay_guard.webhook_message")

    def remove(self):
        self.clear()
        self.sql("DELETE FROM relay_guard.route WHERE path = '/test/webhook'")


def failures(gateway):
    return [line for line in map(json.loads, gateway.errors().splitlines()) if line["message"] == "a webhook was not delivered"]


@pytest.fixture(scope="module")
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture(scope="module")
def outbox(postgres):
    outbox = Outbox(postgres)
    yield outbox
    outbox.remove()


@pytest.fixture(autouse=True)
def nothing_waits(outbox):
    yield
    outbox.clear()
