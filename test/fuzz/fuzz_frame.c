/*
 * fuzz_frame.c
 *		Frames: a request that is read and written again is the same.
 */
#include <stdlib.h>

#include "frame.h"

int			LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	RgSlice		frame = rg_slice((const char *) data, size);
	RgRequest	request;
	RgReply		reply;
	char	   *again;

	if (rg_reply_parse(frame, &reply) && reply.body.len > size)
		abort();
	if (!rg_request_parse(frame, &request))
		return 0;
	if (rg_request_size(&request) != size)
		abort();
	again = malloc(size);
	rg_request_write(&request, again);
	if (memcmp(again, data, size) != 0)
		abort();
	free(again);
	return 0;
}
