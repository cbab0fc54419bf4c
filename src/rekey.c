/*
 * rekey.c
 *		CALL rekey(): passes over an encrypted column until every value is under
 *		the primary key.
 *
 * The last pass must see what every other transaction wrote under an older
 * key, also what was not committed when the rotation began.  So a pass counts
 * only if it began after those transactions ended that were writing the table
 * once every session had had time to notice the new key.  Hence two passes at
 * least; the second one reads, and writes what it still finds.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"

#include "encrypted_column.h"
#include "keyring.h"
#include "procedure.h"
#include "rekey_batch.h"
#include "rekey_scope.h"
#include "rekey_state.h"

#define MAX_BATCH 100000

/* After that long every session seals under the key that is primary here. */
#define NOTICED_MS 200

/* How long is waited for rows that others have locked. */
#define MIN_WAIT_MS 50
#define MAX_WAIT_MS 10000

/* The primary key that this session knows, and since when. */
static uint32 known_primary;
static TimestampTz known_since;

/*
 * One run a column
 */

static void
lock(RgRekey *run)
{
	if (!rg_procedure_lock(run->context, run->relation, (uint32) run->attnum))
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_IN_USE),
				errmsg("column \"%s\" of table \"%s\" is being re-encrypted by another session",
					   get_attname(run->relation, run->attnum, false), get_rel_name(run->relation)),
				errhint("relay_guard.rekey_progress shows which, and how far it is."));
}

/* Values go to whichever key is primary now, also if the ring changed meanwhile. */
static void
aim(RgRekey *run)
{
	uint32		primary = rg_keyring_primary();

	if (primary != known_primary)
		known_since = GetCurrentTimestamp();
	known_primary = primary;
	if (primary != run->target)
		run->settled = false;
	run->target = primary;
}

/*
 * Waiting
 */

static void
sleep_ms(long ms)
{
	if (ms <= 0)
		return;
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, ms, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

static void
sleep_until_noticed(void)
{
	TimestampTz noticed = TimestampTzPlusMilliseconds(known_since, NOTICED_MS);
	long		left;

	while ((left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), noticed)) > 0)
		sleep_ms(left);
}

#define WRITERS \
	"SELECT DISTINCT virtualtransaction FROM pg_locks" \
	" WHERE locktype = 'relation' AND mode = 'RowExclusiveLock' AND granted AND pid IS DISTINCT FROM pg_backend_pid()" \
	" AND database = (SELECT oid FROM pg_database WHERE datname = current_database())" \
	" AND relation IN (SELECT $1 UNION ALL SELECT relid FROM pg_partition_tree($1))"

/* "backend/transaction"; positional, since releases name the fields differently. */
static VirtualTransactionId
parse_transaction(const char *text)
{
	char	   *end;
	int			backend = strtol(text, &end, 10);
	VirtualTransactionId result = {backend, (LocalTransactionId) strtoul(end + 1, NULL, 10)};

	return result;
}

