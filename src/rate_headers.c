/*
 * rate_headers.c
 *		The header lines that tell a client about its limits.
 *
 * Every answer of a limited route carries them, so they are put together from
 * strings and integers without printf.
 */
#include "postgres.h"

#include <time.h>

#include "utils/builtins.h"

#include "rate_headers.h"

#define NANOSECONDS INT64CONST(1000000000)

static void
put_string(StringInfo buf, const char *string)
{
	appendBinaryStringInfo(buf, string, strlen(string));
}

static void
put_number(StringInfo buf, int64 number)
{
	char		digits[MAXINT8LEN + 1];

	appendBinaryStringInfo(buf, digits, pg_lltoa(number, digits));
}

static int64
ceil_seconds(int64 nanoseconds)
{
	return nanoseconds / NANOSECONDS + (nanoseconds % NANOSECONDS > 0);
}

static bool
is_denied(const RgRateHit *hit)
{
	return !hit->result.allowed && !hit->policy->shadow;
}

/* Seconds until there is more: the cost that was refused, or all of it. */
static int64
seconds_until_more(const RgRateHit *hit)
{
	return ceil_seconds(hit->result.allowed ? hit->result.reset_after : hit->result.retry_after);
}

/* Whether a leaves less of its limit than b: a/limit < b/limit'. */
static bool
is_closer(const RgRateHit *a, const RgRateHit *b)
{
	return (double) a->result.remaining * b->result.limit <
		(double) b->result.remaining * a->result.limit;
}

static const RgRateHit *
closest_to_denial(const RgRateHit *hits, int nhits)
{
	const RgRateHit *closest = &hits[0];

	for (int i = 1; i < nhits; i++)
		if (is_closer(&hits[i], closest))
			closest = &hits[i];
	return closest;
}

static void
put_policy_line(StringInfo buf, const RgRateHit *hits, int nhits)
{
	put_string(buf, "RateLimit-Policy: ");
	for (int i = 0; i < nhits; i++)
	{
		put_string(buf, i > 0 ? ", \"" : "\"");
		put_string(buf, hits[i].policy->name);
		put_string(buf, "\";q=");
		put_number(buf, hits[i].policy->quota);
		put_string(buf, ";w=");
		put_number(buf, ceil_seconds(hits[i].policy->window));
	}
	put_string(buf, "\r\n");
}

static void
put_state_line(StringInfo buf, const RgRateHit *hits, int nhits)
{
	put_string(buf, "RateLimit: ");
	for (int i = 0; i < nhits; i++)
	{
		put_string(buf, i > 0 ? ", \"" : "\"");
		put_string(buf, hits[i].policy->name);
		put_string(buf, "\";r=");
		put_number(buf, hits[i].result.remaining);
		put_string(buf, ";t=");
		put_number(buf, seconds_until_more(&hits[i]));
	}
	put_string(buf, "\r\n");
}

/* The triple that clients knew before there was a standard. */
static void
put_legacy_lines(StringInfo buf, const RgRateHit *hit)
{
	put_string(buf, "X-RateLimit-Limit: ");
	put_number(buf, hit->result.limit);
	put_string(buf, "\r\nX-RateLimit-Remaining: ");
	put_number(buf, hit->result.remaining);
	put_string(buf, "\r\nX-RateLimit-Reset: ");
	put_number(buf, (int64) time(NULL) + seconds_until_more(hit));
	put_string(buf, "\r\n");
}

int64
rg_rate_retry_seconds(const RgRateHit *hits, int nhits)
{
	int64		seconds = 1;

	for (int i = 0; i < nhits; i++)
		if (is_denied(&hits[i]))
			seconds = Max(seconds, ceil_seconds(hits[i].result.retry_after));
	return seconds;
}

static bool
any_denied(const RgRateHit *hits, int nhits)
{
	for (int i = 0; i < nhits; i++)
		if (is_denied(&hits[i]))
			return true;
	return false;
}

void
rg_rate_headers(StringInfo buf, const RgRateHit *hits, int nhits)
{
	if (nhits == 0)
		return;
	put_policy_line(buf, hits, nhits);
	put_state_line(buf, hits, nhits);
	put_legacy_lines(buf, closest_to_denial(hits, nhits));
	if (!any_denied(hits, nhits))
		return;
	put_string(buf, "Retry-After: ");
	put_number(buf, rg_rate_retry_seconds(hits, nhits));
	put_string(buf, "\r\n");
}

char *
rg_rate_violated(const RgRateHit *hits, int nhits)
{
	StringInfoData members;
	bool		first = true;

	initStringInfo(&members);
	appendStringInfoString(&members, "\"violated-policies\":[");
	for (int i = 0; i < nhits; i++)
	{
		if (!is_denied(&hits[i]))
			continue;
		appendStringInfo(&members, "%s\"%s\"", first ? "" : ",", hits[i].policy->name);
		first = false;
	}
	appendStringInfoChar(&members, ']');
	return members.data;
}
