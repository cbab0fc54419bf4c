/*
 * audit_retire.c
 *		CALL audit_retire(): whole months leave the audit log.
 *
 * Three transactions at least: the event that says which months go is there
 * first, so that no reader ever sees rows missing without it; then each
 * partition is detached, and dropped once nothing can be in it that no seal
 * has.  Broken off anywhere, the next CALL goes on.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "audit_detach.h"
#include "audit_month.h"
#include "audit_write.h"
#include "own_relation.h"
#include "procedure.h"
#include "rekey_scope.h"

/* How long writers may wait where no worker could be started. */
#define PLAIN_LOCK_TIMEOUT "1s"

typedef enum PartitionState
{
	ATTACHED,
	DETACHING,					/* DETACH CONCURRENTLY was broken off */
	DETACHED
} PartitionState;

typedef struct RetiredPartition
{
	Oid			oid;
	NameData	name;
} RetiredPartition;

typedef struct Retirement
{
	MemoryContext context;
	Oid			log;
	Oid			owner;			/* of the log, as whom all this is done */
	DateADT		before;			/* the first of a month */
	RetiredPartition *partitions;
	uint64		count;
} Retirement;

/*
 * Statements, as the owner of the log
 */

/* Returns the first row's first column, an integer, or 0. */
static int64
run(const Retirement *retirement, const char *sql)
{
	RgRekeyScope scope = rg_rekey_enter(retirement->owner, "pg_catalog, pg_temp");
	bool		isnull = true;
	Datum		value = (Datum) 0;

	if (SPI_execute(sql, false, 0) < 0)
		elog(ERROR, "could not run: %s", sql);
	if (SPI_tuptable != NULL && SPI_processed > 0)
		value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	rg_rekey_leave(scope);
	return isnull ? 0 : DatumGetInt64(value);
}

static const char *
quoted(const RetiredPartition *partition)
{
	return quote_qualified_identifier("relay_guard", NameStr(partition->name));
}

/*
 * Those of the log that are wholly before; of the others by their names, which
 * the detached ones still have.
 */
#define PARTITIONS \
	"SELECT c.oid, c.relname FROM pg_class c" \
	" LEFT JOIN pg_inherits i ON i.inhrelid = c.oid AND i.inhparent = $1" \
	" LEFT JOIN relay_guard.audit_partitions() p ON p.partition = c.oid" \
	" WHERE c.relnamespace = 'relay_guard'::regnamespace AND c.relkind = 'r' AND c.relowner = $2" \
	" AND c.relname ~ '^audit_log_[0-9]{4}_(0[1-9]|1[0-2])$'" \
	" AND to_date(substr(c.relname, 11), 'YYYY_MM') < $3" \
	" AND (i.inhrelid IS NULL OR i.inhdetachpending OR p.upper <= ($3::timestamp AT TIME ZONE 'UTC'))" \
	" ORDER BY c.relname"

