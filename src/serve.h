/*
 * serve.h
 *		A request becomes an answer.
 */
#ifndef RG_SERVE_H
#define RG_SERVE_H

#include "answer.h"

/* Hooks of the log; called from _PG_init. */
extern void rg_serve_init(void);

/*
 * Serves one request: finds its route, checks limits, identity and values,
 * runs its statement.  Refusals are answers; what fails otherwise is an error,
 * which ends the transaction.  Everything a request changes but its data ends
 * with the call: identity, rights, settings, session locks, deferred triggers.
 */
extern void rg_serve(const RgRequest *request, RgAnswer *answer);

#endif
