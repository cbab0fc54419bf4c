/*
 * fuzz_cursor.c
 *		Cursors: what the client sends back opens only if it is what we sealed,
 *		and opened bytes are read as they would be written.
 *
 * The first two bytes choose a position and a way to damage a cursor, the rest
 * is taken as a cursor, as opened bytes and as the plaintext of one sealed
 * here.
 */
#include "fuzz.h"

#include "base64url.h"
#include "cursor_text.h"
#include "envelope.h"

#define KEY_ID 7

static RgSealer *
sealer(void)
{
	static const uint8_t key[32] = "the fuzzer's own key, 32 bytes.";
	static RgSealer *made;

	if (made == NULL)
		made = rg_sealer_new(key, KEY_ID);
	require(made != NULL);
	return made;
}

/* The text of a cursor opens to len bytes in *plain, or not at all. */
static bool
open_text(RgSlice text, RgSlice aad, char **plain, size_t *len)
{
	char	   *bytes = malloc(text.len + 1);
	RgSlice		envelope;
	bool		opened = false;

	*plain = NULL;
	if (rg_cursor_decode(text, bytes, &envelope))
	{
		require(envelope.data == bytes && envelope.len <= text.len);
		require(envelope.len >= RG_ENVELOPE_OVERHEAD);
		*len = envelope.len - RG_ENVELOPE_OVERHEAD;
		*plain = malloc(*len + 1);
		opened = rg_envelope_open(sealer(), aad, envelope, (uint8_t *) *plain);
	}
	free(bytes);
	return opened;
}

static void
require_refused(RgSlice text, RgSlice aad)
{
	char	   *plain;
	size_t		len;

	require(!open_text(text, aad, &plain, &len));
	free(plain);
}

/* A cursor is the one encoding of its bytes. */
static void
check_decoding(RgSlice text)
{
	char	   *bytes = malloc(text.len + 1);
	char	   *again = malloc(RG_BASE64URL_SIZE(text.len));
	RgSlice		envelope;

	if (rg_cursor_decode(text, bytes, &envelope))
	{
		require(rg_base64url_encode(envelope, again) == text.len);
		require(memcmp(again, text.data, text.len) == 0);
	}
	free(bytes);
	free(again);
}

static void
check_values(RgSlice opened)
{
	RgSlice		rest = opened;
	char	   *again = malloc(opened.len + 1);
	size_t		written = 0;
	RgCursorValue value;

	while (rg_cursor_take(&rest, &value))
	{
		require(!value.null || value.sent.len == 0);
		require(lies_within(value.sent, opened) && lies_within(rest, opened));
		require(rg_cursor_size(&value) <= opened.len - written);
		written += rg_cursor_put(&value, again + written);
	}
	require(rest.len == opened.len - written);
	require(written == 0 || memcmp(again, opened.data, written) == 0);
	free(again);
}

static char *
seal_text(RgSlice plain, RgSlice aad, size_t *len)
{
	size_t		size = plain.len + RG_ENVELOPE_OVERHEAD;
	uint8_t    *sealed = malloc(size);
	char	   *text = malloc(RG_BASE64URL_SIZE(size));

	require(rg_envelope_seal(sealer(), aad, plain, sealed));
	*len = rg_base64url_encode(rg_slice((char *) sealed, size), text);
	free(sealed);
	return text;
}

/* Sealed here, it opens; with any letter changed, cut off or under another AAD it does not. */
static void
check_sealing(RgSlice plain, uint8_t where, uint8_t how)
{
	RgSlice		aad = RG_SLICE("cursor GET /notes");
	RgSlice		other = RG_SLICE("cursor GET /note");
	size_t		len,
				opened_len;
	char	   *text = seal_text(plain, aad, &len);
	char	   *opened;
	size_t		position = where * len / 256;

	require(open_text(rg_slice(text, len), aad, &opened, &opened_len));
	require(opened_len == plain.len && (plain.len == 0 || memcmp(opened, plain.data, plain.len) == 0));
	free(opened);
	require_refused(rg_slice(text, len), other);
	require_refused(rg_slice(text, position), aad);
	if (how == 0)
		how = 1;
	text[position] ^= how;
	require_refused(rg_slice(text, len), aad);
	free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	RgSlice		rest = rg_slice((const char *) data, size);
	uint8_t		choice[2];

	if (!take_bytes(&rest, choice, sizeof choice))
		return 0;
	check_decoding(rest);
	require_refused(rest, RG_SLICE("cursor GET /notes"));
	check_values(rest);
	check_sealing(rest, choice[0], choice[1]);
	return 0;
}
