/*
 * base64url.h
 *		Base64 for URLs, without padding (RFC 4648, section 5).
 *
 * For what is no secret, sealed or signed bytes: libsodium's takes the same time
 * for every byte, which costs more than sealing a cursor does, and version 1.0.18
 * decodes every byte above 127 as if it were an underscore.
 *
 * Pure C.
 */
#ifndef RG_BASE64URL_H
#define RG_BASE64URL_H

#include "slice.h"

/* Room for the encoding of so many bytes, padding and NUL included. */
#define RG_BASE64URL_SIZE(len) (((len) + 2) / 3 * 4 + 1)

/* Encodes into out, which holds RG_BASE64URL_SIZE(); returns the length. */
extern size_t rg_base64url_encode(RgSlice bytes, char *out);

/*
 * Decodes into out, which holds text.len bytes.  False unless text is the one
 * encoding of its bytes: no padding, no other letters, no stray bits.
 */
extern bool rg_base64url_decode(RgSlice text, void *out, size_t size, size_t *len)
			__attribute__((warn_unused_result));

#endif
