/*
 * decrypted_row.c
 *		The columns of a decrypting view as expressions over its table.
 *
 * They are made from what the table's guards say, whatever the view calls.
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "parser/parse_func.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "decrypted_row.h"
#include "encrypted_column.h"

static Expr *
call(const char *name, Oid result, List *arguments)
{
	List	   *names = list_make2(makeString("relay_guard"), makeString(pstrdup(name)));
	Oid			types[2];
	int			count = 0;
	ListCell   *argument;

	foreach(argument, arguments)
		types[count++] = exprType(lfirst(argument));
	return (Expr *) makeFuncExpr(LookupFuncName(names, count, types, false), result, arguments,
								 type_is_collatable(result) ? DEFAULT_COLLATION_OID : InvalidOid,
								 InvalidOid, COERCE_EXPLICIT_CALL);
}

Expr *
rg_encrypt_call(Expr *value, Expr *aad)
{
	return call("encrypt", BYTEAOID, list_make2(value, aad));
}

static Expr *
decrypt_call(RgPlaintext kind, Expr *envelope, Expr *aad)
{
	static const char *const names[] = {
		[RG_PLAIN_TEXT] = "decrypt_text",
		[RG_PLAIN_BYTEA] = "decrypt_bytea",
		[RG_PLAIN_JSONB] = "decrypt_jsonb",
	};

	return call(names[kind], rg_plaintext_type(kind), list_make2(envelope, aad));
}

static Expr *
column_of(Relation table, Index varno, AttrNumber number)
{
	Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(table), number - 1);

	return (Expr *) makeVar(varno, number, attribute->atttypid, attribute->atttypmod,
							attribute->attcollation, 0);
}

/* aad(label, column::text, ...) */
static Expr *
aad_call(const RgEncryptedColumn *column, Relation table, Index varno)
{
	ArrayExpr  *parts = makeNode(ArrayExpr);
	FuncExpr   *aad;

	parts->array_typeid = TEXTARRAYOID;
	parts->array_collid = DEFAULT_COLLATION_OID;
	parts->element_typeid = TEXTOID;
	parts->location = -1;
	parts->elements = list_make1(makeConst(TEXTOID, -1, DEFAULT_COLLATION_OID, -1,
										   CStringGetTextDatum(column->label), false, false));
	for (int i = 0; i < column->naad; i++)
	{
		Node	   *part = (Node *) column_of(table, varno, column->aad[i]);

		parts->elements = lappend(parts->elements,
								  coerce_to_target_type(NULL, part, exprType(part), TEXTOID, -1,
														COERCION_EXPLICIT, COERCE_EXPLICIT_CAST, -1));
	}
	aad = (FuncExpr *) call("aad", BYTEAOID, list_make1(parts));
	aad->funcvariadic = true;
	return (Expr *) aad;
}

static Expr *
value_of(RgRowColumn *column, Relation table, Index varno, bool decrypted, Oid type)
{
	Expr	   *stored = column_of(table, varno, column->stored);
	RgEncryptedColumn *encrypted;

	if (!decrypted)
		return stored;
	encrypted = rg_encrypted_column_at(table, column->stored);
	if (encrypted == NULL || rg_plaintext_type(encrypted->kind) != type)
		return NULL;
	column->aad = aad_call(encrypted, table, varno);
	return decrypt_call(encrypted->kind, stored, column->aad);
}

bool
rg_decrypted_row(const RgEncryptedView *view, Relation table, Index varno, RgDecryptedRow *row)
{
	Bitmapset  *stored = NULL;

	for (int i = 0; i < view->natts; i++)
	{
		RgRowColumn *column = palloc0(sizeof *column);
		int			place = view->base[i] - FirstLowInvalidHeapAttributeNumber;
		Expr	   *value;

		column->number = i + 1;
		column->stored = view->base[i];
		value = column->stored == 0 ? NULL : value_of(column, table, varno, view->decrypted[i], view->types[i]);
		if (value == NULL || bms_is_member(place, stored))
			return false;
		row->columns = lappend(row->columns, column);
		row->entries = lappend(row->entries, makeTargetEntry(value, column->number, NULL, false));
		pull_varattnos((Node *) column->aad, varno, &row->aad);
		stored = bms_add_member(stored, place);
	}
	return bms_is_subset(row->aad, stored);
}
