"""Who the client is: forwarded headers, the PROXY protocol, and how many connections he may have."""
import contextlib
import socket
import ssl
import struct
import subprocess
import time
import zlib

import pytest

from conftest import Connection, Gateway, clean_environment, free_port, gateway_binary, running, wait_until

ONE = dict(WORKERS=1, DB_WRITE_CONNECTIONS=1)    # few connections, for many gateways have one server

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
GET = b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Request-ID: %s\r\n\r\n"


def v2(command, family, rest):
    return SIGNATURE + bytes([0x20 | command, family]) + struct.pack(">H", len(rest)) + rest


def tcp(client, tlvs=b""):
    family = socket.AF_INET6 if ":" in client else socket.AF_INET
    server = "2001:db8::ff" if ":" in client else "192.0.2.255"
    addresses = socket.inet_pton(family, client) + socket.inet_pton(family, server) + struct.pack(">HH", 1234, 443)
    return v2(1, 0x21 if ":" in client else 0x11, addresses + tlvs)


def tlv(kind, value):
    return bytes([kind]) + struct.pack(">H", len(value)) + value


def by_tls(client):
    return tcp(client, tlv(0x20, b"\x01\0\0\0\0" + tlv(0x21, b"TLSv1.3")))


LOCAL = v2(0, 0, b"")


def check(**settings):
    return subprocess.run([gateway_binary(), "--check"], capture_output=True, text=True,
                          env=clean_environment(**settings))


class Proxied(Gateway):
    """A gateway that is reached by the PROXY protocol only."""

    def connect(self):
        return through(self, LOCAL)


@contextlib.contextmanager
def proxied(database_url, **settings):
    gateway = Proxied(database_url, PROXY_PROTOCOL="on", **ONE, **settings)
    try:
        yield gateway.start()
    finally:
        gateway.stop()


@pytest.fixture(scope="module")
def behind(postgres):
    with proxied(postgres.url("relay_gateway"), TRUSTED_PROXIES="127.0.0.1,10.0.0.0/8", MAX_CONNECTIONS_PER_IP=3,
                 HEADER_TIMEOUT="2s", ENVIRONMENT="production") as gateway:
        wait_until(gateway.is_ready, what="readiness")
        yield gateway


def through(gateway, header):
    connection = Connection(gateway.port)
    connection.send(header)
    return connection


def served(gateway, header, headers=()):
    """The answer to a request behind that header; None when the connection is closed instead."""
    connection = through(gateway, header)
    try:
        connection.request("GET", "/health", headers)
        return connection.read()
    except (ConnectionResetError, BrokenPipeError):
        return None
    finally:
        connection.close()


def test_the_client_is_whom_the_proxy_names(behind):
    for i, (header, headers, client) in enumerate(cases := [
            (by_tls("198.51.100.7"), {}, "198.51.100.7"),
            (by_tls("2001:db8::7"), {}, "2001:db8::7"),
            (by_tls("::ffff:198.51.100.8"), {}, "198.51.100.8"),
            # he is no proxy: what he says of others is not believed
            (by_tls("198.51.100.7"), {"X-Forwarded-For": "192.0.2.1"}, "198.51.100.7"),
            # another proxy before the first is
            (by_tls("10.1.2.3"), {"X-Forwarded-For": "192.0.2.1"}, "192.0.2.1"),
            (LOCAL, {}, "127.0.0.1"),
            (v2(0, 0x11, b"\xc0\0\2\1" * 2 + b"abcd"), {}, "127.0.0.1"),
            (v2(1, 0, b""), {}, "127.0.0.1"),
            (v2(1, 0x31, b"/tmp/a".ljust(216, b"\0")), {}, "127.0.0.1")]):
        assert served(behind, header, {"X-Request-ID": f"proxied-{i}", **headers}).status in (200, 307)
    lines = {line["request_id"]: line["client"] for line in behind.access_log(*(f"proxied-{i}" for i in range(len(cases))))}
    assert [lines[f"proxied-{i}"] for i in range(len(cases))] == [client for _, _, client in cases]


def test_that_the_client_speaks_tls_is_believed_of_the_proxy(behind):
    assert served(behind, by_tls("198.51.100.1")).status == 200
    assert served(behind, by_tls("198.51.100.1")).header("strict-transport-security")
    assert served(behind, tcp("198.51.100.1")).status == 307
    # and not of the client
    assert served(behind, tcp("198.51.100.1"), {"X-Forwarded-Proto": "https"}).status == 307
    assert served(behind, tcp("10.1.2.3"), {"X-Forwarded-Proto": "https"}).status == 200


