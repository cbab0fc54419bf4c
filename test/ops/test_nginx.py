"""ops/nginx.conf"""
import subprocess

import pytest

from conftest import Gateway, answers, assert_comes_bit_by_bit, changed, curl, free_port, make_pair, program, wait_until

CLIENT = "127.0.0.2"  # another address than the proxy's


class Nginx:
    def __init__(self, folder):
        self.nginx = program("nginx")
        self.plain, self.secure, self.gateway = free_port(), free_port(), free_port()
        self.certificate, key = make_pair(folder)
        self.site = changed("nginx.conf", ("listen 80;", f"listen 127.0.0.1:{self.plain};"),
                            ("\tlisten [::]:80;\n", ""), ("listen 443 ssl", f"listen 127.0.0.1:{self.secure} ssl"),
                            ("\tlisten [::]:443 ssl http2;\n", ""), ("127.0.0.1:8080", f"127.0.0.1:{self.gateway}"),
                            ("/etc/relay_guard", folder))
        (folder / "site.conf").write_text(self.site)
        temporary = "".join(f"{kind}_temp_path {folder}/{kind};\n"
                            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        self.main = folder / "nginx.conf"
        self.main.write_text(f"daemon off;\nworker_processes 1;\npid {folder}/pid;\nerror_log {folder}/errors;\n"
                             f"events {{}}\nhttp {{\naccess_log off;\n{temporary}include {folder}/site.conf;\n}}\n")
        self.url = f"https://localhost:{self.secure}"

    def curl(self, path, *arguments):
        return curl("--interface", CLIENT, "--cacert", self.certificate, *arguments, self.url + path)


@pytest.fixture
def nginx(folder, start):
    server = Nginx(folder)
    checked = subprocess.run([server.nginx, "-t", "-q", "-c", server.main], capture_output=True, text=True)
    assert checked.returncode == 0 and "warn" not in checked.stderr, checked.stderr
    start(server.nginx, "-c", server.main)
    wait_until(lambda: answers(server.secure), what="nginx's start")
    return server


def test_requests_go_through_by_http_2(nginx, folder, start):
    gateway = Gateway(folder, start, nginx.gateway)
    said = nginx.curl("/health", "--http2", "-H", "X-Forwarded-For: 203.0.113.9", "-w", " %{http_version} %{http_code}")
    assert said.startswith('{"status":"ok"') and said.endswith(" 2 200")
    assert nginx.curl("/health", "--http1.1", "-w", "%{http_version}").endswith("1.1")
    assert {line["client"] for line in gateway.log("/health")} == {CLIENT}
    big = folder / "big"
    big.write_bytes(b"x" * 1_000_000)
    assert nginx.curl("/api", "--data-binary", f"@{big}", "-o", "/dev/null", "-w", "%{http_code}") == "503"


def test_the_gateway_knows_of_https(nginx, folder, start):
    Gateway(folder, start, nginx.gateway, ENVIRONMENT="production")
    assert "strict-transport-security" in nginx.curl("/", "-i")
    assert curl("-o", "/dev/null", "-w", "%{http_code}", f"http://127.0.0.1:{nginx.gateway}/") == "307"


def test_what_clients_say_of_themselves_is_replaced(nginx, slow_server):
    server = slow_server(nginx.gateway)
    server.go_on.release(3)
    nginx.curl("/stream?x=1", "-H", "X-Forwarded-For: 203.0.113.9", "-H", "X-Forwarded-Proto: http",
               "-H", "Forwarded: for=203.0.113.9", "-H", "X-Request-ID: mine")
    head = server.heads[0].splitlines()
    assert head[0] == "GET /stream?x=1 HTTP/1.1"
    assert f"X-Forwarded-For: {CLIENT}" in head and "X-Forwarded-Proto: https" in head
    assert f"Host: localhost:{nginx.secure}" in head
    assert "203.0.113.9" not in server.heads[0] and "x-request-id: mine" in server.heads[0].lower()


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_a_stream_comes_bit_by_bit(nginx, slow_server, version):
    assert_comes_bit_by_bit(slow_server(nginx.gateway), "--cacert", nginx.certificate, version, nginx.url + "/stream")


def test_plain_http_is_sent_to_https(nginx):
    said = curl("-o", "/dev/null", "-w", "%{http_code} %{redirect_url}", f"http://localhost:{nginx.plain}/a?b=c")
    assert said == "307 https://localhost/a?b=c"


def test_without_a_gateway_there_is_a_problem(nginx):
    said = nginx.curl("/api", "-i")
    assert said.startswith("HTTP/2 503") and "application/problem+json" in said and "retry-after: 1" in said
    assert said.endswith('"code":"unavailable"}')
