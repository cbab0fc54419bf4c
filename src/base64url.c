/*
 * base64url.c
 *		Base64 for URLs; base64url.h has the contract.
 */
#include "base64url.h"

#include <openssl/evp.h>
#include <sodium.h>

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

/* libsodium 1.0.18 takes every byte above 127 for an underscore. */
static bool
is_ascii(RgSlice text)
{
	unsigned char all = 0;

	for (size_t i = 0; i < text.len; i++)
		all |= (unsigned char) text.data[i];
	return all < 0x80;
}

bool
rg_base64url_decode(RgSlice text, void *out, size_t size, size_t *len)
{
	const char *end;

	return is_ascii(text) &&
		sodium_base642bin(out, size, text.data, text.len, NULL, len, &end,
						  sodium_base64_VARIANT_URLSAFE_NO_PADDING) == 0 &&
		end == text.data + text.len;
}
