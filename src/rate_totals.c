/*
 * rate_totals.c
 *		Totals of policies; rate_totals.h has the contract.
 *
 * A place is looked for when a backend reads the policies, never by a hit: that
 * adds to the place it knows.  So a hit that is under way while its policy is
 * deleted may be added to the policy that takes the place over.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"

#include "rate_totals.h"

#define TRANCHE "relay_guard_totals"
#define PROBES 64				/* places that may be a policy's */

/* Two policies' hits do not meet in a cache line. */
typedef union Place
{
	RgRateTotals totals;
	char		pad[64];
} Place;

/* The last place is the shared one. */
static Place *places = NULL;
static LWLock *places_lock;

static Size
places_size(void)
{
	return mul_size(RG_RATE_TOTALS_PLACES + 1, sizeof(Place));
}

void
rg_rate_totals_request_shmem(void)
{
	RequestAddinShmemSpace(places_size());
	RequestNamedLWLockTranche(TRANCHE, 1);
}

/* From now on it counts for this policy; InvalidOid: for none. */
static void
label(RgRateTotals *totals, Oid database, Oid extension, int32 kind, int32 policy)
{
	totals->database = database;
	totals->extension = extension;
	totals->kind = kind;
	totals->policy = policy;
	pg_atomic_write_u64(&totals->admitted, 0);
	pg_atomic_write_u64(&totals->denied, 0);
	pg_atomic_write_u64(&totals->shadow_denied, 0);
}

static void
clear_places(void)
{
	for (int i = 0; i <= RG_RATE_TOTALS_PLACES; i++)
	{
		pg_atomic_init_u64(&places[i].totals.admitted, 0);
		pg_atomic_init_u64(&places[i].totals.denied, 0);
		pg_atomic_init_u64(&places[i].totals.shadow_denied, 0);
		label(&places[i].totals, InvalidOid, InvalidOid, 0, 0);
	}
}

void
rg_rate_totals_startup_shmem(void)
{
	bool		found;

	places = ShmemInitStruct("relay_guard totals", places_size(), &found);
	places_lock = &GetNamedLWLockTranche(TRANCHE)->lock;
	if (!found)
		clear_places();
}

static RgRateTotals *
place_at(uint32 first, int probe)
{
	return &places[(first + probe) % RG_RATE_TOTALS_PLACES].totals;
}

static RgRateTotals *
find_place(uint32 first, Oid extension, int32 kind, int32 policy)
{
	for (int i = 0; i < PROBES; i++)
	{
		RgRateTotals *totals = place_at(first, i);

		if (totals->database == MyDatabaseId && totals->extension == extension &&
			totals->kind == kind && totals->policy == policy)
			return totals;
	}
	return NULL;
}

static RgRateTotals *
free_place(uint32 first)
{
	for (int i = 0; i < PROBES; i++)
		if (!OidIsValid(place_at(first, i)->database))
			return place_at(first, i);
	return NULL;
}

static RgRateTotals *
abandoned_place(uint32 first, Oid extension, int32 kind,
				bool (*exists) (int32 policy, void *arg), void *arg)
{
	for (int i = 0; i < PROBES; i++)
	{
		RgRateTotals *totals = place_at(first, i);

		if (totals->database == MyDatabaseId &&
			(totals->extension != extension ||
			 (totals->kind == kind && !exists(totals->policy, arg))))
			return totals;
	}
	return NULL;
}

static RgRateTotals *
find_or_make_place(Oid extension, int32 kind, int32 policy,
				   bool (*exists) (int32 policy, void *arg), void *arg)
{
	uint32		first = hash_combine(murmurhash32(MyDatabaseId + (uint32) kind),
									 murmurhash32((uint32) policy));
	RgRateTotals *totals = find_place(first, extension, kind, policy);

	if (totals != NULL)
		return totals;
	totals = free_place(first);
	if (totals == NULL)
		totals = abandoned_place(first, extension, kind, exists, arg);
	if (totals == NULL)
		return &places[RG_RATE_TOTALS_PLACES].totals;
	label(totals, MyDatabaseId, extension, kind, policy);
	return totals;
}

RgRateTotals *
rg_rate_totals(Oid extension, int32 kind, int32 policy,
			   bool (*exists) (int32 policy, void *arg), void *arg)
{
	RgRateTotals *totals;

	if (places == NULL)
		return NULL;
	LWLockAcquire(places_lock, LW_EXCLUSIVE);
	totals = find_or_make_place(extension, kind, policy, exists, arg);
	LWLockRelease(places_lock);
	return totals;
}

void
rg_rate_totals_purge(Oid database)
{
	LWLockAcquire(places_lock, LW_EXCLUSIVE);
	for (int i = 0; i < RG_RATE_TOTALS_PLACES; i++)
		if (places[i].totals.database == database)
			label(&places[i].totals, InvalidOid, InvalidOid, 0, 0);
	LWLockRelease(places_lock);
}

static RgRateSums
sums_of(RgRateTotals *totals)
{
	RgRateSums	sums;

	sums.kind = totals->kind;
	sums.policy = totals->policy;
	sums.admitted = (int64) pg_atomic_read_u64(&totals->admitted);
	sums.denied = (int64) pg_atomic_read_u64(&totals->denied);
	sums.shadow_denied = (int64) pg_atomic_read_u64(&totals->shadow_denied);
	return sums;
}

int
rg_rate_totals_copy(RgRateSums *sums)
{
	RgRateSums	shared;
	int			count = 0;

	LWLockAcquire(places_lock, LW_SHARED);
	for (int i = 0; i < RG_RATE_TOTALS_PLACES; i++)
		if (places[i].totals.database == MyDatabaseId)
			sums[count++] = sums_of(&places[i].totals);
	shared = sums_of(&places[RG_RATE_TOTALS_PLACES].totals);
	if (shared.admitted > 0 || shared.denied > 0 || shared.shadow_denied > 0)
		sums[count++] = shared;
	LWLockRelease(places_lock);
	return count;
}
