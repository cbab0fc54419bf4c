/*
 * test_jwk.c
 *		Key sets: what is read, what is ignored, what is refused and why.
 */
#include <sodium.h>
#include <stdlib.h>

#include "jwk.h"
#include "tap.h"

/* The key of RFC 7638, 3.1, whose thumbprint stands there */
#define RFC7638_N \
	"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86z" \
	"wu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5Js" \
	"GY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMic" \
	"AtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-" \
	"bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csF" \
	"Cur-kEgU8awapJzKnqDKgw"
#define RFC7638_THUMBPRINT "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
#define RSA_KEY "\"kty\":\"RSA\",\"n\":\"" RFC7638_N "\",\"e\":\"AQAB\""

/* RFC 8037, A.2 and A.3: a key and its thumbprint */
#define ED_KEY "\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\""
#define RFC8037_THUMBPRINT "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"

/* RFC 7517, A.1 */
#define EC_POINT "\"x\":\"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4\",\"y\":\"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM\""
#define EC_KEY "\"kty\":\"EC\",\"crv\":\"P-256\"," EC_POINT

#define WEAK_N \
	"uNvMns6RB8d718Y6_Do_SHQrWBK7zqBwPPdCwW8pBhMisSK3a540YNUSw0w4Z6OF" \
	"irn0aj7GznnKgzQ_esZpeqSmoyBmzgvKJQVAP-8n3xkneoqMupHmShKfiOkRgPXs" \
	"byI0c9YIqhw0NzGPj6uhCj2M3vmHRbI6L1zqukrVuVs"

static RgJwkSet set;

static bool
parse(const char *text)
{
	return rg_jwks_parse(rg_slice_of(text), &set);
}

static bool
parse_key(const char *members)
{
	char		text[8192];

	snprintf(text, sizeof text, "{\"keys\":[{%s}]}", members);
	return parse(text);
}

static void
usable(const char *members, const char *alg, const char *kid)
{
	bool		parsed = parse_key(members);
	RgVerifier *verifier = parsed ? rg_jwk_verifier(rg_slice_of(set.keys[0].json)) : NULL;

	ok(parsed && set.count == 1 && strcmp(set.keys[0].alg, alg) == 0 &&
	   strcmp(set.keys[0].kid, kid) == 0, "%s key %s", alg, kid);
	ok(verifier != NULL && strcmp(rg_verifier_alg(verifier), alg) == 0, "and its verifier");
	rg_verifier_free(verifier);
}

static void
ignored(const char *members, const char *name)
{
	ok(!parse_key(members) && set.nignored == 1 && set.nrefused == 0 && set.count == 0,
	   "ignored: %s", name);
}

static void
refused(const char *members, const char *reason, const char *name)
{
	bool		parsed = parse_key(members);

	ok(!parsed && set.nrefused == 1 && strcmp(set.refused[0].reason, reason) == 0,
	   "refused: %s: the key %s", name, set.nrefused == 1 ? set.refused[0].reason : "is not refused");
}

static void
bad_set(const char *text, const char *error)
{
	bool		parsed = parse(text);

	ok(!parsed && strcmp(set.error, error) == 0, "the key set %s", parsed ? "is read" : set.error);
}

static void
test_usable(void)
{
	usable(RSA_KEY ",\"kid\":\"2011-04-29\"", "RS256", "2011-04-29");
	usable(RSA_KEY ",\"alg\":\"RS256\",\"use\":\"sig\"", "RS256", RFC7638_THUMBPRINT);
	usable(EC_KEY ",\"kid\":\"1\",\"key_ops\":[\"sign\",\"verify\"]", "ES256", "1");
	usable(ED_KEY ",\"alg\":\"EdDSA\"", "EdDSA", RFC8037_THUMBPRINT);
	ok(parse_key(RSA_KEY ",\"x5c\":[\"MIIB\"],\"x5t\":\"a\",\"nonsense\":{}") &&
	   strcmp(set.keys[0].json, "{\"e\":\"AQAB\",\"kty\":\"RSA\",\"n\":\"" RFC7638_N "\"}") == 0,
	   "of a key only what RFC 7638 requires is kept");
}

