/*
 * test_completion.c
 *		What a provider says of a completion, orders to ask one, and what a client
 *		gets of it.
 */
#include <string.h>

#include "gateway/order_json.h"
#include "gateway/provider_order.h"
#include "json_body.h"
#include "tap.h"

#define ID "01234567-0123-0123-0123-0123456789ab"

static RgSlice
slice_of(const char *text)
{
	return rg_slice(text, strlen(text));
}

/*
 * Chunks
 */

static void
test_chunks(void)
{
	RgCompletionChunk chunk;

	ok(rg_completion_chunk_read(RG_SLICE("{\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"Hi\"},\"finish_reason\":null}],\"usage\":null}"), &chunk) &&
	   rg_slice_is(chunk.text, "Hi") && chunk.finish_reason.data == NULL && !chunk.usage.known &&
	   chunk.produced == 2 && chunk.choices && !chunk.failed, "a chunk has text, and its role counts for nothing");
	rg_completion_chunk_free(&chunk);
	ok(rg_completion_chunk_read(RG_SLICE("{\"choices\":[{\"index\":1,\"delta\":{\"content\":\"abc\"},\"finish_reason\":\"stop\"}]}"), &chunk) &&
	   chunk.text.data == NULL && chunk.finish_reason.data == NULL && chunk.produced == 3,
	   "another choice is produced as well, but is not the first");
	rg_completion_chunk_free(&chunk);
	ok(rg_completion_chunk_read(RG_SLICE("{\"choices\":[{\"delta\":{\"tool_calls\":[{\"id\":\"call_1\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]},\"finish_reason\":\"tool_calls\"}]}"), &chunk) &&
	   chunk.produced == 3 && rg_slice_is(chunk.finish_reason, "tool_calls"), "calls of tools are produced too");
	rg_completion_chunk_free(&chunk);
	ok(rg_completion_chunk_read(RG_SLICE("{\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":9,\"total_tokens\":16}}"), &chunk) &&
	   !chunk.choices && chunk.usage.known && chunk.usage.input == 7 && chunk.usage.output == 9, "the chunk of usage");
	rg_completion_chunk_free(&chunk);
	ok(rg_completion_chunk_read(RG_SLICE("{\"error\":{\"message\":\"x\"}}"), &chunk) && chunk.failed, "an error in a chunk's place");
	rg_completion_chunk_free(&chunk);
	ok(rg_completion_chunk_read(RG_SLICE("{\"choices\":[{\"delta\":{\"content\":\"a\\u0000b\"}}]}"), &chunk) &&
	   chunk.text.len == 3, "a NUL is text as well");
	rg_completion_chunk_free(&chunk);
	ok(!rg_completion_chunk_read(RG_SLICE("[]"), &chunk) && !rg_completion_chunk_read(RG_SLICE(""), &chunk) &&
	   !rg_completion_chunk_read(RG_SLICE("{\"choices\":"), &chunk), "what is no object is none");
}

/* "[[],[],…]" in an object */
static bool
is_read(int count, bool (*read) (RgSlice text, RgCompletionChunk *chunk))
{
	static char body[2000000];
	RgCompletionChunk chunk;
	size_t		len = sprintf(body, "{\"a\":[0");
	bool		taken;

	for (int i = 0; i < count; i++)
		len += sprintf(body + len, ",[]");
	len += sprintf(body + len, "]}");
	taken = read(rg_slice(body, len), &chunk);
	if (taken)
		rg_completion_chunk_free(&chunk);
	return taken;
}

static void
test_bounds(void)
{
	char		body[256];

	ok(is_read(20000, rg_completion_chunk_read) && !is_read(60000, rg_completion_chunk_read), "a chunk has so many values");
	ok(is_read(240000, rg_completion_whole_read) && !is_read(260000, rg_completion_whole_read), "an answer as a whole has more");
	memset(body, '[', sizeof body);
	ok(!rg_json_bounded(rg_slice(body, 65), 1000) && rg_json_bounded(rg_slice(body, 64), 1000), "nothing is nested without end");
}

static bool
has_usage(const char *usage)
{
	char		text[256];
	RgCompletionChunk chunk;
	bool		known;

	snprintf(text, sizeof text, "{\"choices\":[{\"message\":{\"content\":\"x\"}}],\"usage\":%s}", usage);
	known = rg_completion_whole_read(slice_of(text), &chunk) && chunk.usage.known && rg_slice_is(chunk.text, "x");
	rg_completion_chunk_free(&chunk);
	return known;
}

