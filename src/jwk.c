/*
 * jwk.c
 *		JSON Web Keys; jwk.h has the contract.
 *
 * A key is usable when a verifier can be made of it: what is refused here is
 * what would be refused when the first token comes.
 */
#include "jwk.h"

#include <jansson.h>
#include <sodium.h>
#include <stdio.h>

#include "base64url.h"

#define MAX_NUMBER 1024			/* bytes of a member; RSA with 8192 bits */

typedef RgVerifier *MakeVerifier(RgSlice first, RgSlice second, const char **reason);

static RgVerifier *
make_eddsa(RgSlice x, RgSlice none, const char **reason)
{
	return rg_verifier_eddsa(x, reason);
}

/* The kinds of keys that are read; members as their verifier takes them. */
typedef struct KeyKind
{
	const char *kty;
	const char *crv;			/* NULL: has none */
	const char *alg;
	const char *first;
	const char *second;			/* NULL: has none */
	const char *thumbprint;		/* RFC 7638: the required members, in order */
	MakeVerifier *make;
} KeyKind;

static const KeyKind kinds[] = {
	{"RSA", NULL, "RS256", "n", "e",
	"{\"e\":\"%2$s\",\"kty\":\"RSA\",\"n\":\"%1$s\"}", rg_verifier_rs256},
	{"EC", "P-256", "ES256", "x", "y",
	"{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"%1$s\",\"y\":\"%2$s\"}", rg_verifier_es256},
	{"OKP", "Ed25519", "EdDSA", "x", NULL,
	"{\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":\"%1$s\"}", make_eddsa},
};

/* Of private keys and shared secrets (RFC 7518, section 6) */
static const char *const private_members[] = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"};

static const char *
string_member(const json_t *key, const char *name)
{
	return json_string_value(json_object_get(key, name));
}

static bool
member_is(const json_t *key, const char *name, const char *expected)
{
	const char *value = string_member(key, name);

	return value != NULL && strcmp(value, expected) == 0;
}

static bool
absent_or(const json_t *key, const char *name, const char *expected)
{
	return json_object_get(key, name) == NULL || member_is(key, name, expected);
}

static const KeyKind *
find_kind(const json_t *key)
{
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (member_is(key, "kty", kinds[i].kty) &&
			(kinds[i].crv == NULL || member_is(key, "crv", kinds[i].crv)) &&
			absent_or(key, "alg", kinds[i].alg))
			return &kinds[i];
	return NULL;
}

static bool
is_for_signatures(const json_t *key)
{
	const json_t *operations = json_object_get(key, "key_ops");
	const json_t *operation;
	size_t		i;

	if (!absent_or(key, "use", "sig"))
		return false;
	if (operations == NULL)
		return true;
	json_array_foreach(operations, i, operation)
		if (json_is_string(operation) && strcmp(json_string_value(operation), "verify") == 0)
		return true;
	return false;
}

static bool
has_private_member(const json_t *key)
{
	for (size_t i = 0; i < sizeof private_members / sizeof *private_members; i++)
		if (json_object_get(key, private_members[i]) != NULL)
			return true;
	return false;
}

/* Decodes a member; false when it is not there or not the one base64url. */
static bool
decode_member(const json_t *key, const char *name, uint8_t *bytes, RgSlice *number)
{
	const json_t *value = json_object_get(key, name);
	RgSlice		text = {json_string_value(value), json_string_length(value)};

	number->data = (const char *) bytes;
	return text.data != NULL && text.len > 0 &&
		rg_base64url_decode(text, bytes, MAX_NUMBER, &number->len);
}

/* A verifier of the key, which has been found to be of that kind. */
static RgVerifier *
make_verifier(const json_t *key, const KeyKind *kind, const char **reason)
{
	uint8_t		bytes[2][MAX_NUMBER];
	RgSlice		first;
	RgSlice		second = {NULL, 0};

	*reason = "has a member that is missing, too long or not base64url";
	if (!decode_member(key, kind->first, bytes[0], &first) ||
		(kind->second != NULL && !decode_member(key, kind->second, bytes[1], &second)))
		return NULL;
	return kind->make(first, second, reason);
}

/* Its decoded members are canonical, so they need no escapes. */
static bool
write_json(const json_t *key, const KeyKind *kind, RgJwk *jwk)
{
	int			len = snprintf(jwk->json, sizeof jwk->json, kind->thumbprint,
							   string_member(key, kind->first),
							   kind->second != NULL ? string_member(key, kind->second) : "");

	return len > 0 && (size_t) len < sizeof jwk->json;
}

