
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
