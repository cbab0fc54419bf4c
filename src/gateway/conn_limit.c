/*
 * conn_limit.c
 *		Connections by address; conn_limit.h has the contract.
 *
 * Open addressing, at most half full.  An entry that is taken out leaves no
 * mark: those behind it move up.
 */
#include "conn_limit.h"

#include <sodium.h>
#include <stdlib.h>

typedef struct Slot
{
	int			count;			/* 0: free */
	RgAddress	network;
} Slot;

struct RgConnLimit
{
	int			cap;
	int			used;
	size_t		mask;			/* slots - 1 */
	unsigned char secret[crypto_shorthash_KEYBYTES];
	Slot		slots[];
};

RgConnLimit *
rg_conn_limit_new(int cap, int max)
{
	size_t		slots = 64;
	RgConnLimit *limit;

	while (slots < 2 * (size_t) max)
		slots *= 2;
	limit = calloc(1, sizeof *limit + slots * sizeof(Slot));
	if (limit == NULL)
		return NULL;
	limit->cap = cap;
	limit->mask = slots - 1;
	randombytes_buf(limit->secret, sizeof limit->secret);
	return limit;
}

void
rg_conn_limit_free(RgConnLimit *limit)
{
	free(limit);
}

static RgAddress
network_of(const RgAddress *address)
{
	static const uint8_t mapped[12] = {[10] = 0xff,[11] = 0xff};
	RgAddress	network = *address;

	if (memcmp(address->bytes, mapped, sizeof mapped) != 0)
		memset(network.bytes + 8, 0, 8);
	return network;
}

static size_t
home_of(const RgConnLimit *limit, const RgAddress *network)
{
	uint64_t	hash;

	crypto_shorthash((unsigned char *) &hash, network->bytes, sizeof network->bytes,
					 limit->secret);
	return hash & limit->mask;
}

/* Where the network is, or would be. */
static size_t
find(const RgConnLimit *limit, const RgAddress *network)
{
	size_t		at = home_of(limit, network);

	while (limit->slots[at].count > 0 &&
		   memcmp(limit->slots[at].network.bytes, network->bytes, sizeof network->bytes) != 0)
		at = (at + 1) & limit->mask;
	return at;
}

bool
rg_conn_limit_take(RgConnLimit *limit, const RgAddress *address)
{
	RgAddress	network = network_of(address);
	Slot	   *slot = &limit->slots[find(limit, &network)];

	if (slot->count >= limit->cap)
		return false;
	if (slot->count == 0 && 2 * (size_t) limit->used > limit->mask)
		return false;
	limit->used += slot->count == 0;
	slot->network = network;
	slot->count++;
	return true;
}

/* An entry must not stand behind a free slot that it would rather have. */
static void
close_gap(RgConnLimit *limit, size_t gap)
{
	size_t		at = gap;

	while (limit->slots[at = (at + 1) & limit->mask].count > 0)
	{
		size_t		home = home_of(limit, &limit->slots[at].network);

		if (((at - home) & limit->mask) < ((at - gap) & limit->mask))
			continue;
		limit->slots[gap] = limit->slots[at];
		limit->slots[at].count = 0;
		gap = at;
	}
}

void
rg_conn_limit_give(RgConnLimit *limit, const RgAddress *address)
{
	RgAddress	network = network_of(address);
	size_t		at = find(limit, &network);

	if (limit->slots[at].count == 0 || --limit->slots[at].count > 0)
		return;
	limit->used--;
	close_gap(limit, at);
}
