/*
 * conn_stream.c
 *		Answers whose body comes bit by bit; conn_stream.h has the contract.
 */
#include "conn_stream.h"

#include <stdio.h>
#include <stdlib.h>

#include "log.h"
#include "worker.h"

#define HEAD_SIZE 16384
#define MAX_NAMES 4096			/* of method, path and route, for the log */

typedef struct RgConnStream
{
	const RgStreamer *streamer;
	void	   *arg;
	bool		chunked;
	bool		until_close;	/* only the connection's end ends the body */
	int			status;
	size_t		bytes;
	RgSlice		route;
	RgExchange	exchange;
	char		names[];		/* what the exchange and the route point to */
} RgConnStream;

static RgSlice
copy_name(RgSlice name, char **at, size_t room)
{
	RgSlice		copy = {*at, name.len < room ? name.len : room};

	memcpy(*at, name.data, copy.len);
	*at += copy.len;
	return copy;
}

/* The bytes that the exchange points to will be gone when it is logged. */
static RgConnStream *
new_stream(const RgExchange *exchange, const RgResponse *response)
{
	size_t		room = exchange->method.len + exchange->path.len + response->route.len;
	RgConnStream *stream;
	char	   *at;

	room = room < MAX_NAMES ? room : MAX_NAMES;
	stream = calloc(1, sizeof *stream + room);
	if (stream == NULL)
		return NULL;
	at = stream->names;
	stream->exchange = *exchange;
	stream->status = response->status;
	stream->exchange.method = copy_name(exchange->method, &at, room);
	stream->route = copy_name(response->route, &at, stream->names + room - at);
	stream->exchange.path = copy_name(exchange->path, &at, stream->names + room - at);
	return stream;
}

static void
log_stream(const RgConnStream *stream)
{
	RgResponse	response = {.status = stream->status,.route = stream->route};

	rg_response_log(&stream->exchange, &response, stream->bytes);
}

/* The connection is not streaming any more. */
static void
free_stream(RgConn *conn)
{
	log_stream(conn->stream);
	free(conn->stream);
	conn->stream = NULL;
}

static void
send_bytes(RgConn *conn, RgSlice bytes)
{
	struct iovec piece = {(void *) bytes.data, bytes.len};

	rg_conn_send(conn, &piece, 1);
}

/* False when the head is too long. */
static bool
send_head(RgConn *conn, const RgExchange *exchange, const RgResponse *response, int64_t length)
{
	static char buffer[HEAD_SIZE];
	RgText		head = {buffer, sizeof buffer, 0};

	rg_response_head(&head, exchange, response, length);
	if (head.len > head.cap)
		return false;
	send_bytes(conn, rg_slice(buffer, head.len));
	return true;
}

static bool
refuse(RgConn *conn, const RgExchange *exchange, const RgResponse *response)
{
	RgProblem	problem = {.status = 500,.code = RG_SLICE("internal")};

	rg_log(RG_LOG_ERROR, "an answer cannot be streamed: its head is too long, or memory is used up",
		   NULL);
	rg_respond_problem(conn, exchange, &problem, response->route, rg_slice(NULL, 0));
	return false;
}

/* The head was all of it, or the client has gone before more could follow. */
static bool
end_at_head(RgConn *conn, RgConnStream *stream)
{
	bool		keep_alive = stream->exchange.keep_alive;

	log_stream(stream);
	free(stream);
	rg_conn_answered(conn, keep_alive);
	return false;
}

bool
rg_conn_stream(RgConn *conn, const RgExchange *exchange, const RgResponse *response,
			   int64_t content_length, const RgStreamer *streamer, void *arg)
{
	RgConnStream *stream = new_stream(exchange, response);
	bool		has_body = rg_response_has_body(exchange, response->status);

	if (stream == NULL)
		return refuse(conn, exchange, response);
	stream->streamer = streamer;
	stream->arg = arg;
	stream->chunked = content_length < 0 && exchange->minor > 0;
	stream->until_close = content_length < 0 && !stream->chunked;
	stream->exchange.keep_alive &= !has_body || !stream->until_close;
	if (!send_head(conn, &stream->exchange, response, content_length))
	{
		free(stream);
		return refuse(conn, exchange, response);
	}
	if (!has_body || conn->state == RG_CONN_CLOSED)
		return end_at_head(conn, stream);
	conn->stream = stream;
	rg_conn_streaming(conn);
	return true;
}

void
rg_conn_stream_write(RgConn *conn, RgSlice bytes)
{
	char		size[24];
	struct iovec pieces[3] = {{size, 0}, {(void *) bytes.data, bytes.len}, {"\r\n", 2}};

	if (bytes.len == 0)			/* a chunk without bytes would be the last */
		return;
	conn->stream->bytes += bytes.len;
	if (conn->stream->chunked)
	{
		pieces[0].iov_len = snprintf(size, sizeof size, "%zx\r\n", bytes.len);
		rg_conn_send(conn, pieces, 3);
	}
	else
		rg_conn_send(conn, &pieces[1], 1);
	rg_conn_streaming(conn);
}

size_t
rg_conn_stream_pending(const RgConn *conn)
{
	return conn->output.len - conn->output.at;
}

void
rg_conn_stream_end(RgConn *conn, bool whole)
{
	bool		keep_alive = conn->stream->exchange.keep_alive && whole && !conn->worker->draining;
	bool		chunked = conn->stream->chunked;
	bool		reset = conn->stream->until_close && !whole;

	free_stream(conn);
	if (reset)
	{
		rg_conn_reset(conn);	/* the only sign of an end before the end */
		return;
	}
	if (chunked && whole)
		send_bytes(conn, RG_SLICE("0\r\n\r\n"));
	rg_conn_answered(conn, keep_alive);
}

void
rg_conn_stream_drained(RgConn *conn)
{
	rg_conn_streaming(conn);
	conn->stream->streamer->drained(conn->stream->arg);
}

void
rg_conn_stream_gone(RgConn *conn)
{
	RgConnStream *stream = conn->stream;

	if (stream == NULL)
		return;
	log_stream(stream);
	conn->stream = NULL;
	stream->streamer->gone(stream->arg);
	free(stream);
}
