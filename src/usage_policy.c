/*
 * usage_policy.c
 *		This backend's copies of quota_policy and budget_policy; usage_policy.h
 *		has the contract.
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "config_cache.h"
#include "usage_policy.h"

/* The columns of relay_guard.quota_policy, in order. */
enum
{
	QUOTA_ID,
	QUOTA_NAME,
	QUOTA_SCOPE,
	QUOTA_CAP,
	QUOTA_WINDOW,
	QUOTA_UNIT,
	QUOTA_SHIPPED,
	QUOTA_ENABLED,
	QUOTA_VERSION,
	QUOTA_NCOLS
};

/* The columns of relay_guard.budget_policy, in order. */
enum
{
	BUDGET_ID,
	BUDGET_NAME,
	BUDGET_SCOPE,
	BUDGET_WINDOW,
	BUDGET_WARN,
	BUDGET_HARD,
	BUDGET_SHIPPED,
	BUDGET_ENABLED,
	BUDGET_VERSION,
	BUDGET_NCOLS
};

/* Those that are enabled come first, and each part by id. */
typedef struct Policies
{
	int			count;
	int			nenabled;
	int			size;
	RgUsagePolicy *rows;
} Policies;

typedef RgUsagePolicy (*ReadPolicy) (const Datum *values, const bool *nulls);

static void *load_quotas(TableScanDesc scan, MemoryContext context, void *previous);
static void *load_budgets(TableScanDesc scan, MemoryContext context, void *previous);

static RgConfigCache quotas = {.table = "quota_policy",.natts = QUOTA_NCOLS,.load = load_quotas};
static RgConfigCache budgets = {.table = "budget_policy",.natts = BUDGET_NCOLS,.load = load_budgets};

/*
 * Reading the tables
 */

static RgIdentifyBy
scope_of(Datum value)
{
	char	   *name = TextDatumGetCString(value);
	RgIdentifyBy scope = RG_BY_GLOBAL;

	if (!rg_scope_named(name, &scope))
		elog(ERROR, "a policy has the scope \"%s\", which no CHECK admits", name);
	return scope;
}

static RgCalendar
calendar_of(Datum value)
{
	char	   *name = TextDatumGetCString(value);
	RgCalendar	calendar = RG_LIFETIME;

	if (!rg_calendar_named(name, &calendar))
		elog(ERROR, "a policy has the window \"%s\", which no CHECK admits", name);
	return calendar;
}

static int64
limit_of(Datum value, bool null)
{
	return null ? PG_INT64_MAX : DatumGetInt64(value);
}

static RgUsagePolicy
read_quota(const Datum *values, const bool *nulls)
{
	RgUsagePolicy policy;

	policy.kind = RG_QUOTA;
	policy.id = DatumGetInt32(values[QUOTA_ID]);
	policy.version = DatumGetInt64(values[QUOTA_VERSION]);
	policy.name = TextDatumGetCString(values[QUOTA_NAME]);
	policy.scope = scope_of(values[QUOTA_SCOPE]);
	policy.calendar = calendar_of(values[QUOTA_WINDOW]);
	policy.limit = DatumGetInt64(values[QUOTA_CAP]);
	policy.warn = PG_INT64_MAX;
	policy.enabled = DatumGetBool(values[QUOTA_ENABLED]);
	policy.unit = TextDatumGetCString(values[QUOTA_UNIT]);
	return policy;
}

static RgUsagePolicy
read_budget(const Datum *values, const bool *nulls)
{
	RgUsagePolicy policy;

	policy.kind = RG_BUDGET;
	policy.id = DatumGetInt32(values[BUDGET_ID]);
	policy.version = DatumGetInt64(values[BUDGET_VERSION]);
	policy.name = TextDatumGetCString(values[BUDGET_NAME]);
	policy.scope = scope_of(values[BUDGET_SCOPE]);
	policy.calendar = calendar_of(values[BUDGET_WINDOW]);
	policy.limit = limit_of(values[BUDGET_HARD], nulls[BUDGET_HARD]);
	policy.warn = limit_of(values[BUDGET_WARN], nulls[BUDGET_WARN]);
	policy.enabled = DatumGetBool(values[BUDGET_ENABLED]);
	policy.unit = "micro_usd";
	return policy;
}

static void
add(Policies *policies, RgUsagePolicy policy)
{
	if (policies->count == policies->size)
	{
		policies->size *= 2;
		policies->rows = repalloc_huge(policies->rows, policies->size * sizeof policy);
	}
	policies->rows[policies->count++] = policy;
	policies->nenabled += policy.enabled;
}

static int
compare(const void *a, const void *b)
{
	const RgUsagePolicy *first = a;
	const RgUsagePolicy *second = b;

	if (first->enabled != second->enabled)
		return first->enabled ? -1 : 1;
	return (first->id > second->id) - (first->id < second->id);
}

static Policies *
load(TableScanDesc scan, ReadPolicy read)
{
	Policies   *policies = palloc0(sizeof *policies);
	Datum	   *values;
	bool	   *nulls;

	policies->size = 16;
	policies->rows = palloc(policies->size * sizeof *policies->rows);
	while (rg_config_next(scan, &values, &nulls))
		add(policies, read(values, nulls));
	qsort(policies->rows, policies->count, sizeof *policies->rows, compare);
	return policies;
}

static void *
load_quotas(TableScanDesc scan, MemoryContext context, void *previous)
{
	return load(scan, read_quota);
}

static void *
load_budgets(TableScanDesc scan, MemoryContext context, void *previous)
{
	return load(scan, read_budget);
}

void
rg_usage_policy_init(void)
{
	rg_config_register(&quotas);
	rg_config_register(&budgets);
}

/*
 * Looking up: there are a few of each
 */

static const RgUsagePolicy *
find_name(const Policies *policies, const char *name)
{
	for (int i = 0; i < policies->count; i++)
		if (strcmp(policies->rows[i].name, name) == 0)
			return &policies->rows[i];
	return NULL;
}

static const RgUsagePolicy *
find_version(const Policies *policies, int64 version)
{
	for (int i = 0; i < policies->count; i++)
		if (policies->rows[i].version == version)
			return &policies->rows[i];
	return NULL;
}

const RgUsagePolicy *
rg_quota_policy(const char *name)
{
	return find_name(rg_config_get(&quotas), name);
}

const RgUsagePolicy *
rg_budget_policy(const char *name)
{
	return find_name(rg_config_get(&budgets), name);
}

int
rg_budget_policies(const RgUsagePolicy **first)
{
	const Policies *policies = rg_config_get(&budgets);

	*first = policies->rows;
	return policies->nenabled;
}

const RgUsagePolicy *
rg_usage_policy_of_version(int64 version)
{
	const RgUsagePolicy *policy = find_version(rg_config_get(&quotas), version);

	return policy != NULL ? policy : find_version(rg_config_get(&budgets), version);
}
