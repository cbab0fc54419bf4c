/*
 * database_worker.c
 *		What the workers have in common; database_worker.h has the contract.
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/procarray.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "database_task.h"

/* How long a last round waits for clients. */
#define CLIENTS_MS 1000
#define CLIENTS_STEP_MS 10

#define MAX_SLEEP_MS 86400000L

/* The worker's own task */
static RgTask *mine = NULL;
static const RgWorkKind *my_kind;

/* After an error the round is not repeated at once. */
static void
release(int code, Datum arg)
{
	if (code == 0)
		pg_atomic_write_u64(&mine->retry_at, 0);
	else
	{
		pg_atomic_fetch_add_u64(&mine->failures, 1);
		rg_work_give_back(pg_atomic_read_u32(&mine->taken) | 1);
		rg_task_retry_later(mine, my_kind);
	}
	pg_atomic_write_u32(&mine->taken, 0);
	pg_atomic_write_u32(&mine->process, 0);
	pg_atomic_write_u32(&mine->worker, 0);
	rg_task_wake(&rg_databases->launcher);
}

static bool
claim(RgWork work, Oid oid)
{
	RgDatabase *database;

	LWLockAcquire(rg_databases_lock, LW_EXCLUSIVE);
	database = rg_database_row(oid);
	if (database != NULL && pg_atomic_read_u32(&database->tasks[work].worker) == 0)
	{
		mine = &database->tasks[work];
		my_kind = rg_work_kind(work);
		pg_atomic_write_u32(&mine->worker, MyProcPid);
	}
	LWLockRelease(rg_databases_lock);
	if (mine != NULL)
		before_shmem_exit(release, (Datum) 0);
	return mine != NULL;
}

void
rg_work_set_lock_timeout(const char *timeout)
{
	SetConfigOption("lock_timeout", timeout != NULL ? timeout : my_kind->lock_timeout,
					PGC_SUSET, PGC_S_OVERRIDE);
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
	rg_work_set_lock_timeout(NULL);
#if PG_VERSION_NUM >= 170000
	SetConfigOption("transaction_timeout", "0", PGC_SUSET, PGC_S_OVERRIDE);
#endif
}

bool
rg_work_begin(RgWork work, Datum arg)
{
	Oid			database = DatumGetObjectId(arg);

	rg_work_take_signals();
	if (!claim(work, database))
		return false;
	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
	rg_task_enter_process(&mine->process);
	pin_settings();
	return true;
}

bool
rg_work_is_first(void)
{
	return pg_atomic_read_u32(&mine->begun) == 0;
}

void
rg_work_mark_first(void)
{
	pg_atomic_write_u32(&mine->begun, 1);
}

uint32
rg_work_pending(void)
{
	return pg_atomic_read_u32(&mine->pending);
}

uint32
rg_work_take(void)
{
	uint32		taken;

	pg_atomic_write_u32(&mine->notices, 0);
	pg_atomic_write_u32(&mine->taken, PG_UINT32_MAX);	/* at least for now */
	taken = pg_atomic_exchange_u32(&mine->pending, 0);	/* a barrier, too */
	pg_atomic_write_u32(&mine->taken, taken);
	return taken;
}

void
rg_work_give_back(uint32 what)
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
		(void) rg_work_take();
}

void
rg_work_run(void (*work) (void), const char *activity)
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

/* What was being caught is left as an interrupt would find it. */
static int
end_in_error(MemoryContext context, int tolerated)
{
	int			code = geterrcode();

	MemoryContextSwitchTo(context);
	HOLD_INTERRUPTS();
	if (code != tolerated)
		EmitErrorReport();
	AbortCurrentTransaction();
	FlushErrorState();
	MemoryContextSwitchTo(context);
	pgstat_report_activity(STATE_IDLE, NULL);
	RESUME_INTERRUPTS();
	return code;
}

int
rg_work_try(void (*work) (void), const char *activity, int tolerated)
{
	MemoryContext context = CurrentMemoryContext;
	volatile int code = 0;

	PG_TRY();
	{
		rg_work_run(work, activity);
	}
	PG_CATCH();
	{
		code = end_in_error(context, tolerated);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	return code;
}

bool
rg_work_upkeep_due(int seconds)
{
	int64		now = rg_work_now();
	int64		last = (int64) pg_atomic_read_u64(&mine->upkeep_at);

	if (last != 0 && now < last + seconds * USECS_PER_SEC)
		return false;
	pg_atomic_write_u64(&mine->upkeep_at, now);
	return true;
}

void
rg_work_set_again(int64 at)
{
	pg_atomic_write_u64(&mine->again_at, at);
}

int64
rg_work_again(void)
{
	return (int64) pg_atomic_read_u64(&mine->again_at);
}

void
rg_work_count(int tally, int64 n)
{
	pg_atomic_fetch_add_u64(&mine->tallies[tally], n);
}

void
rg_work_done(void)
{
	rg_work_mark_first();
	pg_atomic_write_u64(&mine->done_at, GetCurrentTimestamp());
	pg_atomic_write_u32(&mine->taken, 0);
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
rg_work_sleep(int64 until)
{
	int64		now = rg_work_now();
	long		left = until <= now ? 0 : Min((until - now) / 1000 + 1, MAX_SLEEP_MS);

	if (left > 0 && !ShutdownRequestPending)
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 left, PG_WAIT_EXTENSION);
	rg_work_take_in_signals();
	if (ShutdownRequestPending)
		await_clients();
}

void
rg_work_wait(int64 (*due_at) (void))
{
	do
		rg_work_sleep(due_at());
	while (!ShutdownRequestPending && rg_work_now() < due_at());
}
