"""A second opinion on what the log must say: twins of audited tables, watched by plpgsql.

A twin has the same columns, and its row trigger writes to the table watched what
the audit log ought to hold for the same changes."""
import collections
import json
import re

from servers import run

# How values are printed, whatever the session has set
PRINTED = """SET TimeZone = 'UTC' SET DateStyle = 'ISO, YMD' SET IntervalStyle = 'postgres' SET extra_float_digits = 1
    SET bytea_output = 'hex'"""

WATCH = f"""
CREATE TABLE IF NOT EXISTS watched (place bigint GENERATED ALWAYS AS IDENTITY, resource_type text, action text,
    resource_id text, old jsonb, new jsonb);
CREATE OR REPLACE FUNCTION watch(relation regclass, resource_type text, key name[], redact name[] DEFAULT '{{}}',
    omit name[] DEFAULT '{{}}') RETURNS void LANGUAGE plpgsql AS $make$
DECLARE
    name text := 'watch_' || relation::oid;
    body text := '';
    was text := '''{{}}''::jsonb';
    is_now text := '''{{}}''::jsonb';
    ids text[] := ARRAY(SELECT format('(%%s.%I)::text', k) FROM unnest(key) k);
    id text := CASE WHEN cardinality(ids) = 1 THEN ids[1] ELSE 'json_build_array(' || array_to_string(ids, ', ') || ')::text' END;
    a record;
BEGIN
    FOR a IN SELECT attname, attname = ANY (omit) AS omitted, CASE WHEN attname = ANY (redact)
                 THEN format('CASE WHEN %%s.%I IS NOT NULL THEN ''[redacted]'' END', attname) ELSE format('%%s.%I', attname) END AS shown
             FROM pg_attribute WHERE attrelid = relation AND attnum > 0 AND NOT attisdropped ORDER BY attnum LOOP
        body := body || format('IF ROW(OLD.%1$I)::record OPERATOR(pg_catalog.*<>) ROW(NEW.%1$I)::record THEN
            changed := true; ', a.attname);
        IF NOT a.omitted THEN
            body := body || format('was := was || jsonb_build_object(%1$L, %2$s); is_now := is_now || jsonb_build_object(%1$L, %3$s); ',
                a.attname, replace(a.shown, '%s', 'OLD'), replace(a.shown, '%s', 'NEW'));
            was := was || format(' || jsonb_build_object(%L, %s)', a.attname, replace(a.shown, '%s', 'OLD'));
            is_now := is_now || format(' || jsonb_build_object(%L, %s)', a.attname, replace(a.shown, '%s', 'NEW'));
        END IF;
        body := body || 'END IF; ';
    END LOOP;
    EXECUTE format('CREATE OR REPLACE FUNCTION %I() RETURNS trigger LANGUAGE plpgsql {PRINTED.replace("'", "''")} AS $body$
        DECLARE was jsonb := ''{{}}''; is_now jsonb := ''{{}}''; changed boolean := false;
        BEGIN
            IF TG_OP = ''INSERT'' THEN
                INSERT INTO watched (resource_type, action, resource_id, new) VALUES (%L, TG_OP, %s, %s);
            ELSIF TG_OP = ''DELETE'' THEN
                INSERT INTO watched (resource_type, action, resource_id, old) VALUES (%L, TG_OP, %s, %s);
            ELSE
                %s
                IF changed THEN
                    INSERT INTO watched (resource_type, action, resource_id, old, new) VALUES (%L, TG_OP, %s, was, is_now);
                END IF;
            END IF;
            RETURN NULL;
        END $body$', name, resource_type, replace(id, '%s', 'NEW'), is_now,
        resource_type, replace(id, '%s', 'OLD'), was, body, resource_type, replace(id, '%s', 'OLD'));
    EXECUTE format('CREATE OR REPLACE TRIGGER aa_watch AFTER INSERT OR UPDATE OR DELETE ON %s
        FOR EACH ROW EXECUTE FUNCTION %I()', relation, name);
END $make$;
"""


def install(server, database="postgres"):
    """The extension, this month's partition and watch() in a database."""
    server.run("CREATE EXTENSION IF NOT EXISTS relay_guard", database=database)
    server.run("SELECT relay_guard.audit_maintain()", database=database)
    server.run(WATCH, database=database)


class Log:
    """What has been logged, and what twins saw, since the last look of this connection."""

    def __init__(self, connection):
        self.connection = connection
        self.skip()

    def skip(self):
        self.id, self.place = run(self.connection, """SELECT (SELECT coalesce(max(id), 0) FROM relay_guard.audit_log),
            (SELECT coalesce(max(place), 0) FROM watched)""")[0]

    def rows(self):
        """Each as (resource_type, action, resource_id, old, new), the last two as texts."""
        rows = run(self.connection, """SELECT id, ROW(old, new)::record OPERATOR(pg_catalog.*=)
                ROW(old::text::jsonb, new::text::jsonb)::record, resource_type, action, resource_id, old::text, new::text
            FROM relay_guard.audit_log WHERE id > %s AND source = 'trigger' ORDER BY id""", self.id)
        if rows:
            self.id = rows[-1][0]
        assert all(canonical for _, canonical, *_ in rows), "jsonb other than PostgreSQL makes it"
        return [row[2:] for row in rows]

    def watched(self):
        rows = run(self.connection, """SELECT place, resource_type, action, resource_id, old::text, new::text
            FROM watched WHERE place > %s ORDER BY place""", self.place)
        if rows:
            self.place = rows[-1][0]
        return [row[1:] for row in rows]

    def agree(self, statement=""):
        """Whether both say the same, in any order; how many rows."""
        logged, watched = self.rows(), self.watched()
        difference = as_multiset(logged)
        difference.subtract(as_multiset(watched))
        difference = {row: times for row, times in difference.items() if times}
        assert not difference, f"{statement}: too often in the log, or too seldom: {difference}"
        return len(logged)


def as_multiset(rows):
    """Comparable whatever the order; a key of several columns however its JSON is spaced."""
    return collections.Counter((kind, action, json.dumps(json.loads(name)) if re.match(r"\[.*\]$", name or "") else name, old, new)
                               for kind, action, name, old, new in rows)


def leaks(server):
    """What the server says when something was left open at the end of a transaction."""
    return [line for line in server.log().splitlines()
            if re.search(r"WARNING.*(leak|not closed|still referenced|TRAP|resource)|PANIC|TRAP:", line)]
