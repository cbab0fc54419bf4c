/*
 * audit_seal_account.c
 *		What was found of each transaction, and what was witnessed.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "audit_month.h"
#include "audit_seal_account.h"

void
rg_seal_account_begin(RgSealAccount *account)
{
	memset(account, 0, sizeof *account);
	account->witnesses = rg_audit_witness_copy(&account->count);
	account->met = palloc0(account->count + 1);
}

/* The place of a transaction's witness, or -1. */
static int
find_witness(const RgSealAccount *account, uint64 xid)
{
	int			low = 0;
	int			high = account->count;

	while (low < high)
	{
		int			middle = low + (high - low) / 2;

		if (account->witnesses[middle].xid < xid)
			low = middle + 1;
		else
			high = middle;
	}
	return low < account->count && account->witnesses[low].xid == xid ? low : -1;
}

/* One row too few or too many can be named. */
static void
report(RgSealPart *part, uint64 xid, const RgAuditSums *witnessed, const RgAuditSums *found)
{
	int64		missing = witnessed->rows - found->rows;
	StringInfoData object;

	initStringInfo(&object);
	appendStringInfo(&object, "{\"xid\": " UINT64_FORMAT ", \"found\": " INT64_FORMAT
					 ", \"witnessed\": " INT64_FORMAT, xid, found->rows, witnessed->rows);
	if (missing == 1 || missing == -1)
		appendStringInfo(&object, ", \"id\": " INT64_FORMAT,
						 missing * (int64) (witnessed->ids - found->ids));
	appendStringInfoChar(&object, '}');
	rg_seal_part_find(part, object.data);
	pfree(object.data);
}

/* Also false of one so long ago that nobody knows. */
static bool
ended_as(uint64 xid, const char *end)
{
	LOCAL_FCINFO(call, 1);
	FmgrInfo	function;
	Datum		status;

	fmgr_info(F_PG_XACT_STATUS, &function);
	InitFunctionCallInfoData(*call, &function, 1, InvalidOid, NULL, NULL);
	call->args[0].value = UInt64GetDatum(xid);
	call->args[0].isnull = false;
	status = FunctionCallInvoke(call);
	return !call->isnull && strcmp(TextDatumGetCString(status), end) == 0;
}

/* Whoever sees rows in a transaction that is rolled back could put them in later. */
static void
close_unwitnessed(RgSealAccount *account, int32 own_epoch)
{
	const RgAuditSums none = {0};

	account->part->unwitnessed++;
	if (account->epoch == own_epoch && ended_as(account->xid, "aborted"))
		report(account->part, account->xid, &none, &account->sums);
}

static void
close_transaction(RgSealAccount *account, int32 own_epoch)
{
	int			place = account->epoch == own_epoch ? find_witness(account, account->xid) : -1;

	if (account->part == NULL)
		return;
	if (place < 0)
		close_unwitnessed(account, own_epoch);
	else if (!rg_audit_sums_equal(&account->witnesses[place].sums, &account->sums))
		report(account->part, account->xid, &account->witnesses[place].sums, &account->sums);
	if (place >= 0)
		account->met[place] = true;
	account->part = NULL;
}

void
rg_seal_account_row(RgSealAccount *account, int32 own_epoch, RgSealPart *part,
					const RgAuditRow *row)
{
	if (account->part == NULL || account->xid != row->xid || account->epoch != row->epoch)
	{
		close_transaction(account, own_epoch);
		account->part = part;
		account->epoch = row->epoch;
		account->xid = row->xid;
		memset(&account->sums, 0, sizeof account->sums);
	}
	rg_audit_sums_add(&account->sums, row->id, row->mac);
}

static bool
is_over(uint64 xid, Datum snap)
{
	return DatumGetBool(OidFunctionCall2(F_PG_VISIBLE_IN_SNAPSHOT, UInt64GetDatum(xid), snap));
}

/* A witness of whom nothing was found; its transaction may have failed at the end. */
static void
close_unmet(const RgAuditWitness *witness, RgSealParts *parts)
{
	const RgAuditSums none = {0};

	if (ended_as(witness->xid, "committed"))
		report(rg_seal_part(parts, parts->own_epoch, rg_audit_month(GetCurrentTimestamp())),
			   witness->xid, &witness->sums, &none);
}

int
rg_seal_account_end(RgSealAccount *account, RgSealParts *parts, Datum snap)
{
	int			over = 0;

	close_transaction(account, parts->own_epoch);
	for (int i = 0; i < account->count; i++)
	{
		RgAuditWitness witness = account->witnesses[i];

		if (!account->met[i] && !is_over(witness.xid, snap))
			continue;
		if (!account->met[i])
			close_unmet(&witness, parts);
		account->witnesses[over++] = witness;
	}
	return over;
}
