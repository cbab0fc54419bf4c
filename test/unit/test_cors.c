/*
 * test_cors.c
 *		Which origins are allowed, and which lists are none.
 */
#include "gateway/cors.h"
#include "tap.h"

static RgCors cors;

static bool
reads(const char *list, int count)
{
	RgSlice		bad;
	const char *why;

	return rg_cors_parse(rg_slice_of(list), &cors, &bad, &why) ? cors.count == count : count < 0;
}

/* Only the entry named is wrong. */
static bool
refuses(const char *list, const char *entry)
{
	RgSlice		bad;
	const char *why;

	return !rg_cors_parse(rg_slice_of(list), &cors, &bad, &why) && rg_slice_is(bad, entry) &&
		why != NULL;
}

static int
finds(const char *origin)
{
	return rg_cors_find(&cors, rg_slice_of(origin));
}

static void
test_lists(void)
{
	ok(reads("", 0) && reads(" , \t", 0), "an empty list");
	ok(reads("https://a.example", 1), "one origin");
	ok(reads("https://a.example,http://b.example:8080 http://[::1]:3000", 3), "separators");
	ok(reads("capacitor://localhost,chrome-extension://abc", 2), "schemes of applications");
	ok(refuses("https://a.example,null", "null"), "null");
	ok(refuses("https://a.example/", "https://a.example/"), "a slash at the end");
	ok(refuses("https://A.example", "https://A.example"), "upper case");
	ok(refuses("HTTPS://a.example", "HTTPS://a.example"), "upper case of the scheme");
	ok(refuses("https://*.a.example", "https://*.a.example"), "a pattern");
	ok(refuses("a.example", "a.example") && refuses("//a", "//a"), "no scheme");
	ok(refuses("https://", "https://") && refuses("https://:80", "https://:80"), "no host");
	ok(refuses("https://a:443", "https://a:443") && refuses("http://a:80", "http://a:80"), "a port that browsers leave out");
	ok(reads("https://a:80,http://a:443", 2), "which only the scheme's own is");
	ok(refuses("https://a:0", "https://a:0") && refuses("https://a:65536", "https://a:65536") &&
	   refuses("https://a:08", "https://a:08") && refuses("https://a:", "https://a:") &&
	   refuses("https://a:1x", "https://a:1x"), "what is no port");
	ok(refuses("https://u@a", "https://u@a") && refuses("https://a?b", "https://a?b"), "more than an origin");
	ok(refuses("https://[::1", "https://[::1") && refuses("https://[]", "https://[]"), "half an address");
	ok(refuses("\xc3\xa4://a", "\xc3\xa4://a") && refuses("https://b\xc3\xbc", "https://b\xc3\xbc"), "a name that is not encoded");
}

static void
test_matching(void)
{
	ok(reads("https://a.example,http://localhost:3000", 2), "two origins");
	ok(finds("https://a.example") == 1 && finds("http://localhost:3000") == 2, "each is found");
	ok(finds("https://a.exampl") == 0 && finds("https://a.examplee") == 0, "nothing shorter or longer is");
	ok(finds("http://a.example") == 0 && finds("https://a.example:444") == 0, "nor another scheme or port");
	ok(finds("https://A.example") == 0 && finds("https://a.example/") == 0, "nor what no browser sends");
	ok(finds("null") == 0 && finds("") == 0, "nor null, nor nothing");
	ok(rg_cors_named(&cors, 1) && !rg_cors_named(&cors, 0), "by name");
	ok(reads("https://a.example,*", 2), "with the wildcard");
	ok(finds("https://a.example") == 1 && finds("https://b.example") == 2 && finds("null") == 0,
	   "all others are the wildcard's, but null");
	ok(rg_cors_named(&cors, 1) && !rg_cors_named(&cors, 2), "which is no name");
}

static bool
puts_lines(int number, const char *part, bool there)
{
	char		lines[1024];
	RgText		text = {lines, sizeof lines - 1, 0};

	rg_cors_put(&text, &cors, number);
	lines[text.len] = '\0';
	return text.len < sizeof lines && (strstr(lines, part) != NULL) == there &&
		memcmp(lines + text.len - 2, "\r\n", 2) == 0;
}

static void
test_lines(void)
{
	ok(puts_lines(1, "Access-Control-Allow-Origin: https://a.example\r\n", true), "the origin is echoed");
	ok(puts_lines(1, "Access-Control-Allow-Credentials: true\r\n", true), "with credentials");
	ok(puts_lines(2, "Access-Control-Allow-Origin: *\r\n", true), "the wildcard as such");
	ok(puts_lines(2, "Credentials", false), "and never with credentials");
}

int
main(void)
{
	test_lists();
	test_matching();
	test_lines();
	return done();
}
