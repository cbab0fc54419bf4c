/*
 * sse_read.h
 *		Waits for news of streams, and reads them.  Private to sse.c, which sends.
 */
#ifndef RG_SSE_READ_H
#define RG_SSE_READ_H

#include "sse_stream.h"

#define RG_SSE_MAX_PENDING 65536	/* bytes, beyond which a client is stalled */

/* Begins to wait for news, unless that has been done. */
extern void rg_sse_read_start(struct RgWorker *worker);

/* Reads what the stream's clients have not been sent: at the next turn; now. */
extern void rg_sse_read_soon(RgSseStream *stream);
extern void rg_sse_read_now(RgSseStream *stream);

/* In sse.c: false when the client has gone with it; ends the answer. */
extern bool rg_sse_send(RgSseClient *client, RgSlice bytes);
extern void rg_sse_end(RgSseClient *client, bool whole);

#endif
