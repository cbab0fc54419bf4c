/*
 * csrf_token.h
 *		Tokens that show that whoever writes has read from us before.
 *
 * A token is base64url of session id (16) | nonce (16) | tag (32).  The tag is
 * a BLAKE2b of both under the session's secret, which stands in an HttpOnly
 * cookie and nowhere else: not even who reads the database can make one.  The
 * nonce lets no two tokens look alike, so a compressed answer tells nothing.
 *
 * Pure C: shared by the extension, unit tests and fuzzers.
 */
#ifndef RG_CSRF_TOKEN_H
#define RG_CSRF_TOKEN_H

#include <stdint.h>

#include "base64url.h"

#define RG_SESSION_SECRET_BYTES 32
#define RG_CSRF_TOKEN_BYTES 64
#define RG_CSRF_TOKEN_SIZE RG_BASE64URL_SIZE(RG_CSRF_TOKEN_BYTES)

typedef enum RgCsrfError
{
	RG_CSRF_OK,
	RG_CSRF_MISSING,
	RG_CSRF_MALFORMED,
	RG_CSRF_OTHER_SESSION,
	RG_CSRF_FORGED
} RgCsrfError;

/* Writes a new token and a NUL to out; returns its length. */
extern size_t rg_csrf_token_make(const uint8_t session_id[16],
								 const uint8_t secret[RG_SESSION_SECRET_BYTES],
								 char out[RG_CSRF_TOKEN_SIZE]);

/* Is it one of that session?  Takes the same time wherever the tag differs. */
extern RgCsrfError rg_csrf_token_check(RgSlice token, const uint8_t session_id[16],
									   const uint8_t secret[RG_SESSION_SECRET_BYTES])
			__attribute__((warn_unused_result));

#endif
