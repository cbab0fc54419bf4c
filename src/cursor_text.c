/*
 * cursor_text.c
 *		The bytes of cursors; cursor_text.h describes them.
 */
#include "cursor_text.h"

#include <arpa/inet.h>

#include "base64url.h"
#include "envelope.h"

#define NULL_LENGTH UINT32_MAX

bool
rg_cursor_decode(RgSlice text, char *out, RgSlice *envelope)
{
	envelope->data = out;
	return rg_base64url_decode(text, out, text.len, &envelope->len) &&
		rg_envelope_key_id(*envelope) != 0;
}

static uint32_t
take_integer(RgSlice *rest)
{
	uint32_t	integer;

	memcpy(&integer, rest->data, sizeof integer);
	rest->data += sizeof integer;
	rest->len -= sizeof integer;
	return ntohl(integer);
}

bool
rg_cursor_take(RgSlice *rest, RgCursorValue *value)
{
	RgSlice		left = *rest;
	uint32_t	len;

	if (left.len < 2 * sizeof len)
		return false;
	value->type = take_integer(&left);
	len = take_integer(&left);
	value->null = len == NULL_LENGTH;
	if (value->null)
		len = 0;
	if (len > INT32_MAX || len > left.len)
		return false;
	value->sent = rg_slice(left.data, len);
	*rest = rg_slice(left.data + len, left.len - len);
	return true;
}

size_t
rg_cursor_size(const RgCursorValue *value)
{
	return 2 * sizeof(uint32_t) + (value->null ? 0 : value->sent.len);
}

size_t
rg_cursor_put(const RgCursorValue *value, char *out)
{
	uint32_t	head[2];

	head[0] = htonl(value->type);
	head[1] = value->null ? NULL_LENGTH : htonl((uint32_t) value->sent.len);
	memcpy(out, head, sizeof head);
	if (!value->null && value->sent.len > 0)
		memcpy(out + sizeof head, value->sent.data, value->sent.len);
	return rg_cursor_size(value);
}
