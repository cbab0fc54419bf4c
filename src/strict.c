/*
 * strict.c
 *		relay_guard.strict: what outlives a transaction and an identity do not
 *		meet in one.
 *
 * Behind a pooler the next transaction of a session is somebody else's.  Held
 * cursors and temporary tables carry rows over to it, LISTEN and session locks
 * carry what they do.  In strict mode a transaction has either an identity or
 * these, whichever comes first: in SELECT authenticate(…), pg_advisory_lock(1)
 * the executor looks the lock function up before the identity is there, and a
 * cursor declared WITH HOLD runs to its end only at COMMIT.
 *
 * It keeps applications from leaving things behind, not code that wants to: any
 * table that it may write, or a setting of its own, carries a value over.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_class.h"
#include "catalog/pg_proc.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/rel.h"
#include "utils/relcache.h"

#include "context.h"
#include "strict.h"

static bool strict = false;

/* What this transaction did that outlives it, as the start of a message. */
static const char *outliving = NULL;

static object_access_hook_type previous_object_access = NULL;
static ExecutorCheckPerms_hook_type previous_check_perms = NULL;

static int
explain(void)
{
	return errdetail("It outlives the transaction, and behind a connection pooler the session's next transaction is another user's.");
}

/* The two exclude each other in a transaction. */
static void
note_outliving(const char *what)
{
	if (rg_context_established())
		ereport(ERROR,
				errcode(ERRCODE_INVALID_TRANSACTION_STATE),
				errmsg("%s cannot be used in a transaction with an identity", what),
				explain(),
				errhint("Use it in a transaction without an identity, or see relay_guard.strict."));
	outliving = what;
}

void
rg_strict_check_identity(void)
{
	if (!strict || outliving == NULL)
		return;
	ereport(ERROR,
			errcode(ERRCODE_INVALID_TRANSACTION_STATE),
			errmsg("a transaction that used %s cannot have an identity", outliving),
			explain(),
			errhint("End the transaction, then authenticate in the next one, or see relay_guard.strict."));
}

static bool
is_held_cursor(Node *statement)
{
	return IsA(statement, DeclareCursorStmt) &&
		(((DeclareCursorStmt *) statement)->options & CURSOR_OPT_HOLD) != 0;
}

void
rg_strict_check_statement(Node *statement)
{
	if (!strict)
		return;
	if (is_held_cursor(statement))
		note_outliving("a WITH HOLD cursor");
	else if (IsA(statement, ListenStmt))
		note_outliving("LISTEN");
}

static bool
is_session_lock(Oid function)
{
	switch (function)
	{
		case F_PG_ADVISORY_LOCK_INT8:
		case F_PG_ADVISORY_LOCK_INT4_INT4:
		case F_PG_ADVISORY_LOCK_SHARED_INT8:
		case F_PG_ADVISORY_LOCK_SHARED_INT4_INT4:
		case F_PG_TRY_ADVISORY_LOCK_INT8:
		case F_PG_TRY_ADVISORY_LOCK_INT4_INT4:
		case F_PG_TRY_ADVISORY_LOCK_SHARED_INT8:
		case F_PG_TRY_ADVISORY_LOCK_SHARED_INT4_INT4:
			return true;
		default:
			return false;
	}
}

/*
 * By way of the relation cache: the catalog's row is not visible yet while the
 * relation is being created.
 */
static bool
is_temporary(Oid relid)
{
	Relation	relation = RelationIdGetRelation(relid);
	bool		temporary;

	if (relation == NULL)
		return false;
	temporary = relation->rd_rel->relpersistence == RELPERSISTENCE_TEMP;
	RelationClose(relation);
	return temporary;
}

/*
 * Temporary relations, and columns of them, are noticed here and not by their
 * statement: CREATE TABLE on a search_path that starts with pg_temp, a view of a
 * temporary table and EXPLAIN ANALYZE CREATE TABLE AS do not say what they make.
 * Functions are announced when an expression is prepared and by the fast-path
 * call.
 */
static void
on_object_access(ObjectAccessType access, Oid class, Oid object, int subid, void *arg)
{
	if (previous_object_access != NULL)
		previous_object_access(access, class, object, subid, arg);
	if (!strict)
		return;
	if (access == OAT_FUNCTION_EXECUTE && is_session_lock(object))
		note_outliving("a session advisory lock");
	if (access == OAT_POST_CREATE && class == RelationRelationId && is_temporary(object))
		note_outliving("a temporary table");
}

static bool
has_temporary_tables(void)
{
	Oid			namespace;
	Oid			toast;

	GetTempNamespaceState(&namespace, &toast);
	return OidIsValid(namespace);
}

/* What a statement asks of a relation is an RTE's before PostgreSQL 16. */
#if PG_VERSION_NUM >= 160000
typedef RTEPermissionInfo RelationAccess;
#define CHECK_PERMS_PARAMETERS List *range_table, List *accesses, bool raise
#define CHECK_PERMS_ARGUMENTS range_table, accesses, raise
#else
typedef RangeTblEntry RelationAccess;
#define CHECK_PERMS_PARAMETERS List *accesses, bool raise
#define CHECK_PERMS_ARGUMENTS accesses, raise
#endif

/*
 * To read a temporary table before there is an identity leaves nothing behind;
 * to read one with an identity shows what others left.
 */
static void
check_temporary(List *accesses)
{
	ListCell   *cell;

	foreach(cell, accesses)
	{
		RelationAccess *relation = lfirst(cell);

		if (!OidIsValid(relation->relid) || !is_temporary(relation->relid))
			continue;
		if (rg_context_established() || (relation->requiredPerms & ~ACL_SELECT) != 0)
			note_outliving("a temporary table");
	}
}

/* Called for every statement that reads or writes tables, and by COPY. */
static bool
on_check_perms(CHECK_PERMS_PARAMETERS)
{
	if (previous_check_perms != NULL && !previous_check_perms(CHECK_PERMS_ARGUMENTS))
		return false;
	if (strict && has_temporary_tables())
		check_temporary(accesses);
	return true;
}

static void
on_transaction_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT ||
		event == XACT_EVENT_PREPARE)
		outliving = NULL;
}

/*
 * Superusers set it, for a database (ALTER DATABASE … SET), a role or a server;
 * whoever is bound by it must not be able to switch it off.  It costs a test of
 * a flag where it is off.
 *
 * Loaded in the middle of a transaction, as by the first call of one of our
 * functions without shared_preload_libraries, we have not seen what happened
 * before.
 */
void
rg_strict_init(void)
{
	DefineCustomBoolVariable("relay_guard.strict",
							 "Keeps what outlives a transaction out of transactions with an identity.",
							 "WITH HOLD cursors, temporary tables, LISTEN and session advisory locks.",
							 &strict, false, PGC_SUSET, 0, NULL, NULL, NULL);
	if (!process_shared_preload_libraries_in_progress && IsTransactionState())
		outliving = "what came before relay_guard was loaded";
	previous_object_access = object_access_hook;
	object_access_hook = on_object_access;
	previous_check_perms = ExecutorCheckPerms_hook;
	ExecutorCheckPerms_hook = on_check_perms;
	RegisterXactCallback(on_transaction_end, NULL);
}
