/*
 * jwt.h
 *		From a token to a verified identity.
 */
#ifndef RG_JWT_H
#define RG_JWT_H

#include "context.h"
#include "token.h"

/*
 * Verifies a token against the registered issuers: signature, algorithm,
 * issuer, audience, times.  On RG_TOKEN_OK identity is what it says (request
 * id and address left out), good until the next call.
 */
extern RgTokenError rg_jwt_verify(RgSlice token, RgIdentity *identity)
			__attribute__((warn_unused_result));

#endif
