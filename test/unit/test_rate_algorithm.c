/*
 * test_rate_algorithm.c
 *		The arithmetic of rate limits, by the clock of the test.
 *
 * The heart of it is a simulation: random rules and hits at random times, each
 * refusal held against its own retry_after (one nanosecond earlier the hit is
 * refused again, at it the hit is allowed), and each admission against a log of
 * what was taken.
 */
#include <stdlib.h>
#include <string.h>

#include "rate_algorithm.h"
#include "tap.h"

#define SECOND INT64_C(1000000000)
#define START (INT64_C(1700000010) * SECOND)	/* a multiple of 30 s */

static const RgRateRule sliding = {RG_SLIDING_WINDOW, 30, 30 * SECOND, 30};
static const RgRateRule fixed = {RG_FIXED_WINDOW, 30, 30 * SECOND, 30};
static const RgRateRule bucket = {RG_TOKEN_BUCKET, 30, 30 * SECOND, 30};
static const RgRateState unseen = {0};

/* Hits of cost 1 until one is refused, at most limit; how many were allowed. */
static int64_t
burst(const RgRateRule *rule, RgRateState *state, int64_t now, int64_t limit)
{
	int64_t		allowed = 0;

	while (allowed < limit && rg_rate_hit(rule, state, 1, now).allowed)
		allowed++;
	return allowed;
}

static void
test_first_burst(const RgRateRule *rule, const char *name)
{
	RgRateState state = {0};

	ok(rg_rate_remaining(rule, &state, START) == 30, "%s: a new key has all", name);
	ok(rg_rate_expires(rule, &state) <= START, "%s: and is past", name);
	ok(burst(rule, &state, START, 100) == 30, "%s: 30 at once", name);
	ok(rg_rate_remaining(rule, &state, START) == 0, "%s: then none remains", name);
	ok(rg_rate_expires(rule, &state) > START, "%s: and it is not past", name);
}

static void
test_sliding_window(void)
{
	RgRateState state = {0};

	ok(burst(&sliding, &state, START + 7, 100) == 30, "a window begins with the first hit");
	ok(burst(&sliding, &state, START + 7 + 30 * SECOND - 1, 100) == 0,
	   "and refuses all its length");
	ok(burst(&sliding, &state, START + 7 + 30 * SECOND, 100) == 0,
	   "no second burst at its edge");
	ok(burst(&sliding, &state, START + 7 + 31 * SECOND, 100) == 1, "one a second later");
	ok(burst(&sliding, &state, START + 7 + 45 * SECOND, 100) == 14,
	   "half of the last window's 30 count in the middle of the next");
	ok(rg_rate_expires(&sliding, &state) == START + 7 + 90 * SECOND,
	   "past two windows after the second began");
	ok(burst(&sliding, &state, START + 7 + 90 * SECOND, 100) == 30, "then all is back");
}

static void
test_fixed_window(void)
{
	RgRateState state = {0};

	ok(burst(&fixed, &state, START + 29 * SECOND, 100) == 30, "all in the last second");
	ok(rg_rate_hit(&fixed, &state, 1, START + 29 * SECOND).retry_after == SECOND,
	   "the calendar says when to come again");
	ok(burst(&fixed, &state, START + 30 * SECOND, 100) == 30, "and all is back");
	ok(burst(&fixed, &state, START + 30 * SECOND - 5, 100) == 0,
	   "a clock read before the edge does not open the old window again");
	ok(burst(&fixed, &state, START + 30 * SECOND, 100) == 0, "nor is the new one forgotten");
	ok(burst(&fixed, &state, START - 3600 * SECOND, 100) == 30,
	   "a wall clock set back closes nobody out");
}

