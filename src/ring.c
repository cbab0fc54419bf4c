/*
 * ring.c
 *		The key ring; ring.h describes the file and the subkeys.
 */
#include "ring.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

static const char contexts[RG_PURPOSES][crypto_kdf_CONTEXTBYTES + 1] = {
	[RG_FOR_COLUMNS] = "columns_",
	[RG_FOR_SECRETS] = "secrets_",
	[RG_FOR_TOKENS] = "tokens__",
	[RG_FOR_AUDIT] = "audit___",
	[RG_FOR_CSRF] = "csrf____",
	[RG_FOR_CURSORS] = "cursors_",
};

/* Takes the next run of non-blanks; empty at the end of the line. */
static RgSlice
take_word(RgSlice *line)
{
	RgSlice		word;

	while (line->len > 0 && strchr(" \t\r", *line->data) != NULL)
		line->data++, line->len--;
	word.data = line->data;
	word.len = 0;
	while (line->len > 0 && strchr(" \t\r", *line->data) == NULL)
		line->data++, line->len--, word.len++;
	return word;
}

static RgSlice
take_line(RgSlice *text)
{
	const char *end = memchr(text->data, '\n', text->len);
	RgSlice		line = {text->data, end ? (size_t) (end - text->data) : text->len};
	size_t		used = line.len + (end != NULL);

	text->data += used;
	text->len -= used;
	return line;
}

static bool
parse_id(RgSlice word, uint32_t *id)
{
	uint64_t	value = 0;

	if (word.len == 0 || word.len > 10)
		return false;
	for (size_t i = 0; i < word.len; i++)
	{
		if (word.data[i] < '0' || word.data[i] > '9')
			return false;
		value = value * 10 + (word.data[i] - '0');
	}
	*id = (uint32_t) value;
	return value > 0 && value <= INT32_MAX;
}

static bool
parse_secret(RgSlice word, uint8_t secret[RG_KEY_BYTES])
{
	size_t		len;
	const char *end;

	return sodium_base642bin(secret, RG_KEY_BYTES, word.data, word.len, NULL,
							 &len, &end, sodium_base64_VARIANT_ORIGINAL) == 0 &&
		len == RG_KEY_BYTES && end == word.data + word.len;
}

static bool
parse_state(RgSlice word, RgKeyState *state)
{
	if (word.len == 0)
		*state = RG_KEY_ACTIVE;
	else if (rg_slice_is(word, "primary"))
		*state = RG_KEY_PRIMARY;
	else if (rg_slice_is(word, "retired"))
		*state = RG_KEY_RETIRED;
	else
		return false;
	return true;
}

/* What is wrong with the line, or NULL when it made a key. */
static const char *
parse_key(RgRing *ring, RgSlice line)
{
	RgRingKey  *key = &ring->keys[ring->nkeys];

	if (ring->nkeys == RG_RING_MAX_KEYS)
		return "has one key too many";
	if (!parse_id(take_word(&line), &key->id))
		return "does not start with a key id from 1 to 2147483647";
	if (rg_ring_find(ring, key->id) != NULL)
		return "repeats a key id";
	if (!parse_secret(take_word(&line), key->secret))
		return "has no base64 of 32 bytes after its id";
	if (!parse_state(take_word(&line), &key->state) || take_word(&line).len > 0)
		return "ends with something other than primary or retired";
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
		RgSlice		line = take_line(&text);
		RgSlice		rest = line;
		RgSlice		first = take_word(&rest);
		const char *problem;

		if (first.len == 0 || *first.data == '#')
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

void
rg_ring_subkey(const RgRingKey *key, RgPurpose purpose, uint8_t subkey[RG_KEY_BYTES])
{
	crypto_kdf_derive_from_key(subkey, RG_KEY_BYTES, 1, contexts[purpose], key->secret);
}
