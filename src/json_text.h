/*
 * json_text.h
 *		Text that becomes part of a JSON document.
 *
 * Pure C: shared by the extension, the gateway, unit tests and fuzzers.
 */
#ifndef RG_JSON_TEXT_H
#define RG_JSON_TEXT_H

#include "slice.h"

/*
 * A bounded buffer that counts on beyond its end: len is what was put, of
 * which nothing stands beyond cap.  Too much was put when len > cap; what the
 * buffer holds is then not to be used, and len says what would have done.
 */
typedef struct RgText
{
	char	   *data;			/* not NUL-terminated */
	size_t		cap;
	size_t		len;
} RgText;

extern void rg_text_put(RgText *text, RgSlice bytes);
extern void rg_text_char(RgText *text, char c);
extern void rg_text_number(RgText *text, long long number);

#define RG_JSON_ESCAPE 6		/* bytes of the longest, \u001f */

/*
 * Writes the escape of a quote, a backslash or a control character into out,
 * which holds RG_JSON_ESCAPE bytes; returns its length.
 */
extern size_t rg_json_escape_char(unsigned char c, char *out);

/* Puts a JSON string, or what stands between its quotes; see rg_json_escape(). */
extern void rg_text_json(RgText *text, RgSlice string);
extern void rg_text_escaped(RgText *text, RgSlice string);

/*
 * Writes the string as it stands between the quotes of a JSON string (RFC
 * 8259): quote, backslash and control characters escaped.  Where the string
 * is not UTF-8, U+FFFD stands for each of its bytes above 127.  Returns the
 * length, which may be more than cap: nothing stands beyond cap, and the
 * caller tries again with more room or does without.
 */
extern size_t rg_json_escape(char *out, size_t cap, RgSlice string);

#endif
