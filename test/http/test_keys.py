"""Keys by URL: the gateway keeps an identity provider's key set fresh, and
neither the provider nor a client can make that hurt."""
import concurrent.futures
import contextlib
import http.server
import json
import os
import signal
import socket
import ssl
import subprocess
import threading
import time

import pytest

from conftest import clean_environment, free_port, gateway_binary, running, wait_until
from test_tokens import Key, openssl

ISS = "idp"
GAP = 30                        # seconds between two fetches for unknown keys


class Idp:
    """An identity provider that misbehaves as told."""

    def __init__(self, *keys, port=0, tls=None, **headers):
        self.asked = []         # when, and with which If-None-Match
        self.answered = []      # with which status
        self.status, self.headers, self.pause = 200, headers, 0
        self.publish(*keys)
        idp = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                idp.answer(self)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        scheme = "http"
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
            scheme = "https"
        self.url = f"{scheme}://127.0.0.1:{self.server.server_address[1]}/keys"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def publish(self, *keys):
        self.body = json.dumps({"keys": [key.jwk() if isinstance(key, Key) else key for key in keys]}).encode()
        self.etag = f'"{hash(self.body)}"'

    def answer(self, request):
        condition = request.headers.get("If-None-Match")
        status = 304 if condition == self.etag and self.status == 200 else self.status
        self.asked.append((time.monotonic(), condition))
        self.answered.append(status)
        request.send_response(status)
        for name, value in {"ETag": self.etag, **self.headers}.items():
            request.send_header(name.replace("_", "-"), value)
        if status != 304:
            request.send_header("Content-Length", len(self.body))
        request.end_headers()
        with contextlib.suppress(OSError):
            self.send_body(request, b"" if status == 304 else self.body)

    def send_body(self, request, body):
        if not self.pause:
            request.wfile.write(body)
            return
        for byte in body:
            request.wfile.write(bytes([byte]))
            request.wfile.flush()
            time.sleep(self.pause)

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def idp_of():
    with contextlib.ExitStack() as stack:
        def idp_of(*keys, **options):
            idp = Idp(*keys, **options)
            stack.callback(idp.close)
            return idp
        yield idp_of


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("idp")
    return {name: Key(folder, alg, name) for name, alg in
            {"rsa": "RS256", "ec": "ES256", "ed": "EdDSA", "new": "ES256", "held": "ES256"}.items()}


@pytest.fixture(scope="module", autouse=True)
def role(postgres):
    """An issuer, and a role that may import keys and nothing else."""
    postgres.sql(f"SELECT relay_guard.issuer_add('{ISS}', 'app', '{ISS}|')")
    postgres.sql("SELECT relay_guard.issuer_add('other', 'app', 'other|')")
    postgres.sql("SELECT relay_guard.issuer_add('steady', 'app', 'steady|')")
    postgres.sql("CREATE ROLE keys_fetcher LOGIN; SELECT relay_guard.grant_role('keys', 'keys_fetcher')")
    yield
    postgres.sql("DROP OWNED BY keys_fetcher; DROP ROLE keys_fetcher")
    postgres.sql(f"DELETE FROM relay_guard.issuer WHERE iss IN ('{ISS}', 'other', 'steady')")


def settings_for(postgres, url, **more):
    return {"SUPABASE_JWKS_URL": url, "SUPABASE_JWT_ISS": ISS,
            "KEYS_DATABASE_URL": postgres.url("keys_fetcher"), **more}


def run(*arguments, **settings):
    return subprocess.run([gateway_binary(), *arguments], capture_output=True, text=True, timeout=60,
                          env=clean_environment(**settings))


def token_of(key, iss=ISS, **header):
    return key.sign({"iss": iss, "aud": "app", "sub": "alice", "exp": int(time.time()) + 600}, **header)


def ask(gateway, token):
    answer = gateway.get("/test/whoami", {"Authorization": f"Bearer {token}"})
    return answer.json() if answer.status == 200 else answer.json()["code"]


