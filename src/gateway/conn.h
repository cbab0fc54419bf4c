/*
 * conn.h
 *		A client's connection: one request at a time.
 *
 * While a request is under way nothing is read: what a client sends ahead
 * waits in the kernel, and then in the client.  A connection that waits for a
 * request owns no buffer; input is read into the worker's, and only the rest
 * of an incomplete head is kept.
 */
#ifndef RG_CONN_H
#define RG_CONN_H

#include <event2/event_struct.h>
#include <sys/uio.h>

#include "forwarded.h"
#include "job.h"
#include "output.h"
#include "transport.h"

struct RgWorker;

typedef enum RgConnState
{
	RG_CONN_PROXY,				/* reads a PROXY protocol header */
	RG_CONN_HANDSHAKE,			/* of TLS, where that is spoken */
	RG_CONN_HEAD,				/* reads a head, or waits for one */
	RG_CONN_BODY,				/* reads a body into the job */
	RG_CONN_WAIT,				/* the database has the request */
	RG_CONN_STREAM,				/* the answer comes bit by bit: conn_stream.h */
	RG_CONN_WRITE,				/* the client has not taken all of the answer */
	RG_CONN_LINGER,				/* answered for good; reads and drops the rest */
	RG_CONN_CLOSED				/* freed at the end of this turn */
} RgConnState;

/* What a connection's time limit is for: each list has its own. */
typedef enum RgConnClass
{
	RG_CONN_IDLE,				/* between requests */
	RG_CONN_IN_HANDSHAKE,		/* since accept() */
	RG_CONN_IN_HEAD,			/* since its first byte, or since accept() or
								 * the handshake */
	RG_CONN_IN_BODY,			/* looked at every second */
	RG_CONN_IN_WRITE,			/* output.c looks at it every second */
	RG_CONN_LINGERING,
	RG_CONN_IN_DATABASE,		/* the lane has the deadline */
	RG_CONN_STREAMING,			/* whoever streams knows how long */
	RG_CONN_LISTS
} RgConnClass;

typedef struct RgBytes
{
	char	   *data;
	size_t		len;
} RgBytes;

typedef struct RgConn
{
	struct RgWorker *worker;
	struct RgConn *previous;	/* in the list of its class */
	struct RgConn *next;
	int64_t		limit;			/* rg_now() when its time is up */
	int64_t		body_since;		/* when the body began, or was last looked at */
	size_t		body_seen;		/* what had come of it then */
	struct event event;
	RgTransport transport;
	short		interest;		/* EV_READ or EV_WRITE, or neither */
	RgConnState state;
	RgConnClass class;
	bool		processing;		/* rg_conn_process() is at work */
	bool		keep_alive;		/* after the answer */
	bool		metrics;		/* it came by METRICS_LISTEN */
	bool		secure;			/* the client speaks TLS to the proxy, which
								 * says so by the PROXY protocol */
	bool		counted;		/* among those of its address (peer.h) */
	bool		ended;			/* the client has ended its side, as far as
								 * seen */
	RgBytes		input;			/* not yet understood */
	size_t		scanned;		/* of input, by rg_http_head() */
	RgOutput	output;			/* not yet taken */
	RgJob	   *job;			/* in body and wait */
	struct RgConnStream *stream;	/* in stream */
	struct RgProxy *proxy;		/* in wait: an upstream has the request */
	struct RgCompletion *completion;	/* in wait: a provider has it */
	RgAddress	peer;
	char		peer_text[INET6_ADDRSTRLEN];
} RgConn;

typedef struct RgConnList
{
	RgConn	   *first;			/* whose time is up first */
	RgConn	   *last;
	int			count;
} RgConnList;

/* Takes an accepted socket over. */
extern void rg_conn_new(struct RgWorker *worker, int fd, const struct sockaddr *peer);

/* The same for one accepted at METRICS_LISTEN; false when it had to be closed. */
extern bool rg_conn_new_metrics(struct RgWorker *worker, int fd, const struct sockaddr *peer);

/* Closes it, whatever it is doing; its memory goes at the end of the turn. */
extern void rg_conn_close(RgConn *conn);

/*
 * Closes it with a reset: the kernel gives up what it holds for the client too, and
 * the client learns that something is missing.
 */
extern void rg_conn_reset(RgConn *conn);

/* Sends; what the client does not take now follows later. */
extern void rg_conn_send(RgConn *conn, struct iovec *pieces, int count);

/* The whole answer has been given to rg_conn_send(). */
extern void rg_conn_answered(RgConn *conn, bool keep_alive);

/* The request's body is to be read into the job. */
extern void rg_conn_read_body(RgConn *conn, RgJob *job);

/* The request is with the database: wait; without a job, for what the caller asked. */
extern void rg_conn_wait(RgConn *conn, RgJob *job);

/* Called by conn_stream.c: the head was sent, or more of the body. */
extern void rg_conn_streaming(RgConn *conn);

/* Frees those that have been closed. */
extern void rg_conn_sweep(struct RgWorker *worker);

#endif
