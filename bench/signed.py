"""Tokens under public keys: RS256, ES256 and EdDSA."""
import json
import re
import time

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

import stacks

# What makes a key, its form as JSON Web Key, and openssl speed's name of it
ALGORITHMS = {
    "RS256": (lambda: rsa.generate_private_key(65537, 2048), RSAAlgorithm, "rsa2048"),
    "ES256": (lambda: ec.generate_private_key(ec.SECP256R1()), ECAlgorithm, "ecdsap256"),
    "EdDSA": (ed25519.Ed25519PrivateKey.generate, OKPAlgorithm, "ed25519"),
}


def register(relay, alg, key):
    public = json.loads(ALGORITHMS[alg][1].to_jwk(key.public_key()))
    stacks.psql(relay.superuser, "-v", f"iss={relay.issuer}", "-v", f"kid=bench-{alg}",
                "-v", f"key={json.dumps({**public, 'alg': alg})}", "-f", f"{stacks.HERE}/public_key.sql")


def make_tokens(relay, alg, count):
    """Tokens of many users, all different, under a key that is registered anew."""
    key = ALGORITHMS[alg][0]()
    register(relay, alg, key)
    claims = {"iss": relay.issuer, "aud": relay.audience, "role": "authenticated",
              "iat": int(time.time()), "exp": int(time.time()) + 86400}
    return [jwt.encode({**claims, "sub": str(n % 500), "jti": str(n)}, key, alg,
                       {"kid": f"bench-{alg}"}) for n in range(count)]


def openssl(alg):
    """Microseconds of OpenSSL's verification alone."""
    said = stacks.call("openssl", "speed", "-seconds", "1", ALGORITHMS[alg][2])
    return 1e6 / float(re.findall(r"[\d.]+", said)[-1])
