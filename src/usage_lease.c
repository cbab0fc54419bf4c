/*
 * usage_lease.c
 *		Reservations that nobody settled in time; usage_lease.h has the contract.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "postmaster/interrupt.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "database_worker.h"
#include "own_relation.h"
#include "promotion.h"
#include "usage_lease.h"
#include "usage_worker.h"

#define AT_ONCE 256

/* Who settles a reservation keeps it locked until he commits. */
#define LOCK_TIMEOUT "50ms"

typedef struct Lease
{
	TimestampTz until;
	pg_uuid_t	reservation;
} Lease;

static Lease leases[AT_ONCE];
static int	nleases;

/* Of the batch, the one that is being ended; and whether it was by this. */
static int	current;
static bool expired;

/* Leases that are over when a round begins are ended in it, each tried once. */
static TimestampTz round_time;
static TimestampTz next_end;

/* By rg_work_now(): when this round is to stop, and when the next is to begin. */
static int64 stop_at;
static int64 again_at;

static void
take_lease(uint64 row)
{
	SPITupleTable *table = SPI_tuptable;
	Lease	   *lease = &leases[nleases++];
	bool		isnull;

	lease->until = DatumGetTimestampTz(SPI_getbinval(table->vals[row], table->tupdesc, 1, &isnull));
	lease->reservation = *DatumGetUUIDP(SPI_getbinval(table->vals[row], table->tupdesc, 2, &isnull));
}

static void
try_again_at(int64 at)
{
	again_at = Min(again_at, at);
}

/* None where budgets are closed: what the former primary settled may be missing. */
static bool
is_closed(void)
{
	if (!OidIsValid(rg_own_relation("open_reservation")))
		return true;
	if (rg_promotion_is_confirmed())
		return false;
	try_again_at(stop_at);
	return true;
}

/* The next batch, after the last lease of the one before. */
static void
read_leases(void)
{
	static const Lease none = {.until = DT_NOBEGIN};
	Lease		after = nleases > 0 ? leases[nleases - 1] : none;
	Oid			types[] = {TIMESTAMPTZOID, TIMESTAMPTZOID, UUIDOID, INT4OID};
	Datum		values[] = {
		TimestampTzGetDatum(round_time), TimestampTzGetDatum(after.until),
		UUIDPGetDatum(&after.reservation), Int32GetDatum(AT_ONCE)
	};

	nleases = 0;
	if (is_closed())
		return;
	if (SPI_execute_with_args("SELECT lease_until, reservation FROM relay_guard.open_reservation"
							  " WHERE lease_until <= $1 AND (lease_until, reservation) > ($2, $3)"
							  " ORDER BY lease_until, reservation LIMIT $4",
							  lengthof(types), types, values, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "open reservations cannot be read");
	for (uint64 i = 0; i < SPI_processed; i++)
		take_lease(i);
}

/*
 * One that has been extended, settled or released since the round says so.  The
 * gateway that had a completion is gone, and its stream ends.
 */
static void
expire(void)
{
	Oid			types[] = {UUIDOID};
	Datum		values[] = {UUIDPGetDatum(&leases[current].reservation)};
	char	   *outcome;

	if (SPI_execute_with_args("SELECT outcome, CASE outcome WHEN 'expired' THEN relay_guard.completion_abandon($1) END"
							  " FROM relay_guard.budget_expire($1)",
							  lengthof(types), types, values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "a reservation cannot be ended");
	outcome = SPI_processed == 1 ? SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1) : NULL;
	expired = outcome != NULL && strcmp(outcome, "expired") == 0;
}

/* Whether it went well; one that is locked does. */
static bool
try_to_expire(void)
{
	int			code;

	expired = false;
	code = rg_work_try(expire, "ending a reservation", ERRCODE_LOCK_NOT_AVAILABLE);
	if (code == ERRCODE_LOCK_NOT_AVAILABLE)
		try_again_at(stop_at);
	else if (code != 0)
		return false;
	rg_work_count(RG_TALLY_EXPIRED, expired && code == 0);
	return true;
}

static bool
is_time_over(void)
{
	return rg_work_now() >= stop_at || ShutdownRequestPending;
}

/* False in well once one did not go well. */
static void
expire_batch(bool *well)
{
	for (current = 0; current < nleases && !is_time_over(); current++)
		*well &= try_to_expire();
	if (nleases > 0 && is_time_over())
		try_again_at(rg_work_now());
}

static bool
expire_all(void)
{
	bool		well = true;

	nleases = 0;
	do
	{
		if (rg_work_try(read_leases, "looking for reservations to end", 0) != 0)
			return false;
		expire_batch(&well);
	} while (nleases == AT_ONCE && !is_time_over());
	return well;
}

/* Those that were not ended are in the next round's totals, or still open. */
static void
read_next_end(void)
{
	Oid			types[] = {TIMESTAMPTZOID};
	Datum		values[] = {TimestampTzGetDatum(round_time)};
	bool		isnull = true;
	Datum		end = 0;

	if (OidIsValid(rg_own_relation("open_reservation")) &&
		SPI_execute_with_args("SELECT min(lease_until) FROM relay_guard.open_reservation WHERE lease_until > $1",
							  lengthof(types), types, values, NULL, true, 0) == SPI_OK_SELECT)
		end = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	next_end = isnull ? DT_NOEND : DatumGetTimestampTz(end);
}

static int64
work_time(TimestampTz time)
{
	return time == DT_NOEND ? PG_INT64_MAX :
		rg_work_now() + Max(time - GetCurrentTimestamp(), 0);
}

bool
rg_lease_expire(int64 until, int64 *again)
{
	bool		well;

	stop_at = until;
	round_time = GetCurrentTimestamp();
	next_end = DT_NOEND;
	again_at = PG_INT64_MAX;
	rg_work_set_lock_timeout(LOCK_TIMEOUT);
	well = expire_all();
	rg_work_set_lock_timeout(NULL);
	if (rg_work_try(read_next_end, "looking for the next lease to end", 0) != 0)
		well = false;
	try_again_at(work_time(next_end));
	*again = again_at;
	return well;
}
