/*
 * counter_worker.c
 *		Launcher and worker of level 2; counter_worker.h says what they do.
 *
 * They share a small table with a row for each database that is stored.  The
 * launcher alone adds and removes rows; a worker claims its row while it runs.
 * A kill -9 of either makes the server start again with an empty table.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "commands/dbcommands.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "port/atomics.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/varlena.h"

#include "counter_store.h"
#include "counter_worker.h"

#define MAX_DATABASES 64
#define TRANCHE "relay_guard_worker"
#define LOOK_EVERY_MS 1000

/* A database that is stored. */
typedef struct Database
{
	pg_atomic_uint32 oid;		/* InvalidOid: row not in use */
	pg_atomic_uint32 dirty;		/* something moved since the last round */
	pg_atomic_uint32 loaded;	/* the table has been read back */
	pg_atomic_uint32 worker;	/* its pid; 0 if none */
	pg_atomic_uint64 retry_at;	/* TimestampTz before which none is started */
	pg_atomic_uint64 stored_at; /* TimestampTz of the last round; 0 if none */
	pg_atomic_uint64 failures;	/* of rounds and of starts */
} Database;

typedef struct Shared
{
	pg_atomic_uint32 launcher;	/* its number in ProcGlobal, plus 1 */
	Database	databases[MAX_DATABASES];
} Shared;

static char *database_names = NULL;
static int	flush_interval = 60;

static Shared *shared = NULL;
static LWLock *claim_lock;

/* The worker's own row. */
static Database *mine = NULL;

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
	else if (list_length(names) > MAX_DATABASES)
	{
		GUC_check_errdetail("At most %d databases can be named.", MAX_DATABASES);
		valid = false;
	}
	list_free(names);
	pfree(copy);
	return valid;
}

/*
 * Set by whoever runs the server.  A database that is not named has its limits
 * all the same; they only start afresh when the server does.  A crash takes
 * what an interval has counted in any case.
 */
