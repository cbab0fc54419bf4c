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
<<<<<<< HEAD
=======
#include "access/stratnum.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_operator.h"
>>>>>>> attack
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
<<<<<<< HEAD
#define PAGE_KEY 2
#define PAGE_AAD(table) (PAGE_KEY + (table)->nkeys)
=======
#define PAGE_AAD 2
#define PAGE_KEY 3

/* The table as this transaction has it locked. */
typedef struct RekeyTable
{
	Relation	rel;
	char	   *name;			/* for FROM: qualified, with ONLY where it has
								 * no partitions */
	const char *column;			/* quoted */
	char	   *aad;			/* expression over t */
	int			nkeys;
	const char *key_names[INDEX_MAX_KEYS];	/* quoted */
	Oid			key_types[INDEX_MAX_KEYS];	/* below domains */
	char	   *key_casts[INDEX_MAX_KEYS];	/* to the operators' types */
	char	   *search_path;	/* where the primary key's operators are */
} RekeyTable;
>>>>>>> attack

/* A row of the page. */
typedef struct RekeyRow
{
	HeapTuple	tuple;
	TupleDesc	desc;
	char	   *key;			/* its primary key, for messages */
} RekeyRow;

/*
<<<<<<< HEAD
=======
 * Whose rights
 */

static void
pin(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

RgRekeyScope
rg_rekey_enter(Oid user, const char *search_path)
{
	RgRekeyScope scope;

	GetUserIdAndSecContext(&scope.user, &scope.context);
	SetUserIdAndSecContext(user, scope.context | SCOPE_CONTEXT);
	scope.guc_level = NewGUCNestLevel();
	pin("search_path", search_path);
	pin("row_security", "on");
	pin("datestyle", "ISO");
	pin("intervalstyle", "postgres");
	pin("extra_float_digits", "3");
	return scope;
}

void
rg_rekey_leave(RgRekeyScope scope)
{
	AtEOXact_GUC(false, scope.guc_level);
	SetUserIdAndSecContext(scope.user, scope.context);
}

bool
rg_rekey_require_owner(Oid relation)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
	Form_pg_class class;

	if (!HeapTupleIsValid(tuple))
		return false;
	class = (Form_pg_class) GETSTRUCT(tuple);
	if (!has_privs_of_role(GetUserId(), class->relowner))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, NameStr(class->relname));
	ReleaseSysCache(tuple);
	return true;
}

/*
 * What the table is
 */

static const char *
column_name(Relation rel, AttrNumber attnum)
{
	return quote_identifier(NameStr(TupleDescAttr(RelationGetDescr(rel), attnum - 1)->attname));
}

static char *
table_name(Relation rel)
{
	char	   *name = quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
												  RelationGetRelationName(rel));

	return rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE ? name : psprintf("ONLY %s", name);
}

/* What encrypts the column, or NULL; palloc'd. */
static RgEncryptedColumn *
find_definition(Relation rel, AttrNumber attnum)
{
	RgEncryptedColumn *columns;
	int			count = rg_encrypted_columns(rel, &columns);

	for (int i = 0; i < count; i++)
		if (columns[i].attnum == attnum)
			return &columns[i];
	return NULL;
}

bool
rg_rekey_is_encrypted(Oid relation, AttrNumber attnum)
{
	Relation	rel = relation_open(relation, AccessShareLock);
	bool		found = find_definition(rel, attnum) != NULL;

	relation_close(rel, NoLock);
	return found;
}

static char *
aad_expression(Relation rel, const RgEncryptedColumn *column)
{
	StringInfoData out;

	initStringInfo(&out);
	appendStringInfo(&out, "relay_guard.aad(%s", quote_literal_cstr(column->label));
	for (int i = 0; i < column->naad; i++)
		appendStringInfo(&out, ", t.%s::text", column_name(rel, column->aad[i]));
	appendStringInfoChar(&out, ')');
	return out.data;
}

/* The primary key's pg_index row; to be released. */
static HeapTuple
primary_key(Relation rel)
{
	List	   *indexes = RelationGetIndexList(rel);
	ListCell   *cell;

	foreach(cell, indexes)
	{
		HeapTuple	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(lfirst_oid(cell)));
		Form_pg_index index = (Form_pg_index) GETSTRUCT(tuple);

		if (index->indisprimary && index->indisvalid)
			return tuple;
		ReleaseSysCache(tuple);
	}
	ereport(ERROR,
			errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			errmsg("table \"%s\" has no primary key", RelationGetRelationName(rel)),
			errhint("rekey() reads the table in the order of its primary key: add one."));
}

