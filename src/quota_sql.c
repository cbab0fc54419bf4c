/*
 * quota_sql.c
 *		SQL functions that take quotas.
 *
 * They are not STRICT: a NULL policy that gave a NULL answer would pass for an
 * admission in "IF NOT allowed".
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "context.h"
#include "errcodes.h"
#include "quota.h"
#include "record.h"
#include "retry.h"
#include "scope.h"
#include "usage_arguments.h"

#define COLUMNS 5

static const RgRecordColumn columns[COLUMNS] = {
	{"allowed", BOOLOID},
	{"limit", INT8OID},
	{"used", INT8OID},
	{"remaining", INT8OID},
	{"resets_at", TIMESTAMPTZOID}
};

static Datum
answer_row(const RgQuotaTake *take)
{
	static RgRecordType type = {columns, COLUMNS, NULL};
	Datum		values[COLUMNS] = {
		BoolGetDatum(take->allowed),
		Int64GetDatum(take->policy->limit),
		Int64GetDatum(take->used),
		Int64GetDatum(take->remaining),
		TimestampTzGetDatum(take->resets_at)
	};
	bool		nulls[COLUMNS] = {0};

	nulls[4] = TIMESTAMP_IS_NOEND(take->resets_at);
	return rg_record(&type, values, nulls);
}

static void
refuse_without_identity(const RgUsagePolicy *policy)
{
	ereport(ERROR,
			errcode(ERRCODE_RG_UNAUTHENTICATED),
			errmsg("quota \"%s\" needs %s, and the transaction has none",
				   policy->name, rg_scope_needs(policy->scope)),
			errhint("Call relay_guard.authenticate() first."));
}

/*
 * Everybody is free of a quota that is not enabled, and a signed-in user of one for
 * anonymous users.
 */
static void
leave_free(RgQuotaTake *take)
{
	const RgUsagePolicy *policy = take->policy;

	if (policy->enabled && (policy->scope != RG_BY_ANONYMOUS || rg_context() == NULL))
		refuse_without_identity(policy);
	take->allowed = true;
	take->used = 0;
	take->remaining = policy->limit;
	take->resets_at = DT_NOEND;
}

static void
check_units(const RgQuotaTake *take)
{
	const RgUsagePolicy *policy = take->policy;

	if (take->units < 1)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("n must be at least 1"),
				errhint("Use quota_status() to look without taking."));
	if (take->units > policy->limit && policy->limit > 0)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("%lld can never fit quota \"%s\"", (long long) take->units, policy->name),
				errdetail("A window has %lld.", (long long) policy->limit),
				errhint("Split the work, or raise the policy's cap."));
}

static bool
aim(FunctionCallInfo fcinfo, RgQuotaTake *take, int64 units)
{
	char	   *name = text_to_cstring(rg_usage_text_argument(fcinfo, 0, "policy"));

	if (rg_quota_aim(take, name, units, NULL, rg_context()))
		return true;
	leave_free(take);
	return false;
}

/* True unless it was refused. */
static bool
take_quota(FunctionCallInfo fcinfo, RgQuotaTake *take, const char *function)
{
	bool		binds;

	rg_usage_require_writable(function);
	binds = aim(fcinfo, take, rg_usage_int64_argument(fcinfo, 1, "n"));
	check_units(take);
	if (!binds)
		return true;
	if (!rg_quota_hold(take, 1))
		return false;
	rg_quota_record(take, 1);
	return true;
}

PG_FUNCTION_INFO_V1(relay_guard_quota_take);

/* quota_take(policy, n) */
Datum
relay_guard_quota_take(PG_FUNCTION_ARGS)
{
	RgQuotaTake take;

	(void) take_quota(fcinfo, &take, "quota_take()");
	return answer_row(&take);
}

/* Rounded up, at least 1; -1 for what does not come back. */
static int64
seconds_until(TimestampTz at)
{
	if (TIMESTAMP_IS_NOEND(at))
		return -1;
	return Max(at - GetCurrentTimestamp(), 0) / USECS_PER_SEC + 1;
}

PG_FUNCTION_INFO_V1(relay_guard_quota_require);

/* quota_require(policy, n): the DETAIL is the code that clients see. */
Datum
relay_guard_quota_require(PG_FUNCTION_ARGS)
{
	RgQuotaTake take;

	if (!take_quota(fcinfo, &take, "quota_require()"))
		ereport(ERROR,
				errcode(ERRCODE_RG_LIMITED),
				errmsg("quota \"%s\" is used up", take.policy->name),
				errdetail(RG_CODE_QUOTA_EXHAUSTED),
				rg_err_retry(seconds_until(take.resets_at)),
				TIMESTAMP_IS_NOEND(take.resets_at) ?
				errhint("It does not come back.") :
				errhint("It comes back at %s.", timestamptz_to_str(take.resets_at)));
	return answer_row(&take);
}

PG_FUNCTION_INFO_V1(relay_guard_quota_status);

/* quota_status(policy) */
Datum
relay_guard_quota_status(PG_FUNCTION_ARGS)
{
	RgQuotaTake take;

	if (aim(fcinfo, &take, 1))
		rg_quota_look(&take, 1);
	return answer_row(&take);
}
