"""/metrics: what is counted, on a listener of its own."""
import contextlib
import os
import re
import signal
import subprocess
import time

import pytest

from conftest import ROOT, Connection, Gateway, clean_environment, free_port, gateway_binary, running, wait_until

SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$')
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')


class Metrics:
    """What one scrape gave."""

    def __init__(self, text):
        self.text, self.samples = text, {}
        for line in filter(lambda line: line and not line.startswith("#"), text.split("\n")):
            name, labels, value = SAMPLE.match(line).groups()
            key = (name, frozenset(LABEL.findall(labels or "")))
            assert key not in self.samples, f"{line} is there twice"
            self.samples[key] = float(value)

    def get(self, name, **labels):
        """The sum of the samples that have these labels."""
        found = [value for (other, has), value in self.samples.items()
                 if other == name and set(labels.items()) <= has]
        return sum(found)

    def labels(self, name, label):
        return {dict(has).get(label) for (other, has) in self.samples if other == name}


@pytest.fixture
def scraped(start):
    """Starts gateways whose metrics can be read."""
    def launch(**settings):
        port = free_port()
        gateway = start(METRICS_LISTEN=f"127.0.0.1:{port}", **settings)
        gateway.metrics_port = port
        return gateway
    return launch


def admin(gateway):
    return Connection(gateway.metrics_port)


def ask(gateway, method="GET", target="/metrics", headers=(), body=None):
    with contextlib.closing(admin(gateway)) as connection:
        connection.request(method, target, headers, body)
        return connection.read(method)


def scrape(gateway):
    answer = ask(gateway)
    assert answer.status == 200
    return Metrics(answer.body.decode())


def test_label_explosion_from_client_text_and_scrape_fails_without_content_type(scraped):
    gateway = scraped()
    before = scrape(gateway)
    connection = gateway.connect()
    for n in range(300):
        connection.request("GET", f"/no/such/path/{n}")
        assert connection.read().status == 404
    for n in range(20):
        gateway.ask(f"BREW{n}", "/")
        gateway.get(f"/test/echo/word{n}", {"X-Request-ID": f"client-text-{n}", "User-Agent": f"agent-{n}"})
    answer = ask(gateway)
    assert answer.header("content-type") == "text/plain; version=0.0.4; charset=utf-8"
    after = Metrics(answer.body.decode())
    assert "no/such" not in after.text and "BREW" not in after.text and "word1" not in after.text
    assert "client-text" not in after.text and "agent" not in after.text
    count = "http_requests_total"
    assert after.get(count, method="GET", route="other", status="404") == 300
    assert after.get(count, method="other", route="other", status="501") == 20
    assert after.get(count, method="GET", route="/test/echo/{word}", status="200") == 20
    assert len(after.samples) - len(before.samples) < 3 * 20


def test_promtool_accepts_what_is_exposed(scraped):
    gateway = scraped()
    for target in "/test/echo/a", "/test/divide/0", "/nowhere", "/health", "/style.css":
        gateway.get(target)
    checked = subprocess.run(["promtool", "check", "metrics"], input=ask(gateway).body, capture_output=True)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_alerts_and_dashboard_name_metrics_that_are_there(scraped):
    checked = subprocess.run(["promtool", "check", "rules", ROOT / "ops/alerts.yml"], capture_output=True)
    assert checked.returncode == 0, checked.stdout
    metrics = scrape(scraped())
    exposed = {name for name, _ in metrics.samples}
    exposed.add("relay_guard_audit_seal_age_seconds")   # not there before the first seal
    documented = (ROOT / "docs/metrics.md").read_text()
    for file in "ops/alerts.yml", "ops/dashboard.json":
        named = set(re.findall(r"\b((?:http|relay|rate_limit|process)_[a-z_]+)\b(?=[\[{ )])", (ROOT / file).read_text()))
        assert named and named - exposed == set(), file
    families = set(re.findall(r"^# TYPE (\S+)", metrics.text, re.M))
    assert {name for name in families if f"`{name}" not in documented} == set()


