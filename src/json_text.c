/*
 * json_text.c
 *		Text that becomes part of a JSON document; json_text.h has the contract.
 */
#include "json_text.h"

#include <stdint.h>

#include "utf8.h"

void
rg_text_put(RgText *text, RgSlice bytes)
{
	if (bytes.len > 0 && text->len < text->cap)
	{
		size_t		room = text->cap - text->len;

		memcpy(text->data + text->len, bytes.data,
			   bytes.len < room ? bytes.len : room);
	}
	text->len += bytes.len;
}

void
rg_text_char(RgText *text, char c)
{
	if (text->len < text->cap)
		text->data[text->len] = c;
	text->len++;
}

void
rg_text_number(RgText *text, long long number)
{
	char		digits[20];
	int			i = sizeof digits;
	unsigned long long rest = number;

	if (number < 0)
	{
		rg_text_char(text, '-');
		rest = 0 - rest;
	}
	do
	{
		digits[--i] = '0' + rest % 10;
		rest /= 10;
	} while (rest > 0);
	rg_text_put(text, rg_slice(digits + i, sizeof digits - i));
}

static bool
is_plain(uint8_t c)
{
	return c >= 0x20 && c != '"' && c != '\\';
}

/* The letter of a two-character escape, or NUL. */
static char
short_escape(uint8_t c)
{
	switch (c)
	{
		case '"':
		case '\\':
			return c;
		case '\b':
			return 'b';
		case '\f':
			return 'f';
		case '\n':
			return 'n';
		case '\r':
			return 'r';
		case '\t':
			return 't';
		default:
			return '\0';
	}
}

size_t
rg_json_escape_char(unsigned char c, char *out)
{
	static const char hex[] = "0123456789abcdef";
	char		letter = short_escape(c);

	out[0] = '\\';
	if (letter != '\0')
	{
		out[1] = letter;
		return 2;
	}
	memcpy(out + 1, "u00", 3);
	out[4] = hex[c >> 4];
	out[5] = hex[c & 15];
	return RG_JSON_ESCAPE;
}

static void
put_escape(RgText *text, uint8_t c)
{
	char		escape[RG_JSON_ESCAPE];

	rg_text_put(text, rg_slice(escape, rg_json_escape_char(c, escape)));
}

/* The length of the run of characters that stand for themselves. */
static size_t
plain_run(RgSlice string, size_t from, bool utf8)
{
	size_t		i = from;

	while (i < string.len && is_plain(string.data[i]) &&
		   (utf8 || (uint8_t) string.data[i] < 0x80))
		i++;
	return i - from;
}

#define EACH_BYTE(c) (UINT64_C(0x0101010101010101) * (uint8_t) (c))

/* Is every byte of the word ASCII that stands for itself?  May say no where they are. */
static bool
is_plain_word(uint64_t word)
{
	uint64_t	quote = word ^ EACH_BYTE('"');
	uint64_t	backslash = word ^ EACH_BYTE('\\');
	uint64_t	hits = word | (word - EACH_BYTE(' ')) | (quote - EACH_BYTE(1)) |
	(backslash - EACH_BYTE(1));

	return (hits & EACH_BYTE(0x80)) == 0;
}

/* Nearly every string is plain ASCII, as is every one of most lines of a log. */
static bool
is_plain_text(RgSlice string)
{
	size_t		i = 0;
	uint64_t	word;

	for (; i + sizeof word <= string.len; i += sizeof word)
	{
		memcpy(&word, string.data + i, sizeof word);
		if (!is_plain_word(word))
			return false;
	}
	for (; i < string.len; i++)
		if (!is_plain(string.data[i]) || (uint8_t) string.data[i] >= 0x80)
			return false;
	return true;
}

static void
put_unusual(RgText *text, RgSlice string)
{
	bool		utf8 = rg_utf8_valid(string);

	for (size_t i = 0; i < string.len; i++)
	{
		size_t		run = plain_run(string, i, utf8);

		rg_text_put(text, rg_slice(string.data + i, run));
		i += run;
		if (i == string.len)
			break;
		if ((uint8_t) string.data[i] >= 0x80)
			rg_text_put(text, RG_SLICE("\\ufffd"));
		else
			put_escape(text, string.data[i]);
	}
}

void
rg_text_escaped(RgText *text, RgSlice string)
{
	if (is_plain_text(string))
		rg_text_put(text, string);
	else
		put_unusual(text, string);
}

void
rg_text_json(RgText *text, RgSlice string)
{
	rg_text_char(text, '"');
	rg_text_escaped(text, string);
	rg_text_char(text, '"');
}

size_t
rg_json_escape(char *out, size_t cap, RgSlice string)
{
	RgText		text = {out, cap, 0};

	rg_text_escaped(&text, string);
	return text.len;
}
