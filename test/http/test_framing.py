"""What is a request and what is not, over real sockets."""
import time

import pytest

HOST = b"Host: localhost\r\n"
POST = b"POST /test/notes HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"
NOTE = b'{"text":"smuggled"}'

MALFORMED = {
    "content-length and chunked": POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two content-lengths": POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "two equal content-lengths": POST + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "content-length with a sign": POST + b"Content-Length: +2\r\n\r\n{}",
    "space before the colon": POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "xchunked": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "gzip, chunked": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunk size 0x5": POST + b"Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
    "chunk size +5": POST + b"Transfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n",
    "chunk ends in LF": POST + b"Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n",
    "bare LF": b"GET /health HTTP/1.1\nHost: localhost\n\n",
    "folded header": b"GET /health HTTP/1.1\r\n" + HOST + b"X: a\r\n b\r\n\r\n",
    "NUL in a header": b"GET /health HTTP/1.1\r\n" + HOST + b"X: a\0b\r\n\r\n",
    "two hosts": b"GET /health HTTP/1.1\r\n" + HOST + HOST + b"\r\n",
    "no host": b"GET /health HTTP/1.1\r\n\r\n",
    "no version": b"GET /health\r\n" + HOST + b"\r\n",
    "chunked in 1.0": b"POST /health HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "target without slash": b"GET health HTTP/1.1\r\n" + HOST + b"\r\n",
    "absolute target": b"GET http://localhost/health HTTP/1.1\r\n" + HOST + b"\r\n",
    "asterisk for GET": b"GET * HTTP/1.1\r\n" + HOST + b"\r\n",
    "fragment": b"GET /health#a HTTP/1.1\r\n" + HOST + b"\r\n",
    "escaped NUL": b"GET /a%00b HTTP/1.1\r\n" + HOST + b"\r\n",
    "half an escape": b"GET /a%4 HTTP/1.1\r\n" + HOST + b"\r\n",
    "parent segment": b"GET /a/../b HTTP/1.1\r\n" + HOST + b"\r\n",
    "escaped parent segment": b"GET /%2e%2e/etc/passwd HTTP/1.1\r\n" + HOST + b"\r\n",
    "backslash": b"GET /a%5cb HTTP/1.1\r\n" + HOST + b"\r\n",
    "overlong UTF-8": b"GET /%c0%af HTTP/1.1\r\n" + HOST + b"\r\n",
    "two authorizations": b"GET /health HTTP/1.1\r\n" + HOST + b"Authorization: a\r\nAuthorization: b\r\n\r\n",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_is_refused_and_closed(gateway, name):
    connection = gateway.connect()
    connection.send(MALFORMED[name])
    answer = connection.read()
    assert answer.status == 400
    assert answer.header("content-type") == "application/problem+json"
    assert answer.header("connection") == "close"
    assert answer.json()["request_id"] == answer.header("x-request-id")
    assert connection.is_closed()


@pytest.mark.parametrize("status, request_bytes", [
    (431, b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 17000 + b"\r\n\r\n"),
    (431, b"GET / HTTP/1.1\r\n" + HOST + b"X: y\r\n" * 70 + b"\r\n"),
    (414, b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n" + HOST + b"\r\n"),
    (505, b"GET / HTTP/2.0\r\n" + HOST + b"\r\n"),
    (417, b"GET / HTTP/1.1\r\n" + HOST + b"Expect: a-miracle\r\n\r\n"),
    (501, b"BREW / HTTP/1.1\r\n" + HOST + b"\r\n"),
    (413, POST + b"Content-Length: 2000000\r\n\r\n"),
    (413, POST + b"Transfer-Encoding: chunked\r\n\r\n200000\r\n" + b" " * 0x200000),
], ids=["long head", "many headers", "long target", "HTTP/2.0", "expectation", "method",
        "long body", "long chunked body"])
def test_distinct_refusals(gateway, status, request_bytes):
    connection = gateway.connect()
    connection.send(request_bytes)
    assert connection.read().status == status


def test_the_rest_of_a_refused_request_is_no_request(gateway, postgres):
    inner = POST + b"Content-Length: %d\r\n\r\n" % len(NOTE) + NOTE
    for framing in (b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                    b"Content-Length: 0\r\nContent-Length: 5\r\n\r\n"):
        connection = gateway.connect()
        connection.send(POST + framing + inner)
        assert connection.read().status == 400
        assert connection.is_closed()
    assert postgres.sql("SELECT count(*) FROM relay.test_note WHERE text = 'smuggled'") == [(0,)]


def test_the_answer_arrives_though_more_was_sent(gateway):
    connection = gateway.connect()
    connection.send(b"BAD\r\n\r\n" + b"x" * 8000000)
    assert connection.read().status == 400


def test_a_request_byte_by_byte(gateway):
    connection = gateway.connect()
    body = b'{"text":"slow"}'
    for byte in POST + b"Content-Length: %d\r\n\r\n" % len(body) + body:
        connection.send(bytes([byte]))
    assert connection.read().json() == {"text": "slow"}


@pytest.mark.parametrize("size", [1, 7, 4000])
def test_chunks(gateway, size):
    body = b'{"text":"' + b"c" * 9000 + b'"}'
    pieces = [body[at:at + size] for at in range(0, len(body), size)]
    connection = gateway.connect()
    connection.send(POST + b"Transfer-Encoding: chunked\r\n\r\n")
    connection.send(b"".join(b"%x;ext=1\r\n%s\r\n" % (len(piece), piece) for piece in pieces))
    connection.send(b"0\r\nTrailer: dropped\r\n\r\n")
    assert connection.read().json() == {"text": "c" * 9000}
    connection.request("GET", "/health")
    assert connection.read().status == 200


def test_a_large_body(gateway):
    text = "l" * 900000
    answer = gateway.ask("POST", "/test/notes", {"Content-Type": "application/json"},
                         b'{"text":"' + text.encode() + b'"}')
    assert answer.status == 200 and answer.json() == {"text": text}


def test_pipelined_requests_are_answered_in_order(gateway):
    connection = gateway.connect()
    paths = ["/test/sleep/0.2", "/health", "/test/echo/a", "/", "/test/echo/b"]
    connection.send(b"".join(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nX-Request-ID: {i}\r\n\r\n".encode()
                             for i, path in enumerate(paths)))
    assert [connection.read().header("x-request-id") for _ in paths] == ["0", "1", "2", "3", "4"]


def test_many_pipelined_requests(gateway):
    connection = gateway.connect()
    connection.send(b"".join(b"GET /test/echo/%d HTTP/1.1\r\nHost: a\r\n\r\n" % i for i in range(300)))
    assert [connection.read().json() for i in range(300)] == [str(i) for i in range(300)]


def test_continue_is_sent_before_the_body(gateway):
    connection = gateway.connect()
    connection.send(POST + b"Content-Length: 14\r\nExpect: 100-continue\r\n\r\n")
    assert connection.read().status == 100
    connection.send(b'{"text":"now"}')
    assert connection.read().status == 200


def test_no_continue_for_what_is_refused(gateway):
    connection = gateway.connect()
    connection.send(POST + b"Content-Length: 2000000\r\nExpect: 100-continue\r\n\r\n")
    assert connection.read().status == 413


def test_head_has_the_length_but_no_body(gateway):
    connection = gateway.connect()
    connection.request("HEAD", "/test/echo/abc")
    head = connection.read("HEAD")
    assert head.status == 200 and head.header("content-length") == "5"
    connection.request("GET", "/test/echo/abc")
    assert connection.read().body == b'"abc"'


def test_http_1_0_closes_unless_asked(gateway):
    connection = gateway.connect()
    connection.request("GET", "/health", version="1.0")
    assert connection.read().header("connection") == "close" and connection.is_closed()
    connection = gateway.connect()
    connection.request("GET", "/health", {"Connection": "keep-alive"}, version="1.0")
    assert connection.read().header("connection") == "keep-alive"
    connection.request("GET", "/health", version="1.0")
    assert connection.read().status == 200


def test_options_asterisk(gateway):
    answer = gateway.ask("OPTIONS", "*")
    assert answer.status == 204 and "DELETE" in answer.header("allow")
    assert answer.header("content-length") is None


def test_a_head_has_an_absolute_deadline(start):
    gateway = start(HEADER_TIMEOUT="1s")
    connection = gateway.connect()
    began = time.monotonic()
    try:
        for byte in b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 1000:
            connection.send(bytes([byte]))
            time.sleep(0.03)
    except OSError:
        pass
    assert time.monotonic() - began < 20    # all of it would take 30
    assert connection.read().status == 408


def test_an_idle_connection_is_closed(start):
    connection = start(IDLE_TIMEOUT="1s").connect()
    connection.request("GET", "/health")
    assert connection.read().status == 200
    began = time.monotonic()
    assert connection.is_closed() and time.monotonic() - began < 30


def test_a_body_has_a_minimum_rate(gateway):
    connection = gateway.connect()
    connection.send(POST + b"Content-Length: 100000\r\n\r\n")
    answer = connection.read()
    assert answer.status == 408


def test_idle_connections_make_room_at_the_cap(start):
    gateway = start(WORKERS=1, MAX_CONNECTIONS=5)
    idle = []
    for _ in range(5):
        idle.append(gateway.connect())
        idle[-1].request("GET", "/health")
        assert idle[-1].read().status == 200
    assert gateway.get("/health").status == 200


def test_connections_that_were_busy_make_room_when_they_are_idle(start):
    gateway = start(WORKERS=1, MAX_CONNECTIONS=2)
    busy = [gateway.connect() for _ in range(2)]
    for connection in busy:
        connection.request("GET", "/test/sleep/1")
    late = gateway.connect()
    late.request("GET", "/health")
    assert [connection.read().status for connection in busy] == [200, 200]
    late.socket.settimeout(10)
    assert late.read().status == 200


def test_a_client_that_does_not_read_holds_up_nobody(gateway):
    lazy = [gateway.connect() for _ in range(8)]
    for connection in lazy:
        connection.request("GET", "/test/large/8000000")
    time.sleep(0.5)
    for _ in range(20):
        assert gateway.get("/test/echo/a").status == 200
    assert all(len(connection.read().body) == 8000002 for connection in lazy)


def test_allowed_hosts(start):
    gateway = start(ALLOWED_HOSTS="localhost,example.org")
    connection = gateway.connect()
    connection.send(b"GET /health HTTP/1.1\r\nHost: EXAMPLE.org:80\r\n\r\n"
                    b"GET /health HTTP/1.1\r\nHost: evil.example\r\n\r\n")
    assert [connection.read().status for _ in range(2)] == [200, 421]
