/*
 * test_upstream_target.c
 *		What an upstream is asked for, and what it never is.
 */
#include "tap.h"
#include "upstream_target.h"

static char buffer[256];

static RgSlice
target(const char *base, const char *path, int strip, const char *query)
{
	RgText		text = {buffer, sizeof buffer, 0};

	rg_upstream_target_put(&text, rg_slice(base, strlen(base)), rg_slice(path, strlen(path)),
						   strip, rg_slice(query, strlen(query)));
	return rg_slice(buffer, text.len);
}

static void
asks(const char *base, const char *path, int strip, const char *query, const char *expected)
{
	RgSlice		made = target(base, path, strip, query);

	ok(rg_slice_is(made, expected), "%s + %s - %d ? %s: %s (%.*s)", base, path, strip, query,
	   expected, (int) made.len, made.data);
}

#define GOES(path) ok(rg_upstream_path_refusal(RG_SLICE(path)) == NULL, "goes on: %s", path)
#define STAYS(path, name) ok(rg_upstream_path_refusal(RG_SLICE(path)) != NULL, "stays here: %s", name)

static void
test_paths(void)
{
	GOES("/");
	GOES("/app/a..b/.../x");
	GOES("/app/a%20b/%C3%A9/%252e%252e/c%2Fd");
	GOES("/app/x;v=1/");
	STAYS("", "nothing");
	STAYS("app", "no slash");
	STAYS("/app/..", "the parent");
	STAYS("/app/../x", "the parent within");
	STAYS("/app/%2e%2E/x", "the parent, escaped");
	STAYS("/app/.%2e/x", "the parent, half escaped");
	STAYS("/app/x%2f..%2fy", "the parent between escaped slashes");
	STAYS("/app/..;/manager", "the parent with parameters, as Tomcat takes it");
	STAYS("/app/..%3Bx=1/manager", "the same, escaped");
	STAYS("/app/./x", "the same folder");
	STAYS("/app//x", "an empty segment");
	STAYS("/app/%2fx", "an empty segment, escaped");
	STAYS("//evil.example/x", "what looks like a host");
	STAYS("/app/a\\b", "a backslash");
	STAYS("/app/%5c..", "a backslash, escaped");
	STAYS("/app/%0d%0aX-Relay-User:%20root", "a line end, escaped");
	STAYS("/app/%00", "a NUL");
	STAYS("/app/%7f", "DEL");
	STAYS("/app/%zz", "no escape");
	STAYS("/app/%", "half an escape");
	STAYS("/app/%ff", "no UTF-8");
}

static void
test_targets(void)
{
	asks("", "/app/x", 0, "", "/app/x");
	asks("", "/app/x", 1, "", "/x");
	asks("", "/app/", 1, "", "/");
	asks("", "/app", 1, "", "/");
	asks("/base", "/app", 1, "", "/base");
	asks("/base", "/app/", 1, "a=b", "/base/?a=b");
	asks("/base", "/%61pp/x%2Fy", 1, "q=%26&r=a+b", "/base/x%2Fy?q=%26&r=a+b");
	asks("", "/app/v2/x", 2, "", "/x");
	asks("", "/app/x", 5, "", "/");
	asks("", "/a?b#c d", 0, "", "/a%3Fb%23c%20d");
	asks("", "/x", 0, "a?b#c d\r\n", "/x?a?b%23c%20d%0D%0A");
	asks("", "/\xc3\xa9", 0, "\xc3\xa9", "/%C3%A9?%C3%A9");
}

static void
test_values(void)
{
	RgText		text = {buffer, sizeof buffer, 0};

	rg_upstream_value_put(&text, RG_SLICE("j\xc3\xbcrg 7%\r\nx:y"));
	ok(rg_slice_is(rg_slice(buffer, text.len), "j%C3%BCrg%207%25%0D%0Ax:y"), "a value cannot end its line");
	text.len = 0;
	rg_upstream_value_put(&text, rg_slice("\0", 1));
	ok(rg_slice_is(rg_slice(buffer, text.len), "%00"), "nor hold a NUL");
}

int
main(void)
{
	test_paths();
	test_targets();
	test_values();
	return done();
}
