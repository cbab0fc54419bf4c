
-- Tables with a partition for each month of UTC, made ahead.

CREATE FUNCTION month_partitions(parent regclass) RETURNS TABLE (partition regclass, lower timestamptz, upper timestamptz)
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
    WHERE i.inhparent = parent AND NOT i.inhdetachpending
    ORDER BY 2;
END
$$;
COMMENT ON FUNCTION month_partitions(regclass) IS 'The partitions of a table, and from when until when each holds the rows.';

-- Those that are missing; a transaction may have begun last month.
CREATE FUNCTION months_missing(parent regclass) RETURNS SETOF timestamp
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC'
BEGIN ATOMIC
    SELECT m
    FROM generate_series(date_trunc('month', now()::timestamp),
                         date_trunc('month', clock_timestamp()::timestamp) + '12 months', '1 month') m
    WHERE NOT EXISTS (SELECT FROM month_partitions(parent) p
                      WHERE p.lower <= m::timestamptz AND p.upper >= (m + '1 month')::timestamptz)
    ORDER BY m;
END;
COMMENT ON FUNCTION months_missing(regclass) IS 'Of this month and the next twelve, those that a table has no partition for.';

-- A partition without the trigger is one that is not finished.
CREATE FUNCTION unfinished_partitions(parent regclass, trigger name) RETURNS SETOF regclass
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT p.partition FROM month_partitions(parent) p
    WHERE NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = p.partition AND t.tgname = trigger);
END;
COMMENT ON FUNCTION unfinished_partitions(regclass, name) IS
'Partitions that somebody made by hand, or that are being restored.';

-- What a partition has beside its columns.  The parent has no indexes: a restored
-- partition gets its own from the dump, after it was attached.  The trigger comes
-- last, when the partition is finished.
CREATE FUNCTION finish_partition(partition regclass, indexes text[], trigger name) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET default_tablespace = ''
AS $$
DECLARE
    name CONSTANT text := (SELECT relname FROM pg_class WHERE oid = partition);
    index text[];
BEGIN
    PERFORM relay_guard.revoke_beyond_owner(partition);
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', partition);
    FOREACH index SLICE 1 IN ARRAY indexes LOOP
        EXECUTE format('CREATE %s IF NOT EXISTS %I ON %s %s', index[2], name || index[1], partition, index[3]);
    END LOOP;
    EXECUTE format('CREATE TRIGGER %I BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON %s
                    FOR EACH STATEMENT EXECUTE FUNCTION relay_guard.%1$I()', trigger, partition);
END
$$;
COMMENT ON FUNCTION finish_partition(regclass, text[], name) IS
'Gives a partition what it has beside its columns: indexes (what is added to its name, INDEX or UNIQUE INDEX, the rest) and the trigger that refuses to write it.';

-- False: it is there, since after the snapshot of a transaction that is no READ
-- COMMITTED.  CREATE TABLE ... PARTITION OF would lock out whoever writes the table.
CREATE FUNCTION make_month_partition(parent regclass, month timestamp, finish regproc) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO, MDY'
    SET default_tablespace = '' SET default_table_access_method = 'heap'
AS $$
DECLARE
    whole CONSTANT text := (SELECT relname FROM pg_class WHERE oid = parent);
    name CONSTANT text := whole || to_char(month, '"_"YYYY_MM');
BEGIN
    IF to_regclass('relay_guard.' || name) IS NOT NULL THEN
        IF NOT EXISTS (SELECT FROM pg_class WHERE relname = name AND relnamespace = 'relay_guard'::regnamespace) THEN
            RETURN false;
        END IF;
        RAISE EXCEPTION USING ERRCODE = 'duplicate_table',
            MESSAGE = format('relation relay_guard.%I is not the partition of %s for its month', name, whole),
            HINT = 'Attach it again, or give it another name.';
    END IF;
    EXECUTE format('CREATE TABLE relay_guard.%I (LIKE relay_guard.%I INCLUDING ALL EXCLUDING INDEXES)', name, whole);
    EXECUTE format('COMMENT ON TABLE relay_guard.%I IS %L', name,
                   format('What %s holds of %s, by UTC.', whole, to_char(month, 'YYYY-MM')));
    EXECUTE format('SELECT %s(%L)', finish, format('relay_guard.%I', name));
    EXECUTE format('ALTER TABLE relay_guard.%I ATTACH PARTITION relay_guard.%I FOR VALUES FROM (%L) TO (%L)',
                   whole, name, month::timestamptz, (month + '1 month')::timestamptz);
    RETURN true;
END
$$;
COMMENT ON FUNCTION make_month_partition(regclass, timestamp, regproc) IS
'Makes the partition of a table for a month, and has it finished; whether it had to.';

CREATE FUNCTION maintain_months(parent regclass, finish regproc, trigger name) RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    month timestamp;
    partition regclass;
    made integer := 0;
BEGIN
    IF NOT EXISTS (SELECT FROM relay_guard.months_missing(parent)) AND
       NOT EXISTS (SELECT FROM relay_guard.unfinished_partitions(parent, trigger)) THEN
        RETURN 0;
    END IF;
    -- What anybody else has made is seen after this
    EXECUTE format('LOCK TABLE ONLY %s IN SHARE UPDATE EXCLUSIVE MODE', parent);
    FOR month IN SELECT m FROM relay_guard.months_missing(parent) m LOOP
        made := made + relay_guard.make_month_partition(parent, month, finish)::integer;
    END LOOP;
    FOR partition IN SELECT p FROM relay_guard.unfinished_partitions(parent, trigger) p LOOP
        EXECUTE format('SELECT %s(%L)', finish, partition);
    END LOOP;
    RETURN made;
END
$$;
COMMENT ON FUNCTION maintain_months(regclass, regproc, name) IS
'Makes the partitions of a table for this month and the next twelve, and says how many were missing; finishes those that were made by hand.';

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
