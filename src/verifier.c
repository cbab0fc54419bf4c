/*
 * verifier.c
 *		Keys that check signatures: HS256, and what all have in common;
 *		verifier.h has the contract.
 *
 * The keyed context is made once and rewound for every use: fetching the
 * algorithm and hashing the key again would cost more than the check.
 */
#include "verifier_state.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <stdlib.h>

static bool
key_mac(EVP_MAC_CTX *mac, RgSlice secret)
{
	OSSL_PARAM	params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, "SHA256", 0),
		OSSL_PARAM_construct_end()
	};

	return EVP_MAC_init(mac, (const uint8_t *) secret.data, secret.len, params);
}

static bool
check_hs256(RgVerifier *verifier, RgSlice input, RgSlice signature)
{
	uint8_t		expected[RG_HS256_BYTES];

	return signature.len == sizeof expected &&
		rg_verifier_sign(verifier, input, expected) &&
		CRYPTO_memcmp(expected, signature.data, sizeof expected) == 0;
}

RgVerifier *
rg_verifier_hs256(RgSlice secret)
{
	RgVerifier *verifier = calloc(1, sizeof *verifier);
	EVP_MAC    *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);

	if (verifier != NULL && hmac != NULL)
	{
		verifier->alg = "HS256";
		verifier->check = check_hs256;
		verifier->mac = EVP_MAC_CTX_new(hmac);
	}
	EVP_MAC_free(hmac);
	if (verifier != NULL && verifier->mac != NULL && key_mac(verifier->mac, secret))
		return verifier;
	rg_verifier_free(verifier);
	return NULL;
}

void
rg_verifier_free(RgVerifier *verifier)
{
	if (verifier == NULL)
		return;
	EVP_MAC_CTX_free(verifier->mac);
	EVP_PKEY_CTX_free(verifier->verify);
	EVP_PKEY_free(verifier->key);
	EVP_MD_CTX_free(verifier->digest);
	free(verifier);
}

const char *
rg_verifier_alg(const RgVerifier *verifier)
{
	return verifier->alg;
}

static bool
hash_parts(EVP_MAC_CTX *mac, const RgSlice *parts, int nparts)
{
	for (int i = 0; i < nparts; i++)
		if (!EVP_MAC_update(mac, (const uint8_t *) parts[i].data, parts[i].len))
			return false;
	return true;
}

bool
rg_verifier_sign_parts(RgVerifier *verifier, const RgSlice *parts, int nparts,
					   uint8_t signature[RG_HS256_BYTES])
{
	size_t		len;

	return verifier->mac != NULL &&
		EVP_MAC_init(verifier->mac, NULL, 0, NULL) &&
		hash_parts(verifier->mac, parts, nparts) &&
		EVP_MAC_final(verifier->mac, signature, &len, RG_HS256_BYTES) &&
		len == RG_HS256_BYTES;
}

bool
rg_verifier_sign(RgVerifier *verifier, RgSlice input, uint8_t signature[RG_HS256_BYTES])
{
	return rg_verifier_sign_parts(verifier, &input, 1, signature);
}

/*
 * What a bad signature leaves in OpenSSL's queue of errors would be taken for
 * the reason of the next failure of whoever else uses it, TLS above all.
 */
bool
rg_verifier_check(RgVerifier *verifier, RgSlice input, RgSlice signature)
{
	bool		authentic;

	ERR_set_mark();
	authentic = verifier->check(verifier, input, signature);
	ERR_pop_to_mark();
	return authentic;
}
