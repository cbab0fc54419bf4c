/*
 * ask.h
 *		What the gateway asks the database for itself.
 */
#ifndef RG_ASK_H
#define RG_ASK_H

#include "lane.h"

/* result: rows or an error, gone after the call; NULL: no answer came. */
typedef void (*RgAskDone) (void *arg, const PGresult *result);

/*
 * Sends a statement, which runs in a transaction of its own, with parameters
 * in text format (copied, up to RG_ASK_MAX_PARAMS; sql is not copied).  done is
 * called once, at most timeout microseconds later, and perhaps at once.  False
 * when memory is used up; then it is not called.
 */
extern bool rg_ask(RgLane *lane, int64_t timeout, const char *sql, int nparams,
				   const char *const *params, RgAskDone done, void *arg)
			__attribute__((warn_unused_result));

#endif
