
-- Guards of the audit: what DDL may not do to audited tables and to the log, but
-- for superusers.  They fire in every mode of replication, which a role may have
-- been given the right to set.

CREATE FUNCTION audit_guard_start() RETURNS event_trigger
LANGUAGE C AS 'MODULE_PATHNAME', 'relay_guard_audit_guard_start';
COMMENT ON FUNCTION audit_guard_start() IS 'Event trigger: keeps partitions of audited tables from being detached in two transactions.';

CREATE FUNCTION audit_guard_command() RETURNS event_trigger
LANGUAGE C AS 'MODULE_PATHNAME', 'relay_guard_audit_guard_command';
COMMENT ON FUNCTION audit_guard_command() IS
'Event trigger: gives new partitions of audited tables their triggers, and refuses what would take changes out of the audit log''s sight.';

CREATE FUNCTION audit_guard_drop() RETURNS event_trigger
LANGUAGE C AS 'MODULE_PATHNAME', 'relay_guard_audit_guard_drop';
COMMENT ON FUNCTION audit_guard_drop() IS 'Event trigger: keeps audited tables and their triggers from being dropped without audit_stop().';

CREATE FUNCTION audit_guard_rewrite() RETURNS event_trigger
LANGUAGE C AS 'MODULE_PATHNAME', 'relay_guard_audit_guard_rewrite';
COMMENT ON FUNCTION audit_guard_rewrite() IS 'Event trigger: keeps the values of audited tables from being rewritten by ALTER TABLE and ALTER TYPE.';

CREATE EVENT TRIGGER relay_guard_audit_start ON ddl_command_start WHEN TAG IN ('ALTER TABLE')
    EXECUTE FUNCTION audit_guard_start();
CREATE EVENT TRIGGER relay_guard_audit_command ON ddl_command_end
    WHEN TAG IN ('CREATE TABLE', 'CREATE FOREIGN TABLE', 'CREATE SCHEMA', 'ALTER TABLE', 'ALTER FOREIGN TABLE',
                 'ALTER VIEW', 'ALTER MATERIALIZED VIEW', 'ALTER TYPE', -- which rename columns of tables, too
                 'CREATE TRIGGER', 'ALTER TRIGGER', 'CREATE RULE', 'ALTER RULE')
    EXECUTE FUNCTION audit_guard_command();
CREATE EVENT TRIGGER relay_guard_audit_drop ON sql_drop EXECUTE FUNCTION audit_guard_drop();
CREATE EVENT TRIGGER relay_guard_audit_rewrite ON table_rewrite EXECUTE FUNCTION audit_guard_rewrite();
ALTER EVENT TRIGGER relay_guard_audit_start ENABLE ALWAYS;
ALTER EVENT TRIGGER relay_guard_audit_command ENABLE ALWAYS;
ALTER EVENT TRIGGER relay_guard_audit_drop ENABLE ALWAYS;
ALTER EVENT TRIGGER relay_guard_audit_rewrite ENABLE ALWAYS;

-- Origin-enabled: workers of logical replication write the log of another
-- database, and a dump is restored before the triggers stand.
CREATE FUNCTION audit_refuse() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege',
        MESSAGE = format('%s on %I.%I is refused', tg_op, tg_table_schema, tg_table_name),
        DETAIL = 'Only relay_guard writes the audit log, and nobody changes it.',
        HINT = 'relay_guard.audit_event() adds a row; relay_guard.audit_retire() takes whole months away.';
END
$$;
COMMENT ON FUNCTION audit_refuse() IS 'Trigger of the audit log and its seals: refuses to write them in SQL.';

CREATE TRIGGER audit_refuse BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();
-- Its rows are dumped, and restored with the trigger in place
CREATE TRIGGER audit_refuse BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_seal
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();
