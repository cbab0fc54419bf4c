/*
 * ledger_total.c
 *		Sums of the ledger that are kept, of 15 minutes and of days of UTC.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "common/int.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "audit_columns.h"
#include "ledger_total.h"
#include "own_relation.h"
#include "varlena_slice.h"

#define QUARTER (15 * USECS_PER_MINUTE)

enum
{
	COL_SCOPE, COL_POLICY, COL_VALUE, COL_DAILY, COL_BUCKET, COL_USED, COL_RESERVED,
	NCOLUMNS
};

static const RgLogColumn columns[NCOLUMNS] = {
	{"scope", TEXTOID}, {"policy", INT4OID}, {"value", TEXTOID}, {"daily", BOOLOID},
	{"bucket", TIMESTAMPTZOID}, {"used", INT8OID}, {"reserved", INT8OID}
};

/* An account's totals, and what has been counted of them so far. */
typedef struct Reader
{
	const RgLedgerAccount *account;
	Relation	table;
	Oid			index;
	Snapshot	snapshot;
	int64	   *used;
	int64	   *reserved;
} Reader;

void
rg_ledger_add(int64 *sum, int64 change)
{
	if (pg_add_s64_overflow(*sum, change, sum))
		ereport(ERROR,
				errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				errmsg("sum of usage out of range"));
}

/*
 * Which
 */

static bool
is_bound(TimestampTz at)
{
	return TIMESTAMP_NOT_FINITE(at) || at % QUARTER == 0;
}

bool
rg_ledger_has_totals(RgWindow window)
{
	return is_bound(window.from) && is_bound(window.until);
}

/* The last midnight of UTC that is not after a time, which is after 2000. */
static TimestampTz
day_before(TimestampTz at)
{
	return TIMESTAMP_NOT_FINITE(at) ? at : at - at % USECS_PER_DAY;
}

static TimestampTz
day_after(TimestampTz at)
{
	TimestampTz day = day_before(at);

	return day == at ? day : day + USECS_PER_DAY;
}

/*
 * Reading
 */

static void
set_keys(ScanKey keys, const RgLedgerAccount *account, bool daily, TimestampTz from, TimestampTz until)
{
	ScanKeyInit(&keys[0], COL_SCOPE + 1, BTEqualStrategyNumber, F_TEXTEQ,
				CStringGetTextDatum(account->scope));
	ScanKeyInit(&keys[1], COL_POLICY + 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(account->policy));
	ScanKeyInit(&keys[2], COL_VALUE + 1, BTEqualStrategyNumber, F_TEXTEQ, rg_slice_datum(account->value));
	ScanKeyInit(&keys[3], COL_DAILY + 1, BTEqualStrategyNumber, F_BOOLEQ, BoolGetDatum(daily));
	ScanKeyInit(&keys[4], COL_BUCKET + 1, BTGreaterEqualStrategyNumber, F_TIMESTAMPTZ_GE,
				TimestampTzGetDatum(from));
	ScanKeyInit(&keys[5], COL_BUCKET + 1, BTLessStrategyNumber, F_TIMESTAMPTZ_LT,
				TimestampTzGetDatum(until));
}

static void
add_tuple(Reader *reader, HeapTuple tuple)
{
	TupleDesc	desc = RelationGetDescr(reader->table);
	bool		isnull;

	rg_ledger_add(reader->used, DatumGetInt64(heap_getattr(tuple, COL_USED + 1, desc, &isnull)));
	rg_ledger_add(reader->reserved, DatumGetInt64(heap_getattr(tuple, COL_RESERVED + 1, desc, &isnull)));
}

static void
add_run(Reader *reader, bool daily, TimestampTz from, TimestampTz until)
{
	ScanKeyData keys[6];
	SysScanDesc scan;
	HeapTuple	tuple;

	if (from >= until)
		return;
	set_keys(keys, reader->account, daily, from, until);
	scan = systable_beginscan(reader->table, reader->index, true, reader->snapshot, lengthof(keys), keys);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		add_tuple(reader, tuple);
	systable_endscan(scan);
}

/* Whole days by their own sums. */
static void
add_window(Reader *reader, RgWindow window)
{
	TimestampTz first = day_after(window.from);
	TimestampTz last = day_before(window.until);

	if (first >= last)
	{
		add_run(reader, false, window.from, window.until);
		return;
	}
	add_run(reader, false, window.from, first);
	add_run(reader, true, first, last);
	add_run(reader, false, last, window.until);
}

void
rg_ledger_totals(const RgLedgerAccount *account, RgWindow window, Snapshot snapshot,
				 int64 *used, int64 *reserved)
{
	Reader		reader = {.account = account,.snapshot = snapshot,.used = used,.reserved = reserved};

	reader.table = table_open(rg_own_relation_required("usage_total"), AccessShareLock);
	reader.index = rg_own_relation_required("usage_total_pkey");
	rg_audit_require_columns(reader.table, columns, NCOLUMNS);
	add_window(&reader, window);
	table_close(reader.table, NoLock);
}
