/*
 * exchange.h
 *		What is known of a request until it is answered and logged.
 */
#ifndef RG_EXCHANGE_H
#define RG_EXCHANGE_H

#include <netinet/in.h>

#include "forwarded.h"
#include "request_id.h"
#include "trace.h"

struct RgConn;
struct RgHttpHead;

typedef struct RgExchange
{
	/* These point into the request's bytes, or into the job's frame */
	RgSlice		method;
	RgSlice		path;

	int			minor;			/* HTTP/1.minor */
	bool		keep_alive;		/* may the connection be used again? */
	bool		head_only;		/* HEAD: as GET, without the body */
	bool		gzip;			/* the answer may be compressed */
	bool		gzip_public;	/* so may one that is no secret */
	bool		metrics;		/* by METRICS_LISTEN: not counted among
								 * requests */
	bool		sent_token;		/* was there an Authorization header? */
	bool		openai;			/* does the path speak OpenAI's API
								 * (openai_path.h)? */
	bool		secure;			/* does the client speak TLS, here or to a
								 * proxy? */
	int			cors;			/* its Origin's number among those that are
								 * allowed; 0: none (cors.h) */
	RgAddress	client;
	char		client_text[INET6_ADDRSTRLEN];
	char		request_id[RG_REQUEST_ID_MAX];
	size_t		request_id_len;
	RgTrace		trace;
	int64_t		started;		/* rg_now() when the head was complete */
	int64_t		queued_us;		/* waited for a connection to the database */
	int64_t		database_us;	/* from sending to the Sync */
} RgExchange;

/*
 * Begins the exchange of a request whose head has been read, or of one that
 * could not be: then of the headers that came whole.
 */
extern void rg_exchange_begin(RgExchange *exchange, const struct RgConn *conn,
							  const struct RgHttpHead *head);

static inline RgSlice
rg_exchange_id(const RgExchange *exchange)
{
	return rg_slice(exchange->request_id, exchange->request_id_len);
}

/* The same with a NUL behind it. */
static inline const char *
rg_exchange_id_text(const RgExchange *exchange, char text[RG_REQUEST_ID_MAX + 1])
{
	memcpy(text, exchange->request_id, exchange->request_id_len);
	text[exchange->request_id_len] = '\0';
	return text;
}

#endif
