
-- lint(): the checks of the audit log.

-- Until when the log takes rows without a gap; NULL when nothing uses it.
CREATE FUNCTION lint_audit_until() RETURNS timestamptz
LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH RECURSIVE reach (until) AS (
        SELECT p.upper FROM audit_partitions() p WHERE now() >= p.lower AND now() < p.upper
        UNION ALL
        SELECT p.upper FROM reach r JOIN audit_partitions() p ON p.lower = r.until)
    SELECT CASE WHEN EXISTS (SELECT FROM audit_partitions()) OR EXISTS (SELECT FROM read_audited_tables())
                THEN coalesce((SELECT max(until) FROM reach), now()) END;
END;
COMMENT ON FUNCTION lint_audit_until() IS 'lint(): until when the audit log has partitions.';

CREATE FUNCTION lint_audit_partitions() RETURNS SETOF lint_finding
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT CASE WHEN u.until < now() + '7 days' THEN 'error' ELSE 'warning' END, 'audit_partitions', 'relay_guard.audit_log',
           format('Its partitions end in %s days: then every change of an audited table fails.', u.until::date - now()::date),
           'SELECT relay_guard.audit_maintain()'
    FROM lint_audit_until() u (until)
    WHERE u.until < now() + '60 days';
END;
COMMENT ON FUNCTION lint_audit_partitions() IS 'lint(): whether the audit log has partitions for the next 60 days.';

CREATE FUNCTION lint_audit_incomplete() RETURNS SETOF lint_finding
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT 'error', 'audit_incomplete', format('%I.%I', n.nspname, c.relname),
           'Its audit triggers are not as relay_guard.audit() makes them, or a table that it is part of, or a partition, has none: '
           'changes can go unrecorded.',
           CASE WHEN t.part THEN 'Call relay_guard.audit() for the table that it is part of'
                ELSE format('SELECT relay_guard.audit(%L, %L, %L, %L, %L)', format('%I.%I', n.nspname, c.relname),
                            t.resource_type, t.key, t.redact, t.omit) END
    FROM read_audited_tables() t
    JOIN pg_class c ON c.oid = t.relation
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE NOT t.complete;
END;
COMMENT ON FUNCTION lint_audit_incomplete() IS 'lint(): audited tables whose changes can go unrecorded.';

CREATE FUNCTION lint_audit_writable() RETURNS SETOF lint_finding
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT 'error', 'audit_writable', format('relay_guard.%I', c.relname),
           'Nothing refuses to change it: its trigger audit_refuse is not there, or not enabled.',
           format('CREATE OR REPLACE TRIGGER audit_refuse BEFORE %sUPDATE OR DELETE OR TRUNCATE ON relay_guard.%I '
                  'FOR EACH STATEMENT EXECUTE FUNCTION relay_guard.audit_refuse()',
                  CASE c.relname WHEN 'audit_seal' THEN '' ELSE 'INSERT OR ' END, c.relname)
    FROM pg_class c
    WHERE (c.oid IN ('audit_log'::regclass, 'audit_seal'::regclass)
           OR c.oid IN (SELECT i.inhrelid FROM pg_inherits i WHERE i.inhparent = 'audit_log'::regclass))
      AND NOT EXISTS (SELECT FROM pg_trigger t
                      WHERE t.tgrelid = c.oid AND t.tgfoid = 'audit_refuse()'::regprocedure AND t.tgenabled IN ('O', 'A')
                        AND t.tgtype & 56 = 56 AND (t.tgtype & 4 = 4 OR c.relname = 'audit_seal'));
END;
COMMENT ON FUNCTION lint_audit_writable() IS 'lint(): tables of the audit log that SQL can change.';

CREATE FUNCTION lint_audit_guard() RETURNS SETOF lint_finding
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT 'error', 'audit_guard', quote_ident(e.evtname),
           'The event trigger is not enabled: owners can take tables out of the audit''s sight.',
           format('ALTER EVENT TRIGGER %I ENABLE ALWAYS', e.evtname)
    FROM pg_event_trigger e JOIN pg_proc p ON p.oid = e.evtfoid
    WHERE p.pronamespace = 'relay_guard'::regnamespace AND e.evtenabled <> 'A';
END;
COMMENT ON FUNCTION lint_audit_guard() IS 'lint(): event triggers of the audit that were switched off.';
