/*
 * sse.c
 *		Clients that follow streams of events; sse.h has the contract.
 */
#include "sse.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "ask.h"
#include "clock.h"
#include "conn_stream.h"
#include "header_lines.h"
#include "log.h"
#include "random.h"
#include "response.h"
#include "sse_read.h"
#include "sse_stream.h"
#include "worker.h"

#define PING_AFTER INT64_C(15000000)
#define HEADERS_SIZE 8192
#define KERNEL_BUFFER 65536		/* of a socket: what a slow client costs
								 * beside RG_SSE_MAX_PENDING */

static const RgSlice none = {NULL, 0};
static RgSseList everybody;		/* who was sent something longest ago is first */

static void
note_sent(RgSseClient *client)
{
	rg_sse_list_remove(&everybody, client);
	client->sent_at = rg_now();
	rg_sse_list_append(&everybody, client);
}

static void
forget(RgSseClient *client)
{
	rg_sse_list_remove(&everybody, client);
	rg_sse_stream_leave(client);
	free(client);
}

/* Who is being written to; NULL once he has gone. */
static RgSseClient *receiver;

static void
on_gone(void *arg)
{
	if (receiver == arg)
		receiver = NULL;
	forget(arg);
}

/* He took everything: there may be more by now. */
static void
on_drained(void *arg)
{
	RgSseClient *client = arg;

	if (!client->stalled)
		return;
	client->stalled = false;
	rg_sse_read_now(client->stream);
}

static const RgStreamer streamer = {on_drained, on_gone};

bool
rg_sse_send(RgSseClient *client, RgSlice bytes)
{
	note_sent(client);
	receiver = client;
	rg_conn_stream_write(client->conn, bytes);
	if (receiver == NULL)
		return false;
	receiver = NULL;
	client->stalled = rg_conn_stream_pending(client->conn) > RG_SSE_MAX_PENDING;
	return true;
}

void
rg_sse_end(RgSseClient *client, bool whole)
{
	RgConn	   *conn = client->conn;

	forget(client);
	rg_conn_stream_end(conn, whole);
}

/*
 * Ending
 */

/* Not all of them are to come back at once. */
static void
send_away(RgSseClient *client)
{
	char		line[32];
	uint16_t	jitter;

	if (client->stalled)
	{
		rg_conn_reset(client->conn);	/* it would not take the end, either */
		return;
	}
	rg_random(&jitter, sizeof jitter);
	snprintf(line, sizeof line, "retry: %d\n\n", 1000 + jitter % 4000);
	if (rg_sse_send(client, rg_slice(line, strlen(line))))
		rg_sse_end(client, true);
}

void
rg_sse_drain(void)
{
	while (everybody.first != NULL)
		send_away(everybody.first);
}

/*
 * Beginning
 */

/* What serve() says of every answer, but of its type and of caches. */
static RgSlice
stream_headers(RgSlice lines)
{
	static const char *const own[] = {"content-type", "cache-control", NULL};
	static char buffer[HEADERS_SIZE];
	RgText		text = {buffer, sizeof buffer, 0};

	rg_text_put(&text, RG_SLICE("Content-Type: text/event-stream\r\n"
								"Cache-Control: no-store, no-transform\r\nX-Accel-Buffering: no\r\n"));
	rg_header_lines_put(&text, lines, own, false);
	return rg_slice(buffer, text.len <= text.cap ? text.len : 0);
}

static void
refuse(RgConn *conn, const RgExchange *exchange, RgSlice route, RgProblem problem)
{
	rg_respond_problem(conn, exchange, &problem, route, none);
}

static RgSseClient *
new_client(RgConn *conn, const RgSseOrder *order)
{
	RgSseClient *client = calloc(1, sizeof *client);
	int64_t		lifetime = conn->worker->config->stream_lifetime;

	if (client == NULL)
		return NULL;
	client->conn = conn;
	client->after = order->after;
	client->until = lifetime > 0 ? rg_now() + lifetime : INT64_MAX;
	if (rg_sse_stream_join(client, order))
		return client;
	free(client);
	return NULL;
}

/* The kernel would keep megabytes for a client that takes nothing. */
static void
bound_kernel_buffer(const RgConn *conn)
{
	int			size = KERNEL_BUFFER;

	(void) setsockopt(conn->transport.fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
}

static void
begin(RgSseClient *client, const RgExchange *exchange, const RgResponse *response)
{
	if (!rg_conn_stream(client->conn, exchange, response, -1, &streamer, client))
	{
		rg_sse_stream_leave(client);
		free(client);
		return;
	}
	bound_kernel_buffer(client->conn);
	rg_sse_list_append(&everybody, client);
	if (client->conn->worker->draining)
		send_away(client);
	else if (rg_sse_send(client, RG_SLICE("retry: 3000\n\n")))
		rg_sse_read_now(client->stream);
}

void
rg_stream_start(RgConn *conn, const RgJob *job, const RgReply *reply)
{
	RgResponse	response = {
		.status = reply->status,.headers = stream_headers(reply->headers),
		.route = reply->route,.cacheable = true
	};
	RgProblem	broken = {.status = 500,.code = RG_SLICE("internal")};
	RgProblem	full = {
		.status = 503,.code = RG_SLICE("unavailable"),
		.detail = RG_SLICE("too many streams are being followed")
	};
	RgSseOrder	order;
	RgSseClient *client;

	if (!rg_sse_order_parse(reply->order, &order))
		refuse(conn, &job->exchange, reply->route, broken);
	else if (conn == NULL)
		rg_respond(NULL, &job->exchange, &response);
	else if ((client = new_client(conn, &order)) == NULL)
		refuse(conn, &job->exchange, reply->route, full);
	else
	{
		rg_sse_read_start(conn->worker);
		begin(client, &job->exchange, &response);
	}
}

/*
 * Going on
 */

/*
 * Of a client that was sent nothing for a while: who has been stalled all that
 * time is too slow.  Rights may have changed since a stream began: once in a while
 * its client has to come back and be checked anew.
 */
static void
look_after(RgSseClient *client, int64_t now)
{
	if (client->stalled)
		rg_conn_reset(client->conn);
	else if (now >= client->until)
		rg_sse_end(client, true);
	else if (rg_conn_stream_pending(client->conn) > 0)
		note_sent(client);
	else
		rg_sse_send(client, RG_SLICE(": ping\n\n"));
}

void
rg_sse_second(int64_t now)
{
	while (everybody.first != NULL && everybody.first->sent_at + PING_AFTER <= now)
		look_after(everybody.first, now);
}

int
rg_sse_count(void)
{
	return everybody.count;
}
