/*
 * database_task.c
 *		The table of databases and their tasks; database_task.h describes it.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "counter.h"
#include "database_task.h"

#define TRANCHE "relay_guard_worker"

static const RgWorkKind *kinds[RG_WORKS];

RgDatabases *rg_databases = NULL;
LWLock	   *rg_databases_lock;

void
rg_database_worker_define(RgWork work, const RgWorkKind *kind)
{
	kinds[work] = kind;
}

const RgWorkKind *
rg_work_kind(RgWork work)
{
	return kinds[work];
}

void
rg_database_worker_request_shmem(void)
{
	RequestAddinShmemSpace(sizeof(RgDatabases));
	RequestNamedLWLockTranche(TRANCHE, 1);
}

static void
init_task(RgTask *task)
{
	pg_atomic_init_u32(&task->pending, 0);
	pg_atomic_init_u32(&task->taken, 0);
	pg_atomic_init_u32(&task->begun, 0);
	pg_atomic_init_u32(&task->worker, 0);
	pg_atomic_init_u32(&task->process, 0);
	pg_atomic_init_u64(&task->retry_at, 0);
	pg_atomic_init_u64(&task->done_at, 0);
	pg_atomic_init_u64(&task->failures, 0);
	pg_atomic_init_u32(&task->notices, 0);
	pg_atomic_init_u32(&task->told, 0);
	pg_atomic_init_u64(&task->upkeep_at, 0);
	pg_atomic_init_u64(&task->again_at, PG_INT64_MAX);
	for (int i = 0; i < RG_WORK_TALLIES; i++)
		pg_atomic_init_u64(&task->tallies[i], 0);
}

static void
init_shared(void)
{
	pg_atomic_init_u32(&rg_databases->launcher, 0);
	pg_atomic_init_u32(&rg_databases->count, 0);
	for (int i = 0; i < RG_MAX_DATABASES; i++)
	{
		pg_atomic_init_u32(&rg_databases->rows[i].oid, InvalidOid);
		for (int work = 0; work < RG_WORKS; work++)
			init_task(&rg_databases->rows[i].tasks[work]);
	}
}

void
rg_database_worker_startup_shmem(void)
{
	bool		found;

	rg_databases = ShmemInitStruct("relay_guard databases", sizeof *rg_databases, &found);
	rg_databases_lock = &GetNamedLWLockTranche(TRANCHE)->lock;
	if (!found)
		init_shared();
}

static void
reset_task(RgTask *task)
{
	pg_atomic_write_u32(&task->pending, 1);
	pg_atomic_write_u32(&task->taken, 0);
	pg_atomic_write_u32(&task->begun, 0);
	pg_atomic_write_u64(&task->retry_at, 0);
	pg_atomic_write_u64(&task->done_at, 0);
	pg_atomic_write_u64(&task->failures, 0);
	pg_atomic_write_u32(&task->notices, 0);
	pg_atomic_write_u32(&task->told, 0);
	pg_atomic_write_u64(&task->upkeep_at, 0);
	pg_atomic_write_u64(&task->again_at, PG_INT64_MAX);
	for (int i = 0; i < RG_WORK_TALLIES; i++)
		pg_atomic_write_u64(&task->tallies[i], 0);
}

void
rg_database_set_row(RgDatabase *row, Oid database)
{
	for (int work = 0; work < RG_WORKS; work++)
		reset_task(&row->tasks[work]);
	pg_atomic_write_u32(&row->oid, database);
}

RgDatabase *
rg_database_row(Oid database)
{
	for (int i = 0; rg_databases != NULL && i < RG_MAX_DATABASES; i++)
		if (pg_atomic_read_u32(&rg_databases->rows[i].oid) == database)
			return &rg_databases->rows[i];
	return NULL;
}

int
rg_work_databases(void)
{
	return rg_databases == NULL ? 0 : (int) pg_atomic_read_u32(&rg_databases->count);
}

void
rg_task_wake(pg_atomic_uint32 *process)
{
	uint32		number = pg_atomic_read_u32(process);

	if (number > 0)
		SetLatch(&ProcGlobal->allProcs[number - 1].procLatch);
}

static RgTask *
my_task(RgWork work)
{
	RgDatabase *database = rg_database_row(MyDatabaseId);

	return database == NULL ? NULL : &database->tasks[work];
}

/*
 * The launcher is told of the first at once, so that a shutdown soon after finds
 * a worker there.
 */
uint32
rg_work_notify(RgWork work, uint32 what)
{
	RgTask	   *task = my_task(work);
	uint32		former;

	if (task == NULL)
		return 0;
	former = pg_atomic_fetch_or_u32(&task->pending, what);
	if (former == 0)
		rg_task_wake(&rg_databases->launcher);
	if ((former & what) != what)
		rg_task_wake(&task->process);
	return pg_atomic_add_fetch_u32(&task->notices, 1);
}

static bool
is_news(uint32 *told, uint32 what)
{
	bool		news = *told != what;

	*told = what;
	return news;
}

bool
rg_work_tell_once(RgWork work, const char *what)
{
	static uint32 told = 0;		/* by this process, in a database without a
								 * row */
	uint32		hash = what == NULL ? 0 : hash_bytes((const unsigned char *) what, strlen(what)) | 1;
	RgTask	   *task = my_task(work);

	if (task == NULL)
		return is_news(&told, hash);
	return pg_atomic_exchange_u32(&task->told, hash) != hash;
}

/* A worker that takes it says so first: it is never in neither of them. */
static bool
is_unfinished(RgTask *task)
{
	if (pg_atomic_read_u32(&task->pending) != 0)
		return true;
	pg_read_barrier();
	return pg_atomic_read_u32(&task->taken) != 0;
}

bool
rg_work_status(RgWork work, RgWorkStatus *status)
{
	RgTask	   *task = my_task(work);

	if (task == NULL)
		return false;
	status->done_at = (TimestampTz) pg_atomic_read_u64(&task->done_at);
	status->pending = is_unfinished(task);
	status->failures = (int64) pg_atomic_read_u64(&task->failures);
	for (int i = 0; i < RG_WORK_TALLIES; i++)
		status->tallies[i] = (int64) pg_atomic_read_u64(&task->tallies[i]);
	return true;
}

int64
rg_work_now(void)
{
	return rg_boot_now() / 1000;
}

void
rg_task_retry_later(RgTask *task, const RgWorkKind *kind)
{
	pg_atomic_write_u64(&task->retry_at, rg_work_now() + *kind->retry * USECS_PER_SEC);
}

void
rg_task_enter_process(pg_atomic_uint32 *process)
{
	pg_atomic_write_u32(process, (uint32) (MyProc - ProcGlobal->allProcs) + 1);
}

/*
 * Signals
 */

void
rg_work_take_in_signals(void)
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
rg_work_take_signals(void)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	BackgroundWorkerUnblockSignals();
}
