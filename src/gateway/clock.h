/*
 * clock.h
 *		What time it is, in the forms that answers and logs need.
 */
#ifndef RG_CLOCK_H
#define RG_CLOCK_H

#include <stdint.h>

#include "slice.h"

#define RG_TIMESTAMP_LEN 27		/* 2026-01-02T03:04:05.123456Z */

/* Microseconds that never go back; for deadlines and durations. */
extern int64_t rg_now(void);

/* Microseconds since 1970. */
extern int64_t rg_wall_clock(void);

/* Now, as RFC 3339 with microseconds, without NUL. */
extern void rg_timestamp(char out[RG_TIMESTAMP_LEN]);

/* "Fri, 02 Jan 2026 03:04:05 GMT" (RFC 9110); good until the next call. */
extern RgSlice rg_http_date(void);

#endif
