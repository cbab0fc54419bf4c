/*
 * counter_worker.h
 *		The background workers that store counters; database_worker.h has what
 *		they share with others.
 */
#ifndef RG_COUNTER_WORKER_H
#define RG_COUNTER_WORKER_H

#include "fmgr.h"

/* The setting and the kind of work; called from _PG_init. */
extern void rg_counter_worker_init(void);

/* Notes that a counter of this database moved; may be called under a lock. */
extern void rg_counter_worker_notify(void);

/* Entry point of the process. */
extern PGDLLEXPORT void rg_counter_worker_main(Datum arg);

#endif
