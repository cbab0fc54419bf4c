/*
 * proxy.h
 *		Requests that an upstream answers.
 *
 * serve() has made all its checks and signed who asks; the upstream gets that, the
 * body and what of the client's headers is about the request.  Its answer passes
 * bit by bit: no more of it is read than the client takes.  A client that leaves
 * takes the transfer with it.
 */
#ifndef RG_PROXY_H
#define RG_PROXY_H

#include "conn.h"
#include "proxy_order.h"

struct RgWorker;

/* Once a process; without memory for it, every such request is answered 503. */
extern void rg_proxy_init(struct RgWorker *worker);

/*
 * Lets the upstream of the reply's order answer.  conn waits for it, or is NULL
 * when the client has left: then nothing is asked.  Takes the job's bytes.
 */
extern void rg_proxy_start(RgConn *conn, RgJob *job, const RgReply *reply);

/* The same by an order that the gateway made itself, which it takes over. */
extern void rg_proxy_start_order(RgConn *conn, RgJob *job, RgProxyOrder *order,
								 RgSlice route, RgSlice headers);

/* Called by conn.c: the connection closes while it waits for an upstream. */
extern void rg_proxy_gone(RgConn *conn);

/* Ends what takes too long; some twenty times a second. */
extern void rg_proxy_tick(int64_t now);

/* Ends streams of events, whose clients come again; all others may end. */
extern void rg_proxy_drain(void);

#endif
