/*
 * audit_month.h
 *		The months of UTC that partitions and seals of the audit log are of, each
 *		told by its first day.
 */
#ifndef RG_AUDIT_MONTH_H
#define RG_AUDIT_MONTH_H

#include "datatype/timestamp.h"
#include "utils/date.h"

/* The month of a time; error 22008 for one that is not finite. */
extern DateADT rg_audit_month(TimestampTz at);

extern DateADT rg_audit_month_after(DateADT month);

/* When it begins. */
extern TimestampTz rg_audit_month_start(DateADT month);

/* The month that a partition is named for; false when its name is of another kind. */
extern bool rg_audit_month_named(const char *partition, DateADT *month);

/* A date as YYYY-MM-DD whatever DateStyle is, palloc'd; and read from it. */
extern char *rg_audit_date_text(DateADT date);
extern bool rg_audit_date_read(const char *text, DateADT *date);

/* Microseconds since 1970-01-01 UTC. */
static inline int64
rg_audit_unix_time(TimestampTz at)
{
	return at + (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY;
}

#endif
