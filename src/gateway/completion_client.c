/*
 * completion_client.c
 *		What a client gets of a completion, in the shape that its route says.
 */
#include "completion_call.h"

#include <stdlib.h>

#include "clock.h"
#include "conn_stream.h"
#include "response.h"
#include "worker.h"

#define PING_AFTER INT64_C(15000000)
#define MAX_REPLY (8u << 20)	/* bytes of text of RG_SHAPE_REPLY */

static void on_drained(void *arg);
static void on_gone(void *arg);

static const RgStreamer streamer = {on_drained, on_gone};

/*
 * Writing
 */

static void
send_bytes(RgCompletion *call, RgSlice bytes)
{
	call->sent_at = rg_now();
	if (call->streaming)
		rg_conn_stream_write(call->conn, bytes);
}

/* Something to put into a text, and what it is made of. */
typedef struct Piece
{
	void		(*put) (RgText *text, const struct Piece *piece);
	RgSlice		data;
	RgSlice		more;
	const RgCompletionEnd *end;
} Piece;

/* Makes the text, in a buffer that does for nearly all, and hands it on. */
static bool
make(RgCompletion *call, const Piece *piece, bool (*take) (RgCompletion *call, RgSlice text))
{
	static char buffer[65536];
	RgText		text = {buffer, sizeof buffer, 0};
	bool		taken;

	piece->put(&text, piece);
	if (text.len > text.cap)
	{
		text.cap = text.len;
		text.data = malloc(text.cap);
		if (text.data == NULL)
			return false;
		text.len = 0;
		piece->put(&text, piece);
	}
	taken = take(call, rg_slice(text.data, text.len));
	if (text.data != buffer)
		free(text.data);
	return taken;
}

static bool
take_bytes(RgCompletion *call, RgSlice text)
{
	send_bytes(call, text);
	return true;
}

static bool
take_text(RgCompletion *call, RgSlice text)
{
	return rg_completion_events_add(&call->kept, RG_SLICE("message_chunk"), text);
}

static bool
take_usage(RgCompletion *call, RgSlice text)
{
	return rg_completion_events_add(&call->kept, RG_SLICE("usage"), text);
}

static bool
take_done(RgCompletion *call, RgSlice text)
{
	return rg_completion_events_add(&call->kept, RG_SLICE("done"), text);
}

static bool
take_error(RgCompletion *call, RgSlice text)
{
	return rg_completion_events_add(&call->kept, RG_SLICE("error"), text);
}

static void
put_data(RgText *text, const Piece *piece)
{
	rg_completion_put_data(text, piece->data);
}

static void
put_text(RgText *text, const Piece *piece)
{
	rg_completion_put_text(text, piece->data);
}

static void
put_usage(RgText *text, const Piece *piece)
{
	rg_completion_put_usage(text, &piece->end->usage);
}

static void
put_done(RgText *text, const Piece *piece)
{
	rg_completion_put_done(text, piece->end);
}

static void
put_reply(RgText *text, const Piece *piece)
{
	rg_completion_put_reply(text, piece->data, piece->end);
}

static void
put_error(RgText *text, const Piece *piece)
{
	rg_completion_put_error(text, piece->data, piece->more);
}

static void
put_openai_error(RgText *text, const Piece *piece)
{
	rg_completion_put_openai_error(text, piece->data, piece->more);
}

/*
 * The client
 */

/* The connection is no business of the call's any more. */
static RgConn *
release_conn(RgCompletion *call)
{
	RgConn	   *conn = call->conn;

	if (conn != NULL && !call->streaming)
		conn->completion = NULL;
	call->conn = NULL;
	call->streaming = false;
	return conn;
}

/* What waited for the client to read may be waited for without him: nobody else resumes it. */
static void
on_gone(void *arg)
{
	RgCompletion *call = arg;

	call->conn = NULL;
	call->streaming = false;
	rg_completion_left(call);
	rg_completion_resume(call);
}

static void
on_drained(void *arg)
{
	rg_completion_resume(arg);
}

static void
end_stream(RgCompletion *call, bool whole)
{
	RgConn	   *conn;

	if (!call->streaming)
		return;
	conn = release_conn(call);
	rg_conn_stream_end(conn, whole);
}

/* Events that were kept may be sent; none: they cannot be. */
static void
on_kept(void *arg, RgSlice text)
{
	RgCompletion *call = arg;
	RgProblem	problem = {.status = 503,.code = RG_SLICE("unavailable")};

	send_bytes(call, text);
	if (call->kept.ended || call->kept.failed)
		end_stream(call, call->kept.ended);
	if (call->kept.failed)
		rg_completion_fail(call, RG_COUNT_COMPLETIONS_FAILED, &problem, "its events cannot be kept");
	else
		rg_completion_resume(call);
}

size_t
rg_completion_pending(const RgCompletion *call)
{
	return (call->streaming ? rg_conn_stream_pending(call->conn) : 0) +
		rg_completion_events_waiting(&call->kept);
}

bool
rg_completion_begin_stream(RgCompletion *call)
{
	RgConn	   *conn = call->conn;
	RgResponse	response = {
		.status = 200,.headers = call->own,.route = call->route,.cacheable = true,
		.lines = RG_SLICE("Content-Type: text/event-stream\r\n"
						  "Cache-Control: no-store, no-transform\r\nX-Accel-Buffering: no\r\n")
	};

	conn->completion = NULL;
	call->exchange.keep_alive &= !call->worker->draining;
	call->streaming = rg_conn_stream(conn, &call->exchange, &response, -1, &streamer, call);
	if (!call->streaming)
	{
		call->conn = NULL;
		return false;
	}
	call->sent_at = rg_now();
	if (call->order.shape == RG_SHAPE_EVENTS)
		send_bytes(call, RG_SLICE("retry: 3000\n\n"));
	return call->streaming;
}

