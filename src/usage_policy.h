/*
 * usage_policy.h
 *		Quotas and budgets: this backend's copies of relay_guard.quota_policy and
 *		relay_guard.budget_policy.
 *
 * They change only while nobody writes the ledger: their triggers lock
 * relay_guard.usage_ledger against its writers.  Whoever has taken that lock
 * first, and only then looks at policies, knows them as they are until the
 * transaction ends.
 */
#ifndef RG_USAGE_POLICY_H
#define RG_USAGE_POLICY_H

#include "calendar.h"
#include "scope.h"

typedef enum RgUsageKind
{
	RG_QUOTA,
	RG_BUDGET
} RgUsageKind;

/* A row of either table. */
typedef struct RgUsagePolicy
{
	RgUsageKind kind;
	int32		id;				/* of the ledger's rows; never used again in
								 * its table */
	int64		version;		/* of accounts: new whenever the row changes,
								 * and never used again in either table */
	const char *name;
	RgIdentifyBy scope;
	RgCalendar	calendar;
	int64		limit;			/* cap; hard, or PG_INT64_MAX for none */
	int64		warn;			/* of budgets; PG_INT64_MAX for none */
	bool		enabled;		/* if not, it binds nobody */
	const char *unit;			/* what a quota counts, "request"; of budgets
								 * "micro_usd" */
} RgUsagePolicy;

/* Registers the caches; called from _PG_init. */
extern void rg_usage_policy_init(void);

/*
 * The policy of that name, or NULL, be it enabled or not.  Like all that these
 * functions return, it is good until the end of the transaction.
 */
extern const RgUsagePolicy *rg_quota_policy(const char *name);
extern const RgUsagePolicy *rg_budget_policy(const char *name);

/* The budgets that are enabled, by id: how many, and the first. */
extern int	rg_budget_policies(const RgUsagePolicy **first);

/* NULL: it has been changed, or is gone. */
extern const RgUsagePolicy *rg_usage_policy_of_version(int64 version);

#endif
