"""What DDL cannot do to audited tables, where pg_regress does not reach: restores, other
settings of the server, the extension dropped whole and in part.  test/sql/audit_guard.sql
goes through the commands."""
import threading

import psycopg2
import pytest

from servers import run, sqlstate, wait_for

REFUSED = "42501"
OURS = "SELECT tgrelid::regclass::text, tgname, tgenabled FROM pg_trigger WHERE tgname LIKE 'relay_guard_audit%' ORDER BY 1, 2"
TABLES = "SELECT relation::regclass::text, part, complete FROM relay_guard.read_audited_tables() ORDER BY 1"
ROWS = """SELECT action, resource_type, resource_id, old->>'amount', new->>'amount' FROM relay_guard.audit_log
          WHERE source = 'trigger' ORDER BY id"""

SHOP = """CREATE TABLE shop.account (id int PRIMARY KEY, amount int);
    CREATE TABLE shop.entry (id int, amount int, PRIMARY KEY (id)) PARTITION BY RANGE (id);
    CREATE TABLE shop.entry_1 PARTITION OF shop.entry FOR VALUES FROM (0) TO (100);
    CREATE TABLE shop.entry_2 PARTITION OF shop.entry FOR VALUES FROM (100) TO (200) PARTITION BY RANGE (id);
    CREATE TABLE shop.entry_21 PARTITION OF shop.entry_2 FOR VALUES FROM (100) TO (200);
    CREATE TABLE shop.base (id int PRIMARY KEY, amount int); CREATE TABLE shop.kid () INHERITS (shop.base)"""


@pytest.fixture(scope="module")
def template_shop(server):
    """A database of an application that logs in as the role that owns its tables."""
    server.run("CREATE ROLE app LOGIN")
    server.run("CREATE DATABASE shop")
    server.run("CREATE EXTENSION relay_guard; CREATE SCHEMA shop AUTHORIZATION app", database="shop")
    server.run(SHOP, database="shop", user="app")
    for table in "account", "entry", "base":
        server.run(f"SELECT relay_guard.audit('shop.{table}')", database="shop")


@pytest.fixture
def shop(server, template_shop):
    """The name of a copy of it."""
    name = "copy"
    server.run(f"CREATE DATABASE {name} TEMPLATE shop")
    yield name
    server.run(f"DROP DATABASE {name} WITH (FORCE)")


def test_pain_app_role_owns_the_table_and_disables_the_trigger(server, shop):
    app = server.connect(shop, "app")
    run(app, "INSERT INTO shop.account VALUES (1, 10)")
    for way in ("ALTER TABLE shop.account DISABLE TRIGGER ALL",
                "ALTER TABLE shop.account DISABLE TRIGGER USER",
                "ALTER TABLE shop.account DISABLE TRIGGER relay_guard_audit_update",
                "DROP TRIGGER relay_guard_audit_update ON shop.account",
                "ALTER TRIGGER relay_guard_audit_update ON shop.account RENAME TO harmless",
                "ALTER TABLE shop.account ALTER amount TYPE bigint USING amount * 1000",
                "SET session_replication_role = replica",
                "SELECT relay_guard.audit_stop('shop.account')",
                "ALTER TABLE shop.entry DETACH PARTITION shop.entry_1",
                "DROP TABLE shop.account",
                "DROP OWNED BY app"):
        assert sqlstate(app, way) == REFUSED, way
    # several commands, a function, a transaction of its own: the same
    assert sqlstate(app, "DO $$ BEGIN ALTER TABLE shop.account DISABLE TRIGGER ALL; END $$") == REFUSED
    assert sqlstate(app, "BEGIN; ALTER TABLE shop.account DISABLE TRIGGER ALL; COMMIT") == REFUSED
    run(app, "ROLLBACK")
    run(app, "UPDATE shop.account SET amount = 11")
    assert server.run(ROWS, database=shop) == [("INSERT", "account", "1", None, "10"), ("UPDATE", "account", "1", "10", "11")]
    app.close()


