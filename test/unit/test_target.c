/*
 * test_target.c
 *		What of a request's target is refused.
 */
#include "gateway/target.h"
#include "tap.h"

static bool
splits(RgSlice text)
{
	RgTarget	target;

	return rg_target_split(RG_SLICE("GET"), text, &target);
}

#define ACCEPT(text) ok(splits(RG_SLICE(text)), "%s", "accepted: " text)
#define REFUSE(text, name) ok(!splits(RG_SLICE(text)), "refused: %s", name)

static void
test_accepted(void)
{
	ACCEPT("/");
	ACCEPT("/a/b%20c/%C3%A9");
	ACCEPT("/a..b/...");
	ACCEPT("/a?b=..%2f..&c=%5C");
	ACCEPT("/%252e%252e/");
	ACCEPT("/a+b?c+d");
	ACCEPT("/?");
}

static void
test_refused(void)
{
	REFUSE("", "nothing");
	REFUSE("a", "no slash");
	REFUSE("?a", "a query only");
	REFUSE("http://h/", "an absolute target");
	REFUSE("*", "an asterisk");
	REFUSE("/a#b", "a fragment");
	REFUSE("/%", "an escape without digits");
	REFUSE("/%4", "half an escape");
	REFUSE("/%4g", "an escape that is not hexadecimal");
	REFUSE("/a?%zz", "such a one in the query");
	REFUSE("/%00", "an escaped NUL");
	REFUSE("/a?b=%00", "an escaped NUL in the query");
	REFUSE("/..", "a parent");
	REFUSE("/a/../b", "a parent within");
	REFUSE("/a/%2e%2E/b", "an escaped parent");
	REFUSE("/a%2f..%2fb", "a parent between escaped slashes");
	REFUSE("/a\\b", "a backslash");
	REFUSE("/a%5cb", "an escaped backslash");
	REFUSE("/%c3", "half a character");
	REFUSE("/%c0%af", "an overlong slash");
	REFUSE("/%ed%a0%80", "a surrogate");
	REFUSE("/a?b=%ff", "a query that is not UTF-8");
}

static void
test_parts(void)
{
	RgTarget	target;

	ok(rg_target_split(RG_SLICE("GET"), RG_SLICE("/a%20b?c?d"), &target) &&
	   rg_slice_is(target.path, "/a%20b") && rg_slice_is(target.query, "c?d"),
	   "path and query, as they were sent");
	ok(rg_target_split(RG_SLICE("GET"), RG_SLICE("/a"), &target) && target.query.len == 0,
	   "no query");
	ok(rg_target_split(RG_SLICE("OPTIONS"), RG_SLICE("*"), &target), "OPTIONS *");
	ok(!rg_target_split(RG_SLICE("options"), RG_SLICE("*"), &target), "methods have a case");
}

int
main(void)
{
	test_accepted();
	test_refused();
	test_parts();
	return done();
}
