/*
 * quota_problem.c
 *		What a client is told of quotas and budgets; quota_problem.h has the contract.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/datetime.h"
#include "utils/json.h"
#include "utils/timestamp.h"

#include "errcodes.h"
#include "quota_problem.h"

#define TOKEN "token"			/* the unit of quotas that are told as OpenAI
								 * tells of tokens */

#define NANOSECONDS_OF(microseconds) ((microseconds) * INT64CONST(1000))

static bool
is_lifetime(const RgQuotaTake *take)
{
	return take->policy->calendar == RG_LIFETIME;
}

/*
 * Lines
 */

/* Months and days are as long as they are: the time to wait is never more than w. */
static int64
window_of(const RgQuotaTake *take)
{
	RgWindow	window;

	if (is_lifetime(take))
		return 0;
	window = rg_calendar_window(take->policy->calendar, take->taken_at);
	return NANOSECONDS_OF(window.until - window.from);
}

/* A refusal tells it three times, and each time the same; a handler may take its time. */
static int64
wait_of(const RgQuotaTake *take)
{
	TimestampTz since = take->allowed ? GetCurrentTimestamp() : take->taken_at;

	if (is_lifetime(take) || take->resets_at <= since)
		return 0;
	return NANOSECONDS_OF(take->resets_at - since);
}

static RgRateLimit
limit_of(const RgQuotaTake *take, bool held)
{
	const RgUsagePolicy *policy = take->policy;
	RgRateLimit limit = {
		.name = {policy->name, strnlen(policy->name, RG_RATE_NAME_MAX)},
		.denied = !take->allowed,
		.tokens = strcmp(policy->unit, TOKEN) == 0,
		.quota = policy->limit,
		.window = window_of(take),
		.limit = policy->limit,
		.remaining = take->remaining + (held ? take->units : 0),
		.wait = wait_of(take),
	};

	return limit;
}

int
rg_quota_limits(const RgQuotaTake *takes, int count, bool held, RgRateLimit *limits)
{
	for (int i = 0; i < count; i++)
		limits[i] = limit_of(&takes[i], held);
	return count;
}

/*
 * Problems
 */

/* The refusal to tell of: what never comes back before what does. */
static const RgQuotaTake *
gravest(const RgQuotaTake *takes, int count)
{
	const RgQuotaTake *found = NULL;

	for (int i = 0; i < count; i++)
		if (!takes[i].allowed && (found == NULL || is_lifetime(&takes[i])))
			found = &takes[i];
	return found;
}

/* Whether all that refused bind anonymous users alone. */
static bool
helps_to_sign_in(const RgQuotaTake *takes, int count)
{
	for (int i = 0; i < count; i++)
		if (!takes[i].allowed && takes[i].policy->scope != RG_BY_ANONYMOUS)
			return false;
	return true;
}

static const char *
span_of(const RgUsagePolicy *policy)
{
	switch (policy->calendar)
	{
		case RG_HOUR:
			return "an hour";
		case RG_DAY:
			return "a day";
		case RG_MONTH:
			return "a month";
		default:
			return "in all";
	}
}

static char *
suggest(const RgQuotaTake *takes, int count, const RgRateLimit *limits)
{
	bool		signing_in = helps_to_sign_in(takes, count);
	int64		wait = rg_rate_lines_wait(limits, count);

	if (wait == 0)
		return pstrdup(signing_in ? "Sign in to go on." :
					   "It does not come back: ask for a larger quota.");
	return psprintf("Wait " INT64_FORMAT " s%s, then try again.", wait,
					signing_in ? " or sign in" : "");
}

/* The member that names those that refused. */
static RgSlice
violated_by(const RgRateLimit *limits, int count)
{
	RgRateRefusal *words = palloc(sizeof *words);
	RgText		text = {words->violated, sizeof words->violated, 0};

	rg_rate_lines_violated(&text, limits, count);
	return rg_slice(text.data, text.len);
}

RgProblem
rg_quota_problem(const RgQuotaTake *takes, int count)
{
	RgRateLimit limits[RG_RATE_LIMITS_MAX];
	const RgUsagePolicy *policy = gravest(takes, count)->policy;
	RgProblem	problem = {.status = 429,.code = RG_SLICE(RG_CODE_QUOTA_EXHAUSTED)};

	rg_quota_limits(takes, count, false, limits);
	problem.detail = rg_slice_of(psprintf("the quota %s of " INT64_FORMAT " %s is used up",
										  policy->name, policy->limit, span_of(policy)));
	problem.suggestion = rg_slice_of(suggest(takes, count, limits));
	problem.extra = violated_by(limits, count);
	return problem;
}

/* As answers tell times: in UTC. */
char *
rg_time_text(TimestampTz at)
{
	char		text[MAXDATELEN + 1];

	return psprintf("%sZ", JsonEncodeDateTime(text, TimestampGetDatum(at), TIMESTAMPOID, NULL));
}

RgProblem
rg_budget_problem(const RgUsagePolicy *policy, RgWindow window)
{
	char	   *until = rg_time_text(window.until);
	RgProblem	problem = {.status = 429,.code = RG_SLICE(RG_CODE_INSUFFICIENT_QUOTA)};

	problem.detail = rg_slice_of(psprintf("the budget %s is used up until %s", policy->name, until));
	problem.suggestion = RG_SLICE("Wait until then, or ask for a larger budget.");
	problem.extra = rg_slice_of(psprintf("\"violated-policies\":[\"%s\"],\"resets_at\":\"%s\"",
										 policy->name, until));
	return problem;
}
