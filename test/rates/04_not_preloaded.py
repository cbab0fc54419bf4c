#!/usr/bin/python3
"""Without shared_preload_libraries limits say so, and the rest works."""
from rates import *

own_server("-c shared_preload_libraries=")
connection = connect()
query(connection, "CREATE EXTENSION relay_guard")
query(connection, "INSERT INTO relay_guard.rate_policy (name, identify_by, quota, \"window\") VALUES ('p', 'user', 5, '1 s')")
for call in ("rate_take_key('p', 'k')", "read_counters()"):
    same(sqlstate(connection, f"SELECT relay_guard.{call}"), "55000", f"{call} raises 55000")
for call in ("rate_take('p')", "rate_peek('p')", "rate_require('p')", "rate_take_all('{p}')"):
    same(sqlstate(connection, f"BEGIN; SELECT relay_guard.assume('u'); SELECT relay_guard.{call}"), "55000", f"{call} raises 55000")
    query(connection, "ROLLBACK")
try:
    query(connection, "SELECT relay_guard.rate_take_key('p', 'k')")
except psycopg2.Error as error:
    same(error.diag.message_primary, "relay_guard must be loaded through shared_preload_libraries", "which says why")
    ok("postgresql.conf" in error.diag.message_hint, "and what to do")
same(query(connection, "SELECT preloaded, max, used FROM relay_guard.counter_status"), [(False, None, None)], "counter_status tells it")
same(value(connection, "BEGIN; SELECT relay_guard.assume('u'); SELECT relay_guard.user_id()"), "u", "identities work")
done()
