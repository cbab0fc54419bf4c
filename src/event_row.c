/*
 * event_row.c
 *		The stream that a route names; event_row.h has the contract.
 */
#include "event_row.h"

#include <jansson.h>

#define MAX_DIGITS 18

static bool
read_stream(const json_t *value, RgEventRow *row)
{
	size_t		len = json_string_length(value);

	row->stream[0] = '\0';
	if (json_is_null(value))
		return true;
	if (!json_is_string(value) || len == 0 || len > RG_EVENT_STREAM_MAX)
		return false;
	memcpy(row->stream, json_string_value(value), len + 1);
	return true;
}

static bool
read_after(const json_t *value, RgEventRow *row)
{
	row->has_after = json_is_integer(value);
	row->after = row->has_after ? json_integer_value(value) : -1;
	return row->has_after || value == NULL || json_is_null(value);
}

bool
rg_event_row_parse(RgSlice json, RgEventRow *row)
{
	json_t	   *root = json_loadb(json.data, json.len, JSON_REJECT_DUPLICATES, NULL);
	bool		valid = json_is_object(root) &&
	read_stream(json_object_get(root, "stream"), row) &&
	read_after(json_object_get(root, "after"), row);

	json_decref(root);
	return valid;
}

bool
rg_event_id_parse(RgSlice text, int64_t *id)
{
	*id = 0;
	for (size_t i = 0; i < text.len; i++)
	{
		if (text.data[i] < '0' || text.data[i] > '9')
			return false;
		if (i < MAX_DIGITS)
			*id = *id * 10 + (text.data[i] - '0');
	}
	return text.len > 0 && text.len <= MAX_DIGITS;
}
