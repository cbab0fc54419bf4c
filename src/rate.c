/*
 * rate.c
 *		Taking of rate limits; rate.h has the contract.
 *
 * The partitions of all keys of a call are locked together, in ascending order.
 * Each hit is tried on the states as the hits before it left them; when any is
 * refused, all states are put back.  So several limits are taken together or
 * not at all, also when two of them meet in one counter.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "context.h"
#include "counter.h"
#include "counter_key.h"
#include "rate.h"

/* A hit on its way to its counter. */
typedef struct Target
{
	RgRateHit  *hit;
	RgRateRule	rule;
	int64		now;			/* by the rule's clock */
	RgCounterKey key;
	RgCounterClass class;
	RgRuledBy	ruled_by;
	bool		refused;		/* whether or not that denies anything */
	RgCounter  *counter;		/* NULL: absent, or no place for it */
	RgRateState *state;			/* the counter's, or copy */
	RgRateState copy;
	RgRateState before;
} Target;

typedef struct Targets
{
	int			count;
	uint64		owner;
	int64		boot_now;
	RgPartitions partitions;
	Target		targets[RG_RATE_MAX_HITS];
} Targets;

bool
rg_rate_key(const RgRatePolicy *policy, const unsigned char *client_ip,
			const RgIdentity *identity, char *scratch, RgSlice *key)
{
	return policy->enabled &&
		rg_scope_key(policy->identify_by, client_ip, identity, scratch, key);
}

/* Address policies and anonymous users: keys that anybody can make up. */
static RgCounterClass
class_of(const RgRateHit *hit)
{
	if (hit->policy->identify_by == RG_BY_IP || rg_scope_is_anonymous(hit->key))
		return RG_COUNTER_ADDRESS;
	return RG_COUNTER_IDENTITY;
}

/*
 * Targets
 */

/* Before anything is locked: an error here has no effect. */
static void
check_cost(const RgRateHit *hit, const RgRateRule *rule)
{
	if (hit->cost < 1)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("cost must be at least 1"),
				errhint("Use rate_peek() to look without taking."));
	if (hit->cost > rg_rate_limit(rule) && rule->quota > 0 && !hit->policy->shadow)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("cost %lld can never fit rate limit \"%s\"",
					   (long long) hit->cost, hit->policy->name),
				errdetail("At most %lld can be taken at once.",
						  (long long) rg_rate_limit(rule)),
				errhint("Split the work, or raise the policy's quota or burst."));
}

static void
aim(Targets *all, RgRateHit *hit, Target *target)
{
	target->hit = hit;
	target->ruled_by = rg_rate_hit_rule(hit, &target->rule);
	check_cost(hit, &target->rule);
	target->now = rg_rate_uses_calendar(&target->rule) ? rg_wall_now() : all->boot_now;
	target->key = target->ruled_by == RG_RULED_BY_ROLE ?
		rg_counter_role_key(hit->policy->id, hit->role, hit->key) :
		rg_counter_key(hit->policy->id, hit->key);
	target->class = class_of(hit);
	rg_partitions_add(&all->partitions, &target->key);
}

static void
aim_all(Targets *all, RgRateHit *hits, int nhits)
{
	rg_counter_require();
	if (nhits > RG_RATE_MAX_HITS)
		ereport(ERROR,
				errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				errmsg("more than %d rate limits cannot be taken together",
					   RG_RATE_MAX_HITS));
	all->count = nhits;
	all->owner = rg_counter_owner();
	all->boot_now = rg_boot_now();
	memset(&all->partitions, 0, sizeof all->partitions);
	for (int i = 0; i < nhits; i++)
		aim(all, &hits[i], &all->targets[i]);
}

/*
 * A key that found no place counts with all others that did not, by the
 * policy's numbers: one counter cannot go by several.  A key or role that is
 * shut out stays it.
 */
static void
redirect(Targets *all, Target *target)
{
	if (target->rule.quota > 0)
	{
		target->rule = rg_rate_rule(target->hit->policy);
		target->ruled_by = RG_RULED_BY_POLICY;
	}
	target->key = rg_counter_overflow_key(target->hit->policy->id);
	target->class = RG_COUNTER_OVERFLOW;
	rg_partitions_add(&all->partitions, &target->key);
}

