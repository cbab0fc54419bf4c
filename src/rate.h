/*
 * rate.h
 *		Rate limits: policies, keys, and the taking of several at once.
 *
 * Decided in shared memory (counter.c) and counted whatever becomes of the
 * transaction.
 */
#ifndef RG_RATE_H
#define RG_RATE_H

#include "datatype/timestamp.h"

#include "rate_algorithm.h"
#include "rate_totals.h"
#include "scope.h"
#include "slice.h"

#define RG_RATE_MAX_HITS 12		/* limits that bind one request together: 8 of
								 * a route, 4 of an API key */

/* A row of relay_guard.rate_policy. */
typedef struct RgRatePolicy
{
	int32		id;				/* never used again for another policy */
	const char *name;
	RgIdentifyBy identify_by;
	RgAlgorithm algorithm;
	int64		quota;
	int64		window;			/* nanoseconds */
	int64		burst;			/* of the token bucket; the quota elsewhere */
	bool		shadow;			/* counts and is seen, but denies nothing */
	bool		enabled;		/* if not, it binds nobody */
	RgRateTotals *totals;		/* NULL without shared memory */
} RgRatePolicy;

/* Where the numbers that bind a hit come from. */
typedef enum RgRuledBy
{
	RG_RULED_BY_POLICY,
	RG_RULED_BY_KEY,			/* relay_guard.rate_override, kind key */
	RG_RULED_BY_ROLE			/* the same, kind role */
} RgRuledBy;

/*
 * What became of one limit.  When another one of the same call denied, allowed
 * still says what this one thought, and nothing was taken from it.
 */
typedef struct RgRateResult
{
	bool		allowed;
	int64		limit;			/* the quota, or the burst of a bucket */
	int64		remaining;
	int64		reset_after;	/* nanoseconds until all of it is back */
	int64		retry_after;	/* until the cost fits; 0 if allowed */
	int64		quota;			/* of the rule that bound the hit: the */
	int64		window;			/* policy's, or an override's; nanoseconds */
} RgRateResult;

/* One limit to be taken: the caller fills the first four. */
typedef struct RgRateHit
{
	const RgRatePolicy *policy;
	RgSlice		key;			/* user id, workspace, address, ... */
	RgSlice		role;			/* of the identity; empty without one */
	int64		cost;
	bool		personal;		/* asked because of the credentials, so that
								 * it says nothing of who has others; for
								 * answers alone */
	RgRateResult result;
} RgRateHit;

/* Registers the caches of policies and overrides; called from _PG_init. */
extern void rg_rate_init(void);

/* The policy of that name, or NULL; good until the end of the transaction. */
extern const RgRatePolicy *rg_rate_policy(const char *name);

/* The same, by id. */
extern const RgRatePolicy *rg_rate_policy_by_id(int32 id);

/* The policy's numbers, as rate_algorithm.h wants them. */
extern RgRateRule rg_rate_rule(const RgRatePolicy *policy);

/* As the tables and views spell them. */
extern const char *rg_rate_algorithm_name(RgAlgorithm algorithm);
extern const char *rg_rate_ruled_by_name(RgRuledBy ruled_by);

/* The length of a window in nanoseconds, within the bounds of a rule. */
extern int64 rg_rate_window(const Interval *window);

/* Registers the cache of overrides; called by rg_rate_init(). */
extern void rg_rate_override_init(void);

/*
 * The numbers that bind this hit: those of an override for its key, or else
 * for its role, or else the policy's.
 */
extern RgRuledBy rg_rate_hit_rule(const RgRateHit *hit, RgRateRule *rule);

/*
 * The key of a policy for an address (16 bytes, IPv4 mapped) or an identity;
 * scope.h says which.  False when the policy does not bind, also because it is
 * not enabled.
 */
struct RgIdentity;
extern bool rg_rate_key(const RgRatePolicy *policy, const unsigned char *client_ip,
						const struct RgIdentity *identity, char *scratch, RgSlice *key);

/*
 * Takes all of the hits (up to RG_RATE_MAX_HITS) or none, and fills their
 * results; true when all were allowed.  What is refused consumes nothing.  A
 * cost below 1, or one that can never fit, is error 22023; with a quota of 0,
 * or in a shadow policy, it is a denial.  Needs shared_preload_libraries (error
 * 55000 with the hint).
 */
extern bool rg_rate_take(RgRateHit *hits, int nhits);

/*
 * Gives back what a call of rg_rate_take() has taken, for a request that will
 * be made once more; but for shadow policies, whose counts deny nothing.
 */
extern void rg_rate_give_back(RgRateHit *hits, int nhits);

/* The same answer, consuming nothing. */
extern bool rg_rate_peek(RgRateHit *hits, int nhits);

/*
 * Counts what rg_rate_peek() refused as refused, for a caller who turns
 * somebody away because of it.
 */
extern void rg_rate_refused(RgRateHit *hits, int nhits);

#endif
