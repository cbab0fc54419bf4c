/*
 * master.h
 *		The process that listens, and keeps the workers.
 */
#ifndef RG_MASTER_H
#define RG_MASTER_H

#include "config.h"

/*
 * Serves, and where SUPABASE_JWKS_URL is set, keeps keys fresh beside that.
 * Runs until SIGTERM or SIGINT; takes the configuration over.  SIGHUP reads it
 * again (but for LISTEN, RELAY_PORT, METRICS_LISTEN and WORKERS, which need a restart), and
 * replaces one worker after the other, and the fetcher of keys at once.  Returns the exit status.
 */
extern int	rg_master_run(RgConfig *config);

#endif