static void
write_thumbprint(RgJwk *jwk)
{
	unsigned char hash[crypto_hash_sha256_BYTES];
	RgSlice		bytes = {(const char *) hash, sizeof hash};

	crypto_hash_sha256(hash, (const unsigned char *) jwk->json, strlen(jwk->json));
	jwk->kid[rg_base64url_encode(bytes, jwk->kid)] = '\0';
}

/* Copies the key's own kid; false when it has one that no token can name. */
static bool
copy_kid(const json_t *key, char copy[RG_KID_SIZE])
{
	const json_t *kid = json_object_get(key, "kid");
	size_t		len = json_string_length(kid);

	copy[0] = '\0';
	if (kid == NULL)
		return true;
	if (len == 0 || len >= RG_KID_SIZE)
		return false;
	memcpy(copy, json_string_value(kid), len + 1);
	return true;
}

/*
 * Why a key must not be trusted with signatures, or NULL.  Private members are
 * looked for first: whatever else such a key says, its owner has to hear that
 * it is published.
 */
static const char *
find_fault(const json_t *key)
{
	if (!json_is_object(key))
		return "is no object";
	if (member_is(key, "kty", "oct"))
		return "is a shared secret, which does not come in a key set";
	if (has_private_member(key))
		return "has private members: it is no secret any more";
	return NULL;
}

/* Reads a key that is for signatures; false, with a reason, if it is not fit. */
static bool
read_key(const json_t *key, const KeyKind *kind, RgJwk *jwk, const char **reason)
{
	RgVerifier *verifier;

	*reason = "has a kid that is no string of 1 to 255 bytes";
	if (!copy_kid(key, jwk->kid))
		return false;
	verifier = make_verifier(key, kind, reason);
	rg_verifier_free(verifier);
	if (verifier == NULL || !write_json(key, kind, jwk))
		return false;
	jwk->alg = kind->alg;
	if (jwk->kid[0] == '\0')
		write_thumbprint(jwk);
	return true;
}

static json_t *
load(RgSlice text)
{
	return json_loadb(text.len > 0 ? text.data : "", text.len, JSON_REJECT_DUPLICATES, NULL);
}

RgVerifier *
rg_jwk_verifier(RgSlice json)
{
	json_t	   *key = load(json);
	const KeyKind *kind = find_kind(key);
	const char *reason;
	RgVerifier *verifier = kind != NULL ? make_verifier(key, kind, &reason) : NULL;

	json_decref(key);
	return verifier;
}

static bool
has_kid(const RgJwkSet *set, const char *kid)
{
	for (int i = 0; i < set->count; i++)
		if (strcmp(set->keys[i].kid, kid) == 0)
			return true;
	return false;
}

static void
refuse(RgJwkSet *set, const json_t *key, const char *reason)
{
	RgJwkRefusal *refusal = &set->refused[set->nrefused++];

	refusal->reason = reason;
	(void) copy_kid(key, refusal->kid);
}

/* Adds a key to the set; false when its kid is there already. */
static bool
add_key(RgJwkSet *set, const json_t *key)
{
	RgJwk	   *next = &set->keys[set->count];
	const KeyKind *kind = find_kind(key);
	const char *reason = find_fault(key);

	if (reason == NULL && (kind == NULL || !is_for_signatures(key)))
		set->nignored++;
	else if (reason != NULL || !read_key(key, kind, next, &reason))
		refuse(set, key, reason);
	else if (has_kid(set, next->kid))
		return false;
	else
		set->count++;
	return true;
}

static const char *
read_set(RgJwkSet *set, const json_t *keys)
{
	const json_t *key;
	size_t		i;

	if (!json_is_array(keys))
		return "has no list of keys";
	if (json_array_size(keys) > RG_JWKS_MAX_KEYS)
		return "has more than 64 keys";
	json_array_foreach(keys, i, key)
		if (!add_key(set, key))
		return "has two keys of one kid";
	return set->count == 0 ? "has no usable key" : NULL;
}

bool
rg_jwks_parse(RgSlice text, RgJwkSet *set)
{
	json_t	   *document;

	set->count = set->nrefused = set->nignored = 0;
	set->error = "is larger than 256 kB";
	if (text.len > RG_JWKS_MAX_BYTES)
		return false;
	document = load(text);
	set->error = document != NULL ? read_set(set, json_object_get(document, "keys")) :
		"is no JSON object";
	json_decref(document);
	return set->error == NULL;
}
