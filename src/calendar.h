/*
 * calendar.h
 *		The windows of quotas and budgets: hours, days and months of
 *		relay_guard.timezone, or all time.
 *
 * The windows of a calendar tile time: each instant lies in exactly one, and
 * all backends agree in which.  Days and months begin at local midnight, as
 * date_trunc() has it; where clocks skip midnight, when they skip it; where they
 * show it twice, the second time.  Hours begin with those of the local clock;
 * where that is set by less than an hour, as Lord Howe's is, one is shorter.
 */
#ifndef RG_CALENDAR_H
#define RG_CALENDAR_H

#include "datatype/timestamp.h"

typedef enum RgCalendar
{
	RG_HOUR,
	RG_DAY,
	RG_MONTH,
	RG_LIFETIME
} RgCalendar;

typedef struct RgWindow
{
	TimestampTz from;			/* DT_NOBEGIN: always */
	TimestampTz until;			/* exclusive; DT_NOEND: for ever */
} RgWindow;

/* Defines relay_guard.timezone; called from _PG_init. */
extern void rg_calendar_init(void);

/*
 * The window that a time lies in; the one of a calendar that was asked for last
 * is remembered.  Error 22008 for a time that is not finite or whose window
 * reaches beyond what timestamptz holds.
 */
extern RgWindow rg_calendar_window(RgCalendar calendar, TimestampTz at);

/* As the tables spell it. */
extern const char *rg_calendar_name(RgCalendar calendar);

/* False when no calendar has that name. */
extern bool rg_calendar_named(const char *name, RgCalendar *calendar);

#endif
