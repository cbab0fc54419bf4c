/*
 * budget_sql.c
 *		SQL functions of budgets.
 *
 * They are not STRICT: a NULL that gave a NULL answer would pass for an admission in
 * "IF NOT allowed".
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "budget.h"
#include "budget_scope.h"
#include "context.h"
#include "record.h"
#include "usage_arguments.h"
#include "varlena_slice.h"

#define RESERVE_COLUMNS 8
#define EXTEND_COLUMNS 8
#define END_COLUMNS 3
#define CHARGE_COLUMNS 3
#define STATUS_COLUMNS 13

static const RgRecordColumn reserve_columns[RESERVE_COLUMNS] = {
	{"reservation", UUIDOID},
	{"allowed", BOOLOID},
	{"blocked_by", TEXTOID},
	{"amount", INT8OID},
	{"remaining", INT8OID},
	{"warning", TEXTOID},
	{"expires_at", TIMESTAMPTZOID},
	{"resets_at", TIMESTAMPTZOID}
};

static const RgRecordColumn extend_columns[EXTEND_COLUMNS] = {
	{"outcome", TEXTOID},
	{"allowed", BOOLOID},
	{"blocked_by", TEXTOID},
	{"amount", INT8OID},
	{"remaining", INT8OID},
	{"warning", TEXTOID},
	{"expires_at", TIMESTAMPTZOID},
	{"resets_at", TIMESTAMPTZOID}
};

static const RgRecordColumn end_columns[END_COLUMNS] = {
	{"outcome", TEXTOID},
	{"amount", INT8OID},
	{"held", INT8OID}
};

static const RgRecordColumn charge_columns[CHARGE_COLUMNS] = {
	{"amount", INT8OID},
	{"over", TEXTOID},
	{"warning", TEXTOID}
};

/*
 * Values
 */

static Datum
name_datum(const char *name, bool *isnull)
{
	*isnull = name == NULL;
	return name == NULL ? (Datum) 0 : CStringGetTextDatum(name);
}

static Datum
limit_datum(int64 limit, bool *isnull)
{
	*isnull = limit == PG_INT64_MAX;
	return Int64GetDatum(limit);
}

static Datum
time_datum(TimestampTz time, bool *isnull)
{
	*isnull = time == 0;
	return TimestampTzGetDatum(time);
}

/* The columns that reserve and extend have in common, from the second on. */
static void
answer_values(const RgBudgetAnswer *answer, Datum *values, bool *nulls)
{
	values[1] = BoolGetDatum(answer->allowed);
	values[2] = name_datum(answer->blocked_by, &nulls[2]);
	values[3] = Int64GetDatum(answer->amount);
	values[4] = limit_datum(answer->remaining, &nulls[4]);
	values[5] = name_datum(answer->warning, &nulls[5]);
	values[6] = time_datum(answer->expires_at, &nulls[6]);
	values[7] = time_datum(answer->resets_at, &nulls[7]);
}

static Datum
end_row(const RgBudgetEnd *end)
{
	static RgRecordType type = {end_columns, END_COLUMNS, NULL};
	Datum		values[END_COLUMNS] = {
		CStringGetTextDatum(end->outcome),
		Int64GetDatum(end->amount),
		Int64GetDatum(end->held)
	};
	bool		nulls[END_COLUMNS] = {0};

	return rg_record(&type, values, nulls);
}

/*
 * Functions
 */

PG_FUNCTION_INFO_V1(relay_guard_budget_reserve);

/* budget_reserve(model, input_tokens, max_output_tokens, ttl) */
Datum
relay_guard_budget_reserve(PG_FUNCTION_ARGS)
{
	static RgRecordType type = {reserve_columns, RESERVE_COLUMNS, NULL};
	char	   *model = text_to_cstring(rg_usage_text_argument(fcinfo, 0, "model"));
	RgBudgetCall call = {
		.who = rg_context(),
		.input_tokens = rg_usage_count_argument(fcinfo, 1, "input_tokens"),
		.output_tokens = rg_usage_count_argument(fcinfo, 2, "max_output_tokens"),
		.answers = 1,
		.ttl = rg_usage_interval_argument(fcinfo, 3, "ttl"),
	};
	pg_uuid_t	reservation;
	RgBudgetAnswer answer;
	Datum		values[RESERVE_COLUMNS];
	bool		nulls[RESERVE_COLUMNS] = {0};

	rg_usage_require_writable("budget_reserve()");
	call.model = model;
	rg_budget_reserve(&call, &reservation, &answer);
	values[0] = UUIDPGetDatum(&reservation);
	nulls[0] = !answer.allowed;
	answer_values(&answer, values, nulls);
	nulls[6] |= !answer.allowed;
	return rg_record(&type, values, nulls);
}

PG_FUNCTION_INFO_V1(relay_guard_budget_extend);

/* budget_extend(reservation, tokens, ttl): a NULL ttl leaves the lease. */
Datum
relay_guard_budget_extend(PG_FUNCTION_ARGS)
{
	static RgRecordType type = {extend_columns, EXTEND_COLUMNS, NULL};
	const pg_uuid_t *reservation = rg_usage_uuid_argument(fcinfo, 0, "reservation");
	int64		tokens = rg_usage_count_argument(fcinfo, 1, "tokens");
	const Interval *ttl = PG_ARGISNULL(2) ? NULL : PG_GETARG_INTERVAL_P(2);
	RgBudgetAnswer answer;
	Datum		values[EXTEND_COLUMNS];
	bool		nulls[EXTEND_COLUMNS] = {0};

	rg_usage_require_writable("budget_extend()");
	rg_budget_extend(reservation, RG_BUDGET_OWN, tokens, ttl, &answer);
	values[0] = CStringGetTextDatum(answer.outcome);
	answer_values(&answer, values, nulls);
	return rg_record(&type, values, nulls);
}

