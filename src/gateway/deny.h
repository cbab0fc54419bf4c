/*
 * deny.h
 *		Answers refusals from memory; deny_cache.h says which.
 */
#ifndef RG_DENY_H
#define RG_DENY_H

#include "config.h"
#include "conn.h"
#include "frame.h"

/* Makes the worker's cache, unless DENY_CACHE=off. */
extern void rg_deny_init(const RgConfig *config);

/* Answers the request if it is to be refused again; false if not. */
extern bool rg_deny_answer(RgConn *conn, const RgExchange *exchange,
						   const RgRequest *request);

/* Remembers the database's refusal of the job, if the reply is one. */
extern void rg_deny_note(const RgJob *job, const RgReply *reply);

#endif