@pytest.mark.parametrize("header", [
    b"", b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", SIGNATURE[:-1] + b"X\x21\x11\0\0",
    v2(2, 0x11, b"a" * 12), b"\r\n\r\n\0\r\nQUIT\n\x11\x11\0\0", v2(1, 0x12, b"a" * 12), v2(1, 0x11, b"a" * 11),
    v2(1, 0x21, b"a" * 35), v2(1, 0x11, b"a" * 12 + b"\4\0"), v2(1, 0x11, b"a" * 12 + tlv(4, b"a" * 9)[:-1]),
    v2(1, 0x11, b"a" * 12 + tlv(3, struct.pack(">I", zlib.crc32(b"not Castagnoli's")))),
    SIGNATURE + b"\x21\x11\xff\xff",
], ids=["plain HTTP", "version 1", "signature", "command", "version", "UDP", "short IPv4", "short IPv6", "half a TLV",
        "long TLV", "checksum", "length"])
def test_what_is_no_such_header_gets_no_answer(behind, header):
    assert served(behind, header) is None


def test_a_header_may_come_in_pieces_and_with_the_request(behind):
    header = by_tls("198.51.100.2")
    connection = Connection(behind.port)
    for i in range(len(header)):
        connection.send(header[i:i + 1])
    connection.send(GET % b"pieces")
    assert connection.read().status == 200
    connection.close()
    connection = Connection(behind.port)
    connection.send(header + GET % b"together" + GET % b"pipelined")
    assert [connection.read().header("x-request-id") for _ in range(2)] == ["together", "pipelined"]
    connection.close()


def test_there_is_one_header_a_connection(behind):
    connection = through(behind, by_tls("198.51.100.3") + by_tls("198.51.100.4") + GET % b"second")
    assert connection.read().status == 400 and connection.is_closed()


def test_a_header_that_does_not_come_ends_the_connection(behind):
    connection = through(behind, by_tls("198.51.100.3")[:20])
    begun = time.monotonic()
    assert connection.is_closed() and 1.8 < time.monotonic() - begun < 15


def test_only_trusted_proxies_may_connect(postgres):
    done = check(PROXY_PROTOCOL="on")
    assert done.returncode == 1 and "PROXY_PROTOCOL is on" in done.stderr
    port = free_port()
    gateway = Proxied(postgres.url("relay_gateway"), PROXY_PROTOCOL="on", TRUSTED_PROXIES="192.0.2.1", **ONE,
                      METRICS_LISTEN=f"127.0.0.1:{port}", MAX_CONNECTIONS_PER_IP=1)
    gateway.process = subprocess.Popen([gateway_binary()], env=gateway.environment, stdout=subprocess.DEVNULL,
                                       stderr=open(gateway.dir / "errors", "w"))
    try:
        wait_until(lambda: is_refused(gateway), what="a refusal")
        assert served(gateway, by_tls("192.0.2.1")) is None
        assert "none of TRUSTED_PROXIES" in gateway.errors()
        # who reads the metrics comes from within
        readers = [Connection(port) for _ in range(3)]
        for reader in readers:
            reader.request("GET", "/metrics")
            assert reader.read().status == 200
            reader.close()
    finally:
        gateway.stop()


def is_refused(gateway):
    try:
        return through(gateway, LOCAL).is_closed()
    except ConnectionRefusedError:
        return False


def test_the_header_comes_before_tls(postgres, tmp_path):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1",
                    "-subj", "/CN=localhost", "-keyout", tmp_path / "key", "-out", tmp_path / "certificate"],
                   check=True, capture_output=True)
    context = ssl.create_default_context(cafile=tmp_path / "certificate")
    context.check_hostname = False

    class BehindTls(Proxied):
        def connect(self, header=by_tls("198.51.100.9")):
            connection = through(self, header)
            connection.socket = context.wrap_socket(connection.socket)
            return connection

    gateway = BehindTls(postgres.url("relay_gateway"), PROXY_PROTOCOL="on", TRUSTED_PROXIES="127.0.0.1", **ONE,
                        ENVIRONMENT="production", TLS_CERTIFICATE=tmp_path / "certificate", TLS_KEY=tmp_path / "key")
    try:
        gateway.start()
        for i, header in enumerate((by_tls("198.51.100.9"), tcp("2001:db8::9"), LOCAL)):
            connection = gateway.connect(header)
            connection.request("GET", "/health", {"X-Request-ID": f"behind-{i}"})
            answer = connection.read()
            assert answer.status == 200 and answer.header("strict-transport-security")
            connection.close()
        assert {"198.51.100.9", "2001:db8::9", "127.0.0.1"} <= \
            {line["client"] for line in gateway.access_log("behind-0", "behind-1", "behind-2")}
        with pytest.raises(OSError):
            context.wrap_socket(socket.create_connection(("127.0.0.1", gateway.port), timeout=60))
    finally:
        gateway.stop()


