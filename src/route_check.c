/*
 * route_check.c
 *		The trigger that lets only routes into the table that can be served.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/rel.h"

#include "rate.h"
#include "route_plan.h"
#include "route_responses.h"
#include "run_as.h"
#include "upstream.h"
#include "usage_policy.h"

PG_FUNCTION_INFO_V1(relay_guard_route_check);

static void
require_utf8(void)
{
	if (GetDatabaseEncoding() != PG_UTF8)
		ereport(ERROR,
				errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				errmsg("routes need a database with encoding UTF8"));
}

/* Since PostgreSQL 16 a membership may be without the right to SET ROLE. */
#if PG_VERSION_NUM >= 160000
#define may_become(role) member_can_set_role(GetUserId(), role)
#else
#define may_become(role) is_member_of_role(GetUserId(), role)
#endif

/* Nobody lends a route rights that they do not have themselves. */
static void
require_membership(Oid role)
{
	if (!may_become(role))
		ereport(ERROR,
				errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				errmsg("must be a member of role \"%s\" to let a route run as it",
					   GetUserNameFromId(role, true)));
}

static void
require_rate_policies(const RgRoute *route)
{
	for (int i = 0; i < route->nrates; i++)
		if (rg_rate_policy(route->rates[i]) == NULL)
			ereport(ERROR,
					errcode(ERRCODE_UNDEFINED_OBJECT),
					errmsg("rate policy \"%s\" does not exist", route->rates[i]),
					errhint("Insert it into relay_guard.rate_policy first."));
}

static void
require_quota_policies(const RgRoute *route)
{
	for (int i = 0; i < route->nquotas; i++)
		if (rg_quota_policy(route->quotas[i]) == NULL)
			ereport(ERROR,
					errcode(ERRCODE_UNDEFINED_OBJECT),
					errmsg("quota policy \"%s\" does not exist", route->quotas[i]),
					errhint("Insert it into relay_guard.quota_policy first."));
}

static void
require_budget_policy(const RgRoute *route)
{
	if (route->budget != NULL && strcmp(route->budget, RG_ROUTE_ALL_BUDGETS) != 0 &&
		rg_budget_policy(route->budget) == NULL)
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_OBJECT),
				errmsg("budget policy \"%s\" does not exist", route->budget),
				errhint("Insert it into relay_guard.budget_policy first, or write \"%s\" for all budgets.",
						RG_ROUTE_ALL_BUDGETS));
}

/* An EventSource sends nothing but GET; the answer is the gateway's to make. */
static void
require_followable(const RgRoute *route)
{
	if (route->order != RG_ORDER_STREAM ||
		(strcmp(route->method, "GET") == 0 && route->status == 200 && route->result_key == NULL))
		return;
	ereport(ERROR,
			errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			errmsg("a route of result stream must be of method GET and status 200, without a result_key"));
}

static void
require_upstream(const RgRoute *route)
{
	if (route->upstream != NULL && rg_upstream(route->upstream) == NULL)
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_OBJECT),
				errmsg("upstream \"%s\" does not exist", route->upstream),
				errhint("Insert it into relay_guard.upstream first."));
}

/* What the prefix strips has to be there, and no variable. */
static void
require_prefix(const RgRoute *route)
{
	const char *prefix = route->upstream != NULL ? rg_upstream(route->upstream)->prefix : "";
	size_t		len = strlen(prefix);

	if (strncmp(route->path, prefix, len) != 0 || (route->path[len] != '/' && route->path[len] != '\0'))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("the path of route %s %s does not start with \"%s\"", route->method,
					   route->path, prefix),
				errdetail("That is what upstream \"%s\" strips from paths.", route->upstream),
				errhint("Let the path start so, or change upstream.strip_prefix."));
}

/* Prepares the statement with the rights and the path that it will run with. */
static void
try_plan(const RgRoute *route)
{
	int			nest = NewGUCNestLevel();
	RgRunAs		before = rg_run_as_enter(route->run_as, route->search_path);

	rg_route_plan_try(route);
	rg_run_as_leave(before);
	AtEOXact_GUC(false, nest);
}

static void
read_row(Relation rel, HeapTuple tuple, RgRoute *route)
{
	TupleDesc	desc = RelationGetDescr(rel);
	Datum	   *values = palloc(sizeof(Datum) * desc->natts);
	bool	   *nulls = palloc(sizeof(bool) * desc->natts);

	heap_deform_tuple(tuple, desc, values, nulls);
	rg_route_read(route, values, nulls);
}

/*
 * AFTER INSERT OR UPDATE.  While a dump is restored (pg_dump switches
 * check_function_bodies off) the objects of the statement may not be there yet:
 * the statement is then stored as it is, and checked at its first use.  Anyone
 * can switch that off, so the rights are checked always.
 */
Datum
relay_guard_route_check(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	RgRoute		route;
	HeapTuple	tuple;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("route_check() can only be called as a trigger"));
	tuple = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ?
		trigger->tg_newtuple : trigger->tg_trigtuple;
	read_row(trigger->tg_relation, tuple, &route);
	require_utf8();
	require_membership(route.run_as);
	rg_run_as_check(route.run_as);
	if (!check_function_bodies)
		return PointerGetDatum(NULL);
	require_rate_policies(&route);
	require_quota_policies(&route);
	require_budget_policy(&route);
	require_followable(&route);
	rg_route_responses_check(&route, tuple, RelationGetDescr(trigger->tg_relation));
	require_upstream(&route);
	require_prefix(&route);
	try_plan(&route);
	return PointerGetDatum(NULL);
}
