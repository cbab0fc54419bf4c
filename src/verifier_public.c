/*
 * verifier_public.c
 *		Keys that check signatures: RS256, ES256, EdDSA; verifier.h has the
 *		contract.
 *
 * RSA and ECDSA are OpenSSL's, with a context that is initialised once; Ed25519
 * is libsodium's, which takes 39 µs where OpenSSL 3.0 takes 97, and which by
 * itself refuses points of small order and S beyond the group's order.
 */
#include "verifier_state.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>
#include <sodium.h>
#include <stdlib.h>

#define MIN_MODULUS 256			/* bytes; the first one's high bit is set */
#define MAX_MODULUS 1024
#define MAX_EXPONENT 4
#define COORDINATE 32			/* bytes, of P-256 */
#define MAX_DER 80				/* an ECDSA signature of P-256 has 72 */

static const uint8_t *
bytes(RgSlice slice)
{
	return (const uint8_t *) slice.data;
}

static bool
hash(RgVerifier *verifier, RgSlice input, uint8_t out[32])
{
	return EVP_DigestInit_ex2(verifier->digest, NULL, NULL) &&
		EVP_DigestUpdate(verifier->digest, input.data, input.len) &&
		EVP_DigestFinal_ex(verifier->digest, out, NULL);
}

static bool
check_rs256(RgVerifier *verifier, RgSlice input, RgSlice signature)
{
	uint8_t		digest[32];

	return signature.len == (size_t) EVP_PKEY_get_size(verifier->key) &&
		hash(verifier, input, digest) &&
		EVP_PKEY_verify(verifier->verify, bytes(signature), signature.len,
						digest, sizeof digest) == 1;
}

/* From r and s side by side to the DER that OpenSSL wants; 0 on failure. */
static size_t
encode_der(const uint8_t *raw, uint8_t der[MAX_DER])
{
	ECDSA_SIG  *pair = ECDSA_SIG_new();
	BIGNUM	   *r = BN_bin2bn(raw, COORDINATE, NULL);
	BIGNUM	   *s = BN_bin2bn(raw + COORDINATE, COORDINATE, NULL);
	int			len = 0;

	if (pair != NULL && r != NULL && s != NULL && ECDSA_SIG_set0(pair, r, s))
	{
		r = s = NULL;			/* now the pair's */
		len = i2d_ECDSA_SIG(pair, &der);
	}
	BN_free(r);
	BN_free(s);
	ECDSA_SIG_free(pair);
	return len > 0 ? (size_t) len : 0;
}

/* That r and s are from 1 to the order less one is checked by OpenSSL. */
static bool
check_es256(RgVerifier *verifier, RgSlice input, RgSlice signature)
{
	uint8_t		digest[32];
	uint8_t		der[MAX_DER];
	size_t		len;

	if (signature.len != 2 * COORDINATE)
		return false;
	len = encode_der(bytes(signature), der);
	return len > 0 && hash(verifier, input, digest) &&
		EVP_PKEY_verify(verifier->verify, der, len, digest, sizeof digest) == 1;
}

static bool
check_eddsa(RgVerifier *verifier, RgSlice input, RgSlice signature)
{
	return signature.len == crypto_sign_BYTES &&
		crypto_sign_verify_detached(bytes(signature), bytes(input), input.len,
									verifier->point) == 0;
}

/* A key from its parameters; NULL when OpenSSL does not take it. */
static EVP_PKEY *
import_key(const char *type, OSSL_PARAM *params)
{
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	EVP_PKEY   *key = NULL;

	if (context == NULL || params == NULL || EVP_PKEY_fromdata_init(context) != 1 ||
		EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
		key = NULL;
	EVP_PKEY_CTX_free(context);
	return key;
}

/* Contexts for a key, which becomes the verifier's in any case. */
static RgVerifier *
make(const char *alg, EVP_PKEY *key,
	 bool (*check) (RgVerifier *, RgSlice, RgSlice))
{
	RgVerifier *verifier = calloc(1, sizeof *verifier);

	if (verifier == NULL)
	{
		EVP_PKEY_free(key);
		return NULL;
	}
	verifier->alg = alg;
	verifier->check = check;
	verifier->key = key;
	verifier->verify = EVP_PKEY_CTX_new(key, NULL);
	verifier->digest = EVP_MD_CTX_new();
	if (verifier->verify != NULL && verifier->digest != NULL &&
		EVP_DigestInit_ex2(verifier->digest, EVP_sha256(), NULL) &&
		EVP_PKEY_verify_init(verifier->verify) == 1 &&
		EVP_PKEY_CTX_set_signature_md(verifier->verify, EVP_sha256()) == 1)
		return verifier;
	rg_verifier_free(verifier);
	return NULL;
}

static EVP_PKEY *
rsa_key(RgSlice modulus, RgSlice exponent)
{
	OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
	BIGNUM	   *n = BN_bin2bn(bytes(modulus), modulus.len, NULL);
	BIGNUM	   *e = BN_bin2bn(bytes(exponent), exponent.len, NULL);
	OSSL_PARAM *params = NULL;
	EVP_PKEY   *key;

	if (builder != NULL && n != NULL && e != NULL &&
		OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, n) &&
		OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, e))
		params = OSSL_PARAM_BLD_to_param(builder);
	key = import_key("RSA", params);
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(builder);
	BN_free(n);
	BN_free(e);
	return key;
}

