/*
 * serve.c
 *		A request becomes an answer: the order of checks, and what ends with
 *		the call.
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/snapmgr.h"

#include "admission.h"
#include "arguments.h"
#include "completion_order.h"
#include "context.h"
#include "denial.h"
#include "event_order.h"
#include "execute.h"
#include "idempotency.h"
#include "log_guard.h"
#include "refusal.h"
#include "route_usage.h"
#include "run_as.h"
#include "serve.h"
#include "serving.h"
#include "statement_guard.h"
#include "upstream_order.h"

static emit_log_hook_type previous_emit_log_hook = NULL;

/* The connection of a gateway that is for what is quick (gateway/lane.h). */
static bool fast_lane = false;

/* An error is on its way out of serve(), until its transaction has ended. */
static bool error_leaving = false;

/* What application SQL refuses on purpose is no news for the server's log. */
static void
drop_refusals(ErrorData *edata)
{
	char	   *state = unpack_sql_state(edata->sqlerrcode);

	if (error_leaving && edata->elevel == ERROR && strncmp(state, "RG4", 3) == 0)
		edata->output_to_server = false;
	if (previous_emit_log_hook != NULL)
		previous_emit_log_hook(edata);
}

static void
on_transaction_end(XactEvent event, void *arg)
{
	error_leaving = false;
}

static void
on_subtransaction_end(SubXactEvent event, SubTransactionId subid,
					  SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		error_leaving = false;
}

void
rg_serve_init(void)
{
	DefineCustomBoolVariable("relay_guard.fast_lane",
							 "This connection leaves routes that may be slow to others.",
							 "The gateway sets it when it connects.",
							 &fast_lane, false, PGC_BACKEND, GUC_NO_SHOW_ALL | GUC_NOT_IN_SAMPLE,
							 NULL, NULL, NULL);
	previous_emit_log_hook = emit_log_hook;
	emit_log_hook = drop_refusals;
	RegisterXactCallback(on_transaction_end, NULL);
	RegisterSubXactCallback(on_subtransaction_end, NULL);
	rg_run_as_init();
	rg_statement_guard_init();
}

/* No route: wrong path, wrong method, or a question about methods. */
static void
answer_unrouted(const RgRequest *request, bool path_known, RgAnswer *answer)
{
	RgProblem	no_path = {
		.status = 404,
		.code = RG_SLICE("route_not_found"),
		.detail = RG_SLICE("there is no such path"),
	};
	RgProblem	no_method = {
		.status = 405,
		.code = RG_SLICE("method_not_allowed"),
		.detail = RG_SLICE("this path does not take that method"),
	};

	if (path_known)
		rg_answer_header(answer, "Allow: %s, OPTIONS", rg_route_allow(request->path));
	if (path_known && rg_slice_is(request->method, "OPTIONS"))
		answer->status = 204;
	else
		rg_answer_problem(answer, request, path_known ? &no_method : &no_path);
}

static bool
check_body_size(const RgRequest *request, const RgRoute *route, RgAnswer *answer)
{
	RgProblem	problem = {
		.status = 413,
		.code = RG_SLICE("body_too_large"),
		.detail = RG_SLICE("the body is larger than this path takes"),
	};
	char	   *suggestion;

	if (request->body.len <= (size_t) route->max_body)
		return true;
	suggestion = psprintf("Send at most %d bytes.", route->max_body);
	problem.suggestion = rg_slice(suggestion, strlen(suggestion));
	return rg_answer_problem(answer, request, &problem);
}

static void
answer_violation(const RgRequest *request, const RgViolation *violation, RgAnswer *answer)
{
	RgProblem	problem = {
		.status = violation->status,
		.code = rg_slice_of(violation->code),
		.detail = rg_slice_of(violation->detail),
		.suggestion = rg_slice_of(violation->suggestion),
		.pointer = rg_slice_of(violation->pointer),
	};

	rg_answer_problem(answer, request, &problem);
}

/*
 * The snapshot is taken after the validator was made: held.h.  With headers of
 * its own, a cookie say, an answer is for this request alone.
 */
static void
execute_cacheable(RgRoutePlan *plan, const RgRequest *request, const RgIdentity *identity,
				  ParamListInfo params, uint64 limit, RgAnswer *answer)
{
	int			lines = answer->headers.len;

	if (rg_held_is_current(&answer->held, answer->route, plan, request, identity, params))
	{
		rg_answer_held(answer);
		return;
	}
	PushActiveSnapshot(GetTransactionSnapshot());
	rg_execute(plan, request, params, limit, answer);
	PopActiveSnapshot();
	answer->cacheable = answer->status == 200 && answer->headers.len == lines;
}