def test_detach_concurrently_is_refused_before_its_first_half(server, shop):
    app = server.connect(shop, "app")
    run(app, "SET search_path = shop")
    for half in "CONCURRENTLY", "FINALIZE":
        assert sqlstate(app, f"ALTER TABLE entry DETACH PARTITION entry_1 {half}") is not None
    assert server.run("SELECT inhrelid::regclass::text, inhdetachpending FROM pg_inherits WHERE inhparent = 'shop.entry'::regclass",
                      database=shop) == [("shop.entry_1", False), ("shop.entry_2", False)]
    # those of others pass
    run(app, """CREATE TABLE plain (id int) PARTITION BY RANGE (id);
                CREATE TABLE plain_1 PARTITION OF plain FOR VALUES FROM (0) TO (1)""")
    run(app, "ALTER TABLE plain DETACH PARTITION plain_1 CONCURRENTLY")
    app.close()
    # a superuser's, too; the part stays audited
    root = server.connect(shop)
    run(root, "ALTER TABLE shop.entry DETACH PARTITION shop.entry_1 CONCURRENTLY")
    assert ("shop.entry_1", False, True) in run(root, TABLES)
    root.close()


def test_partition_that_is_made_while_audit_waits_is_audited(server):
    """Whoever comes first: CREATE TABLE sees the audit, or audit() sees the new table."""
    server.run("CREATE DATABASE meeting")
    server.run("""CREATE EXTENSION relay_guard; CREATE TABLE base (id int PRIMARY KEY);
                  CREATE TABLE parted (id int PRIMARY KEY) PARTITION BY RANGE (id)""", database="meeting")
    maker, auditor = server.connect("meeting", autocommit=False), server.connect("meeting", autocommit=False)
    run(maker, "CREATE TABLE kid () INHERITS (base); CREATE TABLE part_1 PARTITION OF parted FOR VALUES FROM (0) TO (1)")
    waiting = threading.Thread(target=run, args=(auditor, "SELECT relay_guard.audit('base'), relay_guard.audit('parted')"))
    waiting.start()
    wait_for(lambda: server.value("SELECT count(*) FROM pg_locks WHERE NOT granted") > 0)
    maker.commit()
    waiting.join()
    # and now the other way round
    waiting = threading.Thread(target=run, args=(
        maker, "CREATE TABLE kid_2 () INHERITS (base); CREATE TABLE part_2 PARTITION OF parted FOR VALUES FROM (1) TO (2)"))
    waiting.start()
    wait_for(lambda: server.value("SELECT count(*) FROM pg_locks WHERE NOT granted") > 0)
    auditor.commit()
    waiting.join()
    maker.commit()
    assert server.run(TABLES, database="meeting") == [
        ("base", False, True), ("kid", True, True), ("kid_2", True, True),
        ("part_1", True, True), ("part_2", True, True), ("parted", False, True)]
    maker.close()
    auditor.close()


@pytest.fixture(scope="module")
def shop_dump(server, template_shop, home):
    server.run("CREATE DATABASE dumped TEMPLATE shop")
    server.run("INSERT INTO shop.account VALUES (1, 10); INSERT INTO shop.entry VALUES (1, 1), (101, 1); INSERT INTO shop.kid VALUES (7, 7)",
               database="dumped", user="app")
    path = home / "shop.dump"
    server.program("pg_dump", "-Fc", "-f", path, database="dumped")
    return path


