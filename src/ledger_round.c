/*
 * ledger_round.c
 *		Which rows of the ledger its totals cover.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"

#include "audit_columns.h"
#include "ledger_round.h"
#include "own_relation.h"

/* Xids so near to each other are looked for together. */
#define NEAR 256

enum
{
	COL_EPOCH, COL_SNAP, COL_ROLLED_AT,
	NCOLUMNS
};

static const RgLogColumn columns[NCOLUMNS] = {
	{"epoch", INT4OID}, {"snap", PG_SNAPSHOTOID}, {"rolled_at", TIMESTAMPTZOID}
};

/* Its text is what is known of a pg_snapshot: xmin:xmax:xip,xip,... in ascending order. */
static void
read_snapshot(Datum snapshot, RgLedgerRound *round)
{
	char	   *text = OidOutputFunctionCall(F_PG_SNAPSHOT_OUT, snapshot);
	char	   *rest;
	int			size = 0;

	(void) strtou64(text, &rest, 10);
	round->xmax = strtou64(rest + 1, &rest, 10);
	for (const char *c = rest; *c != '\0'; c++)
		size += *c == ',' || *c == ':';
	round->xip = palloc(Max(size, 1) * sizeof *round->xip);
	while (*rest != '\0' && rest[1] != '\0')
		round->xip[round->nxip++] = strtou64(rest + 1, &rest, 10);
}

static void
add_round(RgLedgerRounds *rounds, TupleTableSlot *slot)
{
	RgLedgerRound *round;
	bool		isnull;

	if (rounds->rounds == NULL)
		rounds->rounds = palloc(sizeof *round);
	else
		rounds->rounds = repalloc(rounds->rounds, (rounds->count + 1) * sizeof *round);
	round = &rounds->rounds[rounds->count++];
	memset(round, 0, sizeof *round);
	round->epoch = DatumGetInt32(slot_getattr(slot, COL_EPOCH + 1, &isnull));
	read_snapshot(slot_getattr(slot, COL_SNAP + 1, &isnull), round);
}

static int
by_epoch(const void *a, const void *b)
{
	int32		left = ((const RgLedgerRound *) a)->epoch;
	int32		right = ((const RgLedgerRound *) b)->epoch;

	return left < right ? -1 : left > right;
}

void
rg_ledger_rounds(Snapshot snapshot, RgLedgerRounds *rounds)
{
	Relation	table = table_open(rg_own_relation_required("usage_round"), AccessShareLock);
	TableScanDesc scan;
	TupleTableSlot *slot;

	rg_audit_require_columns(table, columns, NCOLUMNS);
	memset(rounds, 0, sizeof *rounds);
	slot = table_slot_create(table, NULL);
	scan = table_beginscan(table, snapshot, 0, NULL);
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
		add_round(rounds, slot);
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	table_close(table, NoLock);
	if (rounds->count > 1)
		qsort(rounds->rounds, rounds->count, sizeof *rounds->rounds, by_epoch);
}

static int
by_xid(const void *a, const void *b)
{
	uint64		left = *(const uint64 *) a;
	uint64		right = *(const uint64 *) b;

	return left < right ? -1 : left > right;
}

bool
rg_ledger_covers(const RgLedgerRound *round, uint64 xid)
{
	return xid < round->xmax &&
		(round->nxip == 0 || bsearch(&xid, round->xip, round->nxip, sizeof xid, by_xid) == NULL);
}

/* A transaction may have been under way for days: what lies between is not looked at. */
void
rg_ledger_uncovered(const RgLedgerRound *round,
					void (*take) (const RgLedgerRound *round, uint64 first, uint64 last, void *arg),
					void *arg)
{
	uint64		first = round->xmax;
	uint64		last = PG_UINT64_MAX;

	for (int i = round->nxip - 1; i >= 0; i--)
	{
		if (first - round->xip[i] > NEAR)
		{
			take(round, first, last, arg);
			last = round->xip[i];
		}
		first = round->xip[i];
	}
	take(round, first, last, arg);
}
