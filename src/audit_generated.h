/*
 * audit_generated.h
 *		Stored generated columns that a transition table has not.
 *
 * Into a partition whose columns are laid out otherwise, PostgreSQL puts a copy
 * of the row and computes them there; in NEW TABLE of the partitioned table
 * stands the row before that.
 */
#ifndef RG_AUDIT_GENERATED_H
#define RG_AUDIT_GENERATED_H

#include "executor/tuptable.h"
#include "utils/relcache.h"

typedef struct RgAuditGenerated RgAuditGenerated;

/* NULL when rows of the table are whole. */
extern RgAuditGenerated *rg_audit_generated_begin(Relation table);

/* Computes those that are NULL in the row; its values stay until the next call. */
extern void rg_audit_generated_fill(RgAuditGenerated *generated, TupleTableSlot *row);

extern void rg_audit_generated_end(RgAuditGenerated *generated);

#endif
