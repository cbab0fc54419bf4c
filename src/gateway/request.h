/*
 * request.h
 *		What is done with a request: checks, then an answer from here or from
 *		the database.
 */
#ifndef RG_REQUEST_H
#define RG_REQUEST_H

#include "conn.h"
#include "http1.h"

/*
 * A head has been read.  Answers it, or calls rg_conn_read_body() or
 * rg_conn_wait().  body_there: bytes of the body have come along.
 */
extern void rg_request_head(RgConn *conn, const RgHttpHead *head, bool body_there);

/* The body of conn->job is complete. */
extern void rg_request_body(RgConn *conn);

/* What came is no request; status and reason are the parser's. */
extern void rg_request_malformed(RgConn *conn, const RgHttpHead *head, int status);

/* The body is refused, or came too slowly. */
extern void rg_request_bad_body(RgConn *conn, int status, const char *why);

/* Called by lane.c, once a job; conn may have left (NULL). */
extern void rg_request_done(RgJob *job, RgOutcome outcome);

/* Called by lane.c: now there is an answer, or none will come, to one that was done before. */
extern void rg_request_late(RgJob *job);

#endif
