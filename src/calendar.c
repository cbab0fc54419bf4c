/*
 * calendar.c
 *		The windows of quotas and budgets; calendar.h has the contract.
 *
 * A day may have 23 to 25 hours and a zone may skip a whole one, so windows are
 * never computed from lengths: each begins where its date does, and ends where
 * the next begins.
 */
#include "postgres.h"

#include "funcapi.h"
#include "miscadmin.h"
#include "pgtime.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "calendar.h"

static char *timezone_name = NULL;
static pg_tz *zone = NULL;

/* In the order of RgCalendar. */
static const char *const names[] = {"hour", "day", "month", "lifetime"};

/* The last window of each that was asked for; empty at first. */
static RgWindow remembered[lengthof(names)];

/*
 * The setting
 */

/* What it is refused for; NULL: it can be used. */
static const char *
problem_of(const char *name)
{
	pg_tz	   *named = pg_tzset(name);

	if (named == NULL)
		return "There is no such time zone.";
	return pg_tz_acceptable(named) ? NULL : "It appears to use leap seconds, which PostgreSQL does not know.";
}

/*
 * A setting that is read before the library is loaded would only be warned of,
 * and the budgets' day be one of UTC: the server does not start with it.
 */
static bool
check_timezone(char **value, void **extra, GucSource source)
{
	const char *problem = problem_of(*value);

	if (problem == NULL)
		return true;
	if (process_shared_preload_libraries_in_progress)
		ereport(FATAL,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("invalid value for parameter \"relay_guard.timezone\": \"%s\"", *value),
				errdetail("%s", problem));
	GUC_check_errdetail("%s", problem);
	return false;
}

static void
assign_timezone(const char *value, void *extra)
{
	zone = pg_tzset(value);
}

/*
 * The operator's.  UTC, because then a window is as long everywhere and every
 * day has 24 hours.  With the server only: backends that disagreed on it would
 * count one window in two accounts, and admit twice.
 */
static void
define_timezone(void)
{
	DefineCustomStringVariable("relay_guard.timezone",
							   "Time zone of the hours, days and months of quotas and budgets.",
							   NULL, &timezone_name, "UTC", PGC_POSTMASTER, 0,
							   check_timezone, assign_timezone, NULL);
}

/* Quotas and budgets need the preload; without it windows can be looked at. */
void
rg_calendar_init(void)
{
	if (process_shared_preload_libraries_in_progress)
		define_timezone();
	else if (zone == NULL)
		zone = pg_tzset("UTC");
}

/*
 * Local time
 */

static void
refuse_time(void)
{
	ereport(ERROR,
			errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
			errmsg("timestamp out of range"));
}

