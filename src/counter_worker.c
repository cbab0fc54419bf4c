/*
 * counter_worker.c
 *		The worker of level 2, which stores the counters of a database.
 */
#include "postgres.h"

#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "postmaster/interrupt.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "counter_store.h"
#include "counter_worker.h"
#include "database_worker.h"

#define MOVED 1					/* the one thing that can be pending */

static int	flush_interval = 60;

static const RgWorkKind kind = {
	.type = "relay_guard worker",
	.function = "rg_counter_worker_main",
	.purpose = "to store counters",
	.lock_timeout = "1s",
	.retry = &flush_interval,
};

/* Set by whoever runs the server.  A crash takes what an interval has counted. */
void
rg_counter_worker_init(void)
{
	DefineCustomIntVariable("relay_guard.flush_interval",
							"Time between two rounds of storing counters.",
							NULL, &flush_interval, 60, 1, 86400,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
	rg_database_worker_define(RG_WORK_COUNTERS, &kind);
}

/* Once for each counter and round, not for each hit. */
void
rg_counter_worker_notify(void)
{
	(void) rg_work_notify(RG_WORK_COUNTERS, MOVED);
}

static void
store(void)
{
	(void) rg_work_take();
	(void) rg_counter_flush();
}

/* The first round after the server started; counters may have moved already. */
static void
read_back_and_store(void)
{
	int64		loaded = rg_counter_load();

	rg_work_mark_first();
	if (loaded > 0)
		ereport(LOG,
				errmsg("relay_guard read back %lld counters of database \"%s\"",
					   (long long) loaded, get_database_name(MyDatabaseId)));
	store();
}

static void
run_round(void (*work) (void), const char *activity)
{
	rg_work_run(work, activity);
	rg_counter_flushed();
	rg_work_done();
}

/* Waits for the interval to pass, or for the order to stop. */
static void
wait_for_round(void)
{
	int64		end = rg_work_now() + flush_interval * USECS_PER_SEC;

	do
		rg_work_sleep(end);
	while (!ShutdownRequestPending && rg_work_now() < end);
}

void
rg_counter_worker_main(Datum arg)
{
	if (!rg_work_begin(RG_WORK_COUNTERS, arg))
		return;
	if (rg_work_is_first())
		run_round(read_back_and_store, "reading counters back");
	for (bool last = false; rg_work_pending() != 0 && !last;)
	{
		wait_for_round();
		last = ShutdownRequestPending;
		run_round(store, "storing counters");
	}
}
