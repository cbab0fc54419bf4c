/*
 * denial_shared.c
 *		Refusals in shared memory; denial_shared.h has the contract.
 *
 * One lock: it is held for a search among eight places, and once a row for a
 * copy of 2 kB.
 */
#include "postgres.h"

#include <sodium.h>

#include "access/xlog.h"
#include "miscadmin.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

#include "audit_sealer.h"
#include "counter.h"
#include "database_worker.h"
#include "denial_queue.h"
#include "denial_shared.h"

#define TRANCHE "relay_guard_denials"
#define SECOND INT64CONST(1000000000)
#define GRACE (60 * SECOND)
#define RETRY_FIRST (5 * SECOND)
#define RETRY_LAST (60 * SECOND)

typedef struct Place
{
	Oid			database;		/* InvalidOid: not in use */
	bool		looked_after;	/* by the launcher, when it was asked last */
	int64		asked_at;		/* when that was */
	int64		due;			/* no count is due before; PG_INT64_MAX: there
								 * is none */
	int64		retry_at;		/* nothing is written before */
	int64		retry_after;	/* how long the last failure made it wait */
	RgDenialTotals totals;
} Place;

typedef struct Shared
{
	uint8		hash_key[crypto_shorthash_KEYBYTES];
	int64		started;
	uint64		sequence;
	Place		places[RG_DENIAL_PLACES];
	RgDenialQueue queue;
	RgDenialRates rates;
	RgDenialEvent events[RG_DENIAL_SLOTS];	/* by slot of the queue */
} Shared;

static Shared *shared = NULL;
static LWLock *lock;

void
rg_denial_request_shmem(void)
{
	RequestAddinShmemSpace(sizeof(Shared));
	RequestNamedLWLockTranche(TRANCHE, 1);
}

void
rg_denial_startup_shmem(void)
{
	bool		found;

	shared = ShmemInitStruct(TRANCHE, sizeof *shared, &found);
	lock = &GetNamedLWLockTranche(TRANCHE)->lock;
	if (found)
		return;
	memset(shared, 0, sizeof *shared);
	randombytes_buf(shared->hash_key, sizeof shared->hash_key);
	shared->started = rg_boot_now();
	rg_denial_queue_init(&shared->queue);
}

/*
 * Places
 */

static int
find_place(Oid database)
{
	for (int i = 0; i < RG_DENIAL_PLACES; i++)
		if (shared->places[i].database == database)
			return i;
	return -1;
}

static uint64
refusals_in(const RgDenialEvent *event)
{
	return event->left_out + (event->count_only ? 0 : 1);
}

/* What waits in it is dropped. */
static void
empty_place(int place)
{
	RgDenialTotals *totals = &shared->places[place].totals;

	for (int slot; (slot = rg_denial_queue_first(&shared->queue, place)) != RG_DENIAL_NO_SLOT;)
	{
		totals->dropped += refusals_in(&shared->events[slot]);
		rg_denial_queue_pop(&shared->queue, place);
	}
	totals->dropped += rg_denial_rate_forget(&shared->rates, place);
	shared->places[place].due = PG_INT64_MAX;
}

static void
take_place(int place, Oid database)
{
	empty_place(place);
	memset(&shared->places[place], 0, sizeof shared->places[place]);
	shared->places[place].database = database;
	shared->places[place].due = PG_INT64_MAX;
}

/* An unused one, or one that nobody looks after. */
static int
spare_place(void)
{
	int			place = find_place(InvalidOid);

	for (int i = 0; place < 0 && i < RG_DENIAL_PLACES; i++)
		if (!shared->places[i].looked_after)
			place = i;
	return place;
}

/* Wakes the worker; whether there is one, or may soon be. */
static bool
is_looked_after(int64 now, bool *looked_after)
{
	*looked_after = rg_work_notify(RG_WORK_SEALS, RG_SEAL_DENIALS) > 0;
	return *looked_after || now - shared->started <= GRACE;
}

