/*
 * database_worker.h
 *		Background workers that look after the databases named in
 *		relay_guard.databases: each kind of work has a worker of its own in each.
 *
 * A launcher, connected to no database, looks about once a second where there
 * is work, and starts a worker there.  A worker that finds nothing more to do
 * exits: a connected one would block DROP DATABASE.
 *
 * What is pending is a set of bits that belong to the kind of work.
 */
#ifndef RG_DATABASE_WORKER_H
#define RG_DATABASE_WORKER_H

#include "datatype/timestamp.h"
#include "fmgr.h"

typedef enum RgWork
{
	RG_WORK_COUNTERS,
	RG_WORK_SEALS,
	RG_WORK_USAGE,
	RG_WORK_EXPIRY,
	RG_WORKS
} RgWork;

typedef struct RgWorkKind
{
	const char *type;			/* as pg_stat_activity has it */
	const char *function;		/* of the library, the worker's entry point */
	const char *purpose;		/* "to ...", for the server's log */
	const char *lock_timeout;
	const int  *retry;			/* seconds from a failure to the next attempt */
	int			every;			/* seconds after which there is work though
								 * nothing is pending; 0: never */
} RgWorkKind;

#define RG_WORK_TALLIES 3		/* what a kind of work may count */

/* How the work goes in this database. */
typedef struct RgWorkStatus
{
	TimestampTz done_at;		/* the last round that ended well; 0: none yet */
	bool		pending;		/* there is more to do, or it is being done */
	int64		failures;		/* rounds that did not, and workers not
								 * started */
	int64		tallies[RG_WORK_TALLIES];	/* rg_work_count(), since the
											 * server started */
} RgWorkStatus;

/*
 * The setting and, when preloaded, the launcher; called from _PG_init, as is the
 * other for each kind.
 */
extern void rg_database_worker_init(void);
extern void rg_database_worker_define(RgWork work, const RgWorkKind *kind);

/* Parts of the shared memory hooks of counter.c. */
extern void rg_database_worker_request_shmem(void);
extern void rg_database_worker_startup_shmem(void);

/*
 * Tells of something to do in this database; may be called under a lock.  A
 * worker that sleeps is woken to look when it is due.  Returns how many notices
 * there were since the worker last took what was pending.
 */
extern uint32 rg_work_notify(RgWork work, uint32 what);

/*
 * Whether this is another problem than the last that was told of this work here;
 * NULL is none.
 */
extern bool rg_work_tell_once(RgWork work, const char *what);

/* How many databases are looked after. */
extern int	rg_work_databases(void);

/* False where this database is not looked after. */
extern bool rg_work_status(RgWork work, RgWorkStatus *status);

/* Entry point of the launcher. */
extern PGDLLEXPORT void rg_launcher_main(Datum arg);

/*
 * What follows is called by workers only.
 */

/*
 * Takes the database that the worker was started for and connects to it.  False
 * when there is nothing to do: the worker returns.  From then on SIGTERM only
 * sets ShutdownRequestPending, so that a last round can do what is left.
 */
extern bool rg_work_begin(RgWork work, Datum arg)
			__attribute__((warn_unused_result));

/* Whether there has been none since the server started that got as far as to mark it. */
extern bool rg_work_is_first(void);
extern void rg_work_mark_first(void);

/* What is pending; rg_work_take() makes it nothing. */
extern uint32 rg_work_pending(void);
extern uint32 rg_work_take(void);

/* Makes what was taken pending again, as an exit by an error does. */
extern void rg_work_give_back(uint32 what);

/*
 * Runs work in a transaction, connected to SPI and with a snapshot, if the
 * extension is installed here; if not, nothing is pending any more.
 */
extern void rg_work_run(void (*work) (void), const char *activity);

/*
 * The same; an error ends the transaction, not the worker.  Returns its code, or 0;
 * one of the code tolerated, which may be 0, is not reported.
 */
extern int	rg_work_try(void (*work) (void), const char *activity, int tolerated);

/* How long the following transactions wait for locks; NULL: as the kind of work has it. */
extern void rg_work_set_lock_timeout(const char *timeout);

/*
 * Though nothing is pending, there is work again at that time, by rg_work_now(): a
 * worker that has ended by then is started.  PG_INT64_MAX: there is not.
 */
extern void rg_work_set_again(int64 at);
extern int64 rg_work_again(void);

/* Counts n more of what the kind of work numbers so, below RG_WORK_TALLIES. */
extern void rg_work_count(int tally, int64 n);

/* True once in so many seconds, whichever worker asks. */
extern bool rg_work_upkeep_due(int seconds);

/* The round ended well. */
extern void rg_work_done(void);

/*
 * Sleeps until a time, or until somebody wakes the worker or ends it.  At a
 * shutdown this returns when the clients of the database have gone, or a second
 * has passed.
 */
extern void rg_work_sleep(int64 until);

/*
 * The same until the time that is due; that is asked again whenever somebody wakes
 * the worker, for there may be more to do.
 */
extern void rg_work_wait(int64 (*due_at) (void));

/* Microseconds since the machine started, which nobody sets back or forth. */
extern int64 rg_work_now(void);

#endif