static void
test_ignored(void)
{
	ignored(RSA_KEY ",\"use\":\"enc\"", "use enc");
	ignored(RSA_KEY ",\"use\":7", "use a number");
	ignored(RSA_KEY ",\"alg\":\"RS512\"", "alg RS512");
	ignored(RSA_KEY ",\"alg\":\"RSA-OAEP\"", "alg RSA-OAEP");
	ignored(RSA_KEY ",\"alg\":\"none\"", "alg none");
	ignored(RSA_KEY ",\"alg\":\"HS256\"", "an RSA key for HS256");
	ignored(EC_KEY ",\"alg\":\"RS256\"", "an EC key for RS256");
	ignored(ED_KEY ",\"key_ops\":[\"sign\"]", "key_ops without verify");
	ignored(ED_KEY ",\"key_ops\":[]", "key_ops empty");
	ignored(ED_KEY ",\"key_ops\":\"verify\"", "key_ops a string");
	ignored("\"kty\":\"EC\",\"crv\":\"P-384\"," EC_POINT, "P-384");
	ignored("\"kty\":\"EC\"," EC_POINT, "no curve");
	ignored("\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"AAAA\"", "X25519");
	ignored("\"kty\":\"AKP\",\"pub\":\"AAAA\"", "an unknown kty");
	ignored("", "an empty object");
}

