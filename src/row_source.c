/*
 * row_source.c
 *		What an analyzed INSERT reads its rows from.
 */
#include "postgres.h"

#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_relation.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteManip.h"

#include "row_source.h"

RgRowSource
rg_row_source(Query *query)
{
	RgRowSource source = {.query = query};
	List	   *from = query->jointree->fromlist;

	if (from == NIL)
		return source;
	source.index = linitial_node(RangeTblRef, from)->rtindex;
	source.entry = rt_fetch(source.index, query->rtable);
	return source;
}

/*
 * More columns
 */

/* A row in the target list becomes one of VALUES, with no columns yet. */
static void
make_values(RgRowSource *source)
{
	RangeTblRef *reference = makeNode(RangeTblRef);
	Query	   *query = source->query;

	source->entry = addRangeTableEntryForValues(make_parsestate(NULL), list_make1(NIL), NIL, NIL, NIL,
												NULL, false, true)->p_rte;
	query->rtable = lappend(query->rtable, source->entry);
	source->index = reference->rtindex = list_length(query->rtable);
	query->jointree->fromlist = list_make1(reference);
}

static void
add_to_values(RangeTblEntry *values, Expr *value)
{
	ListCell   *cell;

	foreach(cell, values->values_lists)
		lfirst(cell) = lappend(lfirst(cell), copyObject(value));
	values->coltypes = lappend_oid(values->coltypes, exprType((Node *) value));
	values->coltypmods = lappend_int(values->coltypmods, exprTypmod((Node *) value));
	values->colcollations = lappend_oid(values->colcollations, exprCollation((Node *) value));
}

/*
 * SELECT x, y becomes SELECT x, y FROM (SELECT x, y): DISTINCT, UNION or LIMIT
 * must not see what is added.
 */
static void
wrap(RangeTblEntry *select)
{
	Query	   *outer = makeNode(Query);
	RangeTblRef *reference = makeNode(RangeTblRef);
	ListCell   *cell;

	outer->commandType = CMD_SELECT;
	outer->canSetTag = true;
	outer->rtable = list_make1(copyObject(select));
	IncrementVarSublevelsUp_rtable(outer->rtable, 1, 0);
	reference->rtindex = 1;
	outer->jointree = makeFromExpr(list_make1(reference), NULL);
	foreach(cell, select->subquery->targetList)
	{
		TargetEntry *entry = lfirst(cell);
		Var		   *var = makeVarFromTargetEntry(1, entry);

		if (!entry->resjunk)
			outer->targetList = lappend(outer->targetList,
										makeTargetEntry((Expr *) var, entry->resno, entry->resname, false));
	}
	select->subquery = outer;
}

static void
add_to_select(RgRowSource *source, Expr *value, AttrNumber number)
{
	Query	   *select;

	if (!source->wrapped)
		wrap(source->entry);
	source->wrapped = true;
	ChangeVarNodes((Node *) value, source->index, 1, 0);
	select = source->entry->subquery;
	select->targetList = lappend(select->targetList, makeTargetEntry(value, number, "added", false));
}

Expr *
rg_row_source_add(RgRowSource *source, Expr *value)
{
	Alias	   *names;
	AttrNumber	number;

	if (source->entry == NULL)
		make_values(source);
	names = source->entry->eref;
	names->colnames = lappend(names->colnames, makeString("added"));
	number = list_length(names->colnames);
	if (source->entry->rtekind == RTE_VALUES)
		add_to_values(source->entry, value);
	else
		add_to_select(source, value, number);
	return (Expr *) makeVar(source->index, number, exprType((Node *) value),
							exprTypmod((Node *) value), exprCollation((Node *) value), 0);
}

/*
 * DEFAULT
 */

/* The rows of VALUES that a value of the target list is a column of, or NIL. */
static List *
rows_behind(RgRowSource *source, Expr *value)
{
	if (source->entry == NULL || !IsA(value, Var) || ((Var *) value)->varno != (int) source->index)
		return NIL;
	return source->entry->values_lists;
}

static ListCell *
field(ListCell *row, Expr *column)
{
	return list_nth_cell(lfirst(row), ((Var *) column)->varattno - 1);
}

bool
rg_row_source_is_default(RgRowSource *source, Expr *value)
{
	List	   *rows = rows_behind(source, value);
	ListCell   *row;

	foreach(row, rows)
		if (!IsA(lfirst(field(row, value)), SetToDefault))
		return false;
	return rows != NIL || IsA(value, SetToDefault);
}

void
rg_row_source_fill(RgRowSource *source, Expr *value, Node *filling)
{
	ListCell   *row;

	foreach(row, rows_behind(source, value))
		if (IsA(lfirst(field(row, value)), SetToDefault))
		lfirst(field(row, value)) = copyObject(filling);
}
