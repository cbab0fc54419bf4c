/*
 * rekey_table.c
 *		What rekey() has to know of a table: names, primary key, encryption.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/stratnum.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/syscache.h"

#include "rekey_table.h"

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
key_search_path(const oidvector *opclasses)
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
describe_key(RgRekeyTable *table)
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

/* t.a, t.b */
static char *
key_list(const RgRekeyTable *table)
{
	StringInfoData out;

	initStringInfo(&out);
	for (int i = 0; i < table->nkeys; i++)
		appendStringInfo(&out, "%st.%s", i > 0 ? ", " : "", table->key_names[i]);
	return out.data;
}

static char *
key_columns(const RgRekeyTable *table)
{
	StringInfoData out;

	initStringInfo(&out);
	for (int i = 0; i < table->nkeys; i++)
		appendStringInfo(&out, "%s%s %u", i > 0 ? ", " : "", table->key_names[i], table->key_types[i]);
	return out.data;
}

/* , t.c, t.d */
static char *
aad_list(const RgRekeyTable *table)
{
	StringInfoData out;

	initStringInfo(&out);
	for (int i = 0; i < table->encrypted->naad; i++)
		appendStringInfo(&out, ", t.%s", column_name(table->rel, table->encrypted->aad[i]));
	return out.data;
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

bool
rg_rekey_table(Relation rel, AttrNumber attnum, RgRekeyTable *table)
{
	table->encrypted = rg_encrypted_column_at(rel, attnum);
	if (table->encrypted == NULL)
		return false;
	refuse_children(rel);
	table->rel = rel;
	table->name = table_name(rel);
	table->column = column_name(rel, attnum);
	table->aad_list = aad_list(table);
	describe_key(table);
	table->key_list = key_list(table);
	table->key_columns = key_columns(table);
	return true;
}
