/*
 * procedure.h
 *		What procedures that commit on their way have in common.
 */
#ifndef RG_PROCEDURE_H
#define RG_PROCEDURE_H

#include "fmgr.h"

/* Error 25001 where the procedure of that name cannot commit; why is errdetail. */
extern void rg_procedure_require_top_level(FunctionCallInfo fcinfo, const char *name, const char *why);

/*
 * Commits and begins the next transaction, connected to SPI.  It is READ
 * COMMITTED whatever the session's defaults, for it must see what was just
 * committed.
 */
extern void rg_procedure_commit(void);

/*
 * Takes the lock of a relation and number (of a column, or 0), which outlives
 * transactions until the memory context is reset or deleted, by an error as well;
 * false when another session has it.
 */
extern bool rg_procedure_lock(MemoryContext context, Oid relation, uint32 number)
			__attribute__((warn_unused_result));

#endif