@pytest.mark.parametrize("jobs", [1, 3])
def test_dump_restores_triggers_partitions_and_log(server, shop_dump, jobs):
    database = f"restored_{jobs}"
    server.run(f"CREATE DATABASE {database}")
    server.program("pg_restore", "-d", database, "--exit-on-error", "-j", str(jobs), shop_dump)
    for query in OURS, TABLES, ROWS, "SELECT * FROM relay_guard.audit_partitions()":
        assert server.run(query, database=database) == server.run(query, database="dumped")
    assert server.value("SELECT relay_guard.audit_maintain()", database=database) == 0
    assert server.run("SELECT code FROM relay_guard.lint() WHERE code LIKE 'audit%'", database=database) == []
    server.run("UPDATE shop.entry SET amount = 2 WHERE id = 101", database=database)
    assert server.run(ROWS, database=database)[-1] == ("UPDATE", "entry", "101", "1", "2")
    assert sqlstate(server.connect(database), "DELETE FROM relay_guard.audit_log") == REFUSED


def test_restore_by_an_owner_who_is_no_superuser(server, shop_dump, home):
    """The extension is there before, and with it the guards: each command of the dump only adds."""
    server.run("CREATE DATABASE mine OWNER app")
    server.run("CREATE EXTENSION relay_guard; SELECT relay_guard.grant_role('admin', 'app')", database="mine")
    server.run("SELECT relay_guard.audit_maintain(); CREATE SCHEMA shop AUTHORIZATION app", database="mine")
    server.program("pg_restore", "-d", "mine", "--exit-on-error", "--no-owner", "--no-acl", "-n", "shop", "-U", "app", shop_dump)
    assert server.run(TABLES, database="mine") == server.run(TABLES, database="dumped")
    assert server.run(OURS, database="mine") == server.run(OURS, database="dumped")
    server.run("UPDATE shop.entry SET amount = 2", database="mine", user="app")
    assert [row[:3] for row in server.run(ROWS, database="mine")] == [("UPDATE", "entry", "1"), ("UPDATE", "entry", "101")]
    # data into tables that are audited already: recorded like any other change
    server.run("TRUNCATE shop.entry", database="mine", user="app")
    server.program("pg_restore", "-d", "mine", "--exit-on-error", "--data-only", "-n", "shop", "-t", "entry_1", "-U", "app", shop_dump)
    assert server.run(ROWS, database="mine")[-1] == ("INSERT", "entry", "1", None, "1")


def test_drop_extension_leaves_tables_usable(server, shop):
    root = server.connect(shop)
    assert sqlstate(root, "DROP EXTENSION relay_guard") == "2BP01"
    assert len(run(root, TABLES)) == 7
    run(root, "DROP EXTENSION relay_guard CASCADE")
    app = server.connect(shop, "app")
    run(app, """INSERT INTO shop.account VALUES (1, 1); INSERT INTO shop.entry VALUES (1, 1), (101, 1);
                ALTER TABLE shop.account ALTER amount TYPE bigint; ALTER TABLE shop.entry DETACH PARTITION shop.entry_1;
                TRUNCATE shop.entry; DROP TABLE shop.entry_1""")
    assert run(root, "SELECT count(*) FROM pg_event_trigger") == [(0,)]
    assert run(root, "SELECT count(*) FROM pg_class WHERE relname LIKE 'audit%'") == [(0,)]
    run(root, "CREATE EXTENSION relay_guard; SELECT relay_guard.audit('shop.account')")
    run(app, "UPDATE shop.account SET amount = 2")
    assert run(root, ROWS) == [("UPDATE", "account", "1", "1", "2")]
    app.close()
    root.close()


@pytest.mark.parametrize("lost", ["SCHEMA relay_guard", "FUNCTION relay_guard.audit_change()", "TABLE relay_guard.audit_log",
                                  "FUNCTION relay_guard.audit_guard_drop()", "EXTENSION relay_guard"])
