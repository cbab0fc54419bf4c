/*
 * ledger_total.h
 *		Sums of the ledger that are kept: relay_guard.usage_total.
 */
#ifndef RG_LEDGER_TOTAL_H
#define RG_LEDGER_TOTAL_H

#include "utils/snapshot.h"

#include "calendar.h"
#include "slice.h"

/* Whose: policy is 0 and scope no quota for budgets. */
typedef struct RgLedgerAccount
{
	const char *scope;			/* as the table spells it */
	int32		policy;
	RgSlice		value;			/* "*" where it is everybody's */
} RgLedgerAccount;

/* Adds to a sum; error 22003 when that does not fit. */
extern void rg_ledger_add(int64 *sum, int64 change);

/* Whether the window begins and ends where sums do. */
extern bool rg_ledger_has_totals(RgWindow window);

/* Adds what is covered of the account in the window. */
extern void rg_ledger_totals(const RgLedgerAccount *account, RgWindow window,
							 Snapshot snapshot, int64 *used, int64 *reserved);

#endif
