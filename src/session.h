/*
 * session.h
 *		Sessions of browsers: rows of relay_guard.session, found by a cookie.
 *
 * The cookie holds a session's secret, the table a BLAKE2b of it, so whoever
 * reads the table cannot act as anybody.  256 random bits need no pepper, and
 * the time of an index search for their hash tells nothing.
 */
#ifndef RG_SESSION_H
#define RG_SESSION_H

#include "context.h"
#include "serving.h"

#define RG_SESSION_HASH_BYTES 32

/* Registers the table; called from _PG_init. */
extern void rg_session_init(void);

/* What the table has in place of the secret. */
extern void rg_session_hash(const uint8 secret[RG_SESSION_SECRET_BYTES],
							uint8 hash[RG_SESSION_HASH_BYTES]);

/*
 * Finds the session that the cookie of the request being served names, in one
 * index search.  On RG_SESSION_OK it becomes the serving's, and identity is
 * whose it is (request id and address left out), in the current context.
 * subject is the user id of a session that is not good any more, else absent:
 * it authenticates nobody.
 */
extern RgSessionError rg_session_identify(RgServing *serving, RgIdentity *identity,
										  RgSlice *subject)
			__attribute__((warn_unused_result));

/*
 * Puts off the end of the serving's session by idleness, unless that was done a
 * short while ago: then a request writes nothing.
 */
extern void rg_session_touch(const RgServing *serving);

#endif
