/*
 * rate_lines.c
 *		What a client is told about its limits; rate_lines.h has the contract.
 *
 * Every answer of a limited route carries these lines, so they are put
 * together from strings and integers without printf.
 */
#include "rate_lines.h"

#define NANOSECONDS INT64_C(1000000000)

static int64_t
ceil_seconds(int64_t nanoseconds)
{
	return nanoseconds / NANOSECONDS + (nanoseconds % NANOSECONDS > 0);
}

static bool
is_lifetime(const RgRateLimit *limit)
{
	return limit->window == 0;
}

/* Whether a leaves less of its limit than b: a/limit < b/limit'. */
static bool
is_closer(const RgRateLimit *a, const RgRateLimit *b)
{
	return (double) a->remaining * b->limit < (double) b->remaining * a->limit;
}

typedef enum Unit
{
	ANY, REQUESTS, TOKENS
} Unit;

static bool
counts(const RgRateLimit *limit, Unit unit)
{
	return unit == ANY || limit->tokens == (unit == TOKENS);
}

/* Of those that count that; NULL: there is none. */
static const RgRateLimit *
closest_to_denial(const RgRateLimit *limits, int count, Unit unit)
{
	const RgRateLimit *closest = NULL;

	for (int i = 0; i < count; i++)
		if (counts(&limits[i], unit) && (closest == NULL || is_closer(&limits[i], closest)))
			closest = &limits[i];
	return closest;
}

/* One item of a list of RFC 9651: "name";key=value */
static void
put_item(RgText *text, const RgRateLimit *limit, bool first)
{
	rg_text_put(text, first ? RG_SLICE("\"") : RG_SLICE(", \""));
	rg_text_put(text, limit->name);
	rg_text_char(text, '"');
}

static void
put_parameter(RgText *text, RgSlice name, int64_t value)
{
	rg_text_put(text, name);
	rg_text_number(text, value);
}

static void
put_policy_line(RgText *text, const RgRateLimit *limits, int count)
{
	rg_text_put(text, RG_SLICE("RateLimit-Policy: "));
	for (int i = 0; i < count; i++)
	{
		put_item(text, &limits[i], i == 0);
		put_parameter(text, RG_SLICE(";q="), limits[i].quota);
		if (!is_lifetime(&limits[i]))
			put_parameter(text, RG_SLICE(";w="), ceil_seconds(limits[i].window));
	}
	rg_text_put(text, RG_SLICE("\r\n"));
}

static void
put_state_line(RgText *text, const RgRateLimit *limits, int count)
{
	rg_text_put(text, RG_SLICE("RateLimit: "));
	for (int i = 0; i < count; i++)
	{
		put_item(text, &limits[i], i == 0);
		put_parameter(text, RG_SLICE(";r="), limits[i].remaining);
		if (!is_lifetime(&limits[i]))
			put_parameter(text, RG_SLICE(";t="), ceil_seconds(limits[i].wait));
	}
	rg_text_put(text, RG_SLICE("\r\n"));
}

/* The triple that clients knew before there was a standard. */
static void
put_legacy_lines(RgText *text, const RgRateLimit *limit, int64_t now)
{
	put_parameter(text, RG_SLICE("X-RateLimit-Limit: "), limit->limit);
	put_parameter(text, RG_SLICE("\r\nX-RateLimit-Remaining: "), limit->remaining);
	if (!is_lifetime(limit))
		put_parameter(text, RG_SLICE("\r\nX-RateLimit-Reset: "), now + ceil_seconds(limit->wait));
	rg_text_put(text, RG_SLICE("\r\n"));
}

static void
put_time_unit(RgText *text, int64_t number, char unit)
{
	rg_text_number(text, number);
	rg_text_char(text, unit);
}

/* As OpenAI writes it: 1s, 6m0s, 1h0m0s. */
static void
put_duration(RgText *text, int64_t seconds)
{
	if (seconds >= 3600)
		put_time_unit(text, seconds / 3600, 'h');
	if (seconds >= 60)
		put_time_unit(text, seconds / 60 % 60, 'm');
	put_time_unit(text, seconds % 60, 's');
}

