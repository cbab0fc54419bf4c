/*
 * json_quote.h
 *		Text into a StringInfo as a JSON string.
 */
#ifndef RG_JSON_QUOTE_H
#define RG_JSON_QUOTE_H

#include "lib/stringinfo.h"

/* Room for n more bytes and a NUL; where they go. */
static inline char *
rg_json_reserve(StringInfo buf, int n)
{
	if (unlikely(n >= buf->maxlen - buf->len))
		enlargeStringInfo(buf, n);
	return buf->data + buf->len;
}

/* Like appendBinaryStringInfo(), without the terminating NUL. */
static inline void
rg_json_append(StringInfo buf, const char *data, int n)
{
	memcpy(rg_json_reserve(buf, n), data, n);
	buf->len += n;
}

/*
 * Appends the text, which is valid in the database's encoding, in quotes and
 * escaped as to_json() does.  buf is not terminated by a NUL.
 */
extern void rg_json_quote(StringInfo buf, const char *text, Size len);

#endif
