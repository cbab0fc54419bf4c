"""Nothing secret in the server's log or pg_stat_statements, whatever is logged.

Every call has a canary of its own, so that what leaks can be named; it is
looked for as text, as hex and in the decimal bytes of debug_print_plan."""
import concurrent.futures
import os
import pathlib
import re
import signal
import sys
import time

import psycopg2
import pytest

from servers import run, wait_for

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "pgbouncer"))
from wire import SYNC, Wire, bind, execute, fast_path, parse, statement  # noqa: E402

TALKATIVE = {
    "shared_preload_libraries": "relay_guard,auto_explain,pg_stat_statements",
    "logging_collector": "on", "log_destination": "stderr,csvlog,jsonlog", "log_filename": "all.log",
    "log_rotation_size": 0,
    "log_statement": "all", "log_duration": "on", "log_min_duration_statement": 0, "log_statement_stats": "on",
    "log_min_messages": "debug2", "log_min_error_statement": "debug5", "log_error_verbosity": "verbose",
    "log_parameter_max_length": -1, "log_parameter_max_length_on_error": -1,
    "debug_print_parse": "on", "debug_print_rewritten": "on", "debug_print_plan": "on",
    "auto_explain.log_min_duration": 0, "auto_explain.log_nested_statements": "on", "auto_explain.log_analyze": "on",
    "auto_explain.log_verbose": "on", "auto_explain.log_format": "json",
    "pg_stat_statements.track": "all",
}
LEAKED = [re.compile(rb"canary(\d{4})x", re.IGNORECASE),
          re.compile(rb"63616e617279((?:3\d){4})78", re.IGNORECASE),
          re.compile(rb"99 97 110 97 114 121 ((?:\d\d ){4})120")]
DIGITS = [bytes.decode, lambda found: bytes.fromhex(found.decode()).decode(),
          lambda found: bytes(map(int, found.split())).decode()]


class Canaries:
    """Hands out values, and says later which of them stand in a text."""

    def __init__(self):
        self.told = {}

    def new(self, what):
        number = f"{len(self.told):04d}"
        self.told[number] = what
        return f"canary{number}x"

    def leaked(self, text):
        numbers = {decode(found) for pattern, decode in zip(LEAKED, DIGITS) for found in pattern.findall(text)}
        return sorted(self.told[number] for number in numbers)


class Log:
    """What a server with the settings above logs, in its three formats."""

    def __init__(self, server):
        self.server = server
        self.folder = server.data / "log"
        self.read_to = {}

    def read(self):
        """What is new since the last call, of all formats together."""
        mark = f"mark{time.monotonic_ns()}"
        self.server.run(f"SELECT '{mark}'")
        wait_for(lambda: sum(mark.encode() in text for text in self.unread().values()) == 3)
        new = self.unread()
        for path, text in new.items():
            self.read_to[path] = self.read_to.get(path, 0) + len(text)
        return b"\n".join(new.values())

    def unread(self):
        return {path: path.read_bytes()[self.read_to.get(path, 0):] for path in self.folder.glob("all.*")}


@pytest.fixture(scope="module")
def talkative(make_server):
    server = make_server(TALKATIVE)
    server.run("CREATE EXTENSION relay_guard; CREATE EXTENSION pg_stat_statements")
    server.run(PLACES)
    yield server
    server.stop("immediate")


@pytest.fixture
def log(talkative):
    log = Log(talkative)
    log.read()
    return log


@pytest.fixture
def canaries():
    return Canaries()


PLACES = """
    CREATE TABLE thing (id int PRIMARY KEY, name text UNIQUE, secret bytea, CHECK (id > 0));
    CREATE VIEW decrypted_thing AS SELECT id, name, relay_guard.try_decrypt_text(secret, 'thing') AS secret FROM thing;
    CREATE FUNCTION thing_write() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO thing VALUES (NEW.id, NEW.name, relay_guard.encrypt(NEW.secret, 'thing'));
        RETURN NEW;
    END $$;
    CREATE TRIGGER write INSTEAD OF INSERT OR UPDATE ON decrypted_thing FOR EACH ROW EXECUTE FUNCTION thing_write();
    CREATE FUNCTION wrapped(value text) RETURNS bytea LANGUAGE plpgsql AS
        $$BEGIN RETURN relay_guard.encrypt(value, 'wrapped'); END$$;
    CREATE FUNCTION failing(value text) RETURNS void LANGUAGE plpgsql AS
        $$BEGIN PERFORM 1 / 0, relay_guard.encrypt(value, 'failing'); END$$;
    CREATE FUNCTION noted(value text) RETURNS void LANGUAGE plpgsql AS
        $$BEGIN PERFORM FROM thing WHERE name = value; END$$;
    CREATE PROCEDURE called(value bytea) LANGUAGE plpgsql AS 'BEGIN END';
"""

