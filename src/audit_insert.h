/*
 * audit_insert.h
 *		A table of the audit log that rows are put into as they are: no plan, no
 *		triggers, no right that could be missing.
 */
#ifndef RG_AUDIT_INSERT_H
#define RG_AUDIT_INSERT_H

#include "nodes/execnodes.h"

typedef struct RgInsert
{
	ResultRelInfo *target;
	EState	   *estate;
} RgInsert;

/* The table is open and locked for writing.  Memory is of the current context. */
extern void rg_insert_open(RgInsert *insert, Relation table);

/*
 * After the row was put into the table: into the indexes too, of partial ones
 * those that it belongs to.  What that takes of the current context remains.
 */
extern void rg_insert_index_entries(RgInsert *insert, TupleTableSlot *slot);

extern void rg_insert_close(RgInsert *insert);

#endif
