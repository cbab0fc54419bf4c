/*
 * config_cache.h
 *		A backend's copies of the configuration tables (issuers, keys, rate
 *		policies, routes).
 *
 * Every configuration table carries the trigger relay_guard.config_changed(),
 * which sends a relcache invalidation; config_cache.c hears it in every
 * backend and marks that table's copy stale.  The next rg_config_get() reads
 * the table again, under the latest snapshot and never the transaction's: a
 * backend that sits in REPEATABLE READ would reload the old state and keep a
 * retired key for ever.
 */
#ifndef RG_CONFIG_CACHE_H
#define RG_CONFIG_CACHE_H

#include "access/skey.h"
#include "access/tableam.h"
#include "utils/relcache.h"

typedef struct RgConfigCache
{
	const char *table;			/* its name, in schema relay_guard */
	int			natts;			/* columns that are read, by position */

	/*
	 * Builds the copy in context, which is current and becomes its own; rows
	 * come from rg_config_next().  previous is the copy being replaced, or
	 * NULL.  No function for a table that is not copied, whose rows
	 * rg_config_find() looks up.
	 */
	void	   *(*load) (TableScanDesc scan, MemoryContext context, void *previous);

	/* private to config_cache.c */
	struct RgConfigCache *next;
	Oid			relid;
	bool		valid;
	uint64		generation;		/* bumped by every invalidation */
	MemoryContext context;
	void	   *content;
} RgConfigCache;

/* Makes the cache known; called once, from _PG_init. */
extern void rg_config_register(RgConfigCache *cache);

/*
 * The current copy of the table.  What it returns, and all it points to, stays
 * until the end of the transaction, even if the table changes meanwhile.
 * Needs no privilege on the table.
 */
extern void *rg_config_get(RgConfigCache *cache);

/*
 * How often the table has changed, as far as this backend has heard.  To be
 * read before what is looked up: a verdict of the same generation still holds.
 */
extern uint64 rg_config_generation(RgConfigCache *cache);

/*
 * Looks a row up by a unique index of the table, under the latest snapshot; needs
 * no privilege.  True with the row's natts attributes in values and nulls, copies in
 * the current context.
 */
extern bool rg_config_find(RgConfigCache *cache, const char *index, ScanKey keys, int nkeys,
						   Datum *values, bool *nulls)
			__attribute__((warn_unused_result));

/*
 * The next row, all its attributes in values and nulls (each of the table's
 * natts); false after the last.  By-reference values live until the next call.
 */
extern bool rg_config_next(TableScanDesc scan, Datum **values, bool **nulls);

/* The elements of a text[] without NULLs, NUL-terminated copies. */
extern char **rg_config_texts(Datum value, int *count);

#endif
