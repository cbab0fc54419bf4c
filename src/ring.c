/*
 * ring.c
 *		The key ring; ring.h describes the file and the subkeys.
 */
#include "ring.h"

#include <sodium.h>
#include <stdio.h>

#include "ring_line.h"

static const char contexts[RG_PURPOSES][crypto_kdf_CONTEXTBYTES + 1] = {
	[RG_FOR_COLUMNS] = "columns_",
	[RG_FOR_SECRETS] = "secrets_",
	[RG_FOR_TOKENS] = "tokens__",
	[RG_FOR_AUDIT] = "audit___",
	[RG_FOR_CSRF] = "csrf____",
	[RG_FOR_CURSORS] = "cursors_",
};

/* What is wrong with the line, or NULL when it made a key. */
static const char *
parse_key(RgRing *ring, RgSlice line)
{
	RgRingKey  *key = &ring->keys[ring->nkeys];
	const char *problem;

	if (ring->nkeys == RG_RING_MAX_KEYS)
		return "has one key too many";
	problem = rg_ring_line_read(line, key);
	if (problem != NULL)
		return problem;
	if (rg_ring_find(ring, key->id) != NULL)
		return "repeats a key id";
	if (key->state == RG_KEY_PRIMARY && rg_ring_primary(ring) != NULL)
		return "is a second primary key";
	ring->nkeys++;
	return NULL;
}

static bool
parse_lines(RgRing *ring, RgSlice text, char *error, size_t error_size)
{
	for (int number = 1; text.len > 0; number++)
	{
		RgSlice		line = rg_ring_take_line(&text);
		const char *problem;

		if (!rg_ring_line_has_key(line))
			continue;
		problem = parse_key(ring, line);
		if (problem != NULL)
		{
			snprintf(error, error_size, "line %d %s", number, problem);
			return false;
		}
	}
	if (rg_ring_primary(ring) == NULL)
	{
		snprintf(error, error_size, "no key is marked primary");
		return false;
	}
	return true;
}

RgRing *
rg_ring_parse(RgSlice text, char *error, size_t error_size)
{
	RgRing	   *ring = sodium_init() < 0 ? NULL : sodium_malloc(sizeof *ring);

	if (ring == NULL)
	{
		snprintf(error, error_size, "no guarded memory");
		return NULL;
	}
	ring->nkeys = 0;
	if (!parse_lines(ring, text, error, error_size))
	{
		rg_ring_free(ring);
		return NULL;
	}
	sodium_mprotect_readonly(ring);
	return ring;
}

void
rg_ring_free(RgRing *ring)
{
	sodium_free(ring);
}

const RgRingKey *
rg_ring_find(const RgRing *ring, uint32_t id)
{
	for (int i = 0; i < ring->nkeys; i++)
		if (ring->keys[i].id == id)
			return &ring->keys[i];
	return NULL;
}

const RgRingKey *
rg_ring_primary(const RgRing *ring)
{
	for (int i = 0; i < ring->nkeys; i++)
		if (ring->keys[i].state == RG_KEY_PRIMARY)
			return &ring->keys[i];
	return NULL;
}

static bool
key_equal(const RgRingKey *a, const RgRingKey *b)
{
	return a->id == b->id && a->state == b->state && strcmp(a->created, b->created) == 0 &&
		sodium_memcmp(a->secret, b->secret, RG_KEY_BYTES) == 0;
}

bool
rg_ring_equal(const RgRing *a, const RgRing *b)
{
	if (a->nkeys != b->nkeys)
		return false;
	for (int i = 0; i < a->nkeys; i++)
		if (!key_equal(&a->keys[i], &b->keys[i]))
			return false;
	return true;
}

void
rg_ring_subkey(const RgRingKey *key, RgPurpose purpose, uint8_t subkey[RG_KEY_BYTES])
{
	crypto_kdf_derive_from_key(subkey, RG_KEY_BYTES, 1, contexts[purpose], key->secret);
}
