/*
 * fuzz_ring.c
 *		Key ring files: what is accepted is a ring, written again it is the same
 *		one, and no error shows a key.
 */
#include <sodium.h>

#include "fuzz.h"

#include "ring.h"

static const char *
state_word(RgKeyState state)
{
	return state == RG_KEY_PRIMARY ? " primary" : state == RG_KEY_RETIRED ? " retired" : "";
}

static size_t
write_key(const RgRingKey *key, char *out, size_t size)
{
	char		secret[64];

	sodium_bin2base64(secret, sizeof secret, key->secret, sizeof key->secret,
					  sodium_base64_VARIANT_ORIGINAL);
	return snprintf(out, size, "%u %s%s\n", key->id, secret, state_word(key->state));
}

static void
require_key(const RgRing *ring, int number)
{
	const RgRingKey *key = &ring->keys[number];
	uint8_t		subkey[RG_KEY_BYTES],
				other[RG_KEY_BYTES];

	require(key->id > 0 && key->id <= INT32_MAX);
	require(rg_ring_find(ring, key->id) == key);
	require((key->state == RG_KEY_PRIMARY) == (rg_ring_primary(ring) == key));
	rg_ring_subkey(key, RG_FOR_CURSORS, subkey);
	rg_ring_subkey(key, RG_FOR_SECRETS, other);
	require(memcmp(subkey, other, sizeof subkey) != 0);
}

static void
require_same(const RgRing *a, const RgRing *b)
{
	require(a->nkeys == b->nkeys);
	for (int i = 0; i < a->nkeys; i++)
	{
		require(a->keys[i].id == b->keys[i].id && a->keys[i].state == b->keys[i].state);
		require(memcmp(a->keys[i].secret, b->keys[i].secret, RG_KEY_BYTES) == 0);
	}
}

static void
check_ring(const RgRing *ring)
{
	char		text[RG_RING_MAX_KEYS * 80];
	char		error[128];
	size_t		len = 0;
	RgRing	   *again;

	require(ring->nkeys > 0 && ring->nkeys <= RG_RING_MAX_KEYS);
	require(rg_ring_primary(ring) != NULL);
	for (int i = 0; i < ring->nkeys; i++)
	{
		require_key(ring, i);
		len += write_key(&ring->keys[i], text + len, sizeof text - len);
	}
	again = rg_ring_parse(rg_slice(text, len), error, sizeof error);
	require(again != NULL);
	require_same(ring, again);
	rg_ring_free(again);
}

/* An error is of our own words: it has no run of the input, such as a secret. */
static void
check_error(const char *error, size_t size, RgSlice text)
{
	size_t		len = strnlen(error, size);

	require(len > 0 && len < size);
	for (size_t i = 0; i + 40 <= text.len; i++)
		for (size_t j = 0; j + 40 <= len; j++)
			require(memcmp(text.data + i, error + j, 40) != 0 ||
					memchr(text.data + i, ' ', 40) != NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	RgSlice		text = rg_slice((const char *) data, size);
	char		error[128] = "";
	RgRing	   *ring = rg_ring_parse(text, error, sizeof error);

	if (ring == NULL)
		check_error(error, sizeof error, text);
	else
		check_ring(ring);
	rg_ring_free(ring);
	return 0;
}
