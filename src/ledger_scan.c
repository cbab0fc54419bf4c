/*
 * ledger_scan.c
 *		Reading partitions of the ledger by their indexes.
 *
 * Not by a query: its plan would depend on the caller's settings and on
 * statistics that a new partition does not have.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "miscadmin.h"
#include "utils/rel.h"

#include "ledger_scan.h"

Oid
rg_ledger_index(Relation partition, RgLedgerIndex which)
{
	RgLedgerIndexes indexes;

	rg_ledger_indexes(partition, &indexes);
	return indexes.readable[which] ? indexes.oids[which] : InvalidOid;
}

Relation
rg_ledger_open(Oid partition)
{
	Relation	relation = table_open(partition, AccessShareLock);

	rg_audit_require_columns(relation, rg_ledger_months.columns, rg_ledger_months.ncolumns);
	return relation;
}

/* The keys are a copy, for most versions of PostgreSQL change them. */
void
rg_ledger_scan(RgLedgerScan *scan, Relation partition, Oid index, Snapshot snapshot,
			   int nkeys, const ScanKeyData * keys)
{
	int			natts = RelationGetNumberOfAttributes(partition);

	Assert(nkeys <= RG_LEDGER_KEYS);
	memcpy(scan->keys, keys, nkeys * sizeof *keys);
	scan->partition = partition;
	scan->values = palloc(natts * sizeof *scan->values);
	scan->nulls = palloc(natts * sizeof *scan->nulls);
	scan->scan = systable_beginscan(partition, index, OidIsValid(index), snapshot, nkeys, scan->keys);
}

bool
rg_ledger_next(RgLedgerScan *scan)
{
	HeapTuple	tuple = systable_getnext(scan->scan);

	CHECK_FOR_INTERRUPTS();
	if (!HeapTupleIsValid(tuple))
		return false;
	heap_deform_tuple(tuple, RelationGetDescr(scan->partition), scan->values, scan->nulls);
	return true;
}

void
rg_ledger_scan_end(RgLedgerScan *scan)
{
	systable_endscan(scan->scan);
	pfree(scan->values);
	pfree(scan->nulls);
}
