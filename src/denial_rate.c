/*
 * denial_rate.c
 *		How many refusals become rows; denial_rate.h has the contract.
 */
#include "denial_rate.h"

#define MINUTE (INT64_C(60) * 1000000000)
#define WAYS 8					/* places that may be a source's */
#define ALL (RG_DENIAL_CLASSES * RG_DENIAL_SOURCES)

static const RgRateRule of_source = {
	.algorithm = RG_TOKEN_BUCKET,.quota = RG_DENIAL_BURST,.window = MINUTE,
	.burst = RG_DENIAL_BURST
};

static const RgRateRule of_class = {
	.algorithm = RG_TOKEN_BUCKET,.quota = RG_DENIAL_ALL_A_MINUTE,.window = MINUTE,
	.burst = RG_DENIAL_ALL_BURST
};

const char *
rg_denial_class_name(RgDenialClass class)
{
	static const char *const names[] = {
		[RG_DENIAL_CREDENTIALS] = "credentials",
		[RG_DENIAL_FORBIDDEN] = "forbidden",
		[RG_DENIAL_VALUE] = "value",
		[RG_DENIAL_QUOTA] = "quota",
	};

	return names[class];
}

static void
leave_out(uint64_t *left_out, int64_t *left_since, uint64_t count, int64_t now)
{
	if (*left_out == 0)
		*left_since = now;
	*left_out += count;
}

/* Its count belongs to the class as a whole from now on. */
static void
give_up_count(RgDenialRates *rates, RgDenialClass class, RgDenialSource *source)
{
	RgDenialBudget *budget = &rates->budgets[source->place][class];

	if (source->left_out > 0)
		leave_out(&budget->left_out, &budget->left_since, source->left_out, source->left_since);
	source->left_out = 0;
}

/*
 * Which of two sources is missed less: one without a count, then the one whose
 * bucket is full again first.
 */
static bool
is_missed_less(const RgDenialSource *source, const RgDenialSource *other)
{
	if ((source->left_out == 0) != (other->left_out == 0))
		return source->left_out == 0;
	return rg_rate_expires(&of_source, &source->state) <
		rg_rate_expires(&of_source, &other->state);
}

/* An unused place of the set, or that of the source that is missed least. */
static int
choose_victim(const RgDenialRates *rates, RgDenialClass class, int set)
{
	int			victim = set;

	for (int i = set; i < set + WAYS; i++)
	{
		if (rates->keys[class][i] == 0)
			return i;
		if (is_missed_less(&rates->sources[class][i], &rates->sources[class][victim]))
			victim = i;
	}
	return victim;
}

static RgDenialSource *
make_source(RgDenialRates *rates, RgDenialClass class, int set, uint64_t key,
			int place, const RgDenialWho *who)
{
	int			at = choose_victim(rates, class, set);
	RgDenialSource *source = &rates->sources[class][at];

	if (rates->keys[class][at] != 0)
		give_up_count(rates, class, source);
	memset(source, 0, sizeof *source);
	rates->keys[class][at] = key;
	rates->who[class][at] = *who;
	source->place = place;
	return source;
}

static RgDenialSource *
find_source(RgDenialRates *rates, RgDenialClass class, uint64_t key,
			int place, const RgDenialWho *who)
{
	int			set = key % (RG_DENIAL_SOURCES / WAYS) * WAYS;

	for (int i = set; i < set + WAYS; i++)
		if (rates->keys[class][i] == key && rates->sources[class][i].place == place)
			return &rates->sources[class][i];
	return make_source(rates, class, set, key, place, who);
}

/* From both buckets or from none. */
static bool
take_both(RgRateState *source, RgRateState *class, int64_t now)
{
	RgRateState taken = *source;

	if (!rg_rate_hit(&of_source, &taken, 1, now).allowed ||
		!rg_rate_hit(&of_class, class, 1, now).allowed)
		return false;
	*source = taken;
	return true;
}