static void
fill_in(RgCounter *counter, const Target *target, uint64 owner)
{
	const RgRateHit *hit = target->hit;
	char		name[RG_SCOPE_SCRATCH];

	counter->owner = owner;
	counter->database = MyDatabaseId;
	counter->policy = hit->policy->id;
	rg_counter_set_rule(counter, &target->rule);
	if (target->class == RG_COUNTER_OVERFLOW)
		rg_counter_set_value(counter, RG_SLICE("(overflow)"));
	else
		rg_counter_set_value(counter, rg_scope_readable(hit->policy->identify_by, hit->key, name));
}

static bool
is_ruled_by(const RgCounter *counter, const RgRateRule *rule)
{
	return counter->quota == rule->quota && counter->window == rule->window &&
		counter->burst == rule->burst && counter->algorithm == rule->algorithm;
}

/*
 * Whoever changes a policy or an override changes its counters when they are
 * hit next.  A caller cannot make a counter go from one rule to another: keys
 * and policies have one, and roles are counted apart.
 */
static void
adapt(RgCounter *counter, const Target *target)
{
	RgRateRule	from;

	counter->ruled_by = target->ruled_by;
	if (is_ruled_by(counter, &target->rule) || target->rule.quota == 0)
		return;
	from = rg_counter_rule(counter);
	rg_rate_adapt(&from, &target->rule, &counter->state, target->now);
	rg_counter_set_rule(counter, &target->rule);
	rg_counter_changed(counter, rg_rate_expires(&target->rule, &counter->state));
}

static bool
pin(Target *target, uint64 owner)
{
	target->counter = rg_counter_find(&target->key);
	if (target->counter == NULL)
	{
		target->counter = rg_counter_enter(&target->key, target->class);
		if (target->counter == NULL)
			return false;
		fill_in(target->counter, target, owner);
	}
	adapt(target->counter, target);
	target->counter->pins++;
	return true;
}

static void
unpin(Targets *all, int count)
{
	for (int i = 0; i < count; i++)
		if (all->targets[i].counter != NULL)
			all->targets[i].counter->pins--;
}

/*
 * Finds or makes every counter, pinned so that none of them makes room for the
 * next.  Returns the target that found no place and is to be redirected, or
 * NULL.  An overflow counter that finds none either leaves counter NULL, which
 * is refused: a full table admits nobody.
 */
static Target *
pin_all(Targets *all)
{
	for (int i = 0; i < all->count; i++)
	{
		Target	   *target = &all->targets[i];

		if (pin(target, all->owner) || target->class == RG_COUNTER_OVERFLOW)
			continue;
		unpin(all, i);
		return target;
	}
	return NULL;
}

/*
 * Returns with the partitions locked.  Each further round has one more target
 * redirected, so there are at most as many as targets, and one.
 */
static void
lock_and_pin(Targets *all)
{
	Target	   *homeless;

	for (;;)
	{
		rg_counter_lock(&all->partitions, LW_EXCLUSIVE);
		homeless = pin_all(all);
		if (homeless == NULL)
			return;
		rg_counter_unlock(&all->partitions);
		redirect(all, homeless);
	}
}

/*
 * Decisions
 */

static RgRateAnswer
try_hit(Target *target)
{
	const RgRateAnswer no_place = {false, target->rule.window};

	if (target->state == NULL)
		return no_place;
	target->before = *target->state;
	return rg_rate_hit(&target->rule, target->state, target->hit->cost, target->now);
}

static void
put_back(Targets *all)
{
	for (int i = all->count; i-- > 0;)
		if (all->targets[i].state != NULL)
			*all->targets[i].state = all->targets[i].before;
}

static void
report(Target *target)
{
	RgRateResult *result = &target->hit->result;
	int64		expires;

	result->limit = rg_rate_limit(&target->rule);
	result->quota = target->rule.quota;
	result->window = target->rule.window;
	result->remaining = 0;
	result->reset_after = target->rule.window;
	if (target->state == NULL)
		return;
	expires = rg_rate_expires(&target->rule, target->state);
	result->remaining = rg_rate_remaining(&target->rule, target->state, target->now);
	result->reset_after = Max(expires - target->now, 0);
}

/*
 * Tries all hits, leaves what they took only if all are allowed and keep says
 * so, and fills in the results.  Denials are counted where there is a counter
 * to be changed.
 */
static bool
decide(Targets *all, bool keep)
{
	bool		allowed = true;

	for (int i = 0; i < all->count; i++)
	{
		Target	   *target = &all->targets[i];
		RgRateAnswer answer = try_hit(target);
		RgRateResult *result = &target->hit->result;

		target->refused = !answer.allowed;
		result->allowed = answer.allowed || target->hit->policy->shadow;
		result->retry_after = result->allowed ? 0 : answer.retry_after;
		allowed &= result->allowed;
		if (keep && !answer.allowed && target->counter != NULL)
			target->counter->denied++;
	}
	if (!allowed || !keep)
		put_back(all);
	for (int i = 0; i < all->count; i++)
		report(&all->targets[i]);
	return allowed;
}

