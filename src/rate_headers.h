/*
 * rate_headers.h
 *		The header lines that tell a client about its limits.
 */
#ifndef RG_RATE_HEADERS_H
#define RG_RATE_HEADERS_H

#include "lib/stringinfo.h"

#include "rate.h"

/*
 * Appends RateLimit-Policy and RateLimit (draft-ietf-httpapi-ratelimit-headers),
 * X-RateLimit-* of the limit that is closest to denial and, where one denied,
 * Retry-After.  Nothing when there are no hits.
 */
extern void rg_rate_headers(StringInfo buf, const RgRateHit *hits, int nhits);

/* The members "violated-policies" of a problem (palloc'd). */
extern char *rg_rate_violated(const RgRateHit *hits, int nhits);

/* Whole seconds until the denied hits would all be allowed, at least 1. */
extern int64 rg_rate_retry_seconds(const RgRateHit *hits, int nhits);

#endif
