/*
 * database_task.h
 *		The table in shared memory that the launcher and its workers share: a row
 *		for each database that is looked after, a task in it for each kind of
 *		work.  Private to them; others use database_worker.h.
 *
 * The launcher alone adds and removes rows; a worker claims its task while it
 * runs.  A kill -9 of either makes the server start again with an empty table.
 */
#ifndef RG_DATABASE_TASK_H
#define RG_DATABASE_TASK_H

#include "port/atomics.h"
#include "storage/lwlock.h"

#include "database_worker.h"

#define RG_MAX_DATABASES 64

typedef struct RgTask
{
	pg_atomic_uint32 pending;	/* what there is to do since the last round */
	pg_atomic_uint32 taken;		/* of that, by a round that has not ended */
	pg_atomic_uint32 begun;		/* rg_work_mark_first() */
	pg_atomic_uint32 worker;	/* its pid; 0 if none */
	pg_atomic_uint32 process;	/* its number in ProcGlobal, plus 1; 0 if none */
	pg_atomic_uint64 retry_at;	/* by rg_work_now(); before it none is started */
	pg_atomic_uint64 done_at;	/* TimestampTz of the last round; 0 if none */
	pg_atomic_uint64 failures;	/* of rounds and of starts */
	pg_atomic_uint32 notices;	/* since the worker took what was pending */
	pg_atomic_uint32 told;		/* hash of the problem that was told last */
	pg_atomic_uint64 upkeep_at; /* by rg_work_now(); 0: no upkeep yet */
	pg_atomic_uint64 again_at;	/* by rg_work_now(): there is work then */
	pg_atomic_uint64 tallies[RG_WORK_TALLIES];
} RgTask;

typedef struct RgDatabase
{
	pg_atomic_uint32 oid;		/* InvalidOid: row not in use */
	RgTask		tasks[RG_WORKS];
} RgDatabase;

typedef struct RgDatabases
{
	pg_atomic_uint32 launcher;	/* as process of a task */
	pg_atomic_uint32 count;		/* rows in use */
	RgDatabase	rows[RG_MAX_DATABASES];
} RgDatabases;

/* The table, or NULL without shared memory, and the lock to change its rows. */
extern RgDatabases *rg_databases;
extern LWLock *rg_databases_lock;

/* The row of a database, or NULL. */
extern RgDatabase *rg_database_row(Oid database);

/* A database that is new to the table; its work is to be begun. */
extern void rg_database_set_row(RgDatabase *row, Oid database);

extern const RgWorkKind *rg_work_kind(RgWork work);

/* No worker is started before the kind's time to retry is over. */
extern void rg_task_retry_later(RgTask *task, const RgWorkKind *kind);

/* Says that the present process is the one to wake. */
extern void rg_task_enter_process(pg_atomic_uint32 *process);

/* If it has just died, this wakes a bystander, who looks and sleeps on. */
extern void rg_task_wake(pg_atomic_uint32 *process);

/* For the processes: what signals do, and what they have done meanwhile. */
extern void rg_work_take_signals(void);
extern void rg_work_take_in_signals(void);

#endif
