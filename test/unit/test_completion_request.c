/*
 * test_completion_request.c
 *		What is read of requests of chat completions, and what they become.
 */
#include <string.h>

#include "completion_request.h"
#include "tap.h"

static char buffer[4096];

static RgSlice
written(const char *body, const RgCompletionTerms *terms)
{
	RgText		text = {buffer, sizeof buffer, 0};
	RgCompletionRequest request;
	RgViolation violation;

	if (!rg_completion_read(rg_slice(body, strlen(body)), &request, &violation))
		return rg_slice(NULL, 0);
	rg_completion_put(&text, &request, terms);
	rg_completion_free(&request);
	return rg_slice(buffer, text.len);
}

static void
becomes(const char *body, bool stream, const char *expected)
{
	RgCompletionTerms terms = {"m", 9, stream, RG_SLICE("u")};
	RgSlice		text = written(body, &terms);

	ok(rg_slice_is(text, expected), "%s: %s (%.*s)", body, expected, (int) text.len,
	   text.data ? text.data : "");
}

static void
refuses(const char *body, const char *pointer)
{
	RgCompletionRequest request;
	RgViolation violation;
	bool		taken = rg_completion_read(rg_slice(body, strlen(body)), &request, &violation);

	ok(!taken && strcmp(violation.pointer, pointer) == 0, "refused for %s: %s", pointer, body);
	if (taken)
		rg_completion_free(&request);
}

static void
counts(const char *message, long long tokens)
{
	char		body[512];
	RgCompletionRequest request;
	RgViolation violation;
	int			len = snprintf(body, sizeof body, "{\"messages\":[%s]}", message);

	if (!ok(rg_completion_read(rg_slice(body, len), &request, &violation), "read: %s", message))
		return;
	ok(request.input_tokens == tokens, "%lld tokens: %s (%lld)", tokens, message,
	   (long long) request.input_tokens);
	rg_completion_free(&request);
}

static void
hides(const char *parts, long long tokens)
{
	char		body[512];
	RgCompletionRequest request;
	RgViolation violation;
	int			len = snprintf(body, sizeof body, "{\"messages\":[{\"role\":\"a\",\"content\":[%s]}]}", parts);

	if (!ok(rg_completion_read(rg_slice(body, len), &request, &violation), "read: %s", parts))
		return;
	ok(request.hidden_tokens == tokens, "%lld tokens may be hidden: %s (%lld)", tokens, parts,
	   (long long) request.hidden_tokens);
	rg_completion_free(&request);
}

#define HI "\"messages\":[{\"role\":\"user\"}]"
#define MODEL "{\"model\":\"m\","

static void
test_writing(void)
{
	becomes("{" HI "}", false, MODEL HI ",\"max_completion_tokens\":9,\"user\":\"u\"}");
	becomes("{" HI ",\"max_tokens\":3}", false, MODEL HI ",\"max_tokens\":9,\"user\":\"u\"}");
	becomes("{" HI ",\"max_tokens\":3,\"max_completion_tokens\":4}", false,
			MODEL HI ",\"max_completion_tokens\":9,\"user\":\"u\"}");
	becomes("{" HI "}", true, MODEL HI ",\"max_completion_tokens\":9,\"stream\":true,"
			"\"stream_options\":{\"include_usage\":true},\"user\":\"u\"}");
	becomes("{\"stream\":true,\"stream_options\":{\"include_usage\":false}," HI "}", false,
			MODEL HI ",\"max_completion_tokens\":9,\"user\":\"u\"}");
	becomes("{ \"model\" : \"other\" , \"user\":\"me\",\"safety_identifier\":\"me\"," HI " }", false,
			MODEL HI ",\"max_completion_tokens\":9,\"user\":\"u\"}");
	becomes("{\"a\":0.10,\"b\\\"\\u0009\":[1e2, {\"c\":\"}\\\"\"}]," HI "}", false,
			MODEL "\"a\":0.10,\"b\\\"\\t\":[1e2, {\"c\":\"}\\\"\"}]," HI
			",\"max_completion_tokens\":9,\"user\":\"u\"}");
	becomes("{\"a\":[true,5e-324,1E+308,\"1e-999\"]," HI "}", false, MODEL "\"a\":[true,5e-324,1E+308,\"1e-999\"]," HI
			",\"max_completion_tokens\":9,\"user\":\"u\"}");
	becomes("{\"n\":2,\"\":1," HI "}", false, MODEL "\"n\":2,\"\":1," HI
			",\"max_completion_tokens\":9,\"user\":\"u\"}");
}

