/*
 * encrypted_writer.c
 *		Descriptions of decrypting views, and plans, kept between calls.
 *
 * A writer is thrown away when its view or table changes, or one of its plans is
 * no longer valid (which a renamed schema causes as well), but not while a call
 * uses it: triggers of the table may change either.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/nbtree.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_index.h"
#include "executor/spi.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "encrypted_writer.h"

/* An application writes few sets of columns. */
#define MAX_PLANS 100

typedef struct RgWriterPlan
{
	RgStatement statement;
	Bitmapset  *columns;
	SPIPlanPtr	plan;
} RgWriterPlan;

/* By view.  The hash's entries only point, so that one can be replaced in use. */
typedef struct RgWriterEntry
{
	Oid			view;
	RgWriter   *writer;
} RgWriterEntry;

static HTAB *writers = NULL;

/*
 * Life
 */

static void
forget(Datum unused, Oid relation)
{
	HASH_SEQ_STATUS scan;
	RgWriterEntry *entry;

	hash_seq_init(&scan, writers);
	while ((entry = hash_seq_search(&scan)) != NULL)
		if (relation == InvalidOid || relation == entry->view ||
			relation == entry->writer->shown.table)
			entry->writer->valid = false;
}

static void
make_table(void)
{
	HASHCTL		control = {.keysize = sizeof(Oid),.entrysize = sizeof(RgWriterEntry)};

	writers = hash_create("writers of decrypting views", 32, &control, HASH_ELEM | HASH_BLOBS);
	CacheRegisterRelcacheCallback(forget, (Datum) 0);
}

static void
free_writer(RgWriter *writer)
{
	ListCell   *cell;

	foreach(cell, writer->plans)
		SPI_freeplan(((RgWriterPlan *) lfirst(cell))->plan);
	MemoryContextDelete(writer->context);
}

/* Invalid ones are in the hash no longer, or replaced at their next use. */
static void
release(void *arg)
{
	RgWriter   *writer = arg;
	RgWriterEntry *entry;

	if (--writer->users > 0 || writer->valid)
		return;
	entry = hash_search(writers, &writer->view, HASH_FIND, NULL);
	if (entry != NULL && entry->writer == writer)
		hash_search(writers, &writer->view, HASH_REMOVE, NULL);
	free_writer(writer);
}

/* SPI frees its memory when it ends, also by an error. */
static RgWriter *
use(RgWriter *writer)
{
	MemoryContextCallback *end = palloc(sizeof *end);

	end->func = release;
	end->arg = writer;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, end);
	writer->users++;
	return writer;
}

/*
 * Description
 */

static void
refuse_view(Relation view)
{
	ereport(ERROR,
			errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			errmsg("view \"%s\" is not one that decrypts a table", RelationGetRelationName(view)),
			errhint("relay_guard.encrypt_column_refresh() makes the view of a table anew."));
}

/* The operator that says that values of a key are the same. */
static Oid
equality(Oid family, Oid type)
{
#if PG_VERSION_NUM >= 180000
	return get_opfamily_member_for_cmptype(family, type, type, COMPARE_EQ);
#else
	return get_opfamily_member(family, type, type, BTEqualStrategyNumber);
#endif
}

static void
read_key(RgWriter *writer, Relation table)
{
#if PG_VERSION_NUM >= 180000
	Oid			index = RelationGetPrimaryKeyIndex(table, false);
#else
	Oid			index = RelationGetPrimaryKeyIndex(table);
#endif
	HeapTuple	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(index));
	Form_pg_index form;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("table \"%s\" has no primary key", RelationGetRelationName(table)),
				errhint("Add one: the view that decrypts finds rows by it."));
	form = (Form_pg_index) GETSTRUCT(tuple);
	writer->nkey = form->indnkeyatts;
	writer->key = palloc(writer->nkey * sizeof *writer->key);
	writer->key_equals = palloc(writer->nkey * sizeof *writer->key_equals);
	for (int i = 0; i < writer->nkey; i++)
	{
		Oid			class = get_index_column_opclass(index, i + 1);
		Oid			type = get_opclass_input_type(class);

		writer->key[i] = form->indkey.values[i];
		writer->key_equals[i] = equality(get_opclass_family(class), type);
	}
	ReleaseSysCache(tuple);
}

