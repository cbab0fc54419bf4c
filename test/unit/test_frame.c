/*
 * test_frame.c
 *		Request and reply frames: whole ones, and every truncation.
 */
#include <stdlib.h>
#include <string.h>

#include "frame.h"
#include "tap.h"

static RgRequest
sample(void)
{
	RgRequest	request = {
		.method = RG_SLICE("GET"),.path = RG_SLICE("/a"),.query = RG_SLICE("b=c"),
		.client_ip = {1, 2, 3},.request_id = RG_SLICE("r1"),.nheaders = 2,
		.headers = {
			{RG_SLICE("authorization"), RG_SLICE("Bearer x")},
			{RG_SLICE("cookie"), RG_SLICE("")},
		},
		.body = {"bo\0dy", 5},
	};

	return request;
}

static void
test_request(void)
{
	RgRequest	in = sample(),
				out;
	size_t		size = rg_request_size(&in);
	char	   *frame = malloc(size);
	int			refused = 0;

	rg_request_write(&in, frame);
	ok(rg_request_parse(rg_slice(frame, size), &out), "a request comes through");
	ok(rg_slice_equal(in.method, out.method) && rg_slice_equal(in.path, out.path) &&
	   rg_slice_equal(in.query, out.query) && rg_slice_equal(in.request_id, out.request_id) &&
	   memcmp(in.client_ip, out.client_ip, 16) == 0, "with its line, address and id");
	ok(rg_slice_is(rg_request_header(&out, "authorization"), "Bearer x") &&
	   rg_request_header(&out, "cookie").data != NULL &&
	   rg_request_header(&out, "x").data == NULL, "its headers");
	ok(rg_slice_equal(in.body, out.body), "and a body with a NUL in it");
	for (size_t cut = 0; cut < size - in.body.len; cut++)
	{
		char	   *copy = malloc(cut + 1);

		memcpy(copy, frame, cut);
		refused += !rg_request_parse(rg_slice(copy, cut), &out);
		free(copy);
	}
	ok(refused == (int) (size - in.body.len), "no truncation is taken for a request");
	free(frame);
}

static void
test_reply(void)
{
	static const char frame[] = "\0\0\0\xc8" "\0\0\0\2{}" "\0\0\0\6a: b\r\n" "\0\0\0\2/a" "\0\0\0\0"
	"\0\0\0\3lim" "\0\0\0\3val" "\0\0\0\1";
	RgReply		reply;
	int			refused = 0;

	ok(rg_reply_parse(rg_slice(frame, sizeof frame - 1), &reply) && reply.status == 200 &&
	   rg_slice_is(reply.body, "{}") && rg_slice_is(reply.headers, "a: b\r\n") &&
	   rg_slice_is(reply.route, "/a") && reply.order.len == 0 &&
	   rg_slice_is(reply.limits, "lim") && rg_slice_is(reply.validator, "val") &&
	   reply.signals == RG_SIGNAL_UNKNOWN_KEY, "a reply comes through");
	for (size_t cut = 0; cut < sizeof frame - 1; cut++)
		refused += !rg_reply_parse(rg_slice(frame, cut), &reply);
	ok(refused == sizeof frame - 1, "no truncation is taken for a reply");
	ok(!rg_reply_parse(rg_slice(frame, sizeof frame), &reply), "nor one with bytes to spare");
}

int
main(void)
{
	test_request();
	test_reply();
	return done();
}
