/*
 * ledger_sql.c
 *		SQL functions of the ledger.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "ledger.h"
#include "ledger_epoch.h"
#include "record.h"
#include "scope.h"
#include "varlena_slice.h"

#define SUM_COLUMNS 2

static const RgRecordColumn sum_columns[SUM_COLUMNS] = {
	{"used", INT8OID},
	{"reserved", INT8OID}
};

PG_FUNCTION_INFO_V1(relay_guard_usage_epoch);

Datum
relay_guard_usage_epoch(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(rg_ledger_epoch());
}

/* Of a quota, rows name the policy; of a budget, the scope says whose they are. */
static void
set_policy(RgUsagePolicy *policy, const char *scope, int32 id)
{
	if (strcmp(scope, "quota") == 0)
	{
		policy->kind = RG_QUOTA;
		policy->id = id;
		return;
	}
	policy->kind = RG_BUDGET;
	if (!rg_scope_named(scope, &policy->scope) ||
		policy->scope == RG_BY_IP || policy->scope == RG_BY_ANONYMOUS)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("\"%s\" is no scope of usage", scope),
				errhint("Scopes are those of relay_guard.usage_total."));
}

PG_FUNCTION_INFO_V1(relay_guard_usage_sum);

/* usage_sum(scope, policy, value, since, until) */
Datum
relay_guard_usage_sum(PG_FUNCTION_ARGS)
{
	static RgRecordType type = {sum_columns, SUM_COLUMNS, NULL};
	RgSlice		value = rg_varlena_slice(PG_GETARG_TEXT_PP(2));
	RgWindow	window = {PG_GETARG_TIMESTAMPTZ(3), PG_GETARG_TIMESTAMPTZ(4)};
	RgUsagePolicy policy = {0};
	Datum		values[SUM_COLUMNS];
	bool		nulls[SUM_COLUMNS] = {0};
	int64		used,
				reserved;

	set_policy(&policy, text_to_cstring(PG_GETARG_TEXT_PP(0)), PG_GETARG_INT32(1));
	rg_ledger_sum(&policy, value, window, &used, &reserved);
	values[0] = Int64GetDatum(used);
	values[1] = Int64GetDatum(reserved);
	return rg_record(&type, values, nulls);
}