# Arguments of these names are secrets, plaintexts or their AAD, or hold them
SECRET_ARGUMENTS = {"secret", "key", "token", "plaintext", "ciphertext", "aad", "parts", "payload", "body", "request",
                    "headers", "jwk", "jwks", "pass", "password"}
# The key is who a limit is for; the secret is sealed; the AAD is an expression; the headers are those of a document
NO_SECRETS = {"rate_take_key", "webhook_secret_put", "encrypt_values", "require_opening", "openapi_problem_response"}
VALUES = {"text": "{v}::text", "bytea": "{v}::text::bytea", "jsonb": "jsonb_build_object('kty', {v}::text)",
          "text[]": "ARRAY[{v}::text]"}
OTHERS = {"inet": "NULL::inet", "timestamp with time zone": "now()"}


def calls_of(server):
    """A call of each function that takes secrets, with {v} in the place of each."""
    functions = server.run("""
        SELECT p.proname, p.proargnames[1:p.pronargs], p.provariadic <> 0,
               ARRAY(SELECT format_type(t, NULL) FROM unnest(p.proargtypes) WITH ORDINALITY AS a (t, n) ORDER BY n)
        FROM pg_proc p WHERE p.pronamespace = 'relay_guard'::regnamespace AND p.prokind = 'f' AND p.pronargs > 0
        ORDER BY p.oid::regprocedure::text""")
    calls = []
    for name, arguments, variadic, types in functions:
        secret = [argument in SECRET_ARGUMENTS and kind in VALUES for argument, kind in zip(arguments or (), types)]
        if any(secret) and name not in NO_SECRETS:
            values = [VALUES[kind] if is_secret else OTHERS.get(kind, f"'1'::{kind}")
                      for is_secret, kind in zip(secret, types)]
            calls.append(f"relay_guard.{name}({'VARIADIC ' if variadic else ''}{', '.join(values)})")
    return calls


@pytest.fixture(scope="module")
def calls(talkative):
    calls = calls_of(talkative)
    named = {re.match(r"relay_guard\.(\w+)", call)[1] for call in calls}
    assert {"aad", "encrypt", "decrypt_jsonb", "try_decrypt_text", "reencrypt", "jwt_key_add", "api_key_hash",
            "api_key_set", "authenticate", "authenticate_api_key", "serve", "jwks_import"} <= named
    return calls


def tried(connection, statement):
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
    except psycopg2.Error as error:
        return error
    return None


def quoted(value):
    return f"'{value}'"


WAYS = {
    "a statement": "SELECT {call}",
    "one that fails later": "SELECT 1 / (count({call}) - count(*)) FROM (SELECT) once",
    "one whose literal is no value of its type": "SELECT {v}::uuid, {call}",
    "one whose result is none": "SELECT (({call})::text || {v})::xid",
    "one in double quotes": 'SELECT {call}, "{bare}"',
    "EXPLAIN": "EXPLAIN (ANALYZE, VERBOSE) SELECT {call}",
    "CREATE TABLE AS": "CREATE TABLE made AS SELECT {call}; DROP TABLE made",
    "COPY": "COPY (SELECT {call}) TO '/dev/null'",
    "DO": "DO $$BEGIN PERFORM {call}; END$$",
    "DO, which fails": "DO $$BEGIN PERFORM {call}; RAISE division_by_zero; END$$",
    "dynamic SQL": "DO $$BEGIN EXECUTE $x$SELECT {call}$x$; END$$",
    "dynamic SQL that is none": "DO $$BEGIN EXECUTE $x$SELECT nothing, {call}$x$; END$$",
    "one with a hint": 'SELECT {call}, nme FROM (SELECT 1 AS name) AS "{bare}"',
    "one that a message quotes": "DO $$BEGIN RAISE LOG 'next: %', $x$SELECT {call}$x$; END$$",
    "several at once": "SELECT 1; SELECT {call}; SELECT {call}",
    "PREPARE": "PREPARE p AS SELECT {call}; EXECUTE p; DEALLOCATE p",
    "CREATE FUNCTION": "CREATE FUNCTION pg_temp.made() RETURNS void LANGUAGE plpgsql AS "
                       "$$BEGIN PERFORM {call}; END$$; SELECT pg_temp.made()",
    "a cursor": "BEGIN; DECLARE c CURSOR FOR SELECT {call}; FETCH c; COMMIT",
}