static void
read_columns(RgWriter *writer, Relation table)
{
	RgEncryptedColumn *columns;
	int			count = rg_encrypted_columns(table, &columns);

	writer->encrypted = palloc0(writer->desc->natts * sizeof *writer->encrypted);
	for (int i = 0; i < count; i++)
		writer->encrypted[columns[i].attnum - 1] = &columns[i];
}

static void
add_read(RgWriter *writer, AttrNumber attnum)
{
	for (int i = 0; i < writer->nread; i++)
		if (writer->read[i] == attnum)
			return;
	writer->read[writer->nread++] = attnum;
}

/* What the view shows, and what finds and opens it. */
static void
choose_read(RgWriter *writer)
{
	writer->read = palloc(writer->desc->natts * sizeof *writer->read);
	for (int i = 0; i < writer->shown.natts; i++)
		if (writer->shown.base[i] != 0)
			add_read(writer, writer->shown.base[i]);
	for (int i = 0; i < writer->nkey; i++)
		add_read(writer, writer->key[i]);
	for (int i = 0; i < writer->desc->natts; i++)
		for (int j = 0; writer->encrypted[i] != NULL && j < writer->encrypted[i]->naad; j++)
			add_read(writer, writer->encrypted[i]->aad[j]);
}

static void
describe(RgWriter *writer, Relation view)
{
	Relation	table;

	if (!rg_encrypted_view(view, &writer->shown))
		refuse_view(view);
	table = table_open(writer->shown.table, RowExclusiveLock);
	writer->view_desc = CreateTupleDescCopy(RelationGetDescr(view));
	writer->desc = CreateTupleDescCopyConstr(RelationGetDescr(table));
	writer->name = quote_qualified_identifier(get_namespace_name(RelationGetNamespace(table)),
											  RelationGetRelationName(table));
	read_columns(writer, table);
	read_key(writer, table);
	choose_read(writer);
	table_close(table, NoLock);
}

static RgWriter *
make_writer(Relation view)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "writer of a decrypting view",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	RgWriter   *writer = palloc0(sizeof *writer);

	writer->view = RelationGetRelid(view);
	writer->context = context;
	describe(writer, view);
	MemoryContextSwitchTo(caller);
	MemoryContextSetParent(context, CacheMemoryContext);
	writer->valid = true;
	return writer;
}

static bool
plans_valid(RgWriter *writer)
{
	ListCell   *cell;

	foreach(cell, writer->plans)
		if (!SPI_plan_is_valid(((RgWriterPlan *) lfirst(cell))->plan))
		return false;
	return true;
}

/* Taking the lock reads what others have committed until then. */
static bool
usable(RgWriter *writer)
{
	if (!writer->valid)
		return false;
	LockRelationOid(writer->shown.table, RowExclusiveLock);
	return writer->valid && list_length(writer->plans) < MAX_PLANS && plans_valid(writer);
}

RgWriter *
rg_writer(Relation view)
{
	Oid			key = RelationGetRelid(view);
	RgWriterEntry *entry;
	RgWriter   *writer;

	if (writers == NULL)
		make_table();
	entry = hash_search(writers, &key, HASH_FIND, NULL);
	if (entry != NULL && usable(entry->writer))
		return use(entry->writer);
	writer = make_writer(view);
	entry = hash_search(writers, &key, HASH_FIND, NULL);
	if (entry != NULL)
	{
		entry->writer->valid = false;
		if (entry->writer->users == 0)
			free_writer(entry->writer);
	}
	else
		entry = hash_search(writers, &key, HASH_ENTER, NULL);
	entry->writer = writer;
	return use(writer);
}

/*
 * Statements.  Names are qualified, so that nobody's search path matters.
 */

static const char *
column_name(RgWriter *writer, AttrNumber attnum)
{
	return quote_identifier(NameStr(TupleDescAttr(writer->desc, attnum - 1)->attname));
}

static void
append_returned(StringInfo out, RgWriter *writer)
{
	for (int i = 0; i < writer->nread; i++)
		appendStringInfo(out, "%s%s", i == 0 ? "" : ", ", column_name(writer, writer->read[i]));
}

