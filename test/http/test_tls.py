"""TLS, spoken by Python's ssl, openssl s_client and curl."""
import contextlib
import os
import pathlib
import signal
import socket
import ssl
import subprocess
import threading
import time

import pytest

from conftest import Connection, Gateway, close_listener, gateway_binary, wait_until

MEMORY_OF_ONE = 18 * 1024  # of an idle connection by TLS
IDLE = 2000 if os.environ.get("RG_LONG") else 400


def make_certificate(folder, name, kind=("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"), days=30):
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(["openssl", "req", "-x509", *kind, "-nodes", "-days", str(days), "-subj", f"/CN={name}",
                    "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-out", certificate, "-keyout", key],
                   check=True, capture_output=True)
    key.chmod(0o600)
    return certificate, key


def client(certificate=None, **options):
    context = ssl.create_default_context(cafile=certificate)
    if certificate is None:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0x80)
    for name, value in options.items():
        setattr(context, name, value)
    return context


class TlsConnection(Connection):
    def __init__(self, port, context, name="localhost"):
        super().__init__(port)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = context.wrap_socket(self.socket, server_hostname=name, suppress_ragged_eofs=False)

    def ends_cleanly(self):
        """By close_notify, and not only by the end of the TCP connection."""
        try:
            return self.socket.recv(1) == b""
        except ssl.SSLError:
            return False

    def common_name(self):
        return dict(part[0] for part in self.socket.getpeercert()["subject"])["commonName"]


class TlsGateway(Gateway):
    def __init__(self, database_url, certificate, key, **settings):
        few = {"DB_READ_CONNECTIONS": 1, "DB_WRITE_CONNECTIONS": 1, "DB_SLOW_CONNECTIONS": 1}
        super().__init__(database_url, **{**few, "TLS_CERTIFICATE": certificate, "TLS_KEY": key, **settings})
        self.trust = None  # any certificate

    def connect(self, **options):
        return TlsConnection(self.port, client(self.trust, **options))

    def plain(self):
        return Connection(self.port)

    def s_client(self, *arguments, say=b""):
        done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{self.port}", *arguments],
                              input=say, capture_output=True, timeout=60)
        return (done.stdout + done.stderr).decode("latin-1")

    def curl(self, *arguments):
        return subprocess.run(["curl", "-sS", "-m", "60", "--cacert", self.environment["TLS_CERTIFICATE"], *arguments],
                              capture_output=True, text=True, check=False)

    def url(self, path):
        return f"https://localhost:{self.port}{path}"


@contextlib.contextmanager
def running_tls(postgres, certificate, key, **settings):
    gateway = TlsGateway(postgres.url("relay_gateway"), certificate, key, **settings)
    try:
        gateway.start()
        yield gateway
    finally:
        if gateway.process and gateway.process.poll() is None:
            gateway.stop()


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return make_certificate(tmp_path_factory.mktemp("tls"), "first")


@pytest.fixture(scope="module")
def secure(postgres, pair):
    with running_tls(postgres, *pair) as gateway:
        wait_until(gateway.is_ready, what="readiness")
        yield gateway


@pytest.fixture(scope="module")
def hasty(postgres, pair):
    with running_tls(postgres, *pair, HEADER_TIMEOUT="2s", IDLE_TIMEOUT="1s", WORKERS=1) as gateway:
        yield gateway


@pytest.fixture
def start_tls(postgres, pair):
    with contextlib.ExitStack() as stack:
        yield lambda pair=pair, **settings: stack.enter_context(running_tls(postgres, *pair, **settings))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_1_2_and_1_3_are_spoken(secure, version):
    connection = secure.connect(minimum_version=version, maximum_version=version)
    connection.request("GET", "/test/echo/word")
    assert connection.read().json() == "word"
    assert connection.socket.version() == version.name.replace("_", ".")


def test_a_certificate_is_one_that_curl_takes(secure):
    done = secure.curl("-w", " %{http_code}", secure.url("/test/echo/word"))
    assert done.stdout == '"word" 200', done.stderr


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
def test_older_versions_are_refused(secure, version):
    said = secure.s_client(version, "-cipher", "DEFAULT:@SECLEVEL=0")
    assert "alert protocol version" in said and "Cipher is (NONE)" in said