def live(postgres, iss=ISS):
    return {kid for kid, in postgres.sql(f"SELECT kid FROM relay_guard.jwt_key WHERE iss = '{iss}'")}


def messages(gateway, text):
    lines = [json.loads(line) for line in gateway.errors().splitlines() if line.startswith("{")]
    return [line for line in lines if text in line["message"]]


def fetcher(gateway):
    """The process that fetches keys; None when there is none."""
    found = subprocess.run(["pgrep", "-P", str(gateway.process.pid), "relay_keys"], capture_output=True, text=True)
    return int(found.stdout) if found.stdout else None


# Two gateways that the last tests look at again, when GAP is over: started
# first, so that what stands in between fills the time.

class Watched:
    def __init__(self, gateway, idp):
        self.gateway, self.idp = gateway, idp

    def fetches(self):
        return len(self.idp.asked)

    def wait_for_the_gap(self):
        time.sleep(max(0, self.idp.asked[0][0] + GAP - 1 - time.monotonic()))


@pytest.fixture(scope="module")
def watched(postgres, keys, idp_of):
    """Its provider says max-age=0; its issuer is one that no other test changes."""
    idp = idp_of(keys["rsa"], Cache_Control="max-age=0")
    settings = settings_for(postgres, idp.url, SUPABASE_JWT_ISS="other", http_proxy="http://127.0.0.1:1")
    with running(postgres.url("relay_gateway"), **settings) as gateway:
        wait_until(gateway.is_ready)
        wait_until(lambda: live(postgres, "other") == {"rsa"})
        yield Watched(gateway, idp)


@pytest.fixture(scope="module")
def steady(postgres, keys, idp_of):
    """Its provider has nothing new; a token has named an unknown key."""
    idp = idp_of(keys["rsa"])
    settings = settings_for(postgres, idp.url, SUPABASE_JWT_ISS="steady", WORKERS=1)
    with running(postgres.url("relay_gateway"), **settings) as gateway:
        wait_until(gateway.is_ready)
        wait_until(lambda: live(postgres, "steady") == {"rsa"})
        wait_until(lambda: messages(gateway, "keys were imported"))
        assert ask(gateway, token_of(keys["ec"], "steady")) == "token_key"
        postgres.sql("DELETE FROM relay_guard.jwt_key WHERE iss = 'steady'")
        postgres.sql(f"SELECT relay_guard.jwt_public_key_add('steady', '{json.dumps(keys['ed'].jwk())}')")
        yield Watched(gateway, idp)


def test_tokens_of_published_keys_are_accepted(watched, steady, keys):
    assert ask(watched.gateway, token_of(keys["rsa"], "other")) == "other|alice"
    assert ask(watched.gateway, token_of(keys["ec"], "other")) == "token_key"
    imported, = messages(watched.gateway, "keys were imported")
    assert imported["issuer"] == "other" and imported["live"] == "1"


def storm(watched, keys, count=50):
    tokens = [token_of(keys["ec"], "other", kid=f"random {n}") for n in range(count)]
    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        return set(pool.map(lambda token: ask(watched.gateway, token), tokens))


def test_unknown_keys_are_not_looked_for_at_once(watched, keys):
    assert storm(watched, keys) == {"token_key"}
    time.sleep(1)
    assert watched.fetches() == 1


# The command


@pytest.mark.parametrize("names", [["rsa", "ec"], ["ed", "ec"]])
def test_the_command_fetches_once(gateway, postgres, keys, idp_of, names):
    idp = idp_of(*(keys[name] for name in names))
    for _ in range(2):
        done = run("keys", **settings_for(postgres, idp.url))
        assert (done.returncode, done.stdout) == (0, f"issuer {ISS}: 2 live keys\n"), done.stderr
    assert len(idp.asked) == 2 and live(postgres) == set(names)
    for name, key in keys.items():
        assert ask(gateway, token_of(key)) == (f"{ISS}|alice" if name in names else "token_key")


