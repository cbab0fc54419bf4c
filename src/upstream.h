/*
 * upstream.h
 *		The table upstream, as a backend keeps it: applications that routes of
 *		result proxy hand requests on to.
 */
#ifndef RG_UPSTREAM_H
#define RG_UPSTREAM_H

#include "slice.h"

/* How an upstream is shown who asks. */
typedef enum RgUpstreamAuth
{
	RG_UPSTREAM_SIGNATURE,		/* a signed identity */
	RG_UPSTREAM_BEARER			/* its secret, as a bearer token */
} RgUpstreamAuth;

typedef struct RgUpstream
{
	const char *name;
	RgSlice		origin;			/* "https://host:port" */
	RgSlice		base;			/* "" or "/path" */
	const char *prefix;			/* "" or "/path" that requests lose */
	int			strip;			/* its segments */
	int64		connect_ms;
	int64		answer_ms;		/* until the answer's head has come */
	int64		idle_ms;
	int64		max_response;	/* bytes; 0: any */
	bool		cookies;
	RgUpstreamAuth auth;
} RgUpstream;

/* Registers the cache; called from _PG_init. */
extern void rg_upstream_init(void);

/* The upstream of that name, until the end of the transaction; NULL: none. */
extern const RgUpstream *rg_upstream(const char *name);

#endif
