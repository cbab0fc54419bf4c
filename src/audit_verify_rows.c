/*
 * audit_verify_rows.c
 *		The rows of the log: read as the partitions hold them, each checked by
 *		itself, and given to its seal.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "audit_columns.h"
#include "audit_month.h"
#include "audit_object.h"
#include "audit_subject.h"
#include "audit_verify.h"
#include "varlena_slice.h"

#define PROGRESS_ROWS 100000

/* A row, its columns in the order of Anum_audit_*. */
typedef struct StoredRow
{
	Datum		values[Natts_audit];
	bool		nulls[Natts_audit];
} StoredRow;

/* Where the columns of one partition are. */
typedef struct ColumnMap
{
	AttrNumber	attnums[Natts_audit];
} ColumnMap;

/* Months change rarely from one row to the next. */
typedef struct MonthSpan
{
	TimestampTz start;
	TimestampTz end;
	DateADT		month;
} MonthSpan;

/*
 * One row
 */

static RgSlice
text_of(const StoredRow *row, int column)
{
	return row->nulls[column] ? rg_slice(NULL, 0) : rg_audit_utf8(rg_datum_slice(row->values[column]));
}

static RgSlice
printed(const StoredRow *row, int column, PGFunction print)
{
	char	   *text;

	if (row->nulls[column])
		return rg_slice(NULL, 0);
	text = DatumGetCString(DirectFunctionCall1(print, row->values[column]));
	return rg_slice(text, strlen(text));
}

static RgSlice
jsonb_of(const StoredRow *row, int column)
{
	Jsonb	   *value = row->nulls[column] ? NULL : DatumGetJsonbP(row->values[column]);

	return rg_audit_utf8(rg_audit_json(value).text);
}

static void
read_shared(const StoredRow *row, RgAuditShared *shared)
{
	shared->xid = U64FromFullTransactionId(DatumGetFullTransactionId(row->values[Anum_audit_xid]));
	shared->occurred_at = rg_audit_unix_time(DatumGetTimestampTz(row->values[Anum_audit_occurred_at]));
	shared->epoch = DatumGetInt32(row->values[Anum_audit_epoch]);
	shared->key_id = DatumGetInt32(row->values[Anum_audit_key_id]);
	shared->action = text_of(row, Anum_audit_action);
	shared->resource_type = text_of(row, Anum_audit_resource_type);
	shared->actor = text_of(row, Anum_audit_actor);
	shared->via = text_of(row, Anum_audit_via);
	shared->session_role = text_of(row, Anum_audit_session_role);
	shared->workspace_id = text_of(row, Anum_audit_workspace_id);
	shared->api_key_id = printed(row, Anum_audit_api_key_id, uuid_out);
	shared->session_id = text_of(row, Anum_audit_session_id);
	shared->request_id = text_of(row, Anum_audit_request_id);
	shared->client_ip = printed(row, Anum_audit_client_ip, inet_out);
	shared->source = text_of(row, Anum_audit_source);
	shared->status = text_of(row, Anum_audit_status);
}

static void
read_own(const StoredRow *row, RgAuditOwn *own)
{
	own->id = DatumGetInt64(row->values[Anum_audit_id]);
	own->resource_id = text_of(row, Anum_audit_resource_id);
	own->old_values = jsonb_of(row, Anum_audit_old);
	own->new_values = jsonb_of(row, Anum_audit_new);
	own->details = jsonb_of(row, Anum_audit_details);
}

static bool
mac_fits(const StoredRow *row, const uint8 *key)
{
	RgSlice		stored = rg_datum_slice(row->values[Anum_audit_mac]);
	uint8		computed[RG_AUDIT_MAC_BYTES];
	RgAuditShared shared;
	RgAuditOwn	own;
	RgAuditMac	mac;

	read_shared(row, &shared);
	read_own(row, &own);
	rg_audit_mac_begin(&mac, key, &shared);
	rg_audit_mac_row(&mac, &own, computed);
	return stored.len == sizeof computed && memcmp(stored.data, computed, sizeof computed) == 0;
}

/* Constraints see to it, unless somebody took them away. */
static bool
has_nulls(const StoredRow *row)
{
	static const int needed[] = {
		Anum_audit_id, Anum_audit_xid, Anum_audit_occurred_at, Anum_audit_epoch,
		Anum_audit_key_id, Anum_audit_mac
	};

	for (size_t i = 0; i < lengthof(needed); i++)
		if (row->nulls[needed[i]])
			return true;
	return false;
}

/* Told at the end, once for each key. */
static void
note_missing_key(RgAuditVerify *run, int32 key_id, int64 id)
{
	MemoryContext old;
	RgMissingKey *missing;
	ListCell   *cell;

	foreach(cell, run->missing_keys)
	{
		missing = lfirst(cell);
		if (missing->key_id == key_id)
		{
			missing->rows++;
			return;
		}
	}
	old = MemoryContextSwitchTo(run->context);
	missing = palloc(sizeof *missing);
	missing->key_id = key_id;
	missing->first_id = id;
	missing->rows = 1;
	run->missing_keys = lappend(run->missing_keys, missing);
	MemoryContextSwitchTo(old);
}

