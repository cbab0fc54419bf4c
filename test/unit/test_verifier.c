/*
 * test_verifier.c
 *		Verifiers against published vectors, and keys and secrets that are
 *		refused.
 */
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <sodium.h>
#include <stdlib.h>
#include <unistd.h>

#include "jwk.h"
#include "tap.h"
#include "vectors.h"
#include "verifier.h"

static EVP_PKEY *
read_pem(const char *escaped)
{
	char	   *pem = malloc(strlen(escaped) + 1);
	char	   *out = pem;
	BIO		   *bio;
	EVP_PKEY   *key;

	for (const char *at = escaped; *at != '\0'; at++)
	{
		bool		newline = at[0] == '\\' && at[1] == 'n';

		*out++ = newline ? '\n' : *at;
		at += newline;
	}
	bio = BIO_new_mem_buf(pem, out - pem);
	key = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
	BIO_free(bio);
	free(pem);
	return key;
}

static RgSlice
read_number(const EVP_PKEY *key, const char *name, uint8_t bytes[MAX_BYTES])
{
	BIGNUM	   *number = NULL;
	RgSlice		slice = {(const char *) bytes, 0};

	if (EVP_PKEY_get_bn_param(key, name, &number) != 1)
		abort();
	slice.len = BN_bn2bin(number, bytes);
	BN_free(number);
	return slice;
}

static RgVerifier *
rs256_of(const EVP_PKEY *key, const char **reason)
{
	uint8_t		n[MAX_BYTES];
	uint8_t		e[MAX_BYTES];

	return rg_verifier_rs256(read_number(key, OSSL_PKEY_PARAM_RSA_N, n),
							 read_number(key, OSSL_PKEY_PARAM_RSA_E, e), reason);
}

static RgVerifier *
es256_of(const EVP_PKEY *key, const char **reason)
{
	uint8_t		point[65];
	size_t		len;

	if (EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, point,
										sizeof point, &len) != 1 || point[0] != 4)
		abort();
	return rg_verifier_es256(rg_slice((char *) point + 1, 32),
							 rg_slice((char *) point + 33, 32), reason);
}

static RgVerifier *
eddsa_of(const EVP_PKEY *key, const char **reason)
{
	uint8_t		point[32];
	size_t		len = sizeof point;

	if (EVP_PKEY_get_raw_public_key(key, point, &len) != 1)
		abort();
	return rg_verifier_eddsa(rg_slice((char *) point, len), reason);
}

static RgVerifier *
verifier_of(const char *pem)
{
	EVP_PKEY   *key = read_pem(pem);
	const char *reason = NULL;
	RgVerifier *verifier;

	if (key == NULL)
		return NULL;
	verifier = EVP_PKEY_is_a(key, "RSA") ? rs256_of(key, &reason) :
		EVP_PKEY_is_a(key, "EC") ? es256_of(key, &reason) : eddsa_of(key, &reason);
	EVP_PKEY_free(key);
	return verifier;
}

/* Takes the verifier. */
static bool
accepts(RgVerifier *verifier, const VectorRow *row)
{
	uint8_t		message[MAX_BYTES];
	uint8_t		signature[MAX_BYTES];
	bool		accepted = verifier != NULL &&
	rg_verifier_check(verifier, unhex(row->columns[4], message),
					  unhex(row->columns[5], signature));

	rg_verifier_free(verifier);
	return accepted;
}

/* Columns: tcId result pem jwk msg sig flags comment */
static bool
public_row_agrees(const VectorRow *row)
{
	const char *jwk = row->columns[3];

	if (accepts(verifier_of(row->columns[2]), row) != is_valid(row))
		return false;
	return strcmp(jwk, "{}") == 0 ||
		accepts(rg_jwk_verifier(rg_slice_of(jwk)), row) == is_valid(row);
}

/*
 * Columns: tcId result key_bits tag_bits key msg tag flags comment.  A tag cut
 * to 128 bits is refused however good it is; its bits are compared all the
 * same.
 */
static bool
hmac_row_agrees(const VectorRow *row)
{
	uint8_t		bytes[3][MAX_BYTES];
	uint8_t		whole[RG_HS256_BYTES];
	RgSlice		key = unhex(row->columns[4], bytes[0]);
	RgSlice		message = unhex(row->columns[5], bytes[1]);
	RgSlice		tag = unhex(row->columns[6], bytes[2]);
	RgVerifier *verifier = rg_verifier_hs256(key);
	bool		accepted = rg_verifier_check(verifier, message, tag);
	bool		signs = rg_verifier_sign(verifier, message, whole);
	bool		same = signs && tag.len <= sizeof whole && memcmp(whole, tag.data, tag.len) == 0;

	rg_verifier_free(verifier);
	if (key.len < 32 && rg_verifier_weak_secret(key) == NULL)
		return false;
	return same == is_valid(row) &&
		accepted == (is_valid(row) && strcmp(row->columns[3], "256") == 0);
}