@pytest.mark.parametrize("way", WAYS)
def test_no_literal_is_logged(talkative, log, calls, canaries, way):
    connection = talkative.connect()
    for call in calls:
        canary = canaries.new(call)
        tried(connection, WAYS[way].format(call=call.format(v=quoted(canary)), v=quoted(canary), bare=canary))
        run(connection, "ROLLBACK; DEALLOCATE ALL")
    text = log.read()
    assert text.count(b"(hidden: it uses ") >= len(calls)
    assert canaries.leaked(text) == []


def test_no_argument_of_execute_is_logged(talkative, log, calls, canaries):
    connection = talkative.connect()
    for call in calls:
        run(connection, f"PREPARE \"It\" (text) AS SELECT {call.format(v='$1')}")
        run(connection, f"PREPARE number (int, text) AS SELECT {call.format(v='$2')}")
        for how in ("EXECUTE \"It\"({v})", "EXPLAIN EXECUTE \"It\"({v})", "EXECUTE NUMBER({v}, {v})",
                    "EXECUTE nothing({v}); EXECUTE number(1, {v})"):
            if "nothing" in how:
                run(connection, "PREPARE nothing (text) AS SELECT 1")
            tried(connection, how.format(v=quoted(canaries.new((call, how)))))
        run(connection, "DEALLOCATE ALL")
    assert canaries.leaked(log.read()) == []


NAMES = ["two words", "a-b", "a$1", 'a""b', "üü-", "ü" * 40, "p" * 70, " a"]


def test_no_argument_of_execute_is_logged_whatever_its_name(talkative, log, canaries):
    connection = talkative.connect()
    run(connection, "SELECT pg_stat_statements_reset()")
    for name in ['"%s"' % name for name in NAMES] + ["a$1", "P$", "P" * 70]:
        run(connection, f"PREPARE {name} (text) AS SELECT relay_guard.encrypt($1, '')")
        for how in ("EXECUTE {name}({v})", "EXPLAIN ANALYZE EXECUTE {name}({v})",
                    "CREATE TEMP TABLE made AS EXECUTE {name}({v}); DROP TABLE made"):
            run(connection, how.format(name=name, v=quoted(canaries.new(f"{how} {name}"))))
        run(connection, "DEALLOCATE ALL")
    run(connection, "PREPARE p (text) AS SELECT relay_guard.encrypt($1, '')")
    tried(connection, f"DO $do$BEGIN EXECUTE $x$EXECUTE p$x$; PERFORM '{canaries.new('ends with a quote')}'; END$do$")
    assert canaries.leaked(log.read()) == []
    assert canaries.leaked(stored(talkative)) == []


def test_no_literal_is_logged_where_a_name_has_escapes(talkative, log, canaries):
    connection = talkative.connect()
    for statement_ in ('SELECT relay_guard.U&"\\0065ncrypt"({v}, \'\')', 'SELECT u&"!0065ncrypt" UESCAPE \'!\' ({v}, \'\')',
                       'SELECT * FROM U&"\\0064ecrypted_thing" WHERE secret = {v}'):
        tried(connection, statement_.format(v=quoted(canaries.new(statement_))))
    assert canaries.leaked(log.read()) == []


def test_no_literal_is_logged_where_a_function_is_misspelt(talkative, log, canaries):
    """Which is an error, and those are logged with their statements at default settings."""
    connection = talkative.connect()
    run(connection, QUIET)
    for statement_ in ("SELECT relay_guard.encrypt_text({v}, '')", "SELECT Relay_Guard . \"encrpt\"({v}, '')",
                       "CALL relay_guard.webhook_set('github', {v})"):
        error = tried(connection, statement_.format(v=quoted(canaries.new(statement_))))
        assert error.pgcode == "42883"
    text = log.read()
    assert text.count(b"(hidden: it uses a function that does not exist)") >= 3
    assert canaries.leaked(text) == []


def test_many_prepared_statements_are_not_looked_at_for_ever(talkative):
    connection = talkative.connect()
    run(connection, f"PREPARE p AS SELECT 1 {'/* long */' * 10000}")
    took = []
    while not took or took[-1] >= 5 and len(took) < 3:
        begun = time.monotonic()
        run(connection, f"SELECT 1 /* {'EXECUTE p ' * 20000} */")
        took.append(time.monotonic() - begun)
    assert min(took) < 5


def wire(server):
    return Wire(str(server.folder / ".s.PGSQL.5432"), user="postgres", database="postgres")


