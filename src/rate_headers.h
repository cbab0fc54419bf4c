/*
 * rate_headers.h
 *		What an answer says of the limits that were asked (rate_lines.h).
 */
#ifndef RG_RATE_HEADERS_H
#define RG_RATE_HEADERS_H

#include "lib/stringinfo.h"

#include "problem.h"
#include "rate.h"

/* Appends the header lines; nothing when there are no hits. */
extern void rg_rate_headers(StringInfo buf, const RgRateHit *hits, int nhits);

/* The problem for hits of which one denied (palloc'd). */
extern RgProblem rg_rate_problem(const RgRateHit *hits, int nhits);

/*
 * Appends the hits for the gateway to remember (rate_block.h), so that it can
 * repeat a refusal without asking.
 */
extern void rg_rate_limits(StringInfo buf, const RgRateHit *hits, int nhits);

#endif