static int
place_to_note_in(int64 now)
{
	int			place = find_place(MyDatabaseId);
	bool		looked_after;

	if (place >= 0 || !is_looked_after(now, &looked_after))
		return place;
	place = spare_place();
	if (place >= 0)
		take_place(place, MyDatabaseId);
	return place;
}

void
rg_denial_purge(Oid database)
{
	int			place;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	place = find_place(database);
	if (place >= 0)
		take_place(place, InvalidOid);
	LWLockRelease(lock);
}

/*
 * Noting
 */

/* A user, wherever he comes from; else a network; else a role. */
static RgSlice
source_of(const RgDenialWho *who, char *kind)
{
	*kind = who->user_id[0] != '\0' ? 'u' : who->address_len > 0 ? 'a' : 'r';
	if (*kind == 'a')
		return rg_slice((const char *) who->address, who->address_len);
	return rg_slice_of(*kind == 'u' ? who->user_id : who->role);
}

/* The reason is a word, so its NUL keeps it apart from the source behind it. */
static uint64
hash_source(RgDenialClass class, const RgDenialWho *who)
{
	struct
	{
		Oid			database;
		uint8		class;
		char		kind;
		char		rest[RG_DENIAL_CODE_SIZE + RG_DENIAL_USER_SIZE];
	}			message;
	size_t		code_size = strlen(who->code) + 1;
	RgSlice		source = source_of(who, &message.kind);
	uint64		hash;

	message.database = MyDatabaseId;
	message.class = class;
	memcpy(message.rest, who->code, code_size);
	if (source.len > 0)
		memcpy(message.rest + code_size, source.data, source.len);
	crypto_shorthash((uint8 *) &hash, (uint8 *) &message,
					 offsetof(typeof(message), rest) + code_size + source.len,
					 shared->hash_key);
	return hash;
}

static void
store_event(int place, RgDenialClass class, const RgDenialWho *who, uint64 left_out,
			void (*fill) (RgDenialEvent *event, const void *arg), const void *arg)
{
	RgDenialEvent *event = &shared->events[rg_denial_queue_push(&shared->queue, place, class)];

	memset(event, 0, sizeof *event);
	event->class = class;
	event->who = *who;
	event->sequence = ++shared->sequence;
	event->at = GetCurrentTimestamp();
	event->left_out = left_out;
	if (fill != NULL)
		fill(event, arg);
	else
		event->count_only = true;
}

/* Nobody will ask for it: only the count of what was dropped goes on. */
static bool
drop_unless_looked_after(int place, int64 now)
{
	Place	   *mine = &shared->places[place];

	mine->asked_at = now;
	if (is_looked_after(now, &mine->looked_after))
		return false;
	mine->totals.dropped++;
	if (mine->due != PG_INT64_MAX ||
		rg_denial_queue_first(&shared->queue, place) != RG_DENIAL_NO_SLOT)
		empty_place(place);
	return true;
}

static void
note(int place, RgDenialClass class, const RgDenialWho *who, uint64 key, int64 now,
	 void (*fill) (RgDenialEvent *event, const void *arg), const void *arg)
{
	Place	   *mine = &shared->places[place];
	bool		room = rg_denial_queue_has_room(&shared->queue, place, class);
	uint64		left_out;

	mine->totals.noted[class]++;
	if ((mine->due == PG_INT64_MAX || now - mine->asked_at > SECOND) &&
		drop_unless_looked_after(place, now))
		return;
	if (rg_denial_rate_take(&shared->rates, place, class, key, who, room, now, &left_out))
	{
		store_event(place, class, who, left_out, fill, arg);
		return;
	}
	mine->totals.left_out[class]++;
	mine->due = Min(mine->due, now + RG_DENIAL_TELL_AFTER);
}

void
rg_denial_store(RgDenialClass class, const RgDenialWho *who,
				void (*fill) (RgDenialEvent *event, const void *arg), const void *arg)
{
	int64		now;
	uint64		key;
	int			place;

	if (shared == NULL || RecoveryInProgress())
		return;
	now = rg_boot_now();
	key = hash_source(class, who);
	LWLockAcquire(lock, LW_EXCLUSIVE);
	place = place_to_note_in(now);
	if (place >= 0)
		note(place, class, who, key, now, fill, arg);
	LWLockRelease(lock);
}

