/*
 * clock.c
 *		Time; clock.h has the contract.
 *
 * Breaking a time into its parts costs more than the rest of a log line, so
 * that is done once a second.
 */
#include "clock.h"

#include <stdio.h>
#include <time.h>

static time_t second = -1;		/* of which these are: */
static char seconds_text[32];	/* 2026-01-02T03:04:05 */
static char date_text[64];

static int64_t
read_clock(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * INT64_C(1000000) + now.tv_nsec / 1000;
}

int64_t
rg_now(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

int64_t
rg_wall_clock(void)
{
	return read_clock(CLOCK_REALTIME);
}

static void
break_down(time_t now)
{
	struct tm	parts;

	if (now == second)
		return;
	second = now;
	gmtime_r(&now, &parts);
	strftime(seconds_text, sizeof seconds_text, "%Y-%m-%dT%H:%M:%S", &parts);
	strftime(date_text, sizeof date_text, "%a, %d %b %Y %H:%M:%S GMT", &parts);
}

void
rg_timestamp(char out[RG_TIMESTAMP_LEN])
{
	int64_t		now = rg_wall_clock();
	int			micros = now % 1000000;

	break_down(now / 1000000);
	memcpy(out, seconds_text, 19);
	out[19] = '.';
	for (int i = 25; i > 19; i--, micros /= 10)
		out[i] = '0' + micros % 10;
	out[26] = 'Z';
}

RgSlice
rg_http_date(void)
{
	break_down(rg_wall_clock() / 1000000);
	return rg_slice(date_text, strlen(date_text));
}
