/*
 * completion_sql.c
 *		SQL functions by which gateways end what completion_order.c has begun.
 *
 * A gateway acts for whoever made the reservation; nobody else may call these.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"

#include "budget.h"
#include "usage_arguments.h"

/* Beyond that a provider's count is nonsense, and must not hinder the settlement. */
#define MAX_TOKENS INT64CONST(1000000000)

static int64
token_argument(FunctionCallInfo fcinfo, int argno, const char *name)
{
	return Min(rg_usage_count_argument(fcinfo, argno, name), MAX_TOKENS);
}

PG_FUNCTION_INFO_V1(relay_guard_completion_settle);

/* completion_settle(reservation, input_tokens, output_tokens) */
Datum
relay_guard_completion_settle(PG_FUNCTION_ARGS)
{
	const pg_uuid_t *reservation = rg_usage_uuid_argument(fcinfo, 0, "reservation");
	int64		input_tokens = token_argument(fcinfo, 1, "input_tokens");
	int64		output_tokens = token_argument(fcinfo, 2, "output_tokens");
	RgBudgetEnd end;

	rg_usage_require_writable("completion_settle()");
	rg_budget_settle(reservation, RG_BUDGET_ANYBODYS, input_tokens, output_tokens, &end);
	PG_RETURN_TEXT_P(cstring_to_text(end.outcome));
}

PG_FUNCTION_INFO_V1(relay_guard_completion_release);

/* completion_release(reservation) */
Datum
relay_guard_completion_release(PG_FUNCTION_ARGS)
{
	RgBudgetEnd end;

	rg_usage_require_writable("completion_release()");
	rg_budget_release(rg_usage_uuid_argument(fcinfo, 0, "reservation"), RG_BUDGET_ANYBODYS, &end);
	PG_RETURN_TEXT_P(cstring_to_text(end.outcome));
}

PG_FUNCTION_INFO_V1(relay_guard_completion_extend);

/* completion_extend(reservation, ttl) */
Datum
relay_guard_completion_extend(PG_FUNCTION_ARGS)
{
	const pg_uuid_t *reservation = rg_usage_uuid_argument(fcinfo, 0, "reservation");
	const Interval *ttl = rg_usage_interval_argument(fcinfo, 1, "ttl");
	RgBudgetAnswer answer;

	rg_usage_require_writable("completion_extend()");
	rg_budget_extend(reservation, RG_BUDGET_ANYBODYS, 0, ttl, &answer);
	PG_RETURN_TEXT_P(cstring_to_text(answer.outcome));
}

PG_FUNCTION_INFO_V1(relay_guard_completion_stream);

/* completion_stream(reservation): for applications, whose identity it must be */
Datum
relay_guard_completion_stream(PG_FUNCTION_ARGS)
{
	const pg_uuid_t *reservation = PG_GETARG_UUID_P(0);
	Datum		id;

	if (!rg_budget_is_mine(reservation))
		PG_RETURN_NULL();
	id = DirectFunctionCall1(uuid_out, UUIDPGetDatum(reservation));
	PG_RETURN_TEXT_P(cstring_to_text(psprintf("completion/%s", DatumGetCString(id))));
}
