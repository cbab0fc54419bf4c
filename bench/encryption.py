"""What encrypting a value costs in one backend, beside pgcrypto."""
from report import difference, print_table, verdict

# Bytes, how often in a sample, and the microseconds to reach
SIZES = {"64 B": (64, 50_000, 0.6), "1 KiB": (1024, 50_000, 0.9), "64 KiB": (65536, 2000, 14)}
SLOWER = 100    # times slower than all others, about

PLACE = "relay_guard.aad('bench.card.number', '42', '7')"
KEY = "'0123456789abcdef0123456789abcdef'"
NOTHING = "relay_guard.has_scope('bench')"
WAYS = {
    "relay_guard.encrypt()": "relay_guard.encrypt(plain, place)",
    "relay_guard.decrypt_text()": "relay_guard.decrypt_text(envelope, place)",
    "relay_guard.aad(), three parts": PLACE.replace("'7'", "number"),
    "pgcrypto's encrypt(), aes-cbc": f"encrypt(bytes, {KEY}, 'aes-cbc')",
    "pgcrypto's decrypt(), aes-cbc": f"decrypt(cbc, {KEY}, 'aes-cbc')",
}
SLOW_WAYS = {
    "pgp_sym_encrypt()": f"pgp_sym_encrypt(plain, {KEY})",
    "pgp_sym_decrypt()": f"pgp_sym_decrypt(pgp, {KEY})",
}


def calls(call, size, count):
    """A value is made once and stands in a column: no plan has it, or its result, as a constant."""
    return f"""SELECT count({call})
        FROM (SELECT plain, bytes, place, number, relay_guard.encrypt(plain, place) AS envelope,
                     encrypt(bytes, {KEY}, 'aes-cbc') AS cbc, pgp_sym_encrypt(plain, {KEY}) AS pgp
              FROM (SELECT repeat('x', {size}) AS plain, repeat('x', {size})::bytea AS bytes, {PLACE} AS place,
                           '7'::text AS number OFFSET 0) AS made OFFSET 0) AS value,
             generate_series(1, {count})""", None


def measure(backend, rounds, ways, size, count):
    found = backend.compare(rounds, count, {
        name: calls(call, size, count) for name, call in {"nothing": NOTHING, **ways}.items()})
    return {name: difference(found[name], found["nothing"]) for name in ways}


def print_encryption(backend, rounds):
    found = {name: {**measure(backend, rounds, WAYS, size, count),
                    **measure(backend, rounds, SLOW_WAYS, size, max(20, count // SLOWER))}
             for name, (size, count, _) in SIZES.items()}
    rows = [["encryption, µs a call", *SIZES, "to reach", ""]]
    for way in [*WAYS, *SLOW_WAYS]:
        costs = [found[size][way] for size in SIZES]
        ours = way == "relay_guard.encrypt()"
        most = [most for _, _, most in SIZES.values()]
        rows.append([way, *(f"{cost:.2f}" for cost in costs),
                     "≤ " + " / ".join(map(str, most)) if ours else "",
                     verdict(*(cost <= limit for cost, limit in zip(costs, most))) if ours else ""])
    print_table(*rows)
