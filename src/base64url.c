/*
 * base64url.c
 *		Base64 for URLs; base64url.h has the contract.
 */
#include "base64url.h"

#include <openssl/evp.h>
#include <stdint.h>

/* The value of each digit and one; 0 for what is none. */
static const uint8_t digits[256] = {
	['A'] = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13,
	['N'] = 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26,
	['a'] = 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39,
	['n'] = 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52,
	['0'] = 53, 54, 55, 56, 57, 58, 59, 60, 61, 62,
	['-'] = 63,
	['_'] = 64
};

size_t
rg_base64url_encode(RgSlice bytes, char *out)
{
	size_t		len = EVP_EncodeBlock((unsigned char *) out,
									  (const unsigned char *) bytes.data, bytes.len);

	while (len > 0 && out[len - 1] == '=')
		len--;
	for (size_t i = 0; i < len; i++)
	{
		if (out[i] == '+')
			out[i] = '-';
		else if (out[i] == '/')
			out[i] = '_';
	}
	return len;
}

/*
 * Up to four digits become bits, those that are missing zeros.  False when one
 * is no digit.
 */
static bool
take_digits(const uint8_t *in, size_t count, uint32_t *bits)
{
	bool		valid = true;

	*bits = 0;
	for (size_t i = 0; i < 4; i++)
	{
		uint8_t		digit = i < count ? digits[in[i]] : 1;

		valid &= digit != 0;
		*bits = *bits << 6 | (uint32_t) (digit - 1);
	}
	return valid;
}

/* The last two or three digits hold one or two bytes, and no stray bits. */
static bool
decode_rest(const uint8_t *in, size_t count, uint8_t *out)
{
	uint32_t	bits;

	if (count == 0)
		return true;
	if (count == 1 || !take_digits(in, count, &bits))
		return false;
	out[0] = bits >> 16;
	if (count == 3)
		out[1] = bits >> 8;
	return (bits & (count == 3 ? 0xff : 0xffff)) == 0;
}

bool
rg_base64url_decode(RgSlice text, void *out, size_t size, size_t *len)
{
	const uint8_t *in = (const uint8_t *) text.data;
	uint8_t    *to = out;
	size_t		rest = text.len % 4;
	uint32_t	bits;

	*len = text.len / 4 * 3 + (rest > 0 ? rest - 1 : 0);
	if (*len > size)
		return false;
	for (size_t i = 0; i < text.len / 4; i++, in += 4, to += 3)
	{
		if (!take_digits(in, 4, &bits))
			return false;
		to[0] = bits >> 16;
		to[1] = bits >> 8;
		to[2] = bits;
	}
	return decode_rest(in, rest, to);
}
