/*
 * rate_headers.c
 *		What an answer says of the limits that were asked; rate_headers.h has
 *		the contract.
 */
#include "postgres.h"

#include <time.h>

#include "rate_block.h"
#include "rate_headers.h"

/* Until there is more: the cost that was refused, or all of it. */
static RgRateLimit
limit_of(const RgRateHit *hit)
{
	const RgRatePolicy *policy = hit->policy;
	const RgRateResult *result = &hit->result;
	bool		shared = policy->identify_by == RG_BY_IP || policy->identify_by == RG_BY_GLOBAL;
	RgRateLimit limit = {
		.name = {policy->name, strnlen(policy->name, RG_RATE_NAME_MAX)},
		.denied = !result->allowed && !policy->shadow,
		.by_address = shared && !hit->personal,
		.quota = result->quota,
		.window = result->window,
		.limit = result->limit,
		.remaining = result->remaining,
		.wait = result->allowed ? result->reset_after : result->retry_after,
	};

	return limit;
}

int
rg_rate_hit_limits(const RgRateHit *hits, int nhits, RgRateLimit *limits)
{
	for (int i = 0; i < nhits; i++)
		limits[i] = limit_of(&hits[i]);
	return nhits;
}

void
rg_rate_headers(StringInfo buf, const RgRateLimit *limits, int count, bool openai)
{
	RgText		text;

	enlargeStringInfo(buf, RG_RATE_LINES_MAX);
	text.data = buf->data + buf->len;
	text.cap = RG_RATE_LINES_MAX;
	text.len = 0;
	rg_rate_lines_put(&text, limits, count, time(NULL), openai);
	Assert(text.len <= text.cap);
	buf->len += text.len;
	buf->data[buf->len] = '\0';
}

RgProblem
rg_rate_problem(const RgRateHit *hits, int nhits)
{
	RgRateLimit limits[RG_RATE_LIMITS_MAX];

	rg_rate_hit_limits(hits, nhits, limits);
	return rg_rate_lines_problem(limits, nhits, palloc(sizeof(RgRateRefusal)));
}

void
rg_rate_limits(StringInfo buf, const RgRateHit *hits, int nhits)
{
	RgRateLimit limits[RG_RATE_LIMITS_MAX];

	rg_rate_hit_limits(hits, nhits, limits);
	enlargeStringInfo(buf, RG_RATE_BLOCK_MAX);
	buf->len += rg_rate_block_write(limits, nhits, buf->data + buf->len);
	buf->data[buf->len] = '\0';
}
