/*
 * response_cache.h
 *		Bodies that serve() may find to be current still, in memory of bounded
 *		size.
 *
 * A body is kept under method (HEAD is GET), path, query and credentials, byte
 * by byte.  That only chooses which validator serve() is shown: it says itself
 * whose the body is and whether it is current (held.h), and without it nothing
 * here is ever sent.
 *
 * No event loop here: unit tests use it as it is.
 */
#ifndef RG_RESPONSE_CACHE_H
#define RG_RESPONSE_CACHE_H

#include "content.h"
#include "frame.h"

#define RG_VALIDATOR_MAX 64
#define RG_RESPONSE_CACHE_KEY 16

typedef struct RgResponseCache RgResponseCache;

/* A body, pinned by whoever got it until rg_held_body_release(). */
typedef struct RgHeldBody
{
	RgContent	content;
	RgSlice		lines;			/* of a head, that belong to it */
	char		validator[RG_VALIDATOR_MAX + 1];

	/* private */
	RgResponseCache *cache;
	struct RgHeldBody *next;	/* in its bucket */
	struct RgHeldBody *newer;	/* used more recently */
	struct RgHeldBody *older;
	unsigned char key[RG_RESPONSE_CACHE_KEY];
	int			pins;
	bool		listed;			/* can be found */
	size_t		size;
} RgHeldBody;

typedef struct RgResponseCacheCounts
{
	uint64_t	evictions;		/* so far, to make room for others */
	uint64_t	bodies;			/* that are there now */
	uint64_t	bytes;			/* that they take */
} RgResponseCacheCounts;

/* An empty cache for so many bytes, over which nothing is kept; NULL: no memory. */
extern RgResponseCache *rg_response_cache_new(size_t limit)
			__attribute__((warn_unused_result));

/* All that was pinned must have been released. */
extern void rg_response_cache_free(RgResponseCache *cache);

/* The body for such a request, or NULL.  An empty cache costs a comparison. */
extern RgHeldBody *rg_response_cache_find(RgResponseCache *cache, const RgRequest *request)
			__attribute__((warn_unused_result));

/*
 * Keeps a copy of the body and of the lines that belong to it in the place of an older
 * one; NULL when it is too large for that (an eighth of the limit) or memory is short.
 */
extern RgHeldBody *rg_response_cache_add(RgResponseCache *cache, const RgRequest *request,
										 RgSlice validator, RgSlice body, RgSlice lines)
			__attribute__((warn_unused_result));

/* NULL is nothing.  What was compressed meanwhile is counted now. */
extern void rg_held_body_release(RgHeldBody *held);

extern RgResponseCacheCounts rg_response_cache_counts(const RgResponseCache *cache);

#endif