/* The transactions that are writing the table, or have written it. */
static VirtualTransactionId *
list_writers(const RgRekey *run, uint64 *count)
{
	Oid			types[1] = {REGCLASSOID};
	Datum		values[1] = {ObjectIdGetDatum(run->relation)};
	RgRekeyScope scope;
	VirtualTransactionId *writers;

	SPI_connect();
	scope = rg_rekey_enter(GetUserId(), "pg_catalog, pg_temp");
	if (SPI_execute_with_args(WRITERS, 1, types, values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read pg_locks");
	*count = SPI_processed;
	writers = MemoryContextAlloc(run->context, (*count + 1) * sizeof *writers);
	for (uint64 i = 0; i < *count; i++)
		writers[i] = parse_transaction(SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1));
	rg_rekey_leave(scope);
	SPI_finish();
	return writers;
}

/* Holding no lock that a client could want, and no snapshot. */
static void
wait_for_writers(const RgRekey *run)
{
	uint64		count;
	VirtualTransactionId *writers = list_writers(run, &count);
	int			guc_level;

	rg_procedure_commit();
	guc_level = NewGUCNestLevel();
	rg_rekey_pin("lock_timeout", "0");
	for (uint64 i = 0; i < count; i++)
		(void) VirtualXactLock(writers[i], true);
	AtEOXact_GUC(false, guc_level);
	pfree(writers);
}

static void
store_phase(RgRekey *run, const char *phase)
{
	run->phase = phase;
	rg_rekey_store(run);
	rg_procedure_commit();
}

/* After a pass that got nowhere because of locks: not at once again. */
static void
wait_between_passes(RgRekey *run, TimestampTz pass_began)
{
	long		lasted = TimestampDifferenceMilliseconds(pass_began, GetCurrentTimestamp());

	store_phase(run, RG_REKEY_WAITING);
	sleep_until_noticed();
	if (run->rows_locked > 0 && run->pass_done == 0)
		sleep_ms(Min(Max(lasted, MIN_WAIT_MS), MAX_WAIT_MS));
	wait_for_writers(run);
	run->phase = RG_REKEY_WORKING;
}

/*
 * The run
 */

/* Returns false when the column is encrypted no more. */
static bool
run_pass(RgRekey *run, int size)
{
	RgRekeyBatch result;

	do
	{
		CHECK_FOR_INTERRUPTS();
		aim(run);
		result = rg_rekey_batch(run, size);
		if (result != RG_REKEY_GONE)
			rg_rekey_store(run);
		rg_procedure_commit();
	} while (result == RG_REKEY_MORE);
	return result != RG_REKEY_GONE;
}

static void
report_failures(const RgRekey *run)
{
	StringInfoData rows;

	initStringInfo(&rows);
	for (int i = 0; i < run->nfailures; i++)
		appendStringInfo(&rows, "%s%s", i > 0 ? "\n" : "", run->failures[i]);
	ereport(WARNING,
			errcode(ERRCODE_WARNING),
			errmsg(INT64_FORMAT " values of column \"%s\" of table \"%s\" are not under the primary key",
				   run->rows_failed, get_attname(run->relation, run->attnum, true),
				   get_rel_name(run->relation)),
			errdetail("%s", rows.data),
			errhint("Do not retire their keys. Repair or remove these values, and CALL rekey() again."));
}

static void
end_run(RgRekey *run)
{
	store_phase(run, run->rows_failed > 0 ? RG_REKEY_INCOMPLETE : RG_REKEY_DONE);
	if (run->rows_failed > 0)
		report_failures(run);
}

static void
end_without_column(RgRekey *run)
{
	rg_rekey_forget(run);
	rg_procedure_commit();
	ereport(NOTICE,
			errmsg("the column that was being re-encrypted is gone, or is encrypted no more"));
}

static bool
is_complete(const RgRekey *run)
{
	return run->settled && run->pass_done == 0 && run->rows_locked == 0;
}

static void
run_passes(RgRekey *run, int size)
{
	for (;;)
	{
		TimestampTz began = GetCurrentTimestamp();

		if (!run_pass(run, size))
		{
			end_without_column(run);
			return;
		}
		if (run->settled)
			rg_rekey_publish(run);
		if (is_complete(run))
		{
			end_run(run);
			return;
		}
		wait_between_passes(run, began);
		rg_rekey_new_pass(run, true);
	}
}

static void
rekey_column(Oid relation, AttrNumber attnum, int size)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "rekey", ALLOCSET_DEFAULT_SIZES);
	RgRekey    *run = MemoryContextAllocZero(context, sizeof *run);

	run->context = context;
	run->relation = relation;
	run->attnum = attnum;
	lock(run);
	rg_procedure_commit();
	rg_rekey_load(run);
	run_passes(run, size);
	MemoryContextDelete(context);
}

/*
 * SQL
 */

static int
batch_argument(FunctionCallInfo fcinfo, int argument)
{
	int			size = PG_ARGISNULL(argument) ? 0 : PG_GETARG_INT32(argument);

	if (size < 1 || size > MAX_BATCH)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("batch must be from 1 to %d", MAX_BATCH));
	return size;
}

static bool
is_encrypted(Oid relation, AttrNumber attnum)
{
	Relation	rel = relation_open(relation, AccessShareLock);
	bool		found = rg_encrypted_column_at(rel, attnum) != NULL;

	relation_close(rel, NoLock);
	return found;
}

static AttrNumber
column_argument(Oid relation, const char *name)
{
	AttrNumber	attnum = get_attnum(relation, name);

	if (attnum <= 0)
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_COLUMN),
				errmsg("column \"%s\" of table \"%s\" does not exist", name, get_rel_name(relation)));
	if (!is_encrypted(relation, attnum))
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("column \"%s\" of table \"%s\" is not encrypted", name, get_rel_name(relation)),
				errhint("relay_guard.encrypted_column lists the columns that are."));
	return attnum;
}

