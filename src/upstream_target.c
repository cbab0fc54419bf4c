/*
 * upstream_target.c
 *		What an upstream is asked for; upstream_target.h has the contract.
 */
#include "upstream_target.h"

#include "urldecode.h"

#define MAX_PATH 8192

/* Up to the next slash, or to the end. */
static size_t
segment_length(RgSlice path)
{
	const char *slash = path.len ? memchr(path.data, '/', path.len) : NULL;

	return slash != NULL ? (size_t) (slash - path.data) : path.len;
}

/* "." or "..", alone or before a ";" */
static bool
is_dots(RgSlice segment)
{
	const char *parameters = segment.len ? memchr(segment.data, ';', segment.len) : NULL;

	if (parameters != NULL)
		segment.len = parameters - segment.data;
	return rg_slice_is(segment, ".") || rg_slice_is(segment, "..");
}

static bool
has_control(RgSlice path)
{
	for (size_t i = 0; i < path.len; i++)
		if ((unsigned char) path.data[i] < ' ' || path.data[i] == 0x7f)
			return true;
	return false;
}

/* Of a decoded path without its first slash. */
static const char *
refuse_segments(RgSlice rest)
{
	for (;;)
	{
		size_t		len = segment_length(rest);

		if (is_dots(rg_slice(rest.data, len)))
			return "the path holds a \".\" or \"..\" segment";
		if (len == rest.len)
			return NULL;
		if (len == 0)
			return "the path holds an empty segment";
		rest.data += len + 1;
		rest.len -= len + 1;
	}
}

const char *
rg_upstream_path_refusal(RgSlice path)
{
	char		decoded[MAX_PATH];
	size_t		len;

	if (path.len == 0 || *path.data != '/')
		return "the path does not start with a slash";
	if (path.len > sizeof decoded)
		return "the path is too long";
	if (!rg_url_decode(path, RG_URL_PATH, decoded, &len))
		return "the path holds a malformed escape, a NUL or no UTF-8";
	if (has_control(rg_slice(decoded, len)))
		return "the path holds a control character";
	if (memchr(decoded, '\\', len) != NULL)
		return "the path holds a backslash";
	return refuse_segments(rg_slice(decoded + 1, len - 1));
}

static void
put_escaped(RgText *out, char c)
{
	static const char digits[] = "0123456789ABCDEF";

	rg_text_char(out, '%');
	rg_text_char(out, digits[(unsigned char) c >> 4]);
	rg_text_char(out, digits[(unsigned char) c & 15]);
}

/* As it is, but for what would end the path or the target. */
static void
put_raw(RgText *out, RgSlice text, const char *ends)
{
	for (size_t i = 0; i < text.len; i++)
	{
		char		c = text.data[i];

		if (c <= ' ' || c > '~' || strchr(ends, c) != NULL)
			put_escaped(out, c);
		else
			rg_text_char(out, c);
	}
}

/* Without its first segments, each with the slash before it. */
static RgSlice
strip_segments(RgSlice path, int strip)
{
	while (strip-- > 0 && path.len > 0)
	{
		size_t		len = 1 + segment_length(rg_slice(path.data + 1, path.len - 1));

		path.data += len;
		path.len -= len;
	}
	return path;
}

void
rg_upstream_target_put(RgText *out, RgSlice base, RgSlice path, int strip, RgSlice query)
{
	RgSlice		rest = strip_segments(path, strip);

	rg_text_put(out, base);
	if (rest.len > 0)
		put_raw(out, rest, "?#");
	else if (base.len == 0)
		rg_text_char(out, '/');
	if (query.len == 0)
		return;
	rg_text_char(out, '?');
	put_raw(out, query, "#");
}

void
rg_upstream_value_put(RgText *out, RgSlice text)
{
	put_raw(out, text, "%");
}
