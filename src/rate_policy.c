/*
 * rate_policy.c
 *		This backend's copy of relay_guard.rate_policy; rate.h has the contract.
 */
#include "postgres.h"

#include "commands/extension.h"
#include "common/int.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "config_cache.h"
#include "counter.h"
#include "rate.h"

/* The columns of relay_guard.rate_policy, in order. */
enum
{
	COL_ID,
	COL_NAME,
	COL_IDENTIFY_BY,
	COL_QUOTA,
	COL_WINDOW,
	COL_ALGORITHM,
	COL_BURST,
	COL_SHADOW,
	COL_SHIPPED,
	COL_ENABLED,
	NCOLS
};

typedef struct Policies
{
	int			count;
	int			size;
	RgRatePolicy *by_name;		/* sorted */
	const RgRatePolicy **by_id; /* sorted */
} Policies;

static void *load_policies(TableScanDesc scan, MemoryContext context, void *previous);

static RgConfigCache cache = {.table = "rate_policy",.natts = NCOLS,.load = load_policies};

/* In the order of RgAlgorithm. */
static const char *const algorithm_names[] = {
	"sliding_window", "fixed_window", "token_bucket"
};

static void
refuse_word(const char *word)
{
	elog(ERROR, "relay_guard.rate_policy holds \"%s\", which no CHECK admits", word);
}

static RgIdentifyBy
identify_by_named(Datum value)
{
	char	   *name = TextDatumGetCString(value);
	RgIdentifyBy by = RG_BY_GLOBAL;

	if (!rg_scope_named(name, &by))
		refuse_word(name);
	return by;
}

static RgAlgorithm
algorithm_named(Datum value)
{
	char	   *name = TextDatumGetCString(value);
	int			algorithm = 0;

	while (algorithm < (int) lengthof(algorithm_names) && strcmp(name, algorithm_names[algorithm]) != 0)
		algorithm++;
	if (algorithm == lengthof(algorithm_names))
		refuse_word(name);
	return algorithm;
}

const char *
rg_rate_algorithm_name(RgAlgorithm algorithm)
{
	return algorithm_names[algorithm];
}

static int64
clamp(int64 value, int64 low, int64 high)
{
	return Min(Max(value, low), high);
}

/* The tables' CHECKs allow no months and nothing above RG_RATE_MAX_WINDOW. */
int64
rg_rate_window(const Interval *interval)
{
	int64		time;

	if (pg_mul_s64_overflow(interval->day, USECS_PER_DAY, &time) ||
		pg_add_s64_overflow(time, interval->time, &time) ||
		pg_mul_s64_overflow(time, 1000, &time))
		return RG_RATE_MAX_WINDOW;
	return clamp(time, 1, RG_RATE_MAX_WINDOW);
}

static RgRatePolicy
read_policy(const Datum *values, const bool *nulls)
{
	RgRatePolicy policy;

	policy.id = DatumGetInt32(values[COL_ID]);
	policy.name = TextDatumGetCString(values[COL_NAME]);
	policy.identify_by = identify_by_named(values[COL_IDENTIFY_BY]);
	policy.algorithm = algorithm_named(values[COL_ALGORITHM]);
	policy.quota = clamp(DatumGetInt64(values[COL_QUOTA]), 0, RG_RATE_MAX_QUOTA);
	policy.window = rg_rate_window(DatumGetIntervalP(values[COL_WINDOW]));
	policy.burst = nulls[COL_BURST] ? policy.quota :
		clamp(DatumGetInt64(values[COL_BURST]), 1, RG_RATE_MAX_QUOTA);
	policy.shadow = DatumGetBool(values[COL_SHADOW]);
	policy.enabled = DatumGetBool(values[COL_ENABLED]);
	policy.totals = NULL;
	return policy;
}

static void
add_policy(Policies *policies, RgRatePolicy policy)
{
	if (policies->count == policies->size)
	{
		policies->size *= 2;
		policies->by_name = repalloc(policies->by_name,
									 policies->size * sizeof *policies->by_name);
	}
	policies->by_name[policies->count++] = policy;
}

static int
compare_names(const void *a, const void *b)
{
	return strcmp(((const RgRatePolicy *) a)->name, ((const RgRatePolicy *) b)->name);
}

static int
compare_ids(const void *a, const void *b)
{
	int32		id_a = (*(const RgRatePolicy *const *) a)->id;
	int32		id_b = (*(const RgRatePolicy *const *) b)->id;

	return (id_a > id_b) - (id_a < id_b);
}

static void
sort_policies(Policies *policies)
{
	qsort(policies->by_name, policies->count, sizeof *policies->by_name, compare_names);
	policies->by_id = palloc(policies->size * sizeof *policies->by_id);
	for (int i = 0; i < policies->count; i++)
		policies->by_id[i] = &policies->by_name[i];
	qsort(policies->by_id, policies->count, sizeof *policies->by_id, compare_ids);
}

static const RgRatePolicy *
find_by_id(const Policies *policies, int32 id)
{
	const RgRatePolicy wanted = {.id = id};
	const RgRatePolicy *key = &wanted;
	const RgRatePolicy **found = bsearch(&key, policies->by_id, policies->count,
										 sizeof *policies->by_id, compare_ids);

	return found != NULL ? *found : NULL;
}

static bool
policy_exists(int32 id, void *policies)
{
	return find_by_id(policies, id) != NULL;
}

static void
find_totals(Policies *policies)
{
	Oid			extension = get_extension_oid("relay_guard", true);

	for (int i = 0; i < policies->count; i++)
		policies->by_name[i].totals = rg_rate_totals(extension, RG_KIND_RATE, policies->by_name[i].id,
													 policy_exists, policies);
}

static void *
load_policies(TableScanDesc scan, MemoryContext context, void *previous)
{
	Policies   *policies = palloc0(sizeof *policies);
	Datum	   *values;
	bool	   *nulls;

	policies->size = 16;
	policies->by_name = palloc(policies->size * sizeof *policies->by_name);
	while (rg_config_next(scan, &values, &nulls))
		add_policy(policies, read_policy(values, nulls));
	sort_policies(policies);
	find_totals(policies);
	return policies;
}

void
rg_rate_init(void)
{
	rg_config_register(&cache);
	rg_rate_override_init();
}

const RgRatePolicy *
rg_rate_policy(const char *name)
{
	const Policies *policies = rg_config_get(&cache);
	RgRatePolicy wanted = {.name = name};

	return bsearch(&wanted, policies->by_name, policies->count,
				   sizeof *policies->by_name, compare_names);
}

const RgRatePolicy *
rg_rate_policy_by_id(int32 id)
{
	return find_by_id(rg_config_get(&cache), id);
}

RgRateRule
rg_rate_rule(const RgRatePolicy *policy)
{
	RgRateRule	rule = {policy->algorithm, policy->quota, policy->window, policy->burst};

	return rule;
}