PG_FUNCTION_INFO_V1(relay_guard_rekey);

/* rekey("table" regclass, "column" name, batch integer) */
Datum
relay_guard_rekey(PG_FUNCTION_ARGS)
{
	Oid			relation;
	int			size = batch_argument(fcinfo, 2);
	AttrNumber	attnum;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("table and column must not be null"));
	rg_procedure_require_top_level(fcinfo, "rekey()", "It commits after every batch.");
	relation = PG_GETARG_OID(0);
	if (!rg_rekey_require_owner(relation))
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_TABLE),
				errmsg("table with OID %u does not exist", relation));
	attnum = column_argument(relation, NameStr(*PG_GETARG_NAME(1)));
	SPI_connect_ext(SPI_OPT_NONATOMIC);
	rekey_column(relation, attnum, size);
	SPI_finish();
	return (Datum) 0;
}

#define COLUMNS \
	"SELECT c.relation::oid, a.attnum, pg_has_role($1, r.relowner, 'USAGE')" \
	" FROM relay_guard.encrypted_column c JOIN pg_class r ON r.oid = c.relation" \
	" JOIN pg_attribute a ON a.attrelid = c.relation AND a.attname = c.column_name" \
	" ORDER BY c.relation::text, a.attnum"

typedef struct RekeyColumn
{
	Oid			relation;
	AttrNumber	attnum;
	bool		allowed;
} RekeyColumn;

/* In the current memory context, which outlives transactions. */
static RekeyColumn *
list_columns(uint64 *count)
{
	MemoryContext context = CurrentMemoryContext;
	Oid			types[1] = {OIDOID};
	Datum		values[1] = {ObjectIdGetDatum(GetUserId())};
	bool		isnull;
	RekeyColumn *columns;

	SPI_connect();
	rg_rekey_read_as_owner(COLUMNS, 1, types, values);
	*count = SPI_processed;
	columns = MemoryContextAlloc(context, (*count + 1) * sizeof *columns);
	for (uint64 i = 0; i < *count; i++)
	{
		HeapTuple	row = SPI_tuptable->vals[i];

		columns[i].relation = DatumGetObjectId(SPI_getbinval(row, SPI_tuptable->tupdesc, 1, &isnull));
		columns[i].attnum = DatumGetInt16(SPI_getbinval(row, SPI_tuptable->tupdesc, 2, &isnull));
		columns[i].allowed = DatumGetBool(SPI_getbinval(row, SPI_tuptable->tupdesc, 3, &isnull));
	}
	SPI_finish();
	return columns;
}

static void
rekey_or_skip(const RekeyColumn *column, int size)
{
	const char *table = get_rel_name(column->relation);
	const char *name = get_attname(column->relation, column->attnum, true);

	if (table == NULL || name == NULL)
		return;					/* dropped since they were listed */
	if (column->allowed)
		rekey_column(column->relation, column->attnum, size);
	else
		ereport(NOTICE,
				errmsg("column \"%s\" of table \"%s\" is left as it is: you do not own the table", name, table));
}

/* With the caller's rights: it is granted to whom rekey_all() is. */
static void
rekey_secrets(void)
{
	RgRekeyScope scope = rg_rekey_enter(GetUserId(), "pg_catalog, pg_temp");

	if (SPI_execute("SELECT relay_guard.rekey_secrets()", false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not re-encrypt stored secrets");
	rg_rekey_leave(scope);
}

PG_FUNCTION_INFO_V1(relay_guard_rekey_all);

/* rekey_all(batch integer) */
Datum
relay_guard_rekey_all(PG_FUNCTION_ARGS)
{
	int			size = batch_argument(fcinfo, 0);
	RekeyColumn *columns;
	uint64		count;

	rg_procedure_require_top_level(fcinfo, "rekey()", "It commits after every batch.");
	SPI_connect_ext(SPI_OPT_NONATOMIC);
	columns = list_columns(&count);
	for (uint64 i = 0; i < count; i++)
		rekey_or_skip(&columns[i], size);
	rekey_secrets();
	SPI_finish();
	return (Datum) 0;
}
