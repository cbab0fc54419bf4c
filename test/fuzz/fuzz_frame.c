/*
 * fuzz_frame.c
 *		Frames: a request that is read and written again is the same; what is
 *		read of either lies within it.
 */
#include "fuzz.h"

#include "frame.h"
#include "rate_block.h"

/* What is read is written the same, and never more than there is room for. */
static void
check_limits(RgSlice block)
{
	RgRateLimit limits[RG_RATE_LIMITS_MAX];
	char		again[RG_RATE_BLOCK_MAX];
	int			count = rg_rate_block_read(block, limits);

	require(count >= -1 && count <= RG_RATE_LIMITS_MAX);
	for (int i = 0; i < count; i++)
		require(lies_within(limits[i].name, block));
	if (count >= 0)
		require(rg_rate_block_write(limits, count, again) == block.len);
}

static void
check_reply(RgSlice frame)
{
	RgReply		reply;

	if (!rg_reply_parse(frame, &reply))
		return;
	require(lies_within(reply.body, frame) && lies_within(reply.headers, frame));
	require(lies_within(reply.route, frame) && lies_within(reply.order, frame));
	require(lies_within(reply.limits, frame) && lies_within(reply.validator, frame));
	require(reply.body.len + reply.headers.len + reply.route.len + reply.order.len +
			reply.limits.len + reply.validator.len + 32 == frame.len);
	check_limits(reply.limits);
}

static void
require_within(const RgRequest *request, RgSlice frame)
{
	require(lies_within(request->method, frame) && lies_within(request->path, frame));
	require(lies_within(request->query, frame) && lies_within(request->body, frame));
	require(request->nheaders >= 0 && request->nheaders <= RG_FRAME_MAX_HEADERS);
	for (int i = 0; i < request->nheaders; i++)
	{
		const RgHeader *header = &request->headers[i];

		require(lies_within(header->name, frame) && lies_within(header->value, frame));
		require(rg_request_header(request, header->name.data).data <= header->value.data);
	}
}

static void
check_request(RgSlice frame)
{
	RgRequest	request;
	char	   *again;

	if (!rg_request_parse(frame, &request))
		return;
	require_within(&request, frame);
	require(rg_request_size(&request) == frame.len);
	again = malloc(frame.len);
	rg_request_write(&request, again);
	require(memcmp(again, frame.data, frame.len) == 0);
	free(again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	RgSlice		frame = rg_slice((const char *) data, size);

	check_reply(frame);
	check_request(frame);
	return 0;
}
