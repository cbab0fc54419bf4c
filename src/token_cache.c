/*
 * token_cache.c
 *		Tokens whose signature this backend has verified.
 *
 * At most CACHE_SIZE entries; the oldest goes when a new one comes.  The key is
 * SipHash-2-4 of 128 bits of the token, under random bytes of this backend: no
 * token stays in memory, and nobody can look for two that meet without knowing
 * those bytes.  It takes a third of the time of SHA-256.
 */
#include "postgres.h"

#include <sodium.h>

#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "token_cache.h"

#define CACHE_SIZE 1024
#define HASH_BYTES crypto_shorthash_siphashx24_BYTES
/* The slices at the end of an entry: jti and the identity's */
#define NFIELDS ((sizeof(RgVerified) - offsetof(RgVerified, jti)) / sizeof(RgSlice))

typedef struct Entry
{
	uint8		hash[HASH_BYTES];	/* the key: first */
	RgVerified *verified;
} Entry;

static uint8 hash_key[crypto_shorthash_siphashx24_KEYBYTES];
static HTAB *entries = NULL;
static MemoryContext context = NULL;

/* Hashes in the order in which they came, a ring. */
static uint8 arrivals[CACHE_SIZE][HASH_BYTES];
static uint64 narrivals = 0;

static void
hash_token(RgSlice token, uint8 hash[HASH_BYTES])
{
	crypto_shorthash_siphashx24(hash, (const uint8 *) token.data, token.len, hash_key);
}

static void
create(void)
{
	HASHCTL		control = {
		.keysize = HASH_BYTES,
		.entrysize = sizeof(Entry),
	};

	if (!pg_strong_random(hash_key, sizeof hash_key))
		ereport(ERROR,
				errcode(ERRCODE_INTERNAL_ERROR),
				errmsg("could not draw random bytes"));
	context = AllocSetContextCreate(TopMemoryContext, "relay_guard tokens",
									ALLOCSET_DEFAULT_SIZES);
	control.hcxt = context;
	entries = hash_create("relay_guard tokens", CACHE_SIZE, &control,
						  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

static void
evict_oldest(void)
{
	uint8	   *oldest = arrivals[narrivals % CACHE_SIZE];
	Entry	   *entry;

	if (narrivals < CACHE_SIZE)
		return;
	entry = hash_search(entries, oldest, HASH_FIND, NULL);
	if (entry == NULL)
		return;
	pfree(entry->verified);
	hash_search(entries, oldest, HASH_REMOVE, NULL);
}

/* One chunk for the entry and its strings. */
static RgVerified *
copy_verified(const RgVerified *verified)
{
	const RgSlice *from = &verified->jti;
	Size		size = sizeof(RgVerified);
	RgVerified *copy;
	RgSlice    *to;
	char	   *out;

	for (size_t i = 0; i < NFIELDS; i++)
		size += from[i].len;
	copy = MemoryContextAlloc(context, size);
	*copy = *verified;
	to = &copy->jti;
	out = (char *) (copy + 1);
	for (size_t i = 0; i < NFIELDS; i++)
	{
		if (to[i].data == NULL)
			continue;
		memcpy(out, from[i].data, from[i].len);
		to[i].data = out;
		out += from[i].len;
	}
	return copy;
}

RgVerified *
rg_token_cache_get(RgSlice token, uint64 generation)
{
	uint8		hash[HASH_BYTES];
	Entry	   *entry;

	if (entries == NULL)
		return NULL;
	hash_token(token, hash);
	entry = hash_search(entries, hash, HASH_FIND, NULL);
	return entry != NULL && entry->verified->generation == generation ?
		entry->verified : NULL;
}

RgVerified *
rg_token_cache_put(RgSlice token, const RgVerified *verified)
{
	uint8		hash[HASH_BYTES];
	RgVerified *copy;
	Entry	   *entry;
	bool		found;

	if (entries == NULL)
		create();
	hash_token(token, hash);
	copy = copy_verified(verified);
	entry = hash_search(entries, hash, HASH_FIND, NULL);
	if (entry != NULL)
	{
		pfree(entry->verified);
		entry->verified = copy;
		return copy;
	}
	evict_oldest();
	entry = hash_search(entries, hash, HASH_ENTER, &found);
	entry->verified = copy;
	memcpy(arrivals[narrivals++ % CACHE_SIZE], hash, HASH_BYTES);
	return copy;
}
