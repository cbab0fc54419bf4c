/*
 * fuzz_jwks.c
 *		Key sets: what is read of whatever comes in is a few public keys, each
 *		fit for a verifier, under names of their own.
 */
#include <stdio.h>
#include <stdlib.h>

#include "jwk.h"

int			LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool condition)
{
	if (!condition)
		abort();
}

static bool
is_known(const char *alg)
{
	return strcmp(alg, "RS256") == 0 || strcmp(alg, "ES256") == 0 || strcmp(alg, "EdDSA") == 0;
}

static void
require_fit(const RgJwk *key)
{
	uint8_t		none[1024] = {0};
	RgSlice		signature = {(const char *) none, sizeof none};
	RgVerifier *verifier = rg_jwk_verifier(rg_slice_of(key->json));

	require(key->kid[0] != '\0' && strlen(key->kid) < RG_KID_SIZE);
	require(is_known(key->alg) && verifier != NULL);
	require(strcmp(rg_verifier_alg(verifier), key->alg) == 0);
	require(strstr(key->json, "\"d\":") == NULL && strstr(key->json, "\"k\":") == NULL);
	for (signature.len = 0; signature.len <= sizeof none; signature.len += 32)
		require(!rg_verifier_check(verifier, RG_SLICE("input"), signature));
	rg_verifier_free(verifier);
}

/* What was kept of a key is a key again, and the same one. */
static void
require_stable(const RgJwk *key)
{
	static RgJwkSet again;
	char		text[RG_JWK_SIZE + 16];
	int			len = snprintf(text, sizeof text, "{\"keys\":[%s]}", key->json);

	require(rg_jwks_parse(rg_slice(text, len), &again) && again.count == 1);
	require(strcmp(again.keys[0].json, key->json) == 0 && strcmp(again.keys[0].alg, key->alg) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static RgJwkSet set;
	bool		good = rg_jwks_parse(rg_slice((const char *) data, size), &set);

	require(good == (set.error == NULL) && (!good || set.count > 0));
	require(set.count >= 0 && set.nrefused >= 0 && set.nignored >= 0);
	require(set.count + set.nrefused + set.nignored <= RG_JWKS_MAX_KEYS);
	for (int i = 0; i < set.nrefused; i++)
		require(set.refused[i].reason != NULL && strlen(set.refused[i].kid) < RG_KID_SIZE);
	for (int i = 0; i < set.count; i++)
	{
		require_fit(&set.keys[i]);
		require_stable(&set.keys[i]);
		for (int j = 0; j < i; j++)
			require(strcmp(set.keys[i].kid, set.keys[j].kid) != 0);
	}
	return 0;
}
