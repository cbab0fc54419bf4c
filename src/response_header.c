/*
 * response_header.c
 *		Which header lines a route's statement may add; response_header.h has
 *		the contract.
 */
#include "response_header.h"

#include <strings.h>

#define MAX_NAME 64

static const char *const allowed[] = {
	"content-disposition", "content-language", "deprecation", "last-modified",
	"link", "location", "retry-after", "sunset"
};

/* Beginnings of names that somebody gives a meaning to: we, browsers, proxies. */
static const char *const taken[] = {
	"x-relay-", "x-ratelimit-", "x-request-id", "x-should-retry", "x-frame-options",
	"x-content-", "x-xss-", "x-permitted-", "x-download-options", "x-dns-prefetch-",
	"x-robots-tag", "x-ua-compatible", "x-webkit-", "x-forwarded-", "x-real-ip",
	"x-accel-", "x-sendfile", "x-lighttpd-", "x-reproxy-", "x-cache", "x-powered-by",
	"x-http-method", "x-original-", "x-rewrite-"
};

static bool
starts(RgSlice name, const char *prefix)
{
	size_t		len = strlen(prefix);

	return name.len >= len && strncasecmp(name.data, prefix, len) == 0;
}

static bool
is_token(RgSlice name)
{
	for (size_t i = 0; i < name.len; i++)
		if (!((name.data[i] | 0x20) >= 'a' && (name.data[i] | 0x20) <= 'z') &&
			!(name.data[i] >= '0' && name.data[i] <= '9') && name.data[i] != '-')
			return false;
	return name.len > 0 && name.len <= MAX_NAME;
}

bool
rg_response_header_allowed(RgSlice name)
{
	if (!is_token(name))
		return false;
	for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++)
		if (name.len == strlen(allowed[i]) && starts(name, allowed[i]))
			return true;
	for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
		if (starts(name, taken[i]))
			return false;
	return name.len > 2 && starts(name, "x-");
}

bool
rg_response_header_value_valid(RgSlice value)
{
	for (size_t i = 0; i < value.len; i++)
		if ((unsigned char) value.data[i] < ' ' || (unsigned char) value.data[i] > '~')
			return false;
	return value.len > 0 && value.data[0] != ' ' && value.data[value.len - 1] != ' ';
}
