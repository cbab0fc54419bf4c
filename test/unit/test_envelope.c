/*
 * test_envelope.c
 *		XAES-256-GCM against its published answers, and envelopes that were
 *		tampered with.
 *
 * RG_LONG=1 runs the longer of the two published series, of a million messages.
 */
#include <openssl/err.h>
#include <openssl/evp.h>
#include <sodium.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "envelope.h"
#include "tap.h"

#define NONE rg_slice(NULL, 0)
#define LONGEST 1000			/* plaintext that is tampered with */

static bool
hex_equal(const uint8_t *bytes, size_t len, const char *hex)
{
	char		out[256];

	return strcmp(sodium_bin2hex(out, sizeof out, bytes, len), hex) == 0;
}

/*
 * XAES-256-GCM as published: https://c2sp.org/XAES-256-GCM
 */

static void
known_answer(uint8_t key_byte, RgSlice aad, const char *answer, const char *name)
{
	const uint8_t *nonce = (const uint8_t *) "ABCDEFGHIJKLMNOPQRSTUVWX";
	RgSlice		plain = RG_SLICE("XAES-256-GCM");
	uint8_t		key[32];
	uint8_t		out[12 + RG_ENVELOPE_TAG];
	uint8_t		opened[12];
	RgSealer   *sealer;

	memset(key, key_byte, sizeof key);
	sealer = rg_sealer_new(key, 1);
	ok(rg_xaes_seal(sealer, nonce, NONE, aad, plain, out) &&
	   hex_equal(out, sizeof out, answer), "%s", name);
	ok(rg_xaes_open(sealer, nonce, NONE, aad, rg_slice((char *) out, sizeof out), opened) &&
	   memcmp(opened, plain.data, sizeof opened) == 0, "and opens again");
	rg_sealer_free(sealer);
}

/* The most significant bit of L is 0, then 1. */
static void
test_known_answers(void)
{
	known_answer(1, NONE, "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271",
				 "first published answer");
	known_answer(3, RG_SLICE("c2sp.org/XAES-256-GCM"),
				 "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d",
				 "second published answer, with AAD");
}

/* Takes len bytes of the stream, or stops the test. */
static RgSlice
take(RgSlice *stream, size_t len)
{
	RgSlice		taken = {stream->data, len};

	if (len > stream->len)
		abort();
	stream->data += len;
	stream->len -= len;
	return taken;
}

static RgSlice
take_text(RgSlice *stream)
{
	return take(stream, *(const uint8_t *) take(stream, 1).data);
}

/* One message of the series into the digest; whether it opens again. */
static bool
accumulate(RgSlice *stream, EVP_MD_CTX *digest)
{
	RgSealer   *sealer = rg_sealer_new((const uint8_t *) take(stream, 32).data, 1);
	const uint8_t *nonce = (const uint8_t *) take(stream, RG_ENVELOPE_NONCE).data;
	RgSlice		plain = take_text(stream);
	RgSlice		aad = take_text(stream);
	uint8_t		out[UINT8_MAX + RG_ENVELOPE_TAG];
	uint8_t		opened[UINT8_MAX];
	RgSlice		sealed = {(const char *) out, plain.len + RG_ENVELOPE_TAG};
	bool		same = rg_xaes_seal(sealer, nonce, NONE, aad, plain, out) &&
	rg_xaes_open(sealer, nonce, NONE, aad, sealed, opened) &&
	memcmp(opened, plain.data, plain.len) == 0;

	EVP_DigestUpdate(digest, out, sealed.len);
	rg_sealer_free(sealer);
	return same;
}

/* SHAKE128 of nothing, as much as the messages may take; OpenSSL 3.0 gives it but once. */
static char *
make_stream(size_t len)
{
	EVP_MD_CTX *source = EVP_MD_CTX_new();
	char	   *bytes = malloc(len);

	if (bytes == NULL || !EVP_DigestInit_ex(source, EVP_shake128(), NULL) ||
		!EVP_DigestFinalXOF(source, (uint8_t *) bytes, len))
		abort();
	EVP_MD_CTX_free(source);
	return bytes;
}

/*
 * Key, nonce, a length and so much plaintext, a length and so much AAD are read
 * from one SHAKE128; into another go the ciphertexts.  A message takes 313 bytes
 * on average.
 */