static void
test_token_bucket(void)
{
	RgRateRule	wide_bucket = {RG_TOKEN_BUCKET, 10, SECOND, 50};
	RgRateState state = {0};

	ok(burst(&bucket, &state, START, 100) == 30, "a full bucket");
	ok(burst(&bucket, &state, START + SECOND - 1, 100) == 0, "nothing before a second");
	ok(burst(&bucket, &state, START + SECOND, 100) == 1, "one at it");
	ok(burst(&bucket, &state, START + 11 * SECOND, 100) == 10, "ten after ten more");
	state = unseen;
	ok(burst(&wide_bucket, &state, START, 100) == 50, "the burst may be more than the quota");
	ok(burst(&wide_bucket, &state, START + SECOND, 100) == 10, "and comes back at the rate");
	ok(rg_rate_limit(&wide_bucket) == 50, "it is the limit");
}

static void
test_weights(const RgRateRule *rule, const char *name)
{
	RgRateState state = {0};
	RgRateState before;
	RgRateAnswer answer;

	ok(rg_rate_hit(rule, &state, 29, START).allowed, "%s: 29 of 30", name);
	before = state;
	answer = rg_rate_hit(rule, &state, 2, START);
	ok(!answer.allowed && answer.retry_after > 0, "%s: 2 do not overshoot", name);
	ok(memcmp(&before, &state, sizeof state) == 0, "%s: what is refused takes nothing", name);
	ok(rg_rate_hit(rule, &state, 1, START).allowed, "%s: 1 still fits", name);
	ok(!rg_rate_hit(rule, &state, 31, START + 900 * SECOND).allowed,
	   "%s: more than the limit never fits", name);
}

static void
test_zero_quota(RgAlgorithm algorithm, const char *name)
{
	RgRateRule	rule = {algorithm, 0, 30 * SECOND, 1};
	RgRateState state = {0};
	RgRateState older = {START, 5, 5, START + 5};
	RgRateAnswer answer = rg_rate_hit(&rule, &state, 1, START);

	ok(!answer.allowed && answer.retry_after == 30 * SECOND, "%s: a quota of 0 refuses", name);
	ok(rg_rate_remaining(&rule, &state, START) == 0, "%s: and has nothing left", name);
	rg_rate_merge(&rule, &state, &older, START);
	ok(rg_rate_limit(&rule) == 0, "%s: its limit is 0", name);
}

static void
test_high_rate(RgAlgorithm algorithm, const char *name)
{
	RgRateRule	rule = {algorithm, 10000, SECOND, 10000};
	RgRateState state = {0};
	int64_t		allowed = 0;

	for (int64_t i = 0; i < 100000; i++)
		allowed += burst(&rule, &state, START + i * (SECOND / 20000), 1);
	ok(allowed >= 49000 && allowed <= 60000,
	   "%s: 5 s of 20,000 a second at 10,000 a second admit %lld", name, (long long) allowed);
}

static void
test_extremes(RgAlgorithm algorithm, const char *name)
{
	RgRateRule	rule = {algorithm, RG_RATE_MAX_QUOTA, RG_RATE_MAX_WINDOW, RG_RATE_MAX_QUOTA};
	RgRateRule	fastest = {algorithm, RG_RATE_MAX_QUOTA, 1, RG_RATE_MAX_QUOTA};
	RgRateState state = {0};
	int64_t		now = START;

	ok(rg_rate_hit(&rule, &state, RG_RATE_MAX_QUOTA, now).allowed, "%s: the highest quota", name);
	ok(!rg_rate_hit(&rule, &state, 1, now).allowed, "%s: is a limit too", name);
	now += RG_RATE_MAX_WINDOW + RG_RATE_MAX_WINDOW / 2;
	ok(rg_rate_remaining(&rule, &state, now) >= RG_RATE_MAX_QUOTA / 2, "%s: comes back", name);
	state = unseen;
	ok(burst(&fastest, &state, START, 1000) == 1000, "%s: the highest rate", name);
}

/*
 * Simulation
 */

static int64_t
below(int64_t limit)
{
	return (((int64_t) random() << 31) ^ random()) % limit;
}

static RgRateRule
random_rule(RgAlgorithm algorithm)
{
	RgRateRule	rule;

	rule.algorithm = algorithm;
	rule.quota = 1 + below(40);
	rule.window = 1 + below(5000);
	rule.burst = 1 + below(60);
	return rule;
}

