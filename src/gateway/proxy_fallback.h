/*
 * proxy_fallback.h
 *		Routes to upstreams that stay open while the database is away.
 *
 * Which they are is asked of the database every few seconds, and kept when no
 * answer comes.  A request then passes without an identity, credentials or
 * cookies, limited by its address alone.
 */
#ifndef RG_PROXY_FALLBACK_H
#define RG_PROXY_FALLBACK_H

#include "conn.h"

struct RgWorker;

/* Makes the buckets that all workers share; in the master, before the first. */
extern bool rg_proxy_fallback_share(void)
			__attribute__((warn_unused_result));

/* Asks for the routes, once a second at most. */
extern void rg_proxy_fallback_tick(struct RgWorker *worker);

/*
 * The database is away: answers the job's request if its route stays open.  False
 * when it does not.
 */
extern bool rg_proxy_fallback(RgConn *conn, RgJob *job, RgOutcome outcome)
			__attribute__((warn_unused_result));

#endif
