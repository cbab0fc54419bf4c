/*
 * token.c
 *		JSON Web Tokens: taking them apart and checking them; token.h has the
 *		contract.
 */
#include "token.h"

#include <jansson.h>

#include "base64url.h"

#define MAX_DATE 253402300799.0 /* the end of the year 9999 */

/* Header members that would let a token bring its own key or rules. */
static const char *const refused_headers[] = {"crit", "jwk", "jku", "x5u", "x5c", "b64"};

/* Takes what stands before the next dot; false when there is none. */
static bool
take_part(RgSlice *rest, RgSlice *part)
{
	const char *dot = rest->len ? memchr(rest->data, '.', rest->len) : NULL;

	if (dot == NULL)
		return false;
	*part = rg_slice(rest->data, dot - rest->data);
	rest->data = dot + 1;
	rest->len -= part->len + 1;
	return true;
}

static json_t *
parse_object(const char *text, size_t len)
{
	json_t	   *value = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);

	if (json_is_object(value))
		return value;
	json_decref(value);
	return NULL;
}

/* Copies an optional string member; false when it is no string or too long. */
static bool
copy_string(const json_t *object, const char *name, char *out, size_t size)
{
	const json_t *value = json_object_get(object, name);
	size_t		len = json_string_length(value);

	*out = '\0';
	if (value == NULL)
		return true;
	if (!json_is_string(value) || len >= size)
		return false;
	memcpy(out, json_string_value(value), len + 1);
	return true;
}

/* Reads an optional NumericDate; false when it is none, or out of range. */
static bool
copy_date(const json_t *object, const char *name, int64_t *out)
{
	const json_t *value = json_object_get(object, name);
	double		seconds = json_number_value(value);

	*out = 0;
	if (value == NULL)
		return true;
	if (!json_is_number(value) || !(seconds >= 0 && seconds <= MAX_DATE))
		return false;
	*out = (int64_t) seconds;
	return true;
}

/* Appends a string and the separator; false when it does not fit. */
static bool
append(char *out, size_t size, size_t *len, const json_t *value, char separator)
{
	size_t		add = json_string_length(value);

	if (!json_is_string(value) || *len + add + 1 > size)
		return false;
	memcpy(out + *len, json_string_value(value), add);
	*len += add + 1;
	out[*len - 1] = separator;
	return true;
}

/* Copies a string or a list of strings, each followed by the separator. */
static bool
copy_list(const json_t *value, char *out, size_t size, size_t *len, char separator)
{
	const json_t *item;
	size_t		i;

	*len = 0;
	if (value == NULL || json_is_string(value))
		return value == NULL || append(out, size, len, value, separator);
	if (!json_is_array(value))
		return false;
	json_array_foreach(value, i, item)
		if (!append(out, size, len, item, separator))
		return false;
	return true;
}

/* Supabase says session_id, OpenID Connect (Front-Channel Logout 1.0) sid. */
static bool
copy_session(const json_t *object, RgToken *token)
{
	if (!copy_string(object, "session_id", token->session, sizeof token->session))
		return false;
	return token->session[0] != '\0' ||
		copy_string(object, "sid", token->session, sizeof token->session);
}

/* scope is a list in one string (RFC 8693) or an array of strings. */
static bool
copy_scope(const json_t *object, RgToken *token)
{
	size_t		len;

	if (!copy_list(json_object_get(object, "scope"), token->scope,
				   sizeof token->scope, &len, ' '))
		return false;
	token->scope[len > 0 ? len - 1 : 0] = '\0';
	return true;
}

static RgTokenError
read_header(RgSlice part, RgToken *token)
{
	char		text[2048];
	size_t		len;
	json_t	   *header;
	RgTokenError error = RG_TOKEN_OK;

	if (!rg_base64url_decode(part, text, sizeof text, &len) ||
		(header = parse_object(text, len)) == NULL)
		return RG_TOKEN_MALFORMED;
	for (size_t i = 0; i < sizeof refused_headers / sizeof *refused_headers; i++)
		if (json_object_get(header, refused_headers[i]) != NULL)
			error = RG_TOKEN_BAD_HEADER;
	if (!copy_string(header, "alg", token->alg, sizeof token->alg) ||
		!copy_string(header, "kid", token->kid, sizeof token->kid) ||
		token->alg[0] == '\0')
		error = RG_TOKEN_BAD_HEADER;
	json_decref(header);
	return error;
}

/* The header of the token before, which is that of nearly all. */
static struct
{
	size_t		len;
	char		text[512];
	char		alg[sizeof((RgToken *) 0)->alg];
	char		kid[sizeof((RgToken *) 0)->kid];
}			last_header;

static RgTokenError
read_header_again(RgSlice part, RgToken *token)
{
	RgTokenError error;

	if (part.len > 0 &&
		rg_slice_equal(part, rg_slice(last_header.text, last_header.len)))
	{
		memcpy(token->alg, last_header.alg, sizeof token->alg);
		memcpy(token->kid, last_header.kid, sizeof token->kid);
		return RG_TOKEN_OK;
	}
	error = read_header(part, token);
	if (error != RG_TOKEN_OK || part.len > sizeof last_header.text)
		return error;
	last_header.len = part.len;
	memcpy(last_header.text, part.data, part.len);
	memcpy(last_header.alg, token->alg, sizeof token->alg);
	memcpy(last_header.kid, token->kid, sizeof token->kid);
	return RG_TOKEN_OK;
}

