/*
 * ledger_scan.h
 *		Reading partitions of the ledger by their indexes: rows of one account,
 *		or of one reservation.
 */
#ifndef RG_LEDGER_SCAN_H
#define RG_LEDGER_SCAN_H

#include "access/genam.h"
#include "access/skey.h"

#include "ledger_columns.h"
#include "ledger_index.h"

/* Conditions that a scan has at most. */
#define RG_LEDGER_KEYS 5

typedef struct RgLedgerScan
{
	Relation	partition;
	SysScanDesc scan;
	ScanKeyData keys[RG_LEDGER_KEYS];
	Datum	   *values;			/* of the present row, as Anum_ledger_* */
	bool	   *nulls;
} RgLedgerScan;

/* Opens a partition for reading; error 55000 when it has other columns. */
extern Relation rg_ledger_open(Oid partition);

/*
 * The index of a partition; InvalidOid when it has none that can be read, which
 * is so while it is being restored: then all of it is to be read.
 */
extern Oid	rg_ledger_index(Relation partition, RgLedgerIndex which);

/*
 * Begins to read the rows that meet the conditions, which name columns of the
 * index from the first on, but not necessarily all, as Anum_ledger_* + 1.
 */
extern void rg_ledger_scan(RgLedgerScan *scan, Relation partition, Oid index,
						   Snapshot snapshot, int nkeys, const ScanKeyData * keys);

/* The next one, whose values live until the one after; false after the last. */
extern bool rg_ledger_next(RgLedgerScan *scan);

extern void rg_ledger_scan_end(RgLedgerScan *scan);

#endif
