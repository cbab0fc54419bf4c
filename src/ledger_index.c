/*
 * ledger_index.c
 *		The indexes of the ledger's partitions.
 *
 * To open all indexes of a partition and to prepare their predicates, as the executor
 * does, takes longer than all the rest of a row.  An index is known by its name and
 * its definition; where one is not, the executor's way is taken.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "catalog/index.h"
#include "catalog/pg_index.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "ledger_columns.h"
#include "ledger_index.h"

#define MAX_COLUMNS 4

typedef struct IndexForm
{
	const char *suffix;			/* of its name, behind the partition's */
	bool		unique;
	int			ncolumns;
	int			columns[MAX_COLUMNS];
	const char *predicate;		/* as pg_get_expr() has it; or NULL */
} IndexForm;

static const IndexForm forms[RG_LEDGER_INDEXES] = {
	[RG_LEDGER_BY_XID] = {"_xid_idx", false, 2, {Anum_ledger_epoch, Anum_ledger_xid}, NULL},
	[RG_LEDGER_BY_QUOTA] = {"_quota_idx", false, 4,
		{Anum_ledger_policy, Anum_ledger_value, Anum_ledger_epoch, Anum_ledger_xid},
	"(policy IS NOT NULL)"},
	[RG_LEDGER_BY_USER] = {"_user_idx", false, 3,
		{Anum_ledger_user_id, Anum_ledger_epoch, Anum_ledger_xid},
	"((user_id IS NOT NULL) AND (policy IS NULL))"},
	[RG_LEDGER_BY_WORKSPACE] = {"_workspace_idx", false, 3,
		{Anum_ledger_workspace_id, Anum_ledger_epoch, Anum_ledger_xid},
	"((workspace_id IS NOT NULL) AND (policy IS NULL))"},
	[RG_LEDGER_BY_API_KEY] = {"_api_key_idx", false, 3,
		{Anum_ledger_api_key, Anum_ledger_epoch, Anum_ledger_xid},
	"((api_key IS NOT NULL) AND (policy IS NULL))"},
	[RG_LEDGER_BY_RESERVATION] = {"_reservation_idx", false, 1, {Anum_ledger_reservation},
	"(reservation IS NOT NULL)"},
	[RG_LEDGER_BY_FINAL] = {"_final_idx", true, 1, {Anum_ledger_reservation},
	"(kind = ANY (ARRAY['settle'::text, 'release'::text, 'expire'::text]))"},
	[RG_LEDGER_BY_TIME] = {"_reserved_at_idx", false, 1, {Anum_ledger_reserved_at}, NULL}
};

/* What is remembered of a partition. */
typedef struct Entry
{
	Oid			partition;
	bool		looked;			/* to the end: an error may have cut it short */
	bool		valid;			/* nothing was heard since it began */
	RgLedgerIndexes indexes;
} Entry;

static HTAB *entries = NULL;

/*
 * Looking
 */

static bool
has_columns(const FormData_pg_index * index, const IndexForm *form)
{
	if (index->indnkeyatts != form->ncolumns || index->indnatts != form->ncolumns)
		return false;
	for (int i = 0; i < form->ncolumns; i++)
		if (index->indkey.values[i] != form->columns[i] + 1)
			return false;
	return true;
}

static bool
has_predicate(HeapTuple tuple, Oid partition, const IndexForm *form)
{
	bool		isnull;
	Datum		stored = SysCacheGetAttr(INDEXRELID, tuple, Anum_pg_index_indpred, &isnull);
	char	   *actual;

	if (isnull || form->predicate == NULL)
		return isnull && form->predicate == NULL;
	actual = TextDatumGetCString(DirectFunctionCall2(pg_get_expr, stored, ObjectIdGetDatum(partition)));
	return strcmp(actual, form->predicate) == 0;
}

static bool
is_named(Oid index, Relation partition, const IndexForm *form)
{
	char		name[NAMEDATALEN * 2];
	char	   *actual = get_rel_name(index);

	snprintf(name, sizeof name, "%s%s", RelationGetRelationName(partition), form->suffix);
	return actual != NULL && strcmp(actual, name) == 0;
}

/* Whether it is that one, and can be read. */
static bool
is_form(Oid index, HeapTuple tuple, Relation partition, const IndexForm *form, bool *readable)
{
	const		FormData_pg_index *definition = (FormData_pg_index *) GETSTRUCT(tuple);

	*readable = definition->indisvalid && !definition->indcheckxmin;
	return definition->indisunique == form->unique && definition->indimmediate &&
		has_columns(definition, form) && is_named(index, partition, form) &&
		has_predicate(tuple, RelationGetRelid(partition), form);
}

