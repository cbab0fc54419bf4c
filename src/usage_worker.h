/*
 * usage_worker.h
 *		The background workers that look after the usage ledger: they keep its
 *		totals, end reservations whose lease ran out, make partitions, and tell of
 *		budgets that reached a limit.  database_worker.h has what they share with
 *		others.
 */
#ifndef RG_USAGE_WORKER_H
#define RG_USAGE_WORKER_H

#include "fmgr.h"

/* What can be pending for RG_WORK_USAGE */
#define RG_USAGE_ROWS 1			/* rows of the ledger are in no total yet */
#define RG_USAGE_ALERT 2		/* an account has a flag that nobody was told
								 * of */

/* What the work counts; rg_work_count(). */
typedef enum RgUsageTally
{
	RG_TALLY_WARNINGS,			/* alerts */
	RG_TALLY_HARD,
	RG_TALLY_EXPIRED			/* leases that the worker let run out */
} RgUsageTally;

/* The setting and the kind of work; called from _PG_init. */
extern void rg_usage_worker_init(void);

/* Tells this database's worker of something to do; may be called under a lock. */
extern void rg_usage_worker_notify(uint32 what);

/* The same of rows, when the current transaction, which writes them, has committed. */
extern void rg_usage_worker_wrote(void);

/* Entry point of the process. */
extern PGDLLEXPORT void rg_usage_worker_main(Datum arg);

#endif
