/*
 * target.c
 *		Checks of a request's target; target.h has the contract.
 */
#include "target.h"

#include "http1.h"
#include "urldecode.h"

static bool
refuse(RgTarget *target, const char *why)
{
	target->error = why;
	return false;
}

static void
split_at_query(RgSlice text, RgTarget *target)
{
	const char *mark = memchr(text.data, '?', text.len);

	target->path = text;
	target->query = rg_slice("", 0);
	if (mark == NULL)
		return;
	target->path.len = mark - text.data;
	target->query = rg_slice(mark + 1, text.len - target->path.len - 1);
}

static bool
is_parent(const char *start, const char *end)
{
	return end - start == 2 && start[0] == '.' && start[1] == '.';
}

/*
 * An escaped slash counts as one: whoever decodes the path and uses it as the
 * name of a file would take it so.
 */
static bool
has_parent_segment(RgSlice path)
{
	const char *start = path.data;
	const char *end = path.data + path.len;
	const char *slash;

	while ((slash = memchr(start, '/', end - start)) != NULL)
	{
		if (is_parent(start, slash))
			return true;
		start = slash + 1;
	}
	return is_parent(start, end);
}

/* The decoded text: itself where nothing is escaped, else made in room. */
static bool
decode(RgSlice text, RgUrlPart part, char *room, RgSlice *decoded)
{
	*decoded = text;
	if (rg_url_plain(text, part))
		return true;
	decoded->data = room;
	return rg_url_decode(text, part, room, &decoded->len);
}

static bool
check_path(RgTarget *target, char *room)
{
	RgSlice		path;

	if (target->path.len == 0 || target->path.data[0] != '/')
		return refuse(target, "the target must start with a slash");
	if (!decode(target->path, RG_URL_PATH, room, &path))
		return refuse(target, "the path holds a malformed escape, a NUL or no UTF-8");
	if (memchr(path.data, '\\', path.len) != NULL)
		return refuse(target, "the path holds a backslash");
	if (has_parent_segment(path))
		return refuse(target, "the path holds a \"..\" segment");
	return true;
}

static bool
check_query(RgTarget *target, char *room)
{
	RgSlice		query;

	if (!decode(target->query, RG_URL_QUERY, room, &query))
		return refuse(target, "the query holds a malformed escape, a NUL or no UTF-8");
	return true;
}

bool
rg_target_split(RgSlice method, RgSlice text, RgTarget *target)
{
	char		room[RG_HTTP_MAX_TARGET];

	target->error = NULL;
	split_at_query(text, target);
	if (text.len > sizeof room)
		return refuse(target, "the target is too long");
	if (rg_slice_is(text, "*") && rg_slice_is(method, "OPTIONS"))
		return true;
	if (memchr(text.data, '#', text.len) != NULL)
		return refuse(target, "the target holds a fragment");
	return check_path(target, room) && check_query(target, room);
}
