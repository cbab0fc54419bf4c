"""What a row's MAC took in is what PostgreSQL prints of the stored jsonb, whatever the values are."""
import pytest

COLUMNS = """id bigint PRIMARY KEY, t text, v varchar(30), c char(7), flag boolean, s smallint, i integer, b bigint,
    n numeric, n2 numeric(20, 6), f4 real, f8 double precision, m money, d date, ti time, tz timetz, ts timestamp,
    tstz timestamptz, iv interval, j json, jb jsonb, u uuid, ip inet, net cidr, bytes bytea, ints integer[], texts text[],
    o oid, na name, r int4range, p point, bits varbit, "a ""name\\ é" integer, "A" integer,
    {}""".format(", ".join(f"c{n} integer" for n in range(30, 42)))

# By column, as literals
VALUES = {
    "t": [None, "", "tab\t nl\n cr\r quote\" \\ \x01\x1f\x7f \b\f end é 中 😀", 'x"' * 70000, "\x02" * 9, "12345678", "1234567"],
    "n": ["NaN", "Infinity", "-Infinity", "0", "0.0", "-0.000", "1e-40", "1.10000", "123456789012345678901234567890.1234567890",
          "1e100", "-5", "10000", "99990000", "0.0001"],
    "n2": ["NaN", "12.5"],
    "f4": ["NaN", "Infinity", "-Infinity", "-0", "1e-30", "1.5", "0.1"],
    "f8": ["NaN", "Infinity", "-Infinity", "-0", "1e-300", "1.5", "1e20", "0.1"],
    "b": ["9223372036854775807", "-9223372036854775808", "0", "10000", "99999999"],
    "i": ["2147483647", "-2147483648", "0"], "s": ["32767", "-32768"], "flag": ["true", "false"],
    "jb": ["{}", "[]", "1", "1e3", '"s"', "null", "true", '{"a":[1,2,{"b":null}],"zz":1.50,"":[]}', "[[],{},[{}]]",
           '"\\u0001\\"\\\\é"', '[1,"x",null,false]'],
    "j": ["{}", '[1.0, {"b": "a"}]', '"x"'],
    "c": ["ab", ""], "v": [""], "m": ["12.5"], "d": ["infinity", "0044-03-15 BC"], "ti": ["24:00"], "tz": ["00:00-12"],
    "ts": ["-infinity", "2026-03-01 12:00:00.123456"], "tstz": ["infinity", "2026-03-01 12:00:00+05"], "iv": ["1 day -1 s"],
    "u": ["0199c0de-0000-7000-8000-00000000abcd"], "ip": ["10.0.0.1/8", "::1"], "net": ["::/0"], "bytes": ["\\x00ff", ""],
    "ints": ["{1,NULL,3}", "{}", "{{1},{2}}"], "texts": ['{"a",NULL,"q\\"x"}'], "o": ["7"], "na": ['na"me', ""],
    "r": ["[1,5)", "empty"], "p": ["(NaN,0)"], "bits": ["1010", ""],
}
WIDE = ", ".join(f"c{n} = {n}" for n in range(30, 42))
SETTINGS = """SET TimeZone = 'Asia/Kolkata'; SET DateStyle = 'German'; SET IntervalStyle = 'sql_standard';
    SET extra_float_digits = -5; SET bytea_output = 'escape'; SET lc_monetary = 'C'"""


@pytest.fixture(scope="module")
def changed(server):
    """A database whose log has every value, inserted, updated to and from, and deleted."""
    connection = server.connect()
    with connection.cursor() as cursor:
        cursor.execute("CREATE EXTENSION IF NOT EXISTS relay_guard; SELECT relay_guard.audit_maintain()")
        cursor.execute(f"CREATE TABLE value ({COLUMNS})")
        cursor.execute("SELECT relay_guard.audit('value', key => '{id,t}')")
        pairs = [(column, literal) for column, literals in VALUES.items() for literal in literals]
        for row, (column, literal) in enumerate(pairs):
            cursor.execute(f"INSERT INTO value (id, {column}) VALUES (%s, %s)", (row, literal))
        cursor.execute(SETTINGS)
        cursor.execute(f'UPDATE value SET "A" = id, "a ""name\\ é" = -1, {WIDE}')
        for column in VALUES:
            cursor.execute(f"UPDATE value SET {column} = NULL WHERE {column} IS NOT NULL")
        cursor.execute("DELETE FROM value")
    yield connection
    connection.close()


def rows(connection, statement):
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall()


def test_the_log_verifies_whatever_the_values_are(changed):
    rows(changed, "SELECT relay_guard.audit_seal()")
    assert rows(changed, "SELECT count(*) > 200 FROM relay_guard.audit_log") == [(True,)]
    assert rows(changed, "SELECT * FROM relay_guard.audit_verify()") == []


@pytest.mark.parametrize("column", ["old", "new"])
def test_stored_jsonb_has_the_bytes_that_postgresql_would_store(changed, column):
    different = f"""SELECT id, {column} FROM relay_guard.audit_log
        WHERE NOT (ROW({column})::record *= ROW({column}::text::jsonb)::record)"""
    assert rows(changed, different) == []
