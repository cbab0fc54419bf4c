/*
 * sse_text.c
 *		Events as text; sse_text.h has the contract.
 */
#include "sse_text.h"

#include <jansson.h>

static bool
read_integer(const json_t *root, const char *name, int64_t *value)
{
	const json_t *member = json_object_get(root, name);

	*value = json_integer_value(member);
	return json_is_integer(member);
}

static bool
read_token(const json_t *root, char token[RG_SSE_TOKEN_LEN + 1])
{
	const json_t *member = json_object_get(root, "token");

	if (json_string_length(member) != RG_SSE_TOKEN_LEN)
		return false;
	memcpy(token, json_string_value(member), RG_SSE_TOKEN_LEN + 1);
	return true;
}

bool
rg_sse_order_parse(RgSlice json, RgSseOrder *order)
{
	json_t	   *root = json_loadb(json.data, json.len, 0, NULL);
	bool		valid = read_integer(root, "number", &order->number) &&
	read_integer(root, "after", &order->after) && read_token(root, order->token);

	json_decref(root);
	return valid;
}

static void
put_field(RgText *text, RgSlice name, RgSlice value)
{
	rg_text_put(text, name);
	rg_text_put(text, value);
	rg_text_char(text, '\n');
}

/* Takes a line and its end off; false after the last. */
static bool
take_line(RgSlice *rest, RgSlice *line)
{
	size_t		len = 0;
	size_t		end;

	if (rest->data == NULL)
		return false;
	while (len < rest->len && rest->data[len] != '\r' && rest->data[len] != '\n')
		len++;
	*line = rg_slice(rest->data, len);
	if (len == rest->len)
		*rest = rg_slice(NULL, 0);
	else
	{
		end = len + 1 < rest->len && rest->data[len] == '\r' && rest->data[len + 1] == '\n' ? 2 : 1;
		*rest = rg_slice(rest->data + len + end, rest->len - len - end);
	}
	return true;
}

void
rg_sse_event(RgText *text, RgSlice id, RgSlice event, RgSlice data)
{
	RgSlice		line;

	if (id.len > 0)
		put_field(text, RG_SLICE("id: "), id);
	if (event.len > 0)
		put_field(text, RG_SLICE("event: "), event);
	while (take_line(&data, &line))
		put_field(text, RG_SLICE("data: "), line);
	rg_text_char(text, '\n');
}
