/*
 * ring_text.c
 *		Changing a key ring's text.
 */
#include "ring_text.h"

#include <sodium.h>
#include <stdio.h>

#include "ring_line.h"

/* The states to come; 0 is no key. */
typedef struct Change
{
	uint32_t	promoted;
	uint32_t	retired;
} Change;

bool
rg_ring_text_new(RgRingText *text, size_t size)
{
	text->len = 0;
	text->data = sodium_init() < 0 ? NULL : sodium_malloc(size);
	return text->data != NULL;
}

void
rg_ring_text_free(RgRingText *text)
{
	sodium_free(text->data);
	text->data = NULL;
	text->len = 0;
}

static bool
make_room(RgRingText *text, size_t size, char *error, size_t error_size)
{
	bool		made = rg_ring_text_new(text, size);

	if (!made)
		snprintf(error, error_size, "no guarded memory");
	return made;
}

static RgKeyState
state_after(const RgRingKey *key, Change change)
{
	if (key->id == change.promoted)
		return RG_KEY_PRIMARY;
	if (key->id == change.retired)
		return RG_KEY_RETIRED;
	if (key->state == RG_KEY_PRIMARY && change.promoted != 0)
		return RG_KEY_ACTIVE;
	return key->state;
}

/* Puts the line with its newline, where it has one. */
static void
put_line(RgRingText *out, RgSlice line, size_t newline, const RgRingKey *key, Change change)
{
	if (key == NULL || state_after(key, change) == key->state)
	{
		memcpy(out->data + out->len, line.data, line.len);
		out->len += line.len;
	}
	else
		out->len += rg_ring_line_restate(line, state_after(key, change), out->data + out->len);
	if (newline > 0)
		out->data[out->len++] = '\n';
}

/* The ring's keys stand in the order of the lines that hold one. */
static void
put_changed(RgRingText *out, RgSlice text, const RgRing *ring, Change change)
{
	const RgRingKey *key = ring->keys;

	while (text.len > 0)
	{
		size_t		before = text.len;
		RgSlice		line = rg_ring_take_line(&text);
		bool		has_key = rg_ring_line_has_key(line);

		put_line(out, line, before - text.len - line.len, has_key ? key : NULL, change);
		key += has_key;
	}
}

static void
put_key(RgRingText *out, const RgRingKey *key)
{
	if (out->len > 0 && out->data[out->len - 1] != '\n')
		out->data[out->len++] = '\n';
	out->len += rg_ring_line_write(key, out->data + out->len);
}

/* What was made has to be a ring, whatever happened above. */
static bool
check(RgRingText *out, char *error, size_t error_size)
{
	RgRing	   *ring = NULL;

	if (out->len > RG_RING_MAX_TEXT)
		snprintf(error, error_size, "it would be larger than 64 kB");
	else
		ring = rg_ring_parse(rg_slice(out->data, out->len), error, error_size);
	if (ring == NULL)
		rg_ring_text_free(out);
	rg_ring_free(ring);
	return out->data != NULL;
}

/* added may be NULL */
static bool
rewrite(RgSlice text, const RgRing *ring, Change change, const RgRingKey *added,
		RgRingText *out, char *error, size_t error_size)
{
	size_t		size = text.len + 2 * RG_RING_STATE_GROWTH + RG_RING_LINE_SIZE + 1;

	if (!make_room(out, size, error, error_size))
		return false;
	put_changed(out, text, ring, change);
	if (added != NULL)
		put_key(out, added);
	return check(out, error, error_size);
}

static uint32_t
highest_id(const RgRing *ring)
{
	uint32_t	highest = 0;

	for (int i = 0; i < ring->nkeys; i++)
		if (ring->keys[i].id > highest)
			highest = ring->keys[i].id;
	return highest;
}

/* Why no key can be added, or NULL. */
static const char *
refuse_key(const RgRing *ring)
{
	if (ring->nkeys == RG_RING_MAX_KEYS)
		return "the ring is full: it has 64 keys";
	if (highest_id(ring) == INT32_MAX)
		return "the highest id is taken";
	return NULL;
}

