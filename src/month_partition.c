/*
 * month_partition.c
 *		The partition that a time belongs to.
 *
 * The executor's routing wants a plan and its state for every statement; a
 * search in the table's bounds, which the relation cache keeps, is all it takes.
 * What was found is remembered until PostgreSQL says that the table changed, and
 * then no lock on the table itself is needed: to detach a partition takes one on
 * the partition, too.
 */
#include "postgres.h"

#include "access/table.h"
#include "miscadmin.h"
#include "partitioning/partbounds.h"
#include "partitioning/partdesc.h"
#include "storage/lmgr.h"
#include "utils/inval.h"
#include "utils/partcache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "month_partition.h"
#include "own_relation.h"

static RgMonths *all_months = NULL;

static void
on_invalidate(Datum arg, Oid relid)
{
	for (RgMonths *months = all_months; months != NULL; months = months->next)
		if (relid == InvalidOid || relid == months->table_oid || relid == months->sequence_oid)
			months->partition = InvalidOid;
}

static void
hear_of_changes(RgMonths *months)
{
	if (months->registered)
		return;
	if (all_months == NULL)
		CacheRegisterRelcacheCallback(on_invalidate, (Datum) 0);
	months->next = all_months;
	all_months = months;
	months->registered = true;
}

/* A bound of the partitions; at the ends there may be none. */
static TimestampTz
bound_at(const PartitionBoundInfo bounds, int bound, TimestampTz otherwise)
{
	if (bound < 0 || bound >= bounds->ndatums ||
		bounds->kind[bound][0] != PARTITION_RANGE_DATUM_VALUE)
		return otherwise;
	return DatumGetTimestampTz(bounds->datums[bound][0]);
}

static void
find_partition(RgMonths *months, Relation table, TimestampTz at)
{
	PartitionKey key = RelationGetPartitionKey(table);
	PartitionDesc partitions = RelationGetPartitionDesc(table, true);
	Datum		value = TimestampTzGetDatum(at);
	bool		equal;
	int			bound,
				index;

	months->partition = InvalidOid;
	if (partitions->nparts == 0)
		return;
	bound = partition_range_datum_bsearch(key->partsupfunc, key->partcollation,
										  partitions->boundinfo, 1, &value, &equal);
	index = partitions->boundinfo->indexes[bound + 1];
	if (index < 0)
		return;
	months->partition = partitions->oids[index];
	months->fits = false;
	months->from = bound_at(partitions->boundinfo, bound, DT_NOBEGIN);
	months->until = bound_at(partitions->boundinfo, bound + 1, DT_NOEND);
}

static void
find_place(RgMonths *months, TimestampTz at)
{
	Relation	table;

	hear_of_changes(months);
	months->table_oid = rg_own_relation_required(months->table);
	months->sequence_oid = rg_own_relation_required(months->sequence);
	table = table_open(months->table_oid, RowExclusiveLock);
	find_partition(months, table, at);
	table_close(table, NoLock);
}

static bool
is_remembered(const RgMonths *months, TimestampTz at)
{
	return OidIsValid(months->partition) && months->from <= at && at < months->until;
}

static void
find_or_make(RgMonths *months, TimestampTz at)
{
	find_place(months, at);
	if (!OidIsValid(months->partition) && months->make != NULL)
	{
		months->make();
		find_place(months, at);
	}
	if (!OidIsValid(months->partition))
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("%s has no partition for %s", months->what, timestamptz_to_str(at)),
				errhint("%s", months->hint));
}

/* Columns change with those of the table, and that is heard of. */
static void
check_columns(RgMonths *months, Relation partition)
{
	if (months->fits)
		return;
	rg_audit_require_columns(partition, months->columns, months->ncolumns);
	months->fits = true;
}

/* Whoever waited for the lock hears what happened meanwhile, and looks again. */
Relation
rg_month_partition_open(RgMonths *months, TimestampTz at, Oid *sequence)
{
	for (;;)
	{
		Relation	partition;

		CHECK_FOR_INTERRUPTS();
		if (!is_remembered(months, at))
			find_or_make(months, at);
		partition = try_table_open(months->partition, RowExclusiveLock);
		*sequence = months->sequence_oid;
		if (partition != NULL && is_remembered(months, at))
		{
			check_columns(months, partition);
			return partition;
		}
		months->partition = InvalidOid;
		if (partition != NULL)
			table_close(partition, RowExclusiveLock);
	}
}

static bool
overlaps(const PartitionBoundInfo bounds, int bound, TimestampTz from, TimestampTz until)
{
	return bound_at(bounds, bound, DT_NOEND) > from && bound_at(bounds, bound - 1, DT_NOBEGIN) < until;
}

/* Bound i ends partition indexes[i]; the last index is for what is beyond the last bound. */
List *
rg_month_partitions(RgMonths *months, TimestampTz from, TimestampTz until)
{
	Relation	table = table_open(rg_own_relation_required(months->table), AccessShareLock);
	PartitionDesc partitions = RelationGetPartitionDesc(table, false);
	PartitionBoundInfo bounds = partitions->boundinfo;
	List	   *found = NIL;

	for (int i = 0; partitions->nparts > 0 && i <= bounds->ndatums; i++)
	{
		int			index = bounds->indexes[i];

		if (index < 0 || !overlaps(bounds, i, from, until))
			continue;
		LockRelationOid(partitions->oids[index], AccessShareLock);
		found = lappend_oid(found, partitions->oids[index]);
	}
	table_close(table, NoLock);
	return found;
}