static void
tell_missing_keys(RgAuditVerify *run)
{
	ListCell   *cell;

	foreach(cell, run->missing_keys)
	{
		RgMissingKey *missing = lfirst(cell);

		rg_audit_problem(run, "key_missing", missing->first_id,
						 "key %d of " INT64_FORMAT " rows, this one first, is not in the key ring",
						 missing->key_id, missing->rows);
	}
}

/* True as well where there is no key to tell by. */
static bool
is_authentic(RgAuditVerify *run, const StoredRow *row)
{
	int32		key_id = DatumGetInt32(row->values[Anum_audit_key_id]);
	const uint8 *key = rg_audit_verify_key(run, (uint32) key_id);

	if (key != NULL)
		return mac_fits(row, key);
	note_missing_key(run, key_id, DatumGetInt64(row->values[Anum_audit_id]));
	return true;
}

static void
check_unsealed(RgAuditVerify *run, const StoredRow *row, int64 id, bool authentic)
{
	int32		epoch = DatumGetInt32(row->values[Anum_audit_epoch]);
	uint64		xid = U64FromFullTransactionId(DatumGetFullTransactionId(row->values[Anum_audit_xid]));

	if (!rg_audit_may_be_pending(run, epoch, row->values[Anum_audit_xid]))
		rg_audit_problem(run, "row_inserted", id,
						 "no seal has it, though transaction " UINT64_FORMAT " was over before the last%s",
						 xid, authentic ? "" : "; its MAC is not that of its columns");
	else if (!authentic)
		rg_audit_problem(run, "row_changed", id, "its MAC is not that of its columns; no seal has it");
}

static void
give_to_seal(RgAuditVerify *run, const StoredRow *row, RgSealedRows *seal, int64 id, bool authentic)
{
	uint64		xid = U64FromFullTransactionId(DatumGetFullTransactionId(row->values[Anum_audit_xid]));
	RgSlice		stored = rg_datum_slice(row->values[Anum_audit_mac]);
	uint8		mac[RG_AUDIT_MAC_BYTES] = {0};

	if (!authentic)
	{
		seal->flawed = true;
		rg_audit_problem(run, "row_changed", id, "its MAC is not that of its columns; seal " INT64_FORMAT " has it",
						 seal->seal_id);
	}
	memcpy(mac, stored.data, Min(stored.len, sizeof mac));
	rg_audit_record(run, seal, xid, id, mac);
}

static void
check_row(RgAuditVerify *run, const StoredRow *row)
{
	int64		id = DatumGetInt64(row->values[Anum_audit_id]);
	RgSealedRows *seal;
	bool		authentic;

	if (has_nulls(row))
	{
		rg_audit_problem(run, "row_changed", row->nulls[Anum_audit_id] ? 0 : id,
						 "a column that every row has is NULL");
		return;
	}
	authentic = is_authentic(run, row);
	seal = rg_audit_seal_of(run, DatumGetInt32(row->values[Anum_audit_epoch]), id);
	if (seal == NULL)
		check_unsealed(run, row, id, authentic);
	else
		give_to_seal(run, row, seal, id, authentic);
}

/*
 * Months
 */

static DateADT
month_of(MonthSpan *span, TimestampTz time)
{
	if (time >= span->start && time < span->end)
		return span->month;
	span->month = rg_audit_month(time);
	span->start = rg_audit_month_start(span->month);
	span->end = rg_audit_month_start(rg_audit_month_after(span->month));
	return span->month;
}

/* Whether the row is of a month that was asked for, which then has rows. */
static bool
take_month(RgAuditVerify *run, MonthSpan *span, const StoredRow *row)
{
	DateADT		before = span->month;
	DateADT		month;
	MemoryContext old;

	if (row->nulls[Anum_audit_occurred_at])
		return true;
	month = month_of(span, DatumGetTimestampTz(row->values[Anum_audit_occurred_at]));
	if (month != before)
	{
		old = MemoryContextSwitchTo(run->context);
		run->months = list_append_unique_int(run->months, month);
		MemoryContextSwitchTo(old);
	}
	return rg_audit_is_asked_for(run, month);
}

/*
 * Partitions
 */

static ColumnMap
map_columns(Relation partition)
{
	ColumnMap	map;

	for (int i = 0; i < Natts_audit; i++)
	{
		map.attnums[i] = get_attnum(RelationGetRelid(partition), rg_audit_log_columns[i].name);
		if (map.attnums[i] <= 0 || get_atttype(RelationGetRelid(partition), map.attnums[i]) != rg_audit_log_columns[i].type)
			ereport(ERROR,
					errcode(ERRCODE_DATATYPE_MISMATCH),
					errmsg("partition \"%s\" of the audit log has no column \"%s\" of type %s",
						   RelationGetRelationName(partition), rg_audit_log_columns[i].name,
						   format_type_be(rg_audit_log_columns[i].type)));
	}
	return map;
}

