/*
 * ratchet.c
 *		The ratchet of the audit log's seals; ratchet.h describes it.
 */
#include "ratchet.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>

#define TITLE "relay_guard audit ratchet 1\n"
#define CONTEXT "ratchet_"
#define MAX_DIGITS 18

bool
rg_ratchet_new(RgRatchet *ratchet)
{
	if (sodium_init() < 0)
		return false;
	ratchet->step = 0;
	randombytes_buf(ratchet->key, sizeof ratchet->key);
	return true;
}

/* Takes what every text has in that place. */
static bool
take(RgSlice *text, const char *expected)
{
	size_t		len = strlen(expected);

	if (text->len < len || memcmp(text->data, expected, len) != 0)
		return false;
	*text = rg_slice(text->data + len, text->len - len);
	return true;
}

static bool
take_number(RgSlice *text, int64_t *number)
{
	size_t		len = 0;

	*number = 0;
	for (; len < text->len && text->data[len] >= '0' && text->data[len] <= '9'; len++)
	{
		if (len == MAX_DIGITS)
			return false;
		*number = *number * 10 + (text->data[len] - '0');
	}
	*text = rg_slice(text->data + len, text->len - len);
	return len > 0;
}

static bool
take_key(RgSlice *text, uint8_t key[RG_RATCHET_KEY_BYTES])
{
	size_t		encoded = RG_RATCHET_KEY_TEXT_SIZE - 1;
	size_t		len;

	if (text->len < encoded ||
		sodium_base642bin(key, RG_RATCHET_KEY_BYTES, text->data, encoded, NULL, &len,
						  NULL, sodium_base64_VARIANT_ORIGINAL) != 0)
		return false;
	*text = rg_slice(text->data + encoded, text->len - encoded);
	return len == RG_RATCHET_KEY_BYTES;
}

bool
rg_ratchet_parse(RgSlice text, RgRatchet *ratchet)
{
	bool		parsed = take(&text, TITLE) && take(&text, "step ") &&
	take_number(&text, &ratchet->step) && take(&text, "\nkey ") &&
	take_key(&text, ratchet->key) && take(&text, "\n") && text.len == 0;

	if (!parsed)
		rg_ratchet_wipe(ratchet);
	return parsed;
}

void
rg_ratchet_format_key(const RgRatchet *ratchet, char text[RG_RATCHET_KEY_TEXT_SIZE])
{
	sodium_bin2base64(text, RG_RATCHET_KEY_TEXT_SIZE, ratchet->key, sizeof ratchet->key,
					  sodium_base64_VARIANT_ORIGINAL);
}

size_t
rg_ratchet_format(const RgRatchet *ratchet, char text[RG_RATCHET_TEXT_SIZE])
{
	char		key[RG_RATCHET_KEY_TEXT_SIZE];
	int			len;

	rg_ratchet_format_key(ratchet, key);
	len = snprintf(text, RG_RATCHET_TEXT_SIZE, TITLE "step %" PRId64 "\nkey %s\n",
				   ratchet->step, key);
	sodium_memzero(key, sizeof key);
	return (size_t) len;
}

void
rg_ratchet_advance(RgRatchet *ratchet)
{
	uint8_t		next[RG_RATCHET_KEY_BYTES];

	crypto_kdf_derive_from_key(next, sizeof next, 1, CONTEXT, ratchet->key);
	memcpy(ratchet->key, next, sizeof next);
	sodium_memzero(next, sizeof next);
	ratchet->step++;
}

bool
rg_ratchet_advance_to(RgRatchet *ratchet, int64_t step)
{
	if (step < ratchet->step || step - ratchet->step > RG_RATCHET_MAX_ADVANCE)
		return false;
	while (ratchet->step < step)
		rg_ratchet_advance(ratchet);
	return true;
}

void
rg_ratchet_wipe(RgRatchet *ratchet)
{
	sodium_memzero(ratchet, sizeof *ratchet);
}
