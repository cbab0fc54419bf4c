/*
 * counter_purge.c
 *		Frees the counters of a database that is dropped, or loses the extension,
 *		and what was witnessed of its audit log.
 *
 * The hook hears of a drop that may yet fail or be rolled back, and nobody is
 * to start his limits afresh by trying: what was heard is done at commit.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_database.h"
#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "miscadmin.h"

#include "audit_witness.h"
#include "counter.h"
#include "counter_purge.h"
#include "denial_shared.h"
#include "failure_totals.h"
#include "rate_totals.h"

static object_access_hook_type next_object_access;

/* What this transaction drops. */
static Oid	dropped_database = InvalidOid;
static Oid	dropped_extension = InvalidOid;

static void
on_object_access(ObjectAccessType access, Oid class, Oid object, int subobject, void *arg)
{
	if (next_object_access)
		next_object_access(access, class, object, subobject, arg);
	if (access != OAT_DROP)
		return;
	if (class == DatabaseRelationId)
		dropped_database = object;
	else if (class == ExtensionRelationId && object == get_extension_oid("relay_guard", true))
		dropped_extension = object;
}

/* A DROP EXTENSION may have been undone with its subtransaction. */
static void
verify_extension(void)
{
	if (OidIsValid(dropped_extension) &&
		get_extension_oid("relay_guard", true) == dropped_extension)
		dropped_extension = InvalidOid;
}

static void
purge(Oid database)
{
	rg_counter_purge(database);
	rg_rate_totals_purge(database);
	rg_audit_witness_purge(database);
	rg_denial_purge(database);
}

static void
purge_dropped(void)
{
	if (OidIsValid(dropped_database))
	{
		purge(dropped_database);
		rg_failure_totals_purge(dropped_database);
	}
	if (OidIsValid(dropped_extension))
		purge(MyDatabaseId);
}

static void
on_transaction(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_PRE_COMMIT)
		verify_extension();
	else if (event == XACT_EVENT_COMMIT)
		purge_dropped();
	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE)
		return;
	dropped_database = InvalidOid;
	dropped_extension = InvalidOid;
}

void
rg_counter_purge_init(void)
{
	next_object_access = object_access_hook;
	object_access_hook = on_object_access;
	RegisterXactCallback(on_transaction, NULL);
}
