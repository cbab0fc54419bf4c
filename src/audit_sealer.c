/*
 * audit_sealer.c
 *		The worker that seals; audit_sealer.h says what else it does.
 *
 * Each kind of its work is done in a transaction of its own, and what one fails
 * at does not keep it from the others.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "miscadmin.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "audit_seal.h"
#include "audit_seal_chain.h"
#include "audit_sealer.h"
#include "database_worker.h"
#include "denial.h"
#include "own_relation.h"

#define HOUR 3600
#define DRAIN_EVERY_MS 200

static int	seal_interval = 10;
static int	retry = 10;

static const RgWorkKind kind = {
	.type = "relay_guard sealer",
	.function = "rg_audit_sealer_main",
	.purpose = "to seal the audit log",
	.lock_timeout = "5s",
	.retry = &retry,
	.every = HOUR,
};

/* When the next are due. */
static int64 seal_at;
static int64 drain_at;

static bool failed = false;

/*
 * Set by whoever runs the server.  Until it is sealed, what was written is bound
 * by its own MAC and by the witness only.
 */
void
rg_audit_sealer_init(void)
{
	DefineCustomIntVariable("relay_guard.audit_seal_interval",
							"Time between two seals of an audit log that is written to.",
							"0 leaves sealing to audit_seal().",
							&seal_interval, 10, 0, 86400,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
	rg_database_worker_define(RG_WORK_SEALS, &kind);
}

uint32
rg_audit_sealer_notify(bool now)
{
	if (seal_interval == 0)
		return 0;
	return rg_work_notify(RG_WORK_SEALS, now ? RG_SEAL_ROWS | RG_SEAL_NOW : RG_SEAL_ROWS);
}

static int64
seconds_from_now(int seconds)
{
	return rg_work_now() + seconds * USECS_PER_SEC;
}

/* Scripts of an older version may be what is installed. */
static bool
has_relation(const char *name)
{
	return OidIsValid(rg_own_relation(name));
}

static bool
is_true(const char *question)
{
	bool		isnull;

	return SPI_execute(question, true, 1) == SPI_OK_SELECT && SPI_processed == 1 &&
		DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
}

/*
 * Work
 */

/* Nobody tells of the commit of a prepared transaction: it is looked for. */
static void
seal(void)
{
	if (!has_relation("audit_seal"))
		return;
	(void) rg_audit_seal();
	if (is_true("SELECT EXISTS (SELECT FROM pg_prepared_xacts WHERE database = current_database())"))
		rg_work_give_back(RG_SEAL_ROWS);
}

/*
 * Partitions are added to those there are; the first are made by audit().  While
 * a log is restored they would stand in the way of those to come.
 */
static void
maintain(void)
{
	RgLogState	state = has_relation("audit_seal") ? rg_seal_log_state() : RG_LOG_EMPTY;

	if ((state == RG_LOG_READY || state == RG_LOG_FOREIGN) &&
		is_true("SELECT to_regprocedure('relay_guard.audit_maintain()') IS NOT NULL"))
		(void) SPI_execute("SELECT relay_guard.audit_maintain()", false, 0);
}

/* An error ends the transaction and, when all work has been tried, the worker. */
static void
try(void (*work) (void), const char *activity)
{
	if (rg_work_try(work, activity, 0) != 0)
		failed = true;
}

static bool
is_sealing_due(uint32 pending)
{
	return (pending & RG_SEAL_NOW) != 0 || ShutdownRequestPending ||
		rg_work_now() >= seal_at;
}

static void
seal_if_due(uint32 pending)
{
	if (seal_interval == 0)
		return;
	if (!is_sealing_due(pending))
	{
		rg_work_give_back(pending & RG_SEAL_ROWS);
		return;
	}
	try(seal, "sealing the audit log");
	seal_at = seconds_from_now(seal_interval);
}

/* Outside of a transaction; it makes its own, and keeps what it cannot write. */
static void
drain_denials(void)
{
	if (rg_denial_drain())
		rg_work_give_back(RG_SEAL_DENIALS);
	drain_at = rg_work_now() + DRAIN_EVERY_MS * INT64CONST(1000);
}

/* What is drained is sealed at once when this is the last round. */
static void
run_round(void)
{
	uint32		pending = rg_work_take();

	drain_denials();
	seal_if_due(pending);
	if (rg_work_upkeep_due(HOUR) && !ShutdownRequestPending)
		try(maintain, "making partitions of the audit log");
	if (failed)
		proc_exit(1);
	rg_work_done();
}

/*
 * Rhythm
 */

/* When what is pending is to be done. */
static int64
due_at(void)
{
	uint32		pending = rg_work_pending();
	int64		at = PG_INT64_MAX;

	if (pending & RG_SEAL_NOW)
		return 0;
	if (pending & RG_SEAL_ROWS)
		at = seal_at;
	if (pending & RG_SEAL_DENIALS)
		at = Min(at, drain_at);
	return at;
}

/*
 * Who has nothing pending was started for the upkeep, or by a server that has
 * just started: what was left unsealed is sealed at once.
 */
void
rg_audit_sealer_main(Datum arg)
{
	if (!rg_work_begin(RG_WORK_SEALS, arg))
		return;
	if (rg_work_is_first() || rg_work_pending() == 0)
		run_round();
	seal_at = seconds_from_now(seal_interval);
	for (bool last = false; rg_work_pending() != 0 && !last;)
	{
		rg_work_wait(due_at);
		last = ShutdownRequestPending;
		run_round();
	}
}
