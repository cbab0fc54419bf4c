/*
 * counter_worker.h
 *		The background workers that store counters.
 *
 * A launcher, connected to no database, looks about once a second which of the
 * databases named in relay_guard.databases has something to store or to read
 * back, and starts a worker there.  A worker that finds nothing to do exits:
 * a connected one would block DROP DATABASE.
 */
#ifndef RG_COUNTER_WORKER_H
#define RG_COUNTER_WORKER_H

#include "datatype/timestamp.h"
#include "fmgr.h"

/* Settings and, when preloaded, the launcher. */
extern void rg_counter_worker_init(void);

/* Parts of the shared memory hooks of counter.c. */
extern void rg_counter_worker_request_shmem(void);
extern void rg_counter_worker_startup_shmem(void);

/* Notes that a counter of this database moved; may be called under a lock. */
extern void rg_counter_worker_notify(void);

/* How the storing of this database goes. */
typedef struct RgStoreStatus
{
	TimestampTz stored_at;		/* the last round that ended well; 0: none yet */
	bool		pending;		/* something moved since that began */
	int64		failures;		/* rounds that did not, and workers not
								 * started */
} RgStoreStatus;

/* False where this database is not stored. */
extern bool rg_counter_worker_status(RgStoreStatus *status);

/* Entry points of the processes. */
extern PGDLLEXPORT void rg_counter_launcher_main(Datum arg);
extern PGDLLEXPORT void rg_counter_worker_main(Datum arg);

#endif
