/*
 * test_ring.c
 *		The key ring file: what is a ring, what is not, and its subkeys.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ring_line.h"
#include "ring_text.h"
#include "tap.h"

#define KEY_A "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define KEY_B "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8="

static RgRing *
parse(const char *text)
{
	char		error[128];

	return rg_ring_parse(rg_slice(text, strlen(text)), error, sizeof error);
}

static void
refuses(const char *text, const char *reason)
{
	char		error[128] = "";
	RgRing	   *ring = rg_ring_parse(rg_slice(text, strlen(text)), error, sizeof error);

	ok(ring == NULL && strstr(error, reason) != NULL, "refuses a ring that %s (%s)", reason, error);
	if (ring != NULL)
		rg_ring_free(ring);
}

static void
test_reading(void)
{
	RgRing	   *ring = parse("# my ring\n\n1 " KEY_A " retired\r\n2\t" KEY_B "  primary\n7 " KEY_A);

	ok(ring != NULL && ring->nkeys == 3, "comments, blank lines, tabs and CRLF");
	ok(rg_ring_primary(ring)->id == 2, "the primary key");
	ok(rg_ring_find(ring, 1)->state == RG_KEY_RETIRED &&
	   rg_ring_find(ring, 7)->state == RG_KEY_ACTIVE, "the states");
	ok(rg_ring_find(ring, 3) == NULL, "an unknown id is not found");
	rg_ring_free(ring);
}

static void
test_refusals(void)
{
	refuses("", "no key is marked primary");
	refuses("1 " KEY_A, "no key is marked primary");
	refuses("0 " KEY_A " primary", "does not start with a key id");
	refuses("99999999999 " KEY_A " primary", "does not start with a key id");
	refuses("-1 " KEY_A " primary", "does not start with a key id");
	refuses("1 AAAA primary", "no base64 of 32 bytes");
	refuses("1 " KEY_A KEY_A " primary", "no base64 of 32 bytes");
	refuses("1 " KEY_A " main", "ends with something other");
	refuses("1 " KEY_A " primary extra", "ends with something other");
	refuses("1 " KEY_A " retired primary", "ends with something other");
	refuses("1 " KEY_A " active", "ends with something other");
	refuses("1 " KEY_A " primary\n1 " KEY_B, "repeats a key id");
	refuses("1 " KEY_A " primary\n2 " KEY_B " primary", "second primary");
}

static void
reads_created(const char *created, bool good)
{
	char		text[128];
	RgRing	   *ring;

	snprintf(text, sizeof text, "1 " KEY_A " primary %s\n", created);
	ring = parse(text);
	ok((ring != NULL) == good && (!good || strcmp(ring->keys[0].created, created) == 0),
	   "%s is %s time of creation", created, good ? "a" : "no");
	rg_ring_free(ring);
}

static void
test_created(void)
{
	static const char *const good[] = {
		"2026-02-28T23:59:59Z", "2024-02-29T00:00:00Z", "2000-02-29T00:00:00Z", "9999-12-31T23:59:59Z"
	};
	static const char *const bad[] = {
		"2026-02-29T00:00:00Z", "1900-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z",
		"2026-04-31T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T23:60:00Z", "2026-06-30T23:59:60Z",
		"2026-01-01t00:00:00Z", "2026-01-01T00:00:00z", "2026-01-01T00:00:00+00:00", "2026-01-01",
		"2026-01-01T00:00:00.5Z", "0000-01-01T00:00:00Z", "2026-1-01T000:00:00Z", "20260101T00000000:00Z"
	};
	RgRing	   *ring = parse("1 " KEY_A " 2026-01-01T00:00:00Z\n2 " KEY_B " primary\n");

	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
		reads_created(good[i], true);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		reads_created(bad[i], false);
	ok(ring != NULL && ring->keys[0].state == RG_KEY_ACTIVE && ring->keys[1].created[0] == '\0',
	   "an active key has a time without a state, a line of before has none");
	rg_ring_free(ring);
	refuses("1 " KEY_A " 2026-01-01T00:00:00Z primary", "ends with something other");
}

#define RING "# mine\n\n 7\t" KEY_A "  primary\t2026-01-01T00:00:00Z \r\n2 " KEY_B "  # \n"
#define COMMENTED "# mine\r\n\n7 " KEY_A "\tprimary  2026-01-01T00:00:00Z\r\n #2\n2  " KEY_B " retired\n\n3 " KEY_B

/* What the edit makes of it, as a string of 4 kB; NULL and the error. */
static const char *
edited(bool done, RgRingText *out)
{
	static char text[4096];

	if (!done)
		return NULL;
	snprintf(text, sizeof text, "%.*s", (int) out->len, out->data);
	rg_ring_text_free(out);
	return text;
}

