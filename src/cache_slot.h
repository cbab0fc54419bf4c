/*
 * cache_slot.h
 *		What tells whether a cached body is still current: how often each tag was
 *		invalidated, in shared memory.
 *
 * A slot belongs to a hash of the database and what is invalidated; two that
 * meet in one are invalidated together.  Whoever invalidates announces it
 * before its transaction commits and counts it afterwards, when the transaction
 * is visible to everybody and its catalog invalidations have been sent:
 *
 *	  A generation that was read is of invalidations that any snapshot taken
 *	  from then on sees.  A body that was made in such a snapshot is current as
 *	  long as the slot has that generation.
 *
 * In between the slot has none, and nothing is taken for current, nor kept.
 * Nobody needs to know transaction ids, and a transaction that rolls back takes
 * its announcement away.
 *
 * Everything is gone with the server, the secret included, so no validator made
 * before a restart or a crash is good after it.
 */
#ifndef RG_CACHE_SLOT_H
#define RG_CACHE_SLOT_H

#include "cache_tag.h"

#define RG_CACHE_SLOTS 16384
#define RG_CACHE_SECRET_BYTES 32

/* Parts of the shared memory hooks of counter.c. */
extern void rg_cache_slot_request_shmem(void);
extern void rg_cache_slot_startup_shmem(void);

/* False where the library was not preloaded: then nothing can be cached. */
extern bool rg_cache_slot_available(void);

/* A key for what must not be forged, random with every start of the server. */
extern const uint8 *rg_cache_secret(void);

/* The slot of a key of this database. */
extern uint32 rg_cache_slot_of(const RgCacheKey *key);

/*
 * The slot of a database's catalogs: it is invalidated by whoever changes what
 * the same statement may answer, be it a table, a policy, a right or a route.
 * InvalidOid: of the catalogs that all databases share.
 */
extern uint32 rg_cache_slot_of_catalogs(Oid database);

/* False while somebody is committing an invalidation. */
extern bool rg_cache_slot_read(uint32 slot, uint64 *generation)
			__attribute__((warn_unused_result));

/*
 * Around a commit: announces an invalidation, and ends what was announced.
 * Raise nothing.
 */
extern void rg_cache_slot_announce(uint32 slot);
extern void rg_cache_slot_end(uint32 slot, bool committed);

#endif
