
-- audit_maintain(): partitions of the audit log, by months of UTC, made ahead.

CREATE FUNCTION audit_partitions() RETURNS TABLE (partition regclass, lower timestamptz, upper timestamptz)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT * FROM relay_guard.month_partitions('relay_guard.audit_log') $$;
COMMENT ON FUNCTION audit_partitions() IS 'The partitions of audit_log, and from when until when each holds the rows.';

-- The id makes every key different: PostgreSQL need not look for equal ones before it splits a page.
CREATE FUNCTION audit_finish_partition(partition regclass) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
SELECT relay_guard.finish_partition(partition, ARRAY[
    ['_xid_idx', 'INDEX', '(xid, id) WITH (deduplicate_items = off)'],
    ['_resource_idx', 'INDEX', '(resource_id, resource_type, id) WITH (deduplicate_items = off)'],
    ['_occurred_at_idx', 'INDEX', '(occurred_at, id) WITH (deduplicate_items = off)']], 'audit_refuse')
$$;
COMMENT ON FUNCTION audit_finish_partition(regclass) IS 'Gives a partition of audit_log what it has beside its columns.';

-- With the rights of the extension's owner: the log is nobody else's.  Whoever
-- calls it chooses nothing.
CREATE FUNCTION audit_maintain() RETURNS integer
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ SELECT relay_guard.maintain_months('relay_guard.audit_log', 'relay_guard.audit_finish_partition', 'audit_refuse') $$;
COMMENT ON FUNCTION audit_maintain() IS
'Makes the partitions of audit_log for this month and the next twelve, and says how many were missing; finishes those that were made by hand. The worker "relay_guard sealer" calls it every hour.';