def test_ddl_works_where_parts_of_the_extension_are_gone(server, shop, lost):
    """Event triggers fire for everybody's commands: what they look for may not be there."""
    if lost.startswith("EXTENSION"):    # the event triggers and their functions stay, and nothing else
        members = [row[0] for row in server.run("SELECT pg_describe_object(classid, objid, 0) FROM pg_depend WHERE deptype = 'e' "
                   "AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'relay_guard')", database=shop)]
        for member in members:
            if "audit_guard_" in member or "event trigger" in member:
                server.run(f"ALTER EXTENSION relay_guard DROP {member}", database=shop)
        server.run("DROP EXTENSION relay_guard CASCADE", database=shop)
        assert server.value("SELECT count(*) FROM pg_event_trigger", database=shop) == 4
    else:
        server.run(f"ALTER {lost} RENAME TO gone", database=shop)
    app = server.connect(shop, "app")
    run(app, """CREATE TABLE shop.new (id int PRIMARY KEY, v int) PARTITION BY RANGE (id);
        CREATE TABLE shop.new_1 PARTITION OF shop.new FOR VALUES FROM (0) TO (10);
        ALTER TABLE shop.new ALTER v TYPE bigint; ALTER TABLE shop.new RENAME v TO w; ALTER TABLE shop.new DROP w;
        ALTER TABLE shop.new DETACH PARTITION shop.new_1; ALTER TABLE shop.new_1 SET UNLOGGED;
        CREATE FUNCTION shop.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
        CREATE TRIGGER t AFTER INSERT ON shop.new_1 EXECUTE FUNCTION shop.f();
        ALTER TABLE shop.new_1 DISABLE TRIGGER t; ALTER TABLE shop.new_1 ENABLE TRIGGER ALL;
        ALTER TRIGGER t ON shop.new_1 RENAME TO s; DROP TRIGGER s ON shop.new_1;
        CREATE RULE r AS ON INSERT TO shop.new_1 DO ALSO NOTHING; DROP TABLE shop.new, shop.new_1""")
    run(app, "CREATE TABLE shop.alone (id int) PARTITION BY RANGE (id); CREATE TABLE shop.part PARTITION OF shop.alone FOR VALUES FROM (0) TO (1)")
    run(app, "ALTER TABLE shop.alone DETACH PARTITION shop.part CONCURRENTLY")
    if "log" not in lost and "drop" not in lost:    # nothing is audited
        run(app, """CREATE TRIGGER relay_guard_audit_odd AFTER INSERT ON shop.alone EXECUTE FUNCTION shop.f();
                    ALTER TABLE shop.account ALTER amount TYPE bigint; DROP TABLE shop.entry""")
    app.close()


def test_guards_stand_without_preloading(make_server):
    server = make_server({"shared_preload_libraries": ""})
    server.run("CREATE ROLE app LOGIN; CREATE SCHEMA shop AUTHORIZATION app; CREATE EXTENSION relay_guard")
    server.run(SHOP, user="app")
    server.run("SELECT relay_guard.audit('shop.account'), relay_guard.audit('shop.entry')")
    app = server.connect(user="app")
    assert sqlstate(app, "ALTER TABLE shop.account DISABLE TRIGGER ALL") == REFUSED
    run(app, "CREATE TABLE shop.entry_3 PARTITION OF shop.entry FOR VALUES FROM (200) TO (300)")
    assert ("shop.entry_3", True, True) in server.run(TABLES)
    app.close()
    server.stop("immediate")


def test_temporary_tables_and_unaudited_ones_are_left_alone(server):
    """Nothing but a name is looked at where nothing is audited."""
    server.run("CREATE DATABASE quiet")
    server.run("CREATE EXTENSION relay_guard; CREATE SCHEMA shop AUTHORIZATION app", database="quiet")
    app = server.connect("quiet", "app")
    run(app, """CREATE TEMPORARY TABLE passing (id int PRIMARY KEY, v int) ON COMMIT DELETE ROWS;
        ALTER TABLE passing ALTER v TYPE bigint USING v * 2; ALTER TABLE passing DISABLE TRIGGER USER;
        CREATE TEMPORARY TABLE more () INHERITS (passing); ALTER TABLE more NO INHERIT passing;
        CREATE RULE r AS ON DELETE TO passing DO INSTEAD NOTHING; DROP TABLE more, passing;
        CREATE TABLE shop.a (id int); CREATE TABLE shop.b () INHERITS (shop.a); CREATE UNLOGGED TABLE shop.c AS SELECT 1 AS x;
        CREATE VIEW shop.v AS SELECT * FROM shop.a; CREATE MATERIALIZED VIEW shop.m AS SELECT * FROM shop.a;
        CREATE INDEX ON shop.a (id); CLUSTER shop.a USING a_id_idx; DROP SCHEMA shop CASCADE""")
    app.close()


