/*
 * keys_schedule.h
 *		When the key set of an identity provider is fetched.
 *
 * After a success when its lifetime is over, after a failure soon and then ever
 * later, and when a token names an unknown key: at most one fetch in 30 seconds
 * then, counted from the last one of any kind, however many such tokens come.
 *
 * Pure C: shared by the gateway and unit tests.  All times are microseconds of
 * any clock that does not go back; random is any number, evenly distributed.
 */
#ifndef RG_KEYS_SCHEDULE_H
#define RG_KEYS_SCHEDULE_H

#include <stdint.h>

#include "slice.h"

#define RG_KEYS_LIFETIME 600	/* seconds, where the provider says nothing */

typedef struct RgKeysSchedule
{
	int64_t		started;		/* the last fetch, of whatever kind */
	int64_t		next;			/* a fetch that nobody asks for */
	int			failures;		/* in a row */
} RgKeysSchedule;

/* The first fetch is due at once. */
extern void rg_keys_schedule_init(RgKeysSchedule *schedule, int64_t now);

/* Is it time?  wanted: a token has named an unknown key since the last fetch. */
extern bool rg_keys_schedule_due(const RgKeysSchedule *schedule, int64_t now, bool wanted);

/* A fetch starts; one of the other two is to follow. */
extern void rg_keys_schedule_start(RgKeysSchedule *schedule, int64_t now);

/*
 * The set is good for that many seconds: one minute at least and one day at
 * most, and a random part of up to a tenth less, for gateways that were started
 * together.
 */
extern void rg_keys_schedule_success(RgKeysSchedule *schedule, int64_t now,
									 int64_t lifetime, uint32_t random);

/* 5 s, 10 s … 5 min, less a random part as above. */
extern void rg_keys_schedule_failure(RgKeysSchedule *schedule, int64_t now, uint32_t random);

/*
 * The seconds of max-age in a Cache-Control value (RFC 9111, 5.2), INT32_MAX
 * if there are more; -1 when it has none that is well-formed.
 */
extern int64_t rg_keys_max_age(RgSlice cache_control);

#endif
