/*
 * ledger_index.h
 *		The indexes of the ledger's partitions, as usage_finish_partition() makes them.
 */
#ifndef RG_LEDGER_INDEX_H
#define RG_LEDGER_INDEX_H

#include "executor/tuptable.h"
#include "utils/relcache.h"

#include "ledger.h"

typedef enum RgLedgerIndex
{
	RG_LEDGER_BY_XID,
	RG_LEDGER_BY_QUOTA,
	RG_LEDGER_BY_USER,
	RG_LEDGER_BY_WORKSPACE,
	RG_LEDGER_BY_API_KEY,
	RG_LEDGER_BY_RESERVATION,
	RG_LEDGER_BY_FINAL,
	RG_LEDGER_BY_TIME,			/* BRIN: not for rg_ledger_scan() */
	RG_LEDGER_INDEXES
} RgLedgerIndex;

typedef struct RgLedgerIndexes
{
	Oid			oids[RG_LEDGER_INDEXES];	/* InvalidOid: it does not have it */
	bool		readable[RG_LEDGER_INDEXES];
	bool		others;			/* it has indexes that are none of these */
} RgLedgerIndexes;

/* Those of a partition; remembered. */
extern void rg_ledger_indexes(Relation partition, RgLedgerIndexes *indexes);

/*
 * Puts a row that was put into the partition, and is in the slot, into the indexes
 * that it belongs to.  There are no others.
 */
extern void rg_ledger_index_row(Relation partition, const RgLedgerIndexes *indexes,
								const RgLedgerRow *row, TupleTableSlot *slot);

#endif