def test_no_parameter_is_logged(talkative, log, calls, canaries):
    connection = wire(talkative)
    for call in calls:
        for query in (f"SELECT {call}", f"SELECT {call}, 1 / (length({{v}}) - 11)", f"SELECT {call}, {{v}}::int",
                      f"SELECT noted({{v}}), {call}"):
            query = query.format(v="$1::text")
            connection.send(*statement(query, canaries.new((call, query))), SYNC)
            connection.send(parse(query, "named"), bind(canaries.new(("named", query)), name="named"),
                            execute("named", 1), execute("named", 1), (b"C", b"Snamed\0"), SYNC)
        query = f"SELECT $1::int, {call.format(v='$2::text')}"
        connection.send(*statement(query, canaries.new(("bind", call)), "x"), SYNC)
    text = log.read()
    assert canaries.leaked(text) == []
    assert b"canary" not in text.lower()


COMPLETION = """
    CREATE ROLE completes;
    INSERT INTO relay_guard.upstream (name, url, auth) VALUES ('logged', 'http://127.0.0.1:9', 'bearer');
    INSERT INTO relay_guard.model (name, provider, input_price, output_price, max_input_tokens, max_output_tokens)
    VALUES ('logged', 'logged', 1, 1, 1000, 1000);
    INSERT INTO relay_guard.route (method, path, query, auth, result, shape, request_body, run_as)
    VALUES ('POST', '/chat', 'SELECT request.body AS body', 'none', 'completion', 'events', '{"type": "object"}', 'completes');
"""


def test_no_key_of_a_provider_is_logged_and_no_chat(talkative, log, canaries):
    """The key goes to the gateway, in the frame that serve() answers, and nowhere else."""
    connection = talkative.connect()
    run(connection, COMPLETION)
    key = canaries.new("key")
    run(connection, "SELECT relay_guard.upstream_secret_set('logged', %s)", key)
    said = canaries.new("message")
    body = b'{"messages": [{"role": "user", "content": "%s"}]}' % said.encode()
    header = b"\0\0\0\1content-type\0application/json\0"
    frame = b"POST\0/chat\0\0" + bytes(16) + b"r-1\0" + header + body
    (reply,), = run(connection, "SELECT relay_guard.serve(%s::bytea)", frame)
    assert f'"authorization","Bearer {key}"'.encode() in bytes(reply) and said.encode() in bytes(reply)
    shown, = run(connection, "SELECT stream::text FROM relay_guard.serve('POST', '/chat', headers => "
                             "'{content-type,application/json}', body => %s::bytea)", body)[0]
    assert key not in shown and '["authorization", "****"]' in shown
    assert canaries.leaked(log.read()) == []
    assert canaries.leaked(stored(talkative)) == []


def test_no_argument_of_the_fast_path_is_logged(talkative, log, canaries):
    connection = wire(talkative)
    for function in ("encrypt(text, bytea)", "decrypt_text(bytea, bytea)", "reencrypt(bytea, bytea)"):
        oid = talkative.value("SELECT %s::regprocedure::oid::int", "relay_guard." + function)
        connection.send(fast_path(oid, canaries.new(function), canaries.new(function)))
    assert canaries.leaked(log.read()) == []


VIEW_STATEMENTS = [
    "INSERT INTO decrypted_thing VALUES (1, {v}, {v})",
    "INSERT INTO decrypted_thing VALUES (1, {v}, {v})",
    "INSERT INTO decrypted_thing VALUES (-1, {v}, {v})",
    "UPDATE decrypted_thing SET secret = {v}",
    "SELECT * FROM decrypted_thing WHERE secret = {v}",
    "SELECT * FROM Public . \"decrypted_thing\" WHERE secret LIKE {v}",
    "SELECT secret::int FROM decrypted_thing WHERE name <> {v}",
    "INSERT INTO thing VALUES (-1, {v}, relay_guard.encrypt({v}, 'thing'))",
    "SELECT relay_guard.decrypt_text(secret, 'thing')::int FROM thing WHERE name <> {v}",
]


def test_no_plaintext_of_a_decrypting_view_is_logged(talkative, log, canaries):
    connection = talkative.connect()
    for statement_ in VIEW_STATEMENTS:
        tried(connection, statement_.format(v=quoted(canaries.new(statement_))))
    for rows in ("1\t{v}\t{v}\n", "2\t{v}\t{v}\n", "{v}\n", "{v}\t{v}\t{v}\n", "-1\t{v}\t{v}\n"):
        rows = rows.format(v=canaries.new(rows))
        client = talkative.program("psql", "-X", "-c", "COPY decrypted_thing FROM STDIN", check=False, input=rows)
        assert "canary" in client or "COPY" in client
    run(connection, "TRUNCATE thing")
    assert canaries.leaked(log.read()) == []


