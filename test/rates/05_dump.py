#!/usr/bin/python3
"""Policies go through pg_dump; the installation's key does not."""
import subprocess

from rates import *

own_server()
connection = connect()
query(connection, "CREATE EXTENSION relay_guard")
query(connection, """INSERT INTO relay_guard.rate_policy (name, identify_by, quota, "window") VALUES
    ('kept', 'user', 5, '1 min'), ('gone', 'user', 5, '1 min');
    DELETE FROM relay_guard.rate_policy WHERE name = 'gone';
    UPDATE relay_guard.rate_policy SET quota = 99 WHERE name = 'api';
    INSERT INTO relay_guard.rate_override (policy, kind, value, quota, "window") VALUES
        ('ip', 'key', '2001:db8::1', 500, '1 min'), ('kept', 'role', 'pro', 50, '1 min'), ('user', 'key', 'u', 5, '1 s');
    UPDATE relay_guard.rate_policy SET name = 'by_address' WHERE name = 'ip'""")
OVERRIDES = 'SELECT policy, kind, value, quota, "window" FROM relay_guard.rate_override ORDER BY 1, 2, 3'
overrides = query(connection, OVERRIDES)
POLICIES = "SELECT id, name, quota, shipped FROM relay_guard.rate_policy ORDER BY id"
KEY = "SELECT hash_key FROM relay_guard.installation"
before = query(connection, POLICIES)
query(connection, "CREATE DATABASE restored")
dump = subprocess.check_output(["pg_dump", "postgres"], text=True)
ok(value(connection, KEY) not in dump, "the key is not dumped")
subprocess.run(["psql", "-qX", "-v", "ON_ERROR_STOP=1", "-d", "restored"], input=dump, text=True, check=True, stdout=subprocess.DEVNULL)
restored = connect("restored")
same(query(restored, POLICIES), before, "policies come back, changed shipped ones in place of those that ship")
same(query(restored, OVERRIDES), overrides, "and their overrides with them")
ok(value(restored, KEY) != value(connection, KEY), "each installation has a key of its own")
query(restored, "INSERT INTO relay_guard.rate_policy (name, identify_by, quota, \"window\") VALUES ('new', 'user', 5, '1 min')")
ok(value(restored, "SELECT id > 1001 FROM relay_guard.rate_policy WHERE name = 'new'"), "and ids are not given again")

query(connection, "SELECT relay_guard.rate_take_key('kept', 'k', 5)")
same(value(restored, "SELECT allowed FROM relay_guard.rate_take_key('kept', 'k', 5)"), True, "databases count apart")
same(value(restored, "SELECT count(*) FROM relay_guard.counter"), 1, "and see their own")
query(connection, "DROP EXTENSION relay_guard; CREATE EXTENSION relay_guard")
same(value(connection, "SELECT count(*) FROM relay_guard.counter"), 0, "an extension made again has no counters")
done()