static void
test_series(int messages, const char *answer)
{
	RgSlice		stream = {NULL, (size_t) messages * 315 + 100000};
	char	   *bytes = make_stream(stream.len);
	EVP_MD_CTX *digest = EVP_MD_CTX_new();
	uint8_t		out[32];
	bool		same = EVP_DigestInit_ex(digest, EVP_shake128(), NULL);

	stream.data = bytes;
	for (int i = 0; i < messages; i++)
		same &= accumulate(&stream, digest);
	ok(same && EVP_DigestFinalXOF(digest, out, sizeof out) &&
	   hex_equal(out, sizeof out, answer), "published series of %d messages", messages);
	EVP_MD_CTX_free(digest);
	free(bytes);
}

/*
 * Tampering
 */

/* A sealed value and all that opens it. */
typedef struct Sealed
{
	RgSealer   *sealer;
	uint8_t		plain[LONGEST];
	size_t		plain_len;
	char		aad[24];
	uint8_t		envelope[LONGEST + RG_ENVELOPE_OVERHEAD + 1];
	size_t		len;
} Sealed;

static bool
make(RgSealer *sealer, size_t plain_len, Sealed *sealed)
{
	sealed->sealer = sealer;
	sealed->plain_len = plain_len;
	sealed->len = plain_len + RG_ENVELOPE_OVERHEAD;
	randombytes_buf(sealed->plain, plain_len);
	memcpy(sealed->aad, "the place where it lives", sizeof sealed->aad);
	return rg_envelope_seal(sealer, rg_slice(sealed->aad, sizeof sealed->aad),
							rg_slice((char *) sealed->plain, plain_len), sealed->envelope);
}

/* Into a buffer of no more than its length, so that a sanitizer sees an overrun. */
static bool
opens_into(const Sealed *sealed, size_t aad_len, size_t len, uint8_t **out)
{
	size_t		size = len < RG_ENVELOPE_OVERHEAD ? 0 : len - RG_ENVELOPE_OVERHEAD;

	*out = malloc(size + (size == 0));
	memset(*out, 0xa5, size);
	return rg_envelope_open(sealed->sealer, rg_slice(sealed->aad, aad_len),
							rg_slice((const char *) sealed->envelope, len), *out);
}

static bool
opens(const Sealed *sealed)
{
	uint8_t    *out;
	bool		opened = opens_into(sealed, sizeof sealed->aad, sealed->len, &out) &&
	memcmp(out, sealed->plain, sealed->plain_len) == 0;

	free(out);
	return opened;
}

/* Holds out a byte that is neither wiped nor as it was before? */
static bool
has_traces(const uint8_t *out, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (out[i] != 0 && out[i] != 0xa5)
			return true;
	return false;
}

/* Does not open, and leaves nothing behind. */
static bool
refused_as(const Sealed *sealed, size_t aad_len, size_t len)
{
	uint8_t    *out;
	bool		opened = opens_into(sealed, aad_len, len, &out);
	bool		clean = len < RG_ENVELOPE_OVERHEAD || !has_traces(out, len - RG_ENVELOPE_OVERHEAD);

	free(out);
	return !opened && clean;
}

static bool
refused(const Sealed *sealed)
{
	return refused_as(sealed, sizeof sealed->aad, sealed->len);
}

static void
test_each_bit(Sealed *sealed)
{
	size_t		accepted = 0;

	for (size_t bit = 0; bit < sealed->len * 8; bit++)
	{
		sealed->envelope[bit / 8] ^= 1 << bit % 8;
		accepted += !refused(sealed);
		sealed->envelope[bit / 8] ^= 1 << bit % 8;
	}
	ok(accepted == 0, "%zu bytes: no flipped bit of %zu is accepted, and nothing is left in the buffer",
	   sealed->plain_len, sealed->len * 8);
}

static void
test_each_aad_bit(Sealed *sealed)
{
	size_t		accepted = 0;

	for (size_t bit = 0; bit < sizeof sealed->aad * 8; bit++)
	{
		sealed->aad[bit / 8] ^= 1 << bit % 8;
		accepted += !refused(sealed);
		sealed->aad[bit / 8] ^= 1 << bit % 8;
	}
	for (size_t len = 0; len < sizeof sealed->aad; len++)
		accepted += !refused_as(sealed, len, sealed->len);
	ok(accepted == 0, "%zu bytes: no other AAD, by a bit or shorter", sealed->plain_len);
}

static void
test_each_length(Sealed *sealed)
{
	size_t		accepted = 0;

	for (size_t len = 0; len < sealed->len; len++)
		accepted += !refused_as(sealed, sizeof sealed->aad, len);
	for (int byte = 0; byte <= UINT8_MAX; byte++)
	{
		sealed->envelope[sealed->len] = (uint8_t) byte;
		accepted += !refused_as(sealed, sizeof sealed->aad, sealed->len + 1);
	}
	ok(accepted == 0, "%zu bytes: no truncation, and none with a byte more", sealed->plain_len);
}