/* A refused hit must fit at its retry_after, and not a nanosecond earlier. */
static bool
retry_is_exact(const RgRateRule *rule, const RgRateState *state, int64_t cost,
			   int64_t now, int64_t retry_after)
{
	RgRateState early = *state;
	RgRateState due = *state;

	return retry_after > 0 &&
		!rg_rate_hit(rule, &early, cost, now + retry_after - 1).allowed &&
		rg_rate_hit(rule, &due, cost, now + retry_after).allowed;
}

/* remaining must fit, and one more must not. */
static bool
remaining_is_exact(const RgRateRule *rule, const RgRateState *state, int64_t now)
{
	int64_t		remaining = rg_rate_remaining(rule, state, now);
	RgRateState all = *state;
	RgRateState more = *state;

	return (remaining == 0 || rg_rate_hit(rule, &all, remaining, now).allowed) &&
		!rg_rate_hit(rule, &more, remaining + 1, now).allowed;
}

/* At expires all is back; a nanosecond earlier it is not. */
static bool
expiry_is_exact(const RgRateRule *rule, const RgRateState *state, int64_t now)
{
	int64_t		expires = rg_rate_expires(rule, state);

	return expires <= now ||
		(rg_rate_remaining(rule, state, expires) == rg_rate_limit(rule) &&
		 (rule->algorithm == RG_TOKEN_BUCKET ||
		  rg_rate_remaining(rule, state, expires - 1) < rg_rate_limit(rule)));
}

static bool
simulate(RgAlgorithm algorithm)
{
	RgRateRule	rule = random_rule(algorithm);
	RgRateState state = {0};
	int64_t		now = START + below(10000);

	for (int i = 0; i < 200; i++)
	{
		int64_t		cost = 1 + below(rg_rate_limit(&rule));
		RgRateState before = state;
		RgRateAnswer answer = rg_rate_hit(&rule, &state, cost, now);

		if (!answer.allowed && memcmp(&before, &state, sizeof state) != 0)
			return false;
		if (!answer.allowed && !retry_is_exact(&rule, &state, cost, now, answer.retry_after))
			return false;
		if (!remaining_is_exact(&rule, &state, now) || !expiry_is_exact(&rule, &state, now))
			return false;
		now += below(4) == 0 ? below(3 * rule.window) : below(1 + rule.window / 8);
	}
	return true;
}

static void
test_simulation(RgAlgorithm algorithm, const char *name)
{
	int			right = 0;

	for (int i = 0; i < 2000; i++)
		right += simulate(algorithm);
	ok(right == 2000, "%s: retry_after, remaining and expiry are exact in %d of 2000 runs",
	   name, right);
}

/* However hits come, no window of the first length admits more than the quota. */
static void
test_first_window_is_exact(void)
{
	bool		exact = true;

	for (int run = 0; run < 1000; run++)
	{
		RgRateRule	rule = random_rule(RG_SLIDING_WINDOW);
		RgRateState state = {0};
		int64_t		taken = 0;

		for (int64_t at = 0; at < rule.window; at += 1 + below(1 + rule.window / 100))
			taken += rg_rate_hit(&rule, &state, 1, START + at).allowed;
		exact &= taken <= rule.quota;
	}
	ok(exact, "a first window never admits more than the quota");
}

