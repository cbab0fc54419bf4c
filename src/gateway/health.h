/*
 * health.h
 *		/health and its other names, and /ready.
 */
#ifndef RG_HEALTH_H
#define RG_HEALTH_H

#include "response.h"

/* Is that path answered here, from memory? */
extern bool rg_is_health_path(RgSlice path);

/* Lives: always 200. */
extern void rg_respond_health(RgConn *conn, const RgExchange *exchange);

/*
 * Can serve: 200, or 503 with what is missing.  database is the text that
 * relay_guard.ready() returned, a JSON object of booleans and strings; NULL
 * when the database did not answer.
 */
extern void rg_respond_ready(RgConn *conn, const RgExchange *exchange,
							 const struct RgWorker *worker, const char *database);

#endif