/*
 * Writing
 */

static RgDenialState
state_of(int place, int64 now)
{
	const Place *mine = &shared->places[place];

	if (rg_denial_queue_first(&shared->queue, place) == RG_DENIAL_NO_SLOT &&
		mine->due == PG_INT64_MAX)
		return RG_DENIAL_NOTHING;
	if (now < mine->retry_at)
		return RG_DENIAL_COUNTED;
	return rg_denial_queue_first(&shared->queue, place) != RG_DENIAL_NO_SLOT || mine->due <= now
		? RG_DENIAL_WAITING : RG_DENIAL_COUNTED;
}

RgDenialState
rg_denial_state(void)
{
	RgDenialState state = RG_DENIAL_NOTHING;
	int			place;

	if (shared == NULL || RecoveryInProgress())
		return state;
	LWLockAcquire(lock, LW_SHARED);
	place = find_place(MyDatabaseId);
	if (place >= 0)
		state = state_of(place, rg_boot_now());
	LWLockRelease(lock);
	return state;
}

static bool
has_room_for_counts(int place)
{
	for (int class = 0; class < RG_DENIAL_CLASSES; class++)
		if (!rg_denial_queue_has_room(&shared->queue, place, class))
			return false;
	return true;
}

/* A count that finds the queue full is told the next time. */
static void
queue_counts(int place, int64 now, bool all)
{
	Place	   *mine = &shared->places[place];
	RgDenialCount count;
	int			at = 0;

	if (mine->due == PG_INT64_MAX || (mine->due > now && !all))
		return;
	while (has_room_for_counts(place) &&
		   rg_denial_rate_due(&shared->rates, place, now, all, &at, &count))
		store_event(place, count.class, &count.who, count.left_out, NULL, NULL);
	mine->due = rg_denial_rate_next(&shared->rates, place);
}

int
rg_denial_copy(RgDenialEvent *events, int max, bool all_counts)
{
	int			count = 0;
	int			place;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	place = find_place(MyDatabaseId);
	if (place >= 0)
	{
		queue_counts(place, rg_boot_now(), all_counts);
		for (int slot = rg_denial_queue_first(&shared->queue, place);
			 slot != RG_DENIAL_NO_SLOT && count < max;
			 slot = rg_denial_queue_next(&shared->queue, slot))
			events[count++] = shared->events[slot];
	}
	LWLockRelease(lock);
	return count;
}

void
rg_denial_failed(void)
{
	int			place;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	place = find_place(MyDatabaseId);
	if (place >= 0)
	{
		Place	   *mine = &shared->places[place];

		mine->retry_after = mine->retry_after == 0 ? RETRY_FIRST : Min(2 * mine->retry_after, RETRY_LAST);
		mine->retry_at = rg_boot_now() + mine->retry_after;
	}
	LWLockRelease(lock);
}

void
rg_denial_done(uint64 sequence, bool written)
{
	int			place;
	int			slot;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	place = find_place(MyDatabaseId);
	if (place >= 0)
		shared->places[place].retry_after = 0;
	while (place >= 0 &&
		   (slot = rg_denial_queue_first(&shared->queue, place)) != RG_DENIAL_NO_SLOT &&
		   shared->events[slot].sequence <= sequence)
	{
		if (!written)
			shared->places[place].totals.dropped += refusals_in(&shared->events[slot]);
		rg_denial_queue_pop(&shared->queue, place);
	}
	LWLockRelease(lock);
}

bool
rg_denial_totals(RgDenialTotals *totals)
{
	int			place;

	memset(totals, 0, sizeof *totals);
	if (shared == NULL)
		return false;
	LWLockAcquire(lock, LW_SHARED);
	place = find_place(MyDatabaseId);
	if (place >= 0)
		*totals = shared->places[place].totals;
	LWLockRelease(lock);
	return true;
}
