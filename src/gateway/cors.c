/*
 * cors.c
 *		Origins that may read answers; cors.h has the contract.
 */
#include "cors.h"

#define MAX_ORIGIN 300

/* What pages may read beside the headers that the standard lets them. */
static const char exposed[] =
"Access-Control-Expose-Headers: RateLimit, RateLimit-Policy, Retry-After, "
"X-Request-ID, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, "
"X-RateLimit-Limit-Requests, X-RateLimit-Remaining-Requests, "
"X-RateLimit-Reset-Requests, X-RateLimit-Limit-Tokens, "
"X-RateLimit-Remaining-Tokens, X-RateLimit-Reset-Tokens, X-Should-Retry, "
"X-Completion-ID, Idempotent-Replayed, ETag, Location, Accept-Ranges, "
"Content-Disposition, Content-Range, WWW-Authenticate\r\n";

static const char preflight[] =
"Access-Control-Allow-Methods: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n"
"Access-Control-Allow-Headers: Accept, Accept-Language, Authorization, Cache-Control, "
"Content-Language, Content-Type, Idempotency-Key, If-None-Match, If-Range, Last-Event-ID, "
"Range, X-API-Key, X-CSRF-Token, X-Request-ID, X-Requested-With, traceparent, tracestate";

static bool
is_separator(char c)
{
	return c == ',' || c == ' ' || c == '\t';
}

static bool
is_lower(char c)
{
	return c >= 'a' && c <= 'z';
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static size_t
scheme_length(RgSlice origin)
{
	size_t		len = 0;

	while (len < origin.len && (is_lower(origin.data[len]) || is_digit(origin.data[len]) ||
								memchr("+-.", origin.data[len], 3) != NULL))
		len++;
	return len > 0 && is_lower(origin.data[0]) ? len : 0;
}

static bool
is_host_char(char c)
{
	return is_lower(c) || is_digit(c) || c == '-' || c == '.' || c == '_';
}

static bool
is_address_char(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'f') || c == ':';
}

/* Of a name or a bracketed address; 0 when it is neither. */
static size_t
host_length(RgSlice text)
{
	size_t		len = 0;

	if (text.len > 0 && text.data[0] == '[')
	{
		for (len = 1; len < text.len && is_address_char(text.data[len]);)
			len++;
		return len > 1 && len < text.len && text.data[len] == ']' ? len + 1 : 0;
	}
	while (len < text.len && is_host_char(text.data[len]))
		len++;
	return len;
}

/* 1 to 65535, without leading zeros; 0 for anything else. */
static int
read_port(RgSlice text)
{
	int			port = 0;

	if (text.len < 1 || text.len > 5 || text.data[0] == '0')
		return 0;
	for (size_t i = 0; i < text.len; i++)
	{
		if (!is_digit(text.data[i]))
			return 0;
		port = port * 10 + (text.data[i] - '0');
	}
	return port <= 65535 ? port : 0;
}

static const char *
check_port(RgSlice scheme, RgSlice text)
{
	int			port;

	if (text.len == 0)
		return NULL;
	if (text.data[0] == '/')
		return "an origin has no path, and no slash at its end";
	port = text.data[0] == ':' ? read_port(rg_slice(text.data + 1, text.len - 1)) : 0;
	if (port == 0)
		return "an origin is scheme://host or scheme://host:port, in lower case";
	if ((port == 80 && rg_slice_is(scheme, "http")) ||
		(port == 443 && rg_slice_is(scheme, "https")))
		return "browsers leave out the port that the scheme has anyway";
	return NULL;
}

/* Why no browser sends that; NULL when one may. */
static const char *
check_origin(RgSlice origin)
{
	size_t		scheme = scheme_length(origin);
	RgSlice		rest;
	size_t		host;

	if (rg_slice_is(origin, "null"))
		return "null is the origin of every sandboxed page";
	if (origin.len > MAX_ORIGIN)
		return "an origin is not so long";
	if (scheme == 0 || origin.len < scheme + 3 || memcmp(origin.data + scheme, "://", 3) != 0)
		return "an origin is scheme://host or scheme://host:port, in lower case";
	rest = rg_slice(origin.data + scheme + 3, origin.len - scheme - 3);
	host = host_length(rest);
	if (host == 0)
		return "an origin is scheme://host or scheme://host:port, in lower case";
	return check_port(rg_slice(origin.data, scheme),
					  rg_slice(rest.data + host, rest.len - host));
}

static RgSlice
take_entry(RgSlice *list)
{
	RgSlice		entry;

	while (list->len > 0 && is_separator(*list->data))
		list->data++, list->len--;
	entry = rg_slice(list->data, 0);
	while (list->len > 0 && !is_separator(*list->data))
		list->data++, list->len--, entry.len++;
	return entry;
}

static const char *
add_entry(RgCors *cors, RgSlice entry)
{
	bool		wildcard = rg_slice_is(entry, "*");
	const char *why = wildcard ? NULL : check_origin(entry);

	if (why == NULL && cors->count == RG_CORS_MAX_ORIGINS)
		why = "there are more origins than 32";
	if (why != NULL)
		return why;
	cors->origins[cors->count++] = entry;
	if (wildcard)
		cors->wildcard = cors->count;
	return NULL;
}

bool
rg_cors_parse(RgSlice list, RgCors *cors, RgSlice *bad, const char **why)
{
	RgSlice		entry;

	memset(cors, 0, sizeof *cors);
	while ((entry = take_entry(&list)).len > 0)
	{
		*bad = entry;
		*why = add_entry(cors, entry);
		if (*why != NULL)
			return false;
	}
	return true;
}

int
rg_cors_find(const RgCors *cors, RgSlice origin)
{
	if (origin.len == 0)
		return 0;
	for (int i = 0; i < cors->count; i++)
		if (i + 1 != cors->wildcard && rg_slice_equal(cors->origins[i], origin))
			return i + 1;
	return rg_slice_is(origin, "null") ? 0 : cors->wildcard;
}

void
rg_cors_put(RgText *text, const RgCors *cors, int number)
{
	rg_text_put(text, RG_SLICE("Access-Control-Allow-Origin: "));
	rg_text_put(text, cors->origins[number - 1]);
	if (rg_cors_named(cors, number))
		rg_text_put(text, RG_SLICE("\r\nAccess-Control-Allow-Credentials: true"));
	rg_text_put(text, RG_SLICE("\r\n"));
	rg_text_put(text, RG_SLICE(exposed));
}

void
rg_cors_put_preflight(RgText *text, RgSlice names)
{
	rg_text_put(text, RG_SLICE(preflight));
	if (names.len > 0)
		rg_text_put(text, RG_SLICE(", "));
	rg_text_put(text, names);
	rg_text_put(text, RG_SLICE("\r\nAccess-Control-Max-Age: "));
	rg_text_number(text, RG_CORS_MAX_AGE);
	rg_text_put(text, RG_SLICE("\r\nVary: Access-Control-Request-Method, "
							   "Access-Control-Request-Headers\r\n"));
}