static void
test_usage(void)
{
	ok(has_usage("{\"prompt_tokens\":0,\"completion_tokens\":0}"), "an answer as a whole has usage");
	ok(!has_usage("{\"prompt_tokens\":-1,\"completion_tokens\":1}"), "tokens are not negative");
	ok(!has_usage("{\"prompt_tokens\":1.5,\"completion_tokens\":1}"), "nor broken");
	ok(!has_usage("{\"prompt_tokens\":1000000001,\"completion_tokens\":1}"), "nor beyond all measure");
	ok(!has_usage("{\"prompt_tokens\":1}") && !has_usage("null") && !has_usage("[]"), "nor missing");
	ok(rg_completion_estimate(0) == 0 && rg_completion_estimate(1) == 1 && rg_completion_estimate(3) == 1 &&
	   rg_completion_estimate(4) == 2, "an estimate is rounded up");
}

static void
says(const char *body, const char *expected, const char *name)
{
	char		message[4 * RG_COMPLETION_MAX_MESSAGE];
	size_t		len = rg_completion_message(slice_of(body), message);

	ok(len == strlen(expected) && memcmp(message, expected, len) == 0, "%s", name);
}

static void
test_messages(void)
{
	char		body[2048];
	char		out[4 * RG_COMPLETION_MAX_MESSAGE];
	size_t		len = sprintf(body, "{\"error\":{\"message\":\"");

	says("{\"error\":{\"message\":\"too long\"}}", "too long", "a refusal has a message");
	says("{\"error\":{\"message\":\"a\\r\\nb\\u0000c\\u009bd\\u007fe\"}}", "a  b c d e", "without control characters");
	says("{\"error\":{\"message\":\"\\u00e4\\ud83d\\ude00\"}}", "\xC3\xA4\xF0\x9F\x98\x80", "other characters stay");
	says("{\"error\":\"x\"}", "", "or none");
	says("<html>", "", "a page has none");
	for (int i = 0; i < 400; i++)
		len += sprintf(body + len, "\xC3\xA4");
	strcpy(body + len, "\"}}");
	ok(rg_completion_message(slice_of(body), out) == 600, "it is cut after 300 characters, not within one");
}

/*
 * Shapes
 */

static void
test_pieces(void)
{
	RgSlice		rest = RG_SLICE("aa\xC3\xA4\xF0\x9F\x98\x80z");
	RgSlice		broken = RG_SLICE("\x80\x80\x80\x80");
	RgSlice		piece;

	piece = rg_completion_take_piece(&rest, 3);
	ok(rg_slice_is(piece, "aa"), "a piece ends before a character that would be cut");
	piece = rg_completion_take_piece(&rest, 4);
	ok(rg_slice_is(piece, "\xC3\xA4"), "again");
	piece = rg_completion_take_piece(&rest, 4);
	ok(rg_slice_is(piece, "\xF0\x9F\x98\x80"), "or right behind one");
	piece = rg_completion_take_piece(&rest, 4);
	ok(rg_slice_is(piece, "z") && rest.len == 0, "the last one has what is left");
	piece = rg_completion_take_piece(&broken, 2);
	ok(piece.len > 0 && piece.len + broken.len == 4, "what is no UTF-8 comes to an end, too");
}

static void
is_text(const RgText *text, const char *expected)
{
	ok(text->len == strlen(expected) && memcmp(text->data, expected, text->len) == 0, "%s", expected);
}

static void
test_shapes(void)
{
	char		buffer[512];
	RgText		text = {buffer, sizeof buffer, 0};
	RgCompletionEnd end = {.model = RG_SLICE("m"),.usage = {true, 3, 4}};

	rg_completion_put_reply(&text, RG_SLICE("a\"b\n"), &end);
	is_text(&text, "{\"reply\":\"a\\\"b\\n\",\"model\":\"m\",\"finish_reason\":null,\"usage\":{\"input_tokens\":3,\"output_tokens\":4}}");
	text.len = 0;
	end.finish_reason = RG_SLICE("stop");
	rg_completion_put_done(&text, &end);
	is_text(&text, "{\"finish_reason\":\"stop\",\"model\":\"m\"}");
	text.len = 0;
	rg_completion_put_text(&text, RG_SLICE("x\r\ndata: y"));
	is_text(&text, "{\"text\":\"x\\r\\ndata: y\"}");
	text.len = 0;
	rg_completion_put_error(&text, RG_SLICE("c"), RG_SLICE("m"));
	is_text(&text, "{\"code\":\"c\",\"message\":\"m\"}");
	text.len = 0;
	rg_completion_put_openai_error(&text, RG_SLICE("c"), RG_SLICE("m"));
	is_text(&text, "data: {\"error\":{\"message\":\"m\",\"type\":\"server_error\",\"param\":null,\"code\":\"c\"}}\n\n");
	text.len = 0;
	rg_completion_put_data(&text, RG_SLICE("{\"a\":\n1}"));
	is_text(&text, "data: {\"a\":\ndata: 1}\n\n");
	text.len = 0;
	rg_completion_put_element(&text, RG_SLICE("{\"a\":\"\\n\"},{}"));
	is_text(&text, "{\\\"a\\\":\\\"\\\\n\\\"},{}");
}

