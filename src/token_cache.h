/*
 * token_cache.h
 *		Tokens whose signature this backend has verified.
 *
 * Only that is remembered: times are checked at every use, revocations whenever
 * there is a new one, and a change of any issuer, key or of the key ring makes
 * all entries worthless.
 */
#ifndef RG_TOKEN_CACHE_H
#define RG_TOKEN_CACHE_H

#include "context.h"

/* What a verified token says. */
typedef struct RgVerified
{
	uint64		generation;		/* of issuers and keys, when verified */
	int64		exp;			/* seconds since 1970; 0 when absent */
	int64		nbf;
	int64		iat;
	int64		leeway;
	uint64		revocations;	/* changes of that table, when last asked */
	RgSlice		jti;			/* with the issuer's prefix, as revoke() has
								 * it; without data when absent */
	RgIdentity	identity;		/* without request id and address */
} RgVerified;

/* The entry of a token, or NULL.  Good until the next rg_token_cache_put(). */
extern RgVerified *rg_token_cache_get(RgSlice token, uint64 generation);

/* Keeps a copy of verified, strings included, and returns it. */
extern RgVerified *rg_token_cache_put(RgSlice token, const RgVerified *verified);

#endif
