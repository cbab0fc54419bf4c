/*
 * account_change.h
 *		What the current transaction has done to accounts, until it ends.
 *
 * A change pins its account, so that nobody sums it from the ledger anew while it
 * is not known how the transaction ends.
 */
#ifndef RG_ACCOUNT_CHANGE_H
#define RG_ACCOUNT_CHANGE_H

#include "counter.h"

#define RG_ACCOUNT_CHANGES_MAX 1024 /* of a transaction */

/* Of one account, in one subtransaction. */
typedef struct RgAccountChange
{
	struct RgAccountChange *next;
	RgCounter  *counter;
	SubTransactionId subid;
	int64		used;			/* counted already, to be undone by an abort */
	int64		reserved;
	int64		used_then;		/* to be counted by a commit */
	int64		reserved_then;
} RgAccountChange;

/* Callbacks; called from _PG_init. */
extern void rg_account_change_init(void);

/*
 * Room for so many changes more, before anything is locked.  Error 54000 when a
 * transaction has too many.
 */
extern void rg_account_change_reserve(int count);

/*
 * The current subtransaction's change of an account, which is pinned by it.  Its
 * partition is locked exclusively, and there is room.
 */
extern RgAccountChange *rg_account_change(RgCounter *counter);

/* Counts at once what an abort undoes. */
extern void rg_account_change_now(RgAccountChange *change, int64 used, int64 reserved);

#endif
