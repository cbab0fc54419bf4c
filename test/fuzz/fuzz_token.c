/*
 * fuzz_token.c
 *		Tokens: whatever comes in, what is taken apart is bounded and says so.
 */
#include <stdlib.h>

#include "token.h"

int			LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool condition)
{
	if (!condition)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static RgToken token;
	RgTokenError error = rg_token_parse(rg_slice((const char *) data, size), &token);

	require(rg_token_reason(error) != NULL);
	if (error != RG_TOKEN_OK)
		return 0;
	require(token.iss[0] != '\0' && token.sub[0] != '\0' && token.alg[0] != '\0');
	require(token.aud_len > 0 && token.aud[token.aud_len - 1] == '\0');
	require(token.signature_len <= sizeof token.signature);
	require(token.exp >= 0 && token.signing_input.len < size);
	return 0;
}
