/*
 * test_problem.c
 *		JSON escaping and the problems made of it.
 */
#include <limits.h>
#include <string.h>

#include "json_text.h"
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
		RG_SLICE("\"violated-policies\":[\"user\"]")
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

static bool
is_listed(const RgProblemKind *kinds, size_t count, int status, RgSlice code)
{
	for (size_t i = 0; i < count; i++)
		if (kinds[i].status == status && rg_slice_is(code, kinds[i].code))
			return true;
	return false;
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
		single &= !is_listed(kinds, i, kinds[i].status, rg_slice_of(kinds[i].code));
	}
	for (int status = 400; status < 600; status++)
		named &= rg_slice_is(rg_problem_code(status), "refused") ||
			is_listed(kinds, count, status, rg_problem_code(status));
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
	test_catalog();
	return done();
}
