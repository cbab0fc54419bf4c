/*
 * rate_sql.c
 *		SQL functions that take rate limits.
 *
 * They are not STRICT: a NULL policy that gave a NULL answer would pass for
 * an admission in "IF NOT allowed".
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/inet.h"

#include "context.h"
#include "errcodes.h"
#include "rate.h"
#include "record.h"
#include "retry.h"
#include "varlena_slice.h"

#define SCRATCH_SIZE 64
#define RESULT_COLUMNS 5		/* the first members of RgRateResult */

/* A hit and the bytes that its key may point into. */
typedef struct SqlHit
{
	RgRateHit	hit;
	char		scratch[SCRATCH_SIZE];
	bool		binds;			/* false: this identity is free of the limit */
} SqlHit;

/*
 * Arguments
 */

static void
refuse_null(const char *name)
{
	ereport(ERROR,
			errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
			errmsg("%s must not be null", name));
}

static const RgRatePolicy *
policy_named(text * name)
{
	char	   *string = text_to_cstring(name);
	const RgRatePolicy *policy = rg_rate_policy(string);

	if (policy == NULL)
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_OBJECT),
				errmsg("rate limit policy \"%s\" does not exist", string),
				errhint("Policies are the rows of relay_guard.rate_policy."));
	return policy;
}

static const RgRatePolicy *
policy_argument(FunctionCallInfo fcinfo, int argno)
{
	if (PG_ARGISNULL(argno))
		refuse_null("policy");
	return policy_named(PG_GETARG_TEXT_PP(argno));
}

static int64
cost_argument(FunctionCallInfo fcinfo, int argno)
{
	if (PG_ARGISNULL(argno))
		refuse_null("cost");
	return PG_GETARG_INT32(argno);
}

/* The same counter as for an identity with that address. */
static RgSlice
explicit_key(const RgRatePolicy *policy, text * key, char *scratch)
{
	Datum		address;

	if (policy->identify_by != RG_BY_IP)
		return rg_varlena_slice(key);
	address = DirectFunctionCall1(inet_in, CStringGetDatum(text_to_cstring(key)));
	return rg_scope_address_key(rg_datum_slice(address), scratch);
}

static void
refuse_without_identity(const RgRatePolicy *policy)
{
	ereport(ERROR,
			errcode(ERRCODE_RG_UNAUTHENTICATED),
			errmsg("rate limit \"%s\" needs %s, and the transaction has none",
				   policy->name, rg_scope_needs(policy->identify_by)),
			errhint("Call relay_guard.authenticate() first, or name the key with relay_guard.rate_take_key()."));
}

static void
leave_free(SqlHit *sql)
{
	const RgRateRule rule = rg_rate_rule(sql->hit.policy);
	const int64 limit = rg_rate_limit(&rule);
	const RgRateResult free_of_it = {true, limit, limit, 0, 0, rule.quota, rule.window};

	sql->binds = false;
	sql->hit.result = free_of_it;
}

/*
 * Everybody is free of a limit that is not enabled, and a signed-in user of one
 * on anonymous users.
 */
static void
aim_by_identity(SqlHit *sql, const RgRatePolicy *policy, int64 cost)
{
	const RgIdentity *identity = rg_context();

	sql->hit.policy = policy;
	sql->hit.role = identity != NULL ? identity->role : rg_slice(NULL, 0);
	sql->hit.cost = cost;
	sql->binds = rg_rate_key(policy, NULL, identity, sql->scratch, &sql->hit.key);
	if (sql->binds)
		return;
	if (policy->enabled && (policy->identify_by != RG_BY_ANONYMOUS || identity == NULL))
		refuse_without_identity(policy);
	leave_free(sql);
}

/* The caller's key has no role. */
static void
aim_by_key(SqlHit *sql, const RgRatePolicy *policy, text * key, int64 cost)
{
	sql->hit.policy = policy;
	sql->hit.key = explicit_key(policy, key, sql->scratch);
	sql->hit.role = rg_slice(NULL, 0);
	sql->hit.cost = cost;
	sql->binds = true;
	if (!policy->enabled)
		leave_free(sql);
}

/*
 * Answers
 */

static double
seconds(int64 nanoseconds)
{
	return nanoseconds / 1e9;
}

static void
result_values(const RgRateResult *result, Datum *values)
{
	values[0] = BoolGetDatum(result->allowed);
	values[1] = Int64GetDatum(result->limit);
	values[2] = Int64GetDatum(result->remaining);
	values[3] = Float8GetDatum(seconds(result->reset_after));
	values[4] = Float8GetDatum(seconds(result->retry_after));
}

static const RgRecordColumn columns[RESULT_COLUMNS] = {
	{"allowed", BOOLOID},
	{"limit", INT8OID},
	{"remaining", INT8OID},
	{"reset_after", FLOAT8OID},
	{"retry_after", FLOAT8OID}
};

static Datum
result_row(const RgRateResult *result)
{
	static RgRecordType type = {columns, RESULT_COLUMNS, NULL};
	Datum		values[RESULT_COLUMNS];
	bool		nulls[RESULT_COLUMNS] = {0};

	result_values(result, values);
	return rg_record(&type, values, nulls);
}

