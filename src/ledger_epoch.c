/*
 * ledger_epoch.c
 *		Which database wrote a row of the ledger.
 *
 * The numbers of cluster and database are not enough.  Servers that were copied from
 * one image have the same, and a dump may go from one to the other: there, rows of
 * the other's transactions would be taken for some of its own, and new ones for
 * counted.  So an identifier is drawn when the extension is created, which no dump has.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_type.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/uuid.h"

#include <sodium.h>

#include "audit_columns.h"
#include "audit_write.h"
#include "ledger_epoch.h"
#include "own_relation.h"

static const RgLogColumn columns[] = {{"id", UUIDOID}};

static bool
find_id(Relation table, pg_uuid_t *id)
{
	TupleTableSlot *slot = table_slot_create(table, NULL);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	TableScanDesc scan = table_beginscan(table, snapshot, 0, NULL);
	bool		found = table_scan_getnextslot(scan, ForwardScanDirection, slot);
	bool		isnull;

	if (found)
		*id = *DatumGetUUIDP(slot_getattr(slot, 1, &isnull));
	table_endscan(scan);
	UnregisterSnapshot(snapshot);
	ExecDropSingleTupleTableSlot(slot);
	return found;
}

static pg_uuid_t
read_id(Oid relation)
{
	Relation	table = table_open(relation, AccessShareLock);
	pg_uuid_t	id;

	rg_audit_require_columns(table, columns, lengthof(columns));
	if (!find_id(table, &id))
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("relay_guard.usage_origin has no row"),
				errhint("Insert one: all rows that the ledger has will then count as another database's."));
	table_close(table, AccessShareLock);
	return id;
}

static int32
make_epoch(const pg_uuid_t *id)
{
	int32		place = rg_audit_epoch();
	uint8		hash[crypto_generichash_BYTES_MIN];
	int32		epoch;

	crypto_generichash(hash, sizeof hash, id->data, UUID_LEN, NULL, 0);
	memcpy(&epoch, hash, sizeof epoch);
	epoch ^= place;
	return epoch != 0 ? epoch : 1;
}

/* What is remembered goes with the table: the extension may be created anew. */
int32
rg_ledger_epoch(void)
{
	static Oid	read_from = InvalidOid;
	static int32 epoch = 0;
	Oid			relation = rg_own_relation_required("usage_origin");
	pg_uuid_t	id;

	if (relation == read_from)
		return epoch;
	id = read_id(relation);
	epoch = make_epoch(&id);
	read_from = relation;
	return epoch;
}