bool
rg_denial_rate_take(RgDenialRates *rates, int place, RgDenialClass class, uint64_t key,
					const RgDenialWho *who, bool room, int64_t now, uint64_t *left_out)
{
	RgDenialSource *source = find_source(rates, class, key == 0 ? 1 : key, place, who);

	if (room && take_both(&source->state, &rates->budgets[place][class].state, now))
	{
		*left_out = source->left_out;
		source->left_out = 0;
		return true;
	}
	leave_out(&source->left_out, &source->left_since, 1, now);
	return false;
}

static bool
is_due(uint64_t left_out, int64_t left_since, int64_t now, bool all)
{
	return left_out > 0 && (all || now - left_since >= RG_DENIAL_TELL_AFTER);
}

/* True when the source at that place tells its count, which it then has no more. */
static bool
tell_source(RgDenialRates *rates, int place, int64_t now, bool all, int at, RgDenialCount *count)
{
	RgDenialClass class = at / RG_DENIAL_SOURCES;
	int			index = at % RG_DENIAL_SOURCES;
	RgDenialSource *source = &rates->sources[class][index];

	if (rates->keys[class][index] == 0 || source->place != place ||
		!is_due(source->left_out, source->left_since, now, all))
		return false;
	if (!rg_rate_hit(&of_class, &rates->budgets[place][class].state, 1, now).allowed)
	{
		give_up_count(rates, class, source);
		return false;
	}
	count->class = class;
	count->who = rates->who[class][index];
	count->left_out = source->left_out;
	source->left_out = 0;
	return true;
}

static bool
tell_class(RgDenialRates *rates, int place, int64_t now, bool all, RgDenialClass class,
		   RgDenialCount *count)
{
	RgDenialBudget *budget = &rates->budgets[place][class];

	if (!is_due(budget->left_out, budget->left_since, now, all))
		return false;
	memset(count, 0, sizeof *count);
	count->class = class;
	count->left_out = budget->left_out;
	budget->left_out = 0;
	return true;
}

/* The sources first: what they give up is then told with their class. */
bool
rg_denial_rate_due(RgDenialRates *rates, int place, int64_t now, bool all, int *at,
				   RgDenialCount *count)
{
	for (; *at < ALL + RG_DENIAL_CLASSES; ++*at)
		if (*at < ALL ? tell_source(rates, place, now, all, *at, count)
			: tell_class(rates, place, now, all, *at - ALL, count))
			return true;
	return false;
}

static int64_t
earlier(int64_t due, uint64_t left_out, int64_t left_since)
{
	if (left_out == 0 || left_since + RG_DENIAL_TELL_AFTER >= due)
		return due;
	return left_since + RG_DENIAL_TELL_AFTER;
}

int64_t
rg_denial_rate_next(const RgDenialRates *rates, int place)
{
	int64_t		due = INT64_MAX;

	for (int class = 0; class < RG_DENIAL_CLASSES; class++)
	{
		const RgDenialBudget *budget = &rates->budgets[place][class];

		due = earlier(due, budget->left_out, budget->left_since);
		for (int i = 0; i < RG_DENIAL_SOURCES; i++)
			if (rates->keys[class][i] != 0 && rates->sources[class][i].place == place)
				due = earlier(due, rates->sources[class][i].left_out,
							  rates->sources[class][i].left_since);
	}
	return due;
}

static uint64_t
forget_sources(RgDenialRates *rates, int place, RgDenialClass class)
{
	uint64_t	sum = 0;

	for (int i = 0; i < RG_DENIAL_SOURCES; i++)
	{
		if (rates->keys[class][i] == 0 || rates->sources[class][i].place != place)
			continue;
		sum += rates->sources[class][i].left_out;
		rates->keys[class][i] = 0;
	}
	return sum;
}

uint64_t
rg_denial_rate_forget(RgDenialRates *rates, int place)
{
	uint64_t	sum = 0;

	for (int class = 0; class < RG_DENIAL_CLASSES; class++)
	{
		sum += forget_sources(rates, place, class) + rates->budgets[place][class].left_out;
		memset(&rates->budgets[place][class], 0, sizeof rates->budgets[place][class]);
	}
	return sum;
}
