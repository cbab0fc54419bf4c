
-- relay_guard's own configuration in the audit log.

CREATE FUNCTION audit_configuration() RETURNS trigger
LANGUAGE C AS 'MODULE_PATHNAME', 'relay_guard_audit_configuration';
COMMENT ON FUNCTION audit_configuration() IS
'Trigger of relay_guard''s own tables: records who changed the configuration, where the server has a key ring and the audit log partitions. Its arguments are those of audit_change().';

-- Tables that say who may do what, with which credentials, how much, and where requests and
-- messages go; secrets appear as [redacted].  Not those that fill by themselves: sessions,
-- counters, the ledger, events, webhooks on their way.  Last of the tables' parts, so that
-- what comes with relay_guard makes no rows.  By row and always, for rows that are applied
-- and sessions that have set session_replication_role are to be recorded, too.
DO $$
DECLARE
    t record;
    arguments text;
BEGIN
    FOR t IN
        SELECT * FROM (VALUES
            ('installation',     '{singleton}'::name[],   '{hash_key}'::name[]),
            ('usage_timeline',   '{timeline}',            '{}'),
            ('subject_prefix',   '{prefix}',              '{}'),
            ('issuer',           '{iss}',                 '{}'),
            ('jwt_key',          '{iss,kid}',             '{secret}'),
            ('revocation',       '{kind,value}',          '{}'),
            ('api_key',          '{id}',                  '{hash}'),
            ('api_key_pepper',   '{singleton}',           '{secret}'),
            ('webhook_secret',   '{name,version}',        '{secret}'),
            ('rate_policy',      '{name}',                '{}'),
            ('rate_override',    '{policy,kind,value}',   '{}'),
            ('quota_policy',     '{name}',                '{}'),
            ('budget_policy',    '{name}',                '{}'),
            ('model',            '{name}',                '{}'),
            ('upstream',         '{name}',                '{}'),
            ('route',            '{method,path}',         '{}'),
            ('webhook_endpoint', '{name}',                '{}')) v (name, key, redact)
    LOOP
        arguments := format('%L, %L, %L, %L', 'relay_guard.' || t.name, t.key, t.redact, '{}');
        EXECUTE format('CREATE TRIGGER audit_configuration AFTER INSERT OR UPDATE OR DELETE ON relay_guard.%I
                        FOR EACH ROW EXECUTE FUNCTION relay_guard.audit_configuration(%s)', t.name, arguments);
        EXECUTE format('CREATE TRIGGER audit_configuration_truncated BEFORE TRUNCATE ON relay_guard.%I
                        FOR EACH STATEMENT EXECUTE FUNCTION relay_guard.audit_configuration(%s)', t.name, arguments);
        EXECUTE format('ALTER TABLE relay_guard.%I ENABLE ALWAYS TRIGGER audit_configuration,
                        ENABLE ALWAYS TRIGGER audit_configuration_truncated', t.name);
    END LOOP;
END
$$;
