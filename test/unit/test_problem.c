/*
 * test_problem.c
 *		JSON escaping and the problems made of it.
 */
#define _GNU_SOURCE				/* memmem */

#include <limits.h>
#include <string.h>

#include "json_text.h"
#include "openai_path.h"
#include "problem.h"
#include "problem_catalog.h"
#include "tap.h"

static bool
escapes_to(RgSlice string, const char *expected)
{
	char		out[256];
	size_t		len = rg_json_escape(out, sizeof out, string);

	return len == strlen(expected) && memcmp(out, expected, len) == 0;
}

static void
test_escapes(void)
{
	ok(escapes_to(RG_SLICE("plain"), "plain"), "plain text stays");
	ok(escapes_to(RG_SLICE(""), ""), "so does nothing");
	ok(escapes_to(RG_SLICE("a\"b\\c"), "a\\\"b\\\\c"), "quote and backslash");
	ok(escapes_to(RG_SLICE("\b\f\n\r\t"), "\\b\\f\\n\\r\\t"), "short escapes");
	ok(escapes_to(RG_SLICE("\0\x1f"), "\\u0000\\u001f"), "control characters");
	ok(escapes_to(RG_SLICE("\xc3\xa9"), "\xc3\xa9"), "UTF-8 stays");
	ok(escapes_to(RG_SLICE("a\xc3z"), "a\\ufffdz"), "what is not UTF-8 is replaced");
}

static void
test_bounds(void)
{
	char		out[4] = "....";

	ok(rg_json_escape(out, 2, RG_SLICE("abc")) == 3, "the needed length is told");
	ok(memcmp(out, "ab..", 4) == 0, "nothing is written beyond the end");
	ok(rg_json_escape(NULL, 0, RG_SLICE("a\n")) == 3, "no buffer at all");
}

static bool
number_is(long long number, const char *expected)
{
	char		out[32];
	RgText		text = {out, sizeof out, 0};

	rg_text_number(&text, number);
	return rg_slice_is(rg_slice(out, text.len), expected);
}

static void
test_numbers(void)
{
	ok(number_is(0, "0"), "zero");
	ok(number_is(-42, "-42"), "a negative number");
	ok(number_is(LLONG_MIN, "-9223372036854775808"), "the least number");
}

static bool
problem_is(const RgProblem *problem, const char *expected)
{
	char		out[1024];
	size_t		len = rg_problem_json(out, sizeof out, problem);

	return rg_slice_is(rg_slice(out, len), expected);
}

static void
test_problems(void)
{
	RgProblem	bare = {.status = 404};
	RgProblem	full = {
		429, RG_SLICE("rate_limited"), RG_SLICE("too \"many\""),
		RG_SLICE("Wait."), RG_SLICE("/a"), RG_SLICE("r1"), RG_SLICE("/query/x"),
		RG_SLICE("\"violated-policies\":[\"user\"]"), false
	};

	ok(problem_is(&bare,
				  "{\"type\":\"about:blank\",\"title\":\"Not Found\",\"status\":404,"
				  "\"code\":\"not_found\",\"suggestion\":"
				  "\"Check the path and its ids, and whose credentials were sent.\"}"),
	   "a bare problem has a code and a suggestion all the same");
	ok(problem_is(&full, "{\"type\":\"about:blank\",\"title\":\"Too Many Requests\","
				  "\"status\":429,\"code\":\"rate_limited\",\"detail\":\"too \\\"many\\\"\","
				  "\"suggestion\":\"Wait.\",\"pointer\":\"/query/x\",\"instance\":\"/a\","
				  "\"request_id\":\"r1\",\"violated-policies\":[\"user\"]}"),
	   "a full problem");
	ok(strcmp(rg_status_title(418), "Client Error") == 0, "a status without a title");
	ok(strcmp(rg_status_title(599), "Server Error") == 0, "a server error without a title");
}

/* In OpenAI's form, with that type. */
static bool
is_of_type(int status, const char *code, const char *type)
{
	RgProblem	problem = {.status = status,.code = rg_slice_of(code),.openai = true};
	char		out[1024];
	char		member[64];
	size_t		len = rg_problem_json(out, sizeof out, &problem);

	snprintf(member, sizeof member, "\"type\":\"%s\"", type);
	return memmem(out, len, member, strlen(member)) != NULL;
}

static void
test_openai_errors(void)
{
	RgProblem	bare = {.status = 404,.openai = true};
	RgProblem	full = {
		429, RG_SLICE("insufficient_quota"), RG_SLICE("the \"budget\" is used up"), RG_SLICE("Wait."),
		RG_SLICE("/a"), RG_SLICE("r1"), RG_SLICE("/body/n"), RG_SLICE("\"a\":1"), true
	};

	ok(problem_is(&bare, "{\"error\":{\"message\":\"Not Found. Check the path and its ids, and whose "
				  "credentials were sent.\",\"type\":\"not_found_error\",\"param\":null,\"code\":\"not_found\"}}"),
	   "OpenAI's error has its four members, whatever the problem lacks");
	ok(problem_is(&full, "{\"error\":{\"message\":\"n: the \\\"budget\\\" is used up. Wait.\","
				  "\"type\":\"insufficient_quota\",\"param\":\"n\",\"code\":\"insufficient_quota\"}}"),
	   "and no others");
	ok(is_of_type(400, NULL, "invalid_request_error") && is_of_type(401, NULL, "authentication_error") &&
	   is_of_type(403, NULL, "permission_error") && is_of_type(404, NULL, "not_found_error") &&
	   is_of_type(405, NULL, "invalid_request_error") && is_of_type(422, NULL, "invalid_request_error") &&
	   is_of_type(429, "quota_exhausted", "rate_limit_error") && is_of_type(429, NULL, "rate_limit_error") &&
	   is_of_type(500, NULL, "server_error") && is_of_type(504, NULL, "server_error"),
	   "its type follows from the status");
	ok(strcmp(rg_problem_type(&bare), "application/json") == 0, "it is plain JSON");
}

