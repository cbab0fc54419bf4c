/*
 * session_cookie.c
 *		The cookie of a session; session_cookie.h has the contract.
 */
#include "session_cookie.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>

#include "cookie.h"
#include "gateway_flags.h"

#define SECURE_NAME "__Host-relay_sid"
#define PLAIN_NAME "relay_sid"
#define VALUE_LEN 43			/* of 32 bytes */

const char *
rg_session_reason(RgSessionError error)
{
	static const char *const reasons[] = {
		[RG_SESSION_OK] = "ok",
		[RG_SESSION_MALFORMED] = "session_malformed",
		[RG_SESSION_DUPLICATE] = "session_duplicate",
		[RG_SESSION_UNKNOWN] = "session_unknown",
		[RG_SESSION_ENDED] = "session_ended",
		[RG_SESSION_EXPIRED] = "session_expired",
		[RG_SESSION_REVOKED] = "session_revoked",
	};

	return reasons[error];
}

/* Does the client's browser see http, and may it have a session all the same? */
static bool
is_plain(const RgRequest *request)
{
	return rg_gateway_flag(request, RG_SLICE(RG_FLAG_PLAIN_COOKIES));
}

static RgCookieFound
find(const RgRequest *request, RgSlice *value)
{
	return rg_cookie_find(rg_request_header(request, "cookie"),
						  is_plain(request) ? PLAIN_NAME : SECURE_NAME, value);
}

bool
rg_session_cookie_sent(const RgRequest *request)
{
	RgSlice		value;

	return find(request, &value) != RG_COOKIE_ABSENT;
}

RgSessionError
rg_session_cookie_read(const RgRequest *request, uint8_t secret[RG_SESSION_SECRET_BYTES])
{
	RgSlice		value = {NULL, 0};
	size_t		len;

	if (find(request, &value) == RG_COOKIE_TWICE)
		return RG_SESSION_DUPLICATE;
	if (value.len != VALUE_LEN ||
		!rg_base64url_decode(value, secret, RG_SESSION_SECRET_BYTES, &len) ||
		len != RG_SESSION_SECRET_BYTES)
		return RG_SESSION_MALFORMED;
	return RG_SESSION_OK;
}

/* Browsers take None with Secure alone. */
static const char *
same_site(const RgRequest *request)
{
	if (rg_gateway_flag(request, RG_SLICE(RG_FLAG_SAMESITE_STRICT)))
		return "Strict";
	if (rg_gateway_flag(request, RG_SLICE(RG_FLAG_SAMESITE_NONE)) && !is_plain(request))
		return "None";
	return "Lax";
}

void
rg_session_cookie_line(const RgRequest *request, const uint8_t *secret, int64_t seconds,
					   char line[RG_SESSION_COOKIE_LINE_MAX])
{
	char		value[RG_BASE64URL_SIZE(RG_SESSION_SECRET_BYTES)] = "";
	bool		plain = is_plain(request);

	if (secret != NULL)
		value[rg_base64url_encode(rg_slice((const char *) secret, RG_SESSION_SECRET_BYTES), value)] = '\0';
	snprintf(line, RG_SESSION_COOKIE_LINE_MAX,
			 "Set-Cookie: %s=%s; Path=/; %sHttpOnly; SameSite=%s; Max-Age=%" PRId64,
			 plain ? PLAIN_NAME : SECURE_NAME, value, plain ? "" : "Secure; ",
			 same_site(request), secret != NULL ? seconds : 0);
	sodium_memzero(value, sizeof value);
}
