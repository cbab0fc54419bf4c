/*
 * test_cache_tag.c
 *		Which patterns invalidate which tags.
 */
#include "cache_tag.h"
#include "tap.h"

static bool
is_same(const RgCacheKey *a, const RgCacheKey *b)
{
	return a->all_below == b->all_below && rg_slice_equal(a->text, b->text);
}

static bool
invalidates(const char *pattern, const char *tag)
{
	RgCacheKey	keys[RG_CACHE_TAG_KEYS];
	RgCacheKey	wanted = rg_cache_pattern(rg_slice(pattern, strlen(pattern)));
	int			count = rg_cache_tag_keys(rg_slice(tag, strlen(tag)), keys);

	for (int i = 0; i < count; i++)
		if (is_same(&keys[i], &wanted))
			return true;
	return false;
}

static const struct
{
	const char *pattern;
	const char *tag;
	bool		match;
}			cases[] =

{
	{"files:1", "files:1", true},
	{"files:1", "files:10", false},
	{"files:1", "files:1:2", false},
	{"files:*", "files:1", true},
	{"files:*", "files:", true},
	{"files:*", "files:1:2", true},
	{"files:*", "files", false},
	{"files:*", "file:1", false},
	{"files:*", "xfiles:1", false},
	{"files:1:*", "files:1:2", true},
	{"files:1:*", "files:12:2", false},
	{"files", "files", true},
	{"*", "files:1", true},
	{"*", "", true},
	{"", "", true},
	{"", "files", false},
	{"files*", "other", true},
	{"files:w*", "files:a:1", true},
	{"files:w*", "other:1", false},
	{"files:*:2", "files:1:2", false},
	{"files:*:2", "files:*:2", true},
	{"files:*", "files:*", true},
	{"files:a*b", "files:a*b", true},
};

static void
test_levels(void)
{
	char		tag[2 * (RG_CACHE_TAG_LEVELS + 1) + 1] = "";
	RgCacheKey	keys[RG_CACHE_TAG_KEYS];

	for (int i = 0; i < RG_CACHE_TAG_LEVELS; i++)
		strcat(tag, "a:");
	ok(rg_cache_tag_keys(rg_slice(tag, strlen(tag)), keys) == RG_CACHE_TAG_KEYS,
	   "a tag of %d levels has all its keys", RG_CACHE_TAG_LEVELS);
	strcat(tag, "a:");
	ok(rg_cache_tag_keys(rg_slice(tag, strlen(tag)), keys) == 0, "one of more has none");
}

int
main(void)
{
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		ok(invalidates(cases[i].pattern, cases[i].tag) == cases[i].match,
		   "\"%s\" %s \"%s\"", cases[i].pattern,
		   cases[i].match ? "invalidates" : "leaves", cases[i].tag);
	test_levels();
	return done();
}
