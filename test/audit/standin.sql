DO $do$ BEGIN
IF to_regprocedure('relay_guard.audit(regclass,text,name[],name[],name[])') IS NULL THEN
CREATE FUNCTION relay_guard.audit_maintain() RETURNS int LANGUAGE plpgsql AS $$ BEGIN
    CREATE TABLE IF NOT EXISTS relay_guard.audit_log_now PARTITION OF relay_guard.audit_log FOR VALUES FROM ('2020-01-01') TO ('2030-01-01');
    RETURN 1; END $$;
CREATE FUNCTION relay_guard.audit("table" regclass, resource_type text DEFAULT NULL, key name[] DEFAULT NULL,
    redact name[] DEFAULT '{}', omit name[] DEFAULT '{}') RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    rel regclass;
    args text;
BEGIN
    resource_type := coalesce(resource_type, (SELECT relname FROM pg_class WHERE oid = "table"));
    key := coalesce(key, (SELECT array_agg(attname ORDER BY array_position(i.indkey::int2[], attnum)) FROM pg_index i JOIN pg_attribute a
        ON attrelid = indrelid AND attnum = ANY (indkey) WHERE indrelid = "table" AND indisprimary));
    args := format('EXECUTE FUNCTION relay_guard.audit_change(%L, %L, %L, %L)', resource_type, key, redact, omit);
    FOR rel IN SELECT "table" UNION SELECT relid FROM pg_partition_tree("table") LOOP
        EXECUTE format('CREATE OR REPLACE TRIGGER relay_guard_audit_insert AFTER INSERT ON %s REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT %s', rel, args);
        EXECUTE format('CREATE OR REPLACE TRIGGER relay_guard_audit_update AFTER UPDATE ON %s REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT %s', rel, args);
        EXECUTE format('CREATE OR REPLACE TRIGGER relay_guard_audit_delete AFTER DELETE ON %s REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT %s', rel, args);
        EXECUTE format('CREATE OR REPLACE TRIGGER relay_guard_audit_truncate BEFORE TRUNCATE ON %s FOR EACH STATEMENT %s', rel, args);
        EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER relay_guard_audit_truncate', rel);
    END LOOP;
    EXECUTE format('CREATE OR REPLACE TRIGGER relay_guard_audit_row AFTER INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW %s', "table", args);
    EXECUTE format('ALTER TABLE %s ENABLE REPLICA TRIGGER relay_guard_audit_row', "table");
END $$;
END IF;
END $do$;