# What logs as a server does where nothing was set; the parameters of errors stay on
QUIET = ("SET log_statement = none; SET debug_print_parse = off; SET debug_print_rewritten = off;"
         "SET debug_print_plan = off; SET auto_explain.log_min_duration = -1; SET log_duration = off;"
         "SET log_min_duration_statement = -1; SET log_statement_stats = off; SET log_min_messages = warning")


COLUMN_STATEMENTS = [
    "INSERT INTO decrypted_card (owner, note) VALUES ({v}, {v})",
    "INSERT INTO decrypted_card (owner, note) VALUES ('carol', {v}) RETURNING *",
    "INSERT INTO decrypted_card (owner, note) VALUES ('carol', {v}), (NULL, {v})",
    "INSERT INTO decrypted_card (owner, note) VALUES ('e', {v}) ON CONFLICT (owner) DO UPDATE SET note = EXCLUDED.note",
    "INSERT INTO decrypted_card (owner, note) VALUES ('e', {v}) ON CONFLICT (owner) DO UPDATE SET note = {v}",
    "INSERT INTO decrypted_card (owner, note) VALUES ('e', {v}) ON CONFLICT (owner) DO UPDATE SET note = {v} || (1 / 0)",
    "UPDATE decrypted_card SET note = {v} WHERE note <> {v}",
    "UPDATE decrypted_card SET owner = {v} WHERE note <> {v}",
    "UPDATE decrypted_card SET owner = NULL, note = {v}",
    "SELECT note::int FROM decrypted_card WHERE note <> {v}",
    "DELETE FROM decrypted_card WHERE note = {v}",
]


def test_no_plaintext_of_an_encrypted_column_is_logged(talkative, log, canaries):
    connection, parameters = talkative.connect(), wire(talkative)
    run(connection, "CREATE TABLE card (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
                    " owner text NOT NULL UNIQUE, note text)")
    rows = [canaries.new(f"row {n}") for n in range(2)]
    run(connection, "INSERT INTO card (owner, note) VALUES ('a', %s), ('b', %s)", *rows)
    log.read()  # which shows them: nothing is encrypted yet
    run(connection, "SELECT relay_guard.encrypt_column('card', 'note', '{owner}')")
    for statement_ in COLUMN_STATEMENTS:
        tried(connection, statement_.format(v=quoted(canaries.new(statement_))))
        parameters.send(*statement(statement_.format(v="$1::text"), canaries.new(("$1", statement_))), SYNC)
    run(connection, "CALL relay_guard.rekey('card', 'note')")
    assert tried(connection, "SELECT relay_guard.encrypt_column('card', 'id', '{id}')")
    run(connection, "SELECT relay_guard.encrypt_column_stop('card', 'note')")
    run(connection, "DROP TABLE card")
    assert canaries.leaked(log.read()) == []


PAST_THE_VIEW = [
    "INSERT INTO paper (id, note) VALUES (1, {v})",
    "INSERT INTO paper (id, note) VALUES (1, repeat({v}, 10)::bytea)",
    "UPDATE paper SET note = {v}",
    "SET session_replication_role = replica; INSERT INTO paper (id, note) VALUES (1, {v})",
]


def test_no_plaintext_that_was_written_past_the_view_is_logged(talkative, log, canaries):
    """At default settings: the statement is refused, and the refusal is logged with it, or with its row."""
    connection, parameters = talkative.connect(), wire(talkative)
    run(connection, "CREATE TABLE paper (id int PRIMARY KEY, note text); INSERT INTO paper VALUES (9, 'x');"
                    "SELECT relay_guard.encrypt_column('paper', 'note', '{id}')")
    for session in (lambda query: run(connection, query)), parameters.query:
        session(QUIET)
    for statement_ in PAST_THE_VIEW:
        assert tried(connection, statement_.format(v=quoted(canaries.new(statement_))))
        run(connection, "RESET session_replication_role")
    for statement_ in PAST_THE_VIEW[:3]:
        _, error = parameters.send(*statement(statement_.format(v="$1::text::bytea"),
                                              canaries.new(f"$1 of {statement_}")), SYNC)
        assert error is not None
    run(connection, "SELECT relay_guard.encrypt_column_stop('paper', 'note'); DROP TABLE paper")
    text = log.read()
    assert text.count(b"(hidden: it uses what takes secrets)") >= len(PAST_THE_VIEW)
    assert canaries.leaked(text) == []


