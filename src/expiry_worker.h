/*
 * expiry_worker.h
 *		The background workers that delete what is kept for a time: the answers
 *		to requests with an Idempotency-Key, events, sessions and webhooks.
 *		database_worker.h has what they share with others.
 */
#ifndef RG_EXPIRY_WORKER_H
#define RG_EXPIRY_WORKER_H

#include "fmgr.h"

/* The setting and the kind of work; called from _PG_init. */
extern void rg_expiry_worker_init(void);

/* Entry point of the process. */
extern PGDLLEXPORT void rg_expiry_worker_main(Datum arg);

#endif
