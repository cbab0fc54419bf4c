-- The extension in the current database; may be run again at any time, as
-- superuser, after roles.sql
SET client_min_messages = warning;

-- temporary tables outlive the transaction, and with it the identity
SELECT format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database()) \gexec

CREATE EXTENSION IF NOT EXISTS relay_guard;
ALTER EXTENSION relay_guard UPDATE;

SELECT relay_guard.grant_role('gateway', 'relay_gateway'),
	   relay_guard.grant_role('app', 'relay_app'),
	   relay_guard.grant_role('trusted', 'relay_owner'),
	   relay_guard.grant_role('admin', 'relay_owner'),
	   relay_guard.grant_role('auditor', 'relay_auditor') \g /dev/null
-- by which lint() knows a role of routes, too
GRANT EXECUTE ON FUNCTION relay_guard.fail(int, text, text, text) TO relay_auditor;

-- the partitions of the audit log and the ledger, which the workers add to
SELECT relay_guard.audit_maintain(), relay_guard.usage_maintain() \g /dev/null