static void
test_refusals(void)
{
	refuses("", "/body");
	refuses("[]", "/body");
	refuses("null", "/body");
	refuses("{}", "/body/messages");
	refuses("{\"messages\":{}}", "/body/messages");
	refuses("{\"messages\":[]}", "/body/messages");
	refuses("{\"messages\":[{\"role\":\"a\"},{\"role\":1}]}", "/body/messages/1");
	refuses("{\"a\":[true,false,1e-325]," HI "}", "/body");
	refuses("{\"a\":-1.5E-0000016000," HI "}", "/body");
	refuses("{\"a\":1e-99999999999999999999," HI "}", "/body");
	refuses("{\"model\":\"\"," HI "}", "/body/model");
	refuses("{\"model\":[]," HI "}", "/body/model");
	refuses("{\"max_tokens\":0," HI "}", "/body/max_tokens");
	refuses("{\"max_tokens\":1.0," HI "}", "/body/max_tokens");
	refuses("{\"max_completion_tokens\":1000000001," HI "}", "/body/max_completion_tokens");
	refuses("{\"n\":129," HI "}", "/body/n");
	refuses("{\"best_of\":true," HI "}", "/body/best_of");
	refuses("{\"stream\":1," HI "}", "/body/stream");
	refuses("{\"stream_options\":true," HI "}", "/body/stream_options");
}

/* The names of members that hold no text count as well: the estimate leans upwards. */
static void
test_estimate(void)
{
	counts("{\"role\":\"a\"}", 5);
	counts("{\"role\":\"a\",\"content\":\"bc\"}", 5);
	counts("{\"role\":\"a\",\"content\":\"bcd\"}", 6);
	counts("{\"role\":\"a\",\"content\":[12345678,1.5,true,null]}", 8);
	counts("{\"role\":\"a\",\"content\":\"\\u00e9\\u00e9\"}", 6);
	counts("{\"role\":\"a\",\"content\":\"bc\"},{\"role\":\"a\",\"content\":\"bc\"}", 10);
	counts("{\"role\":\"a\",\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:0123456789\"}}]}", 3005);
	counts("{\"role\":\"a\",\"content\":[{\"type\":\"image_url\",\"image_url\":{},\"text\":\"01234567890\"}]}", 3010);
	counts("{\"role\":\"a\",\"content\":[{\"type\":\"text\",\"text\":\"0123456789\"}]}", 12);
	counts("{\"role\":\"a\",\"content\":[{\"type\":\"unknown\",\"text\":\"0123456789\"}]}", 13);
	counts("{\"role\":\"a\",\"content\":[{\"type\":\"file\",\"file\":\"01234567890123456789012345678901\"}]}", 3006);
}

#define IMAGE(detail) "{\"type\":\"image_url\",\"image_url\":{\"url\":\"http://x\"" detail "}}"

static void
test_hidden(void)
{
	hides("{\"type\":\"text\",\"text\":\"a\"}", 0);
	hides(IMAGE(",\"detail\":\"low\""), 0);
	hides(IMAGE(""), 47000);
	hides(IMAGE(",\"detail\":1") "," IMAGE(",\"detail\":\"high\""), 94000);
	hides("{\"type\":\"input_audio\",\"input_audio\":{\"data\":\"\"}}", 0);
	hides("{\"type\":\"file\",\"file\":{\"file_id\":\"file-1\"}}," IMAGE(""), 1000000000);
}

int
main(void)
{
	test_writing();
	test_refusals();
	test_estimate();
	test_hidden();
	return done();
}