def test_requests_are_counted_by_method_route_and_status(scraped):
    gateway = scraped()
    gateway.get("/test/echo/a")
    gateway.ask("HEAD", "/test/echo/b")
    gateway.ask("POST", "/test/notes", {"Content-Type": "application/json"}, b"{}")
    gateway.get("/test/divide/0")
    gateway.get("/test/sleep/0.03")
    gateway.get("/style.css")
    metrics = scrape(gateway)
    count, took = "http_requests_total", "http_request_duration_seconds"
    assert metrics.get(count, method="GET", route="/test/echo/{word}", status="200") == 1
    assert metrics.get(count, method="HEAD", route="/test/echo/{word}", status="200") == 1
    assert metrics.get(count, method="POST", route="/test/notes", status="422") == 1
    assert metrics.get(count, method="GET", route="/style.css", status="200") == 1
    # an error in the database belongs to the route that raised it
    assert metrics.get(count, method="GET", route="/test/divide/{n}", status="500") == 1
    slept = dict(method="GET", route="/test/sleep/{seconds}", status="200")
    assert metrics.get(f"{took}_count", **slept) == 1
    assert 0.03 <= metrics.get(f"{took}_sum", **slept) < 10
    assert metrics.get(f"{took}_bucket", le="0.025", **slept) == 0
    assert metrics.get(f"{took}_bucket", le="+Inf", **slept) == 1
    assert metrics.get("relay_queue_wait_seconds_count") >= 5
    assert metrics.get("http_errors_total", **{"class": "4xx"}) == 1
    assert metrics.get("http_errors_total", **{"class": "5xx"}) == 1


def test_buckets_are_those_agreed_on(scraped):
    gateway = scraped(WORKERS=1)
    metrics = scrape(gateway)
    assert sorted(map(float, metrics.labels("http_request_duration_seconds_bucket", "le"))) == [
        0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, float("inf")]


def test_refusals_are_counted_by_reason(scraped):
    gateway = scraped()
    route = "/api/v1/knowledge/files"
    gateway.get(route)
    gateway.get(route, {"Authorization": "Bearer a.b.c"})
    gateway.get(route, {"Authorization": "Basic abc"})
    with contextlib.closing(gateway.connect()) as connection:
        connection.send(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
        assert connection.read().status == 400
    metrics = scrape(gateway)
    failures = "relay_auth_failures_total"
    assert metrics.get(failures, reason="unauthenticated") == 1
    assert metrics.get(failures, reason="token_header") + metrics.get(failures, reason="token_malformed") == 1
    assert metrics.get(failures, reason="authorization_scheme") == 1
    assert metrics.get("relay_security_violations_total", reason="malformed_request") == 1
    assert metrics.get("relay_csrf_failures_total") == 0


def test_every_refusal_of_credentials_has_its_reason(scraped):
    catalogue = (ROOT / "docs/problems.md").read_text()
    metrics = scrape(scraped())
    assert set(re.findall(r"^\| 401 \| `([a-z_]+)`", catalogue, re.M)) <= \
        metrics.labels("relay_auth_failures_total", "reason")


def test_counters_outlive_workers_and_reloads(scraped):
    gateway = scraped()
    echoed = dict(method="GET", route="/test/echo/{word}", status="200")
    for n in range(40):
        gateway.get("/test/echo/a")
    wait_until(lambda: scrape(gateway).get("http_requests_total", **echoed) == 40)
    victim = min(gateway.workers())
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: len(gateway.workers()) == 2 and victim not in gateway.workers())
    wait_until(lambda: scrape(gateway).get("relay_workers") == 2)
    metrics = scrape(gateway)
    assert metrics.get("http_requests_total", **echoed) == 40
    assert metrics.get("relay_process_deaths_total", process="worker") == 1
    before = gateway.workers()
    gateway.process.send_signal(signal.SIGHUP)
    wait_until(lambda: len(gateway.workers()) == 2 and not before & gateway.workers(), what="the reload")
    wait_until(gateway.is_ready)
    for n in range(10):
        gateway.get("/test/echo/a")
    metrics = scrape(gateway)
    assert metrics.get("http_requests_total", **echoed) == 50
    assert metrics.get("relay_process_deaths_total", process="worker") == 1
    wait_until(lambda: scrape(gateway).get("relay_db_connections", state="idle") == 2 * (2 + 16 + 2),
               what="the connections of two workers, and of no others,")
    wait_until(lambda: scrape(gateway).get("process_cpu_seconds_total") > 0)
    assert scrape(gateway).get("process_resident_memory_bytes") > 1 << 20


