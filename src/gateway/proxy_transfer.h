/*
 * proxy_transfer.h
 *		A request that is with an upstream; what the proxy's files share.
 */
#ifndef RG_PROXY_TRANSFER_H
#define RG_PROXY_TRANSFER_H

#include "conn.h"
#include "exchange.h"
#include "job.h"
#include "proxy_headers.h"
#include "proxy_loop.h"
#include "proxy_order.h"

/* While so much waits for the client, nothing is read from the upstream. */
#define RG_PROXY_PENDING 262144

typedef struct RgProxy
{
	RgTransfer	transfer;		/* first: proxy_loop.h */
	struct RgProxy *previous;
	struct RgProxy *next;
	RgConn	   *conn;			/* who waits; NULL: nobody, or not any more */
	RgProxyOrder order;
	RgExchange	exchange;		/* points into bytes */
	RgJobBytes	bytes;
	struct curl_slist *lines;
	char	   *route;			/* the template, and behind it own */
	RgSlice		own;			/* the gateway's header lines for the answer */

	/* The answer */
	char	   *head;			/* its header lines so far; NULL: none */
	size_t		head_len;
	bool		unclean;		/* an idle connection had something to say */
	bool		headed;			/* its head has been dealt with */
	bool		streaming;		/* its body goes to the client */
	bool		event_stream;
	bool		paused;
	int64_t		received;
	int64_t		limit;			/* rg_now() when its time is up */
	const char *reason;			/* why it was broken off; NULL: it was not */
	char		error[CURL_ERROR_SIZE];
} RgProxy;

/* Sets curl up for the request; false when memory is used up. */
extern bool rg_proxy_set_up(RgProxy *proxy, const char *ca_file)
			__attribute__((warn_unused_result));

/*
 * libcurl's callbacks: there is a connection, lines of the head, and the body.
 */
extern int	rg_proxy_on_connection(void *arg, char *remote, char *local, int remote_port,
								   int local_port);
extern size_t rg_proxy_on_header(char *data, size_t size, size_t count, void *arg);
extern size_t rg_proxy_on_body(char *data, size_t size, size_t count, void *arg);

#endif
