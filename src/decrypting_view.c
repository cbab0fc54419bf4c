/*
 * decrypting_view.c
 *		What the view of a table with encrypted columns is made of.
 *
 * SELECT t.id, d.number FROM t, LATERAL (SELECT try_decrypt_text(t.number,
 * aad(...)) AS number OFFSET 0) d.  Everybody can make views, so nothing is
 * taken for granted of their form.
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "nodes/makefuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_func.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteHandler.h"
#include "rewrite/rewriteManip.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "decrypting_view.h"

static Oid
own_function(const char *name, int count, const Oid *arguments)
{
	List	   *names = list_make2(makeString("relay_guard"), makeString(pstrdup(name)));

	return LookupFuncName(names, count, arguments, true);
}

Oid
rg_crypt_function(const char *name, Oid first)
{
	Oid			arguments[] = {first, BYTEAOID};

	return own_function(name, lengthof(arguments), arguments);
}

/* Rules and other triggers would be passed by. */
static bool
only_encrypts(Relation view)
{
	TriggerDesc *triggers = view->trigdesc;
	Oid			encrypts;

	if (triggers == NULL || !triggers->trig_insert_instead_row || view->rd_rules->numLocks != 1)
		return false;
	encrypts = own_function("encrypted_write", 0, NULL);
	for (int i = 0; i < triggers->numtriggers; i++)
		if (triggers->triggers[i].tgfoid != encrypts)
			return false;
	return true;
}

/* decrypt_...() for try_decrypt_...(): a value that does not open must not become NULL. */
static bool
make_strict(FuncExpr *call)
{
	static const char *const names[] = {"try_decrypt_text", "try_decrypt_bytea", "try_decrypt_jsonb"};

	for (size_t i = 0; i < lengthof(names); i++)
		if (call->funcid == rg_crypt_function(names[i], BYTEAOID))
		{
			call->funcid = rg_crypt_function(names[i] + strlen("try_"), BYTEAOID);
			return true;
		}
	return false;
}

/* The expression that stands behind a column of the view's LATERAL item. */
static Expr *
decryption(RangeTblEntry *item, AttrNumber number)
{
	TargetEntry *entry = get_tle_by_resno(item->subquery->targetList, number);
	FuncExpr   *call = entry == NULL ? NULL : (FuncExpr *) entry->expr;

	if (call == NULL || !IsA(call, FuncExpr) || !make_strict(call) || !IsA(linitial(call->args), Var))
		return NULL;
	IncrementVarSublevelsUp((Node *) call, -1, 1);
	return (Expr *) call;
}

static bool
read_column(RgViewColumn *column, TargetEntry *entry, List *rtable)
{
	Var		   *var = (Var *) entry->expr;
	RangeTblEntry *item;

	column->number = entry->resno;
	column->entry = entry;
	if (!IsA(var, Var))
		return false;
	item = rt_fetch(var->varno, rtable);
	if (item->rtekind == RTE_SUBQUERY)
	{
		entry->expr = decryption(item, var->varattno);
		if (entry->expr == NULL)
			return false;
		var = linitial(((FuncExpr *) entry->expr)->args);
		column->aad = lsecond(((FuncExpr *) entry->expr)->args);
	}
	column->stored = var->varattno;
	return true;
}

static bool
read_columns(RgDecryptingView *out, Query *view)
{
	Bitmapset  *stored = NULL;
	ListCell   *cell;

	foreach(cell, view->targetList)
	{
		RgViewColumn *column = palloc0(sizeof *column);

		if (!read_column(column, lfirst(cell), view->rtable))
			return false;
		out->columns = lappend(out->columns, column);
		out->entries = lappend(out->entries, column->entry);
		pull_varattnos((Node *) column->aad, out->varno, &out->aad);
		stored = bms_add_member(stored, column->stored - FirstLowInvalidHeapAttributeNumber);
	}
	return bms_is_subset(out->aad, stored);
}

bool
rg_decrypting_view_read(Relation view, RgDecryptingView *out)
{
	Query	   *query;
	RangeTblRef *table;
	int			varno;

	if (!only_encrypts(view))
		return false;
	query = copyObject(get_view_query(view));
	table = query->jointree->fromlist == NIL ? NULL : linitial(query->jointree->fromlist);
	if (table == NULL || !IsA(table, RangeTblRef))
		return false;
	out->varno = table->rtindex;
	out->table = rt_fetch(out->varno, query->rtable)->relid;
	return OidIsValid(out->table) && read_columns(out, query) &&
		bms_get_singleton_member(pull_varnos(NULL, (Node *) out->entries), &varno) &&
		varno == (int) out->varno;
}
