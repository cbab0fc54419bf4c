"""CALL rekey() of a table whose owner need not be trusted: whose rights, whose settings."""
import psycopg2
import pytest
from servers import run, sqlstate, wait_for
from rekeying import calling, drop, encrypt_column, keys, owners_table, rotate, table  # noqa: F401


def recorder(name, body=""):
    return f"""
        CREATE FUNCTION s.{name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            {body}
            INSERT INTO s.ran VALUES ('{name}', current_user, current_setting('search_path'));
            RETURN new; END $$;"""


def test_what_the_owner_attached_to_the_table_runs_as_the_owner(server, owners_table):
    """A superuser's CALL: also index expressions, CHECKs, and triggers deferred to COMMIT."""
    server.run("SET ROLE owner;" + recorder("before") + recorder("after") + recorder("deferred") + """
        CREATE TRIGGER before BEFORE UPDATE ON s.t FOR EACH ROW EXECUTE FUNCTION s.before();
        CREATE TRIGGER after AFTER UPDATE ON s.t FOR EACH STATEMENT EXECUTE FUNCTION s.after();
        CREATE CONSTRAINT TRIGGER deferred AFTER UPDATE ON s.t DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION s.deferred();
        CREATE FUNCTION s.write(what text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN
            INSERT INTO s.ran VALUES (what, current_user, current_setting('search_path')); END $$;
        CREATE FUNCTION s.note(what text, id bigint) RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN
            PERFORM s.write(what); RETURN id; END $$;
        CREATE INDEX ON s.t (s.note('index', length(c) + id));
        ALTER TABLE s.t ADD CHECK (s.note('check', id) > 0);
        TRUNCATE s.ran""")
    new = rotate(server)
    server.run("CALL relay_guard.rekey('s.t', 'c')")
    ran = set(server.run("SELECT * FROM s.ran"))
    assert {what for what, _, _ in ran} == {"before", "after", "deferred", "index", "check"}
    assert {(who, path) for _, who, path in ran} == {("owner", "pg_catalog, pg_temp")}
    assert keys(server, "s.t") == [(new, 100)]


@pytest.mark.parametrize("attack, state", [
    ("SET ROLE postgres;", "42501"),
    ("SET SESSION AUTHORIZATION postgres;", "42501"),
    ("SET CONSTRAINTS ALL DEFERRED; INSERT INTO s.trap VALUES (1);", "42501"),
    ("CREATE TEMP TABLE pg_class ();", "42501"),
    ("COMMIT;", "2D000"),
    ("CALL relay_guard.rekey('s.t', 'c');", "25001"),
])
def test_owner_cannot_become_the_caller(server, owners_table, attack, state):
    server.run("SET ROLE owner; CREATE TABLE s.trap (id int);" + recorder("attack", attack) + recorder("sprung") + """
        CREATE CONSTRAINT TRIGGER sprung AFTER INSERT ON s.trap DEFERRABLE INITIALLY IMMEDIATE
        FOR EACH ROW EXECUTE FUNCTION s.sprung();
        CREATE TRIGGER attack BEFORE UPDATE ON s.t FOR EACH ROW EXECUTE FUNCTION s.attack()""")
    rotate(server)
    connection = server.connect()
    assert sqlstate(connection, "CALL relay_guard.rekey('s.t', 'c')") == state
    assert server.run("SELECT * FROM s.ran WHERE who = 'postgres'") == []
    assert run(connection, "SELECT current_user") == [("postgres",)]
    connection.close()


def test_operators_beside_those_of_the_key_do_not_run_as_the_owner(server, owners_table):
    """Of types that fit better than those for which the index's operators were made."""
    server.run("""
        DROP EXTENSION IF EXISTS citext; CREATE SCHEMA ext; CREATE EXTENSION citext SCHEMA ext; GRANT ALL ON SCHEMA ext TO other, owner;
        SET ROLE owner; GRANT INSERT ON s.ran TO other; SET search_path = ext;
        CREATE DOMAIN s.mail AS citext;
        CREATE TABLE s.u (k citext, v varchar(20), m s.mail, id int, c text, PRIMARY KEY (k, v, m, id));
        INSERT INTO s.u SELECT i, i, i, i, 'value ' || i FROM generate_series(1, 10) i""")
    encrypt_column(server, "s.u", ["id"], "l.s.u")
    for left, right in (("varchar", "varchar"), ("s.mail", "s.mail"), ("s.mail", "ext.citext")):
        for operator in ("=", ">"):
            server.run(f"""SET ROLE other; SET search_path = ext;
                CREATE OR REPLACE FUNCTION ext.trap(a {left}, b {right}) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
                    INSERT INTO s.ran VALUES ('trap', current_user); RETURN true; END $$;
                CREATE OPERATOR ext.{operator} (LEFTARG = {left}, RIGHTARG = {right}, FUNCTION = ext.trap)""")
    new = rotate(server)
    server.run("CALL relay_guard.rekey('s.u', 'c', 3)")
    assert server.run("SELECT * FROM s.ran") == []
    assert keys(server, "s.u") == [(new, 10)]
    drop(server, "SCHEMA ext CASCADE")


