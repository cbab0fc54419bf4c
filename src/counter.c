/*
 * counter.c
 *		The table of counters in shared memory; counter.h has the contract.
 *
 * Each partition has a lock, an array of counters, a free list, a chained hash
 * over them, and a clock hand.  It is not a dynahash because the hand must step
 * from counter to counter, a bounded number of steps for each new key, whatever
 * the size of the table.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "storage/ipc.h"
#include "storage/shmem.h"
#include "utils/guc.h"

#include "audit_witness.h"
#include "cache_slot.h"
#include "counter.h"
#include "counter_key.h"
#include "counter_purge.h"
#include "counter_worker.h"
#include "database_worker.h"
#include "denial_shared.h"
#include "event_signal.h"
#include "expiry_worker.h"
#include "failure_totals.h"
#include "rate_totals.h"
#include "usage_worker.h"

#define MAGIC 0x52474354
#define LAYOUT 4				/* raised when anything below changes */
#define TRANCHE "relay_guard"
#define RESERVE 4				/* of each partition, for overflow counters */
#define SWEEP_STEPS 32
#define NONE (-1)

typedef struct Partition
{
	int32		free;			/* head of the free list */
	int32		reached;		/* counters from here on were never in use */
	int32		hand;
	int32		count[RG_COUNTER_CLASSES];
	int64		evictions;
	int64		overflows;
} Partition;

typedef union PaddedPartition
{
	Partition	partition;
	char		pad[PG_CACHE_LINE_SIZE];
} PaddedPartition;

typedef struct Table
{
	uint32		magic;
	uint32		layout;
	int32		capacity;		/* of a partition, without the reserve */
	int32		buckets;		/* of a partition, a power of two */
	PaddedPartition partitions[RG_COUNTER_PARTITIONS];
} Table;

static int	max_counters = 131072;

static Table *table = NULL;
static int32 *bucket_heads;
static RgCounter *counters;
static LWLockPadded *locks;

static shmem_request_hook_type next_shmem_request;
static shmem_startup_hook_type next_shmem_startup;

/*
 * Shared memory
 */

static int
partition_capacity(void)
{
	return max_counters / RG_COUNTER_PARTITIONS;
}

static int
partition_buckets(void)
{
	return (int) pg_nextpower2_32(partition_capacity() + RESERVE);
}

static Size
heads_size(void)
{
	return mul_size(RG_COUNTER_PARTITIONS, mul_size(partition_buckets(), sizeof(int32)));
}

static Size
counters_size(void)
{
	return mul_size(RG_COUNTER_PARTITIONS,
					mul_size(partition_capacity() + RESERVE, sizeof(RgCounter)));
}

static Size
table_size(void)
{
	return add_size(CACHELINEALIGN(sizeof(Table)),
					add_size(CACHELINEALIGN(heads_size()), counters_size()));
}

static void
request_shmem(void)
{
	if (next_shmem_request)
		next_shmem_request();
	RequestAddinShmemSpace(table_size());
	RequestNamedLWLockTranche(TRANCHE, RG_COUNTER_PARTITIONS);
	rg_database_worker_request_shmem();
	rg_rate_totals_request_shmem();
	rg_failure_totals_request_shmem();
	rg_denial_request_shmem();
	rg_audit_witness_request_shmem();
	rg_event_signal_request_shmem();
	rg_cache_slot_request_shmem();
}

static void
point_into_table(void)
{
	char	   *at = (char *) table + CACHELINEALIGN(sizeof(Table));

	bucket_heads = (int32 *) at;
	counters = (RgCounter *) (at + CACHELINEALIGN(heads_size()));
	locks = GetNamedLWLockTranche(TRANCHE);
}

static RgCounter *
counter_at(int partition, int32 index)
{
	return &counters[(Size) partition * rg_counter_partition_size() + index];
}

static void
clear_partition(int number)
{
	Partition  *partition = &table->partitions[number].partition;

	memset(partition, 0, sizeof *partition);
	for (int32 i = 0; i < rg_counter_partition_size(); i++)
	{
		RgCounter  *counter = counter_at(number, i);

		counter->class = RG_COUNTER_FREE;
		counter->next = i + 1 < rg_counter_partition_size() ? i + 1 : NONE;
	}
}