static void
list_partitions(Retirement *retirement)
{
	Oid			types[3] = {OIDOID, OIDOID, DATEOID};
	Datum		values[3] = {
		ObjectIdGetDatum(retirement->log), ObjectIdGetDatum(retirement->owner),
		DateADTGetDatum(retirement->before)
	};
	RgRekeyScope scope = rg_rekey_enter(retirement->owner, "pg_catalog, pg_temp");
	bool		isnull;

	if (SPI_execute_with_args(PARTITIONS, 3, types, values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the partitions of the audit log");
	retirement->count = SPI_processed;
	retirement->partitions = MemoryContextAlloc(retirement->context,
												(SPI_processed + 1) * sizeof *retirement->partitions);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		RetiredPartition *partition = &retirement->partitions[i];

		partition->oid = DatumGetObjectId(SPI_getbinval(tuple, SPI_tuptable->tupdesc, 1, &isnull));
		partition->name = *DatumGetName(SPI_getbinval(tuple, SPI_tuptable->tupdesc, 2, &isnull));
	}
	rg_rekey_leave(scope);
}

static PartitionState
state_of(const Retirement *retirement, const RetiredPartition *partition)
{
	static const char sql[] =
	"SELECT 1 + inhdetachpending::int::bigint FROM pg_inherits WHERE inhrelid = %u AND inhparent = %u";

	switch (run(retirement, psprintf(sql, partition->oid, retirement->log)))
	{
		case 1:
			return ATTACHED;
		case 2:
			return DETACHING;
		default:
			return DETACHED;
	}
}

/* By seals of the months that its rows are of. */
static int64
count_unsealed(const Retirement *retirement, const RetiredPartition *partition)
{
	static const char sql[] =
	"WITH span AS (SELECT min(occurred_at) AT TIME ZONE 'UTC' AS first, max(occurred_at) AT TIME ZONE 'UTC' AS last"
	" FROM ONLY %s),"
	" sealed AS (SELECT row_epoch, range_agg(ids) AS ids FROM relay_guard.audit_seal, span"
	" WHERE month BETWEEN date_trunc('month', first) AND last GROUP BY row_epoch)"
	" SELECT count(*) FROM ONLY %s r LEFT JOIN sealed s ON s.row_epoch = r.epoch"
	" WHERE s.ids IS NULL OR NOT s.ids @> r.id";

	return run(retirement, psprintf(sql, quoted(partition), quoted(partition)));
}

/*
 * First: may they go, and the event
 */

static void
refuse_unsealed(const RetiredPartition *partition, int64 rows)
{
	ereport(ERROR,
			errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			errmsg("partition \"%s\" of the audit log has " INT64_FORMAT " rows that no seal has",
				   NameStr(partition->name), rows),
			errdetail("Once it is gone, nothing would tell what was in it."),
			errhint("Call relay_guard.audit_seal() first. relay_guard.audit_verify() names rows that it leaves."));
}

/* Transactions that began in its month may still be writing it: they are waited for. */
static void
require_sealed(const Retirement *retirement, const RetiredPartition *partition)
{
	int64		rows;

	(void) run(retirement, psprintf("LOCK TABLE ONLY %s IN SHARE MODE", quoted(partition)));
	rows = count_unsealed(retirement, partition);
	if (rows > 0)
		refuse_unsealed(partition, rows);
}

static void
record(const Retirement *retirement)
{
	StringInfoData details;
	Datum		parsed;

	initStringInfo(&details);
	appendStringInfo(&details, "{\"before\": \"%s\", \"partitions\": [", rg_audit_date_text(retirement->before));
	for (uint64 i = 0; i < retirement->count; i++)
	{
		if (i > 0)
			appendStringInfoChar(&details, ',');
		escape_json(&details, NameStr(retirement->partitions[i].name));
	}
	appendStringInfoString(&details, "]}");
	parsed = DirectFunctionCall1(jsonb_in, CStringGetDatum(details.data));
	(void) rg_audit_event("audit.retire", "audit_log", rg_slice(NULL, 0), DatumGetJsonbP(parsed), "system", "ok");
}

static void
announce(const Retirement *retirement)
{
	for (uint64 i = 0; i < retirement->count; i++)
		require_sealed(retirement, &retirement->partitions[i]);
	record(retirement);
	rg_procedure_commit();
}

/*
 * Then: off the log, and gone
 */

/*
 * Where no worker could be started.  Everybody waits for this as long as it
 * waits itself, so not for long.
 */
static void
detach_plainly(const Retirement *retirement, const RetiredPartition *partition)
{
	int			level = NewGUCNestLevel();

	(void) set_config_option("lock_timeout", PLAIN_LOCK_TIMEOUT, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	(void) run(retirement, psprintf("ALTER TABLE relay_guard.audit_log DETACH PARTITION %s", quoted(partition)));
	AtEOXact_GUC(false, level);
	rg_procedure_commit();
}

static void
finish_detaching(const Retirement *retirement, const RetiredPartition *partition)
{
	(void) run(retirement, psprintf("ALTER TABLE relay_guard.audit_log DETACH PARTITION %s FINALIZE",
									quoted(partition)));
	rg_procedure_commit();
}

static void
require_detached(const Retirement *retirement, const RetiredPartition *partition)
{
	if (state_of(retirement, partition) != DETACHED)
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("partition \"%s\" of the audit log could not be detached", NameStr(partition->name)),
				errhint("The server's log says why. CALL relay_guard.audit_retire() again when that is mended."));
}

static void
detach(const Retirement *retirement, const RetiredPartition *partition)
{
	PartitionState state = state_of(retirement, partition);

	rg_procedure_commit();
	if (state == ATTACHED && !rg_audit_detach_concurrently(partition->oid, retirement->owner))
		detach_plainly(retirement, partition);
	if (state_of(retirement, partition) == DETACHING)
		finish_detaching(retirement, partition);
	require_detached(retirement, partition);
}

static void
attach_again(const Retirement *retirement, const RetiredPartition *partition)
{
	static const char sql[] =
	"ALTER TABLE relay_guard.audit_log ATTACH PARTITION %s FOR VALUES FROM ('%s 00:00+00') TO ('%s 00:00+00')";
	DateADT		month;

	if (!rg_audit_month_named(NameStr(partition->name), &month))
		elog(ERROR, "unexpected name of a partition: %s", NameStr(partition->name));
	(void) run(retirement, psprintf(sql, quoted(partition), rg_audit_date_text(month),
									rg_audit_date_text(rg_audit_month_after(month))));
	rg_procedure_commit();
}

/* A row that came between the first look and the detaching goes back with its partition. */
static void
drop(const Retirement *retirement, const RetiredPartition *partition)
{
	int64		rows;

	(void) run(retirement, psprintf("LOCK TABLE ONLY %s IN ACCESS EXCLUSIVE MODE", quoted(partition)));
	rows = count_unsealed(retirement, partition);
	if (rows > 0)
	{
		attach_again(retirement, partition);
		refuse_unsealed(partition, rows);
	}
	(void) run(retirement, psprintf("DROP TABLE %s", quoted(partition)));
	rg_procedure_commit();
}

static void
retire(Retirement *retirement)
{
	list_partitions(retirement);
	if (retirement->count == 0)
	{
		ereport(NOTICE,
				errmsg("the audit log has no month before %s", rg_audit_date_text(retirement->before)));
		return;
	}
	announce(retirement);
	for (uint64 i = 0; i < retirement->count; i++)
	{
		detach(retirement, &retirement->partitions[i]);
		drop(retirement, &retirement->partitions[i]);
	}
}

/*
 * SQL
 */

static Oid
owner_of(Oid relation)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_TABLE),
				errmsg("relation relay_guard.audit_log does not exist"),
				errhint("Run CREATE EXTENSION relay_guard in this database."));
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

