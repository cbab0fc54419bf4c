/*
 * counter_purge.h
 *		Counters of what was dropped.
 */
#ifndef RG_COUNTER_PURGE_H
#define RG_COUNTER_PURGE_H

/*
 * From now on DROP EXTENSION and DROP DATABASE free the database's counters
 * and totals, once they have been committed.
 */
extern void rg_counter_purge_init(void);

#endif
