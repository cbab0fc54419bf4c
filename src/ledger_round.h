/*
 * ledger_round.h
 *		Which rows of the ledger its totals cover: relay_guard.usage_round, one for
 *		each epoch.
 */
#ifndef RG_LEDGER_ROUND_H
#define RG_LEDGER_ROUND_H

#include "utils/snapshot.h"

/* Covered are transactions before xmax that are not in xip. */
typedef struct RgLedgerRound
{
	int32		epoch;
	uint64		xmax;
	int			nxip;
	uint64	   *xip;			/* ascending */
} RgLedgerRound;

typedef struct RgLedgerRounds
{
	int			count;
	RgLedgerRound *rounds;		/* by epoch, ascending */
} RgLedgerRounds;

/* Reads them; palloc'd. */
extern void rg_ledger_rounds(Snapshot snapshot, RgLedgerRounds *rounds);

extern bool rg_ledger_covers(const RgLedgerRound *round, uint64 xid);

/*
 * Calls take for runs of xids, from first to last, that all those are in which
 * the round does not cover, and a few that it does.
 */
extern void rg_ledger_uncovered(const RgLedgerRound *round,
								void (*take) (const RgLedgerRound *round, uint64 first, uint64 last, void *arg),
								void *arg);

#endif
