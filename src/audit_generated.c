/*
 * audit_generated.c
 *		Stored generated columns that a transition table has not.
 */
#include "postgres.h"

#include "executor/executor.h"
#include "rewrite/rewriteHandler.h"
#include "utils/rel.h"

#include "audit_generated.h"

struct RgAuditGenerated
{
	EState	   *estate;
	int			natts;
	ExprState  *expressions[FLEXIBLE_ARRAY_MEMBER]; /* NULL for other columns */
};

static bool
may_miss_them(Relation table)
{
	TupleConstr *constraints = RelationGetDescr(table)->constr;

	return table->rd_rel->relkind == RELKIND_PARTITIONED_TABLE &&
		constraints != NULL && constraints->has_generated_stored;
}

RgAuditGenerated *
rg_audit_generated_begin(Relation table)
{
	TupleDesc	desc = RelationGetDescr(table);
	RgAuditGenerated *generated;

	if (!may_miss_them(table))
		return NULL;
	generated = palloc0(offsetof(RgAuditGenerated, expressions) +
						desc->natts * sizeof *generated->expressions);
	generated->estate = CreateExecutorState();
	generated->natts = desc->natts;
	for (int i = 0; i < desc->natts; i++)
		if (TupleDescAttr(desc, i)->attgenerated == ATTRIBUTE_GENERATED_STORED)
			generated->expressions[i] = ExecPrepareExpr((Expr *) build_column_default(table, i + 1),
														generated->estate);
	return generated;
}

void
rg_audit_generated_fill(RgAuditGenerated *generated, TupleTableSlot *row)
{
	ExprContext *context = GetPerTupleExprContext(generated->estate);

	ResetExprContext(context);
	context->ecxt_scantuple = row;
	slot_getallattrs(row);
	for (int i = 0; i < generated->natts; i++)
		if (generated->expressions[i] != NULL && row->tts_isnull[i])
			row->tts_values[i] = ExecEvalExprSwitchContext(generated->expressions[i], context,
														   &row->tts_isnull[i]);
}

void
rg_audit_generated_end(RgAuditGenerated *generated)
{
	FreeExecutorState(generated->estate);
	pfree(generated);
}