@pytest.mark.parametrize("cipher", ["AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA256", "ECDHE-ECDSA-AES256-SHA"])
def test_ciphers_without_secrecy_or_authentication_are_refused(secure, cipher):
    assert "alert handshake failure" in secure.s_client("-tls1_2", "-cipher", f"{cipher}:@SECLEVEL=0")


def test_alpn_is_http_1_1(secure):
    assert "ALPN protocol: http/1.1" in secure.s_client("-alpn", "h2,http/1.1")


def test_a_client_of_http_2_alone_is_refused(secure):
    said = secure.s_client("-alpn", "h2")
    assert "alert no application protocol" in said and "ALPN protocol" not in said


def test_renegotiation_is_refused(secure):
    said = secure.s_client("-tls1_2", say=b"R\nGET /health HTTP/1.0\n\n")
    assert "no renegotiation" in said and '"status":"ok"' not in said


def test_keys_may_be_updated(secure):
    process = subprocess.Popen(["openssl", "s_client", "-connect", f"127.0.0.1:{secure.port}", "-tls1_3"],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    said = b""
    for after, line in ((b"Verify return code", b"K\n"), (b"KEYUPDATE", b"K\n"),
                        (b"KEYUPDATE", b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")):
        seen = said.count(after)    # lines that come at once are taken for one
        while said.count(after) == seen:
            said += os.read(process.stdout.fileno(), 65536)
        process.stdin.write(line)
        process.stdin.flush()
    said += process.stdout.read()
    process.communicate(timeout=60)
    assert said.count(b"KEYUPDATE") == 2 and b'"status":"ok"' in said


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "OPTIONS"])
def test_plain_http_on_the_tls_port_is_told_so(secure, method):
    connection = secure.plain()
    connection.request(method, "/health", body=b"x" * 100)
    answer = connection.read()
    assert answer.status == 400 and "TLS is spoken here" in answer.json()["detail"]
    assert connection.is_closed()


def test_tls_on_a_plain_port_ends(gateway):
    began = time.monotonic()
    with pytest.raises(ssl.SSLError):
        TlsConnection(gateway.port, client())
    assert time.monotonic() - began < 8     # HEADER_TIMEOUT is 10 s


BEGUN = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"  # of a ClientHello


@pytest.mark.parametrize("sent", [BEGUN, b"\x16", b"", b"\x00" * 64, b"\x16\x03\x01\xff\xff" + b"\x01" * 70000,
                                  b"\x80\x2e\x01\x00\x02"],
                         ids=["begun", "byte", "nothing", "zeros", "long", "SSL 2"])
def test_a_handshake_of_nonsense_ends(secure, sent):
    connection = secure.plain()
    with contextlib.suppress(OSError):
        connection.send(sent)
        connection.socket.shutdown(socket.SHUT_WR)
    with contextlib.suppress(ConnectionError):
        while connection.more():
            pass
    assert len(connection.buffer) < 64 and secure.get("/health").status == 200


@pytest.mark.parametrize("sent", [b"", BEGUN], ids=["nothing", "begun"])
def test_a_slow_handshake_is_cut_off(hasty, sent):
    connection = hasty.plain()
    began = time.monotonic()
    for byte in sent:
        connection.send(bytes([byte]))
        time.sleep(0.02)
    assert connection.is_closed() and 1.9 < time.monotonic() - began < 15


def client_hello():
    sent = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        client().wrap_bio(ssl.MemoryBIO(), sent, server_hostname="localhost").do_handshake()
    return sent.read()


def test_those_that_never_finish_a_handshake_do_not_keep_out_others(start_tls):
    gateway = start_tls(WORKERS=1)
    silent = [gateway.plain() for _ in range(1100)]
    hello = client_hello()
    for connection in silent:
        with contextlib.suppress(OSError):  # the time of the first may be over
            connection.send(hello)
    began = time.monotonic()
    assert gateway.get("/health").status == 200
    assert time.monotonic() - began < 8     # HEADER_TIMEOUT is 10 s
    for connection in silent:
        connection.close()


def resident(pids):
    return sum(int(line.split()[1]) * 1024 for pid in pids
               for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("RssAnon:"))


def test_an_idle_connection_keeps_no_buffers(start_tls):
    gateway = start_tls(WORKERS=1)
    context = client()
    gateway.get("/health")
    before = resident(gateway.workers())
    idle = []
    for _ in range(IDLE):
        connection = TlsConnection(gateway.port, context)
        connection.request("GET", "/health", {"Padding": "x" * 14000})  # which fills OpenSSL's buffer
        assert connection.read().status == 200
        idle.append(connection)
    grown = (resident(gateway.workers()) - before) / len(idle)
    print(f"{grown:.0f} bytes a connection")
    assert grown < MEMORY_OF_ONE
    for connection in idle:
        connection.close()


class Half:
    """A client whose side has ended, by close_notify."""

    def __init__(self, port, request, leave=True):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = client().wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")
        self.until(self.tls.do_handshake)
        self.tls.write(request)
        if leave:
            self.leave()
            self.socket.shutdown(socket.SHUT_WR)
        self.flush()

    def leave(self):
        with contextlib.suppress(ssl.SSLError):  # the other side has not ended yet
            self.tls.unwrap()
        self.flush()

    def flush(self):
        data = self.outgoing.read()
        if data:
            self.socket.sendall(data)

    def until(self, call):
        while True:
            try:
                return call()
            except ssl.SSLWantReadError:
                self.flush()
                data = self.socket.recv(65536)
                self.incoming.write(data) if data else self.incoming.write_eof()
            finally:
                with contextlib.suppress(OSError):
                    self.flush()

    def rest(self):
        data = b""
        with contextlib.suppress(ssl.SSLZeroReturnError):
            while True:
                data += self.until(lambda: self.tls.read(65536))
        return data


def test_whoever_has_ended_his_side_gets_his_answer(secure):
    request = b"GET /test/sleep/0.2 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    assert Half(secure.port, request).rest().endswith(b"\r\n\r\n0.2")


def test_an_answer_of_many_records_arrives_whole(secure):
    connection = secure.connect()
    for size in (16000, 16384, 40000, 5_000_000):
        connection.request("GET", f"/test/large/{size}")
        time.sleep(0.2 if size > 1_000_000 else 0)  # until the kernels hold no more
        assert connection.read().body == b'"' + b"x" * size + b'"'


def small_window(gateway, path):
    """A client whose kernel holds little of the answer to a request."""
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    plain.connect(("127.0.0.1", gateway.port))
    slow = client().wrap_socket(plain, server_hostname="localhost", suppress_ragged_eofs=False)
    slow.sendall(b"GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" % path.encode())
    return slow


def test_a_client_that_reads_slowly_gets_it_all(secure):
    slow = small_window(secure, "/test/large/600000")
    got = b""
    while piece := slow.recv(3000):
        got += piece
        time.sleep(0.001)
    assert got.endswith(b"\r\n\r\n" + b'"' + b"x" * 600000 + b'"')


def test_a_large_body_is_received(secure):
    text = "y" * 900_000
    answer = secure.ask("POST", "/test/notes", {"Content-Type": "application/json"}, b'{"text":"%s"}' % text.encode())
    assert answer.status == 200 and answer.json()["text"] == text


def test_what_comes_early_waits(secure):
    connection = secure.connect()
    head = "GET /test/echo/%d HTTP/1.1\r\nHost: localhost\r\n\r\n"
    connection.send("".join(head % i for i in range(200)).encode())
    assert [connection.read().json() for _ in range(200)] == [str(i) for i in range(200)]


def test_a_request_in_the_record_of_the_body_before_it_is_seen(secure):
    post = b"POST /test/notes HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
    body = b'{"text":"%s"}' % (b"z" * 9000)
    connection = secure.connect()
    whole = post % (len(body), body)
    for _ in range(3):
        connection.send(whole[:300])
        time.sleep(0.05)
        connection.send(whole[300:] + b"GET /test/echo/next HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.read().status == 200
        assert connection.read().json() == "next"


def test_a_head_in_single_bytes(secure):
    connection = secure.connect()
    for byte in b"GET /test/echo/slow HTTP/1.1\r\nHost: localhost\r\n\r\n":
        connection.send(bytes([byte]))
    assert connection.read().json() == "slow"


def test_the_end_of_a_whole_answer_is_told(secure):
    connection = secure.connect()
    connection.request("GET", "/test/large/100000", {"Connection": "close"})
    assert connection.read().status == 200 and connection.ends_cleanly()


def test_an_idle_connection_ends_cleanly(hasty):
    connection = hasty.connect()
    connection.request("GET", "/health")
    assert connection.read().status == 200 and connection.ends_cleanly()


def test_an_answer_that_is_cut_off_does_not_end_cleanly(start_tls):
    gateway = start_tls(WORKERS=1, DRAIN_TIMEOUT=0)
    wait_until(gateway.is_ready, what="readiness")
    slow = small_window(gateway, "/test/large/5000000")
    assert slow.recv(1000).startswith(b"HTTP/1.1 200")
    gateway.process.terminate()
    gateway.process.wait(60)
    with pytest.raises(ssl.SSLError, match="UNEXPECTED_EOF|EOF occurred"):
        while slow.recv(1 << 20):
            pass


class Application:
    """Behind the gateway: its answers have no length, and come in two pieces."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port, self.go_on, self.left = self.listener.getsockname()[1], threading.Semaphore(0), threading.Event()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                client = self.listener.accept()[0]
                with client, contextlib.suppress(OSError):
                    self.answer(client)

    def answer(self, client):
        head = client.recv(4096)
        client.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        if b"/wait" in head:
            client.settimeout(60)
            with contextlib.suppress(OSError):
                if client.recv(1) == b"":
                    self.left.set()
            return
        self.go_on.acquire(timeout=60)
        if b"/whole" in head:
            client.sendall(b"3\r\ntwo\r\n0\r\n\r\n")


@pytest.fixture(scope="module")
def application(postgres, secure):
    made = Application()
    postgres.sql(f"""
        INSERT INTO relay_guard.upstream (name, url) VALUES ('tls_test', 'http://127.0.0.1:{made.port}');
        INSERT INTO relay_guard.route (method, path, query, auth, result, upstream, parameters, run_as)
        VALUES ('GET', '/tls/{{rest...}}', 'SELECT request.rest', 'none', 'proxy', 'tls_test', '[{{"name": "rest",
                "in": "path", "required": true, "schema": {{"type": "string"}}}}]', 'relay_app');
        SELECT relay_guard.upstream_secret_set('tls_test')""", user="relay_owner")
    yield made
    close_listener(made.listener)


def test_a_stream_comes_bit_by_bit(secure, application):
    connection = secure.connect()
    connection.request("GET", "/tls/whole")
    while b"one" not in connection.buffer:
        assert connection.more()
    application.go_on.release()
    while not connection.buffer.endswith(b"3\r\ntwo\r\n0\r\n\r\n"):
        assert connection.more()


@pytest.mark.parametrize("path, whole", [("/tls/whole", True), ("/tls/cut", False)])
def test_the_end_of_a_stream_without_length_says_whether_it_is_whole(secure, application, path, whole):
    connection = secure.connect()
    connection.request("GET", path, version="1.0")
    application.go_on.release()
    try:
        while connection.more():
            pass
        clean = True
    except (ssl.SSLError, ConnectionResetError):
        clean = False
    assert b"\r\n\r\none" in connection.buffer and clean == whole


def test_a_client_that_says_it_leaves_ends_a_stream(secure, application):
    leaving = Half(secure.port, b"GET /tls/wait HTTP/1.1\r\nHost: localhost\r\n\r\n", leave=False)
    assert b"one" in leaving.until(lambda: leaving.tls.read(65536)) or b"one" in leaving.until(lambda: leaving.tls.read(65536))
    leaving.leave()
    assert application.left.wait(30)


def test_what_comes_by_tls_is_https(pair):
    gateway = TlsGateway("host=/nonexistent", *pair, ENVIRONMENT="production", WORKERS=1)
    try:
        answer = gateway.start().get("/health")
        assert answer.status == 200 and "max-age" in answer.header("Strict-Transport-Security")
    finally:
        gateway.stop()


class Load:
    """Clients, each request on a connection of its own; counts and failures."""

    def __init__(self, gateway, count=4):
        self.gateway, self.done, self.failures, self.names, self.ended = gateway, 0, [], [], False
        self.context = client(None)
        self.threads = [threading.Thread(target=self.work) for _ in range(count)]

    def work(self):
        while not self.ended:
            try:
                connection = TlsConnection(self.gateway.port, self.context)
                connection.request("GET", "/test/echo/load")
                assert connection.read().json() == "load"
                connection.close()
                self.done += 1
            except Exception as failure:
                self.failures.append(repr(failure))

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.ended = True
        for thread in self.threads:
            thread.join()


def served(gateway):
    """The certificate that a new connection is shown."""
    return ssl.DER_cert_to_PEM_cert(gateway.connect().socket.getpeercert(binary_form=True))


def replace(pair, new):
    for old, now in zip(pair, new):
        os.replace(now, old)


def test_fault_certificate_replaced_under_load(start_tls, tmp_path):
    pair = make_certificate(tmp_path, "old")
    new = make_certificate(tmp_path, "new")
    expected = new[0].read_text()
    gateway = start_tls(pair)
    wait_until(gateway.is_ready, what="readiness")
    busy = gateway.connect()
    with Load(gateway) as load:
        wait_until(lambda: load.done > 20)
        replace(pair, new)
        busy.request("GET", "/test/sleep/1")
        gateway.process.send_signal(signal.SIGHUP)
        wait_until(lambda: served(gateway) == expected)
        wait_until(lambda: len({served(gateway) for _ in range(8)}) == 1)
        before = load.done
        wait_until(lambda: load.done > before + 20)
        assert busy.read().status == 200
    assert load.failures == [] and served(gateway) == expected


def garbage(pair, tmp_path):
    pair[0].write_text("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n")


def other_key(pair, tmp_path):
    os.replace(make_certificate(tmp_path, "stranger")[1], pair[1])


def open_key(pair, tmp_path):
    pair[1].chmod(0o644)


def no_key(pair, tmp_path):
    pair[1].unlink()


def encrypted_key(pair, tmp_path):
    subprocess.run(["openssl", "pkey", "-in", pair[1], "-aes256", "-passout", "pass:secret",
                    "-out", tmp_path / "encrypted"], check=True, capture_output=True)
    os.replace(tmp_path / "encrypted", pair[1])


DAMAGES = {garbage: "holds no usable certificate", other_key: "is not the key of the first certificate",
           open_key: "which others can read", no_key: "cannot be read",
           encrypted_key: "no key in PEM that is not encrypted"}


def test_a_broken_certificate_at_sighup_leaves_the_old_one(start_tls, tmp_path):
    pair = make_certificate(tmp_path, "good")
    before, key = pair[0].read_text(), pair[1].read_text()
    gateway = start_tls(pair)
    for count, (damage, told) in enumerate(DAMAGES.items(), 1):
        damage(pair, tmp_path)
        gateway.process.send_signal(signal.SIGHUP)
        wait_until(lambda: gateway.errors().count("the old one stays") == count)
        assert told in gateway.errors() and served(gateway) == before
        checked = subprocess.run([gateway_binary(), "--check"], env=gateway.environment, capture_output=True, text=True)
        assert checked.returncode == 1 and told in checked.stderr
        assert not any(line in gateway.errors() + checked.stderr for line in key.splitlines()[1:-1])
        pair[0].write_text(before)
        pair[1].write_text(key)
        pair[1].chmod(0o600)
    victim = min(gateway.workers())
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: victim not in gateway.workers(), what="its end")
    assert {served(gateway) for _ in range(8)} == {before}


def test_all_mistakes_are_told_at_once(postgres, tmp_path):
    gateway = TlsGateway(postgres.url("relay_gateway"), tmp_path / "none.pem", tmp_path / "none.key", LOG_LEVEL="loud")
    done = subprocess.run([gateway_binary()], env=gateway.environment, capture_output=True, text=True)
    assert done.returncode == 1
    for told in ("LOG_LEVEL is", "TLS_CERTIFICATE names", "TLS_KEY names"):
        assert told in done.stderr


@pytest.mark.parametrize("name", ["TLS_CERTIFICATE", "TLS_KEY"])
def test_one_without_the_other_is_a_mistake(postgres, pair, name):
    gateway = TlsGateway(postgres.url("relay_gateway"), *pair)
    gateway.environment[name] = ""
    done = subprocess.run([gateway_binary()], env=gateway.environment, capture_output=True, text=True)
    assert done.returncode == 1 and "must both be set, or neither" in done.stderr


def test_rsa_keys_serve_too_and_an_early_end_is_warned_of(start_tls, tmp_path):
    gateway = start_tls(make_certificate(tmp_path, "rsa", ("-newkey", "rsa:2048"), days=3), WORKERS=1)
    assert gateway.get("/health").status == 200
    assert "Cipher is ECDHE-RSA-CHACHA20" in gateway.s_client("-tls1_2", "-cipher", "ECDHE-RSA-CHACHA20-POLY1305")
    assert "the certificate expires soon" in gateway.errors()