/* The schema of the operator that orders that type in its index. */
static Oid
operator_schema(Oid opclass)
{
	Oid			type = get_opclass_input_type(opclass);
	Oid			operator = get_opfamily_member(get_opclass_family(opclass), type, type,
											   BTGreaterStrategyNumber);
	HeapTuple	tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(operator));
	Oid			schema;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for operator %u", operator);
	schema = ((Form_pg_operator) GETSTRUCT(tuple))->oprnamespace;
	ReleaseSysCache(tuple);
	return schema;
}

/* An extension's types, such as citext, bring operators in a schema of their own. */
static char *
key_search_path(const oidvector * opclasses)
{
	StringInfoData path;

	initStringInfo(&path);
	appendStringInfoString(&path, "pg_catalog");
	for (int i = 0; i < opclasses->dim1; i++)
	{
		Oid			schema = operator_schema(opclasses->values[i]);

		if (schema != PG_CATALOG_NAMESPACE)
			appendStringInfo(&path, ", %s", quote_identifier(get_namespace_name(schema)));
	}
	appendStringInfoString(&path, ", pg_temp");
	return path.data;
}

/*
 * With just the types of the index's operators no other can be a better match,
 * which whoever may create operators in their schema could have made.
 */
static char *
cast_to_operand(Oid opclass)
{
	Oid			type = get_opclass_input_type(opclass);
	HeapTuple	tuple;
	Form_pg_type form;
	char	   *cast;

	if (IsPolymorphicType(type))
		return "";
	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for type %u", type);
	form = (Form_pg_type) GETSTRUCT(tuple);
	cast = psprintf("::%s", quote_qualified_identifier(get_namespace_name(form->typnamespace),
													   NameStr(form->typname)));
	ReleaseSysCache(tuple);
	return cast;
}

static void
describe_key(RekeyTable *table)
{
	HeapTuple	tuple = primary_key(table->rel);
	Form_pg_index index = (Form_pg_index) GETSTRUCT(tuple);
	bool		isnull;
	Datum		opclasses = SysCacheGetAttr(INDEXRELID, tuple, Anum_pg_index_indclass, &isnull);

	table->nkeys = index->indnkeyatts;
	for (int i = 0; i < table->nkeys; i++)
	{
		AttrNumber	attnum = index->indkey.values[i];

		table->key_names[i] = column_name(table->rel, attnum);
		table->key_types[i] = getBaseType(TupleDescAttr(RelationGetDescr(table->rel), attnum - 1)->atttypid);
		table->key_casts[i] = cast_to_operand(((oidvector *) DatumGetPointer(opclasses))->values[i]);
	}
	table->search_path = key_search_path((oidvector *) DatumGetPointer(opclasses));
	ReleaseSysCache(tuple);
}

/* The view shows their rows, whose values would be lost when their key retires. */
static void
refuse_children(Relation rel)
{
	if (rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE ||
		find_inheritance_children(RelationGetRelid(rel), NoLock) == NIL)
		return;
	ereport(ERROR,
			errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			errmsg("table \"%s\" has children by inheritance", RelationGetRelationName(rel)),
			errhint("Their rows have no guard and would keep their key: take them out by ALTER TABLE ... NO INHERIT, or use a partitioned table."));
}

static bool
describe(RekeyTable *table, Relation rel, AttrNumber attnum)
{
	RgEncryptedColumn *column = find_definition(rel, attnum);

	if (column == NULL)
		return false;
	refuse_children(rel);
	table->rel = rel;
	table->name = table_name(rel);
	table->column = column_name(rel, attnum);
	table->aad = aad_expression(rel, column);
	describe_key(table);
	return true;
}

/* t.a, t.b */
static void
append_key(StringInfo out, const RekeyTable *table)
{
	for (int i = 0; i < table->nkeys; i++)
		appendStringInfo(out, "%st.%s", i > 0 ? ", " : "", table->key_names[i]);
}

/* What makes a stored place one of this table's: its primary key's columns and types. */
static char *
key_columns(const RekeyTable *table)
{
	StringInfoData out;

	initStringInfo(&out);
	for (int i = 0; i < table->nkeys; i++)
		appendStringInfo(&out, "%s%s %u", i > 0 ? ", " : "", table->key_names[i], table->key_types[i]);
	return out.data;
}

/*
>>>>>>> attack
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
<<<<<<< HEAD
		appendStringInfo(&out, " WHERE ROW(%s) > ROW(", table->key_list);
=======
		appendStringInfoString(&out, " WHERE ROW(");
		for (int i = 0; i < table->nkeys; i++)
			appendStringInfo(&out, "%st.%s%s", i > 0 ? ", " : "", table->key_names[i], table->key_casts[i]);
		appendStringInfoString(&out, ") > ROW(");
>>>>>>> attack
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