def test_no_plaintext_is_logged_by_what_reads_it_later(talkative, log, canaries):
    """Nothing in FETCH, or in the statement of a wrapper, says what it reads."""
    connection = talkative.connect()
    run(connection, "INSERT INTO thing VALUES (1, 'one', relay_guard.encrypt(%s, 'thing'))", canaries.new("a row"))
    run(connection, "CREATE VIEW plain AS SELECT secret::int AS number FROM decrypted_thing")
    for statement_ in ("SELECT * FROM plain", "SELECT * FROM decrypted_thing WHERE secret::int > 1",
                       "SELECT pg_read_file(secret) FROM decrypted_thing",
                       "SELECT repeat(secret, 200)::tsquery FROM decrypted_thing",
                       "BEGIN; DECLARE c CURSOR FOR SELECT * FROM plain", "FETCH c"):
        error = tried(connection, statement_)
        assert error is None or "canary" in str(error)
    forced = "force_parallel_mode" if connection.server_version < 160000 else "debug_parallel_query"
    run(connection, f"ROLLBACK; SET {forced} = on")
    assert "parallel worker" in str(tried(connection, "SELECT number FROM plain"))
    run(connection, "DROP VIEW plain; TRUNCATE thing")
    assert canaries.leaked(log.read()) == []


def test_a_function_that_calls_ours_is_not_logged_once_it_did(talkative, log, canaries):
    connection = talkative.connect()
    run(connection, "SET log_statement = none; SET debug_print_parse = off; SET debug_print_rewritten = off;"
                    "SET debug_print_plan = off; SET auto_explain.log_min_duration = -1")
    run(connection, "SELECT wrapped(%s)", canaries.new("duration"))
    assert tried(connection, f"SELECT wrapped('{canaries.new('error')}')::text::int")
    assert tried(connection, f"SELECT failing('{canaries.new('error before the call')}')")
    plain = wire(talkative)
    plain.query("SET log_statement = none; SET debug_print_parse = off; SET debug_print_rewritten = off;"
                "SET debug_print_plan = off; SET auto_explain.log_min_duration = -1;"
                "SET log_min_duration_statement = -1; SET log_min_messages = warning")
    _, error = plain.send(*statement("SELECT wrapped($1)::text::int", canaries.new("parameter")), SYNC)
    assert error is not None
    assert canaries.leaked(log.read()) == []


def test_a_long_statement_is_hidden_as_a_whole(talkative, log, canaries):
    connection = talkative.connect()
    blanks = " " * (1 << 20)
    tried(connection, f"SELECT '{canaries.new('before')}',{blanks}relay_guard.encrypt('{canaries.new('behind')}', '')")
    assert canaries.leaked(log.read()) == []


def test_the_client_is_told_what_the_log_is_not(talkative):
    connection = wire(talkative)
    _, error = connection.query("SELECT 'mistyped'::uuid, relay_guard.encrypt('it', '')")
    assert str(error) == 'invalid input syntax for type uuid: "mistyped"'
    connection = talkative.connect()
    error = tried(connection, "DO $$BEGIN PERFORM relay_guard.encrypt('it', NULL); END$$")
    assert "PERFORM" in error.diag.context and "encrypt('it', NULL)" in error.diag.context
    run(connection, "SET client_min_messages = log")
    run(connection, "SELECT relay_guard.encrypt('it', '')")
    assert sum("encrypt('it', '')" in notice for notice in connection.notices) > 0
    assert not any("hidden" in notice for notice in connection.notices)


def test_the_log_still_says_what_happened(talkative, log):
    connection = talkative.connect()
    tried(connection, "SELECT 'mistyped'::uuid, relay_guard.encrypt('it', '')")
    run(connection, "SELECT relay_guard.encrypt(current_user::text, relay_guard.aad(current_user::text))")
    tried(connection, "INSERT INTO thing VALUES (1, NULL, relay_guard.encrypt('it', '')), (1, NULL, NULL)")
    tried(connection, "SELECT relay_guard.jwks_keys('{\"keys\": []}')")
    text = log.read().decode()
    assert "the key set " in text and "the key set %s" not in text
    assert ('invalid input syntax for type %s: "%s" '
            '(SQLSTATE 22P02; values hidden: the statement uses encrypt())') in text
    assert "statement: SELECT relay_guard.encrypt(current_user::text, relay_guard.aad(current_user::text))" in text
    assert 'duplicate key value violates unique constraint "thing_pkey"' in text
    assert re.search(r"duration: [0-9.]+ ms  plan:\n\(hidden: it uses encrypt\(\)\)", text)


