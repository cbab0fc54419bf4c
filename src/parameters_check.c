/*
 * parameters_check.c
 *		Reading a request into the named values of its route.
 */
#include "parameters_tree.h"

#include <stdlib.h>

#include "json_body.h"
#include "urldecode.h"

/* One request on its way into values */
typedef struct Check
{
	const RgParameters *parameters;
	const RgSlice *path_values;
	RgSlice		query;
	RgSlice		body;
	bool		body_is_json;
	uint64_t	seen;			/* bits of the parameters that were sent */
	RgValues   *values;
	RgViolation *violation;
} Check;

_Static_assert(RG_PARAMETERS_MAX <= 64, "Check.seen has 64 bits");

/* All that could ever be decoded: decoding makes nothing longer. */
static size_t
escaped_size(const Check *check)
{
	size_t		size = check->query.len;

	for (int i = 0; i < check->parameters->path_count; i++)
		size += check->path_values[i].len;
	return size;
}

/*
 * Room for len bytes of decoded text; NULL when memory is out.  The overflow
 * has room for all of a request's, so used counts on from one to the other.
 */
static char *
find_room(Check *check, size_t len)
{
	RgValues   *values = check->values;
	char	   *room;

	if (values->overflow == NULL && len > RG_VALUES_INLINE - values->used)
	{
		values->overflow = malloc(escaped_size(check));
		if (values->overflow == NULL)
			return NULL;
	}
	room = values->overflow ? values->overflow : values->space;
	return room + values->used;
}

static bool
decode(Check *check, RgSlice text, RgUrlPart part, RgSlice *out)
{
	char	   *room;

	*out = text;
	if (rg_url_plain(text, part))
		return true;
	room = find_room(check, text.len);
	if (room != NULL && rg_url_decode(text, part, room, &out->len))
	{
		out->data = room;
		check->values->used += out->len;
		return true;
	}
	rg_violate(check->violation, 400, "invalid_encoding",
			   "must be percent-encoded UTF-8 without NUL");
	return false;
}

/* A refused value points to where it was sent. */
static bool
refused_in(Check *check, const RgNamed *named, const char *place)
{
	rg_violation_prepend(check->violation, named->name);
	rg_violation_prepend(check->violation, place);
	return false;
}

static bool
read_text(Check *check, int index, RgSlice text)
{
	check->seen |= UINT64_C(1) << index;
	return rg_schema_read(check->parameters->named[index].schema, text,
						  &check->values->values[index], check->violation);
}

static bool
read_path(Check *check)
{
	const RgParameters *parameters = check->parameters;

	for (int i = 0; i < parameters->count; i++)
	{
		const RgNamed *named = &parameters->named[i];
		RgSlice		text;

		if (named->seen.origin != RG_ORIGIN_PATH)
			continue;
		if (!decode(check, check->path_values[named->path_index], RG_URL_PATH,
					&text) || !read_text(check, i, text))
			return refused_in(check, named, "path");
	}
	return true;
}

static int
find_query(const RgParameters *parameters, RgSlice name)
{
	for (int i = 0; i < parameters->count; i++)
	{
		const RgNamed *named = &parameters->named[i];

		if (named->name_len == name.len &&
			named->seen.origin == RG_ORIGIN_QUERY &&
			memcmp(named->name, name.data, name.len) == 0)
			return i;
	}
	return -1;
}

/* Takes what stands before a separator, or everything; skips the separator. */
static RgSlice
take_until(RgSlice *rest, char separator)
{
	const char *found = rest->len ? memchr(rest->data, separator, rest->len) : NULL;
	RgSlice		taken = *rest;

	if (found == NULL)
	{
		rest->data += rest->len;
		rest->len = 0;
		return taken;
	}
	taken.len = found - taken.data;
	rest->data = found + 1;
	rest->len -= taken.len + 1;
	return taken;
}

static bool
refuse_second(Check *check)
{
	rg_violate(check->violation, 422, "duplicate_parameter", "was sent twice");
	return false;
}

static bool
read_declared(Check *check, int index, RgSlice raw)
{
	const RgNamed *named = &check->parameters->named[index];
	RgSlice		text;
	bool		second = check->seen >> index & 1;

	if (second ? refuse_second(check) :
		decode(check, raw, RG_URL_QUERY, &text) && read_text(check, index, text))
		return true;
	return refused_in(check, named, "query");
}

/* What no parameter declares is ignored, once it is known to be well encoded. */
static bool
read_pair(Check *check, RgSlice pair)
{
	RgSlice		raw = pair;
	RgSlice		name;
	int			index;

	name = take_until(&raw, '=');
	if (decode(check, name, RG_URL_QUERY, &name))
	{
		index = find_query(check->parameters, name);
		if (index >= 0)
			return read_declared(check, index, raw);
		if (decode(check, raw, RG_URL_QUERY, &raw))
			return true;
	}
	rg_violation_prepend(check->violation, "query");
	return false;
}

