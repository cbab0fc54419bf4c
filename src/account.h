/*
 * account.h
 *		Accounts: what a quota or a budget has taken, for a value, in a window.
 *
 * They live in the table of counter.h.  What an account holds follows the
 * transaction: what was taken is given back when it, or its subtransaction, is
 * rolled back, and what was freed is free once it has committed.  Its truth is the
 * ledger; an account that is new to the table is closed until it has been summed
 * from there.
 *
 * Whoever calls any of this holds rg_ledger_lock() and has looked at the policies
 * after taking it.  Needs shared_preload_libraries (error 55000 with the hint), and
 * a primary (25006).
 */
#ifndef RG_ACCOUNT_H
#define RG_ACCOUNT_H

#include "account_change.h"
#include "calendar.h"
#include "usage_policy.h"

/* One account of a call: rg_account_aim() fills the first four. */
typedef struct RgAccountUse
{
	const RgUsagePolicy *policy;
	RgWindow	window;
	RgSlice		value;			/* who; stays as long as this */
	RgCounterKey key;
	RgCounter  *counter;		/* after rg_account_open() */
	RgAccountChange *change;
	bool		seeded;
	bool		allowed;		/* what this one said */
	int64		used;			/* as the call found or left them */
	int64		reserved;
} RgAccountUse;

/* The account of that policy and value, in the window that a time is in. */
extern void rg_account_aim(RgAccountUse *use, const RgUsagePolicy *policy, RgSlice value,
						   TimestampTz at);

/*
 * Makes sure that all are in the table and seeded, where they stay until the
 * transaction ends, and reads what they hold.  Error 53400 when there is no place,
 * 54000 when a transaction has too many.
 */
extern void rg_account_open(RgAccountUse *uses, int count);

/* What they hold now. */
extern void rg_account_read(RgAccountUse *uses, int count);

/*
 * Takes the amounts (not negative) from all of them, or nothing if one of them has
 * no room; true if it was taken.
 */
extern bool rg_account_take(RgAccountUse *uses, int count, int64 used, int64 reserved);

/*
 * Puts what was spent in the place of what was held.  What goes beyond that counts
 * at once, whether or not there is room, and the rest of what was held is free once
 * the transaction has committed.
 */
extern void rg_account_settle(RgAccountUse *uses, int count, int64 held, int64 spent);

/* Gives back at once what this subtransaction has taken and nobody wrote down. */
extern void rg_account_give_back(RgAccountUse *uses, int count, int64 used);

/* What is left before the limit; PG_INT64_MAX without one, 0 if it was passed. */
static inline int64
rg_account_room(const RgAccountUse *use)
{
	if (use->policy->limit == PG_INT64_MAX)
		return PG_INT64_MAX;
	return Max(use->policy->limit - use->used - use->reserved, 0);
}

static inline bool
rg_account_is_warned(const RgAccountUse *use)
{
	return use->used + use->reserved >= use->policy->warn;
}

#endif
