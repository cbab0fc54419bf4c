/*
 * audit_month.c
 *		The months of the audit log.
 */
#include "postgres.h"

#include "utils/datetime.h"
#include "utils/timestamp.h"

#include "audit_month.h"

static DateADT
date_of(int year, int month, int day)
{
	return date2j(year, month, day) - POSTGRES_EPOCH_JDATE;
}

DateADT
rg_audit_month(TimestampTz at)
{
	struct pg_tm tm;
	fsec_t		fsec;

	if (TIMESTAMP_NOT_FINITE(at) || timestamp2tm(at, NULL, &tm, &fsec, NULL, NULL) != 0)
		ereport(ERROR,
				errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				errmsg("a row of the audit log has a time out of range"));
	return date_of(tm.tm_year, tm.tm_mon, 1);
}

DateADT
rg_audit_month_after(DateADT month)
{
	int			year,
				number,
				day;

	j2date(month + POSTGRES_EPOCH_JDATE, &year, &number, &day);
	return number == 12 ? date_of(year + 1, 1, 1) : date_of(year, number + 1, 1);
}

TimestampTz
rg_audit_month_start(DateADT month)
{
	return (TimestampTz) month * USECS_PER_DAY;
}

bool
rg_audit_month_named(const char *partition, DateADT *month)
{
	int			year,
				number;

	if (sscanf(partition, "audit_log_%4d_%2d", &year, &number) != 2 || number < 1 || number > 12)
		return false;
	*month = date_of(year, number, 1);
	return true;
}

char *
rg_audit_date_text(DateADT date)
{
	int			year,
				month,
				day;

	j2date(date + POSTGRES_EPOCH_JDATE, &year, &month, &day);
	return psprintf("%04d-%02d-%02d", year, month, day);
}

bool
rg_audit_date_read(const char *text, DateADT *date)
{
	int			year,
				month,
				day;

	if (sscanf(text, "%4d-%2d-%2d", &year, &month, &day) != 3)
		return false;
	*date = date_of(year, month, day);
	return true;
}
