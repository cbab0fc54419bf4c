/*
 * api_key.h
 *		API keys: random strings that stand for a row of relay_guard.api_key.
 *
 * The table holds a keyed hash (BLAKE2b-256) of each; the hash's own key, the
 * pepper, is sealed under the key ring.  So neither a dump nor a reader of the
 * table can test a guess, and the time of an index search tells nothing.
 */
#ifndef RG_API_KEY_H
#define RG_API_KEY_H

#include "context.h"

#define RG_API_KEY_USER_PREFIX "key:"	/* user_id() of a key is this and its
										 * id */

typedef enum RgApiKeyError
{
	RG_API_KEY_OK,
	RG_API_KEY_UNKNOWN,
	RG_API_KEY_EXPIRED,
	RG_API_KEY_REVOKED
} RgApiKeyError;

/* Registers the tables; called from _PG_init. */
extern void rg_api_key_init(void);

/*
 * Looks a key up.  On RG_API_KEY_OK identity is who it stands for (request id
 * and address left out) and rates are the rate policies that bind this key
 * besides the route's; all in the current context.  subject is the user id of
 * a key that is known but expired or revoked, else absent: it authenticates
 * nobody.
 */
extern RgApiKeyError rg_api_key_verify(RgSlice key, RgIdentity *identity, RgSlice *subject,
									   char ***rates, int *nrates)
			__attribute__((warn_unused_result));

/* A stable word for the error. */
extern const char *rg_api_key_reason(RgApiKeyError error);

#endif
