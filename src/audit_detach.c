/*
 * audit_detach.c
 *		Taking partitions off the audit log beside its writers.
 *
 * A plain DETACH locks the whole log against reading and writing, and while it
 * waits for a long report everybody else waits behind it.  CONCURRENTLY does
 * not, but is a command of two transactions that no function or procedure may
 * run; so a worker runs it by itself.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "nodes/plannodes.h"
#include "parser/parser.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "tcop/dest.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "audit_detach.h"

/* What the worker is told, in bgw_extra. */
typedef struct DetachOrder
{
	Oid			database;
	Oid			user;
	Oid			partition;
} DetachOrder;

StaticAssertDecl(sizeof(DetachOrder) <= BGW_EXTRALEN, "an order must fit into bgw_extra");

static void
stop_worker(int code, Datum handle)
{
	TerminateBackgroundWorker((BackgroundWorkerHandle *) DatumGetPointer(handle));
}

static void
describe_worker(BackgroundWorker *worker, const DetachOrder *order)
{
	memset(worker, 0, sizeof *worker);
	worker->bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker->bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker->bgw_restart_time = BGW_NEVER_RESTART;
	worker->bgw_notify_pid = MyProcPid;
	strlcpy(worker->bgw_library_name, "relay_guard", BGW_MAXLEN);
	strlcpy(worker->bgw_function_name, "rg_audit_detach_main", BGW_MAXLEN);
	strlcpy(worker->bgw_name, "relay_guard detach", BGW_MAXLEN);
	strlcpy(worker->bgw_type, "relay_guard detach", BGW_MAXLEN);
	memcpy(worker->bgw_extra, order, sizeof *order);
}

/* Whoever is told to stop waiting stops the worker as well. */
bool
rg_audit_detach_concurrently(Oid partition, Oid user)
{
	DetachOrder order = {.database = MyDatabaseId,.user = user,.partition = partition};
	BackgroundWorker worker;
	BackgroundWorkerHandle *handle;
	BgwHandleStatus status;

	describe_worker(&worker, &order);
	if (!RegisterDynamicBackgroundWorker(&worker, &handle))
		return false;
	PG_ENSURE_ERROR_CLEANUP(stop_worker, PointerGetDatum(handle));
	{
		status = WaitForBackgroundWorkerShutdown(handle);
	}
	PG_END_ENSURE_ERROR_CLEANUP(stop_worker, PointerGetDatum(handle));
	if (status == BGWH_POSTMASTER_DIED)
		proc_exit(1);
	return true;
}

/*
 * The worker
 */

static PlannedStmt *
parse(const char *sql)
{
	RawStmt    *raw = linitial_node(RawStmt, raw_parser(sql, RAW_PARSE_DEFAULT));
	PlannedStmt *statement = makeNode(PlannedStmt);

	statement->commandType = CMD_UTILITY;
	statement->canSetTag = true;
	statement->utilityStmt = raw->stmt;
	statement->stmt_len = (int) strlen(sql);
	return statement;
}

/*
 * What outlives the command's first transaction is in the memory of a portal,
 * where the command itself keeps copies too: it is to run there.
 */
static void
run_command(const char *sql)
{
	PortalContext = AllocSetContextCreate(TopMemoryContext, "relay_guard detach", ALLOCSET_DEFAULT_SIZES);
	(void) MemoryContextSwitchTo(PortalContext);
	PushActiveSnapshot(GetTransactionSnapshot());
	ProcessUtility(parse(sql), sql, false, PROCESS_UTILITY_TOPLEVEL, NULL, NULL, None_Receiver, NULL);
	if (ActiveSnapshotSet())
		PopActiveSnapshot();
}

void
rg_audit_detach_main(Datum arg)
{
	DetachOrder order;
	char	   *name;
	char		sql[NAMEDATALEN * 3 + 100];

	memcpy(&order, MyBgworkerEntry->bgw_extra, sizeof order);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(order.database, order.user, 0);
	SetConfigOption("search_path", "pg_catalog, pg_temp", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("default_transaction_read_only", "off", PGC_SUSET, PGC_S_OVERRIDE);
	StartTransactionCommand();
	name = get_rel_name(order.partition);
	if (name != NULL)
	{
		snprintf(sql, sizeof sql,
				 "ALTER TABLE relay_guard.audit_log DETACH PARTITION relay_guard.%s CONCURRENTLY",
				 quote_identifier(name));
		run_command(sql);
	}
	CommitTransactionCommand();
	proc_exit(0);
}
