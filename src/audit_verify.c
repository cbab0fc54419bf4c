/*
 * audit_verify.c
 *		audit_verify(): whether the audit log is what was written.
 *
 * Rows are read from the partitions' pages, not by an index, for what an index
 * does not tell must not be hidden from verification.  Memory is bounded by
 * maintenance_work_mem, some 100 bytes a seal and a bit for each row of the
 * largest one.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_inherits.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

#include "audit_columns.h"
#include "audit_month.h"
#include "audit_subject.h"
#include "audit_verify.h"
#include "keyring.h"
#include "own_relation.h"
#include "ratchet_file.h"

#define RESULT_COLUMNS 3

void
rg_audit_problem(RgAuditVerify *run, const char *problem, int64 id, const char *detail,...)
{
	Datum		values[RESULT_COLUMNS];
	bool		nulls[RESULT_COLUMNS] = {0};
	StringInfoData text;
	va_list		args;
	int			needed;

	initStringInfo(&text);
	for (;;)
	{
		va_start(args, detail);
		needed = appendStringInfoVA(&text, detail, args);
		va_end(args);
		if (needed == 0)
			break;
		enlargeStringInfo(&text, needed);
	}
	values[0] = CStringGetTextDatum(problem);
	values[1] = Int64GetDatum(id);
	values[2] = CStringGetTextDatum(text.data);
	tuplestore_putvalues(run->set->setResult, run->set->setDesc, values, nulls);
	pfree(text.data);
}

const uint8 *
rg_audit_verify_key(RgAuditVerify *run, uint32 key_id)
{
	if (key_id != 0 && key_id == run->key_id)
		return run->key;
	run->key_id = 0;
	if (!rg_keyring_audit_key(key_id, run->key))
		return NULL;
	run->key_id = key_id;
	return run->key;
}

static DateADT
month_argument(FunctionCallInfo fcinfo, int argument, DateADT unbounded)
{
	if (PG_ARGISNULL(argument) || TIMESTAMP_NOT_FINITE(PG_GETARG_TIMESTAMPTZ(argument)))
		return unbounded;
	return rg_audit_month(PG_GETARG_TIMESTAMPTZ(argument));
}

/*
 * Read before the seals are: it follows them.  -1 without a ratchet, or when it
 * cannot be read.
 */
static int64
read_ratchet_step(void)
{
	const char *path = GetConfigOption("relay_guard.audit_ratchet_file", true, false);
	RgRatchet	ratchet;
	char		problem[128];
	int64		step;

	if (path == NULL || path[0] == '\0')
		return -1;
	if (!rg_ratchet_file_read(path, &ratchet, problem, sizeof problem))
	{
		ereport(WARNING,
				errcode(ERRCODE_CONFIG_FILE_ERROR),
				errmsg("the ratchet of the audit log cannot be read: %s", problem),
				errdetail("So audit_verify() does not see whether the last seals were cut off."));
		return -1;
	}
	step = ratchet.step;
	rg_ratchet_wipe(&ratchet);
	return step;
}

/*
 * Partitions are listed, and so locked, before the snapshot is taken: of one
 * that is gone by then, the snapshot sees the event of its retirement.  And once
 * more afterwards: of one that was made meanwhile, it may see seals.
 */
static List *
list_partitions(Oid log, List *known)
{
	return list_concat_unique_oid(known, find_all_inheritors(log, AccessShareLock, NULL));
}

static void
check_log(Oid oid)
{
	Relation	log = table_open(oid, AccessShareLock);

	rg_audit_require_columns(log, rg_audit_log_columns, Natts_audit);
	table_close(log, NoLock);
}

static List *
begin_reading(RgAuditVerify *run)
{
	Oid			log = rg_own_relation_required("audit_log");
	List	   *partitions;

	check_log(log);
	partitions = list_partitions(log, NIL);
	run->ratchet_step = read_ratchet_step();
	run->snapshot = RegisterSnapshot(GetLatestSnapshot());
	PushActiveSnapshot(run->snapshot);
	return list_partitions(log, partitions);
}

static void
begin_records(RgAuditVerify *run)
{
	TypeCacheEntry *type = lookup_type_cache(BYTEAOID, TYPECACHE_LT_OPR);

	run->records = tuplesort_begin_datum(BYTEAOID, type->lt_opr, InvalidOid, false,
										 maintenance_work_mem, NULL, TUPLESORT_NONE);
}

static void
end_reading(RgAuditVerify *run)
{
	tuplesort_end(run->records);
	PopActiveSnapshot();
	UnregisterSnapshot(run->snapshot);
}

/* The key does not outlive the run, however that ends. */
static void
wipe_key(void *arg)
{
	sodium_memzero(((RgAuditVerify *) arg)->key, RG_KEY_BYTES);
}

static RgAuditVerify *
make_run(ReturnSetInfo *set)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "audit_verify",
												  ALLOCSET_DEFAULT_SIZES);
	RgAuditVerify *run = MemoryContextAllocZero(context, sizeof *run);
	MemoryContextCallback *callback = MemoryContextAllocZero(context, sizeof *callback);

	run->context = context;
	run->row_context = AllocSetContextCreate(context, "audit_verify row", ALLOCSET_DEFAULT_SIZES);
	run->set = set;
	callback->func = wipe_key;
	callback->arg = run;
	MemoryContextRegisterResetCallback(context, callback);
	return run;
}

static void
verify(RgAuditVerify *run)
{
	List	   *partitions = begin_reading(run);

	run->retired_before = rg_audit_retired_before(run);
	rg_audit_verify_seals(run);
	begin_records(run);
	rg_audit_verify_rows(run, partitions);
	rg_audit_verify_digests(run);
	end_reading(run);
}

PG_FUNCTION_INFO_V1(relay_guard_audit_verify);

/* audit_verify(since, until) → (problem, id, detail) */
Datum
relay_guard_audit_verify(PG_FUNCTION_ARGS)
{
	MemoryContext old;
	RgAuditVerify *run;

	InitMaterializedSRF(fcinfo, 0);
	run = make_run((ReturnSetInfo *) fcinfo->resultinfo);
	run->first_month = month_argument(fcinfo, 0, DATEVAL_NOBEGIN);
	run->last_month = month_argument(fcinfo, 1, DATEVAL_NOEND);
	(void) rg_keyring_primary();	/* without a ring there is nothing to tell
									 * by */
	old = MemoryContextSwitchTo(run->context);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	verify(run);
	SPI_finish();
	MemoryContextSwitchTo(old);
	MemoryContextDelete(run->context);
	return (Datum) 0;
}