static bool
refuse_query(Check *check, const char *code, const char *detail)
{
	rg_violate(check->violation, 400, code, "%s", detail);
	rg_violation_prepend(check->violation, "query");
	return false;
}

static bool
read_query(Check *check)
{
	RgSlice		rest = check->query;
	int			pairs = 0;

	if (rest.len > RG_QUERY_MAX)
		return refuse_query(check, "query_too_long", "the query is too long");
	while (rest.len > 0)
	{
		RgSlice		pair = take_until(&rest, '&');

		if (pair.len == 0)
			continue;
		if (++pairs > RG_QUERY_PAIRS)
			return refuse_query(check, "too_many_parameters",
								"the query has too many parameters");
		if (!read_pair(check, pair))
			return false;
	}
	return true;
}

static bool
refuse_missing(const RgSchema *schema, RgViolation *violation)
{
	rg_refuse(schema, violation, "is required");
	violation->code = "missing_parameter";
	return false;
}

static bool
check_missing(Check *check)
{
	for (int i = 0; i < check->parameters->count; i++)
	{
		const RgNamed *named = &check->parameters->named[i];

		if (named->seen.origin == RG_ORIGIN_QUERY && named->seen.required &&
			!(check->seen >> i & 1))
		{
			refuse_missing(named->schema, check->violation);
			return refused_in(check, named, "query");
		}
	}
	return true;
}

static bool
refuse_media_type(Check *check)
{
	rg_violate(check->violation, 415, "unsupported_media_type",
			   "the body is not JSON");
	rg_violation_prepend(check->violation, "body");
	return false;
}

/*
 * Values of type jsonb are the body's own text, found by walking it along
 * with the parsed object, which keeps the order of the document.
 */
static void
slice_members(Check *check)
{
	size_t		offset = 0;
	RgSlice		text;
	const char *name;
	json_t	   *member;

	json_object_foreach(check->values->document, name, member)
	{
		int			index = rg_parameters_find(check->parameters, name);
		RgValue    *value = &check->values->values[index < 0 ? 0 : index];

		if (!rg_json_next_member(check->body, &offset, &text))
			return;
		if (index >= 0 && value->kind == RG_VALUE_JSON &&
			check->parameters->named[index].seen.origin == RG_ORIGIN_BODY_PROPERTY)
			value->text = text;
	}
}

/* Fills in the properties; true when some are of type jsonb. */
static bool
convert_members(Check *check)
{
	bool		have_json = false;

	for (int i = 0; i < check->parameters->count; i++)
	{
		const RgNamed *named = &check->parameters->named[i];
		const json_t *member = NULL;

		if (named->seen.origin == RG_ORIGIN_BODY_PROPERTY)
			member = json_object_get(check->values->document, named->name);
		if (member == NULL)
			continue;
		rg_schema_convert(named->schema, member, &check->values->values[i]);
		have_json |= named->seen.kind == RG_VALUE_JSON && !json_is_null(member);
	}
	return have_json;
}

static void
set_body(Check *check)
{
	RgValue    *value = &check->values->values[check->parameters->body_index];

	value->null = json_is_null(check->values->document);
	value->text = check->body;
	if (convert_members(check))
		slice_members(check);
}

static bool
read_body(Check *check)
{
	const RgSchema *schema = check->parameters->body;

	if (schema == NULL || (check->body.len == 0 && schema->optional))
		return true;
	if (check->body.len == 0)
	{
		refuse_missing(schema, check->violation);
		rg_violation_prepend(check->violation, "body");
		return false;
	}
	if (!check->body_is_json)
		return refuse_media_type(check);
	check->values->document = rg_json_parse(check->body, check->violation);
	if (check->values->document == NULL)
		return false;
	if (!rg_schema_check(schema, check->values->document, check->violation))
	{
		rg_violation_prepend(check->violation, "body");
		return false;
	}
	set_body(check);
	return true;
}

/* Everything absent, and with its default. */
static void
set_presets(const RgParameters *parameters, RgValues *values)
{
	values->count = parameters->count;
	values->document = NULL;
	values->overflow = NULL;
	values->used = 0;
	for (int i = 0; i < parameters->count; i++)
	{
		const RgParameter *seen = &parameters->named[i].seen;

		if (seen->preset)
			values->values[i] = *seen->preset;
		else
			values->values[i] = (RgValue)
		{
			.kind = seen->kind,.null = true
		};
	}
}

bool
rg_parameters_check(const RgParameters *parameters, const RgSlice *path_values,
					RgSlice query, RgSlice body, bool body_is_json,
					RgValues *values, RgViolation *violation)
{
	Check		check = {parameters, path_values, query, body, body_is_json, 0,
	values, violation};

	set_presets(parameters, values);
	if (read_path(&check) && read_query(&check) && check_missing(&check) &&
		read_body(&check))
		return true;
	rg_values_free(values);
	return false;
}

void
rg_values_free(RgValues *values)
{
	json_decref(values->document);
	free(values->overflow);
	values->document = NULL;
	values->overflow = NULL;
}
