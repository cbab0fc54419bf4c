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
 * While draining: closes those that have waited for their next request for a
 * quarter of a second, or for their first for a second.  Who is at work sends
 * sooner, and learns from the answer that it is the last; browsers connect
 * ahead, and may never send.
 */
extern void rg_conn_close_idle(struct RgWorker *worker);

#endif
