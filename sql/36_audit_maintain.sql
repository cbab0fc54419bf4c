
-- audit_maintain(): partitions of the audit log, by months of UTC, made ahead.

CREATE FUNCTION audit_partitions() RETURNS TABLE (partition regclass, lower timestamptz, upper timestamptz)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET DateStyle = 'ISO, MDY'
AS $$
BEGIN
    RETURN QUERY
    SELECT i.inhrelid::regclass,
           coalesce(substring(b.bounds FROM 'FROM \(''([^'']+)''\)')::timestamptz, '-infinity'),
           coalesce(substring(b.bounds FROM 'TO \(''([^'']+)''\)')::timestamptz, 'infinity')
    FROM pg_inherits i
    JOIN pg_class c ON c.oid = i.inhrelid
    CROSS JOIN LATERAL (SELECT pg_get_expr(c.relpartbound, c.oid) AS bounds) b
    WHERE i.inhparent = 'relay_guard.audit_log'::regclass AND NOT i.inhdetachpending
    ORDER BY 2;
END
$$;
COMMENT ON FUNCTION audit_partitions() IS 'The partitions of audit_log, and from when until when each holds the rows.';

-- Those that are missing; a transaction may have begun last month.
CREATE FUNCTION audit_months_missing() RETURNS SETOF timestamp
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC'
BEGIN ATOMIC
    SELECT m
    FROM generate_series(date_trunc('month', now()::timestamp),
                         date_trunc('month', clock_timestamp()::timestamp) + '12 months', '1 month') m
    WHERE NOT EXISTS (SELECT FROM audit_partitions() p
                      WHERE p.lower <= m::timestamptz AND p.upper >= (m + '1 month')::timestamptz)
    ORDER BY m;
END;
COMMENT ON FUNCTION audit_months_missing() IS 'Of this month and the next twelve, those that audit_log has no partition for.';

-- What a partition has beside its columns.  The parent has no indexes: a restored
-- partition gets its own from the dump, after it was attached.  The trigger comes
-- last: a partition without it is one that is not finished.
CREATE FUNCTION audit_finish_partition(partition regclass) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET default_tablespace = ''
AS $$
DECLARE
    name CONSTANT text := (SELECT relname FROM pg_class WHERE oid = partition);
BEGIN
    PERFORM relay_guard.revoke_beyond_owner(partition);
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', partition);
    -- The id makes every key different: PostgreSQL need not look for equal ones before it splits a page
    EXECUTE format('CREATE INDEX IF NOT EXISTS %I ON %s (xid, id) WITH (deduplicate_items = off)', name || '_xid_idx', partition);
    EXECUTE format('CREATE INDEX IF NOT EXISTS %I ON %s (resource_id, resource_type, id) WITH (deduplicate_items = off)', name || '_resource_idx', partition);
    EXECUTE format('CREATE INDEX IF NOT EXISTS %I ON %s (occurred_at, id) WITH (deduplicate_items = off)', name || '_occurred_at_idx', partition);
    EXECUTE format('CREATE TRIGGER audit_refuse BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON %s
                    FOR EACH STATEMENT EXECUTE FUNCTION relay_guard.audit_refuse()', partition);
END
$$;
COMMENT ON FUNCTION audit_finish_partition(regclass) IS 'Gives a partition of audit_log what it has beside its columns.';

-- False: it is there, since after the snapshot of a transaction that is no READ
-- COMMITTED.  CREATE TABLE ... PARTITION OF would lock out whoever writes the log.
CREATE FUNCTION audit_make_partition(month timestamp) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO, MDY'
    SET default_tablespace = '' SET default_table_access_method = 'heap'
AS $$
DECLARE
    name CONSTANT text := to_char(month, '"audit_log_"YYYY_MM');
BEGIN
    IF to_regclass('relay_guard.' || name) IS NOT NULL THEN
        IF NOT EXISTS (SELECT FROM pg_class WHERE relname = name AND relnamespace = 'relay_guard'::regnamespace) THEN
            RETURN false;
        END IF;
        RAISE EXCEPTION USING ERRCODE = 'duplicate_table',
            MESSAGE = format('relation relay_guard.%I is not the partition of audit_log for its month', name),
            HINT = 'Attach it again, or give it another name.';
    END IF;
    EXECUTE format('CREATE TABLE relay_guard.%I (LIKE relay_guard.audit_log INCLUDING ALL EXCLUDING INDEXES)', name);
    EXECUTE format('COMMENT ON TABLE relay_guard.%I IS %L', name, to_char(month, '"What audit_log holds of "YYYY-MM", by UTC."'));
    PERFORM relay_guard.audit_finish_partition(format('relay_guard.%I', name)::regclass);
    EXECUTE format('ALTER TABLE relay_guard.audit_log ATTACH PARTITION relay_guard.%I FOR VALUES FROM (%L) TO (%L)',
                   name, month::timestamptz, (month + '1 month')::timestamptz);
    RETURN true;
END
$$;
COMMENT ON FUNCTION audit_make_partition(timestamp) IS 'Makes the partition of audit_log for a month; whether it had to.';

CREATE FUNCTION audit_unfinished_partitions() RETURNS SETOF regclass
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT p.partition FROM audit_partitions() p
    WHERE NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = p.partition AND t.tgname = 'audit_refuse');
END;
COMMENT ON FUNCTION audit_unfinished_partitions() IS
'Partitions of audit_log that somebody made by hand, or that are being restored.';

CREATE FUNCTION revoke_beyond_owner(rel regclass) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    grantee text;
BEGIN
    FOR grantee IN
        SELECT DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END
        FROM pg_class c, aclexplode(c.relacl) a
        WHERE c.oid = rel AND a.grantee <> c.relowner
    LOOP
        EXECUTE format('REVOKE ALL ON %s FROM %s', rel, grantee);
    END LOOP;
END
$$;
COMMENT ON FUNCTION revoke_beyond_owner(regclass) IS 'Takes from a new table what ALTER DEFAULT PRIVILEGES granted.';

-- With the rights of the extension's owner: the log is nobody else's.  Whoever
-- calls it chooses nothing.
CREATE FUNCTION audit_maintain() RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    month timestamp;
    partition regclass;
    made integer := 0;
BEGIN
    IF NOT EXISTS (SELECT FROM relay_guard.audit_months_missing()) AND
       NOT EXISTS (SELECT FROM relay_guard.audit_unfinished_partitions()) THEN
        RETURN 0;
    END IF;
    -- What anybody else has made is seen after this
    LOCK TABLE ONLY relay_guard.audit_log IN SHARE UPDATE EXCLUSIVE MODE;
    FOR month IN SELECT m FROM relay_guard.audit_months_missing() m LOOP
        made := made + relay_guard.audit_make_partition(month)::integer;
    END LOOP;
    FOR partition IN SELECT p FROM relay_guard.audit_unfinished_partitions() p LOOP
        PERFORM relay_guard.audit_finish_partition(partition);
    END LOOP;
    RETURN made;
END
$$;
COMMENT ON FUNCTION audit_maintain() IS
'Makes the partitions of audit_log for this month and the next twelve, and says how many were missing; finishes those that were made by hand. The worker "relay_guard sealer" calls it every hour.';
