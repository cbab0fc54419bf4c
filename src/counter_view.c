/*
 * counter_view.c
 *		The counters as SQL sees them, straight from shared memory.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "datatype/timestamp.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "counter.h"
#include "counter_key.h"
#include "counter_store.h"
#include "database_worker.h"
#include "rate.h"
#include "rate_totals.h"

#define COUNTER_COLUMNS 13
#define STATUS_COLUMNS 11
#define TOTALS_COLUMNS 4

static const char *
counter_name(const RgRatePolicy *policy, const RgCounter *counter)
{
	return psprintf("rl:%s:%.*s", policy->name, counter->value_len, counter->value);
}

static Datum
seconds_datum(int64 nanoseconds)
{
	return Float8GetDatum(Max(nanoseconds, 0) / 1e9);
}

/*
 * The rule that binds the counter's next hit.  A role that it is counted apart
 * for, and a key of which a part was cut off, have the one that bound the last.
 */
static RgRuledBy
next_rule(const RgCounter *counter, const RgRatePolicy *policy, RgRateRule *rule)
{
	const RgRateHit hit = {.policy = policy,.key = {counter->value, counter->value_len}};

	*rule = rg_counter_rule(counter);
	if (counter->ruled_by == RG_RULED_BY_ROLE ||
		(counter->ruled_by == RG_RULED_BY_KEY && counter->value_len > RG_COUNTER_VALUE_SIZE - 4))
		return counter->ruled_by;
	return rg_rate_hit_rule(&hit, rule);
}

static void
put_counter(ReturnSetInfo *set, RgCounter *counter, const RgRatePolicy *policy)
{
	RgRateRule	last = rg_counter_rule(counter);
	RgRateRule	rule;
	RgRuledBy	ruled_by = next_rule(counter, policy, &rule);
	int64		boot_now = rg_boot_now();
	int64		now = rg_rate_uses_calendar(&rule) ? rg_wall_now() : boot_now;
	int64		limit = rg_rate_limit(&rule);
	int64		remaining;
	Datum		values[COUNTER_COLUMNS];
	bool		nulls[COUNTER_COLUMNS] = {0};

	rg_rate_adapt(&last, &rule, &counter->state, now);
	remaining = rg_rate_remaining(&rule, &counter->state, now);
	values[0] = CStringGetTextDatum(counter_name(policy, counter));
	values[1] = CStringGetTextDatum(policy->name);
	values[2] = rg_counter_value_datum(counter);
	values[3] = CStringGetTextDatum(rg_counter_class_name(counter->class));
	values[4] = CStringGetTextDatum(rg_rate_algorithm_name(counter->algorithm));
	values[5] = Int64GetDatum(limit - remaining);
	values[6] = Int64GetDatum(limit);
	values[7] = Int64GetDatum(remaining);
	values[8] = seconds_datum(rg_rate_expires(&rule, &counter->state) - now);
	values[9] = Int64GetDatum(counter->denied);
	values[10] = TimestampTzGetDatum(rg_wall_timestamp(rg_wall_now() - boot_now + counter->last_used));
	values[11] = BoolGetDatum(!counter->dirty);
	values[12] = CStringGetTextDatum(rg_rate_ruled_by_name(ruled_by));
	tuplestore_putvalues(set->setResult, set->setDesc, values, nulls);
}

/* Counters of policies that were deleted, or changed to another algorithm, count no more. */
static void
put_partition(ReturnSetInfo *set, RgCounter *copies, int count)
{
	for (int i = 0; i < count; i++)
	{
		const RgRatePolicy *policy;

		if (copies[i].kind != RG_KIND_RATE)
			continue;
		policy = rg_rate_policy_by_id(copies[i].policy);
		if (policy != NULL && policy->algorithm == copies[i].algorithm)
			put_counter(set, &copies[i], policy);
	}
}

PG_FUNCTION_INFO_V1(relay_guard_read_counters);