def test_superuser_that_owns_nothing_may_audit_and_stop(server, shop):
    server.run("CREATE ROLE governor SUPERUSER LOGIN")
    server.run("SELECT relay_guard.audit('shop.account', omit => '{amount}'), relay_guard.audit_stop('shop.base')",
               database=shop, user="governor")
    assert server.run("SELECT relation::text, omit FROM relay_guard.audited_table ORDER BY 1", database=shop) == [
        ("shop.account", ["amount"]), ("shop.entry", [])]
    assert server.run("""SELECT action, resource_id, session_role FROM relay_guard.audit_log
                         WHERE session_role = 'governor' ORDER BY id""", database=shop) == [
        ("audit.start", "shop.account", "governor"), ("audit.stop", "shop.base", "governor")]


def test_nothing_of_the_users_runs_with_other_rights(server):
    """Triggers, policies, index expressions and event triggers of a table are not evaluated when it is audited."""
    server.run("CREATE DATABASE trap")
    server.run("CREATE EXTENSION relay_guard; CREATE SCHEMA shop AUTHORIZATION app; SELECT relay_guard.grant_role('admin', 'app')",
               database="trap")
    app = server.connect("trap", "app")
    run(app, """CREATE TABLE shop.seen (who name);
        CREATE FUNCTION shop.trap(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
            $$ BEGIN INSERT INTO shop.seen VALUES (current_user); RETURN $1; EXCEPTION WHEN others THEN RETURN $1; END $$;
        CREATE TABLE shop.bait (id int PRIMARY KEY, amount int CHECK (shop.trap(amount) > 0), other int DEFAULT shop.trap(1))
            PARTITION BY RANGE (id);
        CREATE INDEX ON shop.bait (shop.trap(amount)); CREATE POLICY p ON shop.bait USING (shop.trap(1) = 1);
        ALTER TABLE shop.bait ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
        CREATE TABLE shop.bait_1 PARTITION OF shop.bait FOR VALUES FROM (0) TO (10);
        DELETE FROM shop.seen""")
    run(app, """CREATE FUNCTION pg_temp.format(text, text) RETURNS text LANGUAGE sql AS $$ SELECT 'DROP TABLE x' $$;
        CREATE TEMPORARY TABLE pg_class (oid oid, relname name); CREATE TEMPORARY TABLE pg_inherits (inhrelid oid);
        SET search_path = pg_temp, shop, pg_catalog""")
    run(app, """SELECT relay_guard.audit('shop.bait'), relay_guard.audit_maintain();
                CREATE TABLE shop.bait_2 PARTITION OF shop.bait FOR VALUES FROM (10) TO (20)""")
    assert run(app, "SELECT DISTINCT who FROM shop.seen WHERE who <> 'app'") == []
    assert server.run("SELECT complete, count(*) FROM relay_guard.read_audited_tables() GROUP BY 1", database="trap") == [(True, 3)]
    app.close()


def test_audit_needs_a_key_ring_and_leaves_nothing_without(make_server):
    server = make_server({"relay_guard.keyring_file": ""})
    server.run("CREATE EXTENSION relay_guard; CREATE TABLE t (id int PRIMARY KEY)")
    with pytest.raises(psycopg2.Error) as error:
        server.run("SELECT relay_guard.audit('t')")
    assert error.value.pgcode == "RG503"
    assert server.run(TABLES) == []
    server.stop("immediate")