def test_other_statements_are_logged_as_ever(talkative, log, canaries):
    """Without which the tests above would show nothing."""
    connection = wire(talkative)
    connection.query(f"SELECT '{canaries.new('simple')}'")
    connection.send(*statement("SELECT $1::text", canaries.new("parameter")), SYNC)
    connection.send(*statement("SELECT $1::int", canaries.new("error")), SYNC)
    connection.send(*statement("SELECT $1::text::bytea", canaries.new("bytes")), SYNC)
    text = log.read()
    assert canaries.leaked(text) == sorted(canaries.told.values())
    assert all(pattern.search(text) for pattern in (LEAKED[0], LEAKED[2]))


STUBS = """
    CREATE SCHEMA relay_guard;
    CREATE FUNCTION relay_guard.encrypt(text, text) RETURNS bytea LANGUAGE sql AS 'SELECT $1::bytea';
"""


@pytest.mark.parametrize("way", WAYS)
def test_every_way_leaks_where_nothing_guards(unguarded, canaries, way):
    """The same statements without relay_guard, on functions of the same names."""
    log = Log(unguarded)
    log.read()
    canary = canaries.new(way)
    call = f"relay_guard.encrypt('{canary}', '')"
    tried(unguarded.connect(), WAYS[way].format(call=call, v=quoted(canary), bare=canary))
    assert canaries.leaked(log.read()) == [way]


@pytest.fixture(scope="module")
def unguarded(make_server):
    server = make_server({**TALKATIVE, "shared_preload_libraries": "auto_explain,pg_stat_statements",
                          "relay_guard.keyring_file": ""})
    server.run("CREATE EXTENSION pg_stat_statements")
    server.run(STUBS)
    yield server
    server.stop("immediate")


def stored(server):
    return "\n".join(query for query, in server.run("SELECT query FROM pg_stat_statements")).encode()


def test_nothing_is_left_in_pg_stat_statements(talkative, calls, canaries):
    connection = talkative.connect()
    run(connection, "SELECT pg_stat_statements_reset()")
    for way, statement_ in WAYS.items():
        for call in calls:
            canary = canaries.new((way, call))
            tried(connection, statement_.format(call=call.format(v=quoted(canary)), v=quoted(canary), bare=canary))
            run(connection, "ROLLBACK")
    run(connection, "SELECT wrapped(%s)", canaries.new("a wrapper"))
    run(connection, "CALL called(relay_guard.aad(current_user::text))")
    text = stored(talkative)
    assert b"relay_guard.encrypt($1::text" in text and b"wrapped($1)" in text
    assert b"CALL called(relay_guard.aad(current_user::text))" in text
    assert canaries.leaked(text) == []


def test_pg_stat_statements_keeps_utility_statements_where_nothing_guards(unguarded, canaries):
    """Else the test above shows nothing."""
    connection = unguarded.connect()
    for way in ("DO", "COPY"):
        canary = canaries.new(way)
        run(connection, WAYS[way].format(call=f"relay_guard.encrypt('{canary}', '')"))
    assert canaries.leaked(stored(unguarded)) == ["COPY", "DO"]


WRONG = ["'{c}'", "'{c}' || '{{\"'", "repeat('{c}', 400)", "''", "NULL"]
NOT_UTF8 = "'{c}' || convert_from('\\xff', 'SQL_ASCII')"  # text in a database of that encoding only


@pytest.fixture(scope="module", params=["UTF8", "LATIN1", "SQL_ASCII"])
def database(request, talkative):
    name = request.param.lower()
    talkative.run(f"CREATE DATABASE {name} ENCODING '{request.param}' LOCALE 'C' TEMPLATE template0")
    talkative.run("CREATE EXTENSION relay_guard", database=name)
    return name


def texts_of(error):
    said = error.diag
    return "\n".join(filter(None, [said.message_primary, said.message_detail, said.message_hint, said.context]))


def test_no_refusal_quotes_a_secret(talkative, calls, canaries, database):
    connection = talkative.connect(database)
    refused = 0
    for call in calls:
        for wrong in WRONG + [NOT_UTF8] * (database == "sql_ascii"):
            error = tried(connection, f"SELECT {call.format(v=wrong.format(c=canaries.new((call, wrong))))}")
            refused += error is not None
            assert error is None or canaries.leaked(texts_of(error).encode()) == []
            assert error is None or "byte sequence" not in texts_of(error)
    assert refused > len(calls)


