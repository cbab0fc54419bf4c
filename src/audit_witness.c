/*
 * audit_witness.c
 *		The ring of witnesses; audit_witness.h says what it is for.
 *
 * The write path adds a row to sums in local memory and takes the ring's one lock
 * once a transaction.  The ring turns over the oldest entry when it is full: a
 * database that nobody seals must not take the others' room for ever.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "audit_sealer.h"
#include "audit_witness.h"
#include "database_worker.h"

#define TRANCHE "relay_guard_witness"

/* Entries of prepared transactions stay; so many are passed by for a free place. */
#define PROBES 16
#define NOWHERE (-1)

/* Entries that may come while those there are copied. */
#define SPARE 64

/* An entry; free where it belongs to no database. */
typedef struct Slot
{
	Oid			database;
	uint64		xid;
	RgAuditSums sums;
} Slot;

typedef struct Ring
{
	int32		head;			/* where the next entry is tried first */
	Slot		slots[FLEXIBLE_ARRAY_MEMBER];
} Ring;

/* What a nesting level of the transaction wrote; levels that wrote nothing have none. */
typedef struct Level
{
	int			depth;
	RgAuditSums sums;
	struct Level *outer;
} Level;

static int	max_witnesses = 65536;

static Ring *ring = NULL;
static LWLock *lock;

/* Of the present transaction. */
static Level *innermost = NULL;
static int32 own_slot = NOWHERE;

/*
 * Shared memory
 */

static Size
ring_size(void)
{
	return add_size(offsetof(Ring, slots), mul_size(max_witnesses, sizeof(Slot)));
}

void
rg_audit_witness_request_shmem(void)
{
	if (max_witnesses == 0)
		return;
	RequestAddinShmemSpace(ring_size());
	RequestNamedLWLockTranche(TRANCHE, 1);
}

void
rg_audit_witness_startup_shmem(void)
{
	bool		found;

	if (max_witnesses == 0)
		return;
	ring = ShmemInitStruct("relay_guard witnesses", ring_size(), &found);
	lock = &GetNamedLWLockTranche(TRANCHE)->lock;
	if (!found)
		memset(ring, 0, ring_size());
}

/*
 * The ring
 */

static int32
next_to(int32 slot)
{
	return slot + 1 < max_witnesses ? slot + 1 : 0;
}

/* A free place near the head, or else the one at the head. */
static int32
choose_slot(void)
{
	int32		slot = ring->head;

	for (int i = 0; i < PROBES; i++)
	{
		if (!OidIsValid(ring->slots[slot].database))
			return slot;
		slot = next_to(slot);
	}
	return ring->head;
}

static void
leave_entry(const RgAuditSums *sums)
{
	Slot		entry = {MyDatabaseId, U64FromFullTransactionId(GetTopFullTransactionId()), *sums};

	LWLockAcquire(lock, LW_EXCLUSIVE);
	own_slot = choose_slot();
	ring->slots[own_slot] = entry;
	ring->head = next_to(own_slot);
	LWLockRelease(lock);
}

static void
clear_slot(int32 number, uint64 xid)
{
	Slot	   *slot = &ring->slots[number];

	if (slot->database == MyDatabaseId && slot->xid == xid)
		slot->database = InvalidOid;
}

/* A commit that failed after it had left its entry. */
static void
take_back_entry(void)
{
	LWLockAcquire(lock, LW_EXCLUSIVE);
	clear_slot(own_slot, U64FromFullTransactionId(GetTopFullTransactionIdIfAny()));
	LWLockRelease(lock);
}

static int
compare_xids(const void *a, const void *b)
{
	uint64		left = ((const RgAuditWitness *) a)->xid;
	uint64		right = ((const RgAuditWitness *) b)->xid;

	return left < right ? -1 : left > right;
}

/* Copies as many as there is room for; returns how many there are. */
static int
copy_entries(RgAuditWitness *out, int room)
{
	int			count = 0;

	for (int32 i = 0; i < max_witnesses; i++)
	{
		const Slot *slot = &ring->slots[i];
		RgAuditWitness witness = {slot->xid, slot->sums, i};

		if (slot->database != MyDatabaseId)
			continue;
		if (count < room)
			out[count] = witness;
		count++;
	}
	return count;
}

/* Memory is not taken under the lock; entries may come while it is. */
RgAuditWitness *
rg_audit_witness_copy(int *count)
{
	RgAuditWitness *out = NULL;
	int			room = 0;

	*count = 0;
	while (ring != NULL)
	{
		LWLockAcquire(lock, LW_SHARED);
		*count = copy_entries(out, room);
		LWLockRelease(lock);
		if (*count <= room)
			break;
		if (out != NULL)
			pfree(out);
		room = *count + SPARE;
		out = MemoryContextAllocHuge(CurrentMemoryContext, room * sizeof *out);
	}
	if (*count > 1)
		qsort(out, *count, sizeof *out, compare_xids);
	return out;
}

