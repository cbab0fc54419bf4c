/*
 * token_cache.c
 *		Tokens whose signature this backend has verified.
 *
 * At most CACHE_SIZE entries, keyed by the SHA-256 of the token, so that no
 * token stays in memory; the oldest goes when a new one comes.
 */
#include "postgres.h"

#include <openssl/evp.h>

#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "token_cache.h"

#define CACHE_SIZE 1024
#define HASH_BYTES 32
#define NFIELDS (sizeof(RgIdentity) / sizeof(RgSlice))

typedef struct Entry
{
	uint8		hash[HASH_BYTES];	/* the key: first */
	RgVerified *verified;
} Entry;

static HTAB *entries = NULL;
static MemoryContext context = NULL;

/* Hashes in the order in which they came, a ring. */
static uint8 arrivals[CACHE_SIZE][HASH_BYTES];
static uint32 narrivals = 0;

/* The context and the algorithm are fetched once: that costs more than a hash. */
static void
hash_token(RgSlice token, uint8 hash[HASH_BYTES])
{
	static EVP_MD_CTX *sha256 = NULL;
	static EVP_MD *algorithm = NULL;

	if (algorithm == NULL)
		algorithm = EVP_MD_fetch(NULL, "SHA256", NULL);
	if (sha256 == NULL)
		sha256 = EVP_MD_CTX_new();
	if (sha256 == NULL || algorithm == NULL ||
		!EVP_DigestInit_ex2(sha256, algorithm, NULL) ||
		!EVP_DigestUpdate(sha256, token.data, token.len) ||
		!EVP_DigestFinal_ex(sha256, hash, NULL))
		ereport(ERROR,
				errcode(ERRCODE_INTERNAL_ERROR),
				errmsg("SHA-256 failed"));
}

static void
create(void)
{
	HASHCTL		control = {
		.keysize = HASH_BYTES,
		.entrysize = sizeof(Entry),
	};

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
	const RgSlice *from = (const RgSlice *) &verified->identity;
	Size		size = sizeof(RgVerified);
	RgVerified *copy;
	RgSlice    *to;
	char	   *out;

	for (size_t i = 0; i < NFIELDS; i++)
		size += from[i].len;
	copy = MemoryContextAlloc(context, size);
	*copy = *verified;
	to = (RgSlice *) &copy->identity;
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

const RgVerified *
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

const RgVerified *
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
