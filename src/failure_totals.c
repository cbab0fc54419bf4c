/*
 * failure_totals.c
 *		What failed in each database; failure_totals.h has the contract.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"

#include "failure_totals.h"

#define TRANCHE "relay_guard_failure_totals"
#define PLACES 1024

typedef struct Place
{
	Oid			database;		/* InvalidOid: not in use */
	pg_atomic_uint64 failures[RG_FAILURES];
} Place;

static Place *places = NULL;
static LWLock *places_lock;

/* This database's; no other can be connected to from here. */
static Place *own_place = NULL;

static Size
places_size(void)
{
	return mul_size(PLACES, sizeof(Place));
}

static void
clear_place(Place *place)
{
	place->database = InvalidOid;
	for (int i = 0; i < RG_FAILURES; i++)
		pg_atomic_init_u64(&place->failures[i], 0);
}

void
rg_failure_totals_request_shmem(void)
{
	RequestAddinShmemSpace(places_size());
	RequestNamedLWLockTranche(TRANCHE, 1);
}

void
rg_failure_totals_startup_shmem(void)
{
	bool		found;

	places = ShmemInitStruct(TRANCHE, places_size(), &found);
	places_lock = &GetNamedLWLockTranche(TRANCHE)->lock;
	for (int i = 0; !found && i < PLACES; i++)
		clear_place(&places[i]);
}

static Place *
find_place(Oid database)
{
	for (int i = 0; i < PLACES; i++)
		if (places[i].database == database)
			return &places[i];
	return NULL;
}

static Place *
find_or_make_place(void)
{
	Place	   *place;

	LWLockAcquire(places_lock, LW_EXCLUSIVE);
	place = find_place(MyDatabaseId);
	if (place == NULL)
		place = find_place(InvalidOid);
	if (place != NULL)
		place->database = MyDatabaseId;
	LWLockRelease(places_lock);
	return place;
}

void
rg_failure_totals_add(RgFailure failure)
{
	if (own_place == NULL && places != NULL)
		own_place = find_or_make_place();
	if (own_place != NULL)
		pg_atomic_fetch_add_u64(&own_place->failures[failure], 1);
}

int64
rg_failure_totals_read(RgFailure failure)
{
	Place	   *place;
	int64		failures = 0;

	if (places == NULL)
		return -1;
	LWLockAcquire(places_lock, LW_SHARED);
	place = find_place(MyDatabaseId);
	if (place != NULL)
		failures = (int64) pg_atomic_read_u64(&place->failures[failure]);
	LWLockRelease(places_lock);
	return failures;
}

void
rg_failure_totals_purge(Oid database)
{
	Place	   *place;

	LWLockAcquire(places_lock, LW_EXCLUSIVE);
	place = find_place(database);
	if (place != NULL)
		clear_place(place);
	LWLockRelease(places_lock);
}

static Datum
failures_or_null(FunctionCallInfo fcinfo, RgFailure failure)
{
	int64		failures = rg_failure_totals_read(failure);

	if (failures < 0)
		PG_RETURN_NULL();
	PG_RETURN_INT64(failures);
}

PG_FUNCTION_INFO_V1(relay_guard_read_decrypt_failures);

/* read_decrypt_failures() → bigint, or NULL */
Datum
relay_guard_read_decrypt_failures(PG_FUNCTION_ARGS)
{
	return failures_or_null(fcinfo, RG_FAILURE_DECRYPT);
}

PG_FUNCTION_INFO_V1(relay_guard_read_webhook_failures);

/* read_webhook_failures() → bigint, or NULL */
Datum
relay_guard_read_webhook_failures(PG_FUNCTION_ARGS)
{
	return failures_or_null(fcinfo, RG_FAILURE_WEBHOOK);
}
