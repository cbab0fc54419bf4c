/*
 * upsert.c
 *		INSERT ... ON CONFLICT through the views that decrypt.
 *
 * PostgreSQL finds no unique index on a view with INSTEAD OF triggers, so the
 * statement is turned into one on the table before the rewriter sees it, which
 * then applies the table's policies and defaults.  It is what the rewriter does
 * for views that are updatable by themselves, with two additions: what goes
 * into an encrypted column is encrypted for its row, and what is read of one is
 * decrypted, of the row there is and of EXCLUDED alike.
 *
 * Columns of the AAD are needed in two places, their own and the AAD; what must
 * not be evaluated twice for that is moved into the statement's source of rows.
 *
 * The view stays in the range table: the executor checks the privileges on it,
 * and a plan is made anew when it changes.  As with any security_invoker view,
 * the table asks the same privileges of the same user.
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "access/table.h"
#include "commands/trigger.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/analyze.h"
#include "parser/parse_coerce.h"
#include "parser/parse_relation.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteHandler.h"
#include "rewrite/rewriteManip.h"
#include "utils/rel.h"

#include "decrypted_row.h"
#include "row_source.h"
#include "upsert.h"

#if PG_VERSION_NUM >= 160000
typedef RTEPermissionInfo RgPermissions;
#define PERMISSIONS_OF(query, rte) getRTEPermissionInfo((query)->rteperminfos, rte)
#else
typedef RangeTblEntry RgPermissions;
#define PERMISSIONS_OF(query, rte) (rte)
#endif

/* A statement on the way from the view to the table. */
typedef struct RgUpsert
{
	Query	   *query;
	Relation	view;
	Relation	table;
	Index		view_index;		/* of the range table */
	Index		table_index;
	RgDecryptedRow row;
	RgRowSource source;
} RgUpsert;

static post_parse_analyze_hook_type previous_hook = NULL;

/*
 * The table in place of the view
 */

static Index
add_table(RgUpsert *upsert, Alias *alias)
{
	ParseState *pstate = make_parsestate(NULL);
	RangeTblEntry *entry = addRangeTableEntryForRelation(pstate, upsert->table, RowExclusiveLock,
														 alias, false, false)->p_rte;

	upsert->query->rtable = lappend(upsert->query->rtable, entry);
#if PG_VERSION_NUM >= 160000
	entry->perminfoindex = 0;
	if (alias == NULL)
		addRTEPermissionInfo(&upsert->query->rteperminfos, entry);
#else
	entry->requiredPerms = 0;
#endif
	return list_length(upsert->query->rtable);
}

/* What the row gives that column of the table, or NULL. */
static TargetEntry *
assignment(List *row, AttrNumber stored)
{
	ListCell   *cell;

	foreach(cell, row)
	{
		TargetEntry *entry = lfirst(cell);

		if (!entry->resjunk && entry->resno == stored)
			return entry;
	}
	return NULL;
}

static void
to_table_columns(RgUpsert *upsert, List *row)
{
	ListCell   *cell;

	foreach(cell, row)
	{
		TargetEntry *entry = lfirst(cell);

		if (!entry->resjunk)
			entry->resno = ((RgRowColumn *) list_nth(upsert->row.columns, entry->resno - 1))->stored;
	}
}

/* What is said of the view's columns, said of the table's. */
static Node *
over_table(RgUpsert *upsert, Node *node, Index of_view, List *entries)
{
	RangeTblEntry *view = rt_fetch(upsert->view_index, upsert->query->rtable);

#if PG_VERSION_NUM >= 180000
	return ReplaceVarsFromTargetList(node, of_view, 0, view, entries, upsert->table_index,
									 REPLACEVARS_REPORT_ERROR, 0, &upsert->query->hasSubLinks);
#else
	return ReplaceVarsFromTargetList(node, of_view, 0, view, entries,
									 REPLACEVARS_REPORT_ERROR, 0, &upsert->query->hasSubLinks);
#endif
}

static Expr *
stored_value(RgUpsert *upsert, RgRowColumn *column)
{
	return ((TargetEntry *) list_nth(upsert->row.entries, column->number - 1))->expr;
}

static bool
in_aad(RgUpsert *upsert, AttrNumber stored)
{
	return bms_is_member(stored - FirstLowInvalidHeapAttributeNumber, upsert->row.aad);
}

static Form_pg_attribute
attribute(RgUpsert *upsert, RgRowColumn *column)
{
	return TupleDescAttr(RelationGetDescr(upsert->table), column->stored - 1);
}

/*
 * Privileges
 */