void
rg_audit_witness_forget(const RgAuditWitness *witnesses, int count)
{
	if (ring == NULL || count == 0)
		return;
	LWLockAcquire(lock, LW_EXCLUSIVE);
	for (int i = 0; i < count; i++)
		clear_slot(witnesses[i].slot, witnesses[i].xid);
	LWLockRelease(lock);
}

void
rg_audit_witness_purge(Oid database)
{
	if (ring == NULL)
		return;
	LWLockAcquire(lock, LW_EXCLUSIVE);
	for (int32 i = 0; i < max_witnesses; i++)
		if (ring->slots[i].database == database)
			ring->slots[i].database = InvalidOid;
	LWLockRelease(lock);
}

/*
 * The present transaction
 */

static void
enter_level(int depth)
{
	Level	   *level = MemoryContextAllocZero(TopTransactionContext, sizeof *level);

	level->depth = depth;
	level->outer = innermost;
	innermost = level;
}

void
rg_audit_witness_add(int64 id, const uint8 mac[RG_AUDIT_MAC_BYTES])
{
	int			depth = GetCurrentTransactionNestLevel();

	if (innermost == NULL || innermost->depth < depth)
		enter_level(depth);
	rg_audit_sums_add(&innermost->sums, id, mac);
}

static void
leave_level(void)
{
	Level	   *level = innermost;

	innermost = level->outer;
	pfree(level);
}

static void
merge(RgAuditSums *into, const RgAuditSums *sums)
{
	into->rows += sums->rows;
	into->ids += sums->ids;
	for (int i = 0; i < (int) lengthof(sums->macs); i++)
		into->macs[i] += sums->macs[i];
}

/* The level around takes over what a released savepoint wrote. */
static void
on_release(int depth)
{
	if (innermost == NULL || innermost->depth < depth)
		return;
	if (innermost->outer == NULL || innermost->outer->depth < depth - 1)
	{
		innermost->depth = depth - 1;
		return;
	}
	merge(&innermost->outer->sums, &innermost->sums);
	leave_level();
}

static void
on_rollback(int depth)
{
	while (innermost != NULL && innermost->depth >= depth)
		leave_level();
}

static void
on_subtransaction(SubXactEvent event, SubTransactionId id, SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_COMMIT_SUB)
		on_release(GetCurrentTransactionNestLevel());
	else if (event == SUBXACT_EVENT_ABORT_SUB)
		on_rollback(GetCurrentTransactionNestLevel());
}

static void
forget_transaction(void)
{
	innermost = NULL;
	own_slot = NOWHERE;
}

/* Should they all write at once, each database fills its share of half the ring. */
static uint32
enough(void)
{
	return (uint32) Max(max_witnesses / 2 / Max(rg_work_databases(), 1), 1);
}

/* The rows are visible by now. */
static void
call_sealer(void)
{
	uint32		notices = rg_audit_sealer_notify(false);

	if (ring != NULL && notices >= enough())
		(void) rg_audit_sealer_notify(true);
}

/*
 * Nothing of the transaction can write after PRE_COMMIT: its deferred triggers
 * have fired.  The entry is there before anybody sees the rows, so a sealer that
 * sees them finds it.
 */
static void
on_transaction(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			if (innermost != NULL && ring != NULL)
				leave_entry(&innermost->sums);
			break;
		case XACT_EVENT_ABORT:
			if (own_slot != NOWHERE)
				take_back_entry();
			forget_transaction();
			break;
		case XACT_EVENT_COMMIT:
			if (innermost != NULL)
				call_sealer();
			forget_transaction();
			break;
		case XACT_EVENT_PREPARE:
			forget_transaction();
			break;
		default:
			break;
	}
}

/*
 * Set by whoever sizes the server: an entry takes 64 bytes, and one is needed
 * for each transaction that writes to the audit log of any database between two
 * sealings.  Rows of transactions beyond that are sealed as unwitnessed.
 */
static void
define_max_witnesses(void)
{
	DefineCustomIntVariable("relay_guard.audit_witnesses",
							"Transactions whose rows in the audit log are counted in shared memory until they are sealed.",
							"0 counts none.",
							&max_witnesses, 65536, 0, 16777216,
							PGC_POSTMASTER, 0, NULL, NULL, NULL);
}

void
rg_audit_witness_init(void)
{
	if (process_shared_preload_libraries_in_progress)
		define_max_witnesses();
	RegisterXactCallback(on_transaction, NULL);
	RegisterSubXactCallback(on_subtransaction, NULL);
}
