
-- Who reads the audit log: by grants, and of its rows by the identity.
--
-- The identity is one value a statement to both policies, and what a query asks for
-- beside them stays an index condition: = and < of text, timestamptz and bigint are
-- leakproof.  There is no policy for writing, for nothing but relay_guard's own code
-- writes.
ALTER TABLE audit_log ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_log FORCE ROW LEVEL SECURITY;

CREATE POLICY own_rows ON audit_log FOR SELECT
USING (actor = (SELECT relay_guard.user_id())
       AND workspace_id IS NOT DISTINCT FROM (SELECT relay_guard.workspace_id()));
COMMENT ON POLICY own_rows ON audit_log IS
'What the identity itself has done in its workspace, for roles that were granted SELECT.';

CREATE POLICY admins ON audit_log FOR SELECT
USING ((SELECT relay_guard.role()) = 'admin');
COMMENT ON POLICY admins ON audit_log IS
'Every row, where the identity is of role admin.';

-- A partition that is named itself has neither the log's policies nor its
-- grants, but default privileges and pg_read_all_data would reach it: row-level
-- security without a policy shows its rows to nobody.
CREATE FUNCTION audit_hide_partition("partition" regclass) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    grantee text;
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', "partition");
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', "partition");
    FOR grantee IN
        SELECT DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END
        FROM pg_class c, aclexplode(c.relacl) a
        WHERE c.oid = "partition" AND a.grantee <> c.relowner
    LOOP
        EXECUTE format('REVOKE ALL ON %s FROM %s', "partition", grantee);
    END LOOP;
END
$$;
COMMENT ON FUNCTION audit_hide_partition(regclass) IS
'Lets a partition of the audit log be read through the log alone; for audit_maintain().';