/* The table's columns behind those of the view; what reading them reads too. */
static Bitmapset *
stored_columns(RgUpsert *upsert, Bitmapset *of_view, bool read)
{
	Bitmapset  *stored = NULL;
	ListCell   *cell;
	int			whole_row = 0 - FirstLowInvalidHeapAttributeNumber;

	foreach(cell, upsert->row.columns)
	{
		RgRowColumn *column = lfirst(cell);

		if (!bms_is_member(column->number + whole_row, of_view) && !bms_is_member(whole_row, of_view))
			continue;
		stored = bms_add_member(stored, column->stored + whole_row);
		if (read)
			pull_varattnos((Node *) stored_value(upsert, column), upsert->table_index, &stored);
	}
	return stored;
}

static void
require_privileges(RgUpsert *upsert, Index of_view)
{
	List	   *rtable = upsert->query->rtable;
	RangeTblEntry *view_entry = rt_fetch(of_view, rtable);
	RangeTblEntry *table_entry = rt_fetch(upsert->table_index, rtable);
	RgPermissions *view;
	RgPermissions *table;

#if PG_VERSION_NUM >= 160000
	if (view_entry->perminfoindex == 0)
		return;
#endif
	view = PERMISSIONS_OF(upsert->query, view_entry);
	table = PERMISSIONS_OF(upsert->query, table_entry);
	table->requiredPerms |= view->requiredPerms;
	table->selectedCols = bms_add_members(table->selectedCols,
										  stored_columns(upsert, view->selectedCols, true));
	table->insertedCols = bms_add_members(table->insertedCols,
										  stored_columns(upsert, view->insertedCols, false));
	table->updatedCols = bms_add_members(table->updatedCols,
										 stored_columns(upsert, view->updatedCols, false));
}

/*
 * Encryption
 */

static Node *
in_row(Node *node, List *row)
{
	TargetEntry *entry;

	if (node == NULL || !IsA(node, Var))
		return expression_tree_mutator(node, in_row, row);
	entry = assignment(row, ((Var *) node)->varattno);
	return copyObject(entry != NULL ? (Node *) entry->expr : node);
}

/* For a row that has those values, and the table's where it has none. */
static Expr *
encrypted(RgRowColumn *column, Expr *value, List *row)
{
	return rg_encrypt_call(value, (Expr *) in_row((Node *) column->aad, row));
}

/*
 * Defaults
 */

static Node *
null_of(Form_pg_attribute attribute)
{
	return coerce_null_to_domain(attribute->atttypid, attribute->atttypmod, attribute->attcollation,
								 attribute->attlen, attribute->attbyval);
}

/* The value of DEFAULT; NULL leaves it to the rewriter, which knows the table's. */
static Node *
default_of(RgUpsert *upsert, RgRowColumn *column)
{
	Node	   *value = build_column_default(upsert->view, column->number);

	if (value != NULL)
		return value;
	if (column->aad != NULL)
		return null_of(TupleDescAttr(RelationGetDescr(upsert->view), column->number - 1));
	if (!in_aad(upsert, column->stored) && attribute(upsert, column)->attidentity == '\0')
		return NULL;
	value = build_column_default(upsert->table, column->stored);
	return value != NULL ? value : null_of(attribute(upsert, column));
}

/*
 * INSERT
 */

/* Whether an identity column takes its own value instead of the one given. */
static bool
is_overridden(RgUpsert *upsert, Form_pg_attribute column, Expr *value)
{
	OverridingKind override = upsert->query->override;

	if (column->attidentity == '\0' || rg_row_source_is_default(&upsert->source, value))
		return false;
	if (column->attidentity == ATTRIBUTE_IDENTITY_ALWAYS && override == OVERRIDING_NOT_SET)
		ereport(ERROR,
				errcode(ERRCODE_GENERATED_ALWAYS),
				errmsg("cannot insert a non-DEFAULT value into column \"%s\"", NameStr(column->attname)),
				errdetail("Column \"%s\" is an identity column defined as GENERATED ALWAYS.",
						  NameStr(column->attname)),
				errhint("Use OVERRIDING SYSTEM VALUE to override."));
	return override == OVERRIDING_USER_VALUE;
}

/* Two evaluations give the same, and are no second reference to a WITH query. */
static bool
is_repeatable(Expr *value)
{
	return !contain_volatile_functions((Node *) value) && !checkExprHasSubLink((Node *) value);
}