/* A partition at a time is copied, so no lock is held while rows are made. */
Datum
relay_guard_read_counters(PG_FUNCTION_ARGS)
{
	uint64		owner = rg_counter_owner();
	RgCounter  *copies;

	rg_counter_require();
	InitMaterializedSRF(fcinfo, 0);
	copies = palloc_extended(rg_counter_partition_size() * sizeof *copies, MCXT_ALLOC_HUGE);
	for (int i = 0; i < RG_COUNTER_PARTITIONS; i++)
	{
		CHECK_FOR_INTERRUPTS();
		put_partition((ReturnSetInfo *) fcinfo->resultinfo, copies,
					  rg_counter_copy(i, owner, false, copies));
	}
	pfree(copies);
	return (Datum) 0;
}

static void
status_values(Datum *values)
{
	RgCounterStatus status;

	rg_counter_status(&status);
	values[1] = Int64GetDatum(status.max);
	values[2] = Int64GetDatum(status.used[RG_COUNTER_ADDRESS] +
							  status.used[RG_COUNTER_IDENTITY] +
							  status.used[RG_COUNTER_OVERFLOW]);
	values[3] = Int64GetDatum(status.used[RG_COUNTER_ADDRESS]);
	values[4] = Int64GetDatum(status.used[RG_COUNTER_IDENTITY]);
	values[5] = Int64GetDatum(status.used[RG_COUNTER_OVERFLOW]);
	values[6] = Int64GetDatum(status.evictions);
	values[7] = Int64GetDatum(status.overflows);
}

/* Of this database; nulls where it is not one of relay_guard.databases. */
static void
store_values(Datum *values, bool *nulls)
{
	RgWorkStatus store;

	nulls[8] = nulls[9] = nulls[10] = true;
	if (!rg_work_status(RG_WORK_COUNTERS, &store))
		return;
	values[8] = TimestampTzGetDatum(store.done_at);
	nulls[8] = store.done_at == 0;
	values[9] = BoolGetDatum(store.pending);
	values[10] = Int64GetDatum(store.failures);
	nulls[9] = nulls[10] = false;
}

PG_FUNCTION_INFO_V1(relay_guard_read_counter_status);

Datum
relay_guard_read_counter_status(PG_FUNCTION_ARGS)
{
	bool		preloaded = rg_counter_available();
	Datum		values[STATUS_COLUMNS] = {0};
	bool		nulls[STATUS_COLUMNS];
	TupleDesc	desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	memset(nulls, !preloaded, sizeof nulls);
	nulls[0] = false;
	values[0] = BoolGetDatum(preloaded);
	if (preloaded)
	{
		status_values(values);
		store_values(values, nulls);
	}
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

static void
put_sums(ReturnSetInfo *set, const RgRateSums *sums)
{
	Datum		values[TOTALS_COLUMNS];
	bool		nulls[TOTALS_COLUMNS] = {0};

	values[0] = Int32GetDatum(sums->policy);
	nulls[0] = sums->policy == 0;
	values[1] = Int64GetDatum(sums->admitted);
	values[2] = Int64GetDatum(sums->denied);
	values[3] = Int64GetDatum(sums->shadow_denied);
	tuplestore_putvalues(set->setResult, set->setDesc, values, nulls);
}

PG_FUNCTION_INFO_V1(relay_guard_read_rate_totals);

Datum
relay_guard_read_rate_totals(PG_FUNCTION_ARGS)
{
	RgRateSums *sums;
	int			count;

	InitMaterializedSRF(fcinfo, 0);
	if (!rg_counter_available())
		return (Datum) 0;
	sums = palloc((RG_RATE_TOTALS_PLACES + 1) * sizeof *sums);
	count = rg_rate_totals_copy(sums);
	for (int i = 0; i < count; i++)
		if (sums[i].kind == RG_KIND_RATE)
			put_sums((ReturnSetInfo *) fcinfo->resultinfo, &sums[i]);
	return (Datum) 0;
}
