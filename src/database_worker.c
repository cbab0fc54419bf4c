/*
 * database_worker.c
 *		The launcher, and what its workers have in common; database_worker.h says
 *		what they do.
 *
 * They share a small table with a row for each database that is looked after.
 * The launcher alone adds and removes rows; a worker claims its task in a row
 * while it runs.  A kill -9 of either makes the server start again with an empty
 * table.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
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
#include "storage/procarray.h"
#include "storage/shmem.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/varlena.h"

#include "database_worker.h"

#define MAX_DATABASES 64
#define TRANCHE "relay_guard_worker"
#define LOOK_EVERY_MS 1000
#define CLIENTS_MS 1000
#define CLIENTS_STEP_MS 10

/* A kind of work in a database. */
typedef struct Task
{
	pg_atomic_uint32 pending;	/* what there is to do since the last round */
	pg_atomic_uint32 begun;		/* a round has ended well */
	pg_atomic_uint32 worker;	/* its pid; 0 if none */
	pg_atomic_uint32 process;	/* its number in ProcGlobal, plus 1; 0 if none */
	pg_atomic_uint64 retry_at;	/* TimestampTz before which none is started */
	pg_atomic_uint64 done_at;	/* TimestampTz of the last round; 0 if none */
	pg_atomic_uint64 failures;	/* of rounds and of starts */
} Task;

/* A database that is looked after. */
typedef struct Database
{
	pg_atomic_uint32 oid;		/* InvalidOid: row not in use */
	Task		tasks[RG_WORKS];
} Database;

typedef struct Shared
{
	pg_atomic_uint32 launcher;	/* its number in ProcGlobal, plus 1 */
	Database	databases[MAX_DATABASES];
} Shared;

static char *database_names = NULL;
static const RgWorkKind *kinds[RG_WORKS];

static Shared *shared = NULL;
static LWLock *claim_lock;

/* The worker's own task, and what it has taken of it. */
static Task *mine = NULL;
static const RgWorkKind *my_kind;
static uint32 taken = 0;

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
 * all the same; they only start afresh when the server does.  Its audit log is
 * written, too, and sealed when somebody calls audit_seal().
 */
