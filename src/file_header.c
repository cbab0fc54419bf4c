/*
 * file_header.c
 *		What an answer that is a file says of it; file_header.h has the contract.
 */
#include "file_header.h"

#include <strings.h>

#include "utf8.h"

static const char *const inert[] = {
	"text/plain", "text/csv", "application/json", "image/png", "image/jpeg", "image/gif",
	"image/webp", "image/avif"
};

static bool
is_alphanumeric(char c)
{
	return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
}

static bool
is_one_of(char c, const char *chars)
{
	return c != '\0' && strchr(chars, c) != NULL;
}

/*
 * Types
 */

static bool
take_char(RgSlice *rest, char c)
{
	if (rest->len == 0 || *rest->data != c)
		return false;
	rest->data++;
	rest->len--;
	return true;
}

static bool
take_token(RgSlice *rest)
{
	size_t		len = 0;

	while (len < rest->len && (is_alphanumeric(rest->data[len]) || is_one_of(rest->data[len], "!#$%&'*+-.^_`|~")))
		len++;
	rest->data += len;
	rest->len -= len;
	return len > 0;
}

/* A quoted string of printable ASCII, without escapes. */
static bool
take_quoted(RgSlice *rest)
{
	if (!take_char(rest, '"'))
		return false;
	while (rest->len > 0 && *rest->data >= ' ' && *rest->data <= '~' && !is_one_of(*rest->data, "\"\\"))
		rest->data++, rest->len--;
	return take_char(rest, '"');
}

static bool
take_parameter(RgSlice *rest)
{
	while (take_char(rest, ' '))
		;
	if (!take_char(rest, ';'))
		return false;
	while (take_char(rest, ' '))
		;
	return take_token(rest) && take_char(rest, '=') && (take_token(rest) || take_quoted(rest));
}

bool
rg_file_type_valid(RgSlice type)
{
	if (type.len > RG_FILE_TYPE_MAX || !take_token(&type) || !take_char(&type, '/') || !take_token(&type))
		return false;
	while (type.len > 0)
		if (!take_parameter(&type))
			return false;
	return true;
}

static bool
is_of_kind(RgSlice type, const char *kind)
{
	return type.len > strlen(kind) && strncasecmp(type.data, kind, strlen(kind)) == 0;
}

static bool
is_type(RgSlice type, const char *name)
{
	return type.len == strlen(name) && strncasecmp(type.data, name, type.len) == 0;
}

bool
rg_file_type_inert(RgSlice type)
{
	size_t		len = 0;

	while (len < type.len && !is_one_of(type.data[len], "; "))
		len++;
	type.len = len;
	for (size_t i = 0; i < sizeof inert / sizeof inert[0]; i++)
		if (is_type(type, inert[i]))
			return true;
	return is_of_kind(type, "audio/") || is_of_kind(type, "video/");
}

/*
 * Names
 */

/* U+0080 to U+009F, U+200E and F, U+202A to U+202E, U+2066 to U+2069 */
static bool
is_invisible(const unsigned char *c, size_t len)
{
	if (len == 2)
		return c[0] == 0xc2 && c[1] < 0xa0;
	if (len != 3 || c[0] != 0xe2)
		return false;
	return (c[1] == 0x80 && (c[2] == 0x8e || c[2] == 0x8f || (c[2] >= 0xaa && c[2] <= 0xae))) ||
		(c[1] == 0x81 && c[2] >= 0xa6 && c[2] <= 0xa9);
}

static bool
is_unfit(RgSlice c)
{
	if (c.len > 1)
		return is_invisible((const unsigned char *) c.data, c.len);
	return (unsigned char) *c.data < ' ' || *c.data == 0x7f || is_one_of(*c.data, "/\\");
}

/* Can it stand between quotes, and mean itself to every browser? */
static bool
is_plain(RgSlice c)
{
	return c.len == 1 && !is_unfit(c) && !is_one_of(*c.data, "\"%");
}

static void
put_percent(RgText *text, unsigned char c)
{
	static const char hex[] = "0123456789ABCDEF";

	rg_text_char(text, '%');
	rg_text_char(text, hex[c >> 4]);
	rg_text_char(text, hex[c & 15]);
}

/* As in filename*=UTF-8''… */
static void
put_extended(RgText *text, RgSlice c)
{
	if (is_unfit(c))
		rg_text_char(text, '_');
	else if (c.len == 1 && (is_alphanumeric(*c.data) || is_one_of(*c.data, "!#$&+-.^_`|~")))
		rg_text_char(text, *c.data);
	else
		for (size_t i = 0; i < c.len; i++)
			put_percent(text, c.data[i]);
}

static void
put_name(RgText *text, RgSlice name, bool extended)
{
	while (name.len > 0)
	{
		RgSlice		c = {name.data, rg_utf8_first(name)};

		if (extended)
			put_extended(text, c);
		else
			rg_text_char(text, is_plain(c) ? *c.data : '_');
		name = rg_slice(name.data + c.len, name.len - c.len);
	}
}

static bool
is_all_plain(RgSlice name)
{
	for (size_t i = 0; i < name.len; i++)
		if ((unsigned char) name.data[i] >= 0x80 || !is_plain(rg_slice(name.data + i, 1)))
			return false;
	return true;
}

void
rg_file_disposition_put(RgText *text, bool inert_type, RgSlice name)
{
	if (name.len > RG_FILE_NAME_MAX)
		name.len = rg_utf8_trim(name.data, RG_FILE_NAME_MAX);
	if (inert_type && name.len == 0)
		return;
	rg_text_put(text, RG_SLICE("Content-Disposition: "));
	rg_text_put(text, inert_type ? RG_SLICE("inline") : RG_SLICE("attachment"));
	if (name.len > 0)
	{
		rg_text_put(text, RG_SLICE("; filename=\""));
		put_name(text, name, false);
		rg_text_char(text, '"');
	}
	if (!is_all_plain(name))
	{
		rg_text_put(text, RG_SLICE("; filename*=UTF-8''"));
		put_name(text, name, true);
	}
	rg_text_put(text, RG_SLICE("\r\n"));
}