/* The statement, once, and what it costs beside it. */
static void
run_statement(RgRoutePlan *plan, const RgRequest *request, const RgIdentity *identity,
			  ParamListInfo params, uint64 limit, RgAnswer *answer)
{
	RgKeyedRequest keyed;

	if (!rg_idempotency_begin(&keyed, request, identity, answer) ||
		!rg_route_usage_hold(request, identity, answer))
		return;
	if (rg_held_allowed(answer->route, plan, request))
		execute_cacheable(plan, request, identity, params, limit, answer);
	else
		rg_execute(plan, request, params, limit, answer);
	if (answer->route->order == RG_ORDER_STREAM && answer->status < 300)
		rg_event_order(request, answer);
	if (answer->route->order == RG_ORDER_PROXY && answer->status < 300)
		rg_upstream_order(request, identity, answer);
	if (answer->route->order == RG_ORDER_COMPLETION && answer->status < 300)
		rg_completion_order(request, identity, answer);
	rg_route_usage_settle(request, answer);
	rg_idempotency_keep(&keyed, answer);
}

/* The values and the statement, both with the route's rights. */
static void
run_route(const RgRequest *request, const RgIdentity *identity, RgRouteMatch *match,
		  RgAnswer *answer)
{
	RgRoute    *route = match->route;
	RgViolation violation;
	RgRoutePlan *plan;
	ParamListInfo params;
	RgRunAs		before;
	uint64		limit;

	rg_run_as_check(route->run_as);
	before = rg_run_as_enter(route->run_as, route->search_path);
	plan = rg_route_plan(route);
	params = rg_arguments(plan, route, request, match->values, &limit, &violation);
	if (params == NULL)
		answer_violation(request, &violation, answer);
	else
		run_statement(plan, request, identity, params, limit, answer);
	rg_run_as_leave(before);
}

static void
serve_routed(const RgRequest *request, RgRouteMatch *match, RgAnswer *answer)
{
	RgIdentity	identity;
	char		inet_space[18];

	answer->route = match->route;
	if (match->route->slow && fast_lane)
	{
		answer->signals |= RG_SIGNAL_SLOW;
		return;
	}
	if (!rg_admit(request, match->route, &identity, inet_space, answer))
		return;
	answer->admitted = true;
	answer->comes_again = fast_lane;
	if (!check_body_size(request, match->route, answer))
		return;
	if (identity.user_id.data != NULL)
		rg_context_save(&identity);
	else if (rg_context() != NULL)
		rg_context_save(NULL);
	run_route(request, &identity, match, answer);
}

/* Tells the server's log which request an error belongs to. */
static void
name_request(void *arg)
{
	const RgRequest *request = arg;

	rg_log_guard_context(psprintf("request %.*s: %.*s %.*s",
								  (int) request->request_id.len, request->request_id.data,
								  (int) request->method.len, request->method.data,
								  (int) request->path.len, request->path.data));
}

static void
serve_request(const RgRequest *request, RgAnswer *answer)
{
	ErrorContextCallback who = {error_context_stack, name_request, (void *) request};
	int			nest = NewGUCNestLevel();
	RgRouteMatch match;

	error_context_stack = &who;
	rg_route_find(request->method, request->path, &match);
	if (match.route == NULL)
		answer_unrouted(request, match.path_known, answer);
	else
		serve_routed(request, &match, answer);
	error_context_stack = who.previous;
	AtEOXact_GUC(false, nest);
}

/*
 * A route's statement must not serve another request as somebody else, nor run
 * what statement_guard.c refuses.
 */
void
rg_serve(const RgRequest *request, RgAnswer *answer)
{
	MemoryContext context = CurrentMemoryContext;

	if (rg_serving() != NULL)
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_IN_USE),
				errmsg("serve() cannot be called by a route"));
	rg_log_guard_secret_used();
	rg_answer_begin(answer);
	rg_held_begin(&answer->held, request);
	AcceptInvalidationMessages();
	rg_denial_serving(request);
	rg_serving_begin(request, answer);
	PG_TRY();
	{
		serve_request(request, answer);
	}
	PG_CATCH();
	{
		rg_serving_end();
		error_leaving = true;
		rg_refusal_rethrow(answer, context);
	}
	PG_END_TRY();
	rg_serving_end();
	rg_denial_serving(NULL);
}