static void
test_merge(void)
{
	RgRateState older = {0};
	RgRateState state = {0};
	RgRateState far_bucket = {.tat = START + 900 * SECOND};
	RgRateState far_window = {.start = START + 900 * SECOND,.used = 30};

	burst(&sliding, &older, START, 20);
	burst(&sliding, &state, START + 5 * SECOND, 4);
	rg_rate_merge(&sliding, &state, &older, START + 6 * SECOND);
	ok(rg_rate_remaining(&sliding, &state, START + 6 * SECOND) == 6, "sliding windows add up");
	older = state = unseen;
	burst(&fixed, &older, START, 20);
	burst(&fixed, &state, START + 5 * SECOND, 4);
	rg_rate_merge(&fixed, &state, &older, START + 6 * SECOND);
	ok(rg_rate_remaining(&fixed, &state, START + 6 * SECOND) == 6, "fixed windows add up");
	older = state = unseen;
	burst(&bucket, &older, START, 20);
	burst(&bucket, &state, START, 4);
	rg_rate_merge(&bucket, &state, &older, START);
	ok(rg_rate_remaining(&bucket, &state, START) == 6, "buckets add up");
	state = unseen;
	rg_rate_merge(&bucket, &state, &far_bucket, START);
	ok(burst(&bucket, &state, START + SECOND, 100) == 1, "a bucket is at most empty");
	state = unseen;
	rg_rate_merge(&sliding, &state, &far_window, START);
	ok(burst(&sliding, &state, START + 60 * SECOND, 100) == 30, "no window begins in the future");
}

/* Other numbers for a live counter: what was taken stays taken. */
static void
test_adapt_windows(void)
{
	const RgRateRule wider = {RG_SLIDING_WINDOW, 50, 60 * SECOND, 50};
	const RgRateRule narrow = {RG_SLIDING_WINDOW, 50, 10 * SECOND, 50};
	const RgRateRule minute = {RG_FIXED_WINDOW, 50, 60 * SECOND, 50};
	RgRateState state = {0};

	burst(&sliding, &state, START, 20);
	rg_rate_adapt(&sliding, &wider, &state, START + 20 * SECOND);
	ok(rg_rate_remaining(&wider, &state, START + 59 * SECOND) == 30, "a wider window keeps the count");
	ok(rg_rate_expires(&wider, &state) == START + 120 * SECOND, "from when it began");
	rg_rate_adapt(&wider, &narrow, &state, START + 40 * SECOND);
	ok(rg_rate_remaining(&narrow, &state, START + 40 * SECOND) == 30, "so does a narrower one");
	ok(rg_rate_remaining(&narrow, &state, START + 50 * SECOND) == 50, "no longer than it lasts");
	state = unseen;
	burst(&fixed, &state, START + 5 * SECOND, 20);
	rg_rate_adapt(&fixed, &minute, &state, START + 6 * SECOND);
	ok(rg_rate_remaining(&minute, &state, START + 6 * SECOND) == 30, "and a calendar's window");
	rg_rate_adapt(&minute, &fixed, &state, START + 600 * SECOND);
	ok(rg_rate_remaining(&fixed, &state, START + 600 * SECOND) == 30, "unless it is past");
}

static void
test_adapt_buckets(void)
{
	const RgRateRule slower = {RG_TOKEN_BUCKET, 30, 300 * SECOND, 60};
	const RgRateRule small = {RG_TOKEN_BUCKET, 30, 30 * SECOND, 5};
	const RgRateRule shut = {RG_TOKEN_BUCKET, 0, 30 * SECOND, 1};
	RgRateState state = {0};
	RgRateState before;

	burst(&bucket, &state, START, 20);
	rg_rate_adapt(&bucket, &slower, &state, START);
	ok(rg_rate_remaining(&slower, &state, START) == 40, "a bucket lacks the same tokens");
	ok(rg_rate_remaining(&slower, &state, START + 10 * SECOND) == 41, "which come back at the new rate");
	rg_rate_adapt(&slower, &small, &state, START + 10 * SECOND);
	ok(rg_rate_remaining(&small, &state, START + 10 * SECOND) == 0, "a smaller one is empty");
	ok(rg_rate_remaining(&small, &state, START + 15 * SECOND) == 5, "and no more than that");
	rg_rate_adapt(&small, &slower, &state, START + 10 * SECOND);
	ok(rg_rate_remaining(&slower, &state, START + 10 * SECOND) == 41, "until it is as large as before");
	rg_rate_adapt(&slower, &small, &state, START + 10 * SECOND);
	burst(&small, &state, START + 15 * SECOND, 5);
	rg_rate_adapt(&small, &slower, &state, START + 15 * SECOND);
	ok(rg_rate_remaining(&slower, &state, START + 15 * SECOND) == 55, "or was full once: then it owes nothing");
	state = unseen;
	burst(&small, &state, START + 15 * SECOND, 3);
	before = state;
	rg_rate_adapt(&small, &shut, &state, START + 15 * SECOND);
	rg_rate_adapt(&shut, &small, &state, START + 15 * SECOND);
	ok(memcmp(&before, &state, sizeof state) == 0, "a quota of 0 leaves it alone");
	rg_rate_adapt(&small, &sliding, &state, START + 15 * SECOND);
	ok(memcmp(&unseen, &state, sizeof state) == 0, "another algorithm starts afresh");
}

