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

/*
 * Public keys, of the big-endian numbers that a JWK has (RFC 7518, RFC 8037).
 * NULL when the key will not do; *reason then says why, as the end of a
 * sentence that starts with "the key".
 *
 * RS256: RSASSA-PKCS1-v1_5 with SHA-256; a modulus of 2048 to 8192 bits and an
 * odd exponent from 3 up to 32 bits, both without leading zeros.
 */
extern RgVerifier *rg_verifier_rs256(RgSlice modulus, RgSlice exponent, const char **reason)
			__attribute__((warn_unused_result));

/* ES256: ECDSA with P-256 and SHA-256; a point's coordinates, 32 bytes each. */
extern RgVerifier *rg_verifier_es256(RgSlice x, RgSlice y, const char **reason)
			__attribute__((warn_unused_result));

/* EdDSA with Ed25519: a point of the main subgroup, 32 bytes. */
extern RgVerifier *rg_verifier_eddsa(RgSlice point, const char **reason)
			__attribute__((warn_unused_result));

extern void rg_verifier_free(RgVerifier *verifier);

/* The name of its algorithm as a JWS header spells it. */
extern const char *rg_verifier_alg(const RgVerifier *verifier);

/*
 * Whether signature is that of input, and of exactly the algorithm's length.
 * For HS256 it takes the same time for every answer.
 */
extern bool rg_verifier_check(RgVerifier *verifier, RgSlice input, RgSlice signature)
			__attribute__((warn_unused_result));

/* Signs; only for HS256.  False for any other, or when the library failed. */
extern bool rg_verifier_sign(RgVerifier *verifier, RgSlice input,
							 uint8_t signature[RG_HS256_BYTES])
			__attribute__((warn_unused_result));

/* The same for what stands in several pieces. */
extern bool rg_verifier_sign_parts(RgVerifier *verifier, const RgSlice *parts, int nparts,
								   uint8_t signature[RG_HS256_BYTES])
			__attribute__((warn_unused_result));

/*
 * What is wrong with a secret for HS256, as the end of a sentence that starts
 * with "the secret"; NULL when it will do.  It finds what people type or copy
 * in place of random bytes; it cannot measure how random bytes are.
 */
extern const char *rg_verifier_weak_secret(RgSlice secret);

/* The same but for its length, which is 10 bytes or more. */
extern const char *rg_verifier_guessable_secret(RgSlice secret);

#endif
