/*
 * quota.h
 *		Quotas: so many units for each user, address, ... in an hour, a day, a month,
 *		or ever.
 *
 * A take is two steps, so that a handler can stand between them: hold counts it in
 * shared memory, record writes the row of the ledger without which it is given back.
 */
#ifndef RG_QUOTA_H
#define RG_QUOTA_H

#include "account.h"

#define RG_QUOTA_MAX_TAKES 8	/* that are taken together */

struct RgIdentity;

/* A quota to be taken from; its value is a copy in the current context. */
typedef struct RgQuotaTake
{
	const RgUsagePolicy *policy;
	int64		units;			/* at least 1; the same for all that are taken
								 * together */
	bool		allowed;		/* what this one said */
	int64		used;			/* units, as the call left them */
	int64		remaining;
	TimestampTz resets_at;		/* DT_NOEND: never */
	TimestampTz taken_at;
	RgAccountUse use;
} RgQuotaTake;

/*
 * Aims a take of units at the policy's counter for an address (16 bytes, IPv4 mapped;
 * NULL: the identity's) and an identity (NULL: nobody).  False when the policy does
 * not bind them; policy is set all the same.  Error 42704 where there is no such
 * policy.
 */
extern bool rg_quota_aim(RgQuotaTake *take, const char *name, int64 units,
						 const unsigned char *client_ip, const struct RgIdentity *identity);

/*
 * Holds all of the takes, or none if one of them is refused; true if they are held.
 * Fills in what they answer.  What is held is given back by an abort.
 */
extern bool rg_quota_hold(RgQuotaTake *takes, int count);

/* Writes the rows of what is held; then it is taken, when the transaction commits. */
extern void rg_quota_record(const RgQuotaTake *takes, int count);

/* Gives back what is held and was not recorded. */
extern void rg_quota_drop(RgQuotaTake *takes, int count);

/* The answers, without a take. */
extern void rg_quota_look(RgQuotaTake *takes, int count);

#endif
