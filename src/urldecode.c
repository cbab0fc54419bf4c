/*
 * urldecode.c
 *		Percent-decoding, once and strictly.
 */
#include "urldecode.h"

#include "utf8.h"

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Reads the two digits of an escape; 0, which is refused, for anything else. */
static int
escaped_byte(const char *digits, size_t len)
{
	int			high = len >= 2 ? hex_digit(digits[0]) : -1;
	int			low = len >= 2 ? hex_digit(digits[1]) : -1;

	return high < 0 || low < 0 ? 0 : high << 4 | low;
}

static bool
is_plain(unsigned char c, RgUrlPart part)
{
	return c != '%' && c != '\0' && c < 0x80 &&
		(c != '+' || part == RG_URL_PATH);
}

bool
rg_url_plain(RgSlice text, RgUrlPart part)
{
	for (size_t i = 0; i < text.len; i++)
		if (!is_plain(text.data[i], part))
			return false;
	return true;
}

bool
rg_url_decode(RgSlice text, RgUrlPart part, char *out, size_t *len)
{
	RgSlice		decoded = {out, 0};
	size_t		n = 0;

	for (size_t i = 0; i < text.len; i++)
	{
		char		c = text.data[i];

		if (c == '+' && part == RG_URL_QUERY)
			c = ' ';
		else if (c == '%')
		{
			c = escaped_byte(text.data + i + 1, text.len - i - 1);
			i += 2;
		}
		if (c == '\0')
			return false;
		out[n++] = c;
	}
	*len = n;
	decoded.len = n;
	return rg_utf8_valid(decoded);
}
