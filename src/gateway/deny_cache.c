/*
 * deny_cache.c
 *		Refusals that are still good; deny_cache.h has the contract.
 *
 * A table of sets: a key has four places and no others, so that looking up and
 * adding take the same few steps however many keys an attacker makes up.
 */
#include "deny_cache.h"

#include <sodium.h>
#include <stdlib.h>

#include "rate_block.h"

#define WAYS 4
#define SETS (RG_DENY_ENTRIES / WAYS)
#define ROOM 480				/* bytes of limits and route of one entry */

typedef struct Entry
{
	uint64_t	key;
	int64_t		made;			/* rg_now() */
	int64_t		until;			/* 0: free */
	uint16_t	block_len;
	uint16_t	route_len;
	char		data[ROOM];		/* the block, then the route */
} Entry;

struct RgDenyCache
{
	unsigned char secret[crypto_shorthash_KEYBYTES];
	int64_t		latest;			/* until of the entry that ends last */
	Entry		sets[SETS][WAYS];
};

/* What a key is made of. */
typedef struct Parts
{
	uint64_t	by_identity;
	uint64_t	method;
	uint64_t	path;
	uint8_t		network[16];
	uint64_t	credentials[3];
} Parts;

RgDenyCache *
rg_deny_cache_new(void)
{
	RgDenyCache *cache = calloc(1, sizeof *cache);

	if (cache != NULL)
		crypto_shorthash_keygen(cache->secret);
	return cache;
}

void
rg_deny_cache_free(RgDenyCache *cache)
{
	free(cache);
}

static uint64_t
hash(const RgDenyCache *cache, const void *data, size_t len)
{
	uint64_t	out;

	crypto_shorthash((unsigned char *) &out, data, len, cache->secret);
	return out;
}

/* An absent header is not the same as an empty one. */
static uint64_t
hash_slice(const RgDenyCache *cache, RgSlice slice)
{
	return slice.data ? hash(cache, slice.data, slice.len) : 0;
}

/* IPv6 by its /64, as the limits count it. */
static void
take_network(const uint8_t address[16], uint8_t network[16])
{
	static const uint8_t mapped[12] = {[10] = 0xff,[11] = 0xff};
	bool		is_v4 = memcmp(address, mapped, sizeof mapped) == 0;

	memcpy(network, address, is_v4 ? 16 : 8);
}

static uint64_t
make_key(const RgDenyCache *cache, const RgRequest *request, bool by_identity)
{
	static const char *const credentials[] = {"authorization", "x-api-key", "cookie"};
	Parts		parts;

	memset(&parts, 0, sizeof parts);
	parts.by_identity = by_identity;
	parts.method = hash_slice(cache, request->method);
	parts.path = hash_slice(cache, request->path);
	take_network(request->client_ip, parts.network);
	for (int i = 0; by_identity && i < 3; i++)
		parts.credentials[i] = hash_slice(cache, rg_request_header(request, credentials[i]));
	return hash(cache, &parts, sizeof parts);
}

static Entry *
set_of(RgDenyCache *cache, uint64_t key)
{
	return cache->sets[key % SETS];
}

static const Entry *
look_up(RgDenyCache *cache, uint64_t key, int64_t now)
{
	const Entry *set = set_of(cache, key);

	for (int i = 0; i < WAYS; i++)
		if (set[i].key == key && set[i].until > now)
			return &set[i];
	return NULL;
}

/* As the limits stand by now. */
static void
recall(const Entry *entry, int64_t now, RgDenial *denial)
{
	int64_t		passed = (now - entry->made) * 1000;

	denial->route = rg_slice(entry->data + entry->block_len, entry->route_len);
	denial->count = rg_rate_block_read(rg_slice(entry->data, entry->block_len), denial->limits);
	for (int i = 0; i < denial->count; i++)
	{
		int64_t    *wait = &denial->limits[i].wait;

		*wait = *wait > passed ? *wait - passed : 0;
	}
}

bool
rg_deny_cache_find(RgDenyCache *cache, const RgRequest *request, int64_t now,
				   RgDenial *denial)
{
	const Entry *entry;

	if (now >= cache->latest)
		return false;
	entry = look_up(cache, make_key(cache, request, false), now);
	if (entry == NULL)
		entry = look_up(cache, make_key(cache, request, true), now);
	if (entry == NULL)
		return false;
	recall(entry, now, denial);
	return true;
}

/* Until the first that denied allows again; 0 when none denied. */
static int64_t
span_of(const RgRateLimit *limits, int count)
{
	int64_t		span = RG_DENY_SPAN;
	bool		denied = false;

	for (int i = 0; i < count; i++)
	{
		if (!limits[i].denied)
			continue;
		denied = true;
		if (limits[i].wait / 1000 < span)
			span = limits[i].wait / 1000;
	}
	return denied ? span : 0;
}

static bool
any_by_identity(const RgRateLimit *limits, int count)
{
	for (int i = 0; i < count; i++)
		if (!limits[i].by_address)
			return true;
	return false;
}

/* The key's own place, or the one whose entry ends first. */
static Entry *
choose_place(RgDenyCache *cache, uint64_t key)
{
	Entry	   *set = set_of(cache, key);
	Entry	   *place = &set[0];

	for (int i = 0; i < WAYS; i++)
	{
		if (set[i].key == key)
			return &set[i];
		if (set[i].until < place->until)
			place = &set[i];
	}
	return place;
}

void
rg_deny_cache_add(RgDenyCache *cache, const RgRequest *request, RgSlice route,
				  RgSlice block, int64_t now)
{
	RgRateLimit limits[RG_RATE_LIMITS_MAX];
	int			count = rg_rate_block_read(block, limits);
	int64_t		span = count > 0 ? span_of(limits, count) : 0;
	uint64_t	key;
	Entry	   *entry;

	if (span == 0 || block.len > ROOM || route.len > ROOM - block.len)
		return;
	key = make_key(cache, request, any_by_identity(limits, count));
	entry = choose_place(cache, key);
	entry->key = key;
	entry->made = now;
	entry->until = now + span;
	entry->block_len = block.len;
	entry->route_len = route.len;
	memcpy(entry->data, block.data, block.len);
	if (route.len > 0)
		memcpy(entry->data + block.len, route.data, route.len);
	if (entry->until > cache->latest)
		cache->latest = entry->until;
}