static void
note_moves(Targets *all)
{
	for (int i = 0; i < all->count; i++)
	{
		Target	   *target = &all->targets[i];

		if (target->counter != NULL)
			rg_counter_moved(target->counter,
							 rg_rate_expires(&target->rule, target->state),
							 all->boot_now);
	}
}

static void
count_refusal(const RgRatePolicy *policy)
{
	pg_atomic_fetch_add_u64(policy->shadow ? &policy->totals->shadow_denied :
							&policy->totals->denied, 1);
}

static void
count_totals(const Targets *all, bool allowed)
{
	for (int i = 0; i < all->count; i++)
	{
		const RgRatePolicy *policy = all->targets[i].hit->policy;

		if (all->targets[i].refused)
			count_refusal(policy);
		else if (allowed)
			pg_atomic_fetch_add_u64(&policy->totals->admitted, 1);
	}
}

bool
rg_rate_take(RgRateHit *hits, int nhits)
{
	Targets		all;
	bool		allowed;

	aim_all(&all, hits, nhits);
	lock_and_pin(&all);
	for (int i = 0; i < nhits; i++)
		all.targets[i].state = all.targets[i].counter != NULL ?
			&all.targets[i].counter->state : NULL;
	allowed = decide(&all, true);
	if (allowed)
		note_moves(&all);
	unpin(&all, nhits);
	rg_counter_unlock(&all.partitions);
	count_totals(&all, allowed);
	return allowed;
}

static void
give_back(const Target *target, int64 boot_now)
{
	RgCounter  *counter = target->hit->policy->shadow ? NULL : rg_counter_find(&target->key);

	if (counter == NULL || !is_ruled_by(counter, &target->rule))
		return;
	rg_rate_return(&target->rule, &counter->state, target->hit->cost, target->now);
	rg_counter_moved(counter, rg_rate_expires(&target->rule, &counter->state), boot_now);
	pg_atomic_fetch_sub_u64(&target->hit->policy->totals->admitted, 1);
}

void
rg_rate_give_back(RgRateHit *hits, int nhits)
{
	Targets		all;

	aim_all(&all, hits, nhits);
	rg_counter_lock(&all.partitions, LW_EXCLUSIVE);
	for (int i = 0; i < nhits; i++)
		give_back(&all.targets[i], all.boot_now);
	rg_counter_unlock(&all.partitions);
}

/* The state of a key to try on: a copy, one for all hits of the same key. */
static void
copy_state(Targets *all, int index)
{
	Target	   *target = &all->targets[index];
	RgRateRule	from;

	for (int i = 0; i < index; i++)
		if (memcmp(&all->targets[i].key, &target->key, sizeof target->key) == 0)
		{
			target->state = all->targets[i].state;
			return;
		}
	target->counter = rg_counter_find(&target->key);
	target->state = &target->copy;
	memset(&target->copy, 0, sizeof target->copy);
	if (target->counter == NULL)
		return;
	from = rg_counter_rule(target->counter);
	target->copy = target->counter->state;
	rg_rate_adapt(&from, &target->rule, &target->copy, target->now);
}

bool
rg_rate_peek(RgRateHit *hits, int nhits)
{
	Targets		all;

	aim_all(&all, hits, nhits);
	rg_counter_lock(&all.partitions, LW_SHARED);
	for (int i = 0; i < nhits; i++)
		copy_state(&all, i);
	rg_counter_unlock(&all.partitions);
	return decide(&all, false);
}

static void
count_denial(const RgCounterKey *key)
{
	RgCounter  *counter = rg_counter_find(key);

	if (counter != NULL)
		counter->denied++;
}

void
rg_rate_refused(RgRateHit *hits, int nhits)
{
	Targets		all;

	aim_all(&all, hits, nhits);
	rg_counter_lock(&all.partitions, LW_EXCLUSIVE);
	for (int i = 0; i < nhits; i++)
		if (!hits[i].result.allowed)
			count_denial(&all.targets[i].key);
	rg_counter_unlock(&all.partitions);
	for (int i = 0; i < nhits; i++)
		if (!hits[i].result.allowed)
			count_refusal(hits[i].policy);
}