bool
rg_ring_text_first(RgRingText *out, char *error, size_t error_size)
{
	RgRingKey	key;

	if (!make_room(out, RG_RING_LINE_SIZE, error, error_size))
		return false;
	rg_ring_key_new(&key, rg_ring_first_id(), RG_KEY_PRIMARY);
	put_key(out, &key);
	sodium_memzero(&key, sizeof key);
	return true;
}

static bool
add(RgSlice text, const RgRing *ring, bool active, uint32_t *id, RgRingText *out,
	char *error, size_t error_size)
{
	const char *refusal = refuse_key(ring);
	RgRingKey	key;
	Change		change = {0, 0};
	bool		added;

	if (refusal != NULL)
	{
		snprintf(error, error_size, "%s", refusal);
		return false;
	}
	rg_ring_key_new(&key, highest_id(ring) + 1, active ? RG_KEY_ACTIVE : RG_KEY_PRIMARY);
	*id = key.id;
	change.promoted = active ? 0 : key.id;
	added = rewrite(text, ring, change, &key, out, error, error_size);
	sodium_memzero(&key, sizeof key);
	return added;
}

bool
rg_ring_text_add(RgSlice text, bool active, uint32_t *id, RgRingText *out,
				 char *error, size_t error_size)
{
	RgRing	   *ring = rg_ring_parse(text, error, error_size);
	bool		added = ring != NULL && add(text, ring, active, id, out, error, error_size);

	rg_ring_free(ring);
	return added;
}

/* Gives the key its state, unless *refusal tells why not. */
static bool
restate(RgSlice text, uint32_t id, Change change, const char *(*refuse) (const RgRingKey *key),
		RgRingText *out, char *error, size_t error_size)
{
	RgRing	   *ring = rg_ring_parse(text, error, error_size);
	const RgRingKey *key = ring ? rg_ring_find(ring, id) : NULL;
	const char *refusal = key ? refuse(key) : "is not in the ring";
	bool		changed = false;

	if (ring == NULL)
		return false;
	if (refusal != NULL)
		snprintf(error, error_size, "key %u %s", id, refusal);
	else
		changed = rewrite(text, ring, change, NULL, out, error, error_size);
	rg_ring_free(ring);
	return changed;
}

static const char *
refuse_retired(const RgRingKey *key)
{
	return key->state == RG_KEY_RETIRED ? "is retired; --retired promotes it all the same" : NULL;
}

static const char *
refuse_nothing(const RgRingKey *key)
{
	(void) key;
	return NULL;
}

static const char *
refuse_primary(const RgRingKey *key)
{
	return key->state == RG_KEY_PRIMARY ? "is the primary key; promote another one first" : NULL;
}

bool
rg_ring_text_promote(RgSlice text, uint32_t id, bool retired, RgRingText *out,
					 char *error, size_t error_size)
{
	Change		change = {.promoted = id};

	return restate(text, id, change, retired ? refuse_nothing : refuse_retired, out,
				   error, error_size);
}

bool
rg_ring_text_retire(RgSlice text, uint32_t id, RgRingText *out, char *error, size_t error_size)
{
	Change		change = {.retired = id};

	return restate(text, id, change, refuse_primary, out, error, error_size);
}

bool
rg_ring_covers(const RgRing *fresh, const RgRing *former, char *error, size_t error_size)
{
	for (int i = 0; i < former->nkeys; i++)
	{
		const RgRingKey *key = &former->keys[i];
		const RgRingKey *same = rg_ring_find(fresh, key->id);

		if (same != NULL && sodium_memcmp(same->secret, key->secret, RG_KEY_BYTES) == 0)
			continue;
		snprintf(error, error_size, same ? "key %u of the present ring is another one there"
				 : "key %u of the present ring is not in it", key->id);
		return false;
	}
	return true;
}
