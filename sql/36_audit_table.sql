
-- audit(): which tables are audited, and as what.

CREATE FUNCTION read_audited_tables()
RETURNS TABLE (relation oid, resource_type text, key name[], redact name[], omit name[], part boolean, complete boolean)
LANGUAGE C STABLE AS 'MODULE_PATHNAME', 'relay_guard_read_audited_tables';
COMMENT ON FUNCTION read_audited_tables() IS
'Every table, partition and inheritor that is audited; part: as part of another one; complete: nothing gets around its triggers.';

CREATE VIEW audited_table AS
SELECT t.relation::regclass AS relation, t.resource_type, t.key, t.redact, t.omit
FROM read_audited_tables() t WHERE NOT t.part;
COMMENT ON VIEW audited_table IS
'The audited tables of this database, read from their triggers. Their partitions and inheritors are audited with them.';
COMMENT ON COLUMN audited_table.resource_type IS 'What the log calls a row of it.';
COMMENT ON COLUMN audited_table.key IS 'The columns that say which row it is.';
COMMENT ON COLUMN audited_table.redact IS 'The columns whose values the log shows as [redacted].';
COMMENT ON COLUMN audited_table.omit IS 'The columns that the log leaves out.';

CREATE FUNCTION audit_install("table" regclass, resource_type text, key name[], redact name[], omit name[]) RETURNS void
LANGUAGE C STRICT AS 'MODULE_PATHNAME', 'relay_guard_audit_install';
COMMENT ON FUNCTION audit_install(regclass, text, name[], name[], name[]) IS 'What audit() does when it has checked the columns.';

CREATE FUNCTION audit_stop("table" regclass) RETURNS void
LANGUAGE C AS 'MODULE_PATHNAME', 'relay_guard_audit_stop';
COMMENT ON FUNCTION audit_stop(regclass) IS
'Ends the audit of a table, its partitions and inheritors; the log says so.';

CREATE FUNCTION primary_key(rel regclass) RETURNS name[]
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT pg_catalog.array_agg(a.attname ORDER BY k.place)
    FROM pg_catalog.pg_index i
    CROSS JOIN pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY k (attnum, place)
    JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
    WHERE i.indrelid = rel AND i.indisprimary AND k.place <= i.indnkeyatts;
END;
COMMENT ON FUNCTION primary_key(regclass) IS 'The columns of the primary key in their order; NULL without one.';

-- A list of columns: each is there, and named once.
CREATE FUNCTION check_audit_columns(rel regclass, columns name[], list text) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    part name;
BEGIN
    IF columns IS NULL OR array_ndims(columns) > 1 OR EXISTS (SELECT FROM unnest(columns) u WHERE u IS NULL) THEN
        RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed',
            MESSAGE = format('"%s" is not a list of names', list),
            HINT = 'Name columns of the table, such as ''{id}''.';
    END IF;
    FOREACH part IN ARRAY columns LOOP
        IF NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = rel AND a.attname = part
                                                    AND a.attnum > 0 AND NOT a.attisdropped) THEN
            RAISE EXCEPTION USING ERRCODE = 'undefined_column',
                MESSAGE = format('table %s has no column %I', rel, part),
                HINT = format('Every name in "%s" is a column of the table.', list);
        ELSIF cardinality(array_positions(columns, part)) > 1 THEN
            RAISE EXCEPTION USING ERRCODE = 'duplicate_column',
                MESSAGE = format('column %I stands in "%s" twice', part, list),
                HINT = 'Name each column once.';
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION check_audit_columns(regclass, name[], text) IS 'Raises an error when a list of audit() does not fit the table.';

CREATE FUNCTION check_audit_key(rel regclass, key name[], redact name[], omit name[]) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    part name;
BEGIN
    IF coalesce(cardinality(key), 0) = 0 THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('no key says which row of %s was changed', rel),
            HINT = 'Name its columns with key => ''{...}'', or add a primary key.';
    END IF;
    FOREACH part IN ARRAY key LOOP
        IF part = ANY (redact || omit) THEN
            RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
                MESSAGE = format('key column %I cannot be redacted or omitted', part),
                HINT = 'The log says by it which row was changed: choose another key.';
        ELSIF EXISTS (SELECT FROM relay_guard.encrypted_column e WHERE e.relation = rel AND e.column_name = part)
              OR EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = rel AND a.attname = part AND a.attgenerated = 'v') THEN
            RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
                MESSAGE = format('column %I cannot be part of the key', part),
                DETAIL = 'It is encrypted, or a virtual generated column.',
                HINT = 'The log says by the key which row was changed: choose another one.';
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION check_audit_key(regclass, name[], name[], name[]) IS 'Raises an error when rows cannot be told by those columns.';

CREATE FUNCTION audit("table" regclass, resource_type text DEFAULT NULL, key name[] DEFAULT NULL,
                      redact name[] DEFAULT '{}', omit name[] DEFAULT '{}') RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    rel CONSTANT regclass := "table";
    class CONSTANT pg_class := (SELECT c FROM pg_class c WHERE c.oid = rel);
    columns name[];
BEGIN
    IF rel IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'no table is named';
    ELSIF class.relkind NOT IN ('r', 'p') THEN
        RAISE EXCEPTION USING ERRCODE = 'wrong_object_type',
            MESSAGE = format('"%s" cannot be audited', rel),
            HINT = 'Tables and partitioned tables can be.';
    ELSIF octet_length(resource_type) NOT BETWEEN 1 AND 255 THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'resource_type must have 1 to 255 bytes',
            HINT = 'Leave it out to have the table''s name.';
    END IF;
    columns := coalesce(key, relay_guard.primary_key(rel), '{}');
    PERFORM relay_guard.check_audit_columns(rel, columns, 'key'), relay_guard.check_audit_columns(rel, redact, 'redact'),
            relay_guard.check_audit_columns(rel, omit, 'omit');
    PERFORM relay_guard.check_audit_key(rel, columns, redact, omit);
    IF redact && omit THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'a column is both redacted and omitted',
            HINT = 'Redact it to have the log tell that it was changed, omit it otherwise.';
    END IF;
    PERFORM relay_guard.audit_maintain();
    PERFORM relay_guard.audit_install(rel, coalesce(resource_type, class.relname), columns, redact, omit);
END
$$;
COMMENT ON FUNCTION audit(regclass, text, name[], name[], name[]) IS
'Records every change of the table''s rows in the audit log from now on, by the key (the primary key unless told): old and new values of changed columns, those in redact as [redacted], those in omit not at all. Partitions and inheritors, present and to come, are audited with it. Again with other columns: replaces them.';
