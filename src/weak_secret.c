/*
 * weak_secret.c
 *		HS256 secrets that are none; verifier.h has the contract.
 *
 * A token under a guessed secret is as good as a real one, so what stands in
 * documentation, what one hand types along the keyboard and what is made long
 * by saying it again is refused.  Everything here errs towards accepting: a
 * secret of 32 random bytes, in whatever encoding, passes always.
 */
#include "verifier.h"

#include <strings.h>

#define MIN_SECRET 32			/* bytes; RFC 7518, 3.2 */
#define MIN_DISTINCT 8			/* bytes */
#define MIN_REPEATS 3			/* of a piece shorter than MIN_SECRET */
#define MAX_RUNS 3
#define MIN_UNKNOWN 8			/* bytes beside known words and separators */

/* What people write where a secret belongs; longer words before their parts. */
static const char *const known_words[] = {
	"qwertyuiop", "asdfghjkl", "0123456789", "1234567890", "replaceme", "changethis",
	"changeme", "password", "passw0rd", "insecure", "12345678", "default", "example",
	"letmein", "replace", "change", "please", "qwerty", "secret", "123456", "admin",
	"super", "token", "1234", "your", "123", "jwt", "key", "me", "my"
};

/* Whole secrets of documentation, published to be replaced. */
static const char *const published[] = {
	"a-string-secret-at-least-256-bits-long",
	"your-super-secret-jwt-token-with-at-least-32-characters-long",
	"your-secret-key-at-least-32-characters-long",
	"MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"	/* Standard Webhooks, behind whsec_ */
};

static size_t
count_distinct(RgSlice secret)
{
	bool		seen[256] = {false};
	size_t		distinct = 0;

	for (size_t i = 0; i < secret.len; i++)
	{
		distinct += !seen[(uint8_t) secret.data[i]];
		seen[(uint8_t) secret.data[i]] = true;
	}
	return distinct;
}

/* Whether it is one short piece, said MIN_REPEATS times or more. */
static bool
repeats(RgSlice secret)
{
	for (size_t piece = 1; piece < MIN_SECRET && piece <= secret.len / MIN_REPEATS; piece++)
		if (memcmp(secret.data, secret.data + piece, secret.len - piece) == 0)
			return true;
	return false;
}

/* How many runs such as "abcdef", "9876" or "aaaa" it takes to write it. */
static size_t
count_runs(RgSlice secret)
{
	size_t		runs = 1;
	int			step = 2;		/* of the run so far; 2 when not known */

	for (size_t i = 1; i < secret.len; i++)
	{
		int			next = (uint8_t) secret.data[i] - (uint8_t) secret.data[i - 1];

		if (next >= -1 && next <= 1 && (step == 2 || step == next))
		{
			step = next;
			continue;
		}
		runs++;
		step = 2;
	}
	return runs;
}

/* The length of the known word that the text starts with, or 0. */
static size_t
known_word(RgSlice text)
{
	for (size_t i = 0; i < sizeof known_words / sizeof *known_words; i++)
	{
		size_t		len = strlen(known_words[i]);

		if (len <= text.len && strncasecmp(known_words[i], text.data, len) == 0)
			return len;
	}
	return 0;
}

static bool
is_separator(char c)
{
	return c != '\0' && strchr(" -_.,:;/+!=?*@#$%&'\"<>()[]{}\t\r\n", c) != NULL;
}

/* How many bytes are neither separators nor of known words. */
static size_t
count_unknown(RgSlice secret)
{
	size_t		unknown = 0;
	size_t		at = 0;

	while (at < secret.len)
	{
		size_t		len = known_word(rg_slice(secret.data + at, secret.len - at));

		unknown += len == 0 && !is_separator(secret.data[at]);
		at += len > 0 ? len : 1;
	}
	return unknown;
}

static bool
contains(RgSlice text, RgSlice part)
{
	for (size_t at = 0; at + part.len <= text.len; at++)
		if (memcmp(text.data + at, part.data, part.len) == 0)
			return true;
	return false;
}

/*
 * A public key given as the secret would make everybody an issuer.  One secret
 * in 65,536 stands in braces by chance: a JSON Web Key has its type as well.
 */
static bool
is_public_key(RgSlice secret)
{
	return memcmp(secret.data, "-----BEGIN", 10) == 0 ||
		memcmp(secret.data, "ssh-", 4) == 0 ||
		(secret.data[0] == '{' && contains(secret, RG_SLICE("\"kty\"")));
}

static bool
is_published(RgSlice secret)
{
	for (size_t i = 0; i < sizeof published / sizeof *published; i++)
		if (rg_slice_is(secret, published[i]))
			return true;
	return false;
}

const char *
rg_verifier_guessable_secret(RgSlice secret)
{
	if (is_public_key(secret))
		return "is a key in PEM, SSH or JSON form";
	if (count_distinct(secret) < MIN_DISTINCT)
		return "has fewer than 8 different bytes";
	if (repeats(secret))
		return "repeats itself";
	if (count_runs(secret) <= MAX_RUNS)
		return "is a run of letters or digits";
	if (is_published(secret))
		return "is an example of somebody's documentation";
	if (count_unknown(secret) < MIN_UNKNOWN)
		return "is made of well-known words";
	return NULL;
}

const char *
rg_verifier_weak_secret(RgSlice secret)
{
	if (secret.len < MIN_SECRET)
		return "is shorter than 32 bytes";
	return rg_verifier_guessable_secret(secret);
}