PG_FUNCTION_INFO_V1(relay_guard_budget_settle);

/* budget_settle(reservation, input_tokens, output_tokens) */
Datum
relay_guard_budget_settle(PG_FUNCTION_ARGS)
{
	const pg_uuid_t *reservation = rg_usage_uuid_argument(fcinfo, 0, "reservation");
	int64		input_tokens = rg_usage_count_argument(fcinfo, 1, "input_tokens");
	int64		output_tokens = rg_usage_count_argument(fcinfo, 2, "output_tokens");
	RgBudgetEnd end;

	rg_usage_require_writable("budget_settle()");
	rg_budget_settle(reservation, RG_BUDGET_OWN, input_tokens, output_tokens, &end);
	return end_row(&end);
}

PG_FUNCTION_INFO_V1(relay_guard_budget_release);

/* budget_release(reservation) */
Datum
relay_guard_budget_release(PG_FUNCTION_ARGS)
{
	RgBudgetEnd end;

	rg_usage_require_writable("budget_release()");
	rg_budget_release(rg_usage_uuid_argument(fcinfo, 0, "reservation"), RG_BUDGET_OWN, &end);
	return end_row(&end);
}

PG_FUNCTION_INFO_V1(relay_guard_budget_expire);

/* budget_expire(reservation) */
Datum
relay_guard_budget_expire(PG_FUNCTION_ARGS)
{
	RgBudgetEnd end;

	rg_usage_require_writable("budget_expire()");
	rg_budget_expire(rg_usage_uuid_argument(fcinfo, 0, "reservation"), &end);
	return end_row(&end);
}

PG_FUNCTION_INFO_V1(relay_guard_budget_charge);

/* budget_charge(model, input_tokens, output_tokens, embedding_tokens) */
Datum
relay_guard_budget_charge(PG_FUNCTION_ARGS)
{
	static RgRecordType type = {charge_columns, CHARGE_COLUMNS, NULL};
	char	   *model = text_to_cstring(rg_usage_text_argument(fcinfo, 0, "model"));
	int64		input_tokens = rg_usage_count_argument(fcinfo, 1, "input_tokens");
	int64		output_tokens = rg_usage_count_argument(fcinfo, 2, "output_tokens");
	int64		embedding_tokens = rg_usage_count_argument(fcinfo, 3, "embedding_tokens");
	RgBudgetCharge charge;
	Datum		values[CHARGE_COLUMNS];
	bool		nulls[CHARGE_COLUMNS] = {0};

	rg_usage_require_writable("budget_charge()");
	rg_budget_charge(model, input_tokens, output_tokens, embedding_tokens, &charge);
	values[0] = Int64GetDatum(charge.amount);
	values[1] = name_datum(charge.over, &nulls[1]);
	values[2] = name_datum(charge.warning, &nulls[2]);
	return rg_record(&type, values, nulls);
}

static void
put_status(ReturnSetInfo *set, const RgAccountUse *use)
{
	const RgUsagePolicy *policy = use->policy;
	bool		nulls[STATUS_COLUMNS] = {0};
	Datum		values[STATUS_COLUMNS] = {
		CStringGetTextDatum(policy->name),
		CStringGetTextDatum(rg_scope_name(policy->scope)),
		rg_slice_datum(use->value),
		CStringGetTextDatum(rg_calendar_name(policy->calendar)),
		TimestampTzGetDatum(use->window.from),
		TimestampTzGetDatum(use->window.until),
		Int64GetDatum(use->used),
		Int64GetDatum(use->reserved),
		limit_datum(policy->warn, &nulls[8]),
		limit_datum(policy->limit, &nulls[9]),
		limit_datum(rg_account_room(use), &nulls[10]),
		BoolGetDatum(rg_account_is_warned(use)),
		BoolGetDatum(rg_account_room(use) == 0)
	};

	tuplestore_putvalues(set->setResult, set->setDesc, values, nulls);
}

static RgIdentifyBy
scope_argument(const char *name)
{
	RgIdentifyBy scope;

	if (!rg_scope_named(name, &scope) || scope == RG_BY_IP || scope == RG_BY_ANONYMOUS)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("there is no budget of scope \"%s\"", name),
				errhint("Scopes are global, workspace, user and api_key."));
	return scope;
}

PG_FUNCTION_INFO_V1(relay_guard_budget_status);

/* budget_status(scope): a NULL scope is every one. */
Datum
relay_guard_budget_status(PG_FUNCTION_ARGS)
{
	bool		all = PG_ARGISNULL(0);
	RgIdentifyBy scope = all ? RG_BY_GLOBAL : scope_argument(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	RgBudgets	budgets = rg_budgets_of(NULL, rg_context());

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < budgets.count; i++)
		if (all || budgets.uses[i].policy->scope == scope)
			put_status((ReturnSetInfo *) fcinfo->resultinfo, &budgets.uses[i]);
	return (Datum) 0;
}

PG_FUNCTION_INFO_V1(relay_guard_usage_rebuild);

/* usage_rebuild() */
Datum
relay_guard_usage_rebuild(PG_FUNCTION_ARGS)
{
	rg_counter_require();
	rg_counter_forget_accounts(MyDatabaseId);
	PG_RETURN_VOID();
}
