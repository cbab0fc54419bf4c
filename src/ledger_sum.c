/*
 * ledger_sum.c
 *		What an account has used and holds, from the ledger: what its totals say, and
 *		the rows that they do not cover.
 *
 * All of it is read in one snapshot, in which rounds and totals belong together.
 */
#include "postgres.h"

#include "access/stratnum.h"
#include "access/table.h"
#include "storage/bufmgr.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "ledger.h"
#include "ledger_round.h"
#include "ledger_scan.h"
#include "ledger_total.h"
#include "varlena_slice.h"

/* Rows to be looked at in each partition. */
typedef struct Part
{
	const RgLedgerRound *round; /* only those that it does not cover; or NULL */
	int			nkeys;
	ScanKeyData keys[RG_LEDGER_KEYS];
} Part;

/* An account, and what has been counted of it so far. */
typedef struct Sum
{
	bool		quota;
	RgLedgerIndex index;
	ScanKeyData keys[2];		/* which rows are its own */
	int			nkeys;
	RgLedgerAccount account;	/* the same for its totals */
	RgWindow	window;
	Snapshot	snapshot;
	RgLedgerRounds rounds;
	List	   *parts;
	int64		used;
	int64		reserved;
} Sum;

/*
 * Which rows
 */

static void
add_key(Sum *sum, int column, RegProcedure equal, Datum value)
{
	ScanKeyInit(&sum->keys[sum->nkeys++], column + 1, BTEqualStrategyNumber, equal, value);
}

static void
name(Sum *sum, const char *scope, int32 policy, RgSlice value)
{
	sum->account.scope = scope;
	sum->account.policy = policy;
	sum->account.value = value;
}

static void
by_identity(Sum *sum, const char *scope, RgLedgerIndex index, int column, RgSlice value)
{
	name(sum, scope, 0, value);
	sum->index = index;
	add_key(sum, column, F_TEXTEQ, rg_slice_datum(value));
}

static void
by_policy(Sum *sum, int32 policy, RgSlice value)
{
	name(sum, "quota", policy, value);
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
			name(sum, "global", 0, RG_SLICE("*"));
			sum->index = RG_LEDGER_BY_XID;
			return;
		case RG_BY_USER:
			by_identity(sum, "user", RG_LEDGER_BY_USER, Anum_ledger_user_id, value);
			return;
		case RG_BY_WORKSPACE:
			by_identity(sum, "workspace", RG_LEDGER_BY_WORKSPACE, Anum_ledger_workspace_id, value);
			return;
		case RG_BY_API_KEY:
			by_identity(sum, "api_key", RG_LEDGER_BY_API_KEY, Anum_ledger_api_key, value);
			return;
		default:
			elog(ERROR, "budgets have no scope %d", scope);
	}
}

/*
 * What the totals do not cover
 */

static Part *
add_part(Sum *sum, const RgLedgerRound *round)
{
	Part	   *part = palloc(sizeof *part);

	part->round = round;
	part->nkeys = sum->nkeys;
	memcpy(part->keys, sum->keys, sizeof sum->keys);
	sum->parts = lappend(sum->parts, part);
	return part;
}

static void
narrow(Part *part, int column, StrategyNumber strategy, RegProcedure function, Datum value)
{
	ScanKeyInit(&part->keys[part->nkeys++], column + 1, strategy, function, value);
}

static void
add_run(const RgLedgerRound *round, uint64 first, uint64 last, void *sum)
{
	Part	   *part = add_part(sum, round);

	narrow(part, Anum_ledger_epoch, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(round->epoch));
	narrow(part, Anum_ledger_xid, BTGreaterEqualStrategyNumber, F_XID8GE, UInt64GetDatum(first));
	if (last != PG_UINT64_MAX)
		narrow(part, Anum_ledger_xid, BTLessEqualStrategyNumber, F_XID8LE, UInt64GetDatum(last));
}

/* Epochs without a round, between one that has one and the next. */
static void
add_unknown(Sum *sum, const RgLedgerRound *after, const RgLedgerRound *before)
{
	Part	   *part = add_part(sum, NULL);

	if (after != NULL)
		narrow(part, Anum_ledger_epoch, BTGreaterStrategyNumber, F_INT4GT, Int32GetDatum(after->epoch));
	if (before != NULL)
		narrow(part, Anum_ledger_epoch, BTLessStrategyNumber, F_INT4LT, Int32GetDatum(before->epoch));
}

static void
add_uncovered(Sum *sum)
{
	const RgLedgerRound *last = NULL;

	for (int i = 0; i < sum->rounds.count; i++)
	{
		const RgLedgerRound *round = &sum->rounds.rounds[i];

		add_unknown(sum, last, round);
		rg_ledger_uncovered(round, add_run, sum);
		last = round;
	}
	add_unknown(sum, last, NULL);
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
	rg_ledger_add(&sum->used, DatumGetInt64(row->values[sum->quota ? Anum_ledger_units : Anum_ledger_spent]));
	rg_ledger_add(&sum->reserved, DatumGetInt64(row->values[Anum_ledger_reserved]));
}

static bool
is_covered(const Part *part, const RgLedgerScan *row)
{
	return part->round != NULL &&
		rg_ledger_covers(part->round, DatumGetUInt64(row->values[Anum_ledger_xid]));
}

static void
scan_part(Sum *sum, const Part *part, Relation partition, Oid index)
{
	RgLedgerScan scan;

	rg_ledger_scan(&scan, partition, index, sum->snapshot, part->nkeys, part->keys);
	while (rg_ledger_next(&scan))
		if (!is_covered(part, &scan))
			add_row(sum, &scan);
	rg_ledger_scan_end(&scan);
}

/* Those of months to come are empty. */
static void
scan_partition(Sum *sum, Oid oid)
{
	Relation	partition = rg_ledger_open(oid);
	ListCell   *cell;

	if (RelationGetNumberOfBlocks(partition) > 0)
	{
		Oid			index = rg_ledger_index(partition, sum->index);

		foreach(cell, sum->parts)
			scan_part(sum, lfirst(cell), partition, index);
	}
	table_close(partition, NoLock);
}

static void
scan_ledger(Sum *sum)
{
	ListCell   *cell;

	/* Of a partition that is new, rows may be seen already */
	AcceptInvalidationMessages();
	foreach(cell, rg_month_partitions(&rg_ledger_months, sum->window.from, sum->window.until))
		scan_partition(sum, lfirst_oid(cell));
}

/* Without totals that fit, nothing is covered. */
static void
add_up(Sum *sum)
{
	if (rg_ledger_has_totals(sum->window))
	{
		rg_ledger_rounds(sum->snapshot, &sum->rounds);
		rg_ledger_totals(&sum->account, sum->window, sum->snapshot, &sum->used, &sum->reserved);
	}
	add_uncovered(sum);
	scan_ledger(sum);
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
	add_up(&sum);
	UnregisterSnapshot(sum.snapshot);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	*used = sum.used;
	*reserved = sum.reserved;
}