static void
clear_table(void)
{
	table->magic = MAGIC;
	table->layout = LAYOUT;
	table->capacity = partition_capacity();
	table->buckets = partition_buckets();
	memset(bucket_heads, 0xff, heads_size());	/* NONE everywhere */
	for (int i = 0; i < RG_COUNTER_PARTITIONS; i++)
		clear_partition(i);
}

static void
startup_shmem(void)
{
	bool		found;

	if (next_shmem_startup)
		next_shmem_startup();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	table = ShmemInitStruct("relay_guard counters", table_size(), &found);
	point_into_table();
	if (!found)
		clear_table();
	else if (table->magic != MAGIC || table->layout != LAYOUT)
		elog(FATAL, "relay_guard found counters of another layout in shared memory");
	rg_database_worker_startup_shmem();
	rg_rate_totals_startup_shmem();
	rg_failure_totals_startup_shmem();
	rg_denial_startup_shmem();
	rg_audit_witness_startup_shmem();
	rg_event_signal_startup_shmem();
	rg_cache_slot_startup_shmem();
	LWLockRelease(AddinShmemInitLock);
}

/*
 * Set by whoever sizes the server.  A counter takes about 200 bytes; one is
 * needed for each key that has been hit within the last two windows of its
 * policy.  Beyond that new keys of a policy share one counter.
 */
static void
define_max_counters(void)
{
	DefineCustomIntVariable("relay_guard.max_counters",
							"Counters of rate limits that shared memory has room for.",
							NULL, &max_counters, 131072, 1024, 100000000,
							PGC_POSTMASTER, 0, NULL, NULL, NULL);
}

void
rg_counter_init(void)
{
	rg_counter_key_init();
	rg_counter_worker_init();
	rg_usage_worker_init();
	rg_expiry_worker_init();
	rg_database_worker_init();
	if (!process_shared_preload_libraries_in_progress)
		return;
	define_max_counters();
	next_shmem_request = shmem_request_hook;
	shmem_request_hook = request_shmem;
	next_shmem_startup = shmem_startup_hook;
	shmem_startup_hook = startup_shmem;
	rg_counter_purge_init();
}

bool
rg_counter_available(void)
{
	return table != NULL;
}

void
rg_counter_require(void)
{
	if (likely(table != NULL))
		return;
	ereport(ERROR,
			errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			errmsg("relay_guard must be loaded through shared_preload_libraries"),
			errhint("Add relay_guard to shared_preload_libraries in postgresql.conf and restart the server."));
}

/*
 * Locks
 */

void
rg_counter_lock(const RgPartitions *partitions, LWLockMode mode)
{
	for (int word = 0; word < (int) lengthof(partitions->bits); word++)
		for (uint64 bits = partitions->bits[word]; bits != 0; bits &= bits - 1)
			LWLockAcquire(&locks[word * 64 + pg_rightmost_one_pos64(bits)].lock, mode);
}

void
rg_counter_unlock(const RgPartitions *partitions)
{
	for (int word = 0; word < (int) lengthof(partitions->bits); word++)
		for (uint64 bits = partitions->bits[word]; bits != 0; bits &= bits - 1)
			LWLockRelease(&locks[word * 64 + pg_rightmost_one_pos64(bits)].lock);
}

/*
 * Finding and entering
 */

static Partition *
partition_of(const RgCounterKey *key)
{
	return &table->partitions[rg_counter_partition(key)].partition;
}

static int32 *
bucket_of(const RgCounterKey *key)
{
	uint32		hash;

	memcpy(&hash, key->bytes + 4, sizeof hash);
	return &bucket_heads[(Size) rg_counter_partition(key) * table->buckets +
						 (hash & (table->buckets - 1))];
}

RgCounter *
rg_counter_find(const RgCounterKey *key)
{
	int			partition = rg_counter_partition(key);

	for (int32 at = *bucket_of(key); at != NONE;)
	{
		RgCounter  *counter = counter_at(partition, at);

		if (memcmp(&counter->key, key, sizeof *key) == 0)
			return counter;
		at = counter->next;
	}
	return NULL;
}

