/*
 * test_route_match.c
 *		Which paths a route's template takes.
 */
#include <string.h>

#include "route_match.h"
#include "tap.h"

static RgSlice values[4];

static void
matches(const char *path, const char *raw, bool expected)
{
	ok(rg_template_match(path, rg_slice(raw, strlen(raw)), values, 4) == expected,
	   "%s %s %s", path, expected ? "takes" : "does not take", raw);
}

int
main(void)
{
	matches("/a/b", "/a/b", true);
	matches("/a/b", "/a/b/", false);
	matches("/a/b", "/a", false);
	matches("/a/b", "/a/%62", true);
	matches("/a/b", "/a%2fb", false);
	matches("/a/{id}", "/a/x%20y", true);
	ok(rg_slice_is(values[0], "x%20y"), "a value stays escaped");
	matches("/a/{id}", "/a/", false);
	matches("/a/{id}", "/a/b/c", false);
	matches("/a/{x}/c/{y}", "/a/1/c/2", true);
	ok(rg_slice_is(values[0], "1") && rg_slice_is(values[1], "2"), "values come in order");
	matches("/a/{x}/c", "/a/1/d", false);
	matches("/{x}", "//", false);
	matches("/a", "", false);
	matches("/a", "a", false);
	matches("/a/{rest...}", "/a/b/c%2Fd//e/", true);
	ok(rg_slice_is(values[0], "b/c%2Fd//e/"), "what takes the rest takes it as it came");
	matches("/a/{rest...}", "/a/", true);
	ok(values[0].len == 0, "and may be nothing");
	matches("/a/{rest...}", "/a", false);
	matches("/a/{rest...}", "/ab/c", false);
	matches("/{x}/b/{rest...}", "/1/b/2/3", true);
	ok(rg_slice_is(values[0], "1") && rg_slice_is(values[1], "2/3"), "it comes after the others");
	matches("/{rest...}", "/", true);
	matches("/{a}/{b}/{c}/{d}/{rest...}", "/1/2/3/4/5", false);
	ok(rg_template_has_rest("/a/{rest...}") && !rg_template_has_rest("/a/{rest}") &&
	   !rg_template_has_rest("/a...") && !rg_template_has_rest("/{x}/..."), "its template tells");
	ok(rg_template_compare("/a/b", "/a/{x}") < 0 && rg_template_compare("/a/z", "/{rest...}") < 0 &&
	   rg_template_compare("/a/{z}", "/a/{rest...}") < 0 && rg_template_compare("/a/b/{rest...}", "/a/{rest...}") < 0 &&
	   rg_template_compare("/b/{x}", "/a/{x}") > 0 && rg_template_compare("/a/{x}", "/a/{x}") == 0,
	   "the more exact template comes first");
	return done();
}
