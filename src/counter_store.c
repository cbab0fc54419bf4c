/*
 * counter_store.c
 *		Storing counters and reading them back; counter_store.h has the contract.
 *
 * Shared memory counts in CLOCK_BOOTTIME, which starts again with the machine;
 * the table has wall time.  Times are rounded up to its microseconds, so that
 * nothing comes back earlier than it was to.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "account_store.h"
#include "column_arrays.h"
#include "counter_key.h"
#include "counter_store.h"
#include "rate.h"
#include "varlena_slice.h"

#define NSECS_PER_USEC INT64CONST(1000)

/* Columns of relay_guard.rate_counter, as they are written and read. */
enum
{
	COL_KEY,
	COL_POLICY,
	COL_VALUE,
	COL_CLASS,
	COL_ALGORITHM,
	COL_STARTED_AT,
	COL_USED,
	COL_PREVIOUS,
	COL_TAT,
	COL_EXPIRES_AT,
	COL_RULED_BY,
	COL_QUOTA,
	COL_WINDOW,
	COL_BURST,
	NCOLUMNS
};

static const Oid column_types[NCOLUMNS] = {
	BYTEAOID, INT4OID, TEXTOID, TEXTOID, TEXTOID,
	TIMESTAMPTZOID, INT8OID, INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID,
	TEXTOID, INT8OID, INTERVALOID, INT8OID
};

static const char *const class_names[RG_COUNTER_CLASSES] = {
	"", "address", "identity", "overflow"
};

/* Keys that a round has taken over and not yet committed. */
static MemoryContext pending_context = NULL;
static RgCounterKey *pending = NULL;
static int64 npending = 0;

const char *
rg_counter_class_name(RgCounterClass class)
{
	return class_names[class];
}

Datum
rg_counter_value_datum(const RgCounter *counter)
{
	return PointerGetDatum(cstring_to_text_with_len(counter->value, counter->value_len));
}

/*
 * Time
 */

