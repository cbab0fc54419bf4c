/*
 * cache_tag.h
 *		The tags of cached answers, and the patterns that invalidate them.
 *
 * A tag such as "files:ws1:17" has levels that end with a colon.  It is
 * invalidated by itself and by every pattern "files:ws1:*", "files:*" and "*".
 * What stands in a tag or pattern may come from clients: a "*" that is no
 * level of its own is no error.  At the end of a pattern it takes what is left
 * of its level along, so "files:w*" is "files:*", which is more, never less;
 * anywhere else it is a character like any other.
 *
 * Pure C.
 */
#ifndef RG_CACHE_TAG_H
#define RG_CACHE_TAG_H

#include "slice.h"

#define RG_CACHE_TAG_LEVELS 16	/* colons of a tag */
#define RG_CACHE_TAG_KEYS (RG_CACHE_TAG_LEVELS + 2)

/* One tag, or all that begin with a text that is empty or ends with a colon. */
typedef struct RgCacheKey
{
	RgSlice		text;
	bool		all_below;
} RgCacheKey;

/* What a pattern invalidates. */
extern RgCacheKey rg_cache_pattern(RgSlice pattern);

/*
 * All that invalidates a tag: their number, or 0 for a tag of more than
 * RG_CACHE_TAG_LEVELS levels, which cannot be used.
 */
extern int	rg_cache_tag_keys(RgSlice tag, RgCacheKey keys[RG_CACHE_TAG_KEYS])
			__attribute__((warn_unused_result));

#endif