/*
 * Orders
 */

#define MEMBERS "\"kind\":\"completion\",\"upstream\":\"openai\",\"url\":\"https://api.example:443\",\"target\":\"/v1/chat/completions\"," \
	"\"connect_ms\":1,\"answer_ms\":2,\"idle_ms\":3,\"body\":\"{}\",\"stream\":true,\"usage_asked\":false,\"model\":\"m\"," \
	"\"reservation\":\"" ID "\",\"input_tokens\":4,\"max_output_tokens\":5,\"lease_ms\":6,\"public\":true"
#define ORDER(more) "{" MEMBERS "," more "}"
#define KEY "\"headers\":[\"authorization\",\"Bearer sk-0123456789\"]"

static void
refuses(const char *json, const char *name)
{
	RgProviderOrder order;

	ok(!rg_provider_order_read(slice_of(json), &order), "no order: %s", name);
}

static void
test_orders(void)
{
	RgProviderOrder order;
	const char *name;
	const char *value;

	ok(rg_provider_order_read(RG_SLICE(ORDER("\"max_response\":0,\"shape\":\"openai\"," KEY)), &order) &&
	   order.shape == RG_SHAPE_OPENAI && order.stream && !order.usage_asked && order.connect_ms == 1 &&
	   order.answer_ms == 2 && order.idle_ms == 3 && order.input_tokens == 4 && order.max_output_tokens == 5 &&
	   order.lease_ms == 6 && rg_slice_is(order.body, "{}") && strcmp(order.reservation, ID) == 0, "an order");
	ok(rg_order_header(order.json, 0, &name, &value) && strcmp(name, "authorization") == 0 &&
	   strcmp(value, "Bearer sk-0123456789") == 0 && !rg_order_header(order.json, 1, &name, &value),
	   "with its header");
	ok(rg_provider_order_tells(&order, RG_SLICE("key sk-0123456789 is wrong")) &&
	   !rg_provider_order_tells(&order, RG_SLICE("key sk-012345678 is wrong")) &&
	   !rg_provider_order_tells(&order, RG_SLICE("")), "it knows who tells its key");
	rg_provider_order_free(&order);
	ok(rg_provider_order_read(RG_SLICE(ORDER("\"max_response\":0,\"shape\":\"events\",\"headers\":[],\"events\":{\"number\":9,\"token\":\"" ID "\"}")), &order) &&
	   order.shape == RG_SHAPE_EVENTS && order.events == 9 && strcmp(order.token, ID) == 0, "one with a stream of events");
	rg_provider_order_free(&order);
}

static void
test_bad_orders(void)
{
	refuses("", "nothing");
	refuses("{}", "an empty one");
	refuses(ORDER("\"max_response\":0,\"shape\":\"events\",\"headers\":[]"), "events without their stream");
	refuses(ORDER("\"max_response\":0,\"shape\":\"other\",\"headers\":[]"), "an unknown shape");
	refuses(ORDER("\"max_response\":-1,\"shape\":\"openai\",\"headers\":[]"), "fewer bytes than none");
	refuses(ORDER("\"max_response\":0,\"shape\":\"openai\",\"headers\":[\"a\"]"), "half a header");
	refuses(ORDER("\"max_response\":0,\"shape\":\"openai\",\"headers\":[\"a\",\"b\\r\\nc: d\"]"), "a header that is two");
	refuses(ORDER("\"max_response\":0,\"shape\":\"openai\",\"headers\":[\"a:b\",\"c\"]"), "a name with a colon");
	refuses(ORDER("\"max_response\":0,\"shape\":\"openai\",\"headers\":[],\"target\":\"/x\""), "a member twice");
}

int
main(void)
{
	test_chunks();
	test_bounds();
	test_usage();
	test_messages();
	test_pieces();
	test_shapes();
	test_orders();
	test_bad_orders();
	return done();
}
