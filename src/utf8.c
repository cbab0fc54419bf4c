/*
 * utf8.c
 *		Checking, counting and cutting UTF-8.
 */
#include "utf8.h"

#include <stdint.h>

#define HIGH_BITS UINT64_C(0x8080808080808080)

/* The length of the run of ASCII at the start. */
static size_t
ascii_run(const unsigned char *text, size_t len)
{
	size_t		i = 0;
	uint64_t	word;

	for (; i + sizeof word <= len; i += sizeof word)
	{
		memcpy(&word, text + i, sizeof word);
		if (word & HIGH_BITS)
			break;
	}
	while (i < len && text[i] < 0x80)
		i++;
	return i;
}

/* The bytes of a character by its first byte; 0 for a byte that starts none. */
static size_t
sequence_length(unsigned char first)
{
	if (first < 0x80)
		return 1;
	if (first < 0xC2)
		return 0;
	if (first < 0xE0)
		return 2;
	if (first < 0xF0)
		return 3;
	return first < 0xF5 ? 4 : 0;
}

static bool
is_continuation(unsigned char byte)
{
	return (byte & 0xC0) == 0x80;
}

/*
 * The second byte is where overlong forms, surrogates and what lies beyond
 * U+10FFFF show (RFC 3629, section 4).
 */
static bool
second_fits(unsigned char first, unsigned char second)
{
	switch (first)
	{
		case 0xE0:
			return second >= 0xA0;
		case 0xED:
			return second < 0xA0;
		case 0xF0:
			return second >= 0x90;
		case 0xF4:
			return second < 0x90;
		default:
			return true;
	}
}

/* The length of the valid character at the start; 0 when there is none. */
static size_t
valid_sequence(const unsigned char *text, size_t len)
{
	size_t		want = sequence_length(text[0]);

	if (want == 0 || want > len)
		return 0;
	for (size_t i = 1; i < want; i++)
		if (!is_continuation(text[i]))
			return 0;
	return want > 1 && !second_fits(text[0], text[1]) ? 0 : want;
}

bool
rg_utf8_valid(RgSlice text)
{
	const unsigned char *bytes = (const unsigned char *) text.data;
	size_t		i = 0;

	while (i < text.len)
	{
		size_t		step = ascii_run(bytes + i, text.len - i);

		if (step == 0)
			step = valid_sequence(bytes + i, text.len - i);
		if (step == 0)
			return false;
		i += step;
	}
	return true;
}

size_t
rg_utf8_length(RgSlice text)
{
	size_t		count = 0;

	for (size_t i = 0; i < text.len; i++)
		count += !is_continuation(text.data[i]);
	return count;
}

size_t
rg_utf8_first(RgSlice text)
{
	size_t		len = 1;

	while (len < text.len && is_continuation(text.data[len]))
		len++;
	return len;
}

size_t
rg_utf8_trim(const char *text, size_t len)
{
	size_t		start = len;

	while (start > 0 && len - start < 3 && is_continuation(text[start - 1]))
		start--;
	if (start == 0)
		return len;
	start--;
	return sequence_length(text[start]) > len - start ? start : len;
}
