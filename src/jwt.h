/*
 * jwt.h
 *		From a token to a verified identity.
 */
#ifndef RG_JWT_H
#define RG_JWT_H

#include "context.h"
#include "token.h"
#include "token_cache.h"

/* A token that this backend has verified and remembers, or NULL. */
extern RgVerified *rg_jwt_recall(RgSlice token);

/*
 * Verifies a token against the registered issuers: signature, algorithm,
 * issuer, audience.  verified is good until another one is verified.
 */
extern RgTokenError rg_jwt_verify(RgSlice token, RgVerified **verified)
			__attribute__((warn_unused_result));

/*
 * Whether a verified token is good now: its times, and that it is not revoked.
 * On RG_TOKEN_OK identity is what it says (request id and address left out),
 * good as long as verified is.
 */
extern RgTokenError rg_jwt_identify(RgVerified *verified, RgIdentity *identity)
			__attribute__((warn_unused_result));

#endif