static bool
is_odd(RgSlice number)
{
	return number.len > 0 && (number.data[number.len - 1] & 1) != 0;
}

static bool
has_leading_zero(RgSlice number)
{
	return number.len == 0 || number.data[0] == 0;
}

static const char *
bad_modulus(RgSlice modulus)
{
	if (has_leading_zero(modulus))
		return "has a modulus with leading zeros";
	if (modulus.len < MIN_MODULUS ||
		(modulus.len == MIN_MODULUS && (modulus.data[0] & 0x80) == 0))
		return "has fewer than 2048 bits";
	if (modulus.len > MAX_MODULUS)
		return "has more than 8192 bits";
	return is_odd(modulus) ? NULL : "has an even modulus";
}

static const char *
bad_exponent(RgSlice exponent)
{
	if (has_leading_zero(exponent))
		return "has an exponent with leading zeros";
	if (exponent.len > MAX_EXPONENT)
		return "has an exponent of more than 32 bits";
	if (!is_odd(exponent) || (exponent.len == 1 && exponent.data[0] == 1))
		return "has an exponent that is even or one";
	return NULL;
}

RgVerifier *
rg_verifier_rs256(RgSlice modulus, RgSlice exponent, const char **reason)
{
	RgVerifier *verifier = NULL;
	EVP_PKEY   *key;

	*reason = bad_modulus(modulus);
	if (*reason == NULL)
		*reason = bad_exponent(exponent);
	if (*reason != NULL)
		return NULL;
	*reason = "could not be prepared";
	ERR_set_mark();
	key = rsa_key(modulus, exponent);
	if (key != NULL)
		verifier = make("RS256", key, check_rs256);
	if (verifier != NULL &&
		EVP_PKEY_CTX_set_rsa_padding(verifier->verify, RSA_PKCS1_PADDING) != 1)
	{
		rg_verifier_free(verifier);
		verifier = NULL;
	}
	ERR_pop_to_mark();
	return verifier;
}

/* OpenSSL refuses what is not on the curve. */
static EVP_PKEY *
p256_key(RgSlice x, RgSlice y)
{
	uint8_t		point[1 + 2 * COORDINATE] = {POINT_CONVERSION_UNCOMPRESSED};
	OSSL_PARAM	params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0),
		OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point),
		OSSL_PARAM_construct_end()
	};

	memcpy(point + 1, x.data, COORDINATE);
	memcpy(point + 1 + COORDINATE, y.data, COORDINATE);
	return import_key("EC", params);
}

RgVerifier *
rg_verifier_es256(RgSlice x, RgSlice y, const char **reason)
{
	RgVerifier *verifier = NULL;
	EVP_PKEY   *key;

	*reason = "has coordinates that are not of 32 bytes";
	if (x.len != COORDINATE || y.len != COORDINATE)
		return NULL;
	*reason = "is no point of the curve";
	ERR_set_mark();
	key = p256_key(x, y);
	if (key != NULL)
	{
		*reason = "could not be prepared";
		verifier = make("ES256", key, check_es256);
	}
	ERR_pop_to_mark();
	return verifier;
}

RgVerifier *
rg_verifier_eddsa(RgSlice point, const char **reason)
{
	RgVerifier *verifier;

	*reason = "is not of 32 bytes";
	if (point.len != sizeof verifier->point)
		return NULL;
	*reason = "is no point of the curve's main subgroup";
	if (!crypto_core_ed25519_is_valid_point(bytes(point)))
		return NULL;
	*reason = "could not be prepared";
	verifier = calloc(1, sizeof *verifier);
	if (verifier == NULL)
		return NULL;
	verifier->alg = "EdDSA";
	verifier->check = check_eddsa;
	memcpy(verifier->point, point.data, point.len);
	return verifier;
}