static void
read_row(TupleTableSlot *slot, const ColumnMap *map, StoredRow *row)
{
	slot_getallattrs(slot);
	for (int i = 0; i < Natts_audit; i++)
	{
		row->values[i] = slot->tts_values[map->attnums[i] - 1];
		row->nulls[i] = slot->tts_isnull[map->attnums[i] - 1];
	}
}

static void
tell_progress(RgAuditVerify *run)
{
	int64		percent = run->rows_sealed == 0 ? 100 : run->rows_read * 100 / run->rows_sealed;

	ereport(NOTICE,
			errmsg("audit_verify: " INT64_FORMAT " rows, " INT64_FORMAT " %%",
				   run->rows_read, Min(percent, 100)));
}

/* What a value that cannot even be read raises says where it is. */
static void
name_row(void *arg)
{
	TupleTableSlot *slot = arg;

	errcontext("row (%u,%u) of partition \"%s\" of the audit log",
			   ItemPointerGetBlockNumberNoCheck(&slot->tts_tid),
			   ItemPointerGetOffsetNumberNoCheck(&slot->tts_tid), get_rel_name(slot->tts_tableOid));
}

static void
scan_rows(RgAuditVerify *run, TableScanDesc scan, TupleTableSlot *slot, const ColumnMap *map)
{
	ErrorContextCallback callback = {.callback = name_row,.arg = slot,.previous = error_context_stack};
	MonthSpan	span = {0, 0, DATEVAL_NOBEGIN};
	StoredRow	row;

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		CHECK_FOR_INTERRUPTS();
		error_context_stack = &callback;
		read_row(slot, map, &row);
		if (take_month(run, &span, &row))
			check_row(run, &row);
		error_context_stack = callback.previous;
		MemoryContextReset(run->row_context);
		if (++run->rows_read % PROGRESS_ROWS == 0)
			tell_progress(run);
	}
}

/* By its name; whatever is named otherwise is read. */
static bool
may_be_asked_for(const RgAuditVerify *run, Relation partition)
{
	DateADT		month;

	return !rg_audit_month_named(RelationGetRelationName(partition), &month) ||
		rg_audit_is_asked_for(run, month);
}

static void
verify_partition(RgAuditVerify *run, Oid oid)
{
	Relation	partition = try_relation_open(oid, AccessShareLock);
	MemoryContext old;
	TableScanDesc scan;
	TupleTableSlot *slot;
	ColumnMap	map;

	if (partition == NULL)
		return;
	if (partition->rd_rel->relkind == RELKIND_RELATION && may_be_asked_for(run, partition))
	{
		map = map_columns(partition);
		slot = table_slot_create(partition, NULL);
		scan = table_beginscan(partition, run->snapshot, 0, NULL);
		old = MemoryContextSwitchTo(run->row_context);
		scan_rows(run, scan, slot, &map);
		MemoryContextSwitchTo(old);
		table_endscan(scan);
		ExecDropSingleTupleTableSlot(slot);
	}
	relation_close(partition, NoLock);
}

void
rg_audit_verify_rows(RgAuditVerify *run, List *partitions)
{
	ListCell   *cell;

	foreach(cell, partitions)
		verify_partition(run, lfirst_oid(cell));
	tell_missing_keys(run);
}

/*
 * Retirement
 */

#define RETIREMENTS \
	"SELECT * FROM relay_guard.audit_log" \
	" WHERE resource_type = 'audit_log' AND action = 'audit.retire' AND source = 'system' AND status = 'ok'"

static DateADT
before_of(const StoredRow *row)
{
	Jsonb	   *details = row->nulls[Anum_audit_details] ? NULL : DatumGetJsonbP(row->values[Anum_audit_details]);
	JsonbValue *before = details == NULL || !JB_ROOT_IS_OBJECT(details) ? NULL
	: getKeyJsonValueFromContainer(&details->root, "before", 6, NULL);
	DateADT		date;

	if (before == NULL || before->type != jbvString ||
		!rg_audit_date_read(pnstrdup(before->val.string.val, before->val.string.len), &date))
		return DATEVAL_NOBEGIN;
	return date;
}

static void
read_event(HeapTuple tuple, StoredRow *row)
{
	for (int i = 0; i < Natts_audit; i++)
		row->values[i] = SPI_getbinval(tuple, SPI_tuptable->tupdesc, i + 1, &row->nulls[i]);
}

DateADT
rg_audit_retired_before(RgAuditVerify *run)
{
	DateADT		before = DATEVAL_NOBEGIN;
	StoredRow	row;

	if (SPI_execute(RETIREMENTS, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the audit log");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		const uint8 *key;

		read_event(SPI_tuptable->vals[i], &row);
		key = rg_audit_verify_key(run, (uint32) DatumGetInt32(row.values[Anum_audit_key_id]));
		if (key != NULL && mac_fits(&row, key))
			before = Max(before, before_of(&row));
	}
	SPI_freetuptable(SPI_tuptable);
	return before;
}