def test_a_header_is_not_taken_where_none_is_expected(gateway):
    connection = gateway.connect()
    connection.send(by_tls("198.51.100.1") + GET % b"unexpected")
    assert connection.read().status == 400 and connection.is_closed()


def open_one(gateway, client):
    connection = through(gateway, by_tls(client))
    try:
        connection.request("GET", "/health")
        return connection if connection.read() else None
    except (ConnectionResetError, BrokenPipeError):
        return None


@pytest.mark.parametrize("first, same, other", [
    ("203.0.113.1", "203.0.113.1", "203.0.113.2"),
    ("203.0.113.3", "::ffff:203.0.113.3", "::ffff:203.0.113.4"),
    ("2001:db8:5:6::1", "2001:db8:5:6:ffff::2", "2001:db8:5:7::1"),
], ids=["IPv4", "mapped", "IPv6 by /64"])
def test_an_address_has_its_share_of_connections(behind, first, same, other):
    held = [open_one(behind, first) for _ in range(3)]
    assert None not in held
    assert open_one(behind, same) is None
    held.append(open_one(behind, other))
    assert held[-1] is not None
    held.pop(0).close()
    wait_until(lambda: (again := open_one(behind, same)) is not None and not held.append(again), what="room")
    assert open_one(behind, first) is None
    for connection in held:
        connection.close()
    # the proxy's own connections are not counted
    several = [through(behind, LOCAL) for _ in range(6)]
    for connection in several:
        connection.send(GET % b"own")
        assert connection.read().status in (200, 307)
        connection.close()


def test_without_a_proxy_the_peer_is_counted(start):
    gateway = start(MAX_CONNECTIONS_PER_IP=2, **ONE)
    held = [gateway.connect() for _ in range(2)]
    for connection in held:
        connection.send(GET % b"held")
        assert connection.read().status == 200
    refused = gateway.connect()
    assert refused.is_closed()
    wait_until(lambda: "MAX_CONNECTIONS_PER_IP" in gateway.errors())
    held.pop().close()
    wait_until(lambda: is_served(gateway), what="room")


def is_served(gateway):
    try:
        answer = gateway.get("/health")
        return answer is not None and answer.status == 200
    except ConnectionError:
        return False


CHAINS = [
    ("192.0.2.9, 10.255.255.255", "192.0.2.9"), ("192.0.2.9, 11.0.0.0", "11.0.0.0"),
    ("192.0.2.9, 9.255.255.255", "9.255.255.255"), ("192.0.2.9, 10.0.0.0", "192.0.2.9"),
    ("192.0.2.9, 172.16.5.4", "192.0.2.9"), ("192.0.2.9, 172.16.5.8", "172.16.5.8"),
    ("192.0.2.9, 172.16.5.3", "172.16.5.3"), ("192.0.2.9, ::ffff:10.1.2.3", "192.0.2.9"),
    ("192.0.2.9, 2001:db8:0:3fff:ffff::", "192.0.2.9"), ("192.0.2.9, 2001:db8:0:4000::", "2001:db8:0:4000::"),
    ("192.0.2.9, ::1", "::1"), ("::ffff:192.0.2.9", "192.0.2.9"),
    ("192.0.2.9, 10.0.0.1:80", "127.0.0.1"), ("10.0.0.1, unknown", "127.0.0.1"), ("", "127.0.0.1"),
    ("192.0.2.9, 010.0.0.1", "127.0.0.1"), ("192.0.2.9,, 10.0.0.1", "10.0.0.1"),
]


def test_networks_end_where_they_say(start):
    gateway = start(**ONE, TRUSTED_PROXIES="127.0.0.1/32, 10.0.0.0/8,172.16.5.4/30, 2001:db8::/50")
    for i, (chain, _) in enumerate(CHAINS):
        gateway.get("/health", {"X-Forwarded-For": chain, "X-Request-ID": f"edge-{i}"})
    lines = {line["request_id"]: line["client"] for line in gateway.access_log(*(f"edge-{i}" for i in range(len(CHAINS))))}
    assert [(chain, lines[f"edge-{i}"]) for i, (chain, _) in enumerate(CHAINS)] == CHAINS


def test_nobody_is_spared_a_limit_by_what_he_writes(start):
    """X-Forwarded-For of a client is not believed, so all of these are one address."""
    gateway = start(**ONE)
    for i in range(3):
        gateway.get("/health", {"X-Request-ID": f"claimed-{i}", "X-Forwarded-For": f"192.0.2.{i}", "X-Real-IP": "192.0.2.1", "Forwarded": "for=192.0.2.1",
                                "X-Client-IP": "192.0.2.1", "CF-Connecting-IP": "192.0.2.1", "True-Client-IP": "192.0.2.1"})
    assert {line["client"] for line in gateway.access_log("claimed-0", "claimed-1", "claimed-2")} == {"127.0.0.1"}
