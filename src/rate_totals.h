/*
 * rate_totals.h
 *		What each policy has admitted and refused since the server started; of
 *		quotas and budgets (usage_totals.h) what they have refused.
 *
 * Exact, in shared memory, in a place for each policy of each database; they
 * outlive the counters.  Policies that find no place share one.
 */
#ifndef RG_RATE_TOTALS_H
#define RG_RATE_TOTALS_H

#include "port/atomics.h"

#define RG_RATE_TOTALS_PLACES 2048

typedef struct RgRateTotals
{
	Oid			database;		/* InvalidOid: not in use */
	Oid			extension;		/* as it was created there */
	int32		kind;			/* RgCounterKind */
	int32		policy;
	pg_atomic_uint64 admitted;	/* hits */
	pg_atomic_uint64 denied;
	pg_atomic_uint64 shadow_denied; /* would have been, by a shadow policy */
} RgRateTotals;

/* A copy of one place. */
typedef struct RgRateSums
{
	int32		kind;			/* RgCounterKind */
	int32		policy;			/* 0: the place that policies share */
	int64		admitted;
	int64		denied;
	int64		shadow_denied;
} RgRateSums;

/* Parts of the shared memory hooks of counter.c. */
extern void rg_rate_totals_request_shmem(void);
extern void rg_rate_totals_startup_shmem(void);

/*
 * The place of this database's policy of that kind, which is made if there is
 * none; that of a policy of its kind which exists(id) denies may be taken over.
 * NULL without shared memory.  exists() is called under a lock.
 */
extern RgRateTotals *rg_rate_totals(Oid extension, int32 kind, int32 policy,
									bool (*exists) (int32 policy, void *arg), void *arg);

/* Frees the places of a database. */
extern void rg_rate_totals_purge(Oid database);

/*
 * Copies those of this database, and the shared one if it has been used, into
 * room for RG_RATE_TOTALS_PLACES + 1; returns how many.
 */
extern int	rg_rate_totals_copy(RgRateSums *sums);

#endif