static void
test_vectors(void)
{
	static const VectorTable tables[] = {
		{"es256_p1363.tsv", 262, 8, public_row_agrees},
		{"ed25519.tsv", 151, 8, public_row_agrees},
		{"rs256_2048.tsv", 259, 8, public_row_agrees},
		{"hmac_sha256.tsv", 174, 9, hmac_row_agrees},
	};

	for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
		check_vectors(&tables[i]);
}

/* RFC 8037, appendix A.4; RFC 7515, appendices A.2 and A.3 */
#define RFC8037_KEY "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}"
#define RFC8037_INPUT "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"
#define RFC8037_SIGNATURE "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
#define RFC7515_EC_KEY "{\"kty\":\"EC\",\"crv\":\"P-256\"," \
	"\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\"," \
	"\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}"
#define RFC7515_EC_INPUT "eyJhbGciOiJFUzI1NiJ9." \
	"eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
#define RFC7515_EC_SIGNATURE "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"

static bool
check_encoded(RgVerifier *verifier, const char *input, const char *signature)
{
	uint8_t		bytes[1024];
	RgSlice		decoded = {(const char *) bytes, 0};

	if (sodium_base642bin(bytes, sizeof bytes, signature, strlen(signature), NULL,
						  &decoded.len, NULL, sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0)
		abort();
	return rg_verifier_check(verifier, rg_slice_of(input), decoded);
}

/* A good signature with a byte before it, after it, or missing. */
static void
test_cut(RgVerifier *verifier, const char *input, const char *encoded)
{
	uint8_t		bytes[66] = {0};
	bool		refused;

	if (sodium_base642bin(bytes + 1, 64, encoded, strlen(encoded), NULL, NULL, NULL,
						  sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0)
		abort();
	refused = !rg_verifier_check(verifier, rg_slice_of(input), rg_slice((char *) bytes + 1, 63)) &&
		!rg_verifier_check(verifier, rg_slice_of(input), rg_slice((char *) bytes + 1, 65)) &&
		!rg_verifier_check(verifier, rg_slice_of(input), rg_slice((char *) bytes, 65)) &&
		!rg_verifier_check(verifier, rg_slice_of(input), rg_slice((char *) bytes, 64));
	ok(refused, "%s: a good signature with a byte too many or too few", rg_verifier_alg(verifier));
}

static void
test_examples(void)
{
	RgVerifier *eddsa = rg_jwk_verifier(RG_SLICE(RFC8037_KEY));
	RgVerifier *es256 = rg_jwk_verifier(RG_SLICE(RFC7515_EC_KEY));

	ok(check_encoded(eddsa, RFC8037_INPUT, RFC8037_SIGNATURE), "RFC 8037, A.4: EdDSA");
	ok(!check_encoded(eddsa, RFC8037_INPUT "x", RFC8037_SIGNATURE), "not of another input");
	ok(check_encoded(es256, RFC7515_EC_INPUT, RFC7515_EC_SIGNATURE), "RFC 7515, A.3: ES256");
	ok(!check_encoded(es256, RFC7515_EC_INPUT "x", RFC7515_EC_SIGNATURE), "not of another input");
	ok(check_encoded(es256, RFC7515_EC_INPUT, RFC7515_EC_SIGNATURE), "a bad signature leaves the key as it was");
	test_cut(eddsa, RFC8037_INPUT, RFC8037_SIGNATURE);
	test_cut(es256, RFC7515_EC_INPUT, RFC7515_EC_SIGNATURE);
	ok(ERR_peek_error() == 0, "and nothing in OpenSSL's queue of errors");
	rg_verifier_free(eddsa);
	rg_verifier_free(es256);
}

static void
test_psychic_signatures(void)
{
	static const uint8_t order[] = {
		0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51
	};
	RgVerifier *verifier = rg_jwk_verifier(RG_SLICE(RFC7515_EC_KEY));
	uint8_t		signature[64] = {0};
	RgSlice		slice = {(const char *) signature, sizeof signature};

	ok(!rg_verifier_check(verifier, RG_SLICE("x"), slice), "psychic signature: r = s = 0");
	memcpy(signature, order, 32);
	memcpy(signature + 32, order, 32);
	ok(!rg_verifier_check(verifier, RG_SLICE("x"), slice), "r = s = the order");
	memset(signature, 0, sizeof signature);
	signature[31] = signature[63] = 1;
	ok(!rg_verifier_check(verifier, RG_SLICE("x"), slice), "r = s = 1");
	memset(signature, 0xff, sizeof signature);
	ok(!rg_verifier_check(verifier, RG_SLICE("x"), slice), "r and s all ones");
	rg_verifier_free(verifier);
}

static void
test_lengths(const char *name, RgVerifier *verifier, size_t len)
{
	uint8_t		signature[1100] = {1};

	for (size_t i = 0; i < sizeof signature; i++)
		if (rg_verifier_check(verifier, RG_SLICE("x"), rg_slice((char *) signature, i)))
		{
			ok(false, "%s: a signature of %zu bytes", name, i);
			return;
		}
	ok(true, "%s: no length but %zu is looked at, and none crashes", name, len);
}

static void
test_all_lengths(void)
{
	RgVerifier *eddsa = rg_jwk_verifier(RG_SLICE(RFC8037_KEY));
	RgVerifier *es256 = rg_jwk_verifier(RG_SLICE(RFC7515_EC_KEY));
	RgVerifier *hs256 = rg_verifier_hs256(RG_SLICE("0123456789abcdef0123456789abcdef"));

	test_lengths("EdDSA", eddsa, 64);
	test_lengths("ES256", es256, 64);
	test_lengths("HS256", hs256, 32);
	rg_verifier_free(eddsa);
	rg_verifier_free(es256);
	rg_verifier_free(hs256);
}

static void
refused(RgVerifier *verifier, const char *reason, const char *expected, const char *name)
{
	ok(verifier == NULL && strcmp(reason, expected) == 0, "%s: the key %s", name, reason);
	rg_verifier_free(verifier);
}

static void
test_rsa_keys(void)
{
	static const char three[] = {3};
	static const char one[] = {1};
	static const char padded[] = {0, 1, 0, 1};
	static const char five[] = {1, 0, 0, 0, 1};
	char		modulus[1025];
	const char *reason = "";
	RgVerifier *verifier;

	memset(modulus, 0xff, sizeof modulus);
	verifier = rg_verifier_rs256(rg_slice(modulus, 255), rg_slice(three, 1), &reason);
	refused(verifier, reason, "has fewer than 2048 bits", "weak RSA, 2040 bits");
	verifier = rg_verifier_rs256(rg_slice(modulus, 1025), rg_slice(three, 1), &reason);
	refused(verifier, reason, "has more than 8192 bits", "8200 bits");
	verifier = rg_verifier_rs256(rg_slice(modulus, 256), rg_slice(one, 1), &reason);
	refused(verifier, reason, "has an exponent that is even or one", "exponent 1");
	verifier = rg_verifier_rs256(rg_slice(modulus, 256), rg_slice("\x10", 1), &reason);
	refused(verifier, reason, "has an exponent that is even or one", "exponent 16");
	verifier = rg_verifier_rs256(rg_slice(modulus, 256), rg_slice(padded, 4), &reason);
	refused(verifier, reason, "has an exponent with leading zeros", "padded exponent");
	verifier = rg_verifier_rs256(rg_slice(modulus, 256), rg_slice(five, 5), &reason);
	refused(verifier, reason, "has an exponent of more than 32 bits", "long exponent");
	verifier = rg_verifier_rs256(rg_slice(modulus, 256), rg_slice(NULL, 0), &reason);
	refused(verifier, reason, "has an exponent with leading zeros", "no exponent");
	modulus[0] = 0x7f;
	verifier = rg_verifier_rs256(rg_slice(modulus, 256), rg_slice(three, 1), &reason);
	refused(verifier, reason, "has fewer than 2048 bits", "weak RSA, 2047 bits");
	modulus[0] = 0;
	verifier = rg_verifier_rs256(rg_slice(modulus, 256), rg_slice(three, 1), &reason);
	refused(verifier, reason, "has a modulus with leading zeros", "padded modulus");
	modulus[0] = modulus[255] = (char) 0xf0;
	verifier = rg_verifier_rs256(rg_slice(modulus, 256), rg_slice(three, 1), &reason);
	refused(verifier, reason, "has an even modulus", "even modulus");
}

static void
test_points(void)
{
	char		x[33];
	char		y[33];
	const char *reason = "";
	RgVerifier *verifier;

	memset(x, 0x11, sizeof x);
	memset(y, 0x22, sizeof y);
	verifier = rg_verifier_es256(rg_slice(x, 32), rg_slice(y, 32), &reason);
	refused(verifier, reason, "is no point of the curve", "ES256, off the curve");
	memset(x, 0, sizeof x);
	memset(y, 0, sizeof y);
	verifier = rg_verifier_es256(rg_slice(x, 32), rg_slice(y, 32), &reason);
	refused(verifier, reason, "is no point of the curve", "ES256, zero");
	verifier = rg_verifier_es256(rg_slice(x, 31), rg_slice(y, 32), &reason);
	refused(verifier, reason, "has coordinates that are not of 32 bytes", "ES256, short");
	verifier = rg_verifier_eddsa(rg_slice(x, 32), &reason);
	refused(verifier, reason, "is no point of the curve's main subgroup", "EdDSA, order 4");
	x[0] = 1;
	verifier = rg_verifier_eddsa(rg_slice(x, 32), &reason);
	refused(verifier, reason, "is no point of the curve's main subgroup", "EdDSA, the neutral element");
	memset(x, 0xff, sizeof x);
	verifier = rg_verifier_eddsa(rg_slice(x, 32), &reason);
	refused(verifier, reason, "is no point of the curve's main subgroup", "EdDSA, not canonical");
	verifier = rg_verifier_eddsa(rg_slice(x, 33), &reason);
	refused(verifier, reason, "is not of 32 bytes", "EdDSA, long");
	ok(ERR_peek_error() == 0, "bad keys leave nothing in OpenSSL's queue of errors");
}

static void
expect_weak(const char *secret, const char *expected)
{
	const char *weakness = rg_verifier_weak_secret(rg_slice_of(secret));

	ok(weakness != NULL && strcmp(weakness, expected) == 0, "\"%s\": %s", secret,
	   weakness != NULL ? weakness : "accepted");
}

static void
test_weak_secrets(void)
{
	expect_weak("secret", "is shorter than 32 bytes");
	expect_weak("0123456789abcdef0123456789abcde", "is shorter than 32 bytes");
	expect_weak("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "has fewer than 8 different bytes");
	expect_weak("secretsecretsecretsecretsecretsecret", "has fewer than 8 different bytes");
	expect_weak("changeme-changeme-changeme-changeme-", "repeats itself");
	expect_weak("12345678123456781234567812345678", "repeats itself");
	expect_weak("passw0rd!passw0rd!passw0rd!passw0rd!", "repeats itself");
	expect_weak("abcdefgh1abcdefgh1abcdefgh1abcdefgh1", "repeats itself");
	expect_weak("kwvfotzjpahw.kwvfotzjpahw.kwvfotzjpahw.", "repeats itself");
	expect_weak("12345678901234567890123456789012", "repeats itself");
	expect_weak("abcdefghijklmnopqrstuvwxyz0123456789", "is a run of letters or digits");
	expect_weak("zyxwvutsrqponmlkjihgfedcba9876543210", "is a run of letters or digits");
	expect_weak("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghij", "is a run of letters or digits");
	expect_weak("my-super-secret-jwt-token-key-please-change-me", "is made of well-known words");
	expect_weak("SECRET_changeme_Password_secret_1234", "is made of well-known words");
	expect_weak("qwertyuiop asdfghjkl qwertyuiop 123456", "is made of well-known words");
	expect_weak("your-super-secret-jwt-token-with-at-least-32-characters-long",
				"is an example of somebody's documentation");
	expect_weak("a-string-secret-at-least-256-bits-long", "is an example of somebody's documentation");
	expect_weak("-----BEGIN PUBLIC KEY----- MFkwEwYHKoZIzj0CAQYI", "is a key in PEM, SSH or JSON form");
	expect_weak(RFC8037_KEY, "is a key in PEM, SSH or JSON form");
}

/* Whatever is drawn at random passes, however it is written down. */
static void
test_random_secrets(void)
{
	uint8_t		bytes[32];
	char		text[128];
	int			refusals = 0;

	for (int i = 0; i < 2000; i++)
	{
		randombytes_buf(bytes, sizeof bytes);
		if (i % 2 == 0)
			bytes[0] = '{', bytes[sizeof bytes - 1] = '}';	/* as one in 65,536 has */
		refusals += rg_verifier_weak_secret(rg_slice((char *) bytes, sizeof bytes)) != NULL;
		sodium_bin2hex(text, sizeof text, bytes, sizeof bytes);
		refusals += rg_verifier_weak_secret(rg_slice_of(text)) != NULL;
		refusals += rg_verifier_weak_secret(rg_slice(text, 32)) != NULL;
		sodium_bin2base64(text, sizeof text, bytes, sizeof bytes, sodium_base64_VARIANT_ORIGINAL);
		refusals += rg_verifier_weak_secret(rg_slice_of(text)) != NULL;
		for (int j = 0; j < 64; j++)
			text[j] = '0' + randombytes_uniform(10);
		refusals += rg_verifier_weak_secret(rg_slice(text, 64)) != NULL;
	}
	ok(refusals == 0, "of 10,000 random secrets %d are refused", refusals);
}

int
main(void)
{
	if (sodium_init() < 0)
		return 1;
	test_vectors();
	test_examples();
	test_psychic_signatures();
	test_all_lengths();
	test_rsa_keys();
	test_points();
	test_weak_secrets();
	test_random_secrets();
	return done();
}
