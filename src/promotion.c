/*
 * promotion.c
 *		What quotas and budgets do after a standby was promoted; promotion.h has the
 *		contract.
 *
 * Each promotion begins a timeline, as does a recovery to a point in time; those
 * that are known to be good stand in a table.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "fmgr.h"
#include "utils/guc.h"

#include "config_cache.h"
#include "errcodes.h"
#include "promotion.h"

typedef enum AfterPromotion
{
	AFTER_PROMOTION_ADMIT,
	AFTER_PROMOTION_DENY
} AfterPromotion;

typedef struct Timelines
{
	int			count;
	int32		confirmed[FLEXIBLE_ARRAY_MEMBER];
} Timelines;

static const struct config_enum_entry after_promotion_options[] = {
	{"admit", AFTER_PROMOTION_ADMIT, false},
	{"deny", AFTER_PROMOTION_DENY, false},
	{NULL, 0, false}
};

static int	after_promotion = AFTER_PROMOTION_ADMIT;

static void *load_timelines(TableScanDesc scan, MemoryContext context, void *previous);

static RgConfigCache cache = {.table = "usage_timeline",.natts = 2,.load = load_timelines};

static void *
load_timelines(TableScanDesc scan, MemoryContext context, void *previous)
{
	Timelines  *timelines = palloc(offsetof(Timelines, confirmed));
	Datum	   *values;
	bool	   *nulls;

	timelines->count = 0;
	while (rg_config_next(scan, &values, &nulls))
	{
		timelines = repalloc(timelines, offsetof(Timelines, confirmed) +
							 (timelines->count + 1) * sizeof(int32));
		timelines->confirmed[timelines->count++] = DatumGetInt32(values[0]);
	}
	return timelines;
}

/* Set by whoever runs the server. */
void
rg_promotion_init(void)
{
	DefineCustomEnumVariable("relay_guard.after_promotion",
							 "What quotas and budgets do on a promoted standby until usage_confirm_promotion() was called.",
							 NULL, &after_promotion, AFTER_PROMOTION_ADMIT, after_promotion_options,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
	rg_config_register(&cache);
}

static bool
is_confirmed(int32 timeline)
{
	const Timelines *timelines = rg_config_get(&cache);

	for (int i = 0; i < timelines->count; i++)
		if (timelines->confirmed[i] == timeline)
			return true;
	return false;
}

bool
rg_promotion_is_confirmed(void)
{
	return after_promotion == AFTER_PROMOTION_ADMIT ||
		is_confirmed((int32) GetWALInsertionTimeLine());
}

void
rg_promotion_require_confirmed(void)
{
	if (rg_promotion_is_confirmed())
		return;
	ereport(ERROR,
			errcode(ERRCODE_RG_UNAVAILABLE),
			errmsg("quotas and budgets are closed since this server was promoted"),
			errdetail("promotion_unconfirmed"),
			errhint("When it is known what the former primary took last, call relay_guard.usage_confirm_promotion()."));
}

PG_FUNCTION_INFO_V1(relay_guard_wal_timeline);

/* wal_timeline() */
Datum
relay_guard_wal_timeline(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32((int32) GetWALInsertionTimeLine());
}