def test_no_value_of_another_type_is_quoted(talkative, database, canaries):
    connection = talkative.connect(database)
    for plaintext in (f"'{canaries.new('text')}'", f"'{canaries.new('bytes')}'::bytea || '\\xfffe'",
                      f"'[1, {canaries.new('JSON')}]'", f"'{canaries.new('beyond Latin')}'::bytea || '\\xe282ac'"):
        for kind in ("jsonb", "text"):
            error = tried(connection, f"SELECT relay_guard.decrypt_{kind}(relay_guard.encrypt({plaintext}, ''), '')")
            assert error is not None or kind == "text"
            assert error is None or canaries.leaked(texts_of(error).encode()) == []
            assert error is None or "what was encrypted is no" in texts_of(error)


def test_a_deadlock_shows_nobodys_values(talkative, log, canaries):
    """Its detail for the log quotes the statements of all who take part."""
    first, second = (talkative.connect(autocommit=False) for _ in range(2))
    run(first, "INSERT INTO thing VALUES (1), (2)")
    first.commit()
    for connection, row, patience in (first, 1, "10 s"), (second, 2, "20 ms"):
        run(connection, "SET LOCAL deadlock_timeout = %s", patience)
        run(connection, "UPDATE thing SET secret = NULL WHERE id = %s", row)
    crossed = f"UPDATE thing SET secret = relay_guard.encrypt('{canaries.new('first')}', '') WHERE id = 2"
    with concurrent.futures.ThreadPoolExecutor() as pool:
        waiting = pool.submit(tried, first, crossed)
        wait_for(lambda: talkative.value("SELECT count(*) FROM pg_locks WHERE NOT granted") > 0)
        error = tried(second, "UPDATE thing SET secret = NULL WHERE id = 1")
        second.rollback()
        assert waiting.result() is None
    assert error.diag.message_primary == "deadlock detected"
    first.rollback()
    talkative.run("TRUNCATE thing")
    text = log.read()
    assert b"deadlock detected" in text and canaries.leaked(text) == []


def test_a_crash_shows_no_values(make_server, canaries):
    """The postmaster quotes what the process was running, as far as pg_stat_activity had room."""
    server = make_server({"log_min_messages": "warning"})
    server.run("CREATE EXTENSION relay_guard")
    statements = [f"SELECT relay_guard.encrypt('{canaries.new('short')}', ''), pg_sleep(60)",
                  f"SELECT '{canaries.new('before')}', {' ' * 2000} relay_guard.aad('x'), pg_sleep(60)",
                  f"SELECT '{canaries.new('no secret')}', pg_sleep(60)"]
    for killed, statement_ in enumerate(statements, 1):
        connection = server.connect()
        with concurrent.futures.ThreadPoolExecutor() as pool:
            dying = pool.submit(tried, connection, statement_)
            asleep = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
            wait_for(lambda: server.value(asleep) > 0)
            os.kill(connection.get_backend_pid(), signal.SIGKILL)
            assert dying.result() is not None
        wait_for(lambda: server.log().count("database system is ready") > killed)
    server.stop()
    assert server.log().count("was terminated by signal 9") == 3
    assert canaries.leaked(server.log().encode()) == ["no secret"]


def test_pgsodium_42_secrets_in_logs(make_server, canaries):
    """A failing statement is logged with its literals at default settings, and each at log_statement = all."""
    server = make_server({"log_statement": "all"})
    server.run("CREATE EXTENSION relay_guard")
    connection = server.connect()
    run(connection, "SELECT relay_guard.encrypt(%s, relay_guard.aad(%s))",
        canaries.new("plaintext"), canaries.new("AAD"))
    assert tried(connection, f"SELECT relay_guard.decrypt_text('\\x00', '{canaries.new('AAD of an error')}')")
    assert tried(connection, f"SELECT relay_guard.jwt_key_add('nobody', 'kid', '{canaries.new('key') * 4}')")
    run(connection, f"SELECT '{canaries.new('no secret')}'")
    server.stop()
    assert canaries.leaked(server.log().encode()) == ["no secret"]


def test_without_preload_a_session_is_guarded_from_its_first_call_on(make_server, canaries):
    server = make_server({"shared_preload_libraries": "", "log_statement": "all", "log_min_duration_statement": 0})
    server.run("CREATE EXTENSION relay_guard")
    connection = server.connect()
    run(connection, "SELECT relay_guard.encrypt(%s, '')", canaries.new("the first statement"))
    run(connection, "SELECT relay_guard.encrypt(%s, '')", canaries.new("the second"))
    assert tried(server.connect(), f"SELECT relay_guard.decrypt_text('\\x00', '{canaries.new('an error')}')")
    server.stop()
    text = server.log().encode()
    assert canaries.leaked(text) == ["an error", "the first statement"]
    durations = b"\n".join(line for line in text.splitlines() if b"duration:" in line or b"STATEMENT:" in line)
    assert canaries.leaked(durations) == []
