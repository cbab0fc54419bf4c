/*
 * frame.c
 *		The binary frames of relay_guard.serve(bytea); frame.h describes them.
 */
#include "frame.h"

#include <arpa/inet.h>

/* Takes the bytes up to the next NUL, and the NUL. */
static bool
take_string(RgSlice *rest, RgSlice *out)
{
	const char *end = rest->len ? memchr(rest->data, '\0', rest->len) : NULL;

	if (end == NULL)
		return false;
	out->data = rest->data;
	out->len = end - rest->data;
	rest->data = end + 1;
	rest->len -= out->len + 1;
	return true;
}

static bool
take_bytes(RgSlice *rest, size_t len, RgSlice *out)
{
	if (rest->len < len)
		return false;
	out->data = rest->data;
	out->len = len;
	rest->data += len;
	rest->len -= len;
	return true;
}

static bool
take_uint32(RgSlice *rest, uint32_t *out)
{
	RgSlice		bytes;

	if (!take_bytes(rest, sizeof *out, &bytes))
		return false;
	memcpy(out, bytes.data, sizeof *out);
	*out = ntohl(*out);
	return true;
}

/* Takes a length and as many bytes. */
static bool
take_block(RgSlice *rest, RgSlice *out)
{
	uint32_t	len;

	return take_uint32(rest, &len) && take_bytes(rest, len, out);
}

static bool
take_headers(RgSlice *rest, RgRequest *request)
{
	uint32_t	count;

	if (!take_uint32(rest, &count) || count > RG_FRAME_MAX_HEADERS)
		return false;
	for (uint32_t i = 0; i < count; i++)
	{
		RgHeader   *header = &request->headers[i];

		if (!take_string(rest, &header->name) ||
			!take_string(rest, &header->value))
			return false;
	}
	request->nheaders = count;
	return true;
}

bool
rg_request_parse(RgSlice frame, RgRequest *request)
{
	RgSlice		rest = frame;
	RgSlice		address;

	if (!take_string(&rest, &request->method) ||
		!take_string(&rest, &request->path) ||
		!take_string(&rest, &request->query) ||
		!take_bytes(&rest, sizeof request->client_ip, &address) ||
		!take_string(&rest, &request->request_id) ||
		!take_headers(&rest, request))
		return false;
	memcpy(request->client_ip, address.data, address.len);
	request->body = rest;
	return true;
}

size_t
rg_request_size(const RgRequest *request)
{
	size_t		size = request->method.len + request->path.len +
	request->query.len + request->request_id.len + 4 +
	sizeof request->client_ip + sizeof(uint32_t) + request->body.len;

	for (int i = 0; i < request->nheaders; i++)
		size += request->headers[i].name.len + request->headers[i].value.len + 2;
	return size;
}

static char *
put_bytes(char *out, const void *data, size_t len)
{
	if (len > 0)
		memcpy(out, data, len);
	return out + len;
}

static char *
put_string(char *out, RgSlice string)
{
	out = put_bytes(out, string.data, string.len);
	*out = '\0';
	return out + 1;
}

void
rg_request_write(const RgRequest *request, char *out)
{
	uint32_t	count = htonl(request->nheaders);

	out = put_string(out, request->method);
	out = put_string(out, request->path);
	out = put_string(out, request->query);
	out = put_bytes(out, request->client_ip, sizeof request->client_ip);
	out = put_string(out, request->request_id);
	out = put_bytes(out, &count, sizeof count);
	for (int i = 0; i < request->nheaders; i++)
	{
		out = put_string(out, request->headers[i].name);
		out = put_string(out, request->headers[i].value);
	}
	put_bytes(out, request->body.data, request->body.len);
}

RgSlice
rg_request_header(const RgRequest *request, const char *name)
{
	for (int i = 0; i < request->nheaders; i++)
		if (rg_slice_is(request->headers[i].name, name))
			return request->headers[i].value;
	return rg_slice(NULL, 0);
}

uint32_t
rg_reply_signals(RgSlice frame)
{
	uint32_t	signals;

	if (frame.len < sizeof signals)
		return 0;
	memcpy(&signals, frame.data + frame.len - sizeof signals, sizeof signals);
	return ntohl(signals);
}

bool
rg_reply_parse(RgSlice frame, RgReply *reply)
{
	RgSlice		rest = frame;
	uint32_t	status;

	if (!take_uint32(&rest, &status) || status < 100 || status > 599)
		return false;
	reply->status = status;
	return take_block(&rest, &reply->body) &&
		take_block(&rest, &reply->headers) &&
		take_block(&rest, &reply->route) &&
		take_block(&rest, &reply->order) &&
		take_block(&rest, &reply->limits) &&
		take_block(&rest, &reply->validator) &&
		take_uint32(&rest, &reply->signals) && rest.len == 0;
}