void
rg_completion_open(RgCompletion *call)
{
	if (call->order.shape == RG_SHAPE_EVENTS)
		rg_completion_events_init(&call->kept, &call->order, &call->worker->writes, on_kept, call);
}

/*
 * Chunks
 */

static bool
pass_openai(RgCompletion *call, RgSlice data, const RgCompletionChunk *chunk)
{
	Piece		piece = {.put = put_data,.data = data};

	if (!chunk->choices && chunk->usage.known && !call->order.usage_asked)
		return true;
	return make(call, &piece, take_bytes);
}

static bool
pass_events(RgCompletion *call, RgSlice text)
{
	while (text.len > 0)
	{
		Piece		piece = {.put = put_text,.data = rg_completion_take_piece(&text, RG_COMPLETION_PIECE)};

		if (!make(call, &piece, take_text))
			return false;
	}
	rg_completion_events_tick(&call->kept, rg_now());
	return true;
}

bool
rg_completion_pass(RgCompletion *call, RgSlice data, const RgCompletionChunk *chunk)
{
	switch (call->order.shape)
	{
		case RG_SHAPE_OPENAI:
			return pass_openai(call, data, chunk);
		case RG_SHAPE_EVENTS:
			return pass_events(call, chunk->text);
		default:
			return rg_growing_append(&call->reply, chunk->text, MAX_REPLY);
	}
}

/*
 * The end
 */

static bool
answer_json(RgCompletion *call, RgSlice body)
{
	RgConn	   *conn = release_conn(call);
	RgResponse	response = {
		.status = 200,.headers = call->own,.body = body,.route = call->route,
		.lines = RG_SLICE("Content-Type: application/json\r\n")
	};

	call->exchange.keep_alive &= !call->worker->draining;
	if (conn != NULL)
		rg_respond(conn, &call->exchange, &response);
	return true;
}

static void
end_events(RgCompletion *call, const RgCompletionEnd *end)
{
	Piece		usage = {.put = put_usage,.end = end};
	Piece		done = {.put = put_done,.end = end};

	if (make(call, &usage, take_usage) && make(call, &done, take_done))
		rg_completion_events_end(&call->kept);
	else
		end_stream(call, false);
}

/* The text of a reply may be empty, but is never absent. */
static void
end_reply(RgCompletion *call, const RgCompletionEnd *end)
{
	Piece		reply = {.put = put_reply,.data = rg_growing_slice(&call->reply),.end = end};

	if (reply.data.data == NULL)
		reply.data = RG_SLICE("");
	if (!make(call, &reply, answer_json))
		rg_conn_close(release_conn(call));
}

static void
end_openai(RgCompletion *call)
{
	if (!call->streaming)
	{
		answer_json(call, rg_growing_slice(&call->body));
		return;
	}
	send_bytes(call, RG_SLICE("data: [DONE]\n\n"));
	end_stream(call, true);
}

void
rg_completion_end_well(RgCompletion *call)
{
	RgCompletionEnd end = {
		.model = rg_slice_of(call->order.model),
		.finish_reason = rg_slice_of(call->finish_reason),.usage = rg_completion_used(call)
	};

	if (call->order.shape == RG_SHAPE_EVENTS)
		end_events(call, &end);
	else if (call->conn == NULL)
		return;
	else if (call->order.shape == RG_SHAPE_REPLY)
		end_reply(call, &end);
	else
		end_openai(call);
}

/* A refusal of the provider's says when to come again. */
static RgSlice
problem_lines(const RgCompletion *call, const RgProblem *problem, char *buffer, size_t size)
{
	RgText		lines = {buffer, size, 0};

	rg_text_put(&lines, call->own);
	if (problem->status == 429)
	{
		rg_text_put(&lines, RG_SLICE("Retry-After: "));
		rg_text_number(&lines, call->retry_after);
		rg_text_put(&lines, RG_SLICE("\r\n"));
	}
	return rg_slice(buffer, lines.len <= size ? lines.len : 0);
}

static void
answer_problem(RgCompletion *call, RgProblem *problem)
{
	char		buffer[4096];
	RgConn	   *conn = release_conn(call);

	if (conn != NULL)
		rg_respond_problem(conn, &call->exchange, problem, call->route,
						   problem_lines(call, problem, buffer, sizeof buffer));
}

/* What is kept tells whoever comes back. */
static void
keep_error(RgCompletion *call, const RgProblem *problem)
{
	Piece		error = {.put = put_error,.data = problem->code,.more = problem->detail};

	if (!call->kept.failed && make(call, &error, take_error))
		rg_completion_events_end(&call->kept);
	else
		end_stream(call, false);
}

static void
send_error(RgCompletion *call, const RgProblem *problem)
{
	Piece		error = {.put = put_openai_error,.data = problem->code,.more = problem->detail};

	(void) make(call, &error, take_bytes);
	end_stream(call, true);
}

void
rg_completion_end_badly(RgCompletion *call, RgProblem *problem)
{
	if (!call->streaming)
		answer_problem(call, problem);
	if (call->order.shape == RG_SHAPE_EVENTS)
		keep_error(call, problem);
	else if (call->streaming)
		send_error(call, problem);
}

/* Silence, and a client that leaves unseen, end with a comment. */
void
rg_completion_client_tick(RgCompletion *call, int64_t now)
{
	rg_completion_events_tick(&call->kept, now);
	if (call->streaming && now - call->sent_at >= PING_AFTER &&
		rg_conn_stream_pending(call->conn) == 0)
		send_bytes(call, RG_SLICE(": ping\n\n"));
}
