/*
 * rekey_batch.c
 *		A batch of rekey(): rows in the order of the primary key.
 *
 * What the table's owner attached to it runs here, hence as the owner
 * (rekey_scope.h), and with deferred triggers made immediate, since at COMMIT
 * they would run as the caller.
 *
 * The page is read without locks, so that rows which need nothing are not
 * touched.  Then one statement a row locks it unless somebody else has, looks
 * whether it still holds the value that was read, and writes the new one: no
 * client's change is lost and none is waited for.
 */
#include "postgres.h"

#include <sodium.h>

#include "access/relation.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "crypt.h"
#include "envelope.h"
#include "keyring.h"
#include "rekey_batch.h"
#include "rekey_scope.h"
#include "rekey_state.h"
#include "rekey_table.h"
#include "varlena_slice.h"

#define BATCH_MS 1000
#define MAX_TALLIES 1000
#define SCOPE_CONTEXT (SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION | SECURITY_NOFORCE_RLS)

/* Columns of the page: the value, those of the primary key, those of the AAD. */
#define PAGE_VALUE 1
#define PAGE_KEY 2
#define PAGE_AAD(table) (PAGE_KEY + (table)->nkeys)

/* A row of the page. */
typedef struct RekeyRow
{
	HeapTuple	tuple;
	TupleDesc	desc;
	char	   *key;			/* its primary key, for messages */
} RekeyRow;

/*
 * The page
 */

static char *
page_query(const RgRekeyTable *table, bool first)
{
	StringInfoData out;

	initStringInfo(&out);
	appendStringInfo(&out, "SELECT t.%s, %s%s FROM %s t", table->column, table->key_list,
					 table->aad_list, table->name);
	if (!first)
	{
		appendStringInfoString(&out, " WHERE ROW(");
		for (int i = 0; i < table->nkeys; i++)
			appendStringInfo(&out, "%st.%s%s", i > 0 ? ", " : "", table->key_names[i], table->key_casts[i]);
		appendStringInfoString(&out, ") > ROW(");
		for (int i = 0; i < table->nkeys; i++)
			appendStringInfo(&out, "%s$%d%s", i > 0 ? ", " : "", i + 2, table->key_casts[i]);
		appendStringInfoChar(&out, ')');
	}
	appendStringInfo(&out, " ORDER BY %s LIMIT $1", table->key_list);
	return out.data;
}

static Datum
place_datum(Oid type, char *text)
{
	Oid			input;
	Oid			parameter;

	getTypeInputInfo(type, &input, &parameter);
	return OidInputFunctionCall(input, text, parameter, -1);
}

