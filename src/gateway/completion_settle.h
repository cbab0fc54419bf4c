/*
 * completion_settle.h
 *		Ends reservations: what a completion cost, or that it cost nothing.
 *
 * Each is told to the database until it has answered.  Telling it twice changes
 * nothing there, so an answer that was lost does no harm.  While the database is
 * away it is tried again until the lease is over: then the database charges what was
 * held, as it does when a worker dies.
 */
#ifndef RG_COMPLETION_SETTLE_H
#define RG_COMPLETION_SETTLE_H

#include "provider_order.h"

struct RgLane;

/* How a reservation ends. */
typedef struct RgSettlement
{
	char		reservation[RG_RESERVATION_LEN + 1];
	bool		release;		/* nothing is charged */
	int64_t		input;			/* tokens, else */
	int64_t		output;
	int64_t		until;			/* rg_now() when the lease is over */
} RgSettlement;

/* Once a process. */
extern void rg_settle_init(struct RgLane *lane);

extern void rg_settle(const RgSettlement *settlement);

/* Some twenty times a second. */
extern void rg_settle_tick(int64_t now);

/* How many the database has not answered. */
extern int	rg_settle_pending(void);

#endif