/* Whole months, and only those that are over. */
static DateADT
before_argument(FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(0) || TIMESTAMP_NOT_FINITE(PG_GETARG_TIMESTAMPTZ(0)) ||
		rg_audit_month(PG_GETARG_TIMESTAMPTZ(0)) > rg_audit_month(GetCurrentTimestamp()))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("before must be a time that is past, or in this month"),
				errhint("What goes are the months, of UTC, that end before it."));
	return rg_audit_month(PG_GETARG_TIMESTAMPTZ(0));
}

PG_FUNCTION_INFO_V1(relay_guard_audit_retire);

/* audit_retire(before timestamptz) */
Datum
relay_guard_audit_retire(PG_FUNCTION_ARGS)
{
	DateADT		before = before_argument(fcinfo);
	MemoryContext context;
	Retirement *retirement;

	rg_procedure_require_top_level(fcinfo, "audit_retire()",
								   "It records what it is about to do, and commits that first.");
	SPI_connect_ext(SPI_OPT_NONATOMIC);
	context = AllocSetContextCreate(CurrentMemoryContext, "audit_retire", ALLOCSET_DEFAULT_SIZES);
	retirement = MemoryContextAllocZero(context, sizeof *retirement);
	retirement->context = context;
	retirement->before = before;
	retirement->log = rg_own_relation_required("audit_log");
	retirement->owner = owner_of(retirement->log);
	if (!rg_procedure_lock(context, retirement->log, 0))
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_IN_USE),
				errmsg("the audit log is being retired by another session"),
				errhint("Try again when that has ended."));
	rg_procedure_commit();
	retire(retirement);
	MemoryContextDelete(context);
	SPI_finish();
	return (Datum) 0;
}