static char error[128];

static const char *
promote(const char *text, uint32_t id, bool retired)
{
	RgRingText	out;

	return edited(rg_ring_text_promote(rg_slice_of(text), id, retired, &out, error, sizeof error), &out);
}

static const char *
retire(const char *text, uint32_t id)
{
	RgRingText	out;

	return edited(rg_ring_text_retire(rg_slice_of(text), id, &out, error, sizeof error), &out);
}

static const char *
add(const char *text, bool active, uint32_t *id)
{
	RgRingText	out;

	return edited(rg_ring_text_add(rg_slice_of(text), active, id, &out, error, sizeof error), &out);
}

static void
becomes(const char *text, const char *expected, const char *name)
{
	ok(text != NULL && strcmp(text, expected) == 0, "%s", name);
}

static void
refused(const char *text, const char *reason)
{
	ok(text == NULL && strcmp(error, reason) == 0, "refuses an edit: %s", error);
}

static void
test_promote(void)
{
	becomes(promote(COMMENTED, 3, false),
			"# mine\r\n\n7 " KEY_A "  2026-01-01T00:00:00Z\r\n #2\n2  " KEY_B " retired\n\n3 " KEY_B " primary",
			"promote changes two words and leaves all else");
	becomes(promote(COMMENTED, 7, false), COMMENTED, "promoting the primary key changes nothing");
	becomes(promote(COMMENTED, 2, true),
			"# mine\r\n\n7 " KEY_A "  2026-01-01T00:00:00Z\r\n #2\n2  " KEY_B " primary\n\n3 " KEY_B,
			"a retired key is promoted when that is meant");
	refused(promote(COMMENTED, 2, false), "key 2 is retired; --retired promotes it all the same");
	refused(promote(COMMENTED, 4, true), "key 4 is not in the ring");
	refused(promote(RING, 2, false), "line 4 ends with something other than primary or retired, "
			"and a time such as 2026-02-28T23:59:59Z");
	refused(promote("1 " KEY_A, 1, false), "no key is marked primary");
}

static void
test_retire(void)
{
	becomes(retire(COMMENTED, 3),
			"# mine\r\n\n7 " KEY_A "\tprimary  2026-01-01T00:00:00Z\r\n #2\n2  " KEY_B " retired\n\n3 " KEY_B " retired",
			"retire adds a word and leaves all else");
	becomes(retire(COMMENTED, 2), COMMENTED, "retiring a retired key changes nothing");
	refused(retire(COMMENTED, 7), "key 7 is the primary key; promote another one first");
	refused(retire(COMMENTED, 1), "key 1 is not in the ring");
	refused(retire("", 1), "no key is marked primary");
}

static void
test_add(void)
{
	uint32_t	id = 0;
	const char *text = add(COMMENTED, true, &id);
	RgRing	   *ring = text ? parse(text) : NULL;

	ok(id == 8 && ring != NULL && strncmp(text, COMMENTED "\n8 ", strlen(COMMENTED) + 3) == 0 &&
	   ring->nkeys == 4 && rg_ring_primary(ring)->id == 7 && rg_ring_find(ring, 8)->state == RG_KEY_ACTIVE &&
	   ring->keys[3].created[0] != '\0', "add appends a key after the highest, only active if so meant");
	rg_ring_free(ring);
	text = add("1 " KEY_A " primary\n", false, &id);
	ring = text ? parse(text) : NULL;
	ok(id == 2 && ring != NULL && strncmp(text, "1 " KEY_A "\n2 ", 49) == 0 &&
	   rg_ring_primary(ring)->id == 2 && ring->keys[0].state == RG_KEY_ACTIVE,
	   "a key that is added takes over");
	ok(ring != NULL && memcmp(ring->keys[0].secret, ring->keys[1].secret, RG_KEY_BYTES) != 0,
	   "and is another one");
	rg_ring_free(ring);
	refused(add("2147483647 " KEY_A " primary\n", false, &id), "the highest id is taken");
	refused(add("gibberish", false, &id), "line 1 does not start with a key id from 1 to 2147483647");
}

/* A ring of count keys */
static const char *
ring_of(int count)
{
	static char text[RG_RING_MAX_KEYS * RG_RING_LINE_SIZE];
	int			len = 0;

	for (int i = 1; i <= count; i++)
		len += snprintf(text + len, sizeof text - len, "%d " KEY_A "%s\n", i, i == 1 ? " primary" : "");
	return text;
}

