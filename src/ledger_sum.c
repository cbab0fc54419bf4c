/*
 * ledger_sum.c
 *		What an account has used and holds, from the ledger.
 */
#include "postgres.h"

#include "access/stratnum.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "common/int.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "ledger.h"
#include "ledger_scan.h"
#include "varlena_slice.h"

/* An account, and what has been counted of it so far. */
typedef struct Sum
{
	bool		quota;
	RgLedgerIndex index;
	ScanKeyData keys[2];		/* which rows are its own */
	int			nkeys;
	RgWindow	window;
	Snapshot	snapshot;
	int64		used;
	int64		reserved;
} Sum;

static void
add(int64 *sum, int64 change)
{
	if (pg_add_s64_overflow(*sum, change, sum))
		ereport(ERROR,
				errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				errmsg("sum of usage out of range"));
}

/*
 * Which rows
 */

static void
add_key(Sum *sum, int column, RegProcedure equal, Datum value)
{
	ScanKeyInit(&sum->keys[sum->nkeys++], column + 1, BTEqualStrategyNumber, equal, value);
}

static void
by_identity(Sum *sum, RgLedgerIndex index, int column, RgSlice value)
{
	sum->index = index;
	add_key(sum, column, F_TEXTEQ, rg_slice_datum(value));
}

static void
by_policy(Sum *sum, int32 policy, RgSlice value)
{
	sum->quota = true;
	sum->index = RG_LEDGER_BY_QUOTA;
	add_key(sum, Anum_ledger_policy, F_INT4EQ, Int32GetDatum(policy));
	add_key(sum, Anum_ledger_value, F_TEXTEQ, rg_slice_datum(value));
}

static void
by_scope(Sum *sum, RgIdentifyBy scope, RgSlice value)
{
	switch (scope)
	{
		case RG_BY_GLOBAL:
			sum->index = RG_LEDGER_BY_XID;
			return;
		case RG_BY_USER:
			by_identity(sum, RG_LEDGER_BY_USER, Anum_ledger_user_id, value);
			return;
		case RG_BY_WORKSPACE:
			by_identity(sum, RG_LEDGER_BY_WORKSPACE, Anum_ledger_workspace_id, value);
			return;
		case RG_BY_API_KEY:
			by_identity(sum, RG_LEDGER_BY_API_KEY, Anum_ledger_api_key, value);
			return;
		default:
			elog(ERROR, "budgets have no scope %d", scope);
	}
}

/*
 * Adding them
 */

static bool
counts(const Sum *sum, const RgLedgerScan *row)
{
	TimestampTz at = DatumGetTimestampTz(row->values[Anum_ledger_reserved_at]);

	return sum->window.from <= at && at < sum->window.until &&
		row->nulls[Anum_ledger_policy] != sum->quota;
}

static void
add_row(Sum *sum, const RgLedgerScan *row)
{
	if (!counts(sum, row))
		return;
	add(&sum->used, DatumGetInt64(row->values[sum->quota ? Anum_ledger_units : Anum_ledger_spent]));
	add(&sum->reserved, DatumGetInt64(row->values[Anum_ledger_reserved]));
}

static void
add_partition(Sum *sum, Oid oid)
{
	Relation	partition = rg_ledger_open(oid);
	Oid			index = sum->nkeys > 0 ? rg_ledger_index(partition, sum->index) : InvalidOid;
	RgLedgerScan scan;

	rg_ledger_scan(&scan, partition, index, sum->snapshot, sum->nkeys, sum->keys);
	while (rg_ledger_next(&scan))
		add_row(sum, &scan);
	rg_ledger_scan_end(&scan);
	table_close(partition, NoLock);
}

static void
add_ledger(Sum *sum)
{
	ListCell   *cell;

	/* Of a partition that is new, rows may be seen already */
	AcceptInvalidationMessages();
	foreach(cell, rg_month_partitions(&rg_ledger_months, sum->window.from, sum->window.until))
		add_partition(sum, lfirst_oid(cell));
}

void
rg_ledger_sum(const RgUsagePolicy *policy, RgSlice value, RgWindow window,
			  int64 *used, int64 *reserved)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "relay_guard ledger",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Sum			sum = {.window = window};

	if (policy->kind == RG_QUOTA)
		by_policy(&sum, policy->id, value);
	else
		by_scope(&sum, policy->scope, value);
	sum.snapshot = RegisterSnapshot(GetLatestSnapshot());
	add_ledger(&sum);
	UnregisterSnapshot(sum.snapshot);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	*used = sum.used;
	*reserved = sum.reserved;
}
