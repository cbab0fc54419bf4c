/*
 * database_launcher.c
 *		The launcher; database_worker.h says what it does.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/varlena.h"

#include "database_task.h"

#define LOOK_EVERY_MS 1000

static char *database_names = NULL;

/*
 * Settings
 */

static bool
check_databases(char **newval, void **extra, GucSource source)
{
	char	   *copy = pstrdup(*newval);
	List	   *names;
	bool		valid = SplitIdentifierString(copy, ',', &names);

	if (!valid)
		GUC_check_errdetail("List syntax is invalid.");
	else if (list_length(names) > RG_MAX_DATABASES)
	{
		GUC_check_errdetail("At most %d databases can be named.", RG_MAX_DATABASES);
		valid = false;
	}
	list_free(names);
	pfree(copy);
	return valid;
}

/*
 * Set by whoever runs the server.  A database that is not named has its limits
 * all the same; they only start afresh when the server does.  Its audit log is
 * written, too, and sealed when somebody calls audit_seal(); its reservations stay
 * open until somebody settles, releases or expires them.
 */
static void
define_databases(void)
{
	DefineCustomStringVariable("relay_guard.databases",
							   "Databases whose counters are stored across restarts, whose audit log is sealed, and whose reservations end with their leases.",
							   "Names, separated by commas.",
							   &database_names, "", PGC_SIGHUP, GUC_LIST_INPUT,
							   check_databases, NULL, NULL);
}

static void
describe_worker(BackgroundWorker *worker, const char *function, const char *type)
{
	memset(worker, 0, sizeof *worker);
	worker->bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker->bgw_start_time = BgWorkerStart_RecoveryFinished;
	strlcpy(worker->bgw_library_name, "relay_guard", BGW_MAXLEN);
	strlcpy(worker->bgw_function_name, function, BGW_MAXLEN);
	strlcpy(worker->bgw_name, type, BGW_MAXLEN);
	strlcpy(worker->bgw_type, type, BGW_MAXLEN);
}

void
rg_database_worker_init(void)
{
	BackgroundWorker launcher;

	define_databases();
	if (!process_shared_preload_libraries_in_progress || IsBinaryUpgrade)
		return;
	describe_worker(&launcher, "rg_launcher_main", "relay_guard launcher");
	launcher.bgw_restart_time = 5;
	RegisterBackgroundWorker(&launcher);
}

/*
 * Rows
 */

static bool
list_member_name(const List *names, const char *name)
{
	const ListCell *cell;

	foreach(cell, names)
	{
		if (strcmp(lfirst(cell), name) == 0)
			return true;
	}
	return false;
}

/*
 * The databases that are named, exist and take connections; in a transaction.
 * A process without a database cannot use the indexes of pg_database.
 */
