/*
 * retry.h
 *		Whether and when to try again, as errors of RG429 say it: a word in the field
 *		for a constraint's name, which serve() makes a header of.
 */
#ifndef RG_RETRY_H
#define RG_RETRY_H

#include "lib/stringinfo.h"

/* For ereport(): try again after so many seconds, or, if negative, not at all. */
extern int	rg_err_retry(int64 seconds);

/*
 * Appends the header line that belongs to the error, if any: Retry-After, or
 * x-should-retry: false, which insufficient_quota has always.
 */
extern void rg_retry_line(StringInfo lines, const ErrorData *error);

#endif
