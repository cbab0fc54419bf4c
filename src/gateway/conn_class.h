/*
 * conn_class.h
 *		A list of connections for each thing that they wait for.
 *
 * All of a class have the same time, from when they entered it: so the first
 * of its list is the first whose time is up.
 */
#ifndef RG_CONN_CLASS_H
#define RG_CONN_CLASS_H

#include "conn.h"

/* Puts a connection that is in none into a class. */
extern void rg_conn_class_enter(RgConn *conn, RgConnClass class);

/* Takes it out of its class. */
extern void rg_conn_class_leave(RgConn *conn);

/* Moves it to another; to its own, its time begins anew. */
extern void rg_conn_class_set(RgConn *conn, RgConnClass class);

/* Closes, or answers with 408, those whose time is up. */
extern void rg_conn_expire(struct RgWorker *worker, int64_t now);

/*
 * While draining: closes those that wait for their next request, and of those
 * that wait for their first whichever have had a second.  Who connects a moment
 * before the end means to send, but browsers connect ahead and may never do so.
 */
extern void rg_conn_close_idle(struct RgWorker *worker);

#endif
