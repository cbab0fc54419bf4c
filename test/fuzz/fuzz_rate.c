/*
 * fuzz_rate.c
 *		Rates: a rule of any size within its bounds, hit at any times, never
 *		admits more than it may, and its answers agree with each other.
 *
 * The input is the rule (algorithm, then quota, window and burst of eight
 * bytes each) and the hits: how much later, of two bytes and a shift, and the cost.
 */
#include "fuzz.h"

#include "rate_algorithm.h"

#define YEAR INT64_C(31536000000000000)
#define START (56 * YEAR)

typedef struct Hit
{
	uint8_t		shift;
	uint8_t		kind;
	uint16_t	step;
	int64_t		cost;
} Hit;

/* A number from 1 to max. */
static bool
take_number(RgSlice *rest, int64_t max, int64_t *out)
{
	uint64_t	raw;

	if (!take_bytes(rest, &raw, sizeof raw))
		return false;
	*out = (int64_t) (raw % (uint64_t) max) + 1;
	return true;
}

/* A bucket that takes more than forty years to fill counts as one of forty. */
static void
limit_burst(RgRateRule *rule)
{
	int64_t		interval = (rule->window + rule->quota - 1) / rule->quota;
	int64_t		most = 4 * RG_RATE_MAX_WINDOW / interval;

	if (rule->burst > most)
		rule->burst = most;
}

static bool
take_rule(RgSlice *rest, RgRateRule *rule)
{
	uint8_t		algorithm;

	if (!take_bytes(rest, &algorithm, 1))
		return false;
	rule->algorithm = algorithm % 3;
	if (!take_number(rest, RG_RATE_MAX_QUOTA, &rule->quota) ||
		!take_number(rest, RG_RATE_MAX_WINDOW, &rule->window) ||
		!take_number(rest, RG_RATE_MAX_QUOTA, &rule->burst))
		return false;
	limit_burst(rule);
	return true;
}

static bool
take_hit(RgSlice *rest, const RgRateRule *rule, Hit *hit)
{
	return take_bytes(rest, &hit->shift, 1) && take_bytes(rest, &hit->kind, 1) &&
		take_bytes(rest, &hit->step, 2) && take_number(rest, RG_RATE_MAX_QUOTA, &hit->cost);
}

/* Time goes on by up to four windows; now and then a clock lags behind. */
static int64_t
move_clock(const RgRateRule *rule, const Hit *hit, int64_t now)
{
	int64_t		step = (int64_t) hit->step << hit->shift % 42;

	if (step > 4 * (rule->window / 4 + 1) || step < 0)
		step = rule->window;
	if (hit->kind & 0x80)
		return now - step / 8 > START ? now - step / 8 : START;
	return now + step < START + 100 * YEAR ? now + step : now;
}

static void
require_state(const RgRateRule *rule, const RgRateState *state, int64_t now)
{
	int64_t		remaining = rg_rate_remaining(rule, state, now);

	require(remaining >= 0 && remaining <= rg_rate_limit(rule));
	require(state->used >= 0 && state->previous >= 0);
	require(rule->algorithm == RG_TOKEN_BUCKET || state->used <= rule->quota);
}

/* What is said to remain fits, one more does not, and a refusal says until when. */
static void
require_answers(const RgRateRule *rule, const RgRateState *state, int64_t now)
{
	int64_t		remaining = rg_rate_remaining(rule, state, now);
	RgRateState tried = *state;
	RgRateAnswer answer;

	require(remaining == 0 || rg_rate_hit(rule, &tried, remaining, now).allowed);
	tried = *state;
	answer = rg_rate_hit(rule, &tried, remaining + 1, now);
	require(!answer.allowed && answer.retry_after > 0);
	require(memcmp(&tried, state, sizeof tried) == 0);
	if (remaining + 1 > rg_rate_limit(rule))
		return;
	require(rg_rate_hit(rule, &tried, remaining + 1, now + answer.retry_after).allowed);
}

/* An older state added: never more room than before. */
static void
check_merge(const RgRateRule *rule, const RgRateState *state,
			const RgRateState *older, int64_t now)
{
	RgRateState merged = *state;

	rg_rate_merge(rule, &merged, older, now);
	require(rg_rate_remaining(rule, &merged, now) >= 0);
	require(rg_rate_remaining(rule, &merged, now) <= rg_rate_remaining(rule, state, now));
}

static void
check_hit(const RgRateRule *rule, RgRateState *state, const Hit *hit, int64_t now)
{
	RgRateState old = *state;
	int64_t		cost = hit->kind & 1 ? hit->cost % 16 + 1 : hit->cost;
	RgRateAnswer answer = rg_rate_hit(rule, state, cost, now);

	require(answer.allowed ? answer.retry_after == 0 : answer.retry_after > 0);
	require(answer.allowed || memcmp(&old, state, sizeof old) == 0);
	require_state(rule, state, now);
	require_answers(rule, state, now);
}

/* At one of the hits the key is forgotten, and read back at each later one. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	RgSlice		rest = rg_slice((const char *) data, size);
	RgRateRule	rule;
	RgRateState state = {0};
	RgRateState older = {0};
	int64_t		now = START;
	Hit			hit;

	if (!take_rule(&rest, &rule))
		return 0;
	while (take_hit(&rest, &rule, &hit))
	{
		if (hit.kind & 4 && older.used == 0 && older.tat == 0)
		{
			older = state;
			memset(&state, 0, sizeof state);
		}
		now = move_clock(&rule, &hit, now);
		check_hit(&rule, &state, &hit, now);
		check_merge(&rule, &state, &older, now);
	}
	return 0;
}
