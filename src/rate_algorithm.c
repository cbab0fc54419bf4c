/*
 * rate_algorithm.c
 *		Sliding window, fixed window and token bucket; the header has the
 *		definitions.
 *
 * Several processes read the clock before they wait for the counter's lock, so
 * a state may be younger than `now`.  Then time stands still for the caller:
 * it never opens an older window and never forgets what was taken.
 */
#include <string.h>

#include "rate_algorithm.h"

__extension__ typedef __int128 int128_t;

#define BUCKET_MAX (RG_RATE_MAX_WINDOW * 4)

static int64_t
max64(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static int64_t
min64(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* a * b / c, rounded down; a, b >= 0, c > 0, and the result fits. */
static int64_t
scale(int64_t a, int64_t b, int64_t c)
{
	return (int64_t) ((int128_t) a * b / c);
}

static int64_t
scale_up(int64_t a, int64_t b, int64_t c)
{
	return (int64_t) (((int128_t) a * b + c - 1) / c);
}

static RgRateAnswer
allow(void)
{
	RgRateAnswer answer = {true, 0};

	return answer;
}

static RgRateAnswer
refuse(int64_t retry_after)
{
	RgRateAnswer answer = {false, retry_after};

	return answer;
}

bool
rg_rate_uses_calendar(const RgRateRule *rule)
{
	return rule->algorithm == RG_FIXED_WINDOW;
}

int64_t
rg_rate_limit(const RgRateRule *rule)
{
	if (rule->quota == 0)
		return 0;
	return rule->algorithm == RG_TOKEN_BUCKET ? rule->burst : rule->quota;
}

/*
 * Sliding window
 */

/* Moves the state on to the window that holds now. */
static void
slide(const RgRateRule *rule, RgRateState *state, int64_t now)
{
	int64_t		elapsed = now - state->start;

	if (elapsed < rule->window && (state->used > 0 || state->previous > 0))
		return;
	if (elapsed < 2 * rule->window && state->used > 0)
	{
		state->start += rule->window;
		state->previous = state->used;
	}
	else
	{
		state->start = now;
		state->previous = 0;
	}
	state->used = 0;
}

static int64_t
elapsed_in_window(const RgRateRule *rule, const RgRateState *state, int64_t now)
{
	return min64(max64(now - state->start, 0), rule->window);
}

/* What the last window's length of time has taken, after slide(). */
static int64_t
estimate(const RgRateRule *rule, const RgRateState *state, int64_t now)
{
	int64_t		left = rule->window - elapsed_in_window(rule, state, now);

	return scale_up(state->previous, left, rule->window) + state->used;
}

/*
 * The share of a past window that counts must come down to room: the time
 * since the window after it began when ceil(count * (W - e) / W) <= room.
 */
static int64_t
fades_at(const RgRateRule *rule, int64_t count, int64_t room)
{
	if (count <= room)
		return 0;
	return rule->window - scale(room, rule->window, count);
}

/* When cost, which does not fit now, will; after slide(). */
static int64_t
sliding_fits_at(const RgRateRule *rule, const RgRateState *state, int64_t cost)
{
	int64_t		room = rule->quota - cost;

	if (state->used <= room)
		return state->start + fades_at(rule, state->previous, room - state->used);
	return state->start + rule->window + fades_at(rule, state->used, room);
}

static RgRateAnswer
hit_sliding(const RgRateRule *rule, RgRateState *state, int64_t cost, int64_t now)
{
	RgRateState moved = *state;

	slide(rule, &moved, now);
	if (cost > rule->quota - estimate(rule, &moved, now))
		return refuse(sliding_fits_at(rule, &moved, cost) - now);
	moved.used += cost;
	*state = moved;
	return allow();
}

/*
 * Fixed window
 */

/* The start of the calendar's window that holds now. */
static int64_t
calendar_start(const RgRateRule *rule, int64_t now)
{
	int64_t		into = now % rule->window;

	return now - (into < 0 ? into + rule->window : into);
}

/*
 * A state of the next window means that the other process's clock was read a
 * little later; one further ahead, that the wall clock was set back: that
 * state is of no use and must not close the key until its time comes again.
 */
static void
turn_page(const RgRateRule *rule, RgRateState *state, int64_t now)
{
	int64_t		start = calendar_start(rule, now);

	if (state->start == start || state->start == start + rule->window)
		return;
	state->start = start;
	state->used = 0;
}

static RgRateAnswer
hit_fixed(const RgRateRule *rule, RgRateState *state, int64_t cost, int64_t now)
{
	RgRateState turned = *state;

	turn_page(rule, &turned, now);
	if (cost > rule->quota - turned.used)
		return refuse(turned.start + rule->window - now);
	turned.used += cost;
	*state = turned;
	return allow();
}

/*
 * Token bucket: the generic cell rate algorithm.  One number tells how long
 * the bucket needs to be full again.
 */

static int64_t
token_interval(const RgRateRule *rule)
{
	return max64(scale_up(1, rule->window, rule->quota), 1);
}

/* The time that count tokens take to come back. */
static int64_t
tokens_time(const RgRateRule *rule, int64_t count)
{
	int128_t	time = (int128_t) count * token_interval(rule);

	return time < BUCKET_MAX ? (int64_t) time : BUCKET_MAX;
}

static RgRateAnswer
hit_bucket(const RgRateRule *rule, RgRateState *state, int64_t cost, int64_t now)
{
	int64_t		tat = max64(state->tat, now) + tokens_time(rule, cost);
	int64_t		fits_at = tat - tokens_time(rule, rule->burst);

	if (fits_at > now)
		return refuse(fits_at - now);
	if (state->tat <= now)
		state->used = 0;
	state->tat = tat;
	return allow();
}

static int64_t
tokens_left(const RgRateRule *rule, const RgRateState *state, int64_t now)
{
	int64_t		missing = max64(state->tat - now, 0);
	int64_t		time = tokens_time(rule, rule->burst) - missing;

	return time > 0 ? time / token_interval(rule) : 0;
}

/*
 * Any of them
 */

RgRateAnswer
rg_rate_hit(const RgRateRule *rule, RgRateState *state, int64_t cost, int64_t now)
{
	if (cost > rg_rate_limit(rule))
		return refuse(rule->window);
	switch (rule->algorithm)
	{
		case RG_FIXED_WINDOW:
			return hit_fixed(rule, state, cost, now);
		case RG_TOKEN_BUCKET:
			return hit_bucket(rule, state, cost, now);
		case RG_SLIDING_WINDOW:
			break;
	}
	return hit_sliding(rule, state, cost, now);
}

/* From the window before, when the cost was taken at its very end. */
static void
return_sliding(const RgRateRule *rule, RgRateState *state, int64_t cost, int64_t now)
{
	int64_t		present;

	slide(rule, state, now);
	present = min64(cost, state->used);
	state->used -= present;
	state->previous = max64(state->previous - (cost - present), 0);
}

void
rg_rate_return(const RgRateRule *rule, RgRateState *state, int64_t cost, int64_t now)
{
	switch (rule->algorithm)
	{
		case RG_FIXED_WINDOW:
			turn_page(rule, state, now);
			state->used = max64(state->used - cost, 0);
			break;
		case RG_TOKEN_BUCKET:
			state->tat = max64(state->tat - tokens_time(rule, cost), 0);
			break;
		case RG_SLIDING_WINDOW:
			return_sliding(rule, state, cost, now);
			break;
	}
}

static int64_t
used_in_window(const RgRateRule *rule, const RgRateState *state, int64_t now)
{
	RgRateState moved = *state;

	if (rule->algorithm == RG_FIXED_WINDOW)
	{
		turn_page(rule, &moved, now);
		return moved.used;
	}
	slide(rule, &moved, now);
	return estimate(rule, &moved, now);
}

int64_t
rg_rate_remaining(const RgRateRule *rule, const RgRateState *state, int64_t now)
{
	if (rule->quota == 0)
		return 0;
	if (rule->algorithm == RG_TOKEN_BUCKET)
		return tokens_left(rule, state, now);
	return max64(rule->quota - used_in_window(rule, state, now), 0);
}

int64_t
rg_rate_expires(const RgRateRule *rule, const RgRateState *state)
{
	if (rule->algorithm == RG_TOKEN_BUCKET)
		return state->tat;
	if (state->used > 0)
		return state->start + rule->window *
			(rule->algorithm == RG_SLIDING_WINDOW ? 2 : 1);
	return state->previous > 0 ? state->start + rule->window : 0;
}

/* Both counts, in the later of their windows: neither weighs less than alone. */
static void
merge_sliding(const RgRateRule *rule, RgRateState *state,
			  const RgRateState *older, int64_t now)
{
	RgRateState merged = *older;

	slide(rule, &merged, now);
	slide(rule, state, now);
	merged.start = max64(merged.start, state->start);
	merged.used += state->used;
	merged.previous += state->previous;
	*state = merged;
}

/* An empty bucket is as empty as it gets. */
static void
merge_bucket(const RgRateRule *rule, RgRateState *state,
			 const RgRateState *older, int64_t now)
{
	int64_t		missing = max64(state->tat - now, 0) + (older->tat - now);

	state->tat = now + min64(missing, tokens_time(rule, rule->burst));
	state->used = max64(state->used, older->used);
}

/*
 * A sliding window that began in the future, because the wall clock that it
 * was stored by has been set back, begins now.
 */
void
rg_rate_merge(const RgRateRule *rule, RgRateState *state,
			  const RgRateState *older, int64_t now)
{
	RgRateState past = *older;

	if (rule->quota == 0 || rg_rate_expires(rule, older) <= now)
		return;
	if (rule->algorithm == RG_SLIDING_WINDOW)
		past.start = min64(past.start, now);
	if (rule->algorithm == RG_TOKEN_BUCKET)
		merge_bucket(rule, state, &past, now);
	else if (rg_rate_expires(rule, state) <= now)
		*state = past;
	else if (rule->algorithm == RG_SLIDING_WINDOW)
		merge_sliding(rule, state, &past, now);
	else if (past.start == state->start)
		state->used += past.used;
}

/* What the old window's length has taken becomes the count of the new one's. */
static void
adapt_sliding(const RgRateRule *from, const RgRateRule *to, RgRateState *state, int64_t now)
{
	slide(from, state, now);
	state->used = estimate(from, state, now);
	state->previous = 0;
	state->start = max64(state->start, now - to->window);
}

static void
adapt_fixed(const RgRateRule *from, const RgRateRule *to, RgRateState *state, int64_t now)
{
	turn_page(from, state, now);
	state->start = calendar_start(to, now);
}

/* What the bucket lacks and owes, in the time that `to` takes to fill it. */
static int128_t
time_to_fill(const RgRateRule *from, const RgRateRule *to, const RgRateState *state, int64_t now)
{
	int64_t		missing = min64(max64(state->tat - now, 0), tokens_time(from, from->burst));
	int128_t	time = (int128_t) missing * token_interval(to) + token_interval(from) - 1;

	return time / token_interval(from) + (int128_t) state->used * token_interval(to);
}

static void
adapt_bucket(const RgRateRule *from, const RgRateRule *to, RgRateState *state, int64_t now)
{
	int128_t	time = time_to_fill(from, to, state, now);
	int64_t		empty = tokens_time(to, to->burst);
	int128_t	owed = time > empty ? (time - empty - 1) / token_interval(to) + 1 : 0;

	state->tat = now + (time < empty ? (int64_t) time : empty);
	state->used = owed < RG_RATE_MAX_QUOTA ? (int64_t) owed : RG_RATE_MAX_QUOTA;
}

static bool
is_same_rule(const RgRateRule *a, const RgRateRule *b)
{
	return a->quota == b->quota && a->window == b->window && a->burst == b->burst;
}

void
rg_rate_adapt(const RgRateRule *from, const RgRateRule *to, RgRateState *state, int64_t now)
{
	if (from->algorithm != to->algorithm)
	{
		memset(state, 0, sizeof *state);
		return;
	}
	if (is_same_rule(from, to) || from->quota == 0 || to->quota == 0)
		return;
	if (rg_rate_expires(from, state) <= now)
		memset(state, 0, sizeof *state);
	else if (from->algorithm == RG_TOKEN_BUCKET)
		adapt_bucket(from, to, state, now);
	else if (from->window == to->window)
		return;
	else if (from->algorithm == RG_SLIDING_WINDOW)
		adapt_sliding(from, to, state, now);
	else
		adapt_fixed(from, to, state, now);
}
