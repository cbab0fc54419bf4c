"""Tokens that are not valid are 401 with WWW-Authenticate, never a 500; and
credentials that are valid are one user, whatever the spelling of the header."""
import base64
import hashlib
import hmac
import json
import subprocess
import time

import psycopg2
import psycopg2.errors
import pytest

SECRET = "a secret for these tests only, 0123456789"


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def sign(claims, secret=SECRET, **header):
    head = {"alg": "HS256", "typ": "JWT", **header}
    signed = ".".join(encode(json.dumps(part).encode()) for part in (head, claims))
    return signed + "." + encode(hmac.new(secret.encode(), signed.encode(), hashlib.sha256).digest())


def openssl(*arguments, data=b""):
    return subprocess.run(["openssl", *map(str, arguments)], input=data, check=True, capture_output=True).stdout


def raw_signature(der):
    """r and s side by side, as JWS has them, of ECDSA's DER."""
    length = der[3]
    r, s = der[4:4 + length], der[6 + length:]
    return b"".join(number.lstrip(b"\0").rjust(32, b"\0") for number in (r, s))


class Key:
    """A private key of an identity provider, and what it publishes of it."""
    KINDS = {"RS256": ("RSA", "rsa_keygen_bits:2048"), "ES256": ("EC", "ec_paramgen_curve:P-256"),
             "EdDSA": ("ED25519", None)}

    def __init__(self, folder, alg, kid):
        kind, option = self.KINDS[alg]
        self.alg, self.kid, self.file = alg, kid, folder / f"{kid}.pem"
        openssl("genpkey", "-algorithm", kind, *(("-pkeyopt", option) if option else ()), "-out", self.file)
        self.public = openssl("pkey", "-in", self.file, "-pubout", "-outform", "DER")
        self.pem = openssl("pkey", "-in", self.file, "-pubout").decode()

    def jwk(self, **more):
        if self.alg == "RS256":
            modulus = openssl("rsa", "-in", self.file, "-noout", "-modulus").decode().strip().split("=")[1]
            numbers = {"kty": "RSA", "n": encode(bytes.fromhex(modulus)), "e": "AQAB"}
        elif self.alg == "ES256":
            numbers = {"kty": "EC", "crv": "P-256", "x": encode(self.public[-64:-32]), "y": encode(self.public[-32:])}
        else:
            numbers = {"kty": "OKP", "crv": "Ed25519", "x": encode(self.public[-32:])}
        return {**numbers, "kid": self.kid, "use": "sig", **more}

    def signature(self, data, folder):
        if self.alg != "EdDSA":
            made = openssl("dgst", "-sha256", "-sign", self.file, data=data)
            return raw_signature(made) if self.alg == "ES256" else made
        (folder / "input").write_bytes(data)
        return openssl("pkeyutl", "-sign", "-inkey", self.file, "-rawin", "-in", folder / "input")

    def sign(self, claims, **header):
        head = {"alg": self.alg, "kid": self.kid, **header}
        signed = ".".join(encode(json.dumps(part).encode()) for part in (head, claims))
        return signed + "." + encode(self.signature(signed.encode(), self.file.parent))


def claims(**changes):
    whole = {"iss": "tests", "aud": "app", "sub": "alice", "exp": int(time.time()) + 600, **changes}
    return {name: value for name, value in whole.items() if value is not None}


@pytest.fixture(scope="module", autouse=True)
def issuer(postgres):
    postgres.sql("SELECT relay_guard.issuer_add('tests', 'app', 'tests|')")
    postgres.sql(f"SELECT relay_guard.jwt_key_add('tests', 'k1', '{SECRET}')")
    yield
    postgres.sql("DELETE FROM relay_guard.issuer WHERE iss = 'tests'")


