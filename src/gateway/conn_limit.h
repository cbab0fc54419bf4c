/*
 * conn_limit.h
 *		How many connections an address has, IPv6 by its /64.
 *
 * A table of fixed size, under a random key, so that nobody can choose
 * addresses that meet in one place.  It counts those of one worker.
 *
 * Pure C: needs no server, no event loop.
 */
#ifndef RG_CONN_LIMIT_H
#define RG_CONN_LIMIT_H

#include "forwarded.h"

typedef struct RgConnLimit RgConnLimit;

/*
 * At most cap connections an address, and max of all; NULL when memory is
 * short.
 */
extern RgConnLimit *rg_conn_limit_new(int cap, int max)
			__attribute__((warn_unused_result));

extern void rg_conn_limit_free(RgConnLimit *limit);

/* Counts one more; false, and not counted, when the address has its share. */
extern bool rg_conn_limit_take(RgConnLimit *limit, const RgAddress *address)
			__attribute__((warn_unused_result));

/* One that was counted has gone. */
extern void rg_conn_limit_give(RgConnLimit *limit, const RgAddress *address);

#endif
