/*
 * cache_slot.c
 *		Generations of tags in shared memory; cache_slot.h has the contract.
 *
 * A slot is one number, changed by single atomic additions: the announcements
 * under way in its low bits, the generation above.  No backend announces a slot
 * twice, so there are at most as many as backends, of which PostgreSQL has no
 * more than 18 bits.
 */
#include "postgres.h"

#include <sodium.h>

#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/ipc.h"
#include "storage/shmem.h"

#include "cache_slot.h"

#define ANNOUNCED_BITS 20
#define ANNOUNCED_MASK ((UINT64CONST(1) << ANNOUNCED_BITS) - 1)
#define GENERATION (UINT64CONST(1) << ANNOUNCED_BITS)

StaticAssertDecl(RG_CACHE_SECRET_BYTES == crypto_generichash_KEYBYTES, "the secret is a key");

typedef enum KeyKind
{
	ONE_TAG, ALL_BELOW, CATALOGS
} KeyKind;

typedef struct Shared
{
	uint8		secret[RG_CACHE_SECRET_BYTES];
	uint8		hash_key[crypto_shorthash_KEYBYTES];
	pg_atomic_uint64 slots[RG_CACHE_SLOTS];
} Shared;

static Shared *shared = NULL;

void
rg_cache_slot_request_shmem(void)
{
	RequestAddinShmemSpace(sizeof(Shared));
}

void
rg_cache_slot_startup_shmem(void)
{
	bool		found;

	shared = ShmemInitStruct("relay_guard cache", sizeof *shared, &found);
	if (found)
		return;
	randombytes_buf(shared->secret, sizeof shared->secret);
	randombytes_buf(shared->hash_key, sizeof shared->hash_key);
	for (int i = 0; i < RG_CACHE_SLOTS; i++)
		pg_atomic_init_u64(&shared->slots[i], 0);
}

bool
rg_cache_slot_available(void)
{
	return shared != NULL;
}

const uint8 *
rg_cache_secret(void)
{
	return shared->secret;
}

/* The text's hash first: texts are of any length. */
static uint32
slot_of(KeyKind kind, Oid database, RgSlice text)
{
	struct
	{
		uint64		text;
		uint32		kind;
		Oid			database;
	}			message = {.kind = kind,.database = database};
	uint64		hash;

	crypto_shorthash((uint8 *) &message.text, (const uint8 *) text.data, text.len, shared->hash_key);
	crypto_shorthash((uint8 *) &hash, (uint8 *) &message, sizeof message, shared->hash_key);
	return hash % RG_CACHE_SLOTS;
}

uint32
rg_cache_slot_of(const RgCacheKey *key)
{
	return slot_of(key->all_below ? ALL_BELOW : ONE_TAG, MyDatabaseId, key->text);
}

uint32
rg_cache_slot_of_catalogs(Oid database)
{
	return slot_of(CATALOGS, database, rg_slice(NULL, 0));
}

bool
rg_cache_slot_read(uint32 slot, uint64 *generation)
{
	uint64		value = pg_atomic_read_u64(&shared->slots[slot]);

	pg_read_barrier();			/* what is read from here on is not older */
	*generation = value >> ANNOUNCED_BITS;
	return (value & ANNOUNCED_MASK) == 0;
}

void
rg_cache_slot_announce(uint32 slot)
{
	pg_atomic_fetch_add_u64(&shared->slots[slot], 1);
}

/* One addition takes the announcement away and counts. */
void
rg_cache_slot_end(uint32 slot, bool committed)
{
	pg_atomic_fetch_add_u64(&shared->slots[slot], (committed ? GENERATION : 0) - 1);
}