static void
test_refused(void)
{
	refused("\"kty\":\"oct\",\"k\":\"AAAA\"", "is a shared secret, which does not come in a key set", "kty oct");
	refused(RSA_KEY ",\"d\":\"AQAB\"", "has private members: it is no secret any more", "d");
	refused(RSA_KEY ",\"p\":\"AQAB\"", "has private members: it is no secret any more", "p");
	refused(RSA_KEY ",\"q\":\"AQAB\"", "has private members: it is no secret any more", "q");
	refused(ED_KEY ",\"d\":null", "has private members: it is no secret any more", "d null");
	refused(EC_KEY ",\"k\":\"AQAB\"", "has private members: it is no secret any more", "k");
	refused(EC_KEY ",\"d\":\"AQAB\",\"use\":\"enc\"", "has private members: it is no secret any more", "d, use enc");
	refused("\"kty\":\"RSA\",\"n\":\"" WEAK_N "\",\"e\":\"AQAB\"", "has fewer than 2048 bits", "weak RSA");
	refused("\"kty\":\"RSA\",\"n\":\"" RFC7638_N "\",\"e\":\"AQ\"", "has an exponent that is even or one", "exponent 1");
	refused("\"kty\":\"RSA\",\"n\":\"" RFC7638_N "\"", "has a member that is missing, too long or not base64url", "no e");
	refused("\"kty\":\"RSA\",\"n\":\"\",\"e\":\"AQAB\"", "has a member that is missing, too long or not base64url", "empty n");
	refused("\"kty\":\"RSA\",\"n\":7,\"e\":\"AQAB\"", "has a member that is missing, too long or not base64url", "n a number");
	refused("\"kty\":\"RSA\",\"n\":\"" RFC7638_N "==\",\"e\":\"AQAB\"", "has a member that is missing, too long or not base64url", "padding");
	refused("\"kty\":\"RSA\",\"n\":\"" RFC7638_N "\",\"e\":\"AR\"", "has a member that is missing, too long or not base64url", "stray bits");
	refused("\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AQAB\",\"y\":\"AQAB\"", "has coordinates that are not of 32 bytes", "short coordinates");
	refused("\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM\",\"y\":\"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4\"", "is no point of the curve", "off the curve");
	refused("\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"", "is no point of the curve's main subgroup", "small order");
	refused(ED_KEY ",\"kid\":\"\"", "has a kid that is no string of 1 to 255 bytes", "kid empty");
	refused(ED_KEY ",\"kid\":5", "has a kid that is no string of 1 to 255 bytes", "kid a number");
}

static void
test_kid_lengths(void)
{
	char		members[1024];
	char		kid[300];

	memset(kid, 'k', sizeof kid);
	kid[255] = '\0';
	snprintf(members, sizeof members, ED_KEY ",\"kid\":\"%s\"", kid);
	usable(members, "EdDSA", kid);
	kid[255] = 'k';
	kid[256] = '\0';
	snprintf(members, sizeof members, ED_KEY ",\"kid\":\"%s\"", kid);
	refused(members, "has a kid that is no string of 1 to 255 bytes", "kid of 256 bytes");
}

/* An RSA key with a modulus of that many bytes, all ones. */
static void
write_rsa(char *members, size_t size, size_t bytes)
{
	static unsigned char ones[1100];
	char		n[2048];

	memset(ones, 0xff, sizeof ones);
	sodium_bin2base64(n, sizeof n, ones, bytes, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
	snprintf(members, size, "\"kty\":\"RSA\",\"kid\":\"k\",\"n\":\"%s\",\"e\":\"_____w\"", n);
}

static void
test_large_keys(void)
{
	char		members[4096];

	write_rsa(members, sizeof members, 1024);
	usable(members, "RS256", "k");
	write_rsa(members, sizeof members, 1025);
	refused(members, "has a member that is missing, too long or not base64url", "8200 bits");
}

static void
test_sets(void)
{
	static char text[400 * 1024] = "{\"keys\":[";

	bad_set("", "is no JSON object");
	bad_set("{\"keys\":[{" RSA_KEY "}]", "is no JSON object");
	bad_set("{\"keys\":[{" RSA_KEY "}]} x", "is no JSON object");
	bad_set("{\"keys\":[{" RSA_KEY ",\"n\":\"AQAB\"}]}", "is no JSON object");
	bad_set("<html>404</html>", "is no JSON object");
	bad_set("[{" RSA_KEY "}]", "has no list of keys");
	bad_set("{" RSA_KEY "}", "has no list of keys");
	bad_set("{\"keys\":[]}", "has no usable key");
	bad_set("{\"keys\":[{" RSA_KEY "},{" RSA_KEY "}]}", "has two keys of one kid");
	bad_set("{\"keys\":[{" RSA_KEY ",\"kid\":\"a\"},{" EC_KEY ",\"kid\":\"a\"}]}", "has two keys of one kid");
	for (int i = 0; i < 65; i++)
		snprintf(text + strlen(text), 200, "%s{" ED_KEY ",\"kid\":\"%d\"}", i > 0 ? "," : "", i);
	strcat(text, "]}");
	bad_set(text, "has more than 64 keys");
	strcpy(strstr(text, ",{" ED_KEY ",\"kid\":\"64\""), "]}");
	ok(parse(text) && set.count == 64, "64 keys are read");
	memset(text + strlen(text), ' ', sizeof text - strlen(text) - 1);
	bad_set(text, "is larger than 256 kB");
}

static void
test_mixture(void)
{
	ok(parse("{\"keys\":[{" RSA_KEY ",\"kid\":\"a\"},{" RSA_KEY ",\"kid\":\"a\",\"use\":\"enc\"},"
			 "{" EC_KEY ",\"kid\":\"b\",\"d\":\"AQAB\"},7,{" ED_KEY ",\"kid\":\"c\"},{\"kty\":\"X\"}],\"more\":1}") &&
	   set.count == 2 && set.nignored == 2 && set.nrefused == 2, "good keys of a set are read whatever else is in it");
	ok(strcmp(set.keys[0].kid, "a") == 0 && strcmp(set.keys[1].kid, "c") == 0, "in its order");
	ok(strcmp(set.refused[0].kid, "b") == 0 && set.refused[1].kid[0] == '\0', "and refusals name theirs");
}

int
main(void)
{
	test_usable();
	test_ignored();
	test_refused();
	test_kid_lengths();
	test_large_keys();
	test_sets();
	test_mixture();
	return done();
}
