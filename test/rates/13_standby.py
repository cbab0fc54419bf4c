#!/usr/bin/python3
"""A hot standby limits for itself, follows its primary's policies, and goes on when it is promoted."""
import atexit
import re
import shutil

from rates import *

own_server("-c relay_guard.databases=postgres -c relay_guard.flush_interval=1 -c wal_level=replica")
directory = os.environ["PGHOST"]
standby_data = os.path.join(directory, "standby")
primary = connect()
query(primary, """CREATE EXTENSION relay_guard;
    INSERT INTO relay_guard.rate_policy (name, identify_by, quota, "window") VALUES ('p', 'user', 100, '3000 days')""")
query(primary, "SELECT relay_guard.rate_take_key('p', 'k', 70)")
ok(until(lambda: value(primary, "SELECT count(*) FROM relay_guard.rate_counter") == 1), "the primary has stored a counter")


def complaints():
    """Errors in the standby's log, but for those of a policy that had not arrived yet."""
    with open(os.path.join(directory, "standby.log"), errors="replace") as file:
        return [line for line in file if re.search("ERROR|PANIC", line) and '"new" does not exist' not in line]


def start_standby():
    os.mkdir(standby_data, 0o700)
    if os.geteuid() == 0:
        shutil.chown(standby_data, "postgres")
    log = os.path.join(directory, "standby.log")
    as_server("pg_basebackup", "-h", directory, "-U", "postgres", "-D", standby_data, "-R", "-c", "fast", "--no-sync")
    as_server("pg_ctl", "-w", "-D", standby_data, "-l", log, "-o",
        f"-p 5433 -k {directory} -c listen_addresses= -c relay_guard.keyring_file={directory}/keyring"
        " -c relay_guard.databases=postgres -c relay_guard.flush_interval=1", "start")
    atexit.register(stop_standby)


def stop_standby():
    as_server("pg_ctl", "-D", standby_data, "-m", "immediate", "stop")


def connect_standby():
    connection = psycopg2.connect(dbname="postgres", port=5433)
    connection.autocommit = True
    return connection


start_standby()
standby = connect_standby()
same(value(standby, "SELECT pg_is_in_recovery()"), True, "a standby runs")
same(admitted(standby, "p", "'k'", 1, 200), 100, "it limits for itself, whatever the primary has counted")
same(admitted(primary, "p", "'k'", 1, 200), 30, "as does the primary")
same(query(standby, "SELECT name, remaining FROM relay_guard.counter"), [("rl:p:k", 0)], "its counters are seen")
query(standby, "BEGIN; SELECT relay_guard.assume('alice')")
same(query(standby, "SELECT bool_and(allowed), min(remaining) FROM relay_guard.rate_take_all('{p}')"), [(True, 99)], "identities have limits there")
query(standby, "COMMIT")

query(primary, "UPDATE relay_guard.rate_policy SET quota = 150 WHERE name = 'p'")
ok(until(lambda: admitted(standby, "p", "'probe'", 1, 1) and value(standby,
    "SELECT \"limit\" FROM relay_guard.rate_take_key('p', 'probe')") == 150), "a policy that the primary changes changes there, in open sessions too")
same(admitted(standby, "p", "'k'", 1, 200), 50, "for counters that it has already")
query(primary, """INSERT INTO relay_guard.rate_policy (name, identify_by, quota, "window") VALUES ('new', 'user', 3, '1 day')""")
ok(until(lambda: sqlstate(standby, "SELECT relay_guard.rate_take_key('new', 'probe')") is None), "a new policy comes there")
same(admitted(standby, "new", "'k'", 1, 10), 3, "and limits")

time.sleep(2)
same(value(standby, "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'relay_guard%%'"), 0, "nothing tries to store counters there")
same(complaints(), [], "and nothing complains")

as_server("pg_ctl", "-w", "-D", standby_data, "promote")
ok(until(lambda: not value(standby, "SELECT pg_is_in_recovery()")), "the standby is promoted")
same(admitted(standby, "p", "'k'", 1, 200), 0, "its counters go on")
same(admitted(standby, "p", "'fresh'", 1, 200), 150, "and limit")
ok(until(lambda: (150,) in query(standby, "SELECT used FROM relay_guard.rate_counter WHERE value = 'k'")), "and are stored from now on")
same(complaints(), [], "without a complaint")
done()
