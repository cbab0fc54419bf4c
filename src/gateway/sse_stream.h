/*
 * sse_stream.h
 *		The streams that a worker has clients of.  Private to sse.c and sse_read.c.
 */
#ifndef RG_SSE_STREAM_H
#define RG_SSE_STREAM_H

#include "conn.h"
#include "sse_text.h"

struct RgSseStream;

typedef struct RgSseClient
{
	RgConn	   *conn;
	struct RgSseStream *stream;
	struct RgSseClient *next;	/* of the same stream */
	struct RgSseClient **place; /* what points to it there */
	struct RgSseClient *later;	/* of all, by sent_at */
	struct RgSseClient *earlier;
	int64_t		after;			/* the event that it was sent last */
	int64_t		sent_at;		/* when it was sent anything */
	int64_t		until;			/* when it has to come back */
	bool		stalled;		/* it is not sent more until it takes what it
								 * has */
} RgSseClient;

typedef struct RgSseList
{
	RgSseClient *first;
	RgSseClient *last;
	int			count;
} RgSseList;

typedef struct RgSseStream
{
	struct RgSseStream *next;	/* of the same hash */
	struct RgSseStream *next_due;
	RgSseClient *clients;
	int64_t		number;
	int64_t		last_id;		/* as far as it is known */
	int64_t		asked_after;	/* the last time that it was read */
	bool		due;			/* in the list of those to be read */
	bool		reading;
	char		token[RG_SSE_TOKEN_LEN + 1];
} RgSseStream;

extern void rg_sse_list_append(RgSseList *list, RgSseClient *client);
extern void rg_sse_list_remove(RgSseList *list, RgSseClient *client);

/* False when memory is used up. */
extern bool rg_sse_stream_join(RgSseClient *client, const RgSseOrder *order)
			__attribute__((warn_unused_result));

/* The last one out ends the stream, unless it is being read or due. */
extern void rg_sse_stream_leave(RgSseClient *client);
extern void rg_sse_stream_release(RgSseStream *stream);

/* NULL: nobody follows it. */
extern RgSseStream *rg_sse_stream_find(int64_t number);

/* One after the other: NULL gives the first, after the last comes NULL. */
extern RgSseStream *rg_sse_stream_next(const RgSseStream *stream);

#endif
