/*
 * ledger.c
 *		Writing the ledger of usage.
 *
 * Rows go straight into their partition and its indexes, as those of the audit log
 * do: no plan, no triggers, no right that could be missing.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "access/transam.h"
#include "commands/sequence.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "audit_insert.h"
#include "durable.h"
#include "ledger.h"
#include "ledger_columns.h"
#include "ledger_epoch.h"
#include "ledger_index.h"
#include "own_relation.h"
#include "usage_worker.h"
#include "varlena_slice.h"

/*
 * Bytes of a name that something is counted by: keys of usage_total hold more than
 * those of the ledger's indexes, and what does not fit there would stop all rounds.
 */
#define MAX_NAME 2048

/* Under way to one partition. */
typedef struct Writer
{
	Relation	partition;
	Oid			sequence;
	RgLedgerIndexes indexes;
	RgInsert	insert;			/* where it has others, too */
	TupleTableSlot *slot;
	TimestampTz now;
	int32		epoch;
} Writer;

/* Of a parallel worker nobody would hear how its transaction ended. */
void
rg_ledger_lock(void)
{
	PreventCommandIfParallelMode("functions of quotas and budgets");
	LockRelationOid(rg_own_relation_required("usage_ledger"), RowExclusiveLock);
}

/*
 * A row
 */

static void
set(Writer *writer, int column, Datum value)
{
	writer->slot->tts_values[column] = value;
	writer->slot->tts_isnull[column] = false;
}

static void
set_text(Writer *writer, int column, RgSlice text)
{
	if (text.data != NULL)
		set(writer, column, rg_slice_datum(text));
}

static void
set_own(Writer *writer)
{
	set(writer, Anum_ledger_id, Int64GetDatum(nextval_internal(writer->sequence, false)));
	set(writer, Anum_ledger_xid, FullTransactionIdGetDatum(GetTopFullTransactionId()));
	set(writer, Anum_ledger_epoch, Int32GetDatum(writer->epoch));
	set(writer, Anum_ledger_recorded_at, TimestampTzGetDatum(writer->now));
}

static void
set_quota(Writer *writer, const RgLedgerRow *row)
{
	set(writer, Anum_ledger_policy, Int32GetDatum(row->policy));
	set_text(writer, Anum_ledger_value, row->value);
}

static void
set_model(Writer *writer, const RgLedgerRow *row)
{
	set_text(writer, Anum_ledger_usage, row->embedding ? RG_SLICE("embedding") : RG_SLICE("llm"));
	set_text(writer, Anum_ledger_model, row->model);
	set(writer, Anum_ledger_model_version, Int32GetDatum(row->model_version));
	set(writer, Anum_ledger_input_price, Int64GetDatum(row->input_price));
	set(writer, Anum_ledger_output_price, Int64GetDatum(row->output_price));
	set(writer, Anum_ledger_input_tokens, Int64GetDatum(row->input_tokens));
	set(writer, Anum_ledger_output_tokens, Int64GetDatum(row->output_tokens));
}

static void
set_row(Writer *writer, const RgLedgerRow *row)
{
	set(writer, Anum_ledger_reserved_at, TimestampTzGetDatum(row->reserved_at));
	set_text(writer, Anum_ledger_kind, rg_slice_of(rg_ledger_kinds[row->kind]));
	if (row->has_reservation)
		set(writer, Anum_ledger_reservation, UUIDPGetDatum(&row->reservation));
	if (row->kind == RG_LEDGER_TAKE)
		set_quota(writer, row);
	else
		set_model(writer, row);
	set(writer, Anum_ledger_units, Int64GetDatum(row->units));
	set_text(writer, Anum_ledger_user_id, row->user_id);
	set_text(writer, Anum_ledger_workspace_id, row->workspace_id);
	set_text(writer, Anum_ledger_api_key, row->api_key);
	set(writer, Anum_ledger_reserved, Int64GetDatum(row->reserved));
	set(writer, Anum_ledger_spent, Int64GetDatum(row->spent));
	if (row->lease_until != 0)
		set(writer, Anum_ledger_lease_until, TimestampTzGetDatum(row->lease_until));
	set_text(writer, Anum_ledger_request_id, row->request_id);
}

