"""ops/haproxy.cfg"""
import subprocess

import pytest

from conftest import Gateway, answers, assert_comes_bit_by_bit, changed, curl, free_port, make_pair, program, wait_until

CLIENT = "127.0.0.2"  # another address than the proxy's


class Haproxy:
    def __init__(self, folder):
        self.haproxy = program("haproxy")
        self.plain, self.secure, self.gateway, self.through, self.behind = (free_port() for _ in range(5))
        self.certificate, self.key = make_pair(folder)
        (folder / "relay_guard.pem").write_text(self.certificate.read_text() + self.key.read_text())
        self.file = folder / "haproxy.cfg"
        self.file.write_text(changed("haproxy.cfg", ("bind :80\n", f"bind 127.0.0.1:{self.plain}\n"),
                                     ("bind :443 ", f"bind 127.0.0.1:{self.secure} "),
                                     ("bind :8443\n", f"bind 127.0.0.1:{self.through}\n"),
                                     ("127.0.0.1:8444", f"127.0.0.1:{self.behind}"),
                                     ("127.0.0.1:8080", f"127.0.0.1:{self.gateway}"), ("/etc/haproxy", folder)))
        self.url = f"https://localhost:{self.secure}"

    def curl(self, path, *arguments):
        return curl("--interface", CLIENT, "--cacert", self.certificate, *arguments, self.url + path)

    def finds_gateway(self):
        return self.curl("/health", "-o", "/dev/null", "-w", "%{http_code}") == "200"


@pytest.fixture
def haproxy(folder, start):
    server = Haproxy(folder)
    checked = subprocess.run([server.haproxy, "-c", "-f", server.file], capture_output=True, text=True)
    assert checked.returncode == 0 and "WARNING" not in checked.stderr, checked.stderr
    start(server.haproxy, "-db", "-q", "-f", server.file)
    wait_until(lambda: answers(server.secure), what="haproxy's start")
    return server


def test_requests_go_through_by_http_2(haproxy, folder, start):
    gateway = Gateway(folder, start, haproxy.gateway)
    wait_until(haproxy.finds_gateway)
    said = haproxy.curl("/healthz", "--http2", "-H", "X-Forwarded-For: 203.0.113.9", "-w", " %{http_version} %{http_code}")
    assert said.startswith('{"status":"ok"') and said.endswith(" 2 200")
    assert haproxy.curl("/healthz", "--http1.1", "-w", "%{http_version}").endswith("1.1")
    assert {line["client"] for line in gateway.log("/healthz")} == {CLIENT}


def test_the_gateway_knows_of_https(haproxy, folder, start):
    Gateway(folder, start, haproxy.gateway, ENVIRONMENT="production", HTTPS_PORT=haproxy.secure)
    wait_until(haproxy.finds_gateway)
    assert "strict-transport-security" in haproxy.curl("/", "-i")
    assert curl("-o", "/dev/null", "-w", "%{http_code}", f"http://127.0.0.1:{haproxy.gateway}/") == "307"


def test_the_gateways_own_tls_passes_through_with_its_client(haproxy, folder, start):
    gateway = Gateway(folder, start, haproxy.behind, PROXY_PROTOCOL="on", TLS_CERTIFICATE=haproxy.certificate,
                      TLS_KEY=haproxy.key)
    said = curl("--interface", CLIENT, "--cacert", haproxy.certificate, "-w", " %{http_code} %{http_version}",
                f"https://localhost:{haproxy.through}/health")
    assert said.endswith(" 200 1.1")
    assert {line["client"] for line in gateway.log("/health")} == {CLIENT}


def test_what_clients_say_of_themselves_is_replaced(haproxy, slow_server):
    server = slow_server(haproxy.gateway)
    wait_until(haproxy.finds_gateway)
    server.go_on.release(3)
    haproxy.curl("/stream?x=1", "-H", "X-Forwarded-For: 203.0.113.9", "-H", "X-Forwarded-Proto: http",
                 "-H", "Forwarded: for=203.0.113.9", "-H", "X-Request-ID: mine")
    head = server.heads[0].lower().splitlines()
    assert head[0] == "get /stream?x=1 http/1.1"
    assert f"x-forwarded-for: {CLIENT}" in head and "x-forwarded-proto: https" in head
    assert f"host: localhost:{haproxy.secure}" in head and "x-request-id: mine" in head
    assert "203.0.113.9" not in server.heads[0]


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_a_stream_comes_bit_by_bit(haproxy, slow_server, version):
    server = slow_server(haproxy.gateway)
    wait_until(haproxy.finds_gateway)
    assert_comes_bit_by_bit(server, "--cacert", haproxy.certificate, version, haproxy.url + "/stream")


def test_plain_http_is_sent_to_https(haproxy):
    said = curl("-o", "/dev/null", "-w", "%{http_code} %{redirect_url}", f"http://localhost:{haproxy.plain}/a?b=c")
    assert said == f"307 https://localhost:{haproxy.plain}/a?b=c"


def test_without_a_gateway_there_is_a_problem(haproxy):
    said = haproxy.curl("/api", "-i")
    assert said.startswith("HTTP/2 503") and "application/problem+json" in said and "retry-after: 1" in said
    assert said.endswith('"code":"unavailable"}')
