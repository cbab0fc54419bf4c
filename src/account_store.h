/*
 * account_store.h
 *		Level 2 of quotas and budgets: their accounts as rows of the unlogged tables
 *		relay_guard.quota_counter and budget_counter, for whoever reads them.
 *
 * Nothing is ever read back from there: an account is rebuilt from the ledger.
 * Called by the worker, inside a transaction with a snapshot, connected to SPI.
 */
#ifndef RG_ACCOUNT_STORE_H
#define RG_ACCOUNT_STORE_H

#include "counter.h"

/*
 * Writes the accounts of a kind among counters that moved: those that are known,
 * of policies as they are now.
 */
extern void rg_account_store(RgCounterKind kind, const RgCounter *counters, int count);

/* Deletes rows of windows that are over and of policies that were changed since. */
extern void rg_account_store_delete_past(void);

#endif
