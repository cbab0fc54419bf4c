/*
 * csrf_token.c
 *		CSRF tokens; csrf_token.h has the contract.
 */
#include "csrf_token.h"

#include <sodium.h>

#define ID_BYTES 16
#define NONCE_BYTES 16
#define TAG_BYTES 32
#define TAG_AT (ID_BYTES + NONCE_BYTES)

_Static_assert(TAG_AT + TAG_BYTES == RG_CSRF_TOKEN_BYTES, "a token is its three parts");

/* What the secret signs begins with that, and nothing else does. */
static const char purpose[] = "relay csrf token";

static void
make_tag(const uint8_t *token, const uint8_t *secret, uint8_t *tag)
{
	crypto_generichash_state state;

	crypto_generichash_init(&state, secret, RG_SESSION_SECRET_BYTES, TAG_BYTES);
	crypto_generichash_update(&state, (const uint8_t *) purpose, sizeof purpose);
	crypto_generichash_update(&state, token, TAG_AT);
	crypto_generichash_final(&state, tag, TAG_BYTES);
	sodium_memzero(&state, sizeof state);
}

size_t
rg_csrf_token_make(const uint8_t session_id[16], const uint8_t secret[RG_SESSION_SECRET_BYTES],
				   char out[RG_CSRF_TOKEN_SIZE])
{
	uint8_t		token[RG_CSRF_TOKEN_BYTES];
	size_t		len;

	memcpy(token, session_id, ID_BYTES);
	randombytes_buf(token + ID_BYTES, NONCE_BYTES);
	make_tag(token, secret, token + TAG_AT);
	len = rg_base64url_encode(rg_slice((char *) token, sizeof token), out);
	out[len] = '\0';
	return len;
}

RgCsrfError
rg_csrf_token_check(RgSlice text, const uint8_t session_id[16],
					const uint8_t secret[RG_SESSION_SECRET_BYTES])
{
	uint8_t		token[RG_CSRF_TOKEN_BYTES];
	uint8_t		tag[TAG_BYTES];
	size_t		len;

	if (text.len == 0)
		return RG_CSRF_MISSING;
	if (text.len >= RG_CSRF_TOKEN_SIZE ||
		!rg_base64url_decode(text, token, sizeof token, &len) || len != sizeof token)
		return RG_CSRF_MALFORMED;
	if (memcmp(token, session_id, ID_BYTES) != 0)
		return RG_CSRF_OTHER_SESSION;
	make_tag(token, secret, tag);
	return sodium_memcmp(tag, token + TAG_AT, TAG_BYTES) == 0 ? RG_CSRF_OK : RG_CSRF_FORGED;
}