/* "x-ratelimit-limit-requests: " and its like */
static void
put_openai_name(RgText *text, RgSlice what, Unit unit)
{
	rg_text_put(text, RG_SLICE("x-ratelimit-"));
	rg_text_put(text, what);
	rg_text_put(text, unit == TOKENS ? RG_SLICE("-tokens: ") : RG_SLICE("-requests: "));
}

static void
put_openai_lines(RgText *text, const RgRateLimit *limits, int count, Unit unit)
{
	const RgRateLimit *limit = closest_to_denial(limits, count, unit);

	if (limit == NULL)
		return;
	put_openai_name(text, RG_SLICE("limit"), unit);
	rg_text_number(text, limit->limit);
	rg_text_put(text, RG_SLICE("\r\n"));
	put_openai_name(text, RG_SLICE("remaining"), unit);
	rg_text_number(text, limit->remaining);
	rg_text_put(text, RG_SLICE("\r\n"));
	if (is_lifetime(limit))
		return;
	put_openai_name(text, RG_SLICE("reset"), unit);
	put_duration(text, ceil_seconds(limit->wait));
	rg_text_put(text, RG_SLICE("\r\n"));
}

static bool
any_denied(const RgRateLimit *limits, int count)
{
	for (int i = 0; i < count; i++)
		if (limits[i].denied)
			return true;
	return false;
}

int64_t
rg_rate_lines_wait(const RgRateLimit *limits, int count)
{
	int64_t		seconds = 1;

	for (int i = 0; i < count; i++)
	{
		if (!limits[i].denied)
			continue;
		if (is_lifetime(&limits[i]))
			return 0;
		if (ceil_seconds(limits[i].wait) > seconds)
			seconds = ceil_seconds(limits[i].wait);
	}
	return seconds;
}

static void
put_retry_line(RgText *text, int64_t seconds)
{
	if (seconds == 0)
		rg_text_put(text, RG_SLICE("x-should-retry: false"));
	else
		put_parameter(text, RG_SLICE("Retry-After: "), seconds);
	rg_text_put(text, RG_SLICE("\r\n"));
}

void
rg_rate_lines_put(RgText *text, const RgRateLimit *limits, int count, int64_t now, bool openai)
{
	if (count == 0)
		return;
	put_policy_line(text, limits, count);
	put_state_line(text, limits, count);
	put_legacy_lines(text, closest_to_denial(limits, count, ANY), now);
	if (openai)
	{
		put_openai_lines(text, limits, count, REQUESTS);
		put_openai_lines(text, limits, count, TOKENS);
	}
	if (any_denied(limits, count))
		put_retry_line(text, rg_rate_lines_wait(limits, count));
}

void
rg_rate_lines_violated(RgText *text, const RgRateLimit *limits, int count)
{
	bool		first = true;

	rg_text_put(text, RG_SLICE("\"violated-policies\":["));
	for (int i = 0; i < count; i++)
	{
		if (!limits[i].denied)
			continue;
		rg_text_put(text, first ? RG_SLICE("\"") : RG_SLICE(",\""));
		rg_text_put(text, limits[i].name);
		rg_text_char(text, '"');
		first = false;
	}
	rg_text_char(text, ']');
}

RgProblem
rg_rate_lines_problem(const RgRateLimit *limits, int count, RgRateRefusal *words)
{
	RgText		suggestion = {words->suggestion, sizeof words->suggestion, 0};
	RgText		violated = {words->violated, sizeof words->violated, 0};
	RgProblem	problem = {
		.status = 429,.code = RG_SLICE("rate_limited"),.detail = RG_SLICE("too many requests")
	};

	put_parameter(&suggestion, RG_SLICE("Wait "), rg_rate_lines_wait(limits, count));
	rg_text_put(&suggestion, RG_SLICE(" s, then try again."));
	rg_rate_lines_violated(&violated, limits, count);
	problem.suggestion = rg_slice(suggestion.data, suggestion.len);
	problem.extra = rg_slice(violated.data, violated.len);
	return problem;
}
