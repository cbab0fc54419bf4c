"""What docs/formats.md says, as a program of its own: it shares nothing with
relay_guard but that page."""
import base64
import hashlib
import struct
from typing import NamedTuple

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

CONTEXTS = {"columns": b"columns_", "secrets": b"secrets_", "tokens": b"tokens__",
            "audit": b"audit___", "csrf": b"csrf____", "cursors": b"cursors_"}


def read_ring(text):
    """The keys of a ring by their ids."""
    lines = (line.split() for line in text.splitlines())
    return {int(words[0]): base64.b64decode(words[1], validate=True)
            for words in lines if words and not words[0].startswith("#")}


def subkey(key, purpose):
    return hashlib.blake2b(b"", digest_size=32, key=key, salt=struct.pack("<QQ", 1, 0),
                           person=CONTEXTS[purpose] + bytes(8)).digest()


def aad(*parts):
    encoded = struct.pack(">I", len(parts))
    for part in parts:
        if part is None:
            encoded += b"\xff\xff\xff\xff"
        else:
            encoded += struct.pack(">I", len(part.encode())) + part.encode()
    return encoded


def row_aad(table, key1, key2):
    return b"".join(name.encode() + b"\0" for name in (table, key1, key2))


def cursor_aad(method, path, user_id):
    return f"cursor {method} {path}\0{user_id}".encode()


class MessageKey(NamedTuple):
    """All that lies between a key, a nonce and the key of one message."""
    L: bytes
    K1: bytes
    M1: bytes
    M2: bytes
    Kx: bytes
    Nx: bytes


def encrypt_blocks(key, blocks):
    return Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(blocks)


def xor(a, b):
    return bytes(x ^ y for x, y in zip(a, b))


def message_key(key, nonce):
    start = encrypt_blocks(key, bytes(16))
    doubled = int.from_bytes(start, "big") << 1
    if doubled >> 128:
        doubled ^= 1 << 128 | 0x87
    k1 = doubled.to_bytes(16, "big")
    m1, m2 = (bytes([0, counter]) + b"X\0" + nonce[:12] for counter in (1, 2))
    return MessageKey(start, k1, m1, m2, encrypt_blocks(key, xor(m1, k1) + xor(m2, k1)), nonce[12:])


class Envelope(NamedTuple):
    version: int
    key_id: int
    nonce: bytes
    sealed: bytes       # ciphertext and tag
    header: bytes


def read_envelope(data):
    version, key_id = struct.unpack(">BI", data[:5])
    assert version == 1
    return Envelope(version, key_id, data[5:29], data[29:], data[:5])


def open_envelope(ring, purpose, data, additional):
    """The plaintext; cryptography.exceptions.InvalidTag when it is not authentic."""
    envelope = read_envelope(data)
    derived = message_key(subkey(ring[envelope.key_id], purpose), envelope.nonce)
    return AESGCM(derived.Kx).decrypt(derived.Nx, envelope.sealed, envelope.header + additional)


def make_envelope(ring, purpose, key_id, nonce, plaintext, additional):
    header = struct.pack(">BI", 1, key_id)
    derived = message_key(subkey(ring[key_id], purpose), nonce)
    return header + nonce + AESGCM(derived.Kx).encrypt(derived.Nx, plaintext, header + additional)


def from_base64url(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def to_base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def read_cursor(plain):
    """[(oid of the type, what its send function gave, or None)]"""
    values = []
    while plain:
        oid, length = struct.unpack(">Ii", plain[:8])
        values.append((oid, None if length == -1 else plain[8:8 + length]))
        plain = plain[8 + max(length, 0):]
    return values


def write_cursor(values):
    return b"".join(struct.pack(">Ii", oid, -1 if sent is None else len(sent)) + (sent or b"")
                    for oid, sent in values)


def api_key_hash(pepper, key):
    return hashlib.blake2b(key.encode(), digest_size=32, key=pepper).digest()
