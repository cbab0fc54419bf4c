/*
 * jwk.h
 *		Public keys of issuers as JSON Web Keys (RFC 7517, RFC 7518, RFC 8037).
 *
 * Read are RSA, EC P-256 and OKP Ed25519 for RS256, ES256 and EdDSA.  A key
 * that is for something else is ignored; one that says it is for signatures
 * and cannot be trusted with them is refused, with a reason.
 *
 * Pure C: shared by the extension, unit tests and fuzzers.
 */
#ifndef RG_JWK_H
#define RG_JWK_H

#include "slice.h"
#include "verifier.h"

#define RG_JWKS_MAX_KEYS 64
#define RG_JWKS_MAX_BYTES (256 * 1024)
#define RG_KID_SIZE 256			/* a kid and its NUL, as in a token */
#define RG_JWK_SIZE 1536		/* the members of the largest key and a NUL */

typedef struct RgJwk
{
	const char *alg;			/* as a JWS header spells it */
	char		kid[RG_KID_SIZE];	/* its own, or the RFC 7638 thumbprint */
	char		json[RG_JWK_SIZE];	/* RFC 7638: the required members alone */
} RgJwk;

typedef struct RgJwkRefusal
{
	const char *reason;			/* the end of a sentence that starts with "the
								 * key" */
	char		kid[RG_KID_SIZE];	/* empty when it has none */
} RgJwkRefusal;

typedef struct RgJwkSet
{
	const char *error;			/* when the set is no good */
	int			count;
	int			nrefused;
	int			nignored;
	RgJwk		keys[RG_JWKS_MAX_KEYS];
	RgJwkRefusal refused[RG_JWKS_MAX_KEYS];
} RgJwkSet;

/*
 * Reads a set.  False when nothing of it may be used: no set, too large, two
 * keys of one kid, or no usable key; error then says why, as the end of a
 * sentence that starts with "the key set".  What was refused and ignored is
 * told in any case.
 */
extern bool rg_jwks_parse(RgSlice text, RgJwkSet *set)
			__attribute__((warn_unused_result));

/* The verifier of one key, as json of RgJwk has it; NULL when there is none. */
extern RgVerifier *rg_jwk_verifier(RgSlice json)
			__attribute__((warn_unused_result));

#endif