/*
 * Changing back and forth gives nobody more than the better of two quotas.
 * Bursts are the same: a bucket that becomes smaller is emptied at most.
 */
static void
test_adapt_gives_nothing(RgAlgorithm algorithm, const char *name)
{
	bool		right = true;

	for (int run = 0; run < 1000; run++)
	{
		RgRateRule	rules[2] = {random_rule(algorithm), random_rule(algorithm)};
		RgRateState state = {0};
		int64_t		now = START + below(10000);
		int64_t		taken = 0;
		int64_t		most = 0;

		rules[1].burst = rules[0].burst;
		for (int i = 0; i < 100; i++)
		{
			const RgRateRule *rule = &rules[i % 2];

			rg_rate_adapt(&rules[(i + 1) % 2], rule, &state, now);
			taken += burst(rule, &state, now, 1 + below(20));
			most = most > rg_rate_limit(rule) ? most : rg_rate_limit(rule);
		}
		right &= taken <= most;
	}
	ok(right, "%s: changes at one moment admit nothing more", name);
}

/* Two processes read the clock in one order and come in the other. */
static void
test_late_clock(const RgRateRule *rule, const char *name)
{
	RgRateState state = {0};

	burst(rule, &state, START + 100, 30);
	ok(burst(rule, &state, START, 100) == 0, "%s: an earlier clock finds the same counter", name);
}

static void
test_return(const RgRateRule *rule, const char *name)
{
	RgRateState state = {0};

	burst(rule, &state, START, 30);
	rg_rate_return(rule, &state, 2, START);
	ok(burst(rule, &state, START, 100) == 2, "%s: what is given back can be taken again", name);
	rg_rate_return(rule, &state, 1000, START);
	ok(burst(rule, &state, START, 100) == 30, "%s: and never more than all", name);
	burst(rule, &state, START + 3600 * SECOND, 10);
	rg_rate_return(rule, &state, 1, START + 7200 * SECOND);
	ok(burst(rule, &state, START + 7200 * SECOND, 100) == 30, "%s: nor what has come back", name);
}

static void
test_return_at_an_edge(void)
{
	RgRateState state = {0};

	burst(&sliding, &state, START, 30);
	rg_rate_return(&sliding, &state, 30, START + 30 * SECOND);
	ok(burst(&sliding, &state, START + 30 * SECOND, 100) == 30,
	   "what the last window took is given back in the next");
}

int
main(void)
{
	const RgRateRule *rules[] = {&sliding, &fixed, &bucket};
	const char *names[] = {"sliding_window", "fixed_window", "token_bucket"};

	for (int i = 0; i < 3; i++)
	{
		test_first_burst(rules[i], names[i]);
		test_weights(rules[i], names[i]);
		test_late_clock(rules[i], names[i]);
		test_return(rules[i], names[i]);
		test_zero_quota(rules[i]->algorithm, names[i]);
		test_high_rate(rules[i]->algorithm, names[i]);
		test_extremes(rules[i]->algorithm, names[i]);
		test_simulation(rules[i]->algorithm, names[i]);
		test_adapt_gives_nothing(rules[i]->algorithm, names[i]);
	}
	test_sliding_window();
	test_fixed_window();
	test_token_bucket();
	test_return_at_an_edge();
	test_first_window_is_exact();
	test_merge();
	test_adapt_windows();
	test_adapt_buckets();
	return done();
}
