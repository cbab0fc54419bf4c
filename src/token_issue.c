/*
 * token_issue.c
 *		Making tokens of the built-in issuer; token.h has the contract.
 */
#include "token.h"

#include <jansson.h>
#include <stdlib.h>

#include "base64url.h"

/* Adds a string member unless it is absent; false when it cannot be one. */
static bool
set_string(json_t *object, const char *name, RgSlice value)
{
	if (value.data == NULL)
		return true;
	return json_object_set_new(object, name, json_stringn(value.data, value.len)) == 0;
}

/*
 * The empty object comes from json_pack(): inside the server, json_object() is
 * a function of PostgreSQL's.
 */
static json_t *
make_payload(const RgTokenClaims *claims)
{
	json_t	   *payload = json_pack("{}");

	if (payload != NULL &&
		set_string(payload, "iss", claims->iss) &&
		set_string(payload, "aud", claims->aud) &&
		set_string(payload, "sub", claims->sub) &&
		json_object_set_new(payload, "iat", json_integer(claims->iat)) == 0 &&
		json_object_set_new(payload, "exp", json_integer(claims->exp)) == 0 &&
		set_string(payload, "jti", claims->jti) &&
		set_string(payload, "workspace_id", claims->workspace_id) &&
		set_string(payload, "role", claims->role) &&
		set_string(payload, "scope", claims->scope))
		return payload;
	json_decref(payload);
	return NULL;
}

/* Appends the base64url of bytes; false when the token would be too long. */
static bool
append_base64url(char *token, size_t *len, const void *bytes, size_t size)
{
	if (RG_BASE64URL_SIZE(size) > RG_TOKEN_MAX - *len)
		return false;
	*len += rg_base64url_encode(rg_slice(bytes, size), token + *len);
	token[*len] = '\0';
	return true;
}

/* Appends a JSON object as base64url, and takes the caller's reference. */
static bool
append_object(char *token, size_t *len, json_t *object)
{
	char	   *text = object != NULL ? json_dumps(object, JSON_COMPACT) : NULL;
	bool		appended = text != NULL && append_base64url(token, len, text, strlen(text));

	free(text);
	json_decref(object);
	return appended;
}

static bool
append_signature(char *token, size_t *len, RgVerifier *signer)
{
	uint8_t		signature[RG_HS256_BYTES];

	if (!rg_verifier_sign(signer, rg_slice(token, *len), signature))
		return false;
	token[(*len)++] = '.';
	return append_base64url(token, len, signature, sizeof signature);
}

char *
rg_token_issue(const RgTokenClaims *claims, const char *kid, RgVerifier *signer)
{
	char	   *token = malloc(RG_TOKEN_MAX + 2);
	size_t		len = 0;

	if (token == NULL ||
		!append_object(token, &len, json_pack("{s:s, s:s, s:s}", "alg", "HS256",
											  "typ", "JWT", "kid", kid)))
	{
		free(token);
		return NULL;
	}
	token[len++] = '.';
	if (!append_object(token, &len, make_payload(claims)) ||
		!append_signature(token, &len, signer))
	{
		free(token);
		return NULL;
	}
	return token;
}