static List *
named_databases(void)
{
	List	   *names;
	List	   *oids = NIL;
	Relation	rel;
	TableScanDesc scan;
	HeapTuple	tuple;

	if (!SplitIdentifierString(pstrdup(database_names), ',', &names) || names == NIL)
		return NIL;
	(void) GetTransactionSnapshot();
	rel = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(rel, 0, NULL);
	while (HeapTupleIsValid(tuple = heap_getnext(scan, ForwardScanDirection)))
	{
		Form_pg_database database = (Form_pg_database) GETSTRUCT(tuple);

		if (database->datallowconn && list_member_name(names, NameStr(database->datname)))
			oids = lappend_oid(oids, database->oid);
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	return oids;
}

static bool
has_worker(RgDatabase *database)
{
	for (int work = 0; work < RG_WORKS; work++)
		if (pg_atomic_read_u32(&database->tasks[work].worker) != 0)
			return true;
	return false;
}

/* A row that a worker still holds is left until the worker is gone. */
static void
drop_rows(List *wanted)
{
	for (int i = 0; i < RG_MAX_DATABASES; i++)
	{
		RgDatabase *database = &rg_databases->rows[i];

		if (!list_member_oid(wanted, pg_atomic_read_u32(&database->oid)) &&
			!has_worker(database))
			pg_atomic_write_u32(&database->oid, InvalidOid);
	}
}

static void
add_rows(List *wanted)
{
	ListCell   *cell;

	foreach(cell, wanted)
	{
		RgDatabase *unused = rg_database_row(InvalidOid);

		if (unused != NULL && rg_database_row(lfirst_oid(cell)) == NULL)
			rg_database_set_row(unused, lfirst_oid(cell));
	}
}

static uint32
count_rows(void)
{
	uint32		count = 0;

	for (int i = 0; i < RG_MAX_DATABASES; i++)
		count += OidIsValid(pg_atomic_read_u32(&rg_databases->rows[i].oid));
	return count;
}

static void
update_rows(void)
{
	List	   *wanted;

	StartTransactionCommand();
	wanted = named_databases();
	LWLockAcquire(rg_databases_lock, LW_EXCLUSIVE);
	drop_rows(wanted);
	add_rows(wanted);
	pg_atomic_write_u32(&rg_databases->count, count_rows());
	LWLockRelease(rg_databases_lock);
	CommitTransactionCommand();
}

/* Though nothing is pending. */
static bool
is_due(RgTask *task, const RgWorkKind *kind, int64 now)
{
	int64		upkeep_at = (int64) pg_atomic_read_u64(&task->upkeep_at);

	if ((int64) pg_atomic_read_u64(&task->again_at) <= now)
		return true;
	return kind->every > 0 && upkeep_at + kind->every * USECS_PER_SEC <= now;
}

static bool
needs_worker(RgTask *task, const RgWorkKind *kind, int64 now)
{
	return pg_atomic_read_u32(&task->worker) == 0 &&
		(pg_atomic_read_u32(&task->pending) != 0 ||
		 pg_atomic_read_u32(&task->begun) == 0 || is_due(task, kind, now)) &&
		(int64) pg_atomic_read_u64(&task->retry_at) <= now;
}

/*
 * Should the worker not come to life, the next one is not tried before the
 * interval is over; a worker that ends well allows the next at once.
 */
static void
start_worker(Oid database, RgTask *task, const RgWorkKind *kind)
{
	BackgroundWorker worker;

	rg_task_retry_later(task, kind);
	describe_worker(&worker, kind->function, kind->type);
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_main_arg = ObjectIdGetDatum(database);
	if (RegisterDynamicBackgroundWorker(&worker, NULL))
		return;
	pg_atomic_fetch_add_u64(&task->failures, 1);
	ereport(LOG,
			errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			errmsg("relay_guard could not start a worker %s", kind->purpose),
			errhint("Increase max_worker_processes."));
}

static void
look_after_database(RgDatabase *database, int64 now)
{
	Oid			oid = pg_atomic_read_u32(&database->oid);

	for (int work = 0; work < RG_WORKS && OidIsValid(oid); work++)
		if (needs_worker(&database->tasks[work], rg_work_kind(work), now))
			start_worker(oid, &database->tasks[work], rg_work_kind(work));
}

static void
look_after_databases(void)
{
	int64		now = rg_work_now();

	update_rows();
	for (int i = 0; i < RG_MAX_DATABASES; i++)
		look_after_database(&rg_databases->rows[i], now);
}

void
rg_launcher_main(Datum arg)
{
	rg_work_take_signals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	rg_task_enter_process(&rg_databases->launcher);
	while (!ShutdownRequestPending)
	{
		bool		idle = *database_names == '\0';

		look_after_databases();
		(void) WaitLatch(MyLatch,
						 WL_LATCH_SET | WL_EXIT_ON_PM_DEATH | (idle ? 0 : WL_TIMEOUT),
						 idle ? -1L : LOOK_EVERY_MS, PG_WAIT_EXTENSION);
		rg_work_take_in_signals();
	}
	proc_exit(1);				/* not 0, which would be for good */
}
