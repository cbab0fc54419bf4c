/*
 * audit_seal.c
 *		A sealing, from the lock to the commit.
 *
 * A seal covers the rows that its snapshot shows and the snapshot of the seal
 * before did not: whoever commits late is sealed late, and holds up nobody.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/json.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "audit_seal.h"
#include "audit_seal_account.h"
#include "audit_seal_chain.h"
#include "audit_seal_ratchet.h"
#include "audit_seal_scan.h"
#include "database_worker.h"
#include "durable.h"

typedef struct Sealing
{
	RgSealChain chain;
	RgSealParts parts;
	RgSealAccount account;
} Sealing;

/* What is left to do at the commit. */
static bool sealing = false;
static RgAuditWitness *heard = NULL;
static int	nheard = 0;

static void
finish(bool committed)
{
	if (committed)
	{
		rg_audit_witness_forget(heard, nheard);
		rg_seal_ratchet_commit();
	}
	rg_seal_ratchet_close();
	sealing = false;
	heard = NULL;
	nheard = 0;
}

static void
refuse_prepare(void)
{
	ereport(ERROR,
			errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			errmsg("a transaction that has sealed the audit log cannot be prepared"));
}

static void
on_transaction(XactEvent event, void *arg)
{
	if (!sealing)
		return;
	if (event == XACT_EVENT_PRE_PREPARE)
		refuse_prepare();
	else if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT)
		finish(event == XACT_EVENT_COMMIT);
}

void
rg_audit_seal_init(void)
{
	rg_seal_ratchet_init();
	RegisterXactCallback(on_transaction, NULL);
}

/*
 * The ratchet
 */

/* The seal itself says so as well, for the server's log may be gone. */
static void
find_ratchet(RgSealPart *part, const char *problem)
{
	StringInfoData object;

	initStringInfo(&object);
	appendStringInfoString(&object, "{\"ratchet\": ");
	escape_json(&object, problem);
	appendStringInfoChar(&object, '}');
	rg_seal_part_find(part, object.data);
}

static void
warn_of_ratchet(const char *problem)
{
	if (rg_seal_ratchet_step() >= 0)
		ereport(WARNING,
				errcode(ERRCODE_CONFIG_FILE_ERROR),
				errmsg("the ratchet of the audit log's seals is another than before"),
				errhint("Give ops/audit-verify its first key as well. If nobody meant to replace it, find out who did."));
	else
		ereport(WARNING,
				errcode(ERRCODE_CONFIG_FILE_ERROR),
				errmsg("seals of the audit log have no proof: %s", problem),
				errhint("Set relay_guard.audit_ratchet_file to a file made by relay_gateway keyring audit-init as the server's user."));
}

/*
 * It is found once: by the first seal that has no proof where the one before had,
 * or that is to have one, and by the first of another ratchet.
 */
static void
report_ratchet(Sealing *s, const char *problem)
{
	bool		news = s->chain.had_proof || !s->chain.begun || rg_seal_ratchet_step() >= 0;

	if (rg_work_tell_once(RG_WORK_SEALS, problem))
		warn_of_ratchet(problem);
	if (news && s->parts.parts != NIL)
		find_ratchet(linitial(s->parts.parts), problem);
}

static void
open_ratchet(Sealing *s)
{
	const char *problem = rg_seal_ratchet_open(&s->chain.proved);

	if (problem == NULL)
		(void) rg_work_tell_once(RG_WORK_SEALS, NULL);
	else if (s->chain.had_proof || rg_seal_ratchet_wanted())
		report_ratchet(s, problem);
}

/*
 * Sealing
 */

static void
take_row(const RgAuditRow *row, void *arg)
{
	Sealing    *s = arg;

	rg_seal_account_row(&s->account, s->parts.own_epoch, rg_seal_part_add(&s->parts, row), row);
}

/* The first seals of an epoch take over what others left. */
static void
gather(Sealing *s)
{
	if (!s->chain.begun)
		rg_seal_scan_foreign(s->chain.epoch, take_row, s);
	rg_seal_scan_new(s->chain.epoch, s->chain.begun ? &s->chain.before : NULL, s->chain.snap,
					 take_row, s);
}

static void
keep_for_commit(const Sealing *s, int count)
{
	Size		size = count * sizeof *heard;

	sealing = true;
	if (count == 0)
		return;
	heard = MemoryContextAllocHuge(TopTransactionContext, size);
	memcpy(heard, s->account.witnesses, size);
	nheard = count;
}

static void
add_seals(Sealing *s)
{
	ListCell   *cell;

	if (s->parts.parts != NIL)
		rg_commit_durably();
	foreach(cell, s->parts.parts)
	{
		rg_seal_chain_add(&s->chain, lfirst(cell));
	}
}

static int
seal(void)
{
	Sealing    *s = palloc0(sizeof *s);

	sealing = true;
	rg_seal_chain_open(&s->chain);
	s->parts.own_epoch = s->chain.epoch;
	rg_seal_account_begin(&s->account);
	gather(s);
	keep_for_commit(s, rg_seal_account_end(&s->account, &s->parts, s->chain.snap));
	open_ratchet(s);
	add_seals(s);
	rg_seal_chain_close(&s->chain);
	return list_length(s->parts.parts);
}

static void
refuse_unfinished(void)
{
	ereport(ERROR,
			errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			errmsg("a partition of the audit log lacks its trigger \"audit_refuse\""),
			errdetail("While a log is restored that is so, and it is not sealed before it is complete."),
			errhint("Otherwise call relay_guard.audit_maintain(), which creates it."));
}

int
rg_audit_seal(void)
{
	RgLogState	state;
	int			count = 0;

	SPI_connect();
	state = rg_seal_log_state();
	if (state == RG_LOG_UNFINISHED)
		refuse_unfinished();
	if (state == RG_LOG_READY)
		count = seal();
	SPI_finish();
	return count;
}

/*
 * audit_seal()
 */

/* What the transaction itself had written would look sealed, and is not. */
static void
require_fresh_transaction(void)
{
	if (TransactionIdIsValid(GetTopTransactionIdIfAny()) || IsolationUsesXactSnapshot() ||
		IsSubTransaction())
		ereport(ERROR,
				errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				errmsg("audit_seal() must be the first to write in a transaction of level READ COMMITTED, and outside savepoints"),
				errhint("Call it in a transaction of its own."));
}

PG_FUNCTION_INFO_V1(relay_guard_audit_seal);

/* audit_seal() → int */
Datum
relay_guard_audit_seal(PG_FUNCTION_ARGS)
{
	PreventCommandIfReadOnly("audit_seal()");
	PreventCommandIfParallelMode("audit_seal()");
	PreventCommandDuringRecovery("audit_seal()");
	require_fresh_transaction();
	PG_RETURN_INT32(rg_audit_seal());
}
