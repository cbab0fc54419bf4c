/*
 * route_match.c
 *		Comparing the path of a request with a route's template.
 */
#include "route_match.h"

#include <limits.h>

#include "urldecode.h"

#define MAX_LITERAL 256

bool
rg_template_is_pattern(const char *path)
{
	return strchr(path, '{') != NULL;
}

/* Takes "/segment"; false at the end, or where no slash stands. */
static bool
take_segment(RgSlice *path, RgSlice *segment)
{
	const char *slash;

	if (path->len == 0 || *path->data != '/')
		return false;
	segment->data = path->data + 1;
	slash = memchr(segment->data, '/', path->len - 1);
	segment->len = (slash != NULL ? slash : path->data + path->len) - segment->data;
	path->data += segment->len + 1;
	path->len -= segment->len + 1;
	return true;
}

bool
rg_template_has_rest(const char *path)
{
	return strstr(path, RG_TEMPLATE_REST "}") != NULL;
}

/* A variable sorts after every literal, so that literals are tried first. */
static int
path_order(char c)
{
	return c == '{' ? UCHAR_MAX + 1 : (unsigned char) c;
}

/* What takes the rest of a path comes last: all others are more exact. */
static int
path_rank(const char *path)
{
	return rg_template_is_pattern(path) + rg_template_has_rest(path);
}

int
rg_template_compare(const char *a, const char *b)
{
	int			ranks = path_rank(a) - path_rank(b);

	if (ranks != 0)
		return ranks;
	while (*a != '\0' && *a == *b)
		a++, b++;
	return path_order(*a) - path_order(*b);
}

/* Whether it is "{name...}" */
static bool
is_rest(RgSlice wanted)
{
	const size_t dots = strlen(RG_TEMPLATE_REST);

	return wanted.len > dots + 1 &&
		memcmp(wanted.data + wanted.len - dots - 1, RG_TEMPLATE_REST, dots) == 0;
}

static bool
literal_equal(RgSlice literal, RgSlice segment)
{
	char		decoded[MAX_LITERAL];
	size_t		len;

	if (rg_url_plain(segment, RG_URL_PATH))
		return rg_slice_equal(literal, segment);
	return segment.len <= sizeof decoded &&
		rg_url_decode(segment, RG_URL_PATH, decoded, &len) &&
		rg_slice_equal(literal, rg_slice(decoded, len));
}

/* From the segment on all there is; empty where the path ends with its slash. */
static bool
take_rest(RgSlice segment, RgSlice raw, RgSlice *values, int count, int max)
{
	if (count == max)
		return false;
	values[count] = rg_slice(segment.data, segment.len + raw.len);
	return true;
}

bool
rg_template_match(const char *path, RgSlice raw, RgSlice *values, int max)
{
	RgSlice		rest = {path, strlen(path)};
	RgSlice		wanted,
				segment;
	int			count = 0;

	while (take_segment(&rest, &wanted))
	{
		if (!take_segment(&raw, &segment))
			return false;
		if (is_rest(wanted))
			return take_rest(segment, raw, values, count, max);
		if (wanted.len == 0 || *wanted.data != '{')
		{
			if (!literal_equal(wanted, segment))
				return false;
			continue;
		}
		if (segment.len == 0 || count == max)
			return false;
		values[count++] = segment;
	}
	return raw.len == 0;
}
