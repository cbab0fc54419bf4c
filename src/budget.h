/*
 * budget.h
 *		Budgets for language models: money is reserved before the model is called and
 *		settled when it is known what it did.
 *
 * Amounts are micro-USD.  Each of these writes the ledger, in the caller's
 * transaction, and acts on every budget in scope of the reservation's owner.
 */
#ifndef RG_BUDGET_H
#define RG_BUDGET_H

#include "utils/timestamp.h"
#include "utils/uuid.h"

struct RgIdentity;

/* A call of a model that is to be made. */
typedef struct RgBudgetCall
{
	const struct RgIdentity *who;	/* NULL: nobody */
	const char *model;
	int64		input_tokens;
	int64		output_tokens;	/* at most, of each answer */
	int			answers;
	const Interval *ttl;
} RgBudgetCall;

/* Who may act on a reservation. */
typedef enum RgBudgetReach
{
	RG_BUDGET_OWN,				/* the current identity, on its own */
	RG_BUDGET_ANYBODYS			/* the gateway, on that of any */
} RgBudgetReach;

typedef struct RgBudgetAnswer
{
	bool		allowed;
	const char *blocked_by;		/* the first budget that had no room, or NULL */
	const char *warning;		/* the first that has reached its warning, or
								 * NULL */
	const char *outcome;		/* of an extension */
	int64		amount;			/* held */
	int64		remaining;		/* in the budget with the least room;
								 * PG_INT64_MAX */
	TimestampTz expires_at;		/* the lease */
	TimestampTz resets_at;		/* the window of blocked_by */
} RgBudgetAnswer;

/* How a reservation has ended, now or before. */
typedef struct RgBudgetEnd
{
	const char *outcome;
	int64		amount;			/* charged */
	int64		held;			/* before */
} RgBudgetEnd;

typedef struct RgBudgetCharge
{
	int64		amount;
	const char *over;			/* the first budget that is beyond its limit,
								 * or NULL */
	const char *warning;
} RgBudgetCharge;

/*
 * Reserves what the call costs at most, in every budget in scope of who makes it
 * or in none.  The lease ends ttl from now, when what was held is charged.
 * Error RG422 for a model that is not allowed, or more tokens than it takes; 22023
 * for a ttl that is not positive or too long.
 */
extern void rg_budget_reserve(const RgBudgetCall *call, pg_uuid_t *reservation,
							  RgBudgetAnswer *answer);

/*
 * Holds what so many output tokens more cost; ttl, if not NULL, makes the lease longer.
 * Error RG404 for a reservation that is another's, or nobody's.
 */
extern void rg_budget_extend(const pg_uuid_t *reservation, RgBudgetReach reach, int64 tokens,
							 const Interval *ttl, RgBudgetAnswer *answer);

/*
 * End a reservation, once: a later call tells how it ended.  Settling charges the
 * tokens at the prices of the reservation, releasing nothing.  Error RG404 as above.
 */
extern void rg_budget_settle(const pg_uuid_t *reservation, RgBudgetReach reach,
							 int64 input_tokens, int64 output_tokens, RgBudgetEnd *end);
extern void rg_budget_release(const pg_uuid_t *reservation, RgBudgetReach reach, RgBudgetEnd *end);

/* Whether it is there and the current identity's. */
extern bool rg_budget_is_mine(const pg_uuid_t *reservation);

/* For the worker: charges what is held when the lease is over; anybody's. */
extern void rg_budget_expire(const pg_uuid_t *reservation, RgBudgetEnd *end);

/* Charges what was spent without a reservation; it is never refused. */
extern void rg_budget_charge(const char *model, int64 input_tokens, int64 output_tokens,
							 int64 embedding_tokens, RgBudgetCharge *charge);

#endif
