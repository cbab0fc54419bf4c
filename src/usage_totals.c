/*
 * usage_totals.c
 *		Refusals by quotas and budgets; usage_totals.h has the contract.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "commands/extension.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "counter.h"
#include "counter_key.h"
#include "database_worker.h"
#include "rate_totals.h"
#include "usage_totals.h"
#include "usage_worker.h"

#define REMEMBERED 16			/* places; a power of two */
#define TOTALS_COLUMNS 3
#define STATUS_COLUMNS 6

/* Where this backend found the totals of a policy. */
typedef struct Place
{
	uint64		owner;			/* the extension, as it was then created */
	int64		version;
	RgRateTotals *totals;
} Place;

static Place remembered[REMEMBERED];

/* A policy that was deleted keeps its place: there are more than anybody makes. */
static bool
exists(int32 policy, void *arg)
{
	return true;
}

static RgRateTotals *
find_totals(const RgUsagePolicy *policy)
{
	return rg_rate_totals(get_extension_oid("relay_guard", true),
						  policy->kind == RG_QUOTA ? RG_KIND_QUOTA : RG_KIND_BUDGET,
						  policy->id, exists, NULL);
}

/* Looking for it takes a lock that all refusals would wait for. */
static RgRateTotals *
totals_of(const RgUsagePolicy *policy)
{
	Place	   *place = &remembered[policy->version & (REMEMBERED - 1)];
	uint64		owner = rg_counter_owner();

	if (place->totals == NULL || place->version != policy->version || place->owner != owner)
	{
		place->totals = find_totals(policy);
		place->version = policy->version;
		place->owner = owner;
	}
	return place->totals;
}

void
rg_usage_count_denied(const RgUsagePolicy *policy)
{
	RgRateTotals *totals = totals_of(policy);

	if (totals != NULL)
		pg_atomic_fetch_add_u64(&totals->denied, 1);
}

static void
put_sums(ReturnSetInfo *set, const RgRateSums *sums)
{
	Datum		values[TOTALS_COLUMNS];
	bool		nulls[TOTALS_COLUMNS] = {0};

	values[0] = CStringGetTextDatum(sums->kind == RG_KIND_QUOTA ? "quota" : "budget");
	values[1] = Int32GetDatum(sums->policy);
	values[2] = Int64GetDatum(sums->denied);
	tuplestore_putvalues(set->setResult, set->setDesc, values, nulls);
}

PG_FUNCTION_INFO_V1(relay_guard_read_usage_totals);

Datum
relay_guard_read_usage_totals(PG_FUNCTION_ARGS)
{
	RgRateSums *sums;
	int			count;

	InitMaterializedSRF(fcinfo, 0);
	if (!rg_counter_available())
		return (Datum) 0;
	sums = palloc((RG_RATE_TOTALS_PLACES + 1) * sizeof *sums);
	count = rg_rate_totals_copy(sums);
	for (int i = 0; i < count; i++)
		if (sums[i].kind != RG_KIND_RATE)
			put_sums((ReturnSetInfo *) fcinfo->resultinfo, &sums[i]);
	return (Datum) 0;
}

PG_FUNCTION_INFO_V1(relay_guard_read_usage_status);

/* Nulls where this database is not one of relay_guard.databases. */
Datum
relay_guard_read_usage_status(PG_FUNCTION_ARGS)
{
	RgWorkStatus status;
	Datum		values[STATUS_COLUMNS] = {0};
	bool		nulls[STATUS_COLUMNS];
	TupleDesc	desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	memset(nulls, true, sizeof nulls);
	if (rg_work_status(RG_WORK_USAGE, &status))
	{
		memset(nulls, false, sizeof nulls);
		values[0] = TimestampTzGetDatum(status.done_at);
		nulls[0] = status.done_at == 0;
		values[1] = BoolGetDatum(status.pending);
		values[2] = Int64GetDatum(status.failures);
		values[3] = Int64GetDatum(status.tallies[RG_TALLY_WARNINGS]);
		values[4] = Int64GetDatum(status.tallies[RG_TALLY_HARD]);
		values[5] = Int64GetDatum(status.tallies[RG_TALLY_EXPIRED]);
	}
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}
