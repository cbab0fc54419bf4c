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
#include "catalog/pg_index.h"
#include "miscadmin.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "ledger_scan.h"

#define MAX_COLUMNS 4

typedef struct IndexForm
{
	const char *suffix;			/* of its name, behind the partition's */
	int			ncolumns;
	int			columns[MAX_COLUMNS];
} IndexForm;

static const IndexForm forms[] = {
	[RG_LEDGER_BY_XID] = {"_xid_idx", 2, {Anum_ledger_epoch, Anum_ledger_xid}},
	[RG_LEDGER_BY_QUOTA] = {"_quota_idx", 4,
	{Anum_ledger_policy, Anum_ledger_value, Anum_ledger_epoch, Anum_ledger_xid}},
	[RG_LEDGER_BY_USER] = {"_user_idx", 3, {Anum_ledger_user_id, Anum_ledger_epoch, Anum_ledger_xid}},
	[RG_LEDGER_BY_WORKSPACE] = {"_workspace_idx", 3,
	{Anum_ledger_workspace_id, Anum_ledger_epoch, Anum_ledger_xid}},
	[RG_LEDGER_BY_API_KEY] = {"_api_key_idx", 3, {Anum_ledger_api_key, Anum_ledger_epoch, Anum_ledger_xid}},
	[RG_LEDGER_BY_RESERVATION] = {"_reservation_idx", 1, {Anum_ledger_reservation}}
};

static bool
has_columns(const FormData_pg_index * index, const IndexForm *form)
{
	if (index->indnkeyatts != form->ncolumns)
		return false;
	for (int i = 0; i < form->ncolumns; i++)
		if (index->indkey.values[i] != form->columns[i] + 1)
			return false;
	return true;
}

static bool
is_index(Oid candidate, Oid partition, const IndexForm *form)
{
	HeapTuple	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(candidate));
	FormData_pg_index *index;
	bool		fits;

	if (!HeapTupleIsValid(tuple))
		return false;
	index = (FormData_pg_index *) GETSTRUCT(tuple);
	fits = index->indrelid == partition && index->indisvalid && !index->indcheckxmin &&
		has_columns(index, form);
	ReleaseSysCache(tuple);
	return fits;
}

Oid
rg_ledger_index(Relation partition, RgLedgerIndex which)
{
	const IndexForm *form = &forms[which];
	char		name[NAMEDATALEN * 2];
	Oid			index;

	snprintf(name, sizeof name, "%s%s", RelationGetRelationName(partition), form->suffix);
	index = get_relname_relid(name, RelationGetNamespace(partition));
	return is_index(index, RelationGetRelid(partition), form) ? index : InvalidOid;
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