static bool
copy_claims(const json_t *claims, RgToken *token)
{
	return copy_string(claims, "iss", token->iss, sizeof token->iss) &&
		copy_string(claims, "sub", token->sub, sizeof token->sub) &&
		copy_list(json_object_get(claims, "aud"), token->aud, sizeof token->aud,
				  &token->aud_len, '\0') &&
		copy_date(claims, "exp", &token->exp) &&
		copy_date(claims, "nbf", &token->nbf) &&
		copy_date(claims, "iat", &token->iat) &&
		copy_string(claims, "jti", token->jti, sizeof token->jti) &&
		copy_session(claims, token) &&
		copy_string(claims, "workspace_id", token->workspace_id,
					sizeof token->workspace_id) &&
		copy_string(claims, "role", token->role, sizeof token->role) &&
		copy_scope(claims, token);
}

static RgTokenError
read_payload(RgSlice part, RgToken *token)
{
	json_t	   *claims;
	RgTokenError error = RG_TOKEN_OK;

	if (!rg_base64url_decode(part, token->payload, sizeof token->payload, &token->payload_len) ||
		(claims = parse_object(token->payload, token->payload_len)) == NULL)
		return RG_TOKEN_MALFORMED;
	if (!copy_claims(claims, token))
		error = RG_TOKEN_BAD_CLAIM;
	else if (token->iss[0] == '\0' || token->sub[0] == '\0' || token->aud_len == 0 ||
			 json_object_get(claims, "exp") == NULL)
		error = RG_TOKEN_MISSING_CLAIM;
	json_decref(claims);
	return error;
}

RgTokenError
rg_token_parse(RgSlice text, RgToken *token)
{
	RgSlice		rest = text;
	RgSlice		header,
				payload;
	RgTokenError error;

	if (text.len > RG_TOKEN_MAX)
		return RG_TOKEN_TOO_LONG;
	if (!take_part(&rest, &header) || !take_part(&rest, &payload) ||
		!rg_base64url_decode(rest, token->signature, sizeof token->signature,
							 &token->signature_len))
		return RG_TOKEN_MALFORMED;
	token->signing_input = rg_slice(text.data, header.len + 1 + payload.len);
	error = read_header_again(header, token);
	return error != RG_TOKEN_OK ? error : read_payload(payload, token);
}

RgTokenError
rg_token_verify(const RgToken *token, RgVerifier *verifier)
{
	RgSlice		signature = {(const char *) token->signature, token->signature_len};

	if (strcmp(token->alg, rg_verifier_alg(verifier)) != 0)
		return RG_TOKEN_WRONG_ALGORITHM;
	if (!rg_verifier_check(verifier, token->signing_input, signature))
		return RG_TOKEN_BAD_SIGNATURE;
	return RG_TOKEN_OK;
}

RgTokenError
rg_token_check_audience(const RgToken *token, const char *aud)
{
	for (const char *one = token->aud; one < token->aud + token->aud_len; one += strlen(one) + 1)
		if (strcmp(one, aud) == 0)
			return RG_TOKEN_OK;
	return RG_TOKEN_WRONG_AUDIENCE;
}

RgTokenError
rg_token_check_times(int64_t exp, int64_t nbf, int64_t iat, int64_t now, int64_t leeway)
{
	if (now >= exp + leeway)
		return RG_TOKEN_EXPIRED;
	if (nbf > now + leeway || iat > now + leeway)
		return RG_TOKEN_NOT_YET_VALID;
	return RG_TOKEN_OK;
}

const char *
rg_token_reason(RgTokenError error)
{
	static const char *const reasons[] = {
		[RG_TOKEN_OK] = "ok",
		[RG_TOKEN_TOO_LONG] = "token_too_long",
		[RG_TOKEN_MALFORMED] = "token_malformed",
		[RG_TOKEN_BAD_HEADER] = "token_header",
		[RG_TOKEN_BAD_CLAIM] = "token_claim",
		[RG_TOKEN_MISSING_CLAIM] = "token_claim_missing",
		[RG_TOKEN_UNKNOWN_ISSUER] = "token_issuer",
		[RG_TOKEN_UNKNOWN_KEY] = "token_key",
		[RG_TOKEN_WRONG_ALGORITHM] = "token_algorithm",
		[RG_TOKEN_BAD_SIGNATURE] = "token_signature",
		[RG_TOKEN_WRONG_AUDIENCE] = "token_audience",
		[RG_TOKEN_EXPIRED] = "token_expired",
		[RG_TOKEN_NOT_YET_VALID] = "token_not_yet_valid",
		[RG_TOKEN_RESERVED_SUBJECT] = "token_subject",
		[RG_TOKEN_REVOKED] = "token_revoked",
	};

	return reasons[error];
}
