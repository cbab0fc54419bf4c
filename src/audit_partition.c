/*
 * audit_partition.c
 *		The partition of the audit log that a time belongs to.
 *
 * The executor's routing wants a plan and its state for every statement; a
 * search in the log's bounds, which the relation cache keeps, is all it takes.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/namespace.h"
#include "partitioning/partbounds.h"
#include "partitioning/partdesc.h"
#include "utils/datetime.h"
#include "utils/lsyscache.h"
#include "utils/partcache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "audit_partition.h"

DateADT
rg_audit_month(TimestampTz at)
{
	struct pg_tm tm;
	fsec_t		fsec;

	if (TIMESTAMP_NOT_FINITE(at) || timestamp2tm(at, NULL, &tm, &fsec, NULL, NULL) != 0)
		ereport(ERROR,
				errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				errmsg("a row of the audit log has a time out of range"));
	return date2j(tm.tm_year, tm.tm_mon, 1) - POSTGRES_EPOCH_JDATE;
}

static Relation
open_log(void)
{
	Oid			schema = get_namespace_oid("relay_guard", true);
	Oid			log = OidIsValid(schema) ? get_relname_relid("audit_log", schema) : InvalidOid;

	if (!OidIsValid(log))
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_TABLE),
				errmsg("relation relay_guard.audit_log does not exist"),
				errhint("Run CREATE EXTENSION relay_guard in this database."));
	return table_open(log, RowExclusiveLock);
}

static Oid
partition_of(Relation log, TimestampTz at)
{
	PartitionKey key = RelationGetPartitionKey(log);
	PartitionDesc partitions = RelationGetPartitionDesc(log, true);
	Datum		value = TimestampTzGetDatum(at);
	bool		equal;
	int			bound,
				index;

	if (partitions->nparts == 0)
		return InvalidOid;
	bound = partition_range_datum_bsearch(key->partsupfunc, key->partcollation,
										  partitions->boundinfo, 1, &value, &equal);
	index = partitions->boundinfo->indexes[bound + 1];
	return index < 0 ? InvalidOid : partitions->oids[index];
}

Relation
rg_audit_partition_open(TimestampTz at)
{
	Relation	log = open_log();
	Oid			partition = partition_of(log, at);

	table_close(log, NoLock);
	if (!OidIsValid(partition))
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("the audit log has no partition for %s", timestamptz_to_str(at)),
				errhint("Call relay_guard.audit_maintain(), which makes those of the months ahead."));
	return table_open(partition, RowExclusiveLock);
}
