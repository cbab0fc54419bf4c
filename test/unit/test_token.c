/*
 * test_token.c
 *		Tokens taken apart: each kind of damage has its own answer.
 */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "jwk.h"
#include "tap.h"
#include "token.h"

#define SECRET "0123456789abcdef0123456789abcdef"
#define HEADER "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"
#define CLAIMS "{\"iss\":\"i\",\"sub\":\"u\",\"aud\":\"a\",\"exp\":2000000000}"

static void
append(char *token, const void *bytes, size_t len)
{
	sodium_bin2base64(token + strlen(token), 40000 - strlen(token), bytes, len,
					  sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

/* A token signed with that secret, in a buffer of its own. */
static char *
sign_with(RgSlice secret, const char *header, const char *payload)
{
	static char token[40000];
	uint8_t		signature[RG_HS256_BYTES];
	RgVerifier *signer = rg_verifier_hs256(secret);

	*token = '\0';
	append(token, header, strlen(header));
	strcat(token, ".");
	append(token, payload, strlen(payload));
	if (!rg_verifier_sign(signer, rg_slice(token, strlen(token)), signature))
		abort();
	strcat(token, ".");
	append(token, signature, sizeof signature);
	rg_verifier_free(signer);
	return token;
}

static char *
sign(const char *header, const char *payload)
{
	return sign_with(RG_SLICE(SECRET), header, payload);
}

static RgTokenError
parse(const char *text)
{
	static RgToken token;

	return rg_token_parse(rg_slice(text, strlen(text)), &token);
}

static void
expect(const char *text, RgTokenError expected, const char *name)
{
	RgTokenError error = parse(text);

	ok(error == expected, "%s: %s", name, rg_token_reason(error));
}

static void
test_shape(void)
{
	char	   *token = sign(HEADER, CLAIMS);
	char		damaged[16000];

	expect(token, RG_TOKEN_OK, "a good token");
	expect("", RG_TOKEN_MALFORMED, "empty");
	expect("a.b", RG_TOKEN_MALFORMED, "two parts");
	snprintf(damaged, sizeof damaged, "%s.e30", token);
	expect(damaged, RG_TOKEN_MALFORMED, "four parts");
	snprintf(damaged, sizeof damaged, "%s=", token);
	expect(damaged, RG_TOKEN_MALFORMED, "padding");
	snprintf(damaged, sizeof damaged, "%s\n", token);
	expect(damaged, RG_TOKEN_MALFORMED, "trailing byte");
	snprintf(damaged, sizeof damaged, "%s", token);
	*strrchr(damaged, '.') = '\0';
	strcat(damaged, ".\x9e\x8e__");
	expect(damaged, RG_TOKEN_MALFORMED, "bytes that are not ASCII");
	memset(damaged, 'a', 9000);
	damaged[9000] = '\0';
	expect(damaged, RG_TOKEN_TOO_LONG, "nine thousand bytes");
	expect("'; DROP TABLE users; --", RG_TOKEN_MALFORMED, "SQL");
}

static void
test_header(void)
{
	expect(sign("{\"typ\":\"JWT\"}", CLAIMS), RG_TOKEN_BAD_HEADER, "no alg");
	expect(sign("{\"alg\":5}", CLAIMS), RG_TOKEN_BAD_HEADER, "alg a number");
	expect(sign("{\"alg\":\"HS256\",\"crit\":[\"exp\"]}", CLAIMS), RG_TOKEN_BAD_HEADER, "crit");
	expect(sign("{\"alg\":\"HS256\",\"jwk\":{}}", CLAIMS), RG_TOKEN_BAD_HEADER, "embedded jwk");
	expect(sign("{\"alg\":\"HS256\",\"jku\":\"http://x\"}", CLAIMS), RG_TOKEN_BAD_HEADER, "jku");
	expect(sign("{\"alg\":\"HS256\",\"alg\":\"none\"}", CLAIMS), RG_TOKEN_MALFORMED, "duplicate member");
	expect(sign("[]", CLAIMS), RG_TOKEN_MALFORMED, "not an object");
}

static void
test_claims(void)
{
	expect(sign(HEADER, "{\"iss\":\"i\",\"sub\":\"u\",\"exp\":2000000000}"), RG_TOKEN_MISSING_CLAIM, "no aud");
	expect(sign(HEADER, "{\"iss\":\"i\",\"sub\":\"u\",\"aud\":\"a\"}"), RG_TOKEN_MISSING_CLAIM, "no exp");
	expect(sign(HEADER, "{\"iss\":\"i\",\"aud\":\"a\",\"exp\":2000000000}"), RG_TOKEN_MISSING_CLAIM, "no sub");
	expect(sign(HEADER, "{\"sub\":\"u\",\"aud\":\"a\",\"exp\":2000000000}"), RG_TOKEN_MISSING_CLAIM, "no iss");
	expect(sign(HEADER, "{\"iss\":\"i\",\"sub\":\"u\",\"aud\":\"a\",\"exp\":\"x\"}"), RG_TOKEN_BAD_CLAIM, "exp a string");
	expect(sign(HEADER, "{\"iss\":\"i\",\"sub\":\"u\",\"aud\":\"a\",\"exp\":1e300}"), RG_TOKEN_BAD_CLAIM, "exp beyond time");
	expect(sign(HEADER, "{\"iss\":\"i\",\"sub\":7,\"aud\":\"a\",\"exp\":2000000000}"), RG_TOKEN_BAD_CLAIM, "sub a number");
	expect(sign(HEADER, "{\"iss\":\"i\",\"sub\":\"u\",\"aud\":[\"b\",\"a\"],\"exp\":2000000000.5}"), RG_TOKEN_OK, "aud a list, exp with a fraction");
	expect(sign(HEADER, "{\"iss\":\"i\",\"sub\":\"\\ud800\",\"aud\":\"a\",\"exp\":2}"), RG_TOKEN_MALFORMED, "half a surrogate");
	expect(sign(HEADER, "{\"iss\":\"i\",\"sub\":\"u\\u0000x\",\"aud\":\"a\",\"exp\":2}"), RG_TOKEN_MALFORMED, "a NUL in a claim");
}

static const char *
session_of(const char *members)
{
	static RgToken token;
	char		claims[256];
	const char *text;

	snprintf(claims, sizeof claims,
			 "{\"iss\":\"i\",\"sub\":\"u\",\"aud\":\"a\",\"exp\":2000000000%s}", members);
	text = sign(HEADER, claims);
	return rg_token_parse(rg_slice_of(text), &token) == RG_TOKEN_OK ? token.session : "refused";
}

static void
test_session(void)
{
	ok(strcmp(session_of(""), "") == 0, "no session");
	ok(strcmp(session_of(",\"session_id\":\"s\",\"sid\":\"t\""), "s") == 0, "session_id counts before sid");
	ok(strcmp(session_of(",\"sid\":\"t\""), "t") == 0, "sid");
	ok(strcmp(session_of(",\"session_id\":\"\",\"sid\":\"t\""), "t") == 0, "an empty session_id hides no sid");
	ok(strcmp(session_of(",\"session_id\":7"), "refused") == 0, "session_id a number");
}

static void
test_verification(void)
{
	static RgToken token;
	char	   *text = sign(HEADER, CLAIMS);
	RgVerifier *right = rg_verifier_hs256(RG_SLICE(SECRET));
	RgVerifier *wrong = rg_verifier_hs256(RG_SLICE("another secret, thirty-two bytes!"));

	ok(rg_token_parse(rg_slice(text, strlen(text)), &token) == RG_TOKEN_OK &&
	   rg_token_verify(&token, right) == RG_TOKEN_OK, "the right key");
	ok(rg_token_verify(&token, wrong) == RG_TOKEN_BAD_SIGNATURE, "another key");
	token.signature[0] ^= 1;
	ok(rg_token_verify(&token, right) == RG_TOKEN_BAD_SIGNATURE, "one bit of the signature");
	token.signature[0] ^= 1;
	token.signature_len = 31;
	ok(rg_token_verify(&token, right) == RG_TOKEN_BAD_SIGNATURE, "a short signature");
	strcpy(token.alg, "none");
	ok(rg_token_verify(&token, right) == RG_TOKEN_WRONG_ALGORITHM, "alg none");
	ok(rg_token_check_audience(&token, "a") == RG_TOKEN_OK &&
	   rg_token_check_audience(&token, "b") == RG_TOKEN_WRONG_AUDIENCE, "the audience");
	rg_verifier_free(right);
	rg_verifier_free(wrong);
}

/* RFC 7638, 3.1; RFC 7517, A.1; RFC 8037, A.2 */
#define RSA_KEY "{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"" \
	"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86z" \
	"wu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5Js" \
	"GY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMic" \
	"AtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-" \
	"bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csF" \
	"Cur-kEgU8awapJzKnqDKgw\"}"
#define EC_KEY "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4\"," \
	"\"y\":\"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM\"}"
#define ED_KEY "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}"

static RgTokenError
verify(const char *text, RgVerifier *key)
{
	static RgToken token;
	RgTokenError error = rg_token_parse(rg_slice(text, strlen(text)), &token);

	return error != RG_TOKEN_OK ? error : rg_token_verify(&token, key);
}

/* Every name of an algorithm against a key: only its own gets to its signature. */
static void
test_algorithms_of(RgVerifier *key)
{
	static const char *const algs[] = {
		"HS256", "RS256", "ES256", "EdDSA", "HS384", "HS512", "RS384", "RS512", "PS256",
		"ES384", "ES256K", "Ed25519", "none", "None", "NONE", "nOnE", "hs256", "HS256 "
	};

	for (size_t i = 0; i < sizeof algs / sizeof *algs; i++)
	{
		bool		own = strcmp(algs[i], rg_verifier_alg(key)) == 0;
		char		header[64];
		RgTokenError error;

		snprintf(header, sizeof header, "{\"alg\":\"%s\"}", algs[i]);
		error = verify(sign_with(RG_SLICE("not the secret of anybody here!!"), header, CLAIMS), key);
		ok(error == (own ? RG_TOKEN_BAD_SIGNATURE : RG_TOKEN_WRONG_ALGORITHM),
		   "alg %s under a key for %s: %s", algs[i], rg_verifier_alg(key), rg_token_reason(error));
	}
}

static void
test_algorithms(void)
{
	RgVerifier *keys[] = {
		rg_verifier_hs256(RG_SLICE(SECRET)), rg_jwk_verifier(RG_SLICE(RSA_KEY)),
		rg_jwk_verifier(RG_SLICE(EC_KEY)), rg_jwk_verifier(RG_SLICE(ED_KEY))
	};

	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
	{
		test_algorithms_of(keys[i]);
		rg_verifier_free(keys[i]);
	}
}

/* The attack on libraries that let the header choose: CVE-2015-9235. */
static void
test_public_key_as_secret(void)
{
	static const char pem[] = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n-----END PUBLIC KEY-----\n";
	RgSlice		forms[] = {RG_SLICE(RSA_KEY), RG_SLICE(pem), RG_SLICE("AQAB"), RG_SLICE("\x30\x82\x01\x22")};
	RgVerifier *key = rg_jwk_verifier(RG_SLICE(RSA_KEY));

	for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
	{
		RgTokenError as_hs256 = verify(sign_with(forms[i], HEADER, CLAIMS), key);
		RgTokenError as_rs256 = verify(sign_with(forms[i], "{\"alg\":\"RS256\"}", CLAIMS), key);

		ok(as_hs256 == RG_TOKEN_WRONG_ALGORITHM && as_rs256 == RG_TOKEN_BAD_SIGNATURE,
		   "a public key as HMAC secret, form %zu: %s, %s", i,
		   rg_token_reason(as_hs256), rg_token_reason(as_rs256));
	}
	rg_verifier_free(key);
}

static void
test_more_headers(void)
{
	static const char *const refused[] = {
		"\"x5u\":\"https://x\"", "\"x5c\":[\"MIIB\"]", "\"jwk\":null", "\"crit\":[]", "\"b64\":false",
		"\"kid\":5", "\"kid\":null", "\"kid\":[\"a\"]"
	};
	char		header[12000];

	for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
	{
		snprintf(header, sizeof header, "{\"alg\":\"HS256\",%s}", refused[i]);
		expect(sign(header, CLAIMS), RG_TOKEN_BAD_HEADER, refused[i]);
	}
	expect(sign("{\"alg\":\"HS256\",\"kid\":\"' OR 1=1 --\"}", CLAIMS), RG_TOKEN_OK, "SQL in a kid is a kid");
	snprintf(header, sizeof header, "{\"alg\":\"HS256\",\"kid\":\"%01000d\"}", 0);
	expect(sign(header, CLAIMS), RG_TOKEN_BAD_HEADER, "kid of 1 kB");
	snprintf(header, sizeof header, "{\"alg\":\"HS256\",\"kid\":\"%05000d\"}", 0);
	expect(sign(header, CLAIMS), RG_TOKEN_MALFORMED, "kid of 5 kB");
	snprintf(header, sizeof header, "{\"alg\":\"HS256\",\"kid\":\"%010000d\"}", 0);
	expect(sign(header, CLAIMS), RG_TOKEN_TOO_LONG, "kid of 10 kB");
	expect(sign("{\"alg\":\"HS256\",\"\\u0061lg\":\"none\"}", CLAIMS), RG_TOKEN_MALFORMED, "alg twice, once escaped");
	expect(sign("{\"alg\":\"HS256\",\"kid\":\"\xff\"}", CLAIMS), RG_TOKEN_MALFORMED, "a header that is no UTF-8");
	expect(sign(HEADER, "{\"iss\":\"\xc0\xaf\",\"sub\":\"u\",\"aud\":\"a\",\"exp\":2}"), RG_TOKEN_MALFORMED, "an overlong slash");
}

static void
test_more_times(void)
{
	static const struct
	{
		const char *exp;
		RgTokenError expected;
	}			cases[] = {
		{"\"2000000000\"", RG_TOKEN_BAD_CLAIM}, {"null", RG_TOKEN_BAD_CLAIM}, {"true", RG_TOKEN_BAD_CLAIM},
		{"-1", RG_TOKEN_BAD_CLAIM}, {"-9223372036854775808", RG_TOKEN_BAD_CLAIM},
		{"9223372036854775807", RG_TOKEN_BAD_CLAIM}, {"99999999999999999999", RG_TOKEN_MALFORMED},
		{"1e400", RG_TOKEN_MALFORMED}, {"NaN", RG_TOKEN_MALFORMED}, {"0x7fffffff", RG_TOKEN_MALFORMED},
		{"2000000000,\"exp\":1", RG_TOKEN_MALFORMED}, {"2e9", RG_TOKEN_OK},
	};
	char		claims[256];

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
	{
		snprintf(claims, sizeof claims, "{\"iss\":\"i\",\"sub\":\"u\",\"aud\":\"a\",\"exp\":%s}", cases[i].exp);
		expect(sign(HEADER, claims), cases[i].expected, cases[i].exp);
	}
}

/* Puts a byte in place of one of the token's. */
static void
expect_changed(const char *token, size_t at, char byte, RgTokenError expected, const char *name)
{
	char		changed[16000];

	snprintf(changed, sizeof changed, "%s", token);
	changed[at] = byte;
	expect(changed, expected, name);
}

static void
test_letters(void)
{
	char		token[16000];
	size_t		header = strlen("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9");
	size_t		len;
	int			stray = 0;

	strcpy(token, sign(HEADER, CLAIMS));
	len = strlen(token);
	expect_changed(token, 3, '+', RG_TOKEN_MALFORMED, "+ in the header");
	expect_changed(token, header + 3, '/', RG_TOKEN_MALFORMED, "/ in the claims");
	expect_changed(token, len - 3, '=', RG_TOKEN_MALFORMED, "= within the signature");
	expect_changed(token, len - 1, '=', RG_TOKEN_MALFORMED, "= at the end");
	expect_changed(token, 5, ' ', RG_TOKEN_MALFORMED, "a space");
	expect_changed(token, 5, '\x80', RG_TOKEN_MALFORMED, "a byte beyond ASCII");
	/* 32 bytes leave two bits of the last letter: 0 in the one encoding */
	for (const char *letter = "BCDFGHJKLNOPRSTVWXZabdefhijlmnpqrtuvxyz1235679-_"; *letter != '\0'; letter++)
	{
		token[len - 1] = *letter;
		stray += parse(token) == RG_TOKEN_MALFORMED;
	}
	ok(stray == 48, "a last letter with stray bits: %d of 48 refused", stray);
	snprintf(token, sizeof token, "%s.e30.e30", sign(HEADER, CLAIMS));
	expect(token, RG_TOKEN_MALFORMED, "five parts, JWE");
}

static void
test_times(void)
{
	ok(rg_token_check_times(100, 0, 0, 129, 30) == RG_TOKEN_OK, "expired within the leeway");
	ok(rg_token_check_times(100, 0, 0, 130, 30) == RG_TOKEN_EXPIRED, "expired");
	ok(rg_token_check_times(999, 131, 0, 100, 30) == RG_TOKEN_NOT_YET_VALID, "not yet valid");
	ok(rg_token_check_times(999, 0, 131, 100, 30) == RG_TOKEN_NOT_YET_VALID, "issued in the future");
}

static void
test_issuing(void)
{
	static RgToken token;
	RgVerifier *signer = rg_verifier_hs256(RG_SLICE(SECRET));
	RgTokenClaims claims = {
		.iss = RG_SLICE("me"),.aud = RG_SLICE("you"),.sub = RG_SLICE("Zo\xc3\xab \"q\""),
		.scope = RG_SLICE("a b"),.iat = 10,.exp = 20,
	};
	char	   *text = rg_token_issue(&claims, "k1", signer);

	ok(text != NULL && rg_token_parse(rg_slice(text, strlen(text)), &token) == RG_TOKEN_OK &&
	   rg_token_verify(&token, signer) == RG_TOKEN_OK, "an issued token verifies");
	ok(strcmp(token.sub, "Zo\xc3\xab \"q\"") == 0 && strcmp(token.kid, "k1") == 0 &&
	   strcmp(token.scope, "a b") == 0 && token.exp == 20, "and says what went in");
	free(text);
	claims.sub = RG_SLICE("\xff");
	ok(rg_token_issue(&claims, "k1", signer) == NULL, "a subject that is no UTF-8 is refused");
	rg_verifier_free(signer);
}

static void
test_secrets(void)
{
	ok(rg_verifier_weak_secret(RG_SLICE("secret")) != NULL, "a short secret is weak");
	ok(rg_verifier_weak_secret(RG_SLICE("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")) != NULL, "so is one letter");
	ok(rg_verifier_weak_secret(RG_SLICE(SECRET)) == NULL, "32 bytes will do");
}

int
main(void)
{
	test_shape();
	test_header();
	test_claims();
	test_session();
	test_verification();
	test_algorithms();
	test_public_key_as_secret();
	test_more_headers();
	test_more_times();
	test_letters();
	test_times();
	test_issuing();
	test_secrets();
	return done();
}
