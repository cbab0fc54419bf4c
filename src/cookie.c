/*
 * cookie.c
 *		Cookies of a request; cookie.h has the contract.
 */
#include "cookie.h"

static RgSlice
trim(RgSlice text)
{
	while (text.len > 0 && (*text.data == ' ' || *text.data == '\t'))
		text.data++, text.len--;
	while (text.len > 0 && (text.data[text.len - 1] == ' ' || text.data[text.len - 1] == '\t'))
		text.len--;
	return text;
}

/* The next of the pairs that semicolons part; false after the last. */
static bool
next_pair(RgSlice *rest, RgSlice *pair)
{
	const char *semicolon;

	if (rest->len == 0)
		return false;
	semicolon = memchr(rest->data, ';', rest->len);
	*pair = rg_slice(rest->data, semicolon ? (size_t) (semicolon - rest->data) : rest->len);
	*rest = rg_slice(rest->data + pair->len, rest->len - pair->len);
	if (rest->len > 0)
		rest->data++, rest->len--;
	*pair = trim(*pair);
	return true;
}

RgCookieFound
rg_cookie_find(RgSlice header, const char *name, RgSlice *value)
{
	RgCookieFound found = RG_COOKIE_ABSENT;
	RgSlice		pair;

	while (next_pair(&header, &pair))
	{
		const char *equals = pair.len ? memchr(pair.data, '=', pair.len) : NULL;

		if (equals == NULL || !rg_slice_is(rg_slice(pair.data, equals - pair.data), name))
			continue;
		if (found == RG_COOKIE_ONCE)
			return RG_COOKIE_TWICE;
		found = RG_COOKIE_ONCE;
		*value = rg_slice(equals + 1, pair.data + pair.len - equals - 1);
	}
	return found;
}