/* The table's CHECKs, which nothing else asks here. */
static bool
is_sound(const RgLedgerRow *row)
{
	bool		take = row->kind == RG_LEDGER_TAKE;
	bool		alone = take || row->kind == RG_LEDGER_CHARGE;
	bool		hold = row->kind == RG_LEDGER_RESERVE || row->kind == RG_LEDGER_EXTEND;

	return row->has_reservation != alone && hold == (row->lease_until != 0) &&
		take == (row->value.data != NULL) && take == (row->model.data == NULL) &&
		row->units >= 0 && row->spent >= 0 && row->input_price >= 0 && row->output_price >= 0 &&
		row->input_tokens >= 0 && row->output_tokens >= 0;
}

static void
check_name(RgSlice name, const char *what)
{
	if (name.len > MAX_NAME)
		ereport(ERROR,
				errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				errmsg("a %s of %zu bytes cannot be counted", what, name.len),
				errdetail("It may have %d bytes.", MAX_NAME));
}

static void
check_names(const RgLedgerRow *row)
{
	check_name(row->value, "key of a quota");
	check_name(row->user_id, "user");
	check_name(row->workspace_id, "workspace");
	check_name(row->api_key, "API key");
}

/* Columns that were added and dropped again are NULL. */
static void
write_row(Writer *writer, const RgLedgerRow *row)
{
	TupleTableSlot *slot = ExecClearTuple(writer->slot);

	if (!is_sound(row))
		elog(ERROR, "row of kind %d does not fit relay_guard.usage_ledger", row->kind);
	check_names(row);
	memset(slot->tts_isnull, true, slot->tts_tupleDescriptor->natts * sizeof *slot->tts_isnull);
	set_own(writer);
	set_row(writer, row);
	ExecStoreVirtualTuple(slot);
	table_tuple_insert(writer->partition, slot, GetCurrentCommandId(true), 0, NULL);
	if (writer->indexes.others)
		rg_insert_index_entries(&writer->insert, slot);
	else
		rg_ledger_index_row(writer->partition, &writer->indexes, row, slot);
}

/*
 * Rows
 */

static int
rows_of_time(const RgLedgerRow *rows, int n)
{
	int			count = 1;

	while (count < n && rows[count].reserved_at == rows[0].reserved_at)
		count++;
	return count;
}

/* Those of one time, which are in one partition. */
static void
write_rows(const RgLedgerRow *rows, int n, TimestampTz now)
{
	Writer		writer = {.now = now,.epoch = rg_ledger_epoch()};

	writer.partition = rg_month_partition_open(&rg_ledger_months, rows[0].reserved_at, &writer.sequence);
	writer.slot = table_slot_create(writer.partition, NULL);
	rg_ledger_indexes(writer.partition, &writer.indexes);
	if (writer.indexes.others)
		rg_insert_open(&writer.insert, writer.partition);
	for (int i = 0; i < n; i++)
		write_row(&writer, &rows[i]);
	if (writer.indexes.others)
		rg_insert_close(&writer.insert);
	ExecDropSingleTupleTableSlot(writer.slot);
	table_close(writer.partition, NoLock);
}

void
rg_ledger_write(const RgLedgerRow *rows, int n)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "relay_guard ledger",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	TimestampTz now = GetCurrentTimestamp();
	int			count;

	PreventCommandIfReadOnly("INSERT INTO relay_guard.usage_ledger");
	PreventCommandDuringRecovery("INSERT INTO relay_guard.usage_ledger");
	for (int i = 0; i < n; i += count)
	{
		count = rows_of_time(rows + i, n - i);
		write_rows(rows + i, count, now);
	}
	rg_commit_durably();
	rg_usage_worker_wrote();
	CommandCounterIncrement();
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}
