/*
 * accept_encoding.c
 *		Accept-Encoding; accept_encoding.h has the contract.
 */
#include "accept_encoding.h"

#include <strings.h>

#define UNSAID (-1)
#define WHOLE 1000				/* a weight of 1 */

static RgSlice
trim(RgSlice text)
{
	while (text.len > 0 && (*text.data == ' ' || *text.data == '\t'))
		text.data++, text.len--;
	while (text.len > 0 && (text.data[text.len - 1] == ' ' || text.data[text.len - 1] == '\t'))
		text.len--;
	return text;
}

/* What stands before the separator; the rest stays behind it. */
static RgSlice
take_until(RgSlice *rest, char separator)
{
	const char *at = rest->len > 0 ? memchr(rest->data, separator, rest->len) : NULL;
	RgSlice		taken = {rest->data, at != NULL ? (size_t) (at - rest->data) : rest->len};
	size_t		used = taken.len + (at != NULL);

	rest->data += used;
	rest->len -= used;
	return trim(taken);
}

static bool
is(RgSlice text, const char *word)
{
	return text.len == strlen(word) && strncasecmp(text.data, word, text.len) == 0;
}

/* "0.25" as thousandths. */
static int
read_weight(RgSlice text)
{
	int			weight;
	int			unit = WHOLE / 10;

	if (text.len == 0 || text.len > 5 || (*text.data != '0' && *text.data != '1') ||
		(text.len > 1 && text.data[1] != '.'))
		return 0;
	weight = (*text.data - '0') * WHOLE;
	for (size_t i = 2; i < text.len; i++, unit /= 10)
	{
		if (text.data[i] < '0' || text.data[i] > '9')
			return 0;
		weight += (text.data[i] - '0') * unit;
	}
	return weight <= WHOLE ? weight : 0;
}

/* Of "; q=0.5", which may be missing. */
static int
weight_of(RgSlice parameters)
{
	while (parameters.len > 0)
	{
		RgSlice		value = take_until(&parameters, ';');
		RgSlice		name = take_until(&value, '=');

		if (is(name, "q"))
			return read_weight(trim(value));
	}
	return WHOLE;
}

bool
rg_accepts_gzip(RgSlice list)
{
	int			gzip = UNSAID;
	int			any = UNSAID;
	int			identity = UNSAID;

	while (list.len > 0)
	{
		RgSlice		parameters = take_until(&list, ',');
		RgSlice		coding = take_until(&parameters, ';');
		int			weight = weight_of(parameters);

		if (is(coding, "gzip") || is(coding, "x-gzip"))
			gzip = weight;
		else if (is(coding, "*"))
			any = weight;
		else if (is(coding, "identity"))
			identity = weight;
	}
	if (gzip == UNSAID)
		gzip = any;
	return gzip > 0 && gzip >= identity;
}
