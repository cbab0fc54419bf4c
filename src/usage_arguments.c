/*
 * usage_arguments.c
 *		Arguments of the SQL functions of quotas and budgets.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "usage_arguments.h"

static void
refuse_null(FunctionCallInfo fcinfo, int argno, const char *name)
{
	if (PG_ARGISNULL(argno))
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("%s must not be null", name));
}

text *
rg_usage_text_argument(FunctionCallInfo fcinfo, int argno, const char *name)
{
	refuse_null(fcinfo, argno, name);
	return PG_GETARG_TEXT_PP(argno);
}

int64
rg_usage_int64_argument(FunctionCallInfo fcinfo, int argno, const char *name)
{
	refuse_null(fcinfo, argno, name);
	return PG_GETARG_INT64(argno);
}

pg_uuid_t *
rg_usage_uuid_argument(FunctionCallInfo fcinfo, int argno, const char *name)
{
	refuse_null(fcinfo, argno, name);
	return PG_GETARG_UUID_P(argno);
}

Interval *
rg_usage_interval_argument(FunctionCallInfo fcinfo, int argno, const char *name)
{
	refuse_null(fcinfo, argno, name);
	return PG_GETARG_INTERVAL_P(argno);
}

int64
rg_usage_count_argument(FunctionCallInfo fcinfo, int argno, const char *name)
{
	int64		count = rg_usage_int64_argument(fcinfo, argno, name);

	if (count < 0)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("%s must not be negative", name));
	return count;
}

void
rg_usage_require_writable(const char *function)
{
	PreventCommandIfReadOnly(function);
	PreventCommandIfParallelMode(function);
}