/* The value that goes into the column, where it is not left to the rewriter. */
static void
complete_value(RgUpsert *upsert, RgRowColumn *column, TargetEntry *entry, Node *value)
{
	Form_pg_attribute stored = attribute(upsert, column);

	if (is_overridden(upsert, stored, entry->expr))
	{
		rg_row_source_fill(&upsert->source, entry->expr, null_of(stored));
		entry->expr = (Expr *) value;
	}
	if (value == NULL)
		return;
	rg_row_source_fill(&upsert->source, entry->expr, value);
	if (IsA(entry->expr, SetToDefault))
		entry->expr = (Expr *) value;
}

static void
complete_column(RgUpsert *upsert, RgRowColumn *column)
{
	List	  **row = &upsert->query->targetList;
	TargetEntry *entry = assignment(*row, column->stored);
	Node	   *value = default_of(upsert, column);

	if (entry != NULL)
		complete_value(upsert, column, entry, value);
	else if (value != NULL)
	{
		entry = makeTargetEntry((Expr *) value, column->stored, NULL, false);
		*row = lappend(*row, entry);
	}
	if (in_aad(upsert, column->stored) && !is_repeatable(entry->expr))
		entry->expr = rg_row_source_add(&upsert->source, entry->expr);
}

static void
rewrite_insert(RgUpsert *upsert)
{
	Query	   *query = upsert->query;
	ListCell   *cell;

	upsert->source = rg_row_source(query);
	to_table_columns(upsert, query->targetList);
	foreach(cell, upsert->row.columns)
		complete_column(upsert, lfirst(cell));
	foreach(cell, upsert->row.columns)
	{
		RgRowColumn *column = lfirst(cell);
		TargetEntry *entry = assignment(query->targetList, column->stored);

		if (column->aad != NULL)
			entry->expr = encrypted(column, entry->expr, query->targetList);
	}
	/* Identity columns have been judged: what is there now is to be taken. */
	query->override = OVERRIDING_SYSTEM_VALUE;
}

/*
 * ON CONFLICT
 */

static void
check_repeatable(RgUpsert *upsert, RgRowColumn *column, Expr *value)
{
	char	   *name = NameStr(attribute(upsert, column)->attname);

	if (!IsA(value, SetToDefault) && is_repeatable(value))
		return;
	ereport(ERROR,
			errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			errmsg("column \"%s\" cannot be set to an expression that is volatile or has a subquery", name),
			errdetail("Encrypted values are bound to the column, and the expression would be evaluated for each of them."),
			errhint("Write SET (%s) = (SELECT ...), which is evaluated once.", name));
}

static void
complete_assignment(RgUpsert *upsert, RgRowColumn *column, TargetEntry *entry)
{
	if (IsA(entry->expr, SetToDefault) && attribute(upsert, column)->attidentity == '\0')
	{
		Node	   *value = default_of(upsert, column);

		if (value != NULL)
			entry->expr = (Expr *) value;
	}
	if (in_aad(upsert, column->stored))
		check_repeatable(upsert, column, entry->expr);
}

/* Whether the row's new values change the AAD of that column. */
static bool
changes_aad(RgUpsert *upsert, RgRowColumn *column, List *row)
{
	Bitmapset  *parts = NULL;
	ListCell   *cell;

	pull_varattnos((Node *) column->aad, upsert->table_index, &parts);
	foreach(cell, row)
	{
		TargetEntry *entry = lfirst(cell);

		if (!entry->resjunk && bms_is_member(entry->resno - FirstLowInvalidHeapAttributeNumber, parts))
			return true;
	}
	return false;
}

/* A value that stays is encrypted again where its AAD changes. */
static void
encrypt_assignment(RgUpsert *upsert, RgRowColumn *column)
{
	List	  **row = &upsert->query->onConflict->onConflictSet;
	TargetEntry *entry = assignment(*row, column->stored);
	RgPermissions *table = PERMISSIONS_OF(upsert->query, rt_fetch(upsert->table_index, upsert->query->rtable));

	if (entry == NULL && changes_aad(upsert, column, *row))
	{
		entry = makeTargetEntry(copyObject(stored_value(upsert, column)), column->stored, NULL, false);
		*row = lappend(*row, entry);
		table->updatedCols = bms_add_member(table->updatedCols,
											column->stored - FirstLowInvalidHeapAttributeNumber);
	}
	if (entry != NULL)
		entry->expr = encrypted(column, entry->expr, *row);
}

