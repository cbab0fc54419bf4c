/*
 * rate_algorithm.h
 *		The arithmetic of a rate limit: what one key may still take, and when.
 *
 * Pure C.  All times are nanoseconds of the clock that rg_rate_clock() names;
 * the caller serialises access to a state.  Nothing here overflows for a rule
 * within the bounds of RgRateRule, whatever the state and the clock say.
 */
#ifndef RG_RATE_ALGORITHM_H
#define RG_RATE_ALGORITHM_H

#include <stdbool.h>
#include <stdint.h>

typedef enum RgAlgorithm
{
	RG_SLIDING_WINDOW,
	RG_FIXED_WINDOW,
	RG_TOKEN_BUCKET
} RgAlgorithm;

#define RG_RATE_MAX_QUOTA INT64_C(1000000000000000)
#define RG_RATE_MAX_WINDOW (INT64_C(3660) * 86400 * 1000000000)

/*
 * sliding_window: a window begins with the first hit of a key that has none;
 * what the window before admitted still counts, weighted by the share of it
 * that the last `window` nanoseconds cover, rounded up.
 *
 * fixed_window: windows begin at multiples of their length since 1970 UTC.
 *
 * token_bucket: burst at once, then one every ceil(window / quota).
 */
typedef struct RgRateRule
{
	RgAlgorithm algorithm;
	int64_t		quota;			/* 0 to RG_RATE_MAX_QUOTA */
	int64_t		window;			/* 1 to RG_RATE_MAX_WINDOW */
	int64_t		burst;			/* token bucket: 1 to RG_RATE_MAX_QUOTA */
} RgRateRule;

/* What one key has taken; all zero is a key never seen. */
typedef struct RgRateState
{
	int64_t		start;			/* of the current window */
	int64_t		used;			/* in it; token bucket: tokens owed beyond an
								 * empty one, since its numbers changed */
	int64_t		previous;		/* in the window before (sliding only) */
	int64_t		tat;			/* token bucket: when it is full again */
} RgRateState;

/* The answer to one hit. */
typedef struct RgRateAnswer
{
	bool		allowed;
	int64_t		retry_after;	/* until the cost fits, if nothing else comes */
} RgRateAnswer;

/*
 * Gives a cost back that was taken shortly before; what has been forgotten
 * since, with its window, is not.
 */
extern void rg_rate_return(const RgRateRule *rule, RgRateState *state, int64_t cost, int64_t now);

/* True if the rule's times are of CLOCK_REALTIME, else CLOCK_BOOTTIME. */
extern bool rg_rate_uses_calendar(const RgRateRule *rule);

/* The most that can ever be taken at once: the burst, or the quota. */
extern int64_t rg_rate_limit(const RgRateRule *rule);

/* Takes cost (1 or more) from the state if it fits, else leaves it. */
extern RgRateAnswer rg_rate_hit(const RgRateRule *rule, RgRateState *state,
								int64_t cost, int64_t now);

/* What could be taken now, 0 to rg_rate_limit(). */
extern int64_t rg_rate_remaining(const RgRateRule *rule,
								 const RgRateState *state, int64_t now);

/* When the state will be the same as a key never seen; past if it is. */
extern int64_t rg_rate_expires(const RgRateRule *rule, const RgRateState *state);

/*
 * Adds an older state of the same key to a younger one, as when a counter is
 * read back after the key has been hit again.
 */
extern void rg_rate_merge(const RgRateRule *rule, RgRateState *state,
						  const RgRateState *older, int64_t now);

/*
 * Carries a state over to other numbers.  What was taken stays taken: windows
 * keep their counts, a bucket its missing tokens; but no window began longer ago
 * than the new one lasts, and no bucket is emptier than empty: what it lacks
 * beyond that is owed, until it is full, in case it grows again.  So changes back
 * and forth admit at one moment no more than the larger of the rules.  A quota of
 * 0 on either side leaves the state alone, another algorithm starts it afresh.
 */
extern void rg_rate_adapt(const RgRateRule *from, const RgRateRule *to,
						  RgRateState *state, int64_t now);

#endif
