/*
 * json_quote.c
 *		Text into a StringInfo as a JSON string, eight bytes at a time.
 */
#include "postgres.h"

#include "json_quote.h"
#include "json_text.h"

#define EACH_BYTE(b) (UINT64CONST(0x0101010101010101) * (b))

/*
 * Does any of the eight bytes need an escape: control character, quote or
 * backslash?  A borrow may give a false alarm, never a miss.
 */
static inline bool
needs_escape(uint64 word)
{
	uint64		quote = word ^ EACH_BYTE('"');
	uint64		backslash = word ^ EACH_BYTE('\\');
	uint64		hits = (word - EACH_BYTE(' ')) & ~word;

	hits |= (quote - EACH_BYTE(1)) & ~quote;
	hits |= (backslash - EACH_BYTE(1)) & ~backslash;
	return (hits & EACH_BYTE(0x80)) != 0;
}

static inline bool
is_special(unsigned char c)
{
	return c < ' ' || c == '"' || c == '\\';
}

/*
 * The last bytes, fewer than a word, of a text that is longer than one: copies
 * the word that ends with them, and so some bytes again, unless it has a byte
 * that needs an escape.
 */
static inline bool
copy_tail(char *out, const char *in, const char *end)
{
	ptrdiff_t	again = sizeof(uint64) - (end - in);
	uint64		word;

	memcpy(&word, in - again, sizeof word);
	if (needs_escape(word))
		return false;
	memcpy(out - again, &word, sizeof word);
	return true;
}

/*
 * Copies up to the next byte that needs an escape; where that stands.  text is
 * the start of it all.
 */
static inline const char *
copy_plain(char **out, const char *text, const char *in, const char *end)
{
	char	   *o = *out;
	uint64		word;

	while (end - in >= (ptrdiff_t) sizeof word)
	{
		memcpy(&word, in, sizeof word);
		if (needs_escape(word))
			break;
		memcpy(o, &word, sizeof word);
		o += sizeof word;
		in += sizeof word;
	}
	if (in < end && end - in < (ptrdiff_t) sizeof word &&
		end - text >= (ptrdiff_t) sizeof word && copy_tail(o, in, end))
	{
		*out = o + (end - in);
		return end;
	}
	while (in < end && !is_special(*in))
		*o++ = *in++;
	*out = o;
	return in;
}

/* There is always room for the rest as it is, an escape and a quote. */
void
rg_json_quote(StringInfo buf, const char *text, Size len)
{
	const char *in = text;
	const char *end = text + len;
	char	   *out = rg_json_reserve(buf, len + RG_JSON_ESCAPE + 2);

	*out++ = '"';
	for (;;)
	{
		in = copy_plain(&out, text, in, end);
		if (in == end)
			break;
		out += rg_json_escape_char(*in++, out);
		buf->len = out - buf->data;
		out = rg_json_reserve(buf, end - in + RG_JSON_ESCAPE + 1);
	}
	*out++ = '"';
	buf->len = out - buf->data;
}