static void
rewrite_set(RgUpsert *upsert)
{
	OnConflictExpr *conflict = upsert->query->onConflict;
	ListCell   *cell;

	to_table_columns(upsert, conflict->onConflictSet);
	foreach(cell, upsert->row.columns)
	{
		RgRowColumn *column = lfirst(cell);
		TargetEntry *entry = assignment(conflict->onConflictSet, column->stored);

		if (entry != NULL)
			complete_assignment(upsert, column, entry);
	}
	foreach(cell, upsert->row.columns)
	{
		RgRowColumn *column = lfirst(cell);

		if (column->aad != NULL)
			encrypt_assignment(upsert, column);
	}
}

/* The row that could not be inserted, as one of the table. */
static void
rewrite_excluded(RgUpsert *upsert)
{
	OnConflictExpr *conflict = upsert->query->onConflict;
	Index		of_view = conflict->exclRelIndex;
	List	   *entries = copyObject(upsert->row.entries);

	conflict->exclRelIndex = add_table(upsert, makeAlias("excluded", NIL));
	conflict->exclRelTlist = BuildOnConflictExcludedTargetlist(upsert->table, conflict->exclRelIndex);
	rt_fetch(conflict->exclRelIndex, upsert->query->rtable)->relkind = RELKIND_COMPOSITE_TYPE;
	ChangeVarNodes((Node *) entries, upsert->table_index, conflict->exclRelIndex, 0);
	upsert->query->onConflict = (OnConflictExpr *) over_table(upsert, (Node *) conflict, of_view, entries);
	require_privileges(upsert, of_view);
}

/*
 * The hook
 */

static void
rewrite_upsert(RgUpsert *upsert)
{
	Query	   *query = upsert->query;

	upsert->table_index = add_table(upsert, NULL);
	require_privileges(upsert, upsert->view_index);
	rewrite_insert(upsert);
	query->returningList = (List *) over_table(upsert, (Node *) query->returningList,
											   upsert->view_index, upsert->row.entries);
	query->onConflict = (OnConflictExpr *) over_table(upsert, (Node *) query->onConflict,
													  upsert->view_index, upsert->row.entries);
	if (query->onConflict->action == ONCONFLICT_UPDATE)
	{
		rewrite_excluded(upsert);
		rewrite_set(upsert);
	}
	query->resultRelation = upsert->table_index;
}

/* Rules and other triggers of the view would be passed by. */
static bool
writes_table_only(Relation view)
{
	TriggerDesc *triggers = view->trigdesc;

	for (int i = 1; i < triggers->numtriggers; i++)
		if (triggers->triggers[i].tgfoid != triggers->triggers[0].tgfoid)
			return false;
	return triggers->trig_insert_instead_row && view->rd_rules->numLocks == 1;
}

/* What cannot be rewritten is left to PostgreSQL, which refuses it. */
static void
rewrite_if_encrypted(RgUpsert *upsert)
{
	RgEncryptedView view;

	if (!rg_encrypted_view(upsert->view, &view) || !writes_table_only(upsert->view))
		return;
	/* The parser has locked the view only. */
	upsert->table = table_open(view.table, RowExclusiveLock);
	if (rg_decrypted_row(&view, upsert->table, list_length(upsert->query->rtable) + 1, &upsert->row))
		rewrite_upsert(upsert);
	table_close(upsert->table, NoLock);
}

static void
rewrite_if_upsert(Query *query)
{
	RgUpsert	upsert = {.query = query,.view_index = query->resultRelation};
	RangeTblEntry *target;

	if (query->commandType != CMD_INSERT || query->onConflict == NULL)
		return;
	target = rt_fetch(query->resultRelation, query->rtable);
	if (target->relkind != RELKIND_VIEW)
		return;
	upsert.view = table_open(target->relid, NoLock);
	rewrite_if_encrypted(&upsert);
	table_close(upsert.view, NoLock);
}

/* Statements that change data are at the top of a query, or in its WITH. */
static void
rewrite_upserts(Query *query)
{
	ListCell   *cell;

	rewrite_if_upsert(query);
	if (!query->hasModifyingCTE)
		return;
	foreach(cell, query->cteList)
		rewrite_if_upsert(castNode(Query, lfirst_node(CommonTableExpr, cell)->ctequery));
}

/* EXPLAIN calls the hook for its query, CREATE TABLE AS does not. */
static void
after_analysis(ParseState *pstate, Query *query, JumbleState *jumble)
{
	if (previous_hook != NULL)
		previous_hook(pstate, query, jumble);
	if (query->commandType == CMD_UTILITY && IsA(query->utilityStmt, CreateTableAsStmt))
		query = (Query *) ((CreateTableAsStmt *) query->utilityStmt)->query;
	rewrite_upserts(query);
}

void
rg_upsert_init(void)
{
	previous_hook = post_parse_analyze_hook;
	post_parse_analyze_hook = after_analysis;
}
