/*
 * audit_insert.c
 *		The indexes of a table that rows are put into without a plan.
 *
 * They are the executor's to fill: CatalogTupleInsert(), which is made for the
 * system catalogs, puts every row into a partial index.
 */
#include "postgres.h"

#include "access/genam.h"
#include "executor/executor.h"

#include "audit_insert.h"

void
rg_insert_open(RgInsert *insert, Relation table)
{
	insert->target = makeNode(ResultRelInfo);
	insert->target->ri_RelationDesc = table;
	ExecOpenIndices(insert->target, false);
	insert->estate = CreateExecutorState();
}

void
rg_insert_index_entries(RgInsert *insert, TupleTableSlot *slot)
{
#if PG_VERSION_NUM >= 160000
	list_free(ExecInsertIndexTuples(insert->target, slot, insert->estate, false, false, NULL, NIL, false));
#else
	list_free(ExecInsertIndexTuples(insert->target, slot, insert->estate, false, false, NULL, NIL));
#endif
	ResetPerTupleExprContext(insert->estate);
}

/* Their locks stay, as the table's does: all are given back at once. */
void
rg_insert_close(RgInsert *insert)
{
	for (int i = 0; i < insert->target->ri_NumIndices; i++)
		index_close(insert->target->ri_IndexRelationDescs[i], NoLock);
	FreeExecutorState(insert->estate);
}
