"""Bytes that nobody encrypted, by the thousand: each is an error or NULL, the one that
is documented, and the server lives on.

RG_LONG=1 tries a million of them instead of fifty thousand; RG_SEED repeats a run."""
import os
import random
import struct

import pytest
from servers import key_line, run

INPUTS = 1_000_000 if os.environ.get("RG_LONG") == "1" else 50_000
BATCH = 2000
SEED = int(os.environ.get("RG_SEED", random.SystemRandom().getrandbits(32)))
KINDS = ["text", "bytea", "jsonb"]
PRIMARY, ACTIVE, RETIRED, UNKNOWN = 1, 2, 3, 4
NULL, NOT_FOUND, UNAVAILABLE = "null", "RG404", "RG503"

# What comes of each input: try_decrypt_…(), then decrypt_…()
OUTCOMES = """CREATE FUNCTION outcomes_{kind}(inputs bytea[], aads bytea[]) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
    outcome text;
    found text[];
BEGIN
    FOR n IN 1 .. cardinality(inputs) LOOP
        FOREACH outcome IN ARRAY '{{try,strict}}'::text[] LOOP
            BEGIN
                IF outcome = 'try' THEN
                    outcome := CASE WHEN relay_guard.try_decrypt_{kind}(inputs[n], aads[n]) IS NULL THEN 'null' ELSE 'value' END;
                ELSE
                    outcome := CASE WHEN relay_guard.decrypt_{kind}(inputs[n], aads[n]) IS NULL THEN 'null' ELSE 'value' END;
                END IF;
            EXCEPTION WHEN OTHERS THEN
                outcome := SQLSTATE;
            END;
            found := found || outcome;
        END LOOP;
    END LOOP;
    RETURN found;
END $$"""


@pytest.fixture(scope="module")
def ringed(make_server):
    server = make_server(started=False)
    server.write_ring(key_line(PRIMARY, "primary") + key_line(ACTIVE) + key_line(RETIRED, "retired"))
    server.start()
    server.run("CREATE EXTENSION relay_guard")
    for kind in KINDS:
        server.run(OUTCOMES.format(kind=kind))
    yield server
    server.stop("immediate")


def header(version, key_id):
    return struct.pack(">BI", version, key_id)


def chosen(chance, good):
    """Bytes of no, some or all of the form of an envelope; good is a real one."""
    body = chance.randbytes(chance.randrange(201))
    damaged = bytearray(good)
    damaged[chance.randrange(len(good))] ^= 1 << chance.randrange(8)
    return chance.choice([
        body,
        header(1, chance.getrandbits(32)) + body,
        header(1, chance.choice([PRIMARY, ACTIVE, RETIRED, UNKNOWN, 0])) + body,
        header(chance.randrange(256), PRIMARY) + body,
        bytes(damaged),
        good[:chance.randrange(len(good))],
        good + body[:chance.randrange(1, 50)] + b"\0",
    ])


def expected(data):
    """The documented outcome of try_decrypt_…() and decrypt_…()."""
    does_not_open = NULL, NOT_FOUND
    if len(data) < 45:
        return does_not_open
    version, key_id = struct.unpack(">BI", data[:5])
    if version != 1 or key_id not in (0, PRIMARY, ACTIVE):
        return UNAVAILABLE, UNAVAILABLE
    return does_not_open


def outcomes(connection, kind, inputs, aads):
    found = run(connection, f"SELECT outcomes_{kind}(%s::bytea[], %s::bytea[])", inputs, aads)[0][0]
    return list(zip(found[::2], found[1::2]))


def test_random_bytes_are_an_error_or_null(ringed):
    chance = random.Random(SEED)
    connection = ringed.connect()
    plain = chance.randbytes(chance.randrange(100))
    good = bytes(run(connection, "SELECT relay_guard.encrypt(%s::bytea, 'place')", plain)[0][0])
    for batch in range(INPUTS // BATCH):
        inputs = [chosen(chance, good) for _ in range(BATCH)]
        aads = [chance.choice([b"place", b"", chance.randbytes(chance.randrange(60))]) for _ in inputs]
        kind = KINDS[batch % len(KINDS)]
        for data, aad, found in zip(inputs, aads, outcomes(connection, kind, inputs, aads)):
            assert found == expected(data), f"RG_SEED={SEED}: {kind} {data.hex()} under {aad.hex()}"
    assert bytes(run(connection, "SELECT relay_guard.decrypt_bytea(%s, 'place')", good)[0][0]) == plain
    connection.close()


def test_random_values_read_as_another_kind_are_an_error_of_the_data(ringed):
    chance = random.Random(SEED)
    connection = ringed.connect()
    run(connection, "CREATE TABLE sealed (n int, value bytea)")
    values = [chance.choice([chance.randbytes(chance.randrange(40)), b"\0", b'{"a":', b'"\\ud800"', b"[" * 20000,
                             b"1e999999", "ü".encode("latin1"), "ü€".encode()[:chance.randrange(6)]]) for _ in range(BATCH)]
    envelopes = run(connection, "SELECT relay_guard.encrypt(v, '') FROM unnest(%s::bytea[]) v", values)
    for kind in "text", "jsonb":
        found = outcomes(connection, kind, [bytes(envelope) for (envelope,) in envelopes], [b""] * BATCH)
        for value, (attempted, strict) in zip(values, found):
            assert attempted == strict and (strict == "value" or strict[:2] == "22" or strict == "54001"), \
                f"RG_SEED={SEED}: {value[:100]} as {kind}: {strict}"
    connection.close()


def test_no_message_quotes_what_was_not_opened(ringed):
    """Or anything of it but its version or key id."""
    canary = b"canary-of-a-plaintext-that-was-never-encrypted!"
    connection = ringed.connect()
    for data in (canary, header(1, PRIMARY) + canary, header(1, UNKNOWN) + canary, header(9, PRIMARY) + canary):
        for kind in KINDS:
            with pytest.raises(Exception) as error:
                run(connection, f"SELECT relay_guard.decrypt_{kind}(%s, 'place')", data)
            for form in canary.decode(), canary.hex(), canary.hex().upper():
                assert form not in str(error.value).split("LINE")[0]
    connection.close()