/*
 * Functions
 */

PG_FUNCTION_INFO_V1(relay_guard_rate_take);

/* rate_take(policy, cost) */
Datum
relay_guard_rate_take(PG_FUNCTION_ARGS)
{
	SqlHit		sql;

	aim_by_identity(&sql, policy_argument(fcinfo, 0), cost_argument(fcinfo, 1));
	if (sql.binds)
		(void) rg_rate_take(&sql.hit, 1);
	return result_row(&sql.hit.result);
}

PG_FUNCTION_INFO_V1(relay_guard_rate_peek);

/* rate_peek(policy) */
Datum
relay_guard_rate_peek(PG_FUNCTION_ARGS)
{
	SqlHit		sql;

	aim_by_identity(&sql, policy_argument(fcinfo, 0), 1);
	if (sql.binds)
		(void) rg_rate_peek(&sql.hit, 1);
	return result_row(&sql.hit.result);
}

PG_FUNCTION_INFO_V1(relay_guard_rate_take_key);

/* rate_take_key(policy, key, cost) */
Datum
relay_guard_rate_take_key(PG_FUNCTION_ARGS)
{
	SqlHit		sql;
	const RgRatePolicy *policy = policy_argument(fcinfo, 0);

	if (PG_ARGISNULL(1))
		refuse_null("key");
	aim_by_key(&sql, policy, PG_GETARG_TEXT_PP(1), cost_argument(fcinfo, 2));
	if (sql.binds)
		(void) rg_rate_take(&sql.hit, 1);
	return result_row(&sql.hit.result);
}

/* Seconds, rounded up: whoever waits so long is not refused for the rest. */
static int64
whole_seconds(int64 nanoseconds)
{
	return (nanoseconds + 999999999) / 1000000000;
}

static void
raise_limited(const RgRateHit *hit)
{
	ereport(ERROR,
			errcode(ERRCODE_RG_LIMITED),
			errmsg("rate limit \"%s\" exceeded", hit->policy->name),
			errdetail("rate_limited"),
			rg_err_retry(whole_seconds(hit->result.retry_after)),
			errhint("Retry after %lld seconds.",
					(long long) whole_seconds(hit->result.retry_after)));
}

PG_FUNCTION_INFO_V1(relay_guard_rate_require);

/* rate_require(policy, cost): the DETAIL is the code that clients see. */
Datum
relay_guard_rate_require(PG_FUNCTION_ARGS)
{
	SqlHit		sql;

	aim_by_identity(&sql, policy_argument(fcinfo, 0), cost_argument(fcinfo, 1));
	if (sql.binds && !rg_rate_take(&sql.hit, 1))
		raise_limited(&sql.hit);
	return result_row(&sql.hit.result);
}

static int
policy_names(FunctionCallInfo fcinfo, Datum **names)
{
	bool	   *nulls;
	int			count;

	if (PG_ARGISNULL(0))
		refuse_null("policies");
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(0), TEXTOID, -1, false, TYPALIGN_INT,
					  names, &nulls, &count);
	if (count > RG_RATE_MAX_HITS)
		ereport(ERROR,
				errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				errmsg("more than %d rate limits cannot be taken together",
					   RG_RATE_MAX_HITS));
	for (int i = 0; i < count; i++)
		if (nulls[i])
			refuse_null("policy");
	return count;
}

/* Takes those that bind; the others have their result. */
static void
take_binding(SqlHit *sql, int count)
{
	RgRateHit	hits[RG_RATE_MAX_HITS];
	int			nhits = 0;
	int			taken = 0;

	for (int i = 0; i < count; i++)
		if (sql[i].binds)
			hits[nhits++] = sql[i].hit;
	(void) rg_rate_take(hits, nhits);
	for (int i = 0; i < count; i++)
		if (sql[i].binds)
			sql[i].hit.result = hits[taken++].result;
}

static void
put_named_row(ReturnSetInfo *set, const RgRateHit *hit)
{
	Datum		values[1 + RESULT_COLUMNS];
	bool		nulls[1 + RESULT_COLUMNS] = {0};

	values[0] = CStringGetTextDatum(hit->policy->name);
	result_values(&hit->result, values + 1);
	tuplestore_putvalues(set->setResult, set->setDesc, values, nulls);
}

PG_FUNCTION_INFO_V1(relay_guard_rate_take_all);

/* rate_take_all(policies): a row for each, taken only if all rows are allowed */
Datum
relay_guard_rate_take_all(PG_FUNCTION_ARGS)
{
	SqlHit		sql[RG_RATE_MAX_HITS];
	Datum	   *names;
	int			count = policy_names(fcinfo, &names);

	for (int i = 0; i < count; i++)
		aim_by_identity(&sql[i], policy_named(DatumGetTextPP(names[i])), 1);
	take_binding(sql, count);
	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < count; i++)
		put_named_row((ReturnSetInfo *) fcinfo->resultinfo, &sql[i].hit);
	return (Datum) 0;
}
