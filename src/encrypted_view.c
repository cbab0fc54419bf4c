/*
 * encrypted_view.c
 *		The columns of a decrypting view, as its query names them.
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/namespace.h"
#include "fmgr.h"
#include "nodes/parsenodes.h"
#include "nodes/primnodes.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteHandler.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/reltrigger.h"

#include "encrypted_column.h"
#include "encrypted_view.h"

static bool
has_writer(Relation view)
{
	Oid			writer = rg_encrypted_function("encrypted_write");

	for (int i = 0; view->trigdesc != NULL && i < view->trigdesc->numtriggers; i++)
		if (view->trigdesc->triggers[i].tgfoid == writer)
			return true;
	return false;
}

/* Place in the range table; up to PostgreSQL 15 OLD and NEW stand there as well. */
static Index
only_table(Query *query)
{
	RangeTblRef *from;

	if (list_length(query->jointree->fromlist) != 1 ||
		!IsA(linitial(query->jointree->fromlist), RangeTblRef))
		return 0;
	from = linitial(query->jointree->fromlist);
	return rt_fetch(from->rtindex, query->rtable)->rtekind == RTE_RELATION ? from->rtindex : 0;
}

/* opened_text() and its like, of a column and its AAD */
static bool
is_opened(FuncExpr *call)
{
	char	   *name = list_length(call->args) == 2 ? get_func_name(call->funcid) : NULL;

	return name != NULL && strncmp(name, "opened_", strlen("opened_")) == 0 &&
		get_func_namespace(call->funcid) == get_namespace_oid("relay_guard", true);
}

/* The column is written as the expression over it shows it. */
static AttrNumber
shown(Expr *expr, Index table, bool *decrypted)
{
	Var		   *var;

	*decrypted = IsA(expr, FuncExpr) && is_opened((FuncExpr *) expr);
	if (*decrypted)
		expr = linitial(((FuncExpr *) expr)->args);
	var = (Var *) expr;
	return IsA(var, Var) && var->varno == (int) table && var->varlevelsup == 0 && var->varattno > 0
		? var->varattno : 0;
}

bool
rg_encrypted_view(Relation view, RgEncryptedView *mapping)
{
	Query	   *query;
	Index		table;
	ListCell   *cell;

	if (view->rd_rel->relkind != RELKIND_VIEW || !has_writer(view))
		return false;
	query = get_view_query(view);
	table = only_table(query);
	if (table == 0)
		return false;
	mapping->table = rt_fetch(table, query->rtable)->relid;
	mapping->natts = RelationGetNumberOfAttributes(view);
	mapping->base = palloc0(mapping->natts * sizeof *mapping->base);
	mapping->decrypted = palloc0(mapping->natts * sizeof *mapping->decrypted);
	mapping->types = palloc(mapping->natts * sizeof *mapping->types);
	for (int i = 0; i < mapping->natts; i++)
		mapping->types[i] = TupleDescAttr(RelationGetDescr(view), i)->atttypid;
	foreach(cell, query->targetList)
	{
		TargetEntry *entry = lfirst(cell);

		if (!entry->resjunk && entry->resno <= mapping->natts)
			mapping->base[entry->resno - 1] = shown(entry->expr, table, &mapping->decrypted[entry->resno - 1]);
	}
	return true;
}

PG_FUNCTION_INFO_V1(relay_guard_stored_column);

/* stored_column(view regclass, number smallint) → smallint, or NULL */
Datum
relay_guard_stored_column(PG_FUNCTION_ARGS)
{
	Relation	view = relation_open(PG_GETARG_OID(0), AccessShareLock);
	int			number = PG_GETARG_INT16(1);
	RgEncryptedView mapping;
	AttrNumber	stored = 0;

	if (rg_encrypted_view(view, &mapping) && number >= 1 && number <= mapping.natts)
		stored = mapping.base[number - 1];
	relation_close(view, AccessShareLock);
	if (stored == 0)
		PG_RETURN_NULL();
	PG_RETURN_INT16(stored);
}
