/*
 * session_cookie.h
 *		The cookie of a session: its name, and reading and setting it.
 *
 * Over https it is __Host-relay_sid, which browsers take from this host alone
 * and for the whole host (RFC 6265bis, 4.1.3.2), so nobody beside us can plant
 * one; where the gateway allows http, in development, relay_sid.  Only the one
 * of the two that fits counts.  Its value is base64url of 32 random bytes.
 *
 * Pure C: shared by the extension, unit tests and fuzzers.
 */
#ifndef RG_SESSION_COOKIE_H
#define RG_SESSION_COOKIE_H

#include <stdint.h>

#include "csrf_token.h"
#include "frame.h"

#define RG_SESSION_COOKIE_LINE_MAX 256

/* Why a cookie, or the session that it names, is refused. */
typedef enum RgSessionError
{
	RG_SESSION_OK,
	RG_SESSION_MALFORMED,
	RG_SESSION_DUPLICATE,		/* two cookies of the name */
	RG_SESSION_UNKNOWN,
	RG_SESSION_ENDED,
	RG_SESSION_EXPIRED,
	RG_SESSION_REVOKED
} RgSessionError;

/* A stable word for the error. */
extern const char *rg_session_reason(RgSessionError error);

/* Whether the request has such a cookie, good or not. */
extern bool rg_session_cookie_sent(const RgRequest *request);

/* Reads the secret of the cookie, which the request has. */
extern RgSessionError rg_session_cookie_read(const RgRequest *request,
											 uint8_t secret[RG_SESSION_SECRET_BYTES])
			__attribute__((warn_unused_result));

/*
 * Writes the header line, without CRLF, that sets the cookie for so many
 * seconds; secret NULL: that removes it.
 */
extern void rg_session_cookie_line(const RgRequest *request, const uint8_t *secret,
								   int64_t seconds, char line[RG_SESSION_COOKIE_LINE_MAX]);

#endif
