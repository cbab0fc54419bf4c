/*
 * stats_guard.h
 *		Nothing secret in pg_stat_statements.
 */
#ifndef RG_STATS_GUARD_H
#define RG_STATS_GUARD_H

extern void rg_stats_guard_init(void);

#endif
