/*
 * response_cache.c
 *		Bodies that may be current; response_cache.h has the contract.
 */
#include "response_cache.h"

#include <sodium.h>
#include <stdlib.h>

#define OVERHEAD 64				/* of the allocations of one body */
#define BODY_USUAL 2048			/* for the number of buckets */
#define BUCKETS_MIN 64
#define BUCKETS_MAX 65536
#define LARGEST 8				/* a body takes this part of the limit at most */

struct RgResponseCache
{
	unsigned char secret[crypto_generichash_KEYBYTES];
	size_t		limit;
	RgHeldBody *newest;
	RgHeldBody *oldest;
	RgResponseCacheCounts counts;
	size_t		nbuckets;		/* a power of two */
	RgHeldBody *buckets[];
};

static size_t
count_buckets(size_t limit)
{
	size_t		count = BUCKETS_MIN;

	while (count < BUCKETS_MAX && count < limit / BODY_USUAL)
		count *= 2;
	return count;
}

RgResponseCache *
rg_response_cache_new(size_t limit)
{
	size_t		nbuckets = count_buckets(limit);
	RgResponseCache *cache = calloc(1, sizeof *cache + nbuckets * sizeof cache->buckets[0]);

	if (cache == NULL)
		return NULL;
	cache->limit = limit;
	cache->nbuckets = nbuckets;
	crypto_generichash_keygen(cache->secret);
	return cache;
}

/* Its length before it; an absent header is not the same as an empty one. */
static void
hash_slice(crypto_generichash_state *state, RgSlice slice)
{
	uint64_t	len = slice.data ? slice.len : UINT64_MAX;

	crypto_generichash_update(state, (const unsigned char *) &len, sizeof len);
	if (slice.len > 0)
		crypto_generichash_update(state, (const unsigned char *) slice.data, slice.len);
}

static void
make_key(const RgResponseCache *cache, const RgRequest *request, unsigned char *key)
{
	static const char *const credentials[] = {"authorization", "x-api-key", "cookie"};
	crypto_generichash_state state;

	crypto_generichash_init(&state, cache->secret, sizeof cache->secret, RG_RESPONSE_CACHE_KEY);
	hash_slice(&state, rg_slice_is(request->method, "HEAD") ? RG_SLICE("GET") : request->method);
	hash_slice(&state, request->path);
	hash_slice(&state, request->query);
	for (int i = 0; i < 3; i++)
		hash_slice(&state, rg_request_header(request, credentials[i]));
	crypto_generichash_final(&state, key, RG_RESPONSE_CACHE_KEY);
}

static RgHeldBody **
bucket_of(RgResponseCache *cache, const unsigned char *key)
{
	uint32_t	hash;

	memcpy(&hash, key, sizeof hash);
	return &cache->buckets[hash & (cache->nbuckets - 1)];
}

static RgHeldBody *
look_up(RgResponseCache *cache, const unsigned char *key)
{
	RgHeldBody *held = *bucket_of(cache, key);

	while (held != NULL && memcmp(held->key, key, sizeof held->key) != 0)
		held = held->next;
	return held;
}

static void
put_newest(RgHeldBody *held)
{
	RgResponseCache *cache = held->cache;

	held->newer = NULL;
	held->older = cache->newest;
	*(cache->newest ? &cache->newest->newer : &cache->oldest) = held;
	cache->newest = held;
}

static void
take_from_order(RgHeldBody *held)
{
	*(held->newer ? &held->newer->older : &held->cache->newest) = held->older;
	*(held->older ? &held->older->newer : &held->cache->oldest) = held->newer;
}

static void
destroy(RgHeldBody *held)
{
	held->cache->counts.bytes -= held->size;
	rg_content_free(&held->content);
	free(held);
}

/* Nobody finds it any more; who has it pinned may use it still. */
static void
unlist(RgHeldBody *held)
{
	RgHeldBody **place = bucket_of(held->cache, held->key);

	while (*place != held)
		place = &(*place)->next;
	*place = held->next;
	take_from_order(held);
	held->listed = false;
	held->cache->counts.bodies--;
	if (held->pins == 0)
		destroy(held);
}

static void
make_room(RgResponseCache *cache)
{
	while (cache->counts.bytes > cache->limit && cache->oldest != NULL)
	{
		cache->counts.evictions++;
		unlist(cache->oldest);
	}
}

void
rg_response_cache_free(RgResponseCache *cache)
{
	while (cache->oldest != NULL)
		unlist(cache->oldest);
	free(cache);
}

RgHeldBody *
rg_response_cache_find(RgResponseCache *cache, const RgRequest *request)
{
	unsigned char key[RG_RESPONSE_CACHE_KEY];
	RgHeldBody *held;

	if (cache->newest == NULL)
		return NULL;
	make_key(cache, request, key);
	held = look_up(cache, key);
	if (held == NULL)
		return NULL;
	take_from_order(held);
	put_newest(held);
	held->pins++;
	return held;
}

static RgSlice
copy_to(char *room, RgSlice bytes)
{
	if (bytes.len > 0)
		memcpy(room, bytes.data, bytes.len);
	return rg_slice(room, bytes.len);
}

/* The body stands right behind, and behind that the lines. */
static RgHeldBody *
make_body(RgResponseCache *cache, RgSlice validator, RgSlice body, RgSlice lines)
{
	RgHeldBody *held = malloc(sizeof *held + body.len + lines.len);
	char	   *copy = (char *) (held + 1);

	if (held == NULL)
		return NULL;
	memset(held, 0, sizeof *held);
	held->lines = copy_to(copy + body.len, lines);
	memcpy(held->validator, validator.data, validator.len);
	held->cache = cache;
	held->size = sizeof *held + body.len + lines.len + OVERHEAD;
	held->pins = 1;
	rg_content_init(&held->content, copy_to(copy, body), true);
	return held;
}

static void
list(RgHeldBody *held)
{
	RgHeldBody **bucket = bucket_of(held->cache, held->key);
	RgHeldBody *before = look_up(held->cache, held->key);

	if (before != NULL)
		unlist(before);
	held->next = *bucket;
	*bucket = held;
	put_newest(held);
	held->listed = true;
	held->cache->counts.bodies++;
	held->cache->counts.bytes += held->size;
}

RgHeldBody *
rg_response_cache_add(RgResponseCache *cache, const RgRequest *request,
					  RgSlice validator, RgSlice body, RgSlice lines)
{
	RgHeldBody *held;

	if (validator.len == 0 || validator.len > RG_VALIDATOR_MAX ||
		body.len > cache->limit / LARGEST)
		return NULL;
	held = make_body(cache, validator, body, lines);
	if (held == NULL)
		return NULL;
	make_key(cache, request, held->key);
	list(held);
	make_room(cache);
	return held;
}

void
rg_held_body_release(RgHeldBody *held)
{
	RgResponseCache *cache;
	size_t		size;

	if (held == NULL)
		return;
	cache = held->cache;
	size = sizeof *held + held->content.body.len + held->lines.len + held->content.gzip.len + OVERHEAD;
	cache->counts.bytes += size - held->size;
	held->size = size;
	if (--held->pins == 0 && !held->listed)
		destroy(held);
	make_room(cache);
}

RgResponseCacheCounts
rg_response_cache_counts(const RgResponseCache *cache)
{
	return cache->counts;
}
