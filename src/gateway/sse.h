/*
 * sse.h
 *		Clients that follow streams of events (text/event-stream).
 *
 * A worker has one connection to the database on which it waits for news of any
 * stream, from the first client on; what is new it reads on the lane for reads,
 * once for all clients of a stream.  A client is where the last event that it was
 * sent is, so it makes no difference whether it has just come, was slow, or the
 * database was away: what follows is read.
 *
 * Who does not take what he is sent gets no more until he has, and is closed if he
 * has not after 15 s; he may come back and go on where he was.
 */
#ifndef RG_SSE_H
#define RG_SSE_H

#include "conn.h"
#include "frame.h"

struct RgWorker;

/* Answers with the stream that the reply orders; conn may be NULL. */
extern void rg_stream_start(RgConn *conn, const RgJob *job, const RgReply *reply);

/* Some twenty times a second; once a second; with the other lanes' flush. */
extern void rg_sse_tick(int64_t now);
extern void rg_sse_second(int64_t now);
extern void rg_sse_flush(void);

/* Ends all streams; clients are told to come back, not all at once. */
extern void rg_sse_drain(void);

/* When the worker ends. */
extern void rg_sse_close(void);

/* How many clients there are. */
extern int	rg_sse_count(void);

#endif
