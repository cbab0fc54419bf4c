/*
 * usage_lease.h
 *		Reservations that nobody settled in time.
 */
#ifndef RG_USAGE_LEASE_H
#define RG_USAGE_LEASE_H

/*
 * Ends those whose lease is over, each in a transaction of its own: what they hold
 * is spent.  Those that are being settled just now are left for later, and so are
 * those that there is no time for before until.  Tells in again when there is
 * something to do: the next lease's end, or PG_INT64_MAX; all by rg_work_now().
 * False when one failed, which does not keep it from the others.
 *
 * Called by the worker outside of a transaction, after the ledger was summed up.
 */
extern bool rg_lease_expire(int64 until, int64 *again)
			__attribute__((warn_unused_result));

#endif
