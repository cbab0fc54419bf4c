/*
 * ledger.h
 *		The ledger of usage: the truth about quotas and budgets.
 *
 * Rows are never changed.  units, reserved and spent are changes, so that sums of
 * rows are what is used, held and spent.  A row of a quota names its policy and
 * value; one of a budget says who it was, and counts for every budget whose
 * dimension that is.  Money is in micro-USD, prices are micro-USD for 1,000,000
 * tokens, times microseconds since 2000-01-01 UTC.
 *
 * None of this needs a right, and nothing depends on the caller's search_path.
 */
#ifndef RG_LEDGER_H
#define RG_LEDGER_H

#include "utils/uuid.h"

#include "calendar.h"
#include "slice.h"
#include "usage_policy.h"

typedef enum RgLedgerKind
{
	RG_LEDGER_TAKE,				/* of a quota; all others are of budgets */
	RG_LEDGER_RESERVE,
	RG_LEDGER_EXTEND,
	RG_LEDGER_SETTLE,
	RG_LEDGER_RELEASE,
	RG_LEDGER_EXPIRE,
	RG_LEDGER_CHARGE
} RgLedgerKind;

/* Whether a reservation ends with it. */
static inline bool
rg_ledger_is_final(RgLedgerKind kind)
{
	return kind == RG_LEDGER_SETTLE || kind == RG_LEDGER_RELEASE || kind == RG_LEDGER_EXPIRE;
}

/* Slices whose data is NULL are absent. */
typedef struct RgLedgerRow
{
	RgLedgerKind kind;
	TimestampTz reserved_at;	/* whose windows it counts in */
	pg_uuid_t	reservation;
	bool		has_reservation;
	int32		policy;			/* of a quota */
	RgSlice		value;			/* of a quota */
	int64		units;			/* of a quota */
	RgSlice		user_id;
	RgSlice		workspace_id;
	RgSlice		api_key;
	bool		embedding;		/* of a budget: no chat tokens */
	RgSlice		model;
	int32		model_version;
	int64		input_price;
	int64		output_price;
	int64		input_tokens;
	int64		output_tokens;
	int64		reserved;
	int64		spent;
	TimestampTz lease_until;	/* 0: none */
	RgSlice		request_id;
} RgLedgerRow;

/*
 * To be called before a policy is looked up for rows that are to be written, or
 * for an account: from here to the end of the transaction no policy changes.  A
 * read-only transaction may, too.
 */
extern void rg_ledger_lock(void);

/*
 * Writes the rows, in this transaction; it will be on disk when its COMMIT
 * returns, whatever synchronous_commit is.  Later commands and calls see them.
 * Makes partitions that are missing.  Error 23505 when a reservation has its
 * final row already; of one that is not yet committed, after waiting for it.
 */
extern void rg_ledger_write(const RgLedgerRow *rows, int n);

/*
 * The sums of the account of one policy, value and window: of what is committed
 * now, in whatever isolation level, and what this transaction wrote.  value is
 * not looked at for global scope.  Error 22003 when a sum does not fit.
 */
extern void rg_ledger_sum(const RgUsagePolicy *policy, RgSlice value, RgWindow window,
						  int64 *used, int64 *reserved);

/* What the ledger says of a reservation. */
typedef struct RgReservation
{
	RgLedgerRow first;			/* the row that made it; palloc'd */
	int64		held;			/* reserved in all, before the final row */
	TimestampTz lease_until;	/* the latest */
	bool		is_final;
	RgLedgerKind final;			/* how it ended; if it has */
	int64		charged;		/* by the final row */
} RgReservation;

/*
 * Looks it up as rg_ledger_sum() does.  False when there is none, which is also
 * said of an id that is no uuid of version 7.
 */
extern bool rg_ledger_reservation(const pg_uuid_t *id, RgReservation *out)
			__attribute__((warn_unused_result));

#endif
