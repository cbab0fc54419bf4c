/*
 * quota_problem.h
 *		What a client is told of quotas and budgets.
 */
#ifndef RG_QUOTA_PROBLEM_H
#define RG_QUOTA_PROBLEM_H

#include "problem.h"
#include "quota.h"
#include "rate_lines.h"

/*
 * Quotas that were asked, as lines about limits tell of them.  held: what was taken
 * of them is not recorded, so that it is told as if it were there.  Returns count.
 */
extern int	rg_quota_limits(const RgQuotaTake *takes, int count, bool held, RgRateLimit *limits);

/* The 429 for quotas of which one refused (palloc'd). */
extern RgProblem rg_quota_problem(const RgQuotaTake *takes, int count);

/* The 429 for a budget without room in that window (palloc'd). */
extern RgProblem rg_budget_problem(const RgUsagePolicy *policy, RgWindow window);

/* A time as answers tell it: in UTC, palloc'd. */
extern char *rg_time_text(TimestampTz at);

#endif
