/*
 * token.h
 *		JSON Web Tokens in compact form (RFC 7519, RFC 7515, RFC 8725).
 *
 * Pure C: shared by the extension, unit tests and fuzzers.
 */
#ifndef RG_TOKEN_H
#define RG_TOKEN_H

#include <stdint.h>

#include "slice.h"
#include "verifier.h"

#define RG_TOKEN_MAX 8192		/* bytes of a whole token */

/* Why a token is refused; rg_token_reason() names it. */
typedef enum RgTokenError
{
	RG_TOKEN_OK,
	RG_TOKEN_TOO_LONG,
	RG_TOKEN_MALFORMED,			/* not three parts of base64url, or no JSON */
	RG_TOKEN_BAD_HEADER,		/* crit, b64, jwk, jku, x5u, x5c, or no alg */
	RG_TOKEN_BAD_CLAIM,			/* a claim of the wrong type or size */
	RG_TOKEN_MISSING_CLAIM,		/* no iss, sub, aud or exp */
	RG_TOKEN_UNKNOWN_ISSUER,
	RG_TOKEN_UNKNOWN_KEY,
	RG_TOKEN_WRONG_ALGORITHM,
	RG_TOKEN_BAD_SIGNATURE,
	RG_TOKEN_WRONG_AUDIENCE,
	RG_TOKEN_EXPIRED,
	RG_TOKEN_NOT_YET_VALID,
	RG_TOKEN_RESERVED_SUBJECT,
	RG_TOKEN_REVOKED
} RgTokenError;

/* A token taken apart, nothing of it verified.  Strings end with a NUL. */
typedef struct RgToken
{
	RgSlice		signing_input;	/* points into the token */
	uint8_t		signature[1024];
	size_t		signature_len;
	char		alg[16];
	char		kid[256];		/* empty when absent */
	char		iss[256];
	char		sub[256];
	char		aud[1024];		/* each audience ended by a NUL */
	size_t		aud_len;
	int64_t		exp;			/* seconds since 1970 */
	int64_t		nbf;			/* 0 when absent */
	int64_t		iat;			/* 0 when absent */
	char		jti[256];
	char		session[256];	/* session_id, or sid of OpenID Connect */
	char		workspace_id[256];
	char		role[64];
	char		scope[2048];	/* separated by single spaces */
	char		payload[RG_TOKEN_MAX];	/* the claims, JSON */
	size_t		payload_len;
} RgToken;

/* Takes a token apart.  token.signing_input points into text. */
extern RgTokenError rg_token_parse(RgSlice text, RgToken *token)
			__attribute__((warn_unused_result));

/* Algorithm, then signature. */
extern RgTokenError rg_token_verify(const RgToken *token, RgVerifier *verifier)
			__attribute__((warn_unused_result));

/* Audience and times; now and leeway in seconds. */
extern RgTokenError rg_token_check_audience(const RgToken *token, const char *aud)
			__attribute__((warn_unused_result));
extern RgTokenError rg_token_check_times(int64_t exp, int64_t nbf, int64_t iat,
										 int64_t now, int64_t leeway)
			__attribute__((warn_unused_result));

/* A stable word for the error: "token_expired", "token_signature", … */
extern const char *rg_token_reason(RgTokenError error);

/* What goes into a new token; optional strings have data NULL. */
typedef struct RgTokenClaims
{
	RgSlice		iss;
	RgSlice		aud;
	RgSlice		sub;
	RgSlice		jti;
	RgSlice		workspace_id;
	RgSlice		role;
	RgSlice		scope;
	int64_t		iat;
	int64_t		exp;
} RgTokenClaims;

/*
 * Makes a token signed by signer (HS256), with that kid.  The caller frees it
 * with free().  NULL when memory is short, a string is not UTF-8 or the token
 * would be longer than RG_TOKEN_MAX.
 */
extern char *rg_token_issue(const RgTokenClaims *claims, const char *kid,
							RgVerifier *signer)
			__attribute__((warn_unused_result));

#endif