static void
append_key(StringInfo out, RgWriter *writer, int parameter)
{
	for (int i = 0; i < writer->nkey; i++)
	{
		Oid			type = TupleDescAttr(writer->desc, writer->key[i] - 1)->atttypid;

		appendStringInfoString(out, i == 0 ? " WHERE " : " AND ");
		generate_operator_clause(out, column_name(writer, writer->key[i]), type,
								 writer->key_equals[i], psprintf("$%d", ++parameter), type);
	}
}

static void
append_insert(StringInfo out, RgWriter *writer, Bitmapset *columns)
{
	StringInfoData values;
	int			parameter = 0;

	appendStringInfo(out, "INSERT INTO %s", writer->name);
	if (bms_is_empty(columns))
	{
		appendStringInfoString(out, " DEFAULT VALUES");
		return;
	}
	initStringInfo(&values);
	for (int attnum = -1; (attnum = bms_next_member(columns, attnum)) >= 0;)
	{
		appendStringInfo(out, "%s%s", parameter == 0 ? " (" : ", ", column_name(writer, attnum));
		appendStringInfo(&values, "%s$%d", parameter == 0 ? "" : ", ", parameter + 1);
		parameter++;
	}
	appendStringInfo(out, ") OVERRIDING SYSTEM VALUE VALUES (%s)", values.data);
}

static void
append_update(StringInfo out, RgWriter *writer, Bitmapset *columns)
{
	int			parameter = 0;

	appendStringInfo(out, "UPDATE %s", writer->name);
	for (int attnum = -1; (attnum = bms_next_member(columns, attnum)) >= 0;)
	{
		appendStringInfo(out, "%s%s = $%d", parameter == 0 ? " SET " : ", ",
						 column_name(writer, attnum), parameter + 1);
		parameter++;
	}
	append_key(out, writer, parameter);
}

static char *
statement_text(RgWriter *writer, RgStatement statement, Bitmapset *columns)
{
	StringInfoData out;

	initStringInfo(&out);
	if (statement == RG_WRITE_LOCK)
	{
		appendStringInfoString(&out, "SELECT ");
		append_returned(&out, writer);
		appendStringInfo(&out, ", xmin FROM %s", writer->name);
		append_key(&out, writer, 0);
		appendStringInfoString(&out, " FOR NO KEY UPDATE");
		return out.data;
	}
	if (statement == RG_WRITE_INSERT)
		append_insert(&out, writer, columns);
	else if (statement == RG_WRITE_UPDATE)
		append_update(&out, writer, columns);
	else
	{
		appendStringInfo(&out, "DELETE FROM %s", writer->name);
		append_key(&out, writer, 0);
	}
	appendStringInfoString(&out, " RETURNING ");
	append_returned(&out, writer);
	return out.data;
}

static SPIPlanPtr
prepare(RgWriter *writer, RgStatement statement, Bitmapset *columns)
{
	Oid		   *types = palloc((writer->desc->natts + writer->nkey) * sizeof *types);
	int			count = 0;
	SPIPlanPtr	plan;

	for (int attnum = -1; (attnum = bms_next_member(columns, attnum)) >= 0;)
		types[count++] = TupleDescAttr(writer->desc, attnum - 1)->atttypid;
	for (int i = 0; statement != RG_WRITE_INSERT && i < writer->nkey; i++)
		types[count++] = TupleDescAttr(writer->desc, writer->key[i] - 1)->atttypid;
	plan = SPI_prepare(statement_text(writer, statement, columns), count, types);
	if (plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
	SPI_keepplan(plan);
	return plan;
}

SPIPlanPtr
rg_writer_plan(RgWriter *writer, RgStatement statement, Bitmapset *columns)
{
	MemoryContext caller;
	RgWriterPlan *kept;
	SPIPlanPtr	plan;
	ListCell   *cell;

	foreach(cell, writer->plans)
	{
		kept = lfirst(cell);
		if (kept->statement == statement && bms_equal(kept->columns, columns))
			return kept->plan;
	}
	plan = prepare(writer, statement, columns);
	caller = MemoryContextSwitchTo(writer->context);
	kept = palloc(sizeof *kept);
	kept->statement = statement;
	kept->columns = bms_copy(columns);
	kept->plan = plan;
	writer->plans = lappend(writer->plans, kept);
	MemoryContextSwitchTo(caller);
	return plan;
}
