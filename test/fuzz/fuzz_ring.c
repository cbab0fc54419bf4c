/*
 * fuzz_ring.c
 *		Key ring files: what is accepted is a ring, written again it is the same
 *		one, an edit changes what it says and nothing else, and no error shows a
 *		key.
 */
#include "fuzz.h"

#include "ring_line.h"
#include "ring_text.h"

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
check_ring(const RgRing *ring)
{
	char		text[RG_RING_MAX_KEYS * RG_RING_LINE_SIZE];
	char		error[128];
	size_t		len = 0;
	RgRing	   *again;

	require(ring->nkeys > 0 && ring->nkeys <= RG_RING_MAX_KEYS);
	require(rg_ring_primary(ring) != NULL);
	for (int i = 0; i < ring->nkeys; i++)
	{
		require_key(ring, i);
		len += rg_ring_line_write(&ring->keys[i], text + len);
	}
	again = rg_ring_parse(rg_slice(text, len), error, sizeof error);
	require(again != NULL);
	require(rg_ring_equal(ring, again));
	rg_ring_free(again);
}

/* Comments and blank lines of both, which no edit touches, are the same. */
static void
require_comments_kept(RgSlice before, RgSlice after)
{
	while (before.len > 0)
	{
		RgSlice		line = rg_ring_take_line(&before);
		RgSlice		other = rg_ring_take_line(&after);

		require(rg_ring_line_has_key(line) == rg_ring_line_has_key(other));
		require(rg_ring_line_has_key(line) || rg_slice_equal(line, other));
	}
}

/* What an edit made: every key is still there, and the states are as expected. */
static void
check_edit(RgSlice text, const RgRing *ring, RgRingText *out, uint32_t primary, uint32_t retired)
{
	char		error[128];
	RgRing	   *after = rg_ring_parse(rg_slice(out->data, out->len), error, sizeof error);

	require(after != NULL && rg_ring_covers(after, ring, error, sizeof error));
	require(rg_ring_primary(after)->id == primary);
	require(retired == 0 || rg_ring_find(after, retired)->state == RG_KEY_RETIRED);
	for (int i = 0; i < ring->nkeys; i++)
	{
		require(after->keys[i].id == ring->keys[i].id);
		require(strcmp(after->keys[i].created, ring->keys[i].created) == 0);
	}
	require_comments_kept(text, rg_slice(out->data, out->len));
	rg_ring_free(after);
	rg_ring_text_free(out);
}

static void
check_edits(RgSlice text, const RgRing *ring)
{
	const RgRingKey *primary = rg_ring_primary(ring);
	const RgRingKey *last = &ring->keys[ring->nkeys - 1];
	char		error[128];
	RgRingText	out;
	uint32_t	id;

	if (rg_ring_text_add(text, false, &id, &out, error, sizeof error))
		check_edit(text, ring, &out, id, 0);
	if (rg_ring_text_add(text, true, &id, &out, error, sizeof error))
		check_edit(text, ring, &out, primary->id, 0);
	if (rg_ring_text_promote(text, last->id, true, &out, error, sizeof error))
		check_edit(text, ring, &out, last->id, 0);
	if (rg_ring_text_retire(text, last->id, &out, error, sizeof error))
		check_edit(text, ring, &out, primary->id, last->id);
	require(!rg_ring_text_retire(text, primary->id, &out, error, sizeof error));
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
	{
		check_ring(ring);
		if (size <= RG_RING_MAX_TEXT)
			check_edits(text, ring);
	}
	rg_ring_free(ring);
	return 0;
}
