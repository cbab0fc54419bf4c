"""Tokens that are not valid are 401 with WWW-Authenticate, never a 500; and
credentials that are valid are one user, whatever the spelling of the header."""
import base64
import hashlib
import hmac
import json
import time

import pytest

SECRET = "a secret for these tests only, 0123456789"


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def sign(claims, secret=SECRET, **header):
    head = {"alg": "HS256", "typ": "JWT", **header}
    signed = ".".join(encode(json.dumps(part).encode()) for part in (head, claims))
    return signed + "." + encode(hmac.new(secret.encode(), signed.encode(), hashlib.sha256).digest())


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
