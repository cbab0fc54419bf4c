/*
 * usage_worker.c
 *		The worker that looks after the usage ledger; usage_worker.h says what it
 *		does.
 *
 * Each kind of its work is done in transactions of its own, and what one fails
 * at does not keep it from the others.  Where no worker runs the ledger is as true,
 * and slower to sum up; reservations whose lease ran out stay open, and hold what
 * they hold.
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "database_worker.h"
#include "own_relation.h"
#include "usage_alert.h"
#include "usage_lease.h"
#include "usage_worker.h"

#define HOUR 3600
#define ALERT_EVERY (1 * USECS_PER_SEC)

static int	usage_interval = 5;

static const RgWorkKind kind = {
	.type = "relay_guard ledger",
	.function = "rg_usage_worker_main",
	.purpose = "to look after the usage ledger",
	.lock_timeout = "5s",
	.retry = &usage_interval,
	.every = HOUR,
};

/* When the last round was, or the worker began, and when the next alerts are due. */
static int64 rounded_at;
static int64 alert_at;

static bool failed = false;

/* Whether this transaction has written the ledger. */
static bool wrote = false;

/*
 * Set by whoever runs the server.  What was written since the last round is what
 * an account reads row by row when it is rebuilt; a reservation that nobody ends
 * holds its amount for that much longer than its lease.
 */
void
rg_usage_worker_init(void)
{
	DefineCustomIntVariable("relay_guard.usage_interval",
							"Time between two rounds of summing up a usage ledger that is written to.",
							NULL, &usage_interval, 5, 1, 3600,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
	rg_database_worker_define(RG_WORK_USAGE, &kind);
}

void
rg_usage_worker_notify(uint32 what)
{
	(void) rg_work_notify(RG_WORK_USAGE, what);
}

/* Rows of a subtransaction that was rolled back make a round that finds nothing. */
static void
on_transaction(XactEvent event, void *arg)
{
	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT)
		return;
	if (wrote && event == XACT_EVENT_COMMIT)
		rg_usage_worker_notify(RG_USAGE_ROWS);
	wrote = false;
}

void
rg_usage_worker_wrote(void)
{
	static bool registered = false;

	if (!registered)
		RegisterXactCallback(on_transaction, NULL);
	registered = true;
	wrote = true;
}

/* The interval may have been changed since that time. */
static int64
interval_after(int64 time)
{
	return time + usage_interval * USECS_PER_SEC;
}

/*
 * Work
 */

/* Scripts of an older version may be what is installed. */
static bool
has_ledger(void)
{
	return OidIsValid(rg_own_relation("usage_total"));
}

static void
roll(void)
{
	if (has_ledger())
		(void) SPI_execute("SELECT relay_guard.usage_roll()", false, 0);
}

/* While a ledger is restored, partitions would stand in the way of those to come. */
static void
maintain(void)
{
	if (!has_ledger())
		return;
	(void) SPI_execute("SELECT relay_guard.usage_maintain() WHERE relay_guard.usage_is_whole()", false, 0);
	(void) SPI_execute("SELECT relay_guard.budget_alert_forget()", false, 0);
}

static void
try(void (*work) (void), const char *activity)
{
	if (rg_work_try(work, activity, 0) != 0)
		failed = true;
}

/* Those that found no place in time, or were being settled, are tried again. */
static void
expire_leases(void)
{
	int64		again;

	if (!rg_lease_expire(interval_after(rg_work_now()), &again))
		failed = true;
	rg_work_set_again(again);
}

static void
tell_alerts(uint32 pending)
{
	if ((pending & RG_USAGE_ALERT) == 0)
		return;
	if (!rg_alert_flagged())
		failed = true;
	alert_at = rg_work_now() + ALERT_EVERY;
}

static bool
is_round_due(void)
{
	return rg_work_now() >= Min(interval_after(rounded_at), rg_work_again());
}

/*
 * Leases are looked at when it is known which of them are still open.  What the
 * totals show is told where a crash may have kept it from being.
 */
static void
sum_up(void)
{
	try(roll, "summing up the usage ledger");
	expire_leases();
	if (rg_work_is_first() && !rg_alert_by_totals())
		failed = true;
	if (rg_work_upkeep_due(HOUR))
		try(maintain, "making partitions of the usage ledger");
	rounded_at = rg_work_now();
}

/* The last round before a shutdown leaves to the next start what is in the ledger. */
static void
run_round(void)
{
	uint32		pending = rg_work_take();

	tell_alerts(pending);
	if (is_round_due() && !ShutdownRequestPending)
		sum_up();
	else
		rg_work_give_back(pending & RG_USAGE_ROWS);
	if (failed)
		proc_exit(1);
	rg_work_done();
}

/*
 * Rhythm
 */

static int64
due_at(void)
{
	uint32		pending = rg_work_pending();
	int64		at = rg_work_again();

	if (pending & RG_USAGE_ROWS)
		at = Min(at, interval_after(rounded_at));
	if (pending & RG_USAGE_ALERT)
		at = Min(at, alert_at);
	return at;
}

/*
 * Who has nothing pending was started for a lease, for the upkeep, or by a server
 * that has just started.
 */
void
rg_usage_worker_main(Datum arg)
{
	if (!rg_work_begin(RG_WORK_USAGE, arg))
		return;
	if (rg_work_pending() != 0 && !rg_work_is_first())
		rounded_at = rg_work_now();
	else
		run_round();
	for (bool last = false; rg_work_pending() != 0 && !last;)
	{
		rg_work_wait(due_at);
		last = ShutdownRequestPending;
		run_round();
	}
}
