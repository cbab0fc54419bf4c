/*
 * cache_change.h
 *		What the current transaction invalidates when it commits.
 */
#ifndef RG_CACHE_CHANGE_H
#define RG_CACHE_CHANGE_H

/* Beyond so many different patterns a transaction invalidates all of them. */
#define RG_CACHE_CHANGES_MAX 256

/* Registers the callbacks; called from _PG_init. */
extern void rg_cache_change_init(void);

/*
 * A row of that table has changed and told all backends, but no answer depends
 * on it other than through checks that serve() makes each time: the message
 * about it invalidates nothing.
 */
extern void rg_cache_change_ignore(Oid relid);

#endif
