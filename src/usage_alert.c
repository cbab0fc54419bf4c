/*
 * usage_alert.c
 *		Telling of budgets that reached a limit; usage_alert.h has the contract.
 *
 * An account keeps its flag of what happened, beside another of that it was told:
 * the table alone knows for certain, and refuses what it has already.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/int.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "column_arrays.h"
#include "counter.h"
#include "counter_key.h"
#include "database_worker.h"
#include "durable.h"
#include "own_relation.h"
#include "usage_alert.h"
#include "usage_policy.h"
#include "usage_worker.h"
#include "varlena_slice.h"

#define AT_ONCE 256

/* Of a longer value a part may have been cut off, at a character's end. */
#define WHOLE_VALUE (RG_COUNTER_VALUE_SIZE - 4)

/* What is to be told. */
typedef struct Alert
{
	RgCounterKey key;
	const RgUsagePolicy *policy;
	RgWindow	window;
	RgSlice		value;			/* at most RG_COUNTER_VALUE_SIZE of it */
	bool		hard;
	int64		spent;			/* by what is committed */
	int64		reserved;
} Alert;

/* Accounts that a transaction tells of, and how many of either kind were news. */
static RgCounterKey told[AT_ONCE];
static bool told_hard[AT_ONCE];
static int	ntold;
static int	news[2];

/* Whether some have to wait for a transaction under way. */
static bool waiting;

/*
 * Judging
 */

typedef enum Verdict
{
	TELL,
	WAIT,
	FORGET
} Verdict;

static int64
sum_of(int64 a, int64 b)
{
	int64		sum;

	return pg_add_s64_overflow(a, b, &sum) ? PG_INT64_MAX : sum;
}

static int64
committed_spent(const RgAccount *account)
{
	return account->used - account->pending_used;
}

static int64
committed_reserved(const RgAccount *account)
{
	return account->reserved - account->pending_reserved;
}

/* From where on there is something to tell. */
static int64
threshold(const RgCounter *counter, bool hard)
{
	const RgAccount *account = &counter->account;

	if (!hard)
		return account->warn;
	if (counter->denied == 0)
		return account->limit;
	return Min(account->warn, account->warn == PG_INT64_MAX ? account->limit / 2 : account->limit);
}

static Verdict
judge(const RgCounter *counter, bool hard)
{
	const RgAccount *account = &counter->account;
	int64		from = threshold(counter, hard);

	if (sum_of(committed_spent(account), committed_reserved(account)) >= from)
		return TELL;
	return sum_of(account->used, account->reserved) >= from ? WAIT : FORGET;
}

static uint8
flag_of(bool hard)
{
	return hard ? RG_ACCOUNT_STOPPED : RG_ACCOUNT_WARNED;
}

static uint8
told_flag_of(bool hard)
{
	return hard ? RG_ACCOUNT_TOLD_STOPPED : RG_ACCOUNT_TOLD_WARNED;
}

static bool
has_news(const RgCounter *counter, bool hard)
{
	return (counter->account.flags & flag_of(hard)) != 0 &&
		(counter->account.flags & told_flag_of(hard)) == 0;
}

/*
 * Changing flags
 */

static void
with_account(const RgCounterKey *key, bool hard, void (*change) (RgCounter *counter, bool hard))
{
	RgPartitions partitions = {0};
	RgCounter  *counter;

	rg_partitions_add(&partitions, key);
	rg_counter_lock(&partitions, LW_EXCLUSIVE);
	counter = rg_counter_find(key);
	if (counter != NULL)
		change(counter, hard);
	rg_counter_unlock(&partitions);
}

static void
set_told(RgCounter *counter, bool hard)
{
	counter->account.flags |= told_flag_of(hard);
}

/* What brought it there was rolled back: the next to come there says so again. */
static void
forget(RgCounter *counter, bool hard)
{
	if (judge(counter, hard) == FORGET)
		counter->account.flags &= ~flag_of(hard);
}

/*
 * Telling
 */

/* The account, where its value does not tell it from others. */
static Datum
account_datum(const Alert *alert)
{
	return rg_bytea_datum(&alert->key, alert->value.len > WHOLE_VALUE ? sizeof alert->key : 0);
}

static void
tell(const Alert *alert)
{
	const RgUsagePolicy *policy = alert->policy;
	Oid			types[] = {
		TEXTOID, TEXTOID, TEXTOID, BYTEAOID, TEXTOID,
		TIMESTAMPTZOID, TIMESTAMPTZOID, INT8OID, INT8OID, INT8OID
	};
	Datum		values[] = {
		CStringGetTextDatum(policy->name),
		CStringGetTextDatum(rg_scope_name(policy->scope)),
		PointerGetDatum(cstring_to_text_with_len(alert->value.data, alert->value.len)),
		account_datum(alert),
		CStringGetTextDatum(alert->hard ? "hard" : "warning"),
		TimestampTzGetDatum(alert->window.from),
		TimestampTzGetDatum(alert->window.until),
		Int64GetDatum(alert->spent),
		Int64GetDatum(alert->reserved),
		Int64GetDatum(alert->hard ? policy->limit : policy->warn)
	};
	bool		isnull;

	if (SPI_execute_with_args("SELECT relay_guard.budget_alert_tell($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
							  lengthof(types), types, values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "a budget's alert cannot be told");
	news[alert->hard] += DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0],
													SPI_tuptable->tupdesc, 1, &isnull));
	SPI_freetuptable(SPI_tuptable);
}

