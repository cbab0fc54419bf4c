/*
 * completion.h
 *		Requests that a language model answers.
 *
 * serve() has made all its checks and reserved what the answer may cost; the provider
 * gets the request that it wrote.  While the provider answers nothing of the
 * database is held.  Each completion is settled once, whatever became of it and of
 * its client: by the usage that the provider tells, else by an estimate that leans
 * upward.
 *
 * A client that leaves ends a stream, which is charged as far as it has come.  An
 * answer that comes as a whole is read to its end without its client: the model has
 * made it, and what it cost stands there.
 */
#ifndef RG_COMPLETION_H
#define RG_COMPLETION_H

#include "conn.h"
#include "frame.h"

struct RgWorker;

/* Once a process, after rg_proxy_init(). */
extern void rg_completion_init(struct RgWorker *worker);

/*
 * Lets the provider of the reply's order answer.  conn waits for it, or is NULL when
 * the client has left: then nothing is asked.  Wipes the order, which holds a key.
 */
extern void rg_completion_start(RgConn *conn, const RgJob *job, const RgReply *reply);

/*
 * The order has come when its client had been told that there was no answer: nothing is
 * asked, and what was reserved is given back.
 */
extern void rg_completion_drop(const RgJob *job, const RgReply *reply);

/* Called by conn.c: the connection closes while it waits for a provider. */
extern void rg_completion_gone(RgConn *conn);

/* Some twenty times a second. */
extern void rg_completion_tick(int64_t now);

/* Ends those that stream; the others may end. */
extern void rg_completion_drain(void);

/* Whether all that was begun is over and settled. */
extern bool rg_completion_idle(void);

#endif
