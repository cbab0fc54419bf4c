/*
 * fuzz_token.c
 *		Tokens: whatever comes in, what is taken apart is bounded and says so,
 *		and nothing passes for signed.
 *
 * After the first byte, which chooses: a token as it stands; or a header, NUL
 * and claims, which are made into a token here, with a signature that is
 * right; or user, workspace and role, each before a NUL, that a token is issued for.
 */
#include "fuzz.h"

#include "base64url.h"
#include "token.h"

static RgToken token;

static RgVerifier *
verifier(bool right)
{
	static RgVerifier *made[2];

	if (made[0] == NULL)
	{
		made[0] = rg_verifier_hs256(RG_SLICE("another key of at least 32 bytes"));
		made[1] = rg_verifier_hs256(RG_SLICE("the fuzzer's own key of 32 bytes"));
	}
	require(made[right] != NULL);
	return made[right];
}

static void
require_string(const char *string, size_t size)
{
	require(memchr(string, '\0', size) != NULL);
}

static void
require_strings(void)
{
	require_string(token.alg, sizeof token.alg);
	require_string(token.kid, sizeof token.kid);
	require_string(token.iss, sizeof token.iss);
	require_string(token.sub, sizeof token.sub);
	require_string(token.jti, sizeof token.jti);
	require_string(token.workspace_id, sizeof token.workspace_id);
	require_string(token.role, sizeof token.role);
	require_string(token.scope, sizeof token.scope);
}

static void
require_token(RgSlice text)
{
	require(token.iss[0] != '\0' && token.sub[0] != '\0' && token.alg[0] != '\0');
	require(token.aud_len > 0 && token.aud_len <= sizeof token.aud);
	require(token.aud[token.aud_len - 1] == '\0');
	require(rg_token_check_audience(&token, token.aud) == RG_TOKEN_OK);
	require(token.signature_len <= sizeof token.signature);
	require(token.payload_len <= sizeof token.payload);
	require(token.signing_input.data == text.data && token.signing_input.len < text.len);
	require(token.exp >= 0 && token.nbf >= 0 && token.iat >= 0);
	require(rg_token_check_times(token.exp, 0, 0, token.exp, 0) == RG_TOKEN_EXPIRED);
	require_strings();
}

static bool
parse(RgSlice text)
{
	RgTokenError error = rg_token_parse(text, &token);

	require(rg_token_reason(error) != NULL);
	if (error != RG_TOKEN_OK)
		return false;
	require_token(text);
	require(rg_token_verify(&token, verifier(false)) != RG_TOKEN_OK);
	return true;
}

static void
add_part(char *text, size_t *len, RgSlice bytes, char separator)
{
	if (*len > 0)
		text[(*len)++] = separator;
	*len += rg_base64url_encode(bytes, text + *len);
}

/* With the right signature only alg can be wrong; with one bit of it changed, all is. */
static void
try_signed(RgSlice header, RgSlice claims)
{
	char	   *text = malloc(RG_BASE64URL_SIZE(header.len) + RG_BASE64URL_SIZE(claims.len) + 64);
	uint8_t		signature[RG_HS256_BYTES];
	size_t		len = 0;

	add_part(text, &len, header, '.');
	if (len == 0)
		text[len++] = '.';
	add_part(text, &len, claims, '.');
	require(rg_verifier_sign(verifier(true), rg_slice(text, len), signature));
	add_part(text, &len, rg_slice((char *) signature, sizeof signature), '.');
	if (parse(rg_slice(text, len)))
	{
		RgTokenError error = rg_token_verify(&token, verifier(true));

		require(error == (strcmp(token.alg, "HS256") == 0 ? RG_TOKEN_OK : RG_TOKEN_WRONG_ALGORITHM));
		token.signature[token.exp % sizeof signature] ^= 1;
		require(rg_token_verify(&token, verifier(true)) != RG_TOKEN_OK);
	}
	free(text);
}

static bool
is(const char *string, RgSlice text)
{
	return rg_slice_equal(rg_slice(string, strlen(string)), text);
}

/* What is issued says what went in, and verifies. */
static void
try_issue(RgSlice rest)
{
	RgTokenClaims claims = {.iat = 1,.exp = 2};
	char	   *text;

	claims.iss = RG_SLICE("relay_guard");
	claims.aud = RG_SLICE("relay");
	claims.sub = take_field(&rest);
	claims.workspace_id = take_field(&rest);
	claims.role = take_field(&rest);
	text = rg_token_issue(&claims, "ring-1", verifier(true));
	if (text == NULL)
		return;
	require(strlen(text) <= RG_TOKEN_MAX);
	if (parse(rg_slice_of(text)))
	{
		require(rg_token_verify(&token, verifier(true)) == RG_TOKEN_OK);
		require(is(token.sub, claims.sub) && is(token.role, claims.role));
		require(is(token.workspace_id, claims.workspace_id) && is(token.kid, rg_slice_of("ring-1")));
	}
	free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	RgSlice		rest = rg_slice((const char *) data, size);
	RgSlice		header;
	uint8_t		choice;

	if (!take_bytes(&rest, &choice, 1))
		return 0;
	if (choice & 2)
		try_issue(rest);
	else if (choice & 1)
	{
		header = take_field(&rest);
		try_signed(header, rest);
	}
	else
		(void) parse(rest);
	return 0;
}
