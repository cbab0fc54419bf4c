"""A provider of language models that answers as the request's first message says, and routes to it."""
import contextlib
import json
import select
import socket
import threading
import time

KEY = "sk-test-0123456789abcdef"
PATH = "/test/completion/"


class Provider:
    """OpenAI's chat completions over bare sockets. The content of the first message is a script, JSON:

    say: pieces of text; times: how often all of them; every: seconds before each; usage: [input, output], or null for
    none; finish: the reason; last: bytes beside it; pause: seconds behind it; status, headers, message, body: a refusal; hang: before the
    head; think: seconds behind it; silence: seconds behind the pieces; cut: no end; early: an end before the reason;
    whole: though a stream is asked for; error: in a chunk's place; raw, fill: bytes before all events; many: values
    in front of all others; done: false leaves [DONE] out."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self.listener.getsockname()[1]
        self.lock = threading.Lock()
        self.bodies, self.heads, self.input, self.output = [], [], 0, 0
        self.left = threading.Semaphore(0)
        self.sent = 0
        self.active = 0
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self.serve, args=(self.listener.accept()[0],), daemon=True).start()

    def serve(self, client):
        with self.lock:
            self.active += 1
        try:
            with contextlib.suppress(OSError, ValueError), client:
                self.answer(client, *self.read(client))
        finally:
            with self.lock:
                self.active -= 1

    def read(self, client):
        stream = client.makefile("rb")
        if stream.peek(1)[:1] == b"\x16":
            raise ValueError("TLS")
        lines = []
        while (line := stream.readline().decode("latin-1")) not in ("\r\n", ""):
            lines.append(line.rstrip("\r\n"))
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        body = json.loads(stream.read(int(headers["content-length"])))
        with self.lock:
            self.heads.append((lines[0], headers))
            self.bodies.append(body)
        return body, json.loads(body["messages"][0]["content"])

    def answer(self, client, body, script):
        if "hang" in script:
            self.wait(client, script["hang"])
        if "status" in script:
            self.refuse(client, script)
        elif body.get("stream") and not script.get("whole"):
            self.stream(client, body, script)
        else:
            self.whole(client, body, script)

    def wait(self, client, seconds):
        """Until then, or until the gateway has gone."""
        if select.select([client], [], [], seconds)[0]:
            self.left.release()
            raise ConnectionError("left")

    def head(self, client, status, *lines):
        client.sendall("".join(line + "\r\n" for line in [f"HTTP/1.1 {status} X", "Connection: close", *lines, ""]).encode())

    def refuse(self, client, script):
        body = script.get("body", json.dumps({"error": {"message": script.get("message", "no"), "type": "x"}})).encode()
        lines = [f"{name}: {value}" for name, value in script.get("headers", {}).items()]
        self.head(client, script["status"], "Content-Type: application/json", f"Content-Length: {len(body)}", *lines)
        client.sendall(body)

    def use(self, script):
        usage = script.get("usage", [7, 9])
        if usage is not None:
            with self.lock:
                self.input, self.output = self.input + usage[0], self.output + usage[1]
            return {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": sum(usage)}

    def stream(self, client, body, script):
        self.head(client, 200, "Content-Type: text/event-stream; charset=utf-8", "Transfer-Encoding: chunked")
        if "think" in script:
            self.wait(client, script["think"])
        if "raw" in script:
            self.chunk(client, script["raw"].encode() + b"x" * script.get("fill", 0))
        if "many" in script:
            self.data(client, '{"choices":[],"many":[%s0]}' % ("[]," * script["many"]))
        for piece in script.get("say", ["Hel", "lo"]) * script.get("times", 1):
            if script.get("every"):
                self.wait(client, script["every"])
            self.event(client, body, [{"index": 0, "delta": {"content": piece}, "finish_reason": None}])
        if "silence" in script:
            self.wait(client, script["silence"])
        if "error" in script:
            self.data(client, json.dumps({"error": script["error"]}))
        if script.get("cut"):
            return
        if script.get("early"):
            client.sendall(b"0\r\n\r\n")
            return
        self.event(client, body, [{"index": 0, "delta": {"content": "x" * script["last"]} if "last" in script else {},
                                   "finish_reason": script.get("finish", "stop")}])
        if "pause" in script:
            time.sleep(script["pause"])
        usage = self.use(script)
        if usage and body.get("stream_options", {}).get("include_usage"):
            self.event(client, body, [], usage)
        if script.get("done", True):
            self.data(client, "[DONE]")
        client.sendall(b"0\r\n\r\n")

    def event(self, client, body, choices, usage=None):
        self.data(client, json.dumps({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": body["model"],
                                      "choices": choices, "usage": usage}))

    def data(self, client, text):
        self.chunk(client, f"data: {text}\n\n".encode())

    def chunk(self, client, data):
        try:
            client.sendall(b"%x\r\n%s\r\n" % (len(data), data))
            self.sent += len(data)
        except OSError:
            self.left.release()
            raise

    def whole(self, client, body, script):
        many = '{"choices":[],"many":[%s0]}' % ("[]," * script.get("many", 0))
        answer = script.get("raw") or ("many" in script and many) or json.dumps(
            {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": body["model"], "usage": self.use(script),
             "choices": [{"index": 0, "message": {"role": "assistant", "content": "".join(script.get("say", ["Hel", "lo"]))},
                          "finish_reason": script.get("finish", "stop")}]})
        self.head(client, 200, "Content-Type: application/json", f"Content-Length: {len(answer) + (100 if script.get('cut') else 0)}")
        client.sendall(answer.encode())


def add_provider(postgres, url, timeouts="'1 s', '1 s', '1 s'", grace=None):
    postgres.sql(f"""
        INSERT INTO relay_guard.model (name, provider, input_price, output_price, max_input_tokens, max_output_tokens)
        VALUES ('fake', 'fake', 1000000, 1000000, 100000, 1000);
        INSERT INTO relay_guard.upstream (name, url, auth, connect_timeout, answer_timeout, idle_timeout)
        VALUES ('fake', '{url}', 'bearer', {timeouts});
        SELECT relay_guard.upstream_secret_set('fake', '{KEY}');
        UPDATE relay_guard.budget_policy SET enabled = false WHERE name = 'global_daily';
        INSERT INTO relay_guard.budget_policy (name, scope, "window", hard) VALUES ('fake', 'user', 'day', 1000000000)""")
    postgres.sql(f"""
        INSERT INTO relay_guard.route (method, path, query, auth, result, shape, request_body, run_as)
        SELECT 'POST', '{PATH}' || shape, 'SELECT request.body AS body', 'user', 'completion', shape, '{{"type": "object"}}', 'relay_app'
        FROM unnest('{{openai,reply,events}}'::text[]) shape;
        INSERT INTO relay_guard.route (method, path, query, auth, result, parameters, run_as)
        VALUES ('GET', '{PATH}events/{{id}}', 'SELECT relay_guard.completion_stream(request.id) AS stream, -1 AS after', 'user', 'stream',
                '[{{"name": "id", "in": "path", "required": true, "schema": {{"type": "string", "format": "uuid"}}}}]', 'relay_app')""",
                 user="relay_owner")


def remove_provider(postgres):
    postgres.sql(f"""DELETE FROM relay_guard.route WHERE path LIKE '{PATH}%';
                     DELETE FROM relay_guard.upstream WHERE name = 'fake';
                     DELETE FROM relay_guard.model WHERE name = 'fake';
                     DELETE FROM relay_guard.budget_policy WHERE name = 'fake';
                     UPDATE relay_guard.budget_policy SET enabled = true WHERE name = 'global_daily'""")


class Stream:
    """An answer that is read as it comes."""

    def __init__(self, connection):
        self.connection = connection
        self.answer = connection.read("HEAD")
        self.status, self.headers, self.header = self.answer.status, self.answer.headers, self.answer.header
        self.text, self.whole = b"", False

    def more(self):
        """The next chunk; None at the end, whole or not."""
        connection = self.connection
        while b"\r\n" not in connection.buffer:
            if not connection.more():
                return None
        size, connection.buffer = connection.buffer.split(b"\r\n", 1)
        while len(connection.buffer) < int(size, 16) + 2:
            if not connection.more():
                return None
        data, connection.buffer = connection.buffer[:int(size, 16)], connection.buffer[int(size, 16) + 2:]
        self.whole = data == b""
        self.text += data
        return data or None

    def until(self, text):
        while text.encode() not in self.text:
            assert self.more() is not None, self.text
        return self

    def rest(self):
        while self.more() is not None:
            pass
        return self

    def events(self):
        return parse_events(self.text.decode())

    def data(self):
        return [event["data"] for event in self.events()]


def parse_events(text):
    """A dict of fields for each block."""
    return [dict(line.split(": ", 1) for line in block.split("\n")) for block in text.split("\n\n") if block]


def chat(shape="openai", stream=True, token=None, model="fake", more=None, **script):
    """Method, target, headers and body of a request."""
    body = {"model": model, "messages": [{"role": "user", "content": json.dumps(script)}], "stream": stream, **(more or {})}
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
    return "POST", PATH + shape, headers, json.dumps(body).encode()
