/*
 * deny_cache.h
 *		Refusals by rate limits that are still good, in memory of fixed size.
 *
 * A client that was told to wait and does not wait is told again without a
 * question to the database.  An entry lives as long as every limit that denied
 * still denies, but at most RG_DENY_SPAN, so that a limit that was raised is
 * noticed.
 *
 * What an entry answers is exact: the same method and path (routes have limits
 * of their own), from the same address (IPv6 by /64).  Where a limit by
 * identity was asked, it is also the same credentials: by themselves they would
 * not do, since without any (or with a cookie that says nothing) an identity
 * may be that of the address.  Keys are SipHash under a random key, so nobody
 * can choose requests that meet in one entry.
 *
 * No event loop here: unit tests use it as it is.
 */
#ifndef RG_DENY_CACHE_H
#define RG_DENY_CACHE_H

#include "frame.h"
#include "rate_lines.h"

#define RG_DENY_ENTRIES 4096
#define RG_DENY_SPAN INT64_C(5000000)	/* microseconds */

typedef struct RgDenyCache RgDenyCache;

typedef struct RgDenial
{
	RgSlice		route;			/* template; good until the next call */
	int			count;
	RgRateLimit limits[RG_RATE_LIMITS_MAX]; /* their waits counted down */
} RgDenial;

/* An empty cache of some 2 MB; NULL when memory is short. */
extern RgDenyCache *rg_deny_cache_new(void)
			__attribute__((warn_unused_result));

extern void rg_deny_cache_free(RgDenyCache *cache);

/*
 * Is the request one that was refused?  now is rg_now().  An empty cache costs
 * a comparison.
 */
extern bool rg_deny_cache_find(RgDenyCache *cache, const RgRequest *request,
							   int64_t now, RgDenial *denial)
			__attribute__((warn_unused_result));

/*
 * Remembers that the database refused the request just now, with those limits
 * (rate_block.h).  What cannot be read, denies nothing or has no room is not
 * remembered; when its place is taken, the entry that would end first goes.
 */
extern void rg_deny_cache_add(RgDenyCache *cache, const RgRequest *request,
							  RgSlice route, RgSlice block, int64_t now);

#endif
