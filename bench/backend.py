"""One backend of relay_guard's database, and what the measures inside it need."""
import struct

import measure
import stacks

SAMPLES = 5     # of each way in a round, in turn with the others
TOKENS = 8000
USERS = 500
REMEMBERED = 1024   # tokens that a backend knows; see src/token_cache.c


class Backend:
    """One session, and the CPU time of the process behind it."""

    def __init__(self, environment):
        self.session = stacks.connect(environment)
        self.cursor = self.session.cursor()
        self.clock = measure.cpu_clock(self.session.info.backend_pid)
        for setting in "jit = off", "max_parallel_workers_per_gather = 0", "work_mem = '256MB'":
            self.run(f"SET {setting}")

    def run(self, statement, *values):
        self.cursor.execute(statement, values or None)
        return self.cursor.fetchone()[0] if self.cursor.description else None

    def cost(self, statement, before=None):
        """CPU seconds of a statement, in a transaction after another if there is one."""
        if before:
            self.run(f"BEGIN; {before}")
        start = self.clock()
        self.run(statement)
        spent = self.clock() - start
        if before:
            self.run("ROLLBACK")
        return spent

    def compare(self, rounds, calls, ways):
        """Microseconds a call of each way, {name: (statement, before)}, sample by sample."""
        found = {name: [] for name in ways}
        for sample in range(1 + rounds * SAMPLES):
            for name, way in ways.items():
                spent = self.cost(*way) / calls * 1e6
                if sample > 0:
                    found[name].append(spent)
        return found


def prepare(relay):
    """Tables, policies, tokens; once, but the tokens at each start, for they expire."""
    if stacks.psql(relay.superuser, "-c", "SELECT to_regclass('bench.scanned') IS NULL") == "t":
        stacks.psql(relay.superuser, "-1", "-f", f"{stacks.HERE}/peers/pgjwt.sql",
                    "-f", f"{stacks.HERE}/inside.sql")
        stacks.psql(relay.superuser, "-c", "VACUUM (ANALYZE, FREEZE) bench.scanned, bench.paged",
                    "-c", "CHECKPOINT")
    backend = Backend(relay.superuser)
    write_procedures(backend)
    write_tokens(backend, relay)
    return backend


def write_procedures(backend):
    """Loops with a transaction for each call, as a pool gives it: over the tokens of
    a kind, or so many times.  has_scope() stands for nothing: without an identity
    nobody has a scope, and so it is a call and no more."""
    for name, function in {"authenticate": "authenticate", "assume": "assume",
                           "nothing": "has_scope"}.items():
        backend.run(f"""CREATE OR REPLACE PROCEDURE bench.call_{name}(tokens text) LANGUAGE plpgsql AS
            $$ DECLARE t text; is_null boolean;
            all_of_them text[] := (SELECT array_agg(token) FROM bench.token WHERE kind = tokens);
            BEGIN FOREACH t IN ARRAY all_of_them LOOP
                is_null := relay_guard.{function}(t) IS NULL; COMMIT;
            END LOOP; END $$""")
    with open(f"{stacks.HERE}/peers/upsert.sql") as file:
        upsert = file.read().replace(":n", "n % 1000")
    for name, statement in {"upsert": f"{upsert} INTO allowed",
                            "no_limit": "allowed := relay_guard.has_scope((n % 1000)::text)"}.items():
        backend.run(f"""CREATE OR REPLACE PROCEDURE bench.call_{name}(count int) LANGUAGE plpgsql AS
            $$ DECLARE allowed boolean;
            BEGIN FOR n IN 1 .. count LOOP {statement}; COMMIT; END LOOP; END $$""")


def write_tokens(backend, relay):
    """Tokens of 500 users: one of each that comes again and again, and ever new ones."""
    backend.run("TRUNCATE bench.token, bench.frame")
    again = [stacks.make_token(user, relay.issuer, relay.audience) for user in range(USERS)]
    new = [stacks.make_token(n % USERS, relay.issuer, relay.audience, jti=str(n))
           for n in range(TOKENS)]
    store_tokens(backend, "users", [str(n % USERS) for n in range(TOKENS)])
    for kind, tokens in ("again", again * (TOKENS // USERS)), ("new", new):
        store_tokens(backend, kind, tokens)
        for route in "open", "known", "guarded":
            backend.run("INSERT INTO bench.frame SELECT %s, * FROM unnest(%s)", f"{route} {kind}",
                        [frame(f"/bench/{route}", token) for token in tokens])
    backend.run("VACUUM ANALYZE bench.frame")


def store_tokens(backend, kind, tokens):
    backend.run("INSERT INTO bench.token SELECT %s, * FROM unnest(%s)", kind, tokens)


def frame(path, token):
    """What the gateway sends for a GET; see src/frame.h."""
    headers = {"authorization": f"Bearer {token}", "user-agent": "bench", "accept": "*/*"}
    pairs = "".join(f"{name}\0{value}\0" for name, value in headers.items())
    return (f"GET\0{path}\0\0".encode() + bytes(10) + b"\xff\xff\x7f\0\0\1" +
            b"0199c0de-0000-7000-8000-000000000000\0" +
            struct.pack(">I", len(headers)) + pairs.encode())
