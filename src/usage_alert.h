/*
 * usage_alert.h
 *		Telling of budgets that reached a limit: a row of relay_guard.budget_alert and
 *		a NOTIFY in the same transaction, once for each account and limit.
 *
 * 'warning' is told when what is committed, spent or reserved, has reached what
 * the policy warns of.  'hard' is told when it has reached the limit, or when
 * something was refused and what is committed has reached the warning; without
 * one, half of the limit: a single request that no such budget could hold tells
 * nothing.  What is rolled back tells nothing either.
 */
#ifndef RG_USAGE_ALERT_H
#define RG_USAGE_ALERT_H

/*
 * Tells of the accounts whose flags say so, outside of a transaction; of those
 * that a transaction under way has brought there, when it is over.  False when
 * that failed, and is to be tried again.
 */
extern bool rg_alert_flagged(void)
			__attribute__((warn_unused_result));

/*
 * Tells of what the totals of the ledger show in present windows: a crash empties
 * shared memory, flags included.  As above.
 */
extern bool rg_alert_by_totals(void)
			__attribute__((warn_unused_result));

#endif