static void
test_full(void)
{
	RgRingText	out = {NULL, 0};
	uint32_t	id = 0;
	char	   *huge = calloc(1, RG_RING_MAX_TEXT + 1);

	ok(rg_ring_text_add(rg_slice_of(ring_of(63)), false, &id, &out, error, sizeof error) && id == 64,
	   "a ring has room for 64 keys");
	rg_ring_text_free(&out);
	refused(add(ring_of(64), false, &id), "the ring is full: it has 64 keys");
	memset(huge, '\n', RG_RING_MAX_TEXT - 60);
	strcat(huge, "1 " KEY_A " primary");
	refused(add(huge, true, &id), "it would be larger than 64 kB");
	free(huge);
}

static void
test_first(void)
{
	RgRingText	text = {NULL, 0};
	RgRing	   *ring = NULL;
	char		line[RG_RING_LINE_SIZE];

	if (rg_ring_text_first(&text, error, sizeof error))
		ring = rg_ring_parse(rg_slice(text.data, text.len), error, sizeof error);
	ok(ring != NULL && ring->nkeys == 1 && ring->keys[0].id >= 100000 && ring->keys[0].id < 1000000 &&
	   ring->keys[0].state == RG_KEY_PRIMARY && ring->keys[0].created[0] == '2', "a first key");
	ok(ring != NULL && rg_ring_line_write(&ring->keys[0], line) == text.len &&
	   memcmp(line, text.data, text.len) == 0, "what is read and written is the same");
	rg_ring_free(ring);
	rg_ring_text_free(&text);
}

static bool
covers(const char *fresh_text, const char *former_text)
{
	RgRing	   *fresh = parse(fresh_text);
	RgRing	   *former = parse(former_text);
	bool		all = rg_ring_covers(fresh, former, error, sizeof error);

	rg_ring_free(fresh);
	rg_ring_free(former);
	return all;
}

static void
test_covers(void)
{
	ok(covers("3 " KEY_A "\n1 " KEY_A " retired\n2 " KEY_B " primary", "1 " KEY_A "\n2 " KEY_B " primary"),
	   "a ring covers one whose keys it has, in any order and state");
	ok(!covers("2 " KEY_B " primary", "1 " KEY_A "\n2 " KEY_B " primary") &&
	   strcmp(error, "key 1 of the present ring is not in it") == 0, "a key less: %s", error);
	ok(!covers("1 " KEY_B "\n2 " KEY_B " primary", "1 " KEY_A "\n2 " KEY_B " primary") &&
	   strcmp(error, "key 1 of the present ring is another one there") == 0, "another key: %s", error);
}

static void
test_equal(void)
{
	static const char *const others[] = {
		"1 " KEY_A " primary 2026-01-01T00:00:00Z", "1 " KEY_A " primary", "1 " KEY_B " primary", "2 " KEY_A " primary",
		"1 " KEY_A " primary\n2 " KEY_B, "1 " KEY_A " primary\n2 " KEY_B " retired"
	};
	RgRing	   *rings[6];
	int			same = 0;

	for (int i = 0; i < 6; i++)
		rings[i] = parse(others[i]);
	for (int i = 0; i < 6; i++)
		for (int j = 0; j < 6; j++)
			same += rg_ring_equal(rings[i], rings[j]) != (i == j);
	ok(same == 0, "rings are equal in ids, keys, states and times, or are not");
	for (int i = 0; i < 6; i++)
		rg_ring_free(rings[i]);
}

static void
test_subkeys(void)
{
	RgRing	   *ring = parse("1 " KEY_A " primary\n2 " KEY_B);
	uint8_t		subkeys[RG_PURPOSES][RG_KEY_BYTES];
	uint8_t		other[RG_KEY_BYTES];
	int			same = 0;

	for (int i = 0; i < RG_PURPOSES; i++)
		rg_ring_subkey(rg_ring_primary(ring), i, subkeys[i]);
	for (int i = 0; i < RG_PURPOSES; i++)
		for (int j = 0; j < i; j++)
			same += memcmp(subkeys[i], subkeys[j], RG_KEY_BYTES) == 0;
	ok(same == 0, "every purpose has its own subkey");
	rg_ring_subkey(rg_ring_find(ring, 2), RG_FOR_COLUMNS, other);
	ok(memcmp(other, subkeys[RG_FOR_COLUMNS], RG_KEY_BYTES) != 0, "every key has its own subkeys");
	rg_ring_free(ring);
}

int
main(void)
{
	test_reading();
	test_refusals();
	test_created();
	test_promote();
	test_retire();
	test_add();
	test_full();
	test_first();
	test_covers();
	test_equal();
	test_subkeys();
	return done();
}