/* How many of a class a partition may hold. */
static int32
class_limit(RgCounterClass class)
{
	switch (class)
	{
		case RG_COUNTER_ADDRESS:
			return table->capacity / 2;
		case RG_COUNTER_IDENTITY:
			return table->capacity - table->capacity / 8;
		default:
			return RESERVE;
	}
}

static bool
class_is_full(const Partition *partition, RgCounterClass class)
{
	return partition->count[class] >= class_limit(class);
}

static bool
is_full(const Partition *partition, RgCounterClass class)
{
	return class != RG_COUNTER_OVERFLOW &&
		partition->count[RG_COUNTER_ADDRESS] +
		partition->count[RG_COUNTER_IDENTITY] >= table->capacity;
}

/* Whether a counter of class could take the victim's place. */
static bool
makes_room(const Partition *partition, const RgCounter *victim, RgCounterClass class)
{
	if (victim->class == class)
		return true;
	return victim->class != RG_COUNTER_FREE &&
		victim->class != RG_COUNTER_OVERFLOW &&
		!class_is_full(partition, class);
}

static bool
is_past(const RgCounter *counter, int64 boot_now, int64 wall_now)
{
	bool		by_calendar = counter->kind != RG_KIND_RATE ||
	counter->algorithm == RG_FIXED_WINDOW;

	return counter->expires <= (by_calendar ? wall_now : boot_now);
}

static void
unlink_counter(RgCounter *counter, int32 index)
{
	int32	   *link = bucket_of(&counter->key);

	while (*link != index)
		link = &counter_at(rg_counter_partition(&counter->key), *link)->next;
	*link = counter->next;
}

static void
remove_counter(Partition *partition, RgCounter *counter, int32 index)
{
	unlink_counter(counter, index);
	partition->count[counter->class]--;
	counter->class = RG_COUNTER_FREE;
	counter->next = partition->free;
	partition->free = index;
}

static void
evict(int number, int32 index)
{
	Partition  *partition = &table->partitions[number].partition;

	remove_counter(partition, counter_at(number, index), index);
	partition->evictions++;
}

/* Of two counters that could be read again from the ledger, the one to keep out. */
static int32
idler(int number, int32 former, int32 index)
{
	const RgCounter *counter = counter_at(number, index);

	if (counter->kind == RG_KIND_RATE)
		return former;
	if (former != NONE && counter_at(number, former)->last_used <= counter->last_used)
		return former;
	return index;
}

/*
 * Moves the hand on to a counter that is past and whose place would do, among
 * those that were ever in use: a class may be full in a table that is not.  The
 * steps are bounded: the next new key goes on from where this one stopped.  Where
 * none is past, the account goes that was not used for longest.
 */
static bool
sweep(int number, RgCounterClass class)
{
	Partition  *partition = &table->partitions[number].partition;
	int64		boot_now = rg_boot_now();
	int64		wall_now = rg_wall_now();
	int32		idle = NONE;

	for (int step = 0; step < SWEEP_STEPS && step < partition->reached; step++)
	{
		int32		index = partition->hand;
		RgCounter  *counter = counter_at(number, index);

		partition->hand = (index + 1) % partition->reached;
		if (counter->pins != 0 || !makes_room(partition, counter, class))
			continue;
		if (is_past(counter, boot_now, wall_now))
		{
			evict(number, index);
			return true;
		}
		idle = idler(number, idle, index);
	}
	if (idle == NONE)
		return false;
	evict(number, idle);
	return true;
}

static RgCounter *
place(Partition *partition, const RgCounterKey *key, RgCounterClass class)
{
	int32	   *bucket = bucket_of(key);
	int32		index = partition->free;
	RgCounter  *counter = counter_at(rg_counter_partition(key), index);

	partition->free = counter->next;
	partition->reached = Max(partition->reached, index + 1);
	partition->count[class]++;
	memset(counter, 0, sizeof *counter);
	counter->key = *key;
	counter->class = class;
	counter->next = *bucket;
	*bucket = index;
	return counter;
}

