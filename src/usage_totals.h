/*
 * usage_totals.h
 *		How often each quota and budget has refused something since the server
 *		started: exact, also when its accounts are gone.
 */
#ifndef RG_USAGE_TOTALS_H
#define RG_USAGE_TOTALS_H

#include "usage_policy.h"

/* Counts a refusal by that policy; not to be called under a lock. */
extern void rg_usage_count_denied(const RgUsagePolicy *policy);

#endif
