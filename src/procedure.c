/*
 * procedure.c
 *		What procedures that commit on their way have in common.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/lock.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "lock_class.h"
#include "procedure.h"


void
rg_procedure_require_top_level(FunctionCallInfo fcinfo, const char *name, const char *why)
{
	if (fcinfo->context != NULL && IsA(fcinfo->context, CallContext) &&
		!((CallContext *) fcinfo->context)->atomic)
		return;
	ereport(ERROR,
			errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
			errmsg("%s cannot run inside a transaction block", name),
			errdetail("%s", why),
			errhint("CALL it by itself, with autocommit on."));
}

void
rg_procedure_commit(void)
{
	SPI_commit();
	(void) set_config_option("transaction_isolation", "read committed", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_LOCAL, true, 0, false);
}

static void
unlock(void *tag)
{
	(void) LockRelease(tag, ExclusiveLock, true);
}

bool
rg_procedure_lock(MemoryContext context, Oid relation, uint32 number)
{
	MemoryContextCallback *callback = MemoryContextAllocZero(context, sizeof *callback);
	LOCKTAG    *tag = MemoryContextAlloc(context, sizeof *tag);

	SET_LOCKTAG_ADVISORY(*tag, MyDatabaseId, relation, number, RG_LOCK_PROCEDURE);
	callback->func = unlock;
	callback->arg = tag;
	if (LockAcquire(tag, ExclusiveLock, true, true) == LOCKACQUIRE_NOT_AVAIL)
		return false;
	MemoryContextRegisterResetCallback(context, callback);
	return true;
}