static void
define_settings(void)
{
	DefineCustomStringVariable("relay_guard.databases",
							   "Databases whose counters are stored across restarts.",
							   "Names, separated by commas.",
							   &database_names, "", PGC_SIGHUP, GUC_LIST_INPUT,
							   check_databases, NULL, NULL);
	DefineCustomIntVariable("relay_guard.flush_interval",
							"Time between two rounds of storing counters.",
							NULL, &flush_interval, 60, 1, 86400,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
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
rg_counter_worker_init(void)
{
	BackgroundWorker launcher;

	define_settings();
	if (!process_shared_preload_libraries_in_progress || IsBinaryUpgrade)
		return;
	describe_worker(&launcher, "rg_counter_launcher_main", "relay_guard launcher");
	launcher.bgw_restart_time = 5;
	RegisterBackgroundWorker(&launcher);
}

/*
 * The shared table
 */

void
rg_counter_worker_request_shmem(void)
{
	RequestAddinShmemSpace(sizeof(Shared));
	RequestNamedLWLockTranche(TRANCHE, 1);
}

static void
set_row(Database *database, Oid oid)
{
	pg_atomic_write_u32(&database->oid, InvalidOid);
	pg_atomic_write_u32(&database->dirty, 1);
	pg_atomic_write_u32(&database->loaded, 0);
	pg_atomic_write_u64(&database->retry_at, 0);
	pg_atomic_write_u64(&database->stored_at, 0);
	pg_atomic_write_u64(&database->failures, 0);
	pg_atomic_write_u32(&database->oid, oid);
}

static void
clear_shared(void)
{
	pg_atomic_init_u32(&shared->launcher, 0);
	for (int i = 0; i < MAX_DATABASES; i++)
	{
		Database   *database = &shared->databases[i];

		pg_atomic_init_u32(&database->oid, InvalidOid);
		pg_atomic_init_u32(&database->dirty, 0);
		pg_atomic_init_u32(&database->loaded, 0);
		pg_atomic_init_u32(&database->worker, 0);
		pg_atomic_init_u64(&database->retry_at, 0);
		pg_atomic_init_u64(&database->stored_at, 0);
		pg_atomic_init_u64(&database->failures, 0);
	}
}

void
rg_counter_worker_startup_shmem(void)
{
	bool		found;

	shared = ShmemInitStruct("relay_guard databases", sizeof *shared, &found);
	claim_lock = &GetNamedLWLockTranche(TRANCHE)->lock;
	if (!found)
		clear_shared();
}

static Database *
row_of(Oid oid)
{
	for (int i = 0; i < MAX_DATABASES; i++)
		if (pg_atomic_read_u32(&shared->databases[i].oid) == oid)
			return &shared->databases[i];
	return NULL;
}

/* If the launcher has just died, this wakes a bystander, who looks and sleeps on. */
static void
wake_launcher(void)
{
	uint32		launcher = pg_atomic_read_u32(&shared->launcher);

	if (launcher > 0)
		SetLatch(&ProcGlobal->allProcs[launcher - 1].procLatch);
}

/*
 * Once for each counter and round, not for each hit.  The launcher is told of
 * the first at once, so that a shutdown soon after finds a worker there.
 */
void
rg_counter_worker_notify(void)
{
	Database   *database = row_of(MyDatabaseId);

	if (database != NULL && pg_atomic_exchange_u32(&database->dirty, 1) == 0)
		wake_launcher();
}

bool
rg_counter_worker_status(RgStoreStatus *status)
{
	Database   *database = row_of(MyDatabaseId);

	if (database == NULL)
		return false;
	status->stored_at = (TimestampTz) pg_atomic_read_u64(&database->stored_at);
	status->pending = pg_atomic_read_u32(&database->dirty) != 0;
	status->failures = (int64) pg_atomic_read_u64(&database->failures);
	return true;
}

static void
retry_later(Database *database)
{
	pg_atomic_write_u64(&database->retry_at,
						GetCurrentTimestamp() + flush_interval * USECS_PER_SEC);
}

/*
 * Launcher
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

/* A row that a worker still holds is left until the worker is gone. */
static void
drop_rows(List *wanted)
{
	for (int i = 0; i < MAX_DATABASES; i++)
	{
		Database   *database = &shared->databases[i];

		if (!list_member_oid(wanted, pg_atomic_read_u32(&database->oid)) &&
			pg_atomic_read_u32(&database->worker) == 0)
			pg_atomic_write_u32(&database->oid, InvalidOid);
	}
}

static void
add_rows(List *wanted)
{
	ListCell   *cell;

	foreach(cell, wanted)
	{
		Database   *unused = row_of(InvalidOid);

		if (unused != NULL && row_of(lfirst_oid(cell)) == NULL)
			set_row(unused, lfirst_oid(cell));
	}
}

static void
update_rows(void)
{
	List	   *wanted;

	StartTransactionCommand();
	wanted = named_databases();
	LWLockAcquire(claim_lock, LW_EXCLUSIVE);
	drop_rows(wanted);
	add_rows(wanted);
	LWLockRelease(claim_lock);
	CommitTransactionCommand();
}

static bool
needs_worker(Database *database)
{
	return pg_atomic_read_u32(&database->oid) != InvalidOid &&
		pg_atomic_read_u32(&database->worker) == 0 &&
		(pg_atomic_read_u32(&database->dirty) != 0 ||
		 pg_atomic_read_u32(&database->loaded) == 0) &&
		(TimestampTz) pg_atomic_read_u64(&database->retry_at) <= GetCurrentTimestamp();
}

/*
 * Should the worker not come to life, the next one is not tried before the
 * interval is over; a worker that ends well allows the next at once.
 */
static void
start_worker(Database *database)
{
	BackgroundWorker worker;

	retry_later(database);
	describe_worker(&worker, "rg_counter_worker_main", "relay_guard worker");
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_main_arg = ObjectIdGetDatum(pg_atomic_read_u32(&database->oid));
	if (RegisterDynamicBackgroundWorker(&worker, NULL))
		return;
	pg_atomic_fetch_add_u64(&database->failures, 1);
	ereport(LOG,
			errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			errmsg("relay_guard could not start a worker to store counters"),
			errhint("Increase max_worker_processes."));
}

static void
look_after_databases(void)
{
	update_rows();
	for (int i = 0; i < MAX_DATABASES; i++)
		if (needs_worker(&shared->databases[i]))
			start_worker(&shared->databases[i]);
}

static void
take_in_signals(void)
{
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
}

void
rg_counter_launcher_main(Datum arg)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	pg_atomic_write_u32(&shared->launcher, (uint32) (MyProc - ProcGlobal->allProcs) + 1);
	while (!ShutdownRequestPending)
	{
		bool		idle = *database_names == '\0';

		look_after_databases();
		(void) WaitLatch(MyLatch,
						 WL_LATCH_SET | WL_EXIT_ON_PM_DEATH | (idle ? 0 : WL_TIMEOUT),
						 idle ? -1L : LOOK_EVERY_MS, PG_WAIT_EXTENSION);
		take_in_signals();
	}
	proc_exit(1);				/* not 0, which would be for good */
}

/*
 * Worker
 */

/* After an error the round is not repeated at once. */
static void
release(int code, Datum arg)
{
	if (code == 0)
		pg_atomic_write_u64(&mine->retry_at, 0);
	else
	{
		pg_atomic_fetch_add_u64(&mine->failures, 1);
		pg_atomic_write_u32(&mine->dirty, 1);
		retry_later(mine);
	}
	pg_atomic_write_u32(&mine->worker, 0);
	wake_launcher();
}

static bool
claim(Oid oid)
{
	Database   *database;

	LWLockAcquire(claim_lock, LW_EXCLUSIVE);
	database = row_of(oid);
	if (database != NULL && pg_atomic_read_u32(&database->worker) == 0)
	{
		mine = database;
		pg_atomic_write_u32(&mine->worker, MyProcPid);
	}
	LWLockRelease(claim_lock);
	if (mine != NULL)
		before_shmem_exit(release, (Datum) 0);
	return mine != NULL;
}

/*
 * The worker is a superuser in a database that others arrange: no name may be
 * found outside pg_catalog, no setting of the database may keep it from writing,
 * and nobody's ALTER TABLE may keep it waiting.  What is lost with the server's
 * last moments needs no durable commit.
 */
static void
pin_settings(void)
{
	SetConfigOption("search_path", "pg_catalog, pg_temp", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("default_transaction_read_only", "off", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("default_transaction_isolation", "read committed", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("row_security", "on", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("synchronous_commit", "off", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("lock_timeout", "1s", PGC_SUSET, PGC_S_OVERRIDE);
}

static bool
is_installed(void)
{
	return OidIsValid(get_extension_oid("relay_guard", true));
}

static void
store(void)
{
	(void) pg_atomic_exchange_u32(&mine->dirty, 0); /* a barrier, too */
	(void) rg_counter_flush();
}

/* The first round after the server started; counters may have moved already. */
static void
read_back_and_store(void)
{
	int64		loaded = rg_counter_load();

	pg_atomic_write_u32(&mine->loaded, 1);
	if (loaded > 0)
		ereport(LOG,
				errmsg("relay_guard read back %lld counters of database \"%s\"",
					   (long long) loaded, get_database_name(MyDatabaseId)));
	store();
}

/* Where there is no extension there is nothing to do, now or at a restart. */
static void
give_up(void)
{
	pg_atomic_write_u32(&mine->dirty, 0);
	pg_atomic_write_u32(&mine->loaded, 1);
}

static void
run_round(void (*work) (void), const char *activity)
{
	SetCurrentStatementStartTimestamp();
	pgstat_report_activity(STATE_RUNNING, activity);
	StartTransactionCommand();
	SPI_connect();
	PushActiveSnapshot(GetTransactionSnapshot());
	if (is_installed())
		work();
	else
		give_up();
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
	rg_counter_flushed();
	pg_atomic_write_u64(&mine->stored_at, GetCurrentTimestamp());
	pgstat_report_stat(true);
	pgstat_report_activity(STATE_IDLE, NULL);
}

/* Waits for the interval to pass, or for the order to stop. */
static void
wait_for_round(void)
{
	TimestampTz begin = GetCurrentTimestamp();

	while (!ShutdownRequestPending)
	{
		long		left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(),
														   begin + flush_interval * USECS_PER_SEC);

		if (left <= 0)
			break;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 left, PG_WAIT_EXTENSION);
		take_in_signals();
	}
}

/*
 * SIGTERM only sets a flag, so that at the server's shutdown a last round
 * stores what moved since the one before.
 */
void
rg_counter_worker_main(Datum arg)
{
	Oid			database = DatumGetObjectId(arg);

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	BackgroundWorkerUnblockSignals();
	if (!claim(database))
		return;
	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
	pin_settings();
	if (pg_atomic_read_u32(&mine->loaded) == 0)
		run_round(read_back_and_store, "reading counters back");
	while (pg_atomic_read_u32(&mine->dirty) != 0 && !ShutdownRequestPending)
	{
		wait_for_round();
		run_round(store, "storing counters");
	}
}