static void
define_databases(void)
{
	DefineCustomStringVariable("relay_guard.databases",
							   "Databases whose counters are stored across restarts, and whose audit log is sealed.",
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
rg_database_worker_define(RgWork work, const RgWorkKind *kind)
{
	kinds[work] = kind;
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
 * The shared table
 */

void
rg_database_worker_request_shmem(void)
{
	RequestAddinShmemSpace(sizeof(Shared));
	RequestNamedLWLockTranche(TRANCHE, 1);
}

static void
init_task(Task *task)
{
	pg_atomic_init_u32(&task->pending, 0);
	pg_atomic_init_u32(&task->begun, 0);
	pg_atomic_init_u32(&task->worker, 0);
	pg_atomic_init_u32(&task->process, 0);
	pg_atomic_init_u64(&task->retry_at, 0);
	pg_atomic_init_u64(&task->done_at, 0);
	pg_atomic_init_u64(&task->failures, 0);
}

static void
init_shared(void)
{
	pg_atomic_init_u32(&shared->launcher, 0);
	for (int i = 0; i < MAX_DATABASES; i++)
	{
		pg_atomic_init_u32(&shared->databases[i].oid, InvalidOid);
		for (int work = 0; work < RG_WORKS; work++)
			init_task(&shared->databases[i].tasks[work]);
	}
}

void
rg_database_worker_startup_shmem(void)
{
	bool		found;

	shared = ShmemInitStruct("relay_guard databases", sizeof *shared, &found);
	claim_lock = &GetNamedLWLockTranche(TRANCHE)->lock;
	if (!found)
		init_shared();
}

static void
reset_task(Task *task)
{
	pg_atomic_write_u32(&task->pending, 1);
	pg_atomic_write_u32(&task->begun, 0);
	pg_atomic_write_u64(&task->retry_at, 0);
	pg_atomic_write_u64(&task->done_at, 0);
	pg_atomic_write_u64(&task->failures, 0);
}

static void
set_row(Database *database, Oid oid)
{
	for (int work = 0; work < RG_WORKS; work++)
		reset_task(&database->tasks[work]);
	pg_atomic_write_u32(&database->oid, oid);
}

static Database *
row_of(Oid oid)
{
	for (int i = 0; shared != NULL && i < MAX_DATABASES; i++)
		if (pg_atomic_read_u32(&shared->databases[i].oid) == oid)
			return &shared->databases[i];
	return NULL;
}

int
rg_work_databases(void)
{
	int			count = 0;

	for (int i = 0; shared != NULL && i < MAX_DATABASES; i++)
		count += OidIsValid(pg_atomic_read_u32(&shared->databases[i].oid));
	return count;
}

/* If the process has just died, this wakes a bystander, who looks and sleeps on. */
static void
wake(pg_atomic_uint32 *process)
{
	uint32		number = pg_atomic_read_u32(process);

	if (number > 0)
		SetLatch(&ProcGlobal->allProcs[number - 1].procLatch);
}

/*
 * The launcher is told of the first at once, so that a shutdown soon after finds
 * a worker there.
 */
static Task *
notify(RgWork work, uint32 what)
{
	Database   *database = row_of(MyDatabaseId);
	Task	   *task = database == NULL ? NULL : &database->tasks[work];

	if (task != NULL && pg_atomic_fetch_or_u32(&task->pending, what) == 0)
		wake(&shared->launcher);
	return task;
}

void
rg_work_notify(RgWork work, uint32 what)
{
	(void) notify(work, what);
}

void
rg_work_notify_now(RgWork work, uint32 what)
{
	Task	   *task = notify(work, what);

	if (task != NULL)
		wake(&task->process);
}

bool
rg_work_status(RgWork work, RgWorkStatus *status)
{
	Database   *database = row_of(MyDatabaseId);
	Task	   *task;

	if (database == NULL)
		return false;
	task = &database->tasks[work];
	status->done_at = (TimestampTz) pg_atomic_read_u64(&task->done_at);
	status->pending = pg_atomic_read_u32(&task->pending) != 0;
	status->failures = (int64) pg_atomic_read_u64(&task->failures);
	return true;
}

static TimestampTz
seconds_after(TimestampTz start, int seconds)
{
	return start + seconds * USECS_PER_SEC;
}

static void
retry_later(Task *task, const RgWorkKind *kind)
{
	pg_atomic_write_u64(&task->retry_at, seconds_after(GetCurrentTimestamp(), *kind->retry));
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

static bool
has_worker(Database *database)
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
	for (int i = 0; i < MAX_DATABASES; i++)
	{
		Database   *database = &shared->databases[i];

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
is_periodic(Task *task, const RgWorkKind *kind, TimestampTz now)
{
	TimestampTz done_at = (TimestampTz) pg_atomic_read_u64(&task->done_at);

	return kind->every > 0 && seconds_after(done_at, kind->every) <= now;
}

static bool
needs_worker(Task *task, const RgWorkKind *kind, TimestampTz now)
{
	return pg_atomic_read_u32(&task->worker) == 0 &&
		(pg_atomic_read_u32(&task->pending) != 0 ||
		 pg_atomic_read_u32(&task->begun) == 0 || is_periodic(task, kind, now)) &&
		(TimestampTz) pg_atomic_read_u64(&task->retry_at) <= now;
}

/*
 * Should the worker not come to life, the next one is not tried before the
 * interval is over; a worker that ends well allows the next at once.
 */
static void
start_worker(Oid database, Task *task, const RgWorkKind *kind)
{
	BackgroundWorker worker;

	retry_later(task, kind);
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
look_after_database(Database *database, TimestampTz now)
{
	Oid			oid = pg_atomic_read_u32(&database->oid);

	for (int work = 0; work < RG_WORKS && OidIsValid(oid); work++)
		if (needs_worker(&database->tasks[work], kinds[work], now))
			start_worker(oid, &database->tasks[work], kinds[work]);
}

static void
look_after_databases(void)
{
	TimestampTz now = GetCurrentTimestamp();

	update_rows();
	for (int i = 0; i < MAX_DATABASES; i++)
		look_after_database(&shared->databases[i], now);
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

static void
take_signals(void)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	BackgroundWorkerUnblockSignals();
}

static void
tell_where(pg_atomic_uint32 *process)
{
	pg_atomic_write_u32(process, (uint32) (MyProc - ProcGlobal->allProcs) + 1);
}

void
rg_launcher_main(Datum arg)
{
	take_signals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	tell_where(&shared->launcher);
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
		rg_worker_give_back(taken | 1);
		retry_later(mine, my_kind);
	}
	pg_atomic_write_u32(&mine->process, 0);
	pg_atomic_write_u32(&mine->worker, 0);
	wake(&shared->launcher);
}

static bool
claim(RgWork work, Oid oid)
{
	Database   *database;

	LWLockAcquire(claim_lock, LW_EXCLUSIVE);
	database = row_of(oid);
	if (database != NULL && pg_atomic_read_u32(&database->tasks[work].worker) == 0)
	{
		mine = &database->tasks[work];
		my_kind = kinds[work];
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
 * last moments needs no durable commit; work that does asks for it.
 */
static void
pin_settings(void)
{
	SetConfigOption("search_path", "pg_catalog, pg_temp", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("default_transaction_read_only", "off", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("default_transaction_isolation", "read committed", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("row_security", "on", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("synchronous_commit", "off", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("lock_timeout", my_kind->lock_timeout, PGC_SUSET, PGC_S_OVERRIDE);
}

bool
rg_worker_begin(RgWork work, Datum arg)
{
	Oid			database = DatumGetObjectId(arg);

	take_signals();
	if (!claim(work, database))
		return false;
	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
	tell_where(&mine->process);
	pin_settings();
	return true;
}

bool
rg_worker_is_first(void)
{
	return pg_atomic_read_u32(&mine->begun) == 0;
}

void
rg_worker_mark_first(void)
{
	pg_atomic_write_u32(&mine->begun, 1);
}

uint32
rg_worker_pending(void)
{
	return pg_atomic_read_u32(&mine->pending);
}

uint32
rg_worker_take(void)
{
	taken = pg_atomic_exchange_u32(&mine->pending, 0);	/* a barrier, too */
	return taken;
}

void
rg_worker_give_back(uint32 what)
{
	pg_atomic_fetch_or_u32(&mine->pending, what);
}

static bool
is_installed(void)
{
	return OidIsValid(get_extension_oid("relay_guard", true));
}

/* Where there is no extension there is nothing to do, now or at a restart. */
static void
run_or_give_up(void (*work) (void))
{
	if (is_installed())
		work();
	else
		(void) rg_worker_take();
}

void
rg_worker_run(void (*work) (void), const char *activity)
{
	SetCurrentStatementStartTimestamp();
	pgstat_report_activity(STATE_RUNNING, activity);
	StartTransactionCommand();
	SPI_connect();
	PushActiveSnapshot(GetTransactionSnapshot());
	run_or_give_up(work);
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
	pgstat_report_stat(true);
	pgstat_report_activity(STATE_IDLE, NULL);
}

void
rg_worker_done(void)
{
	taken = 0;
	rg_worker_mark_first();
	pg_atomic_write_u64(&mine->done_at, GetCurrentTimestamp());
}

/* The order to stop went to everybody: what a client is about to commit belongs to the last round. */
static void
await_clients(void)
{
	for (int waited = 0; waited < CLIENTS_MS; waited += CLIENTS_STEP_MS)
	{
		if (CountDBConnections(MyDatabaseId) == 0)
			break;
		pg_usleep(CLIENTS_STEP_MS * 1000L);
	}
}

void
rg_worker_sleep(TimestampTz until)
{
	long		left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), until);

	if (left > 0 && !ShutdownRequestPending)
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 left, PG_WAIT_EXTENSION);
	take_in_signals();
	if (ShutdownRequestPending)
		await_clients();
}