static pg_time_t
unix_seconds(TimestampTz at)
{
	pg_time_t	seconds = at / USECS_PER_SEC - (at % USECS_PER_SEC < 0 ? 1 : 0);

	return seconds + (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY;
}

static TimestampTz
timestamp_of(pg_time_t seconds)
{
	seconds -= (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY;
	return seconds * USECS_PER_SEC;
}

/* The date that local clocks show, as a Julian day. */
static int
local_day(TimestampTz at)
{
	struct pg_tm tm;
	fsec_t		fsec;
	int			offset;

	if (timestamp2tm(at, &offset, &tm, &fsec, NULL, zone) != 0)
		refuse_time();
	return date2j(tm.tm_year, tm.tm_mon, tm.tm_mday);
}

/*
 * When a Julian day begins.  Clocks that skip midnight are set at midnight, and
 * PostgreSQL takes it for that moment; of two midnights it takes the second.
 */
static TimestampTz
midnight(int day)
{
	struct pg_tm tm = {0};
	TimestampTz at;
	int			offset;

	j2date(day, &tm.tm_year, &tm.tm_mon, &tm.tm_mday);
	offset = DetermineTimeZoneOffset(&tm, zone);
	if (tm2timestamp(&tm, 0, &offset, &at) != 0)
		refuse_time();
	return at;
}

/*
 * Days and months, numbered in the order of time
 */

#define FIRST_YEAR (-4800)		/* before any that there is */

static int
number_of(RgCalendar calendar, int day)
{
	int			year,
				month,
				day_of_month;

	if (calendar == RG_DAY)
		return day;
	j2date(day, &year, &month, &day_of_month);
	return (year - FIRST_YEAR) * MONTHS_PER_YEAR + month - 1;
}

static TimestampTz
start_of(RgCalendar calendar, int number)
{
	if (calendar == RG_DAY)
		return midnight(number);
	return midnight(date2j(number / MONTHS_PER_YEAR + FIRST_YEAR, number % MONTHS_PER_YEAR + 1, 1));
}

/*
 * Where clocks are set back over midnight, a date is shown that is over or not
 * yet begun: what counts is between which two beginnings the time lies.
 */
static RgWindow
dates_window(RgCalendar calendar, TimestampTz at)
{
	int			number = number_of(calendar, local_day(at));
	RgWindow	window;

	while (at < start_of(calendar, number))
		number--;
	while (at >= start_of(calendar, number + 1))
		number++;
	window.from = start_of(calendar, number);
	window.until = start_of(calendar, number + 1);
	return window;
}

/*
 * Hours
 */

/*
 * The first time in (after, before) that clocks are set by other than whole
 * hours, which moves where hours begin; before if there is none.
 */
static pg_time_t
next_shift(pg_time_t after, pg_time_t before)
{
	pg_time_t	found;
	long int	old_offset;
	long int	offset;
	int			isdst;

	while (pg_next_dst_boundary(&after, &old_offset, &isdst, &found, &offset, &isdst, zone) == 1 &&
		   found < before)
	{
		if ((offset - old_offset) % SECS_PER_HOUR != 0)
			return found;
		after = found;
	}
	return before;
}

/* How long ago the local clock's hour began. */
static pg_time_t
since_hour(pg_time_t seconds)
{
	pg_time_t	local = seconds + pg_localtime(&seconds, zone)->tm_gmtoff;
	pg_time_t	past = local % SECS_PER_HOUR;

	return past < 0 ? past + SECS_PER_HOUR : past;
}

static RgWindow
hours_window(TimestampTz at)
{
	pg_time_t	seconds = unix_seconds(at);
	pg_time_t	from = seconds - since_hour(seconds);
	pg_time_t	until = from + SECS_PER_HOUR;
	pg_time_t	shift;
	RgWindow	window;

	while ((shift = next_shift(from, seconds + 1)) <= seconds)
		from = shift;
	window.from = timestamp_of(from);
	window.until = timestamp_of(next_shift(seconds, until));
	return window;
}

/*
 * All of them
 */

static RgWindow
find_window(RgCalendar calendar, TimestampTz at)
{
	const RgWindow always = {DT_NOBEGIN, DT_NOEND};
	RgWindow	window;

	if (calendar == RG_LIFETIME)
		return always;
	window = calendar == RG_HOUR ? hours_window(at) : dates_window(calendar, at);
	if (!IS_VALID_TIMESTAMP(window.from) || !IS_VALID_TIMESTAMP(window.until))
		refuse_time();
	return window;
}

RgWindow
rg_calendar_window(RgCalendar calendar, TimestampTz at)
{
	RgWindow   *last = &remembered[calendar];

	if (TIMESTAMP_NOT_FINITE(at))
		refuse_time();
	if (at < last->from || at >= last->until)
		*last = find_window(calendar, at);
	return *last;
}

const char *
rg_calendar_name(RgCalendar calendar)
{
	return names[calendar];
}

bool
rg_calendar_named(const char *name, RgCalendar *calendar)
{
	for (int i = 0; i < (int) lengthof(names); i++)
		if (strcmp(name, names[i]) == 0)
		{
			*calendar = i;
			return true;
		}
	return false;
}

PG_FUNCTION_INFO_V1(relay_guard_usage_window);

/* usage_window(window, at): the window as a row. */
Datum
relay_guard_usage_window(PG_FUNCTION_ARGS)
{
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	RgCalendar	calendar = RG_LIFETIME;
	RgWindow	window;
	TupleDesc	desc;
	Datum		values[2];
	bool		nulls[2] = {false, false};

	if (!rg_calendar_named(name, &calendar))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("there is no window \"%s\"", name),
				errhint("Windows are hour, day, month and lifetime."));
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	window = rg_calendar_window(calendar, PG_GETARG_TIMESTAMPTZ(1));
	values[0] = TimestampTzGetDatum(window.from);
	values[1] = TimestampTzGetDatum(window.until);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}