def test_metrics_answer_while_the_database_is_away(tmp_path):
    port = free_port()
    with running("host=/nonexistent", WORKERS=1, METRICS_LISTEN=f"127.0.0.1:{port}") as gateway:
        gateway.metrics_port = port
        gateway.get("/test/echo/a")
        metrics = scrape(gateway)
        assert metrics.get("relay_database_up") == 0
        assert metrics.get("relay_database_failures_total", reason="down") >= 1
        assert metrics.get("http_requests_total", route="other", status="503") >= 1
        assert "rate_limit_breaches_total" not in metrics.text


def test_metrics_answer_in_time_when_the_database_does_not(postgres, scraped):
    gateway = scraped(WORKERS=1, DB_READ_CONNECTIONS=1, DB_PIPELINE_DEPTH=1, DRAIN_TIMEOUT=0)
    busy = gateway.connect()
    busy.request("GET", "/test/sleep/9")
    wait_until(lambda: gateway.sleeping(postgres) == 1, what="the statement")
    began = time.monotonic()
    metrics = scrape(gateway)
    assert metrics.get("relay_database_up") == 0 and 1.5 < time.monotonic() - began < 7
    assert metrics.get("relay_db_connections", state="busy") == 1
    busy.close()


def test_the_database_has_its_part(postgres, scraped):
    metrics = scrape(scraped())
    assert metrics.get("relay_database_up") == 1
    assert {"ip", "user", "api"} <= metrics.labels("rate_limit_breaches_total", "policy")
    assert {"spent", "reserved", "warn", "hard"} <= metrics.labels("relay_budget_usd", "kind")


STRANGE = """CREATE OR REPLACE FUNCTION relay_guard.decrypt_metrics(OUT name text, OUT type text, OUT help text,
    OUT labels jsonb, OUT value float8) RETURNS SETOF record LANGUAGE sql AS $$ VALUES
    ('http_requests_total', 'counter', 'the gateway''s own', '{}'::jsonb, 1::float8),
    ('relay_a_total', 'counter', E'two\nlines\\ "quoted"', '{"l": "a\\"b\\\\c\\nd\\u00e9"}', 1),
    ('relay_a_total', 'counter', 'help', '{"l": "of a number"}', 2.5),
    ('relay_a_total', 'counter', 'help', '{"not a name": "x"}', 3),
    ('relay_a_total', 'counter', 'help', '{"l": 7}', 3),
    ('relay_big', 'gauge', 'help', '{}', 'Infinity'),
    ('relay_big', 'gauge', 'help', '{"l": "1"}', '-Infinity'),
    ('relay_big', 'gauge', 'help', '{"l": "2"}', 'NaN'),
    ('relay c', 'gauge', 'help', '{}', 1),
    (E'relay_dd\nrelay_ee', 'gauge', 'help', '{}', 1),
    ('relay_ff', 'nonsense', 'help', '{}', 1) $$"""


def test_a_row_of_the_database_that_is_no_metric_spoils_nothing(postgres, scraped):
    [(before,)] = postgres.sql("SELECT pg_get_functiondef('relay_guard.decrypt_metrics'::regproc)")
    gateway = scraped(WORKERS=1)
    try:
        postgres.sql(STRANGE)
        answer = ask(gateway)
    finally:
        postgres.sql(before)
    metrics = Metrics(answer.body.decode())
    checked = subprocess.run(["promtool", "check", "metrics"], input=answer.body, capture_output=True)
    assert (checked.returncode, checked.stderr) == (0, b"")
    assert metrics.labels("relay_a_total", "l") == {r'a\"b\\c\ndé', "of a number"}
    assert [line for line in metrics.text.splitlines() if line.startswith("relay_big")] == [
        "relay_big +Inf", 'relay_big{l="1"} -Inf', 'relay_big{l="2"} NaN']
    assert not any(word in metrics.text for word in ("the gateway's own", "relay c", "relay_dd", "relay_ff", "not a name"))


