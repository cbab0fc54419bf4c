/*
 * execute.c
 *		Running a route's statement into the body of an answer.
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "nodes/parsenodes.h"
#include "storage/lock.h"
#include "utils/json.h"

#include "cursor.h"
#include "execute.h"
#include "file_out.h"

static void
open_body(RgAnswer *answer)
{
	const RgRoute *route = answer->route;

	answer->content_type = "application/json";
	if (route->result_key != NULL)
	{
		appendStringInfoChar(&answer->out, '{');
		escape_json(&answer->out, route->result_key);
		appendStringInfoChar(&answer->out, ':');
	}
	if (route->result == RG_JSON_ROWS)
		appendStringInfoChar(&answer->out, '[');
}

/* A full page may have another after it; a short one is the last. */
static void
append_next(RgAnswer *answer, RgRoutePlan *plan, const RgJsonOut *out)
{
	appendStringInfoString(&answer->out, ",\"next\":");
	if (!out->captured)
	{
		appendStringInfoString(&answer->out, "null");
		return;
	}
	appendStringInfoChar(&answer->out, '"');
	rg_cursor_append(&answer->out, plan, answer->route, out);
	appendStringInfoChar(&answer->out, '"');
}

/* ALTER TABLE may have changed the type of a column under SELECT *. */
static void
check_key_types(RgRoute *route, const RgRoutePlan *plan, const RgJsonOut *out)
{
	for (int i = 0; i < plan->nkeys; i++)
	{
		if (!out->captured || out->key_types[i] == plan->keys[i].column_type)
			continue;
		rg_route_plan_forget(route);
		ereport(ERROR,
				errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				errmsg("the type of keyset column \"%s\" has changed", route->keyset[i]),
				errhint("The next request prepares the route anew."));
	}
}

static void
close_body(RgAnswer *answer, RgRoutePlan *plan, const RgJsonOut *out)
{
	if (answer->route->result == RG_JSON_ROWS)
		appendStringInfoChar(&answer->out, ']');
	if (plan->nkeys > 0)
		append_next(answer, plan, out);
	if (answer->route->result_key != NULL)
		appendStringInfoChar(&answer->out, '}');
}

static void
run_statement(RgRoutePlan *plan, ParamListInfo params, DestReceiver *dest)
{
	SPIExecuteOptions options = {
		.params = params,
		.read_only = plan->read_only,
		.dest = dest,
	};
	int			code;

	SPI_connect();
	code = SPI_execute_plan_extended(plan->spi, &options);
	if (code < 0)
		elog(ERROR, "SPI_execute_plan_extended: %s", SPI_result_code_string(code));
	SPI_finish();
}

/*
 * Deferred triggers would run at commit, as the gateway's role and after the
 * answer: run them now, with the route's rights.  Without a transaction id
 * nothing was written and there are none.
 */
static void
run_deferred_triggers(void)
{
	ConstraintsSetStmt *all_immediate;

	if (!TransactionIdIsValid(GetTopTransactionIdIfAny()))
		return;
	all_immediate = makeNode(ConstraintsSetStmt);
	AfterTriggerSetState(all_immediate);
}

/* Whatever the statement left that belongs to its session or to its end. */
static void
end_statement(RgAnswer *answer)
{
	run_deferred_triggers();
	LockReleaseSession(USER_LOCKMETHOD);
	answer->status = answer->redirect ? 303 : answer->route->status;
}

static void
execute_json(RgRoutePlan *plan, const RgRequest *request, ParamListInfo params,
			 uint64 limit, RgAnswer *answer)
{
	RgRoute    *route = answer->route;
	RgJsonOut	out;

	rg_json_out_init(&out, &answer->out, route->result, &plan->shape, plan->context);
	out.max_bytes = route->max_response;
	out.nkeys = plan->nkeys;
	out.key_names = route->keyset;
	out.capture_at = plan->nkeys > 0 ? limit : 0;
	out.key_context = CurrentMemoryContext;

	if (route->result != RG_JSON_NONE)
		open_body(answer);
	run_statement(plan, params, &out.pub);
	check_key_types(answer->route, plan, &out);
	end_statement(answer);
	if (out.nrows == 0 && (route->result == RG_JSON_ROW || route->result == RG_JSON_VALUE))
		rg_answer_missing(answer, request);
	else if (route->result != RG_JSON_NONE)
		close_body(answer, plan, &out);
}

static void
execute_file(RgRoutePlan *plan, const RgRequest *request, ParamListInfo params, RgAnswer *answer)
{
	RgFileOut	out;

	rg_file_out_init(&out, answer);
	run_statement(plan, params, &out.pub);
	end_statement(answer);
	if (!out.found)
		rg_answer_missing(answer, request);
}

void
rg_execute(RgRoutePlan *plan, const RgRequest *request, ParamListInfo params,
		   uint64 limit, RgAnswer *answer)
{
	if (answer->route->result == RG_JSON_FILE)
		execute_file(plan, request, params, answer);
	else
		execute_json(plan, request, params, limit, answer);
	if (answer->status == 204 || answer->status == 303)
		rg_answer_clear(answer);
}
