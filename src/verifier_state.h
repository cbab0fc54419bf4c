/*
 * verifier_state.h
 *		What a verifier holds; for the files that make verifiers alone.
 */
#ifndef RG_VERIFIER_STATE_H
#define RG_VERIFIER_STATE_H

#include <openssl/evp.h>

#include "verifier.h"

struct RgVerifier
{
	const char *alg;			/* as a JWS header spells it */
	bool		(*check) (RgVerifier *verifier, RgSlice input, RgSlice signature);
	EVP_MAC_CTX *mac;			/* HS256: keyed */
	EVP_PKEY   *key;			/* RS256, ES256 */
	EVP_PKEY_CTX *verify;		/* of key, initialised */
	EVP_MD_CTX *digest;			/* RS256, ES256: hashes the input */
	uint8_t		point[32];		/* EdDSA */
};

#endif
