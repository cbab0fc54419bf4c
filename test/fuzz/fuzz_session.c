/*
 * fuzz_session.c
 *		Sessions: what clients send is read one way or not at all, and nothing
 *		but what was made is taken.
 *
 * The input is the values of the headers Cookie, X-CSRF-Token, Origin and
 * Referer, each ended by a NUL.
 */
#include "fuzz.h"

#include <strings.h>

#include "cookie.h"
#include "gateway_flags.h"
#include "response_header.h"
#include "same_site.h"
#include "session_cookie.h"

#define OWN "https://app.example"

static const uint8_t id[16] = {1};
static const uint8_t secret[RG_SESSION_SECRET_BYTES] = {2};

static RgRequest request;

static void
add(const char *name, RgSlice value)
{
	request.headers[request.nheaders].name = rg_slice_of(name);
	request.headers[request.nheaders++].value = value;
}

/* What is read is what would be set. */
static void
check_cookie(void)
{
	uint8_t		read[RG_SESSION_SECRET_BYTES];
	char		line[RG_SESSION_COOKIE_LINE_MAX];
	RgSlice		value;

	if (!rg_session_cookie_sent(&request) ||
		rg_session_cookie_read(&request, read) != RG_SESSION_OK)
		return;
	require(rg_cookie_find(request.headers[0].value, "__Host-relay_sid", &value) == RG_COOKIE_ONCE);
	rg_session_cookie_line(&request, read, 1, line);
	require(memcmp(strchr(line, '=') + 1, value.data, value.len) == 0);
}

/* No input knows the secret. */
static void
check_token(RgSlice token)
{
	require(rg_csrf_token_check(token, id, secret) != RG_CSRF_OK);
}

static void
check_site(RgSlice origin, RgSlice referer)
{
	bool		own = rg_site_of(&request) == RG_SITE_OWN;

	if (origin.data != NULL)
		require(own == (origin.len == strlen(OWN) && strncasecmp(origin.data, OWN, origin.len) == 0));
	else if (own)
		require(referer.len >= strlen(OWN) && strncasecmp(referer.data, OWN, strlen(OWN)) == 0 &&
				(referer.len == strlen(OWN) || strchr("/?#", referer.data[strlen(OWN)]) != NULL));
}

static void
check_header(RgSlice name, RgSlice value)
{
	if (rg_response_header_allowed(name))
		require(memchr(name.data, ':', name.len) == NULL && memchr(name.data, '\r', name.len) == NULL);
	if (rg_response_header_value_valid(value))
		require(memchr(value.data, '\r', value.len) == NULL && memchr(value.data, '\n', value.len) == NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	RgSlice		input = rg_slice((const char *) data, size);
	RgSlice		cookie = take_field(&input);
	RgSlice		token = take_field(&input);
	RgSlice		origin = take_field(&input);
	RgSlice		referer = take_field(&input);

	request.nheaders = 0;
	add("cookie", cookie);
	add(RG_ORIGIN_HEADER, RG_SLICE(OWN));
	if (origin.len > 0)
		add("origin", origin);
	else
		origin.data = NULL;
	add("referer", referer);
	check_cookie();
	check_token(token);
	check_site(origin, referer);
	check_header(cookie, referer);
	return 0;
}
