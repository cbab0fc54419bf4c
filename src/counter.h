/*
 * counter.h
 *		Counters in shared memory: level 1 of the three in which a limit lives.
 *
 * A table of fixed size, allocated when the server starts, in 128 partitions
 * with a lock each.  A counter is found by a keyed hash of what it counts.
 * Counters that are past, which is the same as absent, give way when a partition
 * is full; then accounts that nobody is changing, which the ledger has; no other
 * ever does.
 *
 * Between rg_counter_lock() and rg_counter_unlock() nothing may raise an error
 * or allocate.
 */
#ifndef RG_COUNTER_H
#define RG_COUNTER_H

#include <time.h>

#include "storage/lwlock.h"

#include "rate_algorithm.h"
#include "slice.h"

#define RG_COUNTER_PARTITIONS 128
#define RG_COUNTER_VALUE_SIZE 64

typedef struct RgCounterKey
{
	unsigned char bytes[16];
} RgCounterKey;

/*
 * What may fill the table.  Anybody can make up addresses and anonymous users,
 * so those hold at most half of it; nobody with an identity is pushed aside by
 * them.  A few counters of each partition are kept for RG_COUNTER_OVERFLOW: a
 * policy's one counter for all keys that found no place.
 */
typedef enum RgCounterClass
{
	RG_COUNTER_FREE,			/* not in use */
	RG_COUNTER_ADDRESS,
	RG_COUNTER_IDENTITY,
	RG_COUNTER_OVERFLOW
} RgCounterClass;

#define RG_COUNTER_CLASSES 4

typedef enum RgCounterKind
{
	RG_KIND_RATE,
	RG_KIND_QUOTA,
	RG_KIND_BUDGET
} RgCounterKind;

/* What has happened to an account; RgAccount.flags. */
#define RG_ACCOUNT_WARNED	0x01	/* it has reached what is warned of */
#define RG_ACCOUNT_STOPPED	0x02	/* something was refused, or it is at its
									 * limit */
#define RG_ACCOUNT_TOLD_WARNED	0x04	/* the worker has told of it */
#define RG_ACCOUNT_TOLD_STOPPED	0x08

/*
 * The state of a quota or budget for one window: units, or micro-USD.  Nothing is
 * known of one that is not seeded.
 */
typedef struct RgAccount
{
	int64		used;			/* taken, or spent */
	int64		reserved;		/* held by open reservations */
	int64		pending_used;	/* of them, by transactions under way */
	int64		pending_reserved;
	int64		limit;			/* PG_INT64_MAX: none */
	int64		warn;			/* PG_INT64_MAX: none */
	int64		version;		/* of the policy's row */
	int64		from;			/* TimestampTz: the window */
	int64		until;
	uint64		changes;
	bool		seeded;
	uint8		flags;
} RgAccount;

typedef struct RgCounter
{
	RgCounterKey key;
	uint64		owner;			/* rg_counter_owner() of its database */
	Oid			database;
	int32		next;			/* in its bucket or the free list; or -1 */
	int32		policy;
	int32		pins;			/* not evicted while anybody holds it */
	uint8		kind;			/* RgCounterKind */
	uint8		class;			/* RgCounterClass */
	uint8		algorithm;		/* of the rule that state belongs to ... */
	uint8		ruled_by;		/* RgRuledBy: where the rule comes from */
	bool		dirty;			/* moved since it was stored */
	uint8		value_len;
	int64		quota;			/* ... and its numbers */
	int64		window;
	int64		burst;
	union
	{
		RgRateState state;
		RgAccount	account;
	};
	int64		expires;		/* when it is past, by the rule's own clock;
								 * an account's by CLOCK_REALTIME */
	int64		last_used;		/* CLOCK_BOOTTIME */
	int64		denied;			/* hits refused since it was made */
	char		value[RG_COUNTER_VALUE_SIZE];	/* readable, maybe cut short */
} RgCounter;

/* Partitions that are locked together. */
typedef struct RgPartitions
{
	uint64		bits[RG_COUNTER_PARTITIONS / 64];
} RgPartitions;

/* What counter_status shows; the whole server's. */
typedef struct RgCounterStatus
{
	int64		max;
	int64		used[RG_COUNTER_CLASSES];
	int64		evictions;
	int64		overflows;		/* keys that found no place */
} RgCounterStatus;

/* Settings, shared memory and the launcher; called from _PG_init. */
extern void rg_counter_init(void);

/* Whether the library was loaded early enough to have shared memory. */
extern bool rg_counter_available(void);

/* Raises error 55000 if it was not. */
extern void rg_counter_require(void);

static inline int
rg_counter_partition(const RgCounterKey *key)
{
	return key->bytes[0] % RG_COUNTER_PARTITIONS;
}

static inline void
rg_partitions_add(RgPartitions *partitions, const RgCounterKey *key)
{
	int			partition = rg_counter_partition(key);

	partitions->bits[partition / 64] |= UINT64CONST(1) << (partition % 64);
}

/* Locks them in ascending order, the one order everywhere. */
extern void rg_counter_lock(const RgPartitions *partitions, LWLockMode mode);
extern void rg_counter_unlock(const RgPartitions *partitions);

/* The counter of that key, or NULL.  Its partition is locked. */
extern RgCounter *rg_counter_find(const RgCounterKey *key);

/*
 * A new counter for a key that has none: all zero but for key and class, and
 * the caller fills in owner, policy, rule and value.  NULL when there is no
 * place.  Its partition is locked exclusively.
 */
extern RgCounter *rg_counter_enter(const RgCounterKey *key, RgCounterClass class);

/* Notes that state was changed, and that it is past at expires, by its rule's clock. */
extern void rg_counter_changed(RgCounter *counter, int64 expires);

/* The same for a hit. */
extern void rg_counter_moved(RgCounter *counter, int64 expires, int64 boot_now);

/* The rule that the state belongs to. */
static inline RgRateRule
rg_counter_rule(const RgCounter *counter)
{
	RgRateRule	rule = {counter->algorithm, counter->quota, counter->window, counter->burst};

	return rule;
}

extern void rg_counter_set_rule(RgCounter *counter, const RgRateRule *rule);

/* Keeps the readable form of a value, cut at a character's end. */
extern void rg_counter_set_value(RgCounter *counter, RgSlice value);

/* The most that rg_counter_copy() can return. */
extern int	rg_counter_partition_size(void);

/*
 * Copies a partition's counters, of every kind, that belong to owner and are not
 * past; with flush only those that are dirty, and none is dirty any more, past or
 * not.
 */
extern int	rg_counter_copy(int partition, uint64 owner, bool flush, RgCounter *out);

/* Marks the counter of that key dirty again, if it is still there. */
extern void rg_counter_mark_dirty(const RgCounterKey *key);

/* Frees every counter of a database; those that a call holds stay. */
extern void rg_counter_purge(Oid database);

/* Frees its accounts alone: the ledger has them. */
extern void rg_counter_forget_accounts(Oid database);

extern void rg_counter_status(RgCounterStatus *status);

static inline int64
rg_clock(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (int64) now.tv_sec * 1000000000 + now.tv_nsec;
}

/* The clock of windows and buckets: a stepped wall clock freezes nobody. */
static inline int64
rg_boot_now(void)
{
	return rg_clock(CLOCK_BOOTTIME);
}

/* The clock of calendar windows and of what is stored. */
static inline int64
rg_wall_now(void)
{
	return rg_clock(CLOCK_REALTIME);
}

#endif