/* By the primary key's index, whatever statistics say. */
static SPITupleTable *
read_page(const RgRekeyTable *table, const RgRekey *run, int size)
{
	Oid			types[INDEX_MAX_KEYS + 1] = {INT8OID};
	Datum		values[INDEX_MAX_KEYS + 1] = {Int64GetDatum(size)};
	int			nargs = run->place == NULL ? 1 : 1 + table->nkeys;
	int			guc_level = NewGUCNestLevel();

	for (int i = 1; i < nargs; i++)
	{
		types[i] = table->key_types[i - 1];
		values[i] = place_datum(types[i], run->place[i - 1]);
	}
	rg_rekey_pin("enable_seqscan", "off");
	rg_rekey_pin("enable_bitmapscan", "off");
	rg_rekey_pin("enable_sort", "off");
	if (SPI_execute_with_args(page_query(table, nargs == 1), nargs, types, values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read a page of table %s", table->name);
	AtEOXact_GUC(false, guc_level);
	return SPI_tuptable;
}

/*
 * A row
 */

static char *
row_key(const RgRekeyTable *table, const RekeyRow *row)
{
	StringInfoData out;

	initStringInfo(&out);
	appendStringInfoChar(&out, '(');
	for (int i = 0; i < table->nkeys; i++)
		appendStringInfo(&out, "%s%s", i > 0 ? ", " : "", table->key_names[i]);
	appendStringInfoString(&out, ")=(");
	for (int i = 0; i < table->nkeys; i++)
		appendStringInfo(&out, "%s%s", i > 0 ? ", " : "", SPI_getvalue(row->tuple, row->desc, PAGE_KEY + i));
	appendStringInfoChar(&out, ')');
	return out.data;
}

static void
fail(RgRekey *run, const RekeyRow *row, const char *reason)
{
	run->rows_failed++;
	if (run->nfailures == RG_REKEY_NAMED)
		return;
	run->failures[run->nfailures++] =
		MemoryContextStrdup(run->context, psprintf("%s: %s", row->key, reason));
}

/* Keys that the ring has are always counted; ids of garbage only up to a point. */
static void
count_key(RgRekey *run, int32 id)
{
	for (int i = 0; i < run->nkeys; i++)
		if (run->key_ids[i] == id)
		{
			run->key_rows[i]++;
			return;
		}
	if (run->nkeys >= MAX_TALLIES && !rg_keyring_usable(id))
		return;
	run->key_ids = repalloc(run->key_ids, (run->nkeys + 1) * sizeof *run->key_ids);
	run->key_rows = repalloc(run->key_rows, (run->nkeys + 1) * sizeof *run->key_rows);
	run->key_ids[run->nkeys] = id;
	run->key_rows[run->nkeys++] = 1;
}

/* The value's key; of a large value only the beginning is read.  0: it is no envelope. */
static int32
key_of(Datum value)
{
	return rg_crypt_key_id(rg_varlena_slice(PG_DETOAST_DATUM_SLICE(value, 0, RG_ENVELOPE_OVERHEAD)));
}

static RgSlice
aad_of(const RgRekeyTable *table, const RekeyRow *row)
{
	TupleDesc	desc = RelationGetDescr(table->rel);
	Datum	   *values = palloc0(desc->natts * sizeof *values);
	bool	   *nulls = palloc0(desc->natts * sizeof *nulls);

	for (int i = 0; i < table->encrypted->naad; i++)
	{
		int			place = table->encrypted->aad[i] - 1;

		values[place] = SPI_getbinval(row->tuple, row->desc, PAGE_AAD(table) + i, &nulls[place]);
	}
	return rg_encrypted_aad(table->encrypted, desc, values, nulls);
}

/* The value under the primary key; NULL when it does not open. */
static bytea *
seal_anew(Datum value, RgSlice aad)
{
	Datum		plaintext;
	bytea	   *sealed;

	if (!rg_crypt_open(RG_PLAIN_BYTEA, rg_datum_slice(value), aad, &plaintext))
		return NULL;
	sealed = rg_crypt_seal(RG_PLAIN_BYTEA, plaintext, aad);
	sodium_memzero(VARDATA(plaintext), VARSIZE(plaintext) - VARHDRSZ);
	return sealed;
}

/*
 * No row when somebody else has it locked, or it holds the value no more; a row
 * of NULL when a trigger kept the update from happening, of false or NULL when
 * it stored another value: passes would find that one again and again.
 */
static char *
update_query(const RgRekeyTable *table)
{
	StringInfoData row;

	initStringInfo(&row);
	for (int i = 0; i < table->nkeys; i++)
		appendStringInfo(&row, "t.%s%s = $%d%s AND ", table->key_names[i], table->key_casts[i],
						 i + 1, table->key_casts[i]);
	appendStringInfo(&row, "t.%s = $%d", table->column, table->nkeys + 1);
	return psprintf("WITH locked AS MATERIALIZED"
					" (SELECT FROM %s t WHERE %s FOR NO KEY UPDATE OF t SKIP LOCKED),"
					" updated AS (UPDATE %s t SET %s = $%d FROM locked WHERE %s RETURNING t.%s = $%d AS done)"
					" SELECT updated.done FROM locked LEFT JOIN updated ON true",
					table->name, row.data, table->name, table->column, table->nkeys + 2, row.data,
					table->column, table->nkeys + 2);
}

static SPIPlanPtr
prepare_update(const RgRekeyTable *table)
{
	Oid			types[INDEX_MAX_KEYS + 2];
	SPIPlanPtr	plan;

	memcpy(types, table->key_types, table->nkeys * sizeof *types);
	types[table->nkeys] = BYTEAOID;
	types[table->nkeys + 1] = BYTEAOID;
	plan = SPI_prepare(update_query(table), table->nkeys + 2, types);
	if (plan == NULL)
		elog(ERROR, "could not prepare the update of table %s", table->name);
	return plan;
}

static void
update(RgRekey *run, const RgRekeyTable *table, SPIPlanPtr plan, const RekeyRow *row,
	   Datum value, bytea *sealed)
{
	Datum		values[INDEX_MAX_KEYS + 2];
	bool		isnull = false;
	bool		done;

	for (int i = 0; i < table->nkeys; i++)
		values[i] = SPI_getbinval(row->tuple, row->desc, PAGE_KEY + i, &isnull);
	values[table->nkeys] = value;
	values[table->nkeys + 1] = PointerGetDatum(sealed);
	if (SPI_execute_plan(plan, values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not update a row of table %s", table->name);
	done = SPI_processed > 0 &&
		DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	if (SPI_processed == 0)
		run->rows_locked++;
	else if (isnull || !done)
		fail(run, row, "a trigger keeps its value");
	else
	{
		run->rows_done++;
		run->pass_done++;
	}
	SPI_freetuptable(SPI_tuptable);
}

static void
name_row(void *arg)
{
	errcontext("re-encrypting row %s", ((RekeyRow *) arg)->key);
}

static void
rekey_value(RgRekey *run, const RgRekeyTable *table, SPIPlanPtr plan, RekeyRow *row, Datum value, int32 id)
{
	ErrorContextCallback context = {error_context_stack, name_row, row};
	bytea	   *sealed;

	row->key = row_key(table, row);
	error_context_stack = &context;
	value = PointerGetDatum(PG_DETOAST_DATUM(value));
	if (id == 0)
		fail(run, row, "it is no encrypted value");
	else if (!rg_keyring_usable(id))
		fail(run, row, psprintf("key %d is retired or not in the key ring", id));
	else if ((sealed = seal_anew(value, aad_of(table, row))) == NULL)
		fail(run, row, "it does not open");
	else
		update(run, table, plan, row, value, sealed);
	error_context_stack = context.previous;
}

static void
rekey_row(RgRekey *run, const RgRekeyTable *table, SPIPlanPtr plan, RekeyRow *row)
{
	bool		isnull;
	Datum		value = SPI_getbinval(row->tuple, row->desc, PAGE_VALUE, &isnull);
	int32		id;

	run->rows_seen++;
	if (isnull)
		return;
	id = key_of(value);
	if (id != 0)
		count_key(run, id);
	if ((uint32) id != run->target)
		rekey_value(run, table, plan, row, value, id);
}

/*
 * The batch
 */

static void
keep_place(RgRekey *run, const RgRekeyTable *table, const SPITupleTable *page, uint64 last)
{
	MemoryContext before = MemoryContextSwitchTo(run->context);

	if (run->place == NULL)
		run->place = palloc0(INDEX_MAX_KEYS * sizeof *run->place);
	run->nplace = table->nkeys;
	for (int i = 0; i < table->nkeys; i++)
	{
		if (run->place[i] != NULL)
			pfree(run->place[i]);
		run->place[i] = SPI_getvalue(page->vals[last], page->tupdesc, PAGE_KEY + i);
	}
	MemoryContextSwitchTo(before);
}

/* Returns how many rows of the page were gone through before time was up. */
static uint64
go_through(RgRekey *run, const RgRekeyTable *table, const SPITupleTable *page, uint64 rows)
{
	SPIPlanPtr	plan = prepare_update(table);
	TimestampTz start = GetCurrentTimestamp();
	MemoryContext row_context = AllocSetContextCreate(CurrentMemoryContext, "rekey row",
													  ALLOCSET_DEFAULT_SIZES);
	MemoryContext before = MemoryContextSwitchTo(row_context);
	uint64		i = 0;

	while (i < rows)
	{
		RekeyRow	row = {page->vals[i], page->tupdesc, NULL};

		CHECK_FOR_INTERRUPTS();
		rekey_row(run, table, plan, &row);
		MemoryContextReset(row_context);
		i++;
		if (TimestampDifferenceExceeds(start, GetCurrentTimestamp(), BATCH_MS))
			break;
	}
	MemoryContextSwitchTo(before);
	return i;
}

static void
make_triggers_immediate(void)
{
	if (SPI_execute("SET CONSTRAINTS ALL IMMEDIATE", false, 0) != SPI_OK_UTILITY)
		elog(ERROR, "could not make constraints immediate");
}

/* A place in another primary key than today's is none. */
static void
check_place(RgRekey *run, const RgRekeyTable *table)
{
	if (run->key_columns != NULL && strcmp(run->key_columns, table->key_columns) == 0)
		return;
	if (run->place != NULL)
		rg_rekey_new_pass(run, false);
	run->key_columns = MemoryContextStrdup(run->context, table->key_columns);
}

static RgRekeyBatch
batch_as_owner(RgRekey *run, const RgRekeyTable *table, int size)
{
	SPITupleTable *page;
	uint64		rows;
	uint64		passed;

	check_place(run, table);
	make_triggers_immediate();
	page = read_page(table, run, size);
	rows = SPI_processed;
	passed = go_through(run, table, page, rows);
	if (passed > 0)
		keep_place(run, table, page, passed - 1);
	return passed == (uint64) size || passed < rows ? RG_REKEY_MORE : RG_REKEY_LAST;
}

static Relation
open_owned(Oid relation)
{
	Relation	rel;

	if (!rg_rekey_require_owner(relation))
		return NULL;
	rel = try_relation_open(relation, RowExclusiveLock);
	if (rel != NULL)
		(void) rg_rekey_require_owner(relation);	/* may have changed
													 * meanwhile */
	return rel;
}

RgRekeyBatch
rg_rekey_batch(RgRekey *run, int size)
{
	Relation	rel = open_owned(run->relation);
	RgRekeyTable table;
	RgRekeyScope scope;
	RgRekeyBatch result = RG_REKEY_GONE;

	if (rel == NULL)
		return RG_REKEY_GONE;
	SPI_connect();
	PushActiveSnapshot(GetTransactionSnapshot());	/* keeps the page's values
													 * from VACUUM */
	if (rg_rekey_table(rel, run->attnum, &table))
	{
		scope = rg_rekey_enter(rel->rd_rel->relowner, table.search_path);
		result = batch_as_owner(run, &table, size);
		rg_rekey_leave(scope);
	}
	PopActiveSnapshot();
	SPI_finish();
	relation_close(rel, NoLock);
	return result;
}
