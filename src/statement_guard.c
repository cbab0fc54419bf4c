/*
 * statement_guard.c
 *		Statements that a route must not run.
 *
 * Settings, roles and locks are undone when serve() returns, but prepared
 * statements, LISTEN, held cursors and loaded libraries belong to the session.
 * The gateway calls a prepared statement by name: a route whose dynamic SQL
 * could replace it would receive every later request, tokens included.
 */
#include "postgres.h"

#include "nodes/parsenodes.h"
#include "tcop/utility.h"

#include "serving.h"
#include "statement_guard.h"
#include "strict.h"

static ProcessUtility_hook_type previous_process_utility = NULL;

static bool
outlives_request(Node *statement)
{
	switch (nodeTag(statement))
	{
		case T_PrepareStmt:
		case T_DeallocateStmt:
		case T_DiscardStmt:
		case T_ListenStmt:
		case T_UnlistenStmt:
		case T_LoadStmt:
			return true;
		case T_DeclareCursorStmt:
			return (((DeclareCursorStmt *) statement)->options & CURSOR_OPT_HOLD) != 0;
		default:
			return false;
	}
}

static void
guard_utility(PlannedStmt * planned, const char *query, bool read_only_tree,
			  ProcessUtilityContext context, ParamListInfo params,
			  QueryEnvironment * environment, DestReceiver *dest,
			  QueryCompletion * completion)
{
	if (rg_serving() != NULL && outlives_request(planned->utilityStmt))
		ereport(ERROR,
				errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				errmsg("a route cannot run %s", CreateCommandName(planned->utilityStmt)),
				errdetail("What it does would outlive the request."));
	rg_strict_check_statement(planned->utilityStmt);
	if (previous_process_utility != NULL)
		previous_process_utility(planned, query, read_only_tree, context, params,
								 environment, dest, completion);
	else
		standard_ProcessUtility(planned, query, read_only_tree, context, params,
								environment, dest, completion);
}

void
rg_statement_guard_init(void)
{
	previous_process_utility = ProcessUtility_hook;
	ProcessUtility_hook = guard_utility;
}
