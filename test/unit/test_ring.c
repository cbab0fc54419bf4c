/*
 * test_ring.c
 *		The key ring file: what is a ring, what is not, and its subkeys.
 */
#include <stdint.h>
#include <string.h>

#include "ring.h"
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
	refuses("1 " KEY_A " primary\n1 " KEY_B, "repeats a key id");
	refuses("1 " KEY_A " primary\n2 " KEY_B " primary", "second primary");
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
	test_subkeys();
	return done();
}
