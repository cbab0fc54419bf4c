/*
 * test_aad.c
 *		The encoding of AAD: what it is byte by byte, and that it can be read
 *		back, so that different parts never make the same.
 */
#include <sodium.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "aad.h"
#include "tap.h"

#define MAX_PARTS 6
#define ABSENT rg_slice(NULL, 0)
#define LETTERS "ab"			/* few, so that many lists are much alike */

static bool
encodes_to(const RgSlice *parts, size_t count, const char *hex)
{
	uint8_t		out[128];
	char		text[2 * sizeof out + 1];
	size_t		len = rg_aad_length(parts, count);

	rg_aad_write(parts, count, out);
	return strcmp(sodium_bin2hex(text, sizeof text, out, len), hex) == 0;
}

static void
test_known_answers(void)
{
	RgSlice		place[] = {RG_SLICE("shop.card.number"), RG_SLICE("7"), RG_SLICE("42")};
	RgSlice		odd[] = {{"", 0}, ABSENT, RG_SLICE("\0\xff")};

	ok(encodes_to(NULL, 0, "00000000"), "no part");
	ok(encodes_to(place, 3, "00000003" "00000010" "73686f702e636172642e6e756d626572"
				  "00000001" "37" "00000002" "3432"), "label, user and row");
	ok(encodes_to(odd, 3, "00000003" "00000000" "ffffffff" "00000002" "00ff"),
	   "an empty part, an absent one, and bytes of any value");
}

static bool
take_number(RgSlice *rest, uint32_t *number)
{
	const uint8_t *bytes = (const uint8_t *) rest->data;

	if (rest->len < 4)
		return false;
	*number = (uint32_t) bytes[0] << 24 | bytes[1] << 16 | bytes[2] << 8 | bytes[3];
	rest->data += 4;
	rest->len -= 4;
	return true;
}

static bool
take_part(RgSlice *rest, RgSlice *part)
{
	uint32_t	len;

	if (!take_number(rest, &len))
		return false;
	*part = len == UINT32_MAX ? ABSENT : rg_slice(rest->data, len);
	if (part->len > rest->len)
		return false;
	rest->data += part->len;
	rest->len -= part->len;
	return true;
}

/* The parts that an encoding is of, read by another program than the writer. */
static bool
decode(RgSlice encoded, RgSlice parts[MAX_PARTS], uint32_t *count)
{
	if (!take_number(&encoded, count) || *count > MAX_PARTS)
		return false;
	for (uint32_t i = 0; i < *count; i++)
		if (!take_part(&encoded, &parts[i]))
			return false;
	return encoded.len == 0;
}

static bool
same(const RgSlice *a, const RgSlice *b, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if ((a[i].data == NULL) != (b[i].data == NULL) || !rg_slice_equal(a[i], b[i]))
			return false;
	return true;
}

/* A list of up to MAX_PARTS parts of up to three letters, or absent ones. */
static size_t
make_parts(char text[MAX_PARTS][4], RgSlice parts[MAX_PARTS])
{
	size_t		count = randombytes_uniform(MAX_PARTS + 1);

	for (size_t i = 0; i < count; i++)
	{
		for (int letter = 0; letter < 4; letter++)
			text[i][letter] = LETTERS[randombytes_uniform(2)];
		parts[i] = randombytes_uniform(4) == 0 ? ABSENT
			: rg_slice(text[i], randombytes_uniform(4));
	}
	return count;
}

/* Into a buffer of no more than its length, so that a sanitizer sees an overrun. */
static bool
reads_back(void)
{
	char		text[MAX_PARTS][4];
	RgSlice		parts[MAX_PARTS];
	RgSlice		again[MAX_PARTS];
	size_t		count = make_parts(text, parts);
	size_t		len = rg_aad_length(parts, count);
	uint8_t    *out = malloc(len);
	uint32_t	found;
	bool		equal;

	rg_aad_write(parts, count, out);
	equal = decode(rg_slice((char *) out, len), again, &found) && found == count &&
		same(parts, again, count);
	free(out);
	return equal;
}

/* What can be read back is injective: two lists with one encoding would be read as one. */
static void
test_injective(void)
{
	int			lost = 0;

	for (int i = 0; i < 50000; i++)
		lost += !reads_back();
	ok(lost == 0, "of 50,000 random lists of parts all are read back as they were");
}

/* The parts that were cut differently must not open each other's values. */
static void
test_pain_boundaries(void)
{
	RgSlice		one[] = {RG_SLICE("ab"), RG_SLICE("c")};
	RgSlice		other[] = {RG_SLICE("a"), RG_SLICE("bc")};
	RgSlice		longer[] = {RG_SLICE("ab"), RG_SLICE("c"), ABSENT};
	uint8_t		out[3][64];

	rg_aad_write(one, 2, out[0]);
	rg_aad_write(other, 2, out[1]);
	rg_aad_write(longer, 3, out[2]);
	ok(memcmp(out[0], out[1], rg_aad_length(one, 2)) != 0, "'ab', 'c' is not 'a', 'bc'");
	ok(memcmp(out[0], out[2], rg_aad_length(one, 2)) != 0, "nor the start of 'ab', 'c', NULL");
}

int
main(void)
{
	test_known_answers();
	test_injective();
	test_pain_boundaries();
	return done();
}
