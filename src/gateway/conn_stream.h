/*
 * conn_stream.h
 *		An answer whose body comes bit by bit.
 *
 * Its length may be unknown: then HTTP/1.1 has it in chunks, and HTTP/1.0 until
 * the connection closes.  What the client does not take is kept; who writes
 * should wait while much is pending.
 */
#ifndef RG_CONN_STREAM_H
#define RG_CONN_STREAM_H

#include "conn.h"
#include "response.h"

typedef struct RgStreamer
{
	void		(*drained) (void *arg); /* nothing is pending any more */
	void		(*gone) (void *arg);	/* the connection closes; the last
										 * call */
} RgStreamer;

/*
 * Sends the head; the response's body is not looked at.  content_length is -1
 * where it is not known.  False when the answer has no body (HEAD, 204, 304), the
 * client has gone, or memory: then it has been dealt with, and no callback follows.
 */
extern bool rg_conn_stream(RgConn *conn, const RgExchange *exchange, const RgResponse *response,
						   int64_t content_length, const RgStreamer *streamer, void *arg)
			__attribute__((warn_unused_result));

/* Sends some of the body.  May close the connection, and call gone. */
extern void rg_conn_stream_write(RgConn *conn, RgSlice bytes);

/* Bytes that the client has not taken yet. */
extern size_t rg_conn_stream_pending(const RgConn *conn);

/*
 * Ends the answer; no callback follows.  Unless whole, the client is to notice
 * that something is missing: the connection closes without the last chunk.
 */
extern void rg_conn_stream_end(RgConn *conn, bool whole);

/* Called by conn.c: the client took everything; the connection is closing. */
extern void rg_conn_stream_drained(RgConn *conn);
extern void rg_conn_stream_gone(RgConn *conn);

#endif
