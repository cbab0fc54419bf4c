/*
 * verifier.h
 *		A key that checks signatures of tokens (JWS, RFC 7515), ready for use.
 *
 * A verifier has one algorithm, given when it is made; what a token's header
 * says is compared with it and never chosen by.
 *
 * Pure C: shared by the extension, unit tests and fuzzers.
 */
#ifndef RG_VERIFIER_H
#define RG_VERIFIER_H

#include <stdint.h>

#include "slice.h"

#define RG_HS256_BYTES 32

typedef struct RgVerifier RgVerifier;

/* HMAC-SHA-256; the secret is copied.  NULL when memory is short. */
extern RgVerifier *rg_verifier_hs256(RgSlice secret)
			__attribute__((warn_unused_result));
extern void rg_verifier_free(RgVerifier *verifier);

/* The name of its algorithm as a JWS header spells it. */
extern const char *rg_verifier_alg(const RgVerifier *verifier);

/* Whether signature is that of input; takes the same time for every answer. */
extern bool rg_verifier_check(RgVerifier *verifier, RgSlice input, RgSlice signature)
			__attribute__((warn_unused_result));

/* Signs; only for HS256.  False when the library failed. */
extern bool rg_verifier_sign(RgVerifier *verifier, RgSlice input,
							 uint8_t signature[RG_HS256_BYTES])
			__attribute__((warn_unused_result));

/*
 * What is wrong with a secret for HS256, as the end of a sentence that starts
 * with "the secret"; NULL when it will do.
 */
extern const char *rg_verifier_weak_secret(RgSlice secret);

#endif
