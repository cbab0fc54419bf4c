/*
 * rate_headers.h
 *		What an answer says of the limits that were asked (rate_lines.h).
 */
#ifndef RG_RATE_HEADERS_H
#define RG_RATE_HEADERS_H

#include "lib/stringinfo.h"

#include "problem.h"
#include "rate.h"
#include "rate_lines.h"

/* Hits as the lines tell of them; returns nhits. */
extern int	rg_rate_hit_limits(const RgRateHit *hits, int nhits, RgRateLimit *limits);

/* Appends the header lines, as rg_rate_lines_put() puts them. */
extern void rg_rate_headers(StringInfo buf, const RgRateLimit *limits, int count, bool openai);

/* The problem for hits of which one denied (palloc'd). */
extern RgProblem rg_rate_problem(const RgRateHit *hits, int nhits);

/*
 * Appends the hits for the gateway to remember (rate_block.h), so that it can
 * repeat a refusal without asking.
 */
extern void rg_rate_limits(StringInfo buf, const RgRateHit *hits, int nhits);

#endif
