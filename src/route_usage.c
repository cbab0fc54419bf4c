/*
 * route_usage.c
 *		The quotas and the budget of a route; route_usage.h has the contract.
 */
#include "postgres.h"

#include "access/xact.h"

#include "admission.h"
#include "budget_scope.h"
#include "denial.h"
#include "errcodes.h"
#include "ledger.h"
#include "quota_problem.h"
#include "route_usage.h"

StaticAssertDecl(RG_ROUTE_MAX_QUOTAS <= RG_QUOTA_MAX_TAKES, "a route's quotas are taken together");

/*
 * Who is counted
 */

/* Of an address, and of all that have none together: nobody goes uncounted. */
static RgIdentity
anonymous_of_address(const RgRequest *request)
{
	static const char prefix[] = "anon:ip:";
	RgSlice		name = rg_request_address_name(request);
	RgIdentity	identity = {.role = RG_SLICE("anonymous")};
	char	   *user_id = psprintf("%s%.*s", prefix, (int) name.len, name.data);

	identity.user_id = rg_slice_of(user_id);
	identity.client_ip = rg_request_address(request, palloc(18));
	return identity;
}

RgIdentity
rg_route_usage_user(const RgRequest *request, const RgIdentity *identity)
{
	return identity->user_id.data != NULL ? *identity : anonymous_of_address(request);
}

/*
 * Refusals
 */

static void
note_denial(const char *code, const RgIdentity *identity)
{
	RgDenied	denied = {
		.class = RG_DENIAL_QUOTA,
		.code = rg_slice_of(code),
		.http_status = 429,
		.identity = identity->user_id.data != NULL ? identity : NULL,
	};

	rg_denial_note(&denied);
}

static bool
refuse_budget(const RgRequest *request, const RgIdentity *identity,
			  const RgAccountUse *blocking, RgAnswer *answer)
{
	RgProblem	problem = rg_budget_problem(blocking->policy, blocking->window);

	note_denial(RG_CODE_INSUFFICIENT_QUOTA, identity);
	rg_answer_header(answer, "x-should-retry: false");
	return rg_answer_problem(answer, request, &problem);
}

static bool
refuse_quotas(const RgRequest *request, const RgIdentity *identity, RgAnswer *answer)
{
	RgProblem	problem = rg_quota_problem(answer->quotas, answer->nquotas);

	note_denial(RG_CODE_QUOTA_EXHAUSTED, identity);
	return rg_answer_problem(answer, request, &problem);
}

/*
 * Before the statement
 */

static bool
has_room(const RgRequest *request, const RgIdentity *identity, RgAnswer *answer)
{
	const char *budget = answer->route->budget;
	RgAccountUse blocking;

	if (budget == NULL)
		return true;
	if (strcmp(budget, RG_ROUTE_ALL_BUDGETS) == 0)
		budget = NULL;
	return rg_budget_has_room(budget, identity->user_id.data != NULL ? identity : NULL,
							  &blocking) ||
		refuse_budget(request, identity, &blocking, answer);
}

/* A name may stand there twice. */
static bool
is_aimed_at(const RgQuotaTake *takes, int count, const RgUsagePolicy *policy)
{
	for (int i = 0; i < count; i++)
		if (takes[i].policy->id == policy->id)
			return true;
	return false;
}

/* Aims at those that bind; returns how many there are. */
static int
aim_quotas(const RgIdentity *identity, RgAnswer *answer)
{
	const RgRoute *route = answer->route;
	int			count = 0;

	for (int i = 0; i < route->nquotas; i++)
	{
		RgQuotaTake *take = &answer->quotas[count];

		if (rg_quota_aim(take, route->quotas[i], 1, NULL, identity) &&
			!is_aimed_at(answer->quotas, count, take->policy))
			count++;
	}
	return count;
}

static bool
hold_quotas(const RgRequest *request, const RgIdentity *identity, RgAnswer *answer)
{
	RgIdentity	counted = rg_route_usage_user(request, identity);
	int			count = aim_quotas(&counted, answer);

	answer->quotas_held = rg_quota_hold(answer->quotas, count);
	answer->nquotas = count;
	return answer->quotas_held || refuse_quotas(request, identity, answer);
}

/* On a standby as in a transaction that may only read: nothing passes uncounted. */
void
rg_route_usage_require_writable(void)
{
	if (XactReadOnly)
		ereport(ERROR,
				errcode(ERRCODE_RG_UNAVAILABLE),
				errmsg("requests that are counted need the primary server"),
				errdetail("needs_primary"));
}

/* The budget first: it only asks, and whom it stops nothing else would help. */
bool
rg_route_usage_hold(const RgRequest *request, const RgIdentity *identity, RgAnswer *answer)
{
	if (answer->route->nquotas == 0 && answer->route->budget == NULL)
		return true;
	rg_route_usage_require_writable();
	return has_room(request, identity, answer) && hold_quotas(request, identity, answer);
}

/*
 * After it
 */

void
rg_route_usage_settle(const RgRequest *request, RgAnswer *answer)
{
	if (answer->status >= 400 || rg_slice_is(request->method, "HEAD"))
	{
		rg_quota_drop(answer->quotas, answer->nquotas);
		return;
	}
	rg_quota_record(answer->quotas, answer->nquotas);
	answer->quotas_held = false;
}