static void
tell_of(const RgCounter *counter, const RgUsagePolicy *policy, bool hard)
{
	const RgAccount *account = &counter->account;
	Alert		alert = {
		.key = counter->key,
		.policy = policy,
		.window = {account->from, account->until},
		.value = rg_slice(counter->value, counter->value_len),
		.hard = hard,
		.spent = committed_spent(account),
		.reserved = committed_reserved(account)
	};

	told[ntold] = counter->key;
	told_hard[ntold++] = hard;
	tell(&alert);
}

static void
consider(const RgCounter *counter, bool hard)
{
	const RgUsagePolicy *policy = rg_usage_policy_of_version(counter->account.version);

	if (policy == NULL || ntold == AT_ONCE || !has_news(counter, hard))
		return;
	switch (judge(counter, hard))
	{
		case TELL:
			tell_of(counter, policy, hard);
			break;
		case WAIT:
			waiting = true;
			break;
		case FORGET:
			with_account(&counter->key, hard, forget);
			break;
	}
}

static void
consider_partition(const RgCounter *copies, int count)
{
	for (int i = 0; i < count; i++)
		if (copies[i].kind == RG_KIND_BUDGET && copies[i].account.seeded)
		{
			consider(&copies[i], false);
			consider(&copies[i], true);
		}
}

static bool
has_alerts(void)
{
	return OidIsValid(rg_own_relation("budget_alert"));
}

/* Who was notified is not to be told again by the row that a crash took back. */
static void
tell_some(void)
{
	RgCounter  *copies;
	uint64		owner;

	if (!has_alerts())
		return;
	rg_commit_durably();
	owner = rg_counter_owner();
	copies = palloc_extended(rg_counter_partition_size() * sizeof *copies, MCXT_ALLOC_HUGE);
	for (int i = 0; i < RG_COUNTER_PARTITIONS && ntold < AT_ONCE; i++)
		consider_partition(copies, rg_counter_copy(i, owner, false, copies));
	pfree(copies);
}

static void
count_news(void)
{
	rg_work_count(RG_TALLY_WARNINGS, news[false]);
	rg_work_count(RG_TALLY_HARD, news[true]);
	news[false] = news[true] = 0;
}

bool
rg_alert_flagged(void)
{
	waiting = false;
	do
	{
		ntold = 0;
		news[false] = news[true] = 0;
		if (rg_work_try(tell_some, "telling of budgets that reached a limit", 0) != 0)
			return false;
		for (int i = 0; i < ntold; i++)
			with_account(&told[i], told_hard[i], set_told);
		count_news();
	} while (ntold == AT_ONCE);
	if (waiting)
		rg_work_give_back(RG_USAGE_ALERT);
	return true;
}

/*
 * What the totals show
 */

static RgSlice
shown_value(RgSlice value)
{
	if (value.len <= RG_COUNTER_VALUE_SIZE)
		return value;
	return rg_slice(value.data, pg_mbcliplen(value.data, value.len, RG_COUNTER_VALUE_SIZE));
}

static void
tell_of_total(const RgUsagePolicy *policy, RgWindow window, HeapTuple row, TupleDesc desc)
{
	bool		isnull;
	RgSlice		value = rg_datum_slice(SPI_getbinval(row, desc, 1, &isnull));
	Alert		alert = {
		.key = rg_counter_account_key(policy->version, window.from, value),
		.policy = policy,
		.window = window,
		.value = shown_value(value),
		.spent = DatumGetInt64(SPI_getbinval(row, desc, 2, &isnull)),
		.reserved = DatumGetInt64(SPI_getbinval(row, desc, 3, &isnull))
	};
	int64		sum = sum_of(alert.spent, alert.reserved);

	if (sum >= policy->warn)
		tell(&alert);
	alert.hard = true;
	if (sum >= policy->limit)
		tell(&alert);
}

static void
tell_of_policy(const RgUsagePolicy *policy)
{
	RgWindow	window = rg_calendar_window(policy->calendar, GetCurrentTimestamp());
	Oid			types[] = {TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT8OID};
	Datum		values[] = {
		CStringGetTextDatum(rg_scope_name(policy->scope)),
		TimestampTzGetDatum(window.from), TimestampTzGetDatum(window.until),
		Int64GetDatum(Min(policy->warn, policy->limit))
	};
	SPITupleTable *table;
	uint64		count;

	if (SPI_execute_with_args("SELECT value, sum(used)::bigint, sum(reserved)::bigint"
							  " FROM relay_guard.usage_total"
							  " WHERE scope = $1 AND policy = 0 AND NOT daily AND bucket >= $2 AND bucket < $3"
							  " GROUP BY value HAVING sum(used) + sum(reserved) >= $4",
							  lengthof(types), types, values, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "totals of the ledger cannot be read");
	table = SPI_tuptable;
	count = SPI_processed;
	for (uint64 i = 0; i < count; i++)
		tell_of_total(policy, window, table->vals[i], table->tupdesc);
	SPI_freetuptable(table);
}

static void
tell_of_totals(void)
{
	const RgUsagePolicy *policies;
	int			count;

	if (!has_alerts() || !OidIsValid(rg_own_relation("usage_total")))
		return;
	rg_commit_durably();
	count = rg_budget_policies(&policies);
	for (int i = 0; i < count; i++)
		if (Min(policies[i].warn, policies[i].limit) != PG_INT64_MAX)
			tell_of_policy(&policies[i]);
}

bool
rg_alert_by_totals(void)
{
	news[false] = news[true] = 0;
	if (rg_work_try(tell_of_totals, "looking for budgets that reached a limit", 0) != 0)
		return false;
	count_news();
	return true;
}
