/*
 * test_token.c
 *		Tokens taken apart: each kind of damage has its own answer.
 */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "tap.h"
#include "token.h"

#define SECRET "0123456789abcdef0123456789abcdef"
#define HEADER "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"
#define CLAIMS "{\"iss\":\"i\",\"sub\":\"u\",\"aud\":\"a\",\"exp\":2000000000}"

static void
append(char *token, const void *bytes, size_t len)
{
	sodium_bin2base64(token + strlen(token), 16000 - strlen(token), bytes, len,
					  sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

/* A signed token of that header and payload, in a buffer of its own. */
static char *
sign(const char *header, const char *payload)
{
	static char token[16000];
	uint8_t		signature[RG_HS256_BYTES];
	RgVerifier *signer = rg_verifier_hs256(RG_SLICE(SECRET));

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
	test_verification();
	test_times();
	test_issuing();
	test_secrets();
	return done();
}
