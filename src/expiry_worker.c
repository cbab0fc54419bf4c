/*
 * expiry_worker.c
 *		The worker that deletes what was kept long enough.
 *
 * It comes every few minutes and deletes in small transactions, so that none
 * holds back a snapshot or a standby for long.  Where no worker comes nothing is
 * wrong but the size of tables: whoever reads them asks how old a row is.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "utils/guc.h"

#include "database_worker.h"
#include "expiry_worker.h"
#include "own_relation.h"

#define EVERY 300				/* seconds */
#define BATCH 1000				/* rows of a transaction */

static int	retry = EVERY;

static const RgWorkKind kind = {
	.type = "relay_guard expiry",
	.function = "rg_expiry_worker_main",
	.purpose = "to delete what was kept long enough",
	.lock_timeout = "1s",
	.retry = &retry,
	.every = EVERY,
};

/* What is kept for a time: a table, and what deletes a batch of it. */
typedef struct RgExpiring
{
	const char *table;
	const char *statement;		/* $1: how many rows; returns how many it were */
} RgExpiring;

static const RgExpiring all_expiring[] = {
	{"idempotency_key", "SELECT relay_guard.idempotency_expire($1)"},
	{"event", "SELECT relay_guard.event_expire($1)"},
	{"session", "SELECT relay_guard.session_expire($1)"},
	{"webhook_message", "SELECT relay_guard.webhook_expire($1)"},
};

/* What the present transaction is to delete, and how many it has. */
static const RgExpiring *current;
static int	deleted;

void
rg_expiry_worker_init(void)
{
	rg_database_worker_define(RG_WORK_EXPIRY, &kind);
}

/* Scripts of an older version may be what is installed. */
static void
delete_batch(void)
{
	Oid			types[] = {INT4OID};
	Datum		batch = Int32GetDatum(BATCH);
	bool		isnull;

	deleted = 0;
	if (!OidIsValid(rg_own_relation(current->table)))
		return;
	(void) SPI_execute_with_args(current->statement, 1, types, &batch, NULL, false, 1);
	deleted = DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
}

/* False when it failed. */
static bool
delete_all(const RgExpiring *expiring)
{
	current = expiring;
	do
	{
		if (rg_work_try(delete_batch, "deleting what was kept long enough", 0) != 0)
			return false;
		CHECK_FOR_INTERRUPTS();
	}
	while (deleted >= BATCH && !ShutdownRequestPending);
	return true;
}

void
rg_expiry_worker_main(Datum arg)
{
	bool		failed = false;

	if (!rg_work_begin(RG_WORK_EXPIRY, arg))
		return;
	(void) rg_work_take();
	(void) rg_work_upkeep_due(EVERY);
	for (size_t i = 0; i < lengthof(all_expiring) && !ShutdownRequestPending; i++)
		failed |= !delete_all(&all_expiring[i]);
	if (failed)
		proc_exit(1);
	rg_work_done();
}
