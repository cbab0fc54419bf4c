/*
 * urldecode.h
 *		Percent-decoding of one path segment or one name or value of a query,
 *		once and strictly: what is decoded here is never decoded again.
 *
 * Pure C: shared by the extension, the gateway, unit tests and fuzzers.
 */
#ifndef RG_URLDECODE_H
#define RG_URLDECODE_H

#include "slice.h"

typedef enum RgUrlPart
{
	RG_URL_PATH,				/* '+' is itself */
	RG_URL_QUERY				/* '+' is a space */
} RgUrlPart;

/* Is the text its own decoding: ASCII, no '%', no NUL, no '+' in a query? */
extern bool rg_url_plain(RgSlice text, RgUrlPart part);

/*
 * Decodes into out, which holds text.len bytes; *len becomes the decoded
 * length.  False for an escape that is not %XX, a NUL byte, escaped or not,
 * and when the result is not UTF-8.
 */
extern bool rg_url_decode(RgSlice text, RgUrlPart part, char *out, size_t *len)
			__attribute__((warn_unused_result));

#endif
