/*
 * keys_fetch.h
 *		Fetches the key set of an identity provider (RFC 7517, 5).
 */
#ifndef RG_KEYS_FETCH_H
#define RG_KEYS_FETCH_H

#include <stdbool.h>
#include <stdint.h>

#include "jwk.h"

#define RG_KEYS_REASON_SIZE 512

/* An answer; all strings end with NUL. */
typedef struct RgKeysAnswer
{
	bool		unchanged;		/* 304: what has that ETag is still good */
	char		etag[256];		/* empty when there is none to repeat */
	int64_t		max_age;		/* seconds; -1 when it does not say */
	size_t		len;
	char		body[RG_JWKS_MAX_BYTES + 1];
	char		reason[RG_KEYS_REASON_SIZE];	/* why there is no answer */
} RgKeysAnswer;

/*
 * Is this a URL to trust keys from?  https, and no user or password in it; http
 * also to a loopback address, and to any when plain says so.
 */
extern bool rg_keys_url_allowed(const char *url, bool plain);

/*
 * Fetches; blocks for 10 seconds at most.  An ETag that is not empty is sent
 * along.  Whatever is not a whole answer of at most RG_JWKS_MAX_BYTES with
 * status 200 or 304 is a failure: false, with the reason, which holds nothing
 * of what was received.
 */
extern bool rg_keys_fetch(const char *url, const char *etag, RgKeysAnswer *answer)
			__attribute__((warn_unused_result));

#endif