TimestampTz
rg_wall_timestamp(int64 wall)
{
	return (wall + NSECS_PER_USEC - 1) / NSECS_PER_USEC -
		(POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY;
}

static int64
wall_of(TimestampTz timestamp)
{
	return (timestamp + (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY) *
		NSECS_PER_USEC;
}

/* What a rule's clock lacks to the wall clock. */
static int64
clock_offset(RgAlgorithm algorithm)
{
	return algorithm == RG_FIXED_WINDOW ? 0 : rg_wall_now() - rg_boot_now();
}

/*
 * Storing
 */

static Datum
timestamp_datum(int64 time, int64 offset)
{
	return TimestampTzGetDatum(rg_wall_timestamp(time + offset));
}

static Datum
interval_datum(int64 nanoseconds)
{
	Interval   *interval = palloc0(sizeof *interval);

	interval->time = nanoseconds / NSECS_PER_USEC;
	return IntervalPGetDatum(interval);
}

static void
set_text(RgColumns *columns, int row, int column, const char *value)
{
	rg_columns_set(columns, row, column, CStringGetTextDatum(value));
}

static void
add_rate(RgColumns *columns, const RgCounter *counter)
{
	int			row = rg_columns_add(columns);
	int64		offset = clock_offset(counter->algorithm);
	bool		bucket = counter->algorithm == RG_TOKEN_BUCKET;

	rg_columns_set(columns, row, COL_KEY, rg_bytea_datum(&counter->key, sizeof counter->key));
	rg_columns_set(columns, row, COL_POLICY, Int32GetDatum(counter->policy));
	rg_columns_set(columns, row, COL_VALUE, rg_counter_value_datum(counter));
	set_text(columns, row, COL_CLASS, class_names[counter->class]);
	set_text(columns, row, COL_ALGORITHM, rg_rate_algorithm_name(counter->algorithm));
	rg_columns_set(columns, row, COL_STARTED_AT, timestamp_datum(counter->state.start, offset));
	rg_columns_set(columns, row, COL_USED, Int64GetDatum(counter->state.used));
	rg_columns_set(columns, row, COL_PREVIOUS, Int64GetDatum(counter->state.previous));
	rg_columns_set(columns, row, COL_TAT, timestamp_datum(counter->state.tat, offset));
	rg_columns_set(columns, row, COL_EXPIRES_AT, timestamp_datum(counter->expires, offset));
	set_text(columns, row, COL_RULED_BY, rg_rate_ruled_by_name(counter->ruled_by));
	rg_columns_set(columns, row, COL_QUOTA, Int64GetDatum(counter->quota));
	rg_columns_set(columns, row, COL_WINDOW, interval_datum(counter->window));
	rg_columns_set(columns, row, COL_BURST, Int64GetDatum(counter->burst));
	rg_columns_set_null(columns, row, bucket ? COL_STARTED_AT : COL_TAT);
}

/* unnest() of several arrays is syntax and takes no schema. */
static void
store_rates(const RgCounter *batch, int count)
{
	RgColumns	columns;

	rg_columns_init(&columns, column_types, NCOLUMNS, count);
	for (int i = 0; i < count; i++)
		if (batch[i].kind == RG_KIND_RATE)
			add_rate(&columns, &batch[i]);
	rg_columns_insert(&columns,
					  "INSERT INTO relay_guard.rate_counter (key, policy, value, class,"
					  " algorithm, started_at, used, previous, tat, expires_at,"
					  " ruled_by, quota, \"window\", burst)"
					  " SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10,"
					  " $11, $12, $13, $14)"
					  " ON CONFLICT (key) DO UPDATE SET algorithm = excluded.algorithm,"
					  " started_at = excluded.started_at, used = excluded.used,"
					  " previous = excluded.previous, tat = excluded.tat,"
					  " expires_at = excluded.expires_at, ruled_by = excluded.ruled_by,"
					  " quota = excluded.quota, \"window\" = excluded.\"window\","
					  " burst = excluded.burst, stored_at = excluded.stored_at");
}

static void
store_batch(const RgCounter *batch, int count)
{
	store_rates(batch, count);
	rg_account_store(RG_KIND_QUOTA, batch, count);
	rg_account_store(RG_KIND_BUDGET, batch, count);
}

static void
give_back(int code, Datum arg)
{
	for (int64 i = 0; i < npending; i++)
		rg_counter_mark_dirty(&pending[i]);
	npending = 0;
}

/* Room for a partition's keys more, before they are taken over. */
static void
reserve_pending(int count)
{
	if (pending_context == NULL)
	{
		pending_context = AllocSetContextCreate(TopMemoryContext,
												"relay_guard counters being stored",
												ALLOCSET_DEFAULT_SIZES);
		before_shmem_exit(give_back, (Datum) 0);
	}
	if (pending == NULL)
		pending = MemoryContextAllocHuge(pending_context, count * sizeof *pending);
	else
		pending = repalloc_huge(pending, (npending + count) * sizeof *pending);
}

static int
take_over(int partition, uint64 owner, RgCounter *batch)
{
	int			count;

	reserve_pending(rg_counter_partition_size());
	count = rg_counter_copy(partition, owner, true, batch);
	for (int i = 0; i < count; i++)
		pending[npending + i] = batch[i].key;
	npending += count;
	return count;
}

/*
 * Partitions are gathered into one statement until the next might not fit; a
 * table of the default size takes eight of them at most.
 */
static void
store_partitions(uint64 owner)
{
	int			size = rg_counter_partition_size();
	int			room = Max(16384, size);
	RgCounter  *batch = palloc_extended(room * sizeof *batch, MCXT_ALLOC_HUGE);
	MemoryContext round = AllocSetContextCreate(CurrentMemoryContext,
												"relay_guard batch",
												ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(round);
	int			count = 0;

	for (int i = 0; i < RG_COUNTER_PARTITIONS; i++)
	{
		count += take_over(i, owner, batch + count);
		if (count == 0 || (count + size <= room && i + 1 < RG_COUNTER_PARTITIONS))
			continue;
		store_batch(batch, count);
		MemoryContextReset(round);
		count = 0;
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(round);
	pfree(batch);
}

int64
rg_counter_flush(void)
{
	store_partitions(rg_counter_owner());
	rg_execute_plain("DELETE FROM relay_guard.rate_counter"
					 " WHERE expires_at <= pg_catalog.now()", SPI_OK_DELETE);
	rg_account_store_delete_past();
	return npending;
}

void
rg_counter_flushed(void)
{
	if (pending != NULL)
		MemoryContextReset(pending_context);
	pending = NULL;
	npending = 0;
}

/*
 * Reading back
 */

/* A row of the table. */
typedef struct Row
{
	RgCounterKey key;
	const RgRatePolicy *policy;
	RgCounterClass class;
	RgRuledBy	ruled_by;
	RgSlice		value;
	RgRateRule	rule;			/* that state belongs to */
	RgRateState state;
} Row;

static RgCounterClass
class_named(RgSlice name)
{
	for (int class = RG_COUNTER_ADDRESS; class < RG_COUNTER_CLASSES; class++)
		if (rg_slice_is(name, class_names[class]))
			return class;
	return RG_COUNTER_FREE;
}

static RgRuledBy
ruled_by_named(RgSlice name)
{
	for (RgRuledBy by = RG_RULED_BY_KEY; by <= RG_RULED_BY_ROLE; by++)
		if (rg_slice_is(name, rg_rate_ruled_by_name(by)))
			return by;
	return RG_RULED_BY_POLICY;
}

static int64
count_of(Datum value)
{
	return Min(Max(DatumGetInt64(value), 0), RG_RATE_MAX_QUOTA);
}

static void
read_state(const Datum *values, const bool *nulls, Row *row)
{
	int64		offset = clock_offset(row->policy->algorithm);

	memset(&row->state, 0, sizeof row->state);
	row->state.used = count_of(values[COL_USED]);
	if (row->policy->algorithm == RG_TOKEN_BUCKET)
	{
		row->state.tat = nulls[COL_TAT] ? 0 :
			wall_of(DatumGetTimestampTz(values[COL_TAT])) - offset;
		return;
	}
	if (!nulls[COL_STARTED_AT])
		row->state.start = wall_of(DatumGetTimestampTz(values[COL_STARTED_AT])) - offset;
	row->state.previous = count_of(values[COL_PREVIOUS]);
}

static void
read_rule(const Datum *values, Row *row)
{
	row->ruled_by = ruled_by_named(rg_datum_slice(values[COL_RULED_BY]));
	row->rule.algorithm = row->policy->algorithm;
	row->rule.quota = count_of(values[COL_QUOTA]);
	row->rule.window = rg_rate_window(DatumGetIntervalP(values[COL_WINDOW]));
	row->rule.burst = Max(count_of(values[COL_BURST]), 1);
}

/* False for what counts no more: another algorithm, a deleted policy. */
static bool
read_row(const Datum *values, const bool *nulls, Row *row)
{
	RgSlice		key = rg_datum_slice(values[COL_KEY]);

	row->policy = rg_rate_policy_by_id(DatumGetInt32(values[COL_POLICY]));
	row->class = class_named(rg_datum_slice(values[COL_CLASS]));
	if (key.len != sizeof row->key || row->policy == NULL || row->class == RG_COUNTER_FREE ||
		!rg_slice_is(rg_datum_slice(values[COL_ALGORITHM]),
					 rg_rate_algorithm_name(row->policy->algorithm)))
		return false;
	memcpy(&row->key, key.data, sizeof row->key);
	row->value = rg_datum_slice(values[COL_VALUE]);
	read_rule(values, row);
	read_state(values, nulls, row);
	return true;
}

static RgCounter *
enter_row(const Row *row, uint64 owner)
{
	RgCounter  *counter = rg_counter_enter(&row->key, row->class);

	if (counter == NULL)
		return NULL;
	counter->owner = owner;
	counter->database = MyDatabaseId;
	counter->policy = row->policy->id;
	counter->ruled_by = row->ruled_by;
	rg_counter_set_rule(counter, &row->rule);
	rg_counter_set_value(counter, row->value);
	return counter;
}

/* A counter that was hit before it was read back has both counts, by its rule. */
static void
merge_state(RgCounter *counter, const Row *row)
{
	RgRateRule	rule = rg_counter_rule(counter);
	RgRateState state = row->state;
	int64		now = rg_rate_uses_calendar(&rule) ? rg_wall_now() : rg_boot_now();

	rg_rate_adapt(&row->rule, &rule, &state, now);
	rg_rate_merge(&rule, &counter->state, &state, now);
	counter->expires = rg_rate_expires(&rule, &counter->state);
}

static bool
merge_row(const Row *row, uint64 owner)
{
	RgPartitions partitions = {0};
	RgCounter  *counter;

	rg_partitions_add(&partitions, &row->key);
	rg_counter_lock(&partitions, LW_EXCLUSIVE);
	counter = rg_counter_find(&row->key);
	if (counter == NULL)
		counter = enter_row(row, owner);
	if (counter != NULL && counter->algorithm == row->policy->algorithm)
		merge_state(counter, row);
	rg_counter_unlock(&partitions);
	return counter != NULL;
}

int64
rg_counter_load(void)
{
	uint64		owner = rg_counter_owner();
	int64		loaded = 0;

	rg_execute_plain("SELECT key, policy, value, class, algorithm, started_at, used,"
					 " previous, tat, expires_at, ruled_by, quota, \"window\", burst"
					 " FROM relay_guard.rate_counter"
					 " WHERE expires_at > pg_catalog.now()", SPI_OK_SELECT);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		Datum		values[NCOLUMNS];
		bool		nulls[NCOLUMNS];
		Row			row;

		heap_deform_tuple(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, values, nulls);
		if (read_row(values, nulls, &row))
			loaded += merge_row(&row, owner);
	}
	return loaded;
}