/* Every version and a foreign key id, in the envelope or in the sealer. */
static void
test_each_header(Sealed *sealed, RgSealer *namesake)
{
	RgSealer   *own = sealed->sealer;
	size_t		accepted = 0;

	for (int version = 0; version <= UINT8_MAX; version++)
	{
		RgSlice		envelope = {(const char *) sealed->envelope, sealed->len};

		sealed->envelope[0] = (uint8_t) version;
		if (version != RG_ENVELOPE_VERSION)
			accepted += !refused(sealed) || rg_envelope_key_id(envelope) != 0;
	}
	sealed->envelope[0] = RG_ENVELOPE_VERSION;
	sealed->sealer = namesake;
	accepted += !refused(sealed);
	sealed->envelope[4] = 6;
	accepted += !refused(sealed);
	sealed->envelope[4] = 5;
	sealed->sealer = own;
	ok(accepted == 0, "%zu bytes: no other version, and not the same key under another id",
	   sealed->plain_len);
}

static void
test_tampering(void)
{
	static const size_t lengths[] = {0, 1, 15, 16, 17, 64, LONGEST};
	uint8_t		key[32] = {7};
	RgSealer   *sealer = rg_sealer_new(key, 5);
	RgSealer   *namesake = rg_sealer_new(key, 6);
	Sealed		sealed;

	for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
	{
		ok(make(sealer, lengths[i], &sealed) && opens(&sealed), "%zu bytes: opens", lengths[i]);
		test_each_bit(&sealed);
		test_each_aad_bit(&sealed);
		test_each_length(&sealed);
		test_each_header(&sealed, namesake);
		ok(opens(&sealed), "%zu bytes: opens after all that", lengths[i]);
	}
	rg_sealer_free(sealer);
	rg_sealer_free(namesake);
}

/* The nonce of one and the rest of another, both good. */
static void
test_mixed(void)
{
	uint8_t		key[32] = {7};
	RgSealer   *sealer = rg_sealer_new(key, 5);
	Sealed		one,
				other;

	ok(make(sealer, 64, &one) && make(sealer, 64, &other), "two envelopes under one AAD");
	memcpy(one.envelope, other.envelope, RG_ENVELOPE_HEADER + RG_ENVELOPE_NONCE);
	ok(refused(&one), "one with the other's nonce");
	memcpy(one.envelope, other.envelope, 64 + RG_ENVELOPE_OVERHEAD - RG_ENVELOPE_TAG);
	ok(refused(&one), "one with all but the tag of the other");
	rg_sealer_free(sealer);
}

static void
test_edges(void)
{
	uint8_t		key[32] = {9};
	RgSealer   *sealer = rg_sealer_new(key, INT32_MAX);
	uint8_t		a[RG_ENVELOPE_OVERHEAD],
				b[RG_ENVELOPE_OVERHEAD],
				out[1];
	RgSlice		envelope = {(const char *) a, sizeof a};

	ok(rg_envelope_seal(sealer, NONE, NONE, a) && rg_envelope_open(sealer, NONE, envelope, out),
	   "an empty plaintext without AAD");
	ok(rg_envelope_seal(sealer, NONE, NONE, b) && memcmp(a, b, sizeof a) != 0,
	   "two envelopes of one plaintext differ");
	ok(hex_equal(a, RG_ENVELOPE_HEADER, "017fffffff"), "version and key id stand first");
	ok(rg_envelope_key_id(envelope) == INT32_MAX, "an envelope names its key");
	ok(!rg_envelope_seal(sealer, NONE, rg_slice("", INT32_MAX), out),
	   "too long a plaintext is not touched");
	rg_sealer_free(sealer);
}

int
main(void)
{
	const char *prolonged = getenv("RG_LONG");

	test_known_answers();
	test_series(10000, "e6b9edf2df6cec60c8cbd864e2211b597fb69a529160cd040d56c0c210081939");
	if (prolonged != NULL && strcmp(prolonged, "1") == 0)
		test_series(1000000, "2163ae1445985a30b60585ee67daa55674df06901b890593e824b8a7c885ab15");
	test_tampering();
	test_mixed();
	test_edges();
	ok(ERR_peek_error() == 0, "nothing in OpenSSL's queue of errors");
	return done();
}
