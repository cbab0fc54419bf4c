/*
 * audit_partition.c
 *		The partition of the audit log that a time belongs to.
 *
 * The executor's routing wants a plan and its state for every statement; a
 * search in the log's bounds, which the relation cache keeps, is all it takes.
 * What was found is remembered until PostgreSQL says that the log changed, and
 * then no lock on the log itself is needed: to detach a partition takes one on
 * the partition, too.
 */
#include "postgres.h"

#include "access/table.h"
#include "miscadmin.h"
#include "partitioning/partbounds.h"
#include "partitioning/partdesc.h"
#include "utils/inval.h"
#include "utils/partcache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "audit_columns.h"
#include "audit_partition.h"
#include "audit_subject.h"
#include "own_relation.h"

/* What is remembered; partition is InvalidOid when nothing is. */
typedef struct Place
{
	Oid			log;
	Oid			sequence;
	Oid			partition;
	TimestampTz from;
	TimestampTz until;
	bool		fits;			/* it has been seen to have the log's columns */
} Place;

static Place place;

static void
on_invalidate(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == place.log || relid == place.sequence)
		place.partition = InvalidOid;
}

/* A bound of the log's partitions; at the ends there may be none. */
static TimestampTz
bound_at(const PartitionBoundInfo bounds, int bound, TimestampTz otherwise)
{
	if (bound < 0 || bound >= bounds->ndatums ||
		bounds->kind[bound][0] != PARTITION_RANGE_DATUM_VALUE)
		return otherwise;
	return DatumGetTimestampTz(bounds->datums[bound][0]);
}

static void
find_partition(Relation log, TimestampTz at)
{
	PartitionKey key = RelationGetPartitionKey(log);
	PartitionDesc partitions = RelationGetPartitionDesc(log, true);
	Datum		value = TimestampTzGetDatum(at);
	bool		equal;
	int			bound,
				index;

	place.partition = InvalidOid;
	if (partitions->nparts == 0)
		return;
	bound = partition_range_datum_bsearch(key->partsupfunc, key->partcollation,
										  partitions->boundinfo, 1, &value, &equal);
	index = partitions->boundinfo->indexes[bound + 1];
	if (index < 0)
		return;
	place.partition = partitions->oids[index];
	place.fits = false;
	place.from = bound_at(partitions->boundinfo, bound, DT_NOBEGIN);
	place.until = bound_at(partitions->boundinfo, bound + 1, DT_NOEND);
}

static void
find_place(TimestampTz at)
{
	static bool registered = false;
	Relation	log;

	if (!registered)
		CacheRegisterRelcacheCallback(on_invalidate, (Datum) 0);
	registered = true;
	place.log = rg_own_relation_required("audit_log");
	place.sequence = rg_own_relation_required("audit_log_id_seq");
	log = table_open(place.log, RowExclusiveLock);
	find_partition(log, at);
	table_close(log, NoLock);
	if (!OidIsValid(place.partition))
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("the audit log has no partition for %s", timestamptz_to_str(at)),
				errhint("Call relay_guard.audit_maintain(), which makes those of the months ahead."));
}

static bool
is_remembered(TimestampTz at)
{
	return OidIsValid(place.partition) && place.from <= at && at < place.until;
}

/* Columns change with those of the log, and that is heard of. */
static void
check_columns(Relation partition)
{
	if (place.fits)
		return;
	rg_audit_require_columns(partition, rg_audit_log_columns, Natts_audit);
	place.fits = true;
}

/* Whoever waited for the lock hears what happened meanwhile, and looks again. */
Relation
rg_audit_partition_open(TimestampTz at, Oid *sequence)
{
	for (;;)
	{
		Relation	partition;

		CHECK_FOR_INTERRUPTS();
		if (!is_remembered(at))
			find_place(at);
		partition = try_table_open(place.partition, RowExclusiveLock);
		*sequence = place.sequence;
		if (partition != NULL && is_remembered(at))
		{
			check_columns(partition);
			return partition;
		}
		place.partition = InvalidOid;
		if (partition != NULL)
			table_close(partition, RowExclusiveLock);
	}
}
