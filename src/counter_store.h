/*
 * counter_store.h
 *		Level 2: counters as rows of the unlogged tables relay_guard.rate_counter and,
 *		by account_store.h, quota_counter and budget_counter.
 *
 * Called by the worker, inside a transaction with a snapshot, connected to SPI.
 */
#ifndef RG_COUNTER_STORE_H
#define RG_COUNTER_STORE_H

#include "datatype/timestamp.h"

#include "counter.h"

/* Adds what rate_counter holds to shared memory, and tells how many found a place. */
extern int64 rg_counter_load(void);

/*
 * Writes every counter that moved and deletes rows that are past; tells how
 * many moved.  Until rg_counter_flushed() has been called, which is after the
 * commit, an exit of the process marks them dirty again.
 */
extern int64 rg_counter_flush(void);
extern void rg_counter_flushed(void);

/* As the table and the view spell it. */
extern const char *rg_counter_class_name(RgCounterClass class);
extern Datum rg_counter_value_datum(const RgCounter *counter);

/* Nanoseconds of CLOCK_REALTIME as a timestamp, rounded up. */
extern TimestampTz rg_wall_timestamp(int64 wall);

#endif
