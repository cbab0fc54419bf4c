/*
 * encrypted_column.c
 *		Encrypted columns as their guard triggers describe them.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "crypt.h"
#include "encrypted_column.h"
#include "varlena_slice.h"

/*
 * By its schema, which sql/01_schema.sql takes from nobody else.
 * In a database without the extension anybody may have made it, and functions of
 * that name; but none in C, and what is said of the others would not hold.
 */
Oid
rg_encrypted_function(const char *name)
{
	Oid			schema = get_namespace_oid("relay_guard", true);
	oidvector  *none;
	HeapTuple	tuple;
	Oid			found = InvalidOid;

	if (!OidIsValid(schema))
		return InvalidOid;
	none = buildoidvector(NULL, 0);
	tuple = SearchSysCache3(PROCNAMEARGSNSP, CStringGetDatum(name), PointerGetDatum(none),
							ObjectIdGetDatum(schema));
	pfree(none);
	if (!HeapTupleIsValid(tuple))
		return InvalidOid;
	if (((Form_pg_proc) GETSTRUCT(tuple))->prolang == ClanguageId)
		found = ((Form_pg_proc) GETSTRUCT(tuple))->oid;
	ReleaseSysCache(tuple);
	return found;
}

/*
 * Definitions
 */

static bool
kind_of(const char *name, RgPlaintext *kind)
{
	static const char *const names[] = {
		[RG_PLAIN_TEXT] = "text",
		[RG_PLAIN_BYTEA] = "bytea",
		[RG_PLAIN_JSONB] = "jsonb",
	};

	for (*kind = 0; *kind < lengthof(names); (*kind)++)
		if (strcmp(names[*kind], name) == 0)
			return true;
	return false;
}

bool
rg_encrypted_column_of(const Trigger *trigger, RgEncryptedColumn *column)
{
	if (trigger->tgnargs != 2 || trigger->tgnattr < 1 || !kind_of(trigger->tgargs[1], &column->kind))
		return false;
	column->attnum = trigger->tgattr[0];
	column->label = trigger->tgargs[0];
	column->naad = trigger->tgnattr - 1;
	column->aad = trigger->tgattr + 1;
	return true;
}

static int
by_attnum(const void *a, const void *b)
{
	return ((const RgEncryptedColumn *) a)->attnum - ((const RgEncryptedColumn *) b)->attnum;
}

/* The relation cache may let go of its triggers. */
static void
own(RgEncryptedColumn *column)
{
	AttrNumber *aad = palloc(Max(column->naad, 1) * sizeof *aad);

	memcpy(aad, column->aad, column->naad * sizeof *aad);
	column->aad = aad;
	column->label = pstrdup(column->label);
}

/* Whoever may create triggers may name a column of any type. */
bool
rg_encrypted_column_fits(const RgEncryptedColumn *column, TupleDesc desc)
{
	return TupleDescAttr(desc, column->attnum - 1)->atttypid == BYTEAOID;
}

int
rg_encrypted_columns(Relation table, RgEncryptedColumn **columns)
{
	TriggerDesc *triggers = table->trigdesc;
	Oid			guard;
	int			count = 0;

	*columns = NULL;
	if (triggers == NULL || !triggers->trig_insert_before_row)
		return 0;
	guard = rg_encrypted_function("encrypted_guard");
	*columns = palloc(triggers->numtriggers * sizeof **columns);
	for (int i = 0; i < triggers->numtriggers; i++)
		if (triggers->triggers[i].tgfoid == guard &&
			rg_encrypted_column_of(&triggers->triggers[i], &(*columns)[count]) &&
			rg_encrypted_column_fits(&(*columns)[count], RelationGetDescr(table)))
			own(&(*columns)[count++]);
	qsort(*columns, count, sizeof **columns, by_attnum);
	return count;
}

RgEncryptedColumn *
rg_encrypted_column_at(Relation table, AttrNumber attnum)
{
	RgEncryptedColumn *columns;
	int			count = rg_encrypted_columns(table, &columns);

	for (int i = 0; i < count; i++)
		if (columns[i].attnum == attnum)
			return &columns[i];
	return NULL;
}

/*
 * AAD
 */

static RgSlice
string_slice(Datum string)
{
	return rg_slice(DatumGetCString(string), strlen(DatumGetCString(string)));
}

/* As value::text, which for boolean is not what its output function makes. */
static RgSlice
text_form(Oid type, Datum value)
{
	switch (getBaseType(type))
	{
		case INT2OID:
			return string_slice(DirectFunctionCall1(int2out, value));
		case INT4OID:
			return string_slice(DirectFunctionCall1(int4out, value));
		case INT8OID:
			return string_slice(DirectFunctionCall1(int8out, value));
		case UUIDOID:
			return string_slice(DirectFunctionCall1(uuid_out, value));
		case TEXTOID:
		case VARCHAROID:
			return rg_datum_slice(value);
		case BOOLOID:
			return DatumGetBool(value) ? RG_SLICE("true") : RG_SLICE("false");
		case NAMEOID:
			return string_slice(value);
		default:
			ereport(ERROR,
					errcode(ERRCODE_DATATYPE_MISMATCH),
					errmsg("a column of type %s cannot be part of an AAD", format_type_be(type)),
					errhint("Its values have more than one text form."));
	}
}

RgSlice
rg_encrypted_aad(const RgEncryptedColumn *column, TupleDesc desc, const Datum *values,
				 const bool *nulls)
{
	RgSlice    *parts = palloc((column->naad + 1) * sizeof *parts);
	RgSlice		aad;

	parts[0] = rg_slice(column->label, strlen(column->label));
	for (int i = 0; i < column->naad; i++)
	{
		int			place = column->aad[i] - 1;

		parts[i + 1] = nulls[place] ? rg_slice(NULL, 0)
			: text_form(TupleDescAttr(desc, place)->atttypid, values[place]);
	}
	aad = rg_crypt_aad(parts, column->naad + 1);
	pfree(parts);
	return aad;
}