RgCounter *
rg_counter_enter(const RgCounterKey *key, RgCounterClass class)
{
	Partition  *partition = partition_of(key);

	if ((class_is_full(partition, class) || is_full(partition, class)) &&
		!sweep(rg_counter_partition(key), class))
	{
		partition->overflows += class != RG_COUNTER_OVERFLOW;
		return NULL;
	}
	return place(partition, key, class);
}

void
rg_counter_changed(RgCounter *counter, int64 expires)
{
	counter->expires = expires;
	if (counter->dirty)
		return;
	counter->dirty = true;
	rg_counter_worker_notify();
}

void
rg_counter_moved(RgCounter *counter, int64 expires, int64 boot_now)
{
	counter->last_used = boot_now;
	rg_counter_changed(counter, expires);
}

void
rg_counter_set_rule(RgCounter *counter, const RgRateRule *rule)
{
	counter->algorithm = rule->algorithm;
	counter->quota = rule->quota;
	counter->window = rule->window;
	counter->burst = rule->burst;
}

void
rg_counter_set_value(RgCounter *counter, RgSlice value)
{
	int			len = (int) Min(value.len, RG_COUNTER_VALUE_SIZE);

	if (value.len > RG_COUNTER_VALUE_SIZE)
		len = pg_mbcliplen(value.data, len, len);
	memcpy(counter->value, value.data, len);
	counter->value_len = len;
}

static void
purge_partition(int number, Oid database, bool accounts_only)
{
	LWLockAcquire(&locks[number].lock, LW_EXCLUSIVE);
	for (int32 i = 0; i < rg_counter_partition_size(); i++)
	{
		RgCounter  *counter = counter_at(number, i);

		if (counter->class != RG_COUNTER_FREE && counter->database == database &&
			counter->pins == 0 && (!accounts_only || counter->kind != RG_KIND_RATE))
			remove_counter(&table->partitions[number].partition, counter, i);
	}
	LWLockRelease(&locks[number].lock);
}

void
rg_counter_purge(Oid database)
{
	for (int i = 0; i < RG_COUNTER_PARTITIONS; i++)
		purge_partition(i, database, false);
}

void
rg_counter_forget_accounts(Oid database)
{
	for (int i = 0; i < RG_COUNTER_PARTITIONS; i++)
		purge_partition(i, database, true);
}

/*
 * Reading all of them
 */

int
rg_counter_partition_size(void)
{
	return table->capacity + RESERVE;
}

int
rg_counter_copy(int partition, uint64 owner, bool flush, RgCounter *out)
{
	int64		boot_now = rg_boot_now();
	int64		wall_now = rg_wall_now();
	int			count = 0;

	LWLockAcquire(&locks[partition].lock, flush ? LW_EXCLUSIVE : LW_SHARED);
	for (int32 i = 0; i < rg_counter_partition_size(); i++)
	{
		RgCounter  *counter = counter_at(partition, i);

		if (counter->class == RG_COUNTER_FREE || counter->owner != owner)
			continue;
		if ((counter->dirty || !flush) && !is_past(counter, boot_now, wall_now))
			out[count++] = *counter;
		if (flush)
			counter->dirty = false;
	}
	LWLockRelease(&locks[partition].lock);
	return count;
}

void
rg_counter_mark_dirty(const RgCounterKey *key)
{
	LWLock	   *lock = &locks[rg_counter_partition(key)].lock;
	RgCounter  *counter;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	counter = rg_counter_find(key);
	if (counter != NULL)
		counter->dirty = true;
	LWLockRelease(lock);
}

void
rg_counter_status(RgCounterStatus *status)
{
	memset(status, 0, sizeof *status);
	status->max = (int64) table->capacity * RG_COUNTER_PARTITIONS;
	for (int i = 0; i < RG_COUNTER_PARTITIONS; i++)
	{
		Partition  *partition = &table->partitions[i].partition;

		LWLockAcquire(&locks[i].lock, LW_SHARED);
		for (int class = RG_COUNTER_ADDRESS; class < RG_COUNTER_CLASSES; class++)
			status->used[class] += partition->count[class];
		status->evictions += partition->evictions;
		status->overflows += partition->overflows;
		LWLockRelease(&locks[i].lock);
	}
}
