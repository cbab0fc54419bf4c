/*
 * cache_tag.c
 *		Tags of cached answers; cache_tag.h says which pattern is whose.
 */
#include "cache_tag.h"

static RgCacheKey
make_key(const char *data, size_t len, bool all_below)
{
	RgCacheKey	key = {{data, len}, all_below};

	return key;
}

RgCacheKey
rg_cache_pattern(RgSlice pattern)
{
	size_t		len = pattern.len;

	if (len == 0 || pattern.data[len - 1] != '*')
		return make_key(pattern.data, len, false);
	for (len--; len > 0 && pattern.data[len - 1] != ':';)
		len--;
	return make_key(pattern.data, len, true);
}

int
rg_cache_tag_keys(RgSlice tag, RgCacheKey keys[RG_CACHE_TAG_KEYS])
{
	int			count = 0;

	keys[count++] = make_key(tag.data, tag.len, false);
	keys[count++] = make_key(tag.data, 0, true);
	for (size_t i = 0; i < tag.len; i++)
	{
		if (tag.data[i] != ':')
			continue;
		if (count == RG_CACHE_TAG_KEYS)
			return 0;
		keys[count++] = make_key(tag.data, i + 1, true);
	}
	return count;
}