def test_nothing_else_is_answered_there(scraped):
    gateway = scraped(ALLOWED_HOSTS="localhost,example.org")
    assert ask(gateway, target="/metrics?name=x").status == 200
    assert ask(gateway, "HEAD").status == 200 and ask(gateway, "HEAD").body == b""
    for target in "/", "/health", "/ready", "/api/v1/knowledge/files", "/metrics/", "/style.css":
        assert ask(gateway, target=target).status == 404
    for method in "POST", "DELETE", "PUT":
        refused = ask(gateway, method, body=b"" if method == "POST" else None)
        assert (refused.status, refused.header("allow")) == (405, "GET, HEAD, OPTIONS")
    assert ask(gateway, "OPTIONS").status == 204
    assert ask(gateway, body=b"x").status == 413
    assert ask(gateway, target="/../metrics").status == 400
    with contextlib.closing(admin(gateway)) as connection:
        connection.send(b"GET /metrics HTTP/1.1\nHost: a\n\n")
        assert connection.read().status == 400 and connection.is_closed()
    # whatever the Host: readers know the gateway by other names
    assert ask(gateway, headers={"X-Forwarded-Host": "/metrics"}).status == 200


def test_clients_cannot_reach_them(scraped):
    gateway = scraped()
    for target in "/metrics", "//metrics", "/%6detrics":
        assert gateway.get(target).status == 404
    port = gateway.metrics_port
    assert gateway.get("/metrics", {"X-Forwarded-Port": port, "X-Forwarded-For": "127.0.0.1"}).status == 404
    assert "# TYPE" not in gateway.get(f"/metrics?port={port}").body.decode()


def test_scrapes_are_not_counted_as_requests(scraped):
    gateway = scraped()
    first = scrape(gateway).get("http_requests_total")
    assert scrape(gateway).get("http_requests_total") == first


def test_metrics_answer_when_clients_use_up_all_connections(scraped):
    gateway = scraped(WORKERS=1, MAX_CONNECTIONS=4)
    clients = [gateway.connect() for _ in range(8)]
    for client in clients:
        client.send(b"GET / HTTP/1.1\r\n")
    wait_until(lambda: scrape(gateway).get("relay_connections", state="head") >= 4, what="the clients' number")
    for client in clients:
        client.close()


def is_answered(gateway):
    try:
        return ask(gateway) is not None
    except ConnectionError:
        return False


def test_a_connection_serves_many_scrapes_and_ends_with_its_reader(scraped):
    gateway = scraped(WORKERS=1)
    connections = [admin(gateway) for _ in range(20)]
    answered = 0
    for connection in connections:
        try:
            connection.request("GET", "/metrics")
            answered += connection.read() is not None
        except ConnectionError:
            pass
    assert answered == 16
    connections[0].request("GET", "/metrics")
    assert connections[0].read().status == 200
    for connection in connections:
        connection.close()
    wait_until(lambda: is_answered(gateway))


def test_a_port_that_another_gateway_has_is_a_clear_error(postgres, scraped):
    taken = scraped().metrics_port
    second = Gateway(postgres.url("relay_gateway"), METRICS_LISTEN=f"127.0.0.1:{taken}")
    done = subprocess.run([gateway_binary()], env=second.environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert "cannot listen for /metrics" in done.stderr and f"127.0.0.1:{taken}" in done.stderr
    assert "METRICS_LISTEN" in done.stderr


def test_a_unix_socket_for_metrics(tmp_path):
    path = tmp_path / "metrics"
    with running("host=/nonexistent", WORKERS=1, METRICS_LISTEN=f"unix:{path}") as gateway:
        done = subprocess.run(["curl", "-s", "--unix-socket", path, "http://x/metrics"], capture_output=True, text=True)
        assert "relay_database_up 0" in done.stdout
        gateway.stop()
        assert not path.exists()


def test_where_to_listen_is_checked():
    done = subprocess.run([gateway_binary(), "--check"], capture_output=True, text=True,
                          env=clean_environment(METRICS_LISTEN="everywhere"))
    assert done.returncode == 1 and done.stderr.startswith("METRICS_LISTEN is ")
