/*
 * audit_seal_scan.c
 *		Reading the rows that are in no seal yet.
 *
 * Which rows are new goes by snapshots, not by ids, which do not commit in
 * order, and not by the oldest transaction, which may stay for ever: those that
 * were under way in the snapshot before and are not now, and those that began
 * after it.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "audit_seal_scan.h"
#include "varlena_slice.h"

#define BATCH 1000

#define COLUMNS "SELECT l.id, l.xid, l.epoch, l.occurred_at, l.mac FROM relay_guard.audit_log l "

static const char *const from_start =
COLUMNS
"WHERE l.epoch = $1 AND pg_visible_in_snapshot(l.xid, $2) ORDER BY l.xid, l.id";

static const char *const late =
COLUMNS
"WHERE l.epoch = $1 AND pg_visible_in_snapshot(l.xid, $2)"
" AND l.xid = ANY (ARRAY(SELECT pg_snapshot_xip($3))) ORDER BY l.xid, l.id";

static const char *const since =
COLUMNS
"WHERE l.epoch = $1 AND pg_visible_in_snapshot(l.xid, $2)"
" AND l.xid >= pg_snapshot_xmax($3) ORDER BY l.xid, l.id";

static const char *const foreign =
"WITH sealed AS (SELECT DISTINCT ON (epoch) epoch, snap"
" FROM relay_guard.audit_seal ORDER BY epoch, seal_id DESC),"
" adopted AS (SELECT row_epoch, range_agg(ids) AS ids"
" FROM relay_guard.audit_seal WHERE row_epoch <> epoch GROUP BY row_epoch) "
COLUMNS
"LEFT JOIN sealed s ON s.epoch = l.epoch LEFT JOIN adopted a ON a.row_epoch = l.epoch"
" WHERE l.epoch <> $1 AND (s.snap IS NULL OR NOT pg_visible_in_snapshot(l.xid, s.snap))"
" AND (a.ids IS NULL OR NOT a.ids @> l.id) ORDER BY l.epoch, l.xid, l.id";

static Datum
column(HeapTuple tuple, int number)
{
	bool		isnull;
	Datum		value = SPI_getbinval(tuple, SPI_tuptable->tupdesc, number, &isnull);

	if (isnull)
		elog(ERROR, "column %d of relay_guard.audit_log is null", number);
	return value;
}

/* A MAC of another length is no MAC; the row is sealed all the same, and found. */
static void
take_tuple(HeapTuple tuple, RgTakeRow take, void *arg)
{
	RgSlice		mac = rg_datum_slice(column(tuple, 5));
	RgAuditRow	row = {
		.id = DatumGetInt64(column(tuple, 1)),
		.xid = DatumGetUInt64(column(tuple, 2)),
		.epoch = DatumGetInt32(column(tuple, 3)),
		.occurred_at = DatumGetTimestampTz(column(tuple, 4)),
	};

	memcpy(row.mac, mac.data, Min(mac.len, sizeof row.mac));
	take(&row, arg);
}

static void
take_batch(RgTakeRow take, void *arg)
{
	for (uint64 i = 0; i < SPI_processed; i++)
		take_tuple(SPI_tuptable->vals[i], take, arg);
	SPI_freetuptable(SPI_tuptable);
}

static void
scan(const char *query, int nargs, Datum *args, RgTakeRow take, void *arg)
{
	Oid			types[] = {INT4OID, PG_SNAPSHOTOID, PG_SNAPSHOTOID};
	Portal		rows = SPI_cursor_open_with_args(NULL, query, nargs, types, args, NULL, true,
												 CURSOR_OPT_NO_SCROLL);

	for (;;)
	{
		SPI_cursor_fetch(rows, true, BATCH);
		if (SPI_processed == 0)
			break;
		take_batch(take, arg);
	}
	SPI_cursor_close(rows);
}

/* A few new rows among millions: the index, whatever a table's statistics say. */
static void
scan_by_index(const char *query, int nargs, Datum *args, RgTakeRow take, void *arg)
{
	int			level = NewGUCNestLevel();

	(void) set_config_option("enable_seqscan", "off", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	scan(query, nargs, args, take, arg);
	AtEOXact_GUC(true, level);
}

void
rg_seal_scan_new(int32 epoch, const Datum *before, Datum snap, RgTakeRow take, void *arg)
{
	Datum		args[] = {Int32GetDatum(epoch), snap, before != NULL ? *before : (Datum) 0};

	if (before == NULL)
	{
		scan(from_start, 2, args, take, arg);
		return;
	}
	scan_by_index(late, 3, args, take, arg);
	scan_by_index(since, 3, args, take, arg);
}

void
rg_seal_scan_foreign(int32 epoch, RgTakeRow take, void *arg)
{
	Datum		args[] = {Int32GetDatum(epoch)};

	scan(foreign, 1, args, take, arg);
}