/* A problem with that pointer and detail has that message and that param. */
static void
says(const char *pointer, const char *detail, const char *start)
{
	RgProblem	problem = {
		.status = 422,.code = RG_SLICE("c"),.detail = rg_slice_of(detail),
		.suggestion = RG_SLICE("Do."),.pointer = rg_slice_of(pointer),.openai = true
	};
	char		out[1024];
	size_t		len = rg_problem_json(out, sizeof out - 1, &problem);

	out[len] = '\0';
	ok(strncmp(out + strlen("{\"error\":{\"message\":"), start, strlen(start)) == 0, "%s: %s", pointer, start);
}

static void
test_openai_messages(void)
{
	says("", "it is wrong", "\"it is wrong. Do.\",\"type\":\"invalid_request_error\",\"param\":null,");
	says("/body", "is missing", "\"is missing. Do.\",\"type\":\"invalid_request_error\",\"param\":null,");
	says("/query/limit", "x", "\"limit: x. Do.\",\"type\":\"invalid_request_error\",\"param\":\"limit\",");
	says("/body/messages/0/content", "Why?",
		 "\"messages[0].content: Why? Do.\",\"type\":\"invalid_request_error\",\"param\":\"messages[0].content\",");
	says("/body/a~1b~0c/2/3", "x", "\"a/b~c[2][3]: x. Do.\"");
	says("/body/\xc3\xa4\"/~", "x", "\"\xc3\xa4\\\".~: x. Do.\"");
}

static void
test_openai_paths(void)
{
	ok(rg_openai_path(RG_SLICE("/v1/chat/completions")) && rg_openai_path(RG_SLICE("/v1/completions?a=b")) &&
	   rg_openai_path(RG_SLICE("/v1/embeddings")) && rg_openai_path(RG_SLICE("/v1/models/a/b")) &&
	   rg_openai_path(RG_SLICE("/v1/models/{id}")), "paths that speak OpenAI's API");
	ok(!rg_openai_path(rg_slice(NULL, 0)) && !rg_openai_path(RG_SLICE("/v1/chat")) &&
	   !rg_openai_path(RG_SLICE("/v1/modelsX")) && !rg_openai_path(RG_SLICE("/v1/events")) &&
	   !rg_openai_path(RG_SLICE("/api/v1/models")), "paths that do not");
}

/* A whole sentence, which tells clients nothing of SQL. */
static bool
is_sentence(const char *text)
{
	size_t		len = strlen(text);

	return len > 1 && text[0] >= 'A' && text[0] <= 'Z' && text[len - 1] == '.';
}

static bool
is_word(const char *code)
{
	return *code != '\0' && strspn(code, "abcdefghijklmnopqrstuvwxyz0123456789_") == strlen(code);
}

static void
test_catalog(void)
{
	size_t		count;
	const RgProblemKind *kinds = rg_problem_kinds(&count);
	bool		sorted = true;
	bool		worded = true;
	bool		single = true;
	bool		named = true;

	for (size_t i = 0; i < count; i++)
	{
		sorted &= i == 0 || kinds[i - 1].status <= kinds[i].status;
		worded &= is_word(kinds[i].code) && is_sentence(kinds[i].suggestion) &&
			kinds[i].meaning[0] != '\0';
		single &= rg_problem_kind(kinds[i].status, rg_slice_of(kinds[i].code)) == &kinds[i];
	}
	for (int status = 400; status < 600; status++)
		named &= rg_slice_is(rg_problem_code(status), "refused") ||
			rg_problem_kind(status, rg_problem_code(status)) != NULL;
	ok(sorted, "the catalog stands in the order of status");
	ok(worded, "each problem has a code that is a word, a meaning and a suggestion");
	ok(single, "none stands there twice");
	ok(named, "what comes without a code gets one that is listed");
	ok(rg_slice_is(rg_problem_suggestion(418, RG_SLICE("teapot")),
				   "Correct the request before sending it again."),
	   "an application's problem gets a suggestion by its status");
	ok(rg_slice_is(rg_problem_suggestion(599, RG_SLICE("teapot")), "Send the request again later."),
	   "so does a server's error");
}

int
main(void)
{
	test_escapes();
	test_bounds();
	test_numbers();
	test_problems();
	test_openai_errors();
	test_openai_messages();
	test_openai_paths();
	test_catalog();
	return done();
}
