/*
 * keys.h
 *		The process that keeps the keys of the identity provider fresh.
 *
 * It fetches the set that SUPABASE_JWKS_URL names and imports it as the keys of
 * SUPABASE_JWT_ISS.  It is no part of serving: while the provider or the
 * database is away, what was imported last goes on working.
 */
#ifndef RG_KEYS_H
#define RG_KEYS_H

#include <sys/types.h>

#include "config.h"

/*
 * Before the first fork: makes what workers and that process share.  False when
 * there is no memory for it.
 */
extern bool rg_keys_share(void)
			__attribute__((warn_unused_result));

/*
 * In a worker: a token has named a key that is not known.  Costs a store to
 * memory, with or without anybody who looks there.
 */
extern void rg_keys_want(void);

/*
 * The process: fetches until SIGTERM, which ends it at once, or its master's
 * end; returns the exit status when it cannot start.
 */
extern int	rg_keys_run(const RgConfig *config, pid_t master);

#endif