def html(idp):
    idp.body = b"<!DOCTYPE html><title>secret-of-the-page</title>"


def server_error(idp):
    idp.status = 500


def redirect(idp):
    idp.status, idp.headers = 302, {"Location": idp.url + "/elsewhere"}


def not_modified(idp):
    idp.status = 304


def empty(idp):
    idp.publish()


def large(idp):
    idp.body = idp.body[:-1] + b" " * 300_000 + b"}"


def symmetric(idp):
    idp.publish({"kty": "oct", "kid": "hs", "alg": "HS256", "k": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"})


def nul(idp):
    idp.body += b"\0"


def cut(idp):
    idp.body = idp.body[:-2]


def nothing(idp):
    idp.body = b""


def slow(idp):
    idp.pause = 0.1


BAD = {html: "22P02", server_error: "HTTP 500", redirect: "redirects are not followed", not_modified: "HTTP 304",
       empty: "22023", large: "too large", symmetric: "22023", nul: "NUL", cut: "22P02", nothing: "22P02",
       slow: "timed out"}


@pytest.fixture(scope="module")
def bad_fetches(postgres, keys, idp_of):
    """One command each, all at once, for one of them takes its 10 s."""
    good = idp_of(keys["held"])
    assert run("keys", **settings_for(postgres, good.url)).returncode == 0
    commands = {}
    for spoil in BAD:
        idp = idp_of(keys["new"])
        spoil(idp)
        commands[spoil] = idp, subprocess.Popen(
            [gateway_binary(), "keys"], env=clean_environment(**settings_for(postgres, idp.url)),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return commands


@pytest.mark.parametrize("spoil", BAD)
def test_a_bad_answer_leaves_the_former_keys(gateway, postgres, keys, bad_fetches, spoil):
    idp, command = bad_fetches[spoil]
    out, err = command.communicate(timeout=60)
    assert (command.returncode, out) == (1, "") and BAD[spoil] in err
    assert "secret-of-the-page" not in err and keys["new"].jwk()["x"] not in err
    assert len(idp.asked) == 1
    assert live(postgres) == {"held"} and ask(gateway, token_of(keys["held"])) == f"{ISS}|alice"


def test_an_untrusted_certificate_is_refused(postgres, keys, idp_of, tmp_path):
    both = tmp_path / "both.pem"
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", tmp_path / "key", "-out", tmp_path / "cert",
            "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1")
    both.write_text((tmp_path / "key").read_text() + (tmp_path / "cert").read_text())
    idp = idp_of(keys["new"], tls=both)
    done = run("keys", **settings_for(postgres, idp.url))
    assert done.returncode == 1 and "certificate" in done.stderr and idp.asked == []


def test_the_gateways_own_role_cannot_import(postgres, keys, idp_of):
    before = live(postgres)
    idp = idp_of(keys["new"])
    done = run("keys", **settings_for(postgres, idp.url, KEYS_DATABASE_URL=postgres.url("relay_gateway")))
    assert done.returncode == 1 and "42501" in done.stderr and live(postgres) == before


def test_a_database_that_is_away_is_a_reason(keys, idp_of):
    idp = idp_of(keys["new"])
    done = run("keys", SUPABASE_JWKS_URL=idp.url, KEYS_DATABASE_URL="postgresql://me:hunter2@127.0.0.1:1/relay")
    assert done.returncode == 1 and "refused" in done.stderr and "hunter2" not in done.stderr


# Settings


def test_keys_need_a_role_of_their_own():
    for arguments in ["--check"], ["keys"], []:
        done = run(*arguments, SUPABASE_JWKS_URL="https://id.example/keys", DATABASE_URL="host=/nonexistent")
        assert done.returncode == 1 and done.stderr.startswith("KEYS_DATABASE_URL ")
        assert "DATABASE_PUBLIC_URL" in done.stderr
    done = run("--check", SUPABASE_JWKS_URL="https://id.example/keys", DATABASE_PUBLIC_URL="dbname=relay")
    assert done.returncode == 0 and "KEYS_DATABASE_URL=dbname=relay " in done.stdout.splitlines()
    assert run("keys").stderr.startswith("SUPABASE_JWKS_URL is not set")
    assert all(name in run("--help").stdout for name in ("SUPABASE_JWKS_URL", "KEYS_DATABASE_URL"))


@pytest.mark.parametrize("url, environment, allowed", [
    ("https://id.example/keys", "production", True),
    ("http://127.0.0.1:9999/keys", "production", True),
    ("http://localhost/keys", "production", True),
    ("http://[::1]/keys", "production", True),
    ("http://id.example/keys", "staging", True),
    ("http://id.example/keys", "production", False),
    ("http://127.evil.example/keys", "production", False),
    ("http://localhost.evil.example/keys", "production", False),
    ("https://user:hunter2@id.example/keys", "development", False),
    ("file:///etc/passwd", "development", False),
    ("ftp://id.example/keys", "development", False),
    ("gopher://127.0.0.1/keys", "development", False),
    ("id.example/keys", "development", False),
    ("https://", "development", False),
])
def test_a_url_that_keys_are_trusted_from(url, environment, allowed):
    done = run("--check", SUPABASE_JWKS_URL=url, ENVIRONMENT=environment, KEYS_DATABASE_URL="dbname=relay")
    assert (done.returncode == 0) is allowed, done.stderr
    assert allowed or done.stderr.startswith("SUPABASE_JWKS_URL ") and "hunter2" not in done.stderr


def test_the_query_of_the_url_is_masked():
    done = run("--check", SUPABASE_JWKS_URL="https://id.example/keys?apikey=hunter2", KEYS_DATABASE_URL="dbname=relay")
    assert "SUPABASE_JWKS_URL=https://id.example/keys?****" in done.stdout.splitlines()


# The process


def test_the_start_does_not_fail_while_the_provider_is_down(postgres, start, keys, idp_of):
    """hasura#6453; and it is found when it comes."""
    port = free_port()
    gateway = start(**settings_for(postgres, f"http://127.0.0.1:{port}/keys"))
    assert gateway.get("/test/echo/a").status == 200
    wait_until(lambda: messages(gateway, "could not be fetched"))
    assert ask(gateway, token_of(keys["new"])) == "token_key"
    idp_of(keys["new"], port=port)
    wait_until(lambda: ask(gateway, token_of(keys["new"])) == f"{ISS}|alice")
    assert len(messages(gateway, "could not be fetched")) == 1


def test_a_reload_starts_changes_and_ends_it(postgres, start, keys, idp_of, tmp_path):
    first, second = idp_of(keys["rsa"]), idp_of(keys["ec"])
    file = tmp_path / "settings"

    def reload(text):
        file.write_text(text)
        gateway.process.send_signal(signal.SIGHUP)

    file.write_text("")
    settings = settings_for(postgres, "")
    del settings["SUPABASE_JWKS_URL"]
    gateway = start(RELAY_CONFIG=file, **settings)
    assert fetcher(gateway) is None
    reload(f"SUPABASE_JWKS_URL={first.url}\n")
    wait_until(lambda: live(postgres) == {"rsa"})
    assert ask(gateway, token_of(keys["rsa"])) == f"{ISS}|alice"
    reload(f"SUPABASE_JWKS_URL={second.url}\n")
    wait_until(lambda: live(postgres) == {"ec"})
    reload("SUPABASE_JWKS_URL=ftp://nowhere\n")
    wait_until(lambda: messages(gateway, "the old one stays"))
    assert fetcher(gateway) is not None
    reload("")
    wait_until(lambda: fetcher(gateway) is None)
    # what was imported stays, the vanished key's tokens are refused
    assert [ask(gateway, token_of(keys[name])) for name in ("ec", "rsa")] == [f"{ISS}|alice", "token_key"]
    assert len(first.asked) == len(second.asked) == 1


def test_one_that_dies_is_replaced_and_hurts_nobody(postgres, start, keys, idp_of):
    idp = idp_of(keys["ec"])
    gateway = start(**settings_for(postgres, idp.url))
    wait_until(lambda: len(idp.asked) == 1)
    workers = gateway.workers() - {fetcher(gateway)}
    os.kill(fetcher(gateway), signal.SIGSTOP)
    assert ask(gateway, token_of(keys["new"])) == "token_key"
    os.kill(fetcher(gateway), signal.SIGKILL)
    wait_until(lambda: len(idp.asked) == 2)
    assert ask(gateway, token_of(keys["new"])) == "token_key"
    assert workers < gateway.workers() and messages(gateway, "the fetcher of keys died")


def test_the_end_does_not_wait_for_a_provider(postgres, start, keys):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        gateway = start(**settings_for(postgres, f"http://127.0.0.1:{silent.getsockname()[1]}/keys"))
        connection, _ = silent.accept()
        began = time.monotonic()    # it would give up after 10 s
        child = fetcher(gateway)
        assert gateway.stop() == 0 and time.monotonic() - began < 8
        assert not os.path.exists(f"/proc/{child}")
        connection.close()


def test_it_ends_with_its_master(postgres, start, keys, idp_of):
    gateway = start(**settings_for(postgres, idp_of(keys["ec"]).url))
    child = fetcher(gateway)
    gateway.process.kill()
    gateway.process.wait()
    wait_until(lambda: not os.path.exists(f"/proc/{child}") or
               open(f"/proc/{child}/stat").read().split()[2] == "Z")


# When the gap is over


def test_max_age_0_is_not_a_refresh_every_second(watched):
    """hasura#8299."""
    watched.wait_for_the_gap()
    asked = watched.idp.asked
    between = [later - earlier for (earlier, _), (later, _) in zip(asked, asked[1:])]
    assert all(seconds >= GAP - 2 for seconds in between)   # as they came here


def test_unknown_keys_cause_one_fetch(watched, keys, postgres):
    """go-oidc#482: a fetch for each token that names an unknown key; and
    rotation: tokens of the new and of the old key are accepted."""
    before = watched.fetches()
    watched.idp.publish(keys["rsa"], keys["new"])
    token = token_of(keys["new"], "other")
    assert storm(watched, keys) == {"token_key"}
    wait_until(lambda: ask(watched.gateway, token) == "other|alice", 2 * GAP)
    assert ask(watched.gateway, token_of(keys["rsa"], "other")) == "other|alice"
    assert storm(watched, keys) == {"token_key"}
    time.sleep(1.5)
    failed = len(messages(watched.gateway, "could not be fetched"))    # by a machine that stood still for 10 s
    assert watched.fetches() - before in range(1, 2 + failed)
    (first, _), (second, tag) = watched.idp.asked[-2:]
    assert (second - first >= GAP - 2 or failed) and watched.idp.asked[0][1] is None and tag is not None
    assert len(messages(watched.gateway, "keys were imported")) >= 2


def test_a_set_that_has_not_changed_is_good_again(steady, postgres, keys):
    """And what somebody took out of the tables comes back with it."""
    idp = steady.idp
    wait_until(lambda: idp.answered == [200, 304], 2 * GAP)
    assert [tag for _, tag in idp.asked] == [None, idp.etag]
    wait_until(lambda: live(postgres, "steady") == {"rsa", "ed"})
    assert ask(steady.gateway, token_of(keys["rsa"], "steady")) == "steady|alice"
    assert len(messages(steady.gateway, "keys were imported")) == 2


def test_a_vanished_key_is_refused_after_the_next_import(watched, keys, postgres):
    watched.idp.publish(keys["new"])
    watched.gateway.process.send_signal(signal.SIGHUP)
    wait_until(lambda: live(postgres, "other") == {"new"})
    assert ask(watched.gateway, token_of(keys["rsa"], "other")) == "token_key"
    assert ask(watched.gateway, token_of(keys["new"], "other")) == "other|alice"