BAD = {
    "expired": (lambda: sign(claims(exp=1700000000)), "token_expired"),
    "of another issuer": (lambda: sign(claims(iss="evil")), "token_issuer"),
    "for another audience": (lambda: sign(claims(aud="other")), "token_audience"),
    "without aud": (lambda: sign(claims(aud=None)), "token_claim_missing"),
    "without exp": (lambda: sign(claims(exp=None)), "token_claim_missing"),
    "not valid yet": (lambda: sign(claims(nbf=int(time.time()) + 600)), "token_not_yet_valid"),
    "alg none": (lambda: encode(b'{"alg":"none"}') + "." + encode(json.dumps(claims()).encode()) + ".",
                 "token_algorithm"),
    "alg RS256": (lambda: sign(claims(), alg="RS256"), "token_algorithm"),
    "of another key": (lambda: sign(claims(), secret="another secret, 0123456789 0123456789"), "token_signature"),
    "with another kid": (lambda: sign(claims(), kid="'; DROP TABLE relay_guard.jwt_key; --"), "token_key"),
    "with its own key": (lambda: sign(claims(), jwk={"kty": "oct", "k": "AAAA"}), "token_header"),
    "truncated": (lambda: sign(claims())[:-7], "token_signature"),
    "cut in the middle": (lambda: sign(claims())[:40], "token_malformed"),
    "three kB of nothing": (lambda: "a" * 3000, "token_malformed"),
    "three kB and signed": (lambda: sign(claims(padding="x" * 2000, exp=1700000000)), "token_expired"),
    "nine kB": (lambda: "a" * 9000, "token_too_long"),
    "SQL": (lambda: "'; DROP TABLE relay_guard.jwt_key; --", "token_malformed"),
    "of a reserved user": (lambda: sign(claims(sub=5)), "token_claim"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_token_is_401(gateway, name):
    make, code = BAD[name]
    answer = gateway.get("/test/whoami", {"Authorization": "Bearer " + make()})
    assert answer.status == 401 and answer.json()["code"] == code
    assert answer.header("WWW-Authenticate") == 'Bearer realm="relay", error="invalid_token"'
    assert answer.header("Content-Type") == "application/problem+json"


def test_a_good_token_is_its_user(gateway):
    for scheme in "Bearer", "bearer", "BEARER":
        answer = gateway.get("/test/whoami", {"Authorization": f"{scheme} {sign(claims())}"})
        assert answer.status == 200 and answer.json() == "tests|alice"


def test_a_large_token_is_a_good_token(gateway):
    token = sign(claims(groups=["g" * 50] * 60))
    assert len(token) > 3600
    assert gateway.get("/test/whoami", {"Authorization": f"Bearer {token}"}).status == 200


def test_a_retired_key_is_refused_at_once(gateway, postgres):
    postgres.sql(f"SELECT relay_guard.jwt_key_add('tests', 'k2', reverse('{SECRET}'))")
    token = sign(claims(), secret=SECRET[::-1], kid="k2")
    assert gateway.get("/test/whoami", {"Authorization": f"Bearer {token}"}).status == 200
    postgres.sql("SELECT relay_guard.jwt_key_retire('tests', 'k2')")
    assert gateway.get("/test/whoami", {"Authorization": f"Bearer {token}"}).status == 401
    postgres.sql("DELETE FROM relay_guard.jwt_key WHERE kid = 'k2'")


def test_two_credentials_are_a_bad_request(gateway):
    connection = gateway.connect()
    connection.send(f"GET /test/whoami HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {sign(claims())}\r\n"
                    "Authorization: Bearer x\r\n\r\n".encode())
    assert connection.read().status == 400


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    return {alg: Key(folder, alg, f"public-{alg}") for alg in Key.KINDS}


@pytest.fixture
def publish(postgres):
    """Imports what an identity provider publishes."""
    def publish(*jwks):
        document = json.dumps({"keys": jwks})
        return postgres.sql(f"SELECT relay_guard.jwks_import('tests', $jwks${document}$jwks$)")[0][0]
    yield publish
    postgres.sql("DELETE FROM relay_guard.jwt_key WHERE source = 'jwks'")


def ask(gateway, token):
    answer = gateway.get("/test/whoami", {"Authorization": f"Bearer {token}"})
    return answer.json() if answer.status == 200 else answer.json()["code"]


@pytest.mark.parametrize("alg", Key.KINDS)
def test_a_published_key_verifies_its_tokens(gateway, keys, publish, alg):
    assert publish(*(key.jwk() for key in keys.values())) == 4
    key = keys[alg]
    assert ask(gateway, key.sign(claims())) == "tests|alice"
    assert ask(gateway, key.sign(claims(exp=1700000000))) == "token_expired"
    assert ask(gateway, key.sign(claims(aud=None))) == "token_claim_missing"
    head, body, signature = key.sign(claims()).split(".")
    forged = encode(json.dumps(claims(sub="bob")).encode())
    assert ask(gateway, f"{head}.{forged}.{signature}") == "token_signature"
    for other in {"HS256", "none", *Key.KINDS} - {alg}:
        assert ask(gateway, key.sign(claims(), alg=other)) == "token_algorithm"


@pytest.mark.parametrize("alg", ["HS256", *Key.KINDS])
def test_a_token_that_was_only_decoded_is_refused(gateway, keys, publish, alg):
    """litellm#20500: the claims were believed without the signature."""
    publish(*(key.jwk() for key in keys.values()))
    head = {"alg": alg, "kid": keys[alg].kid if alg in keys else "k1"}
    decoded = ".".join(encode(json.dumps(part).encode()) for part in (head, claims(sub="admin", role="admin")))
    for signature in "", "AAAA", encode(bytes(32)), encode(bytes(64)), encode(bytes(256)):
        assert ask(gateway, f"{decoded}.{signature}") == "token_signature"


def test_the_secret_secret_is_refused(postgres):
    """litellm#2158: tokens were signed with it."""
    for secret in "secret", "secret" * 6, "changeme" * 4, "your-super-secret-jwt-token-with-at-least-32-characters-long":
        with pytest.raises(psycopg2.errors.InvalidParameterValue, match="the secret"):
            postgres.sql(f"SELECT relay_guard.jwt_key_add('tests', 'weak', '{secret}')")


INJECTIONS = "'; DROP TABLE relay_guard.jwt_key; --", "' OR '1'='1", "x' UNION SELECT 'admin", "$1", "%s", "\\'; SELECT 1; --"


@pytest.mark.parametrize("text", INJECTIONS)
def test_sql_in_a_bearer_token_is_text(gateway, postgres, text):
    """CVE-2026-42208: what stood after Bearer, or in its claims, became SQL."""
    assert ask(gateway, text) == "token_malformed"
    assert ask(gateway, sign(claims(iss=text))) == "token_issuer"
    assert ask(gateway, sign(claims(), kid=text)) == "token_key"
    assert ask(gateway, sign(claims(sub=text, workspace_id=text, role=text, jti=text))) == f"tests|{text}"
    assert postgres.sql("SELECT count(*) FROM relay_guard.jwt_key WHERE iss = 'tests'") == [(1,)]


def test_a_private_key_given_by_mistake_is_not_logged(postgres, keys):
    before = len((postgres.dir / "log").read_text())
    private = json.dumps(keys["ES256"].jwk(d="cHJpdmF0ZSBudW1iZXI"))
    for call in (f"jwt_public_key_add('tests', '{private}')", f"""jwks_import('tests', '{{"keys": [{private}]}}')"""):
        with pytest.raises(psycopg2.errors.InvalidParameterValue):
            postgres.sql(f"SELECT relay_guard.{call}")
    # beside a good one, in a set that is refused for another reason
    good = json.dumps(keys["EdDSA"].jwk())
    with pytest.raises(psycopg2.errors.UndefinedObject):
        postgres.sql(f"""SELECT relay_guard.jwks_import('nobody', '{{"keys": [{good}, {private}]}}')""")
    log = (postgres.dir / "log").read_text()[before:]
    assert log.count("has private members") == 3 and "cHJpdmF0ZSBudW1iZXI" not in log


def test_a_public_key_is_no_secret(gateway, keys, publish):
    key = keys["RS256"]
    publish(key.jwk())
    for form in key.pem, key.pem.strip(), json.dumps(key.jwk()):
        assert ask(gateway, sign(claims(), secret=form, kid=key.kid)) == "token_algorithm"
        assert ask(gateway, sign(claims(), secret=form, kid=key.kid, alg="RS256")) == "token_signature"
        assert ask(gateway, sign(claims(), secret=form)) == "token_signature"


def test_a_cached_verdict_does_not_outlive_its_key(gateway, keys, publish):
    """PostgREST#4014; and while keys rotate, what is published is never refused."""
    old, new = keys["RS256"], keys["ES256"]
    with_old, with_new = old.sign(claims()), new.sign(claims())
    publish(old.jwk())
    assert [ask(gateway, with_old), ask(gateway, with_new)] == ["tests|alice", "token_key"]
    publish(old.jwk(), new.jwk())
    assert [ask(gateway, with_old), ask(gateway, with_new)] == ["tests|alice", "tests|alice"]
    publish(new.jwk())
    assert [ask(gateway, with_old), ask(gateway, with_new)] == ["token_key", "tests|alice"]


def test_a_failed_fetch_empties_nothing(gateway, keys, publish):
    key = keys["EdDSA"]
    publish(key.jwk())
    for nothing in ([], [key.jwk(use="enc")], [{"kty": "oct", "k": "AAAA"}]):
        with pytest.raises(psycopg2.Error):
            publish(*nothing)
    assert ask(gateway, key.sign(claims())) == "tests|alice"


def test_a_revoked_key_stays_revoked_while_it_is_published(gateway, keys, postgres, publish):
    """tyk#2293, litellm#35535: it went on working."""
    key, other = keys["EdDSA"], keys["ES256"]
    publish(key.jwk(), other.jwk())
    token = key.sign(claims())
    assert ask(gateway, token) == "tests|alice"
    postgres.sql(f"SELECT relay_guard.jwt_key_retire('tests', '{key.kid}')")
    assert ask(gateway, token) == "token_key"
    publish(key.jwk(), other.jwk())
    assert ask(gateway, token) == "token_key"


def test_the_fetcher_of_keys_may_import_and_nothing_else(postgres, keys):
    postgres.sql("CREATE ROLE keys_only LOGIN; SELECT relay_guard.grant_role('keys', 'keys_only')")
    try:
        document = json.dumps({"keys": [keys["ES256"].jwk()]})
        statement = f"SELECT relay_guard.jwks_import('tests', $jwks${document}$jwks$)"
        assert postgres.sql(statement, user="keys_only") == [(2,)]
        for forbidden in ("SELECT * FROM relay_guard.jwt_key", "SELECT relay_guard.jwt_key_retire('tests', 'k1')",
                          "SELECT relay_guard.assume('alice')", "SELECT * FROM relay_guard.jwks_keys('{}')"):
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                postgres.sql(forbidden, user="keys_only")
    finally:
        postgres.sql("DROP OWNED BY keys_only; DROP ROLE keys_only; DELETE FROM relay_guard.jwt_key WHERE source = 'jwks'")