static void
add_index(RgLedgerIndexes *indexes, Relation partition, Oid index)
{
	HeapTuple	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(index));
	bool		known = false;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for index %u", index);
	for (int i = 0; i < RG_LEDGER_INDEXES && !known; i++)
	{
		known = is_form(index, tuple, partition, &forms[i], &indexes->readable[i]);
		if (known)
			indexes->oids[i] = index;
	}
	ReleaseSysCache(tuple);
	indexes->others |= !known;
}

static void
look(Relation partition, RgLedgerIndexes *indexes)
{
	ListCell   *cell;

	memset(indexes, 0, sizeof *indexes);
	foreach(cell, RelationGetIndexList(partition))
		add_index(indexes, partition, lfirst_oid(cell));
}

/*
 * Remembering
 */

static void
on_invalidate(Datum arg, Oid relid)
{
	HASH_SEQ_STATUS all;
	Entry	   *entry;

	if (relid != InvalidOid)
	{
		entry = hash_search(entries, &relid, HASH_FIND, NULL);
		if (entry != NULL)
			entry->valid = false;
		return;
	}
	hash_seq_init(&all, entries);
	while ((entry = hash_seq_search(&all)) != NULL)
		entry->valid = false;
}

static void
make_table(void)
{
	HASHCTL		control = {.keysize = sizeof(Oid),.entrysize = sizeof(Entry),.hcxt = CacheMemoryContext};

	entries = hash_create("relay_guard ledger indexes", 16, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	CacheRegisterRelcacheCallback(on_invalidate, (Datum) 0);
}

/* What is heard while it looks makes the answer stale for the next. */
void
rg_ledger_indexes(Relation partition, RgLedgerIndexes *indexes)
{
	Oid			oid = RelationGetRelid(partition);
	Entry	   *entry;
	bool		found;

	if (entries == NULL)
		make_table();
	entry = hash_search(entries, &oid, HASH_ENTER, &found);
	if (!found || !entry->looked || !entry->valid)
	{
		entry->looked = false;
		entry->valid = true;
		look(partition, indexes);
		entry->indexes = *indexes;
		entry->looked = true;
	}
	*indexes = entry->indexes;
}

/*
 * Writing
 */

static bool
belongs(RgLedgerIndex which, const RgLedgerRow *row)
{
	bool		budget = row->kind != RG_LEDGER_TAKE;

	switch (which)
	{
		case RG_LEDGER_BY_QUOTA:
			return !budget;
		case RG_LEDGER_BY_USER:
			return budget && row->user_id.data != NULL;
		case RG_LEDGER_BY_WORKSPACE:
			return budget && row->workspace_id.data != NULL;
		case RG_LEDGER_BY_API_KEY:
			return budget && row->api_key.data != NULL;
		case RG_LEDGER_BY_RESERVATION:
			return row->has_reservation;
		case RG_LEDGER_BY_FINAL:
			return rg_ledger_is_final(row->kind);
		default:
			return true;
	}
}

/* Being dropped beside us, it may take no more. */
static void
insert(Relation partition, Oid oid, const IndexForm *form, TupleTableSlot *slot)
{
	Relation	index = index_open(oid, RowExclusiveLock);
	IndexInfo  *info = BuildDummyIndexInfo(index);
	Datum		values[INDEX_MAX_KEYS];
	bool		nulls[INDEX_MAX_KEYS] = {0};

	for (int i = 0; i < form->ncolumns; i++)
		values[i] = slot->tts_values[form->columns[i]];
	if (index->rd_index->indisready)
		(void) index_insert(index, values, nulls, &slot->tts_tid, partition,
							form->unique ? UNIQUE_CHECK_YES : UNIQUE_CHECK_NO, false, info);
#if PG_VERSION_NUM >= 170000
	index_insert_cleanup(index, info);
#endif
	index_close(index, NoLock);
}

void
rg_ledger_index_row(Relation partition, const RgLedgerIndexes *indexes,
					const RgLedgerRow *row, TupleTableSlot *slot)
{
	for (int i = 0; i < RG_LEDGER_INDEXES; i++)
		if (OidIsValid(indexes->oids[i]) && belongs(i, row))
			insert(partition, indexes->oids[i], &forms[i], slot);
}
