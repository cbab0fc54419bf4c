/*
 * account_view.c
 *		The accounts of quotas and budgets as SQL sees them, straight from shared
 *		memory.
 */
#include "postgres.h"

#include "common/int.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "counter.h"
#include "counter_key.h"
#include "counter_store.h"
#include "scope.h"
#include "usage_policy.h"

/* Columns of read_accounts(). */
enum
{
	COL_NAME,
	COL_KIND,
	COL_POLICY,
	COL_POLICY_ID,
	COL_SCOPE,
	COL_VALUE,
	COL_CLASS,
	COL_WINDOW,
	COL_WINDOW_START,
	COL_WINDOW_END,
	COL_USED,
	COL_RESERVED,
	COL_PENDING_USED,
	COL_PENDING_RESERVED,
	COL_PENDING,
	COL_LIMIT,
	COL_REMAINING,
	COL_WARN,
	COL_SEEDED,
	COL_CHANGES,
	COL_DENIED,
	COL_LAST_USED,
	COL_STORED,
	NCOLUMNS
};

#define GLOBAL_COLUMNS 7

static const char *
account_name(const RgCounter *counter, const RgUsagePolicy *policy)
{
	return psprintf("%s:%s:%.*s", policy->kind == RG_QUOTA ? "q" : "b", policy->name,
					counter->value_len, counter->value);
}

/* Whose it is, and which window's. */
static void
put_name(Datum *values, const RgCounter *counter, const RgUsagePolicy *policy)
{
	values[COL_NAME] = CStringGetTextDatum(account_name(counter, policy));
	values[COL_KIND] = CStringGetTextDatum(policy->kind == RG_QUOTA ? "quota" : "budget");
	values[COL_POLICY] = CStringGetTextDatum(policy->name);
	values[COL_POLICY_ID] = Int32GetDatum(policy->id);
	values[COL_SCOPE] = CStringGetTextDatum(rg_scope_name(policy->scope));
	values[COL_VALUE] = rg_counter_value_datum(counter);
	values[COL_CLASS] = CStringGetTextDatum(rg_counter_class_name(counter->class));
	values[COL_WINDOW] = CStringGetTextDatum(rg_calendar_name(policy->calendar));
	values[COL_WINDOW_START] = TimestampTzGetDatum(counter->account.from);
	values[COL_WINDOW_END] = TimestampTzGetDatum(counter->account.until);
}

static void
put_limit(Datum *values, bool *nulls, int column, int64 limit)
{
	values[column] = Int64GetDatum(limit);
	nulls[column] = limit == PG_INT64_MAX;
}

/* What has gone beyond the limit is not less than nothing. */
static int64
remaining(const RgAccount *account)
{
	int64		gone;
	int64		left;

	if (pg_add_s64_overflow(account->used, account->reserved, &gone) ||
		pg_sub_s64_overflow(account->limit, gone, &left))
		return 0;
	return Max(left, 0);
}

/* Nothing is known of an account that is not seeded. */
static void
put_sums(Datum *values, bool *nulls, const RgAccount *account)
{
	values[COL_USED] = Int64GetDatum(account->used);
	values[COL_RESERVED] = Int64GetDatum(account->reserved);
	values[COL_PENDING_USED] = Int64GetDatum(account->pending_used);
	values[COL_PENDING_RESERVED] = Int64GetDatum(account->pending_reserved);
	values[COL_REMAINING] = Int64GetDatum(remaining(account));
	for (int column = COL_USED; column <= COL_PENDING_RESERVED; column++)
		nulls[column] = !account->seeded;
	put_limit(values, nulls, COL_LIMIT, account->limit);
	put_limit(values, nulls, COL_WARN, account->warn);
	nulls[COL_REMAINING] = !account->seeded || nulls[COL_LIMIT];
}

static void
put_account(ReturnSetInfo *set, const RgCounter *counter, const RgUsagePolicy *policy)
{
	int64		last_used = rg_wall_now() - rg_boot_now() + counter->last_used;
	Datum		values[NCOLUMNS];
	bool		nulls[NCOLUMNS] = {0};

	put_name(values, counter, policy);
	put_sums(values, nulls, &counter->account);
	values[COL_PENDING] = Int32GetDatum(counter->pins);
	values[COL_SEEDED] = BoolGetDatum(counter->account.seeded);
	values[COL_CHANGES] = Int64GetDatum((int64) counter->account.changes);
	values[COL_DENIED] = Int64GetDatum(counter->denied);
	values[COL_LAST_USED] = TimestampTzGetDatum(rg_wall_timestamp(last_used));
	values[COL_STORED] = BoolGetDatum(!counter->dirty);
	tuplestore_putvalues(set->setResult, set->setDesc, values, nulls);
}

/* Accounts of policies that were deleted or changed count no more. */
static void
put_partition(ReturnSetInfo *set, const RgCounter *copies, int count)
{
	for (int i = 0; i < count; i++)
	{
		const RgUsagePolicy *policy;

		if (copies[i].kind == RG_KIND_RATE)
			continue;
		policy = rg_usage_policy_of_version(copies[i].account.version);
		if (policy != NULL)
			put_account(set, &copies[i], policy);
	}
}

PG_FUNCTION_INFO_V1(relay_guard_read_accounts);

/* A partition at a time is copied, so no lock is held while rows are made. */
Datum
relay_guard_read_accounts(PG_FUNCTION_ARGS)
{
	uint64		owner = rg_counter_owner();
	RgCounter  *copies;

	InitMaterializedSRF(fcinfo, 0);
	if (!rg_counter_available())
		return (Datum) 0;
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

/*
 * Budgets for everybody
 */

/* False when it is not in shared memory, or not summed yet. */
static bool
find_account(const RgUsagePolicy *policy, RgWindow window, RgAccount *account)
{
	RgCounterKey key = rg_counter_account_key(policy->version, window.from, RG_SLICE("*"));
	RgPartitions partitions = {0};
	RgCounter  *counter;

	account->seeded = false;
	rg_partitions_add(&partitions, &key);
	rg_counter_lock(&partitions, LW_SHARED);
	counter = rg_counter_find(&key);
	if (counter != NULL)
		*account = counter->account;
	rg_counter_unlock(&partitions);
	return account->seeded;
}

static void
put_global(ReturnSetInfo *set, const RgUsagePolicy *policy)
{
	RgWindow	window = rg_calendar_window(policy->calendar, GetCurrentTimestamp());
	RgAccount	account = {0};
	bool		known = rg_counter_available() && find_account(policy, window, &account);
	Datum		values[GLOBAL_COLUMNS];
	bool		nulls[GLOBAL_COLUMNS] = {0};

	values[0] = CStringGetTextDatum(policy->name);
	values[1] = TimestampTzGetDatum(window.from);
	values[2] = TimestampTzGetDatum(window.until);
	values[3] = Int64GetDatum(account.used);
	values[4] = Int64GetDatum(account.reserved);
	nulls[3] = nulls[4] = !known;
	put_limit(values, nulls, 5, policy->warn);
	put_limit(values, nulls, 6, policy->limit);
	tuplestore_putvalues(set->setResult, set->setDesc, values, nulls);
}

PG_FUNCTION_INFO_V1(relay_guard_read_global_budgets);

Datum
relay_guard_read_global_budgets(PG_FUNCTION_ARGS)
{
	const RgUsagePolicy *policies;
	int			count = rg_budget_policies(&policies);

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < count; i++)
		if (policies[i].scope == RG_BY_GLOBAL)
			put_global((ReturnSetInfo *) fcinfo->resultinfo, &policies[i]);
	return (Datum) 0;
}