def test_children_by_inheritance_are_not_passed_by_in_silence(server, table):
    server.run("CREATE TABLE child () INHERITS (t)")
    with pytest.raises(psycopg2.errors.FeatureNotSupported, match="children by inheritance"):
        server.run("CALL relay_guard.rekey('t', 'c')")
    server.run("DROP TABLE child")
    server.run("CALL relay_guard.rekey('t', 'c')")


def test_settings_of_the_owners_triggers_end_with_the_batch(server, owners_table):
    server.run("SET ROLE owner;" + recorder("sets", "SET search_path = s; SET enable_indexscan = off; SET my.own = 'x';") + """
        CREATE TRIGGER sets BEFORE UPDATE ON s.t FOR EACH ROW EXECUTE FUNCTION s.sets()""")
    rotate(server)
    connection = server.connect()
    run(connection, "CALL relay_guard.rekey('s.t', 'c')")
    assert run(connection, "SELECT current_setting('search_path'), current_setting('enable_indexscan'),"
                           "coalesce(current_setting('my.own', true), '')") == [('"$user", public', "on", "")]
    assert server.value("SELECT count(*) FROM s.ran") == 100
    connection.close()


def test_only_the_owner_may(server, owners_table):
    new = rotate(server)
    with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="must be owner of table t"):
        server.run("CALL relay_guard.rekey('s.t', 'c')", user="other")
    server.run("CALL relay_guard.rekey('s.t', 'c')", user="owner")
    assert keys(server, "s.t") == [(new, 100)]
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        server.run("UPDATE relay_guard.rekey_state SET seen_rows = NULL", user="owner")


def test_table_that_changes_hands_meanwhile_is_left(server, owners_table):
    rotate(server)
    server.run("""SET ROLE owner; CREATE FUNCTION s.slow() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN PERFORM pg_sleep(0.01); RETURN new; END $$;
        CREATE TRIGGER slow BEFORE UPDATE ON s.t FOR EACH ROW EXECUTE FUNCTION s.slow()""")
    with calling(server, "CALL relay_guard.rekey('s.t', 'c', 5)", user="owner") as call:
        wait_for(lambda: len(keys(server, "s.t")) == 2)
        server.run("ALTER TABLE s.t OWNER TO postgres")
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            call.result(10)


def test_protected_table(server, owners_table):
    """FORCE ROW LEVEL SECURITY hides every row from the owner, who has no identity."""
    server.run("""
        SET ROLE owner; ALTER TABLE s.t ADD user_id text DEFAULT 'alice';
        SELECT relay_guard.protect('s.t')""")
    new = rotate(server)
    assert server.value("SELECT count(*) FROM s.t", user="owner") == 0
    connection = server.connect(user="owner")
    run(connection, "SET row_security = off")
    run(connection, "CALL relay_guard.rekey('s.t', 'c')")
    assert keys(server, "s.t") == [(new, 100)]
    connection.close()


def test_triggers_run_under_policies_whatever_the_caller_set(server, owners_table):
    server.run("""
        CREATE TABLE s.others (id int); ALTER TABLE s.others OWNER TO other;
        ALTER TABLE s.others ENABLE ROW LEVEL SECURITY; GRANT SELECT ON s.others TO owner;
        SET ROLE owner;""" + recorder("reads", "PERFORM FROM s.others;") + """
        CREATE TRIGGER reads BEFORE UPDATE ON s.t FOR EACH ROW EXECUTE FUNCTION s.reads()""")
    new = rotate(server)
    connection = server.connect()
    run(connection, "SET row_security = off")
    run(connection, "CALL relay_guard.rekey('s.t', 'c')")
    assert keys(server, "s.t") == [(new, 100)]
    connection.close()
