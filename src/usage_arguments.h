/*
 * usage_arguments.h
 *		Arguments of the SQL functions of quotas and budgets, which are not STRICT.
 */
#ifndef RG_USAGE_ARGUMENTS_H
#define RG_USAGE_ARGUMENTS_H

#include "fmgr.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

/* Error 22004 when it is NULL; name is the argument's. */
extern text * rg_usage_text_argument(FunctionCallInfo fcinfo, int argno, const char *name);
extern int64 rg_usage_int64_argument(FunctionCallInfo fcinfo, int argno, const char *name);
extern pg_uuid_t *rg_usage_uuid_argument(FunctionCallInfo fcinfo, int argno, const char *name);
extern Interval *rg_usage_interval_argument(FunctionCallInfo fcinfo, int argno, const char *name);

/* The same, and error 22023 when it is negative. */
extern int64 rg_usage_count_argument(FunctionCallInfo fcinfo, int argno, const char *name);

/* Error 25006 in a transaction that may not write, 25000 in parallel mode. */
extern void rg_usage_require_writable(const char *function);

#endif
