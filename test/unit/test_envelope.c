/*
 * test_envelope.c
 *		XAES-256-GCM against its published answers, and envelopes that were
 *		tampered with.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "envelope.h"
#include "tap.h"

static bool
hex_equal(const uint8_t *bytes, size_t len, const char *hex)
{
	char		out[256] = "";

	for (size_t i = 0; i < len; i++)
		sprintf(out + 2 * i, "%02x", bytes[i]);
	return strcmp(out, hex) == 0;
}

/* https://c2sp.org/XAES-256-GCM: the most significant bit of L is 0, then 1. */
static void
test_known_answers(void)
{
	const uint8_t *nonce = (const uint8_t *) "ABCDEFGHIJKLMNOPQRSTUVWX";
	RgSlice		plain = RG_SLICE("XAES-256-GCM");
	uint8_t		key[32];
	uint8_t		out[12 + RG_ENVELOPE_TAG];
	RgSealer   *sealer;

	memset(key, 1, sizeof key);
	sealer = rg_sealer_new(key, 1);
	ok(rg_xaes_seal(sealer, nonce, rg_slice(NULL, 0), plain, out) &&
	   hex_equal(out, sizeof out, "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"),
	   "first published answer");
	rg_sealer_free(sealer);

	memset(key, 3, sizeof key);
	sealer = rg_sealer_new(key, 1);
	ok(rg_xaes_seal(sealer, nonce, RG_SLICE("c2sp.org/XAES-256-GCM"), plain, out) &&
	   hex_equal(out, sizeof out, "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"),
	   "second published answer, with AAD");
	rg_sealer_free(sealer);
}

static bool
opens(RgSealer *sealer, RgSlice aad, const uint8_t *envelope, size_t len)
{
	uint8_t		plain[64];

	return rg_envelope_open(sealer, aad, rg_slice((const char *) envelope, len), plain);
}

static void
test_tampering(void)
{
	uint8_t		key[32] = {7};
	RgSealer   *sealer = rg_sealer_new(key, 5);
	RgSealer   *other = rg_sealer_new(key, 6);
	RgSlice		plain = RG_SLICE("a secret of some length");
	RgSlice		aad = RG_SLICE("place");
	uint8_t		envelope[64 + RG_ENVELOPE_OVERHEAD];
	size_t		len = plain.len + RG_ENVELOPE_OVERHEAD;
	uint8_t		out[64];
	int			opened = 0;

	ok(rg_envelope_seal(sealer, aad, plain, envelope), "seals");
	ok(rg_envelope_open(sealer, aad, rg_slice((char *) envelope, len), out) &&
	   memcmp(out, plain.data, plain.len) == 0, "opens");
	ok(rg_envelope_key_id(rg_slice((char *) envelope, len)) == 5, "names its key");
	for (size_t bit = 0; bit < len * 8; bit++)
	{
		envelope[bit / 8] ^= 1 << bit % 8;
		opened += opens(sealer, aad, envelope, len);
		envelope[bit / 8] ^= 1 << bit % 8;
	}
	ok(opened == 0, "no single flipped bit is accepted (%zu tried)", len * 8);
	for (size_t cut = 0; cut < len; cut++)
		opened += opens(sealer, aad, envelope, cut);
	ok(opened == 0, "no truncation is accepted");
	ok(!opens(sealer, RG_SLICE("plac"), envelope, len), "another AAD does not open");
	ok(!opens(other, aad, envelope, len), "the same key under another id does not open");
	rg_sealer_free(sealer);
	rg_sealer_free(other);
}

static void
test_edges(void)
{
	uint8_t		key[32] = {9};
	RgSealer   *sealer = rg_sealer_new(key, 1);
	uint8_t		a[RG_ENVELOPE_OVERHEAD],
				b[RG_ENVELOPE_OVERHEAD];
	RgSlice		none = {NULL, 0};

	ok(rg_envelope_seal(sealer, none, none, a) && opens(sealer, none, a, sizeof a),
	   "an empty plaintext without AAD");
	ok(rg_envelope_seal(sealer, none, none, b) && memcmp(a, b, sizeof a) != 0,
	   "two envelopes of one plaintext differ");
	rg_sealer_free(sealer);
}

int
main(void)
{
	test_known_answers();
	test_tampering();
	test_edges();
	return done();
}
