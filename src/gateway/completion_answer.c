/*
 * completion_answer.c
 *		A provider's answer: libcurl's callbacks, and what they make of it.
 */
#include "completion_call.h"

#include <strings.h>

#include "clock.h"
#include "http1.h"

#define MAX_HEAD 65536
#define MAX_WHOLE (8 << 20)		/* bytes of an answer, unless the upstream
								 * says */
#define MAX_STREAM (64 << 20)	/* the same of a stream, with all around it */
#define MAX_REFUSAL 65536		/* bytes that are looked at */
#define DEFAULT_RETRY 5			/* seconds */
#define MAX_RETRY 3600

/* Ends the transfer from one of its callbacks. */
static bool
break_off(RgCompletion *call, const char *reason)
{
	if (call->reason == NULL)
		call->reason = reason;
	return false;
}

static void
extend(RgCompletion *call)
{
	call->limit = rg_now() + call->order.idle_ms * 1000;
}

/* The request goes out now: from here on the provider may charge. */
int
rg_completion_on_connection(void *arg, char *remote, char *local, int remote_port, int local_port)
{
	RgCompletion *call = arg;

	(void) remote;
	(void) local;
	(void) remote_port;
	(void) local_port;
	call->asked = true;
	call->asked_at = rg_now();
	return CURL_PREREQFUNC_OK;
}

/*
 * The head
 */

static bool
is_event_stream(const char *type)
{
	static const char name[] = "text/event-stream";

	return type != NULL && strncasecmp(type, name, strlen(name)) == 0 &&
		strchr("; \t", type[strlen(name)]) != NULL;
}

static void
read_retry_after(RgCompletion *call)
{
	curl_off_t	seconds = 0;

	curl_easy_getinfo(call->transfer.curl, CURLINFO_RETRY_AFTER, &seconds);
	call->retry_after = seconds <= 0 ? DEFAULT_RETRY : seconds < MAX_RETRY ? seconds : MAX_RETRY;
}

static bool
begin_answer(RgCompletion *call)
{
	char	   *type = NULL;

	curl_easy_getinfo(call->transfer.curl, CURLINFO_CONTENT_TYPE, &type);
	if (!rg_completion_accepted(call) || !call->order.stream)
		return true;
	call->events = is_event_stream(type);
	if (!call->events)
		return break_off(call, "it was asked for a stream, and answered with none");
	if (call->order.shape == RG_SHAPE_REPLY || rg_completion_begin_stream(call))
		return true;
	rg_completion_left(call);
	return false;
}

/* A provider may answer before it has read everything. */
static void
drop_request(RgCompletion *call)
{
	curl_off_t	sent = 0;

	curl_easy_getinfo(call->transfer.curl, CURLINFO_SIZE_UPLOAD_T, &sent);
	if (sent >= 0 && (size_t) sent == call->order.body.len)
		rg_provider_order_drop_body(&call->order);
}

/* What it says before its answer (1xx) means nothing here. */
static bool
end_head(RgCompletion *call)
{
	curl_easy_getinfo(call->transfer.curl, CURLINFO_RESPONSE_CODE, &call->status);
	if (call->status < 200)
		return true;
	call->headed = true;
	drop_request(call);
	extend(call);
	read_retry_after(call);
	return begin_answer(call);
}

size_t
rg_completion_on_header(char *data, size_t size, size_t count, void *arg)
{
	RgCompletion *call = arg;
	RgSlice		line = {data, size * count};

	call->head_len += line.len;
	if (call->ended || call->transfer.leaving)
		return 0;
	if (call->head_len > MAX_HEAD)
		return break_off(call, "its head is too long");
	if (!call->headed && rg_http_line_blank(line) && !end_head(call))
		return 0;
	return line.len;
}

/*
 * The body
 */

static void
note_finish(RgCompletion *call, RgSlice reason)
{
	reason = rg_completion_take_piece(&reason, RG_FINISH_REASON_MAX - 1);
	if (reason.len == 0)
		return;
	memcpy(call->finish_reason, reason.data, reason.len);
	call->finish_reason[reason.len] = '\0';
}

static void
note_chunk(RgCompletion *call, const RgCompletionChunk *chunk)
{
	call->produced += chunk->produced;
	if (call->spoke_at == 0 && call->produced > 0)
		call->spoke_at = rg_now();
	if (chunk->usage.known)
	{
		call->usage = chunk->usage;
		call->counted = call->produced;
	}
	note_finish(call, chunk->finish_reason);
}

static bool
take_chunk(RgCompletion *call, RgSlice data)
{
	RgCompletionChunk chunk;
	bool		passed;

	if (!rg_completion_chunk_read(data, &chunk))
		return break_off(call, "a chunk of it is none");
	note_chunk(call, &chunk);
	if (chunk.failed)
		passed = break_off(call, "it ended with an error in a chunk's place");
	else
		passed = rg_completion_pass(call, data, &chunk) ||
			break_off(call, "it is larger than can be passed on");
	rg_completion_chunk_free(&chunk);
	return passed;
}

static bool
take_event(RgCompletion *call, const RgSseEvent *event)
{
	if (rg_slice_is(event->data, "[DONE]"))
	{
		rg_completion_finish(call);
		return false;
	}
	return take_chunk(call, event->data);
}

static bool
take_events(RgCompletion *call, RgSlice bytes)
{
	RgSseEvent	event;
	RgSseTaken	taken;

	while ((taken = rg_sse_take(&call->parser, &bytes, &event)) == RG_SSE_EVENT)
		if (!take_event(call, &event) || call->ended)
			return false;
	return taken == RG_SSE_MORE || break_off(call, "a line of it is too long");
}

/* Of a stream what the model makes counts, not what each chunk says around it. */
static int64_t
max_body(const RgCompletion *call)
{
	return call->events ? MAX_STREAM :
		call->order.max_response > 0 ? call->order.max_response : MAX_WHOLE;
}

static bool
fits(const RgCompletion *call)
{
	return call->received <= max_body(call) &&
		(call->order.max_response == 0 || (int64_t) call->produced <= call->order.max_response);
}

/* Of a refusal only the beginning counts. */
static bool
keep_refusal(RgCompletion *call, RgSlice bytes)
{
	(void) !rg_growing_append(&call->body, bytes, MAX_REFUSAL);
	return call->received <= max_body(call) || break_off(call, "its refusal is too long");
}

static bool
take_body(RgCompletion *call, RgSlice bytes)
{
	call->received += bytes.len;
	if (!rg_completion_accepted(call))
		return keep_refusal(call, bytes);
	extend(call);
	if (!fits(call))
		return break_off(call, "it is larger than max_response");
	if (call->events)
		return take_events(call, bytes);
	return rg_growing_append(&call->body, bytes, max_body(call)) ||
		break_off(call, "memory is used up");
}

size_t
rg_completion_on_body(char *data, size_t size, size_t count, void *arg)
{
	RgCompletion *call = arg;
	RgSlice		bytes = {data, size * count};

	if (call->ended || call->transfer.leaving || !call->headed)
		return 0;
	if (rg_completion_pending(call) > RG_COMPLETION_PENDING)
	{
		call->paused = true;
		return CURL_WRITEFUNC_PAUSE;
	}
	return take_body(call, bytes) ? bytes.len : 0;
}

void
rg_completion_resume(RgCompletion *call)
{
	if (!call->paused || call->transfer.curl == NULL ||
		rg_completion_pending(call) > RG_COMPLETION_PENDING)
		return;
	call->paused = false;
	extend(call);
	rg_proxy_loop_resume(&call->transfer);
}

/*
 * The end
 */

static void
fail(RgCompletion *call, CURLcode code)
{
	RgProblem	problem = rg_completion_transfer_problem(call->asked ? CURLE_WEIRD_SERVER_REPLY : code);
	const char *reason = call->reason != NULL ? call->reason :
	*call->error != '\0' ? call->error : curl_easy_strerror(code);

	rg_completion_fail(call, RG_COUNT_COMPLETIONS_FAILED, &problem, reason);
}

static void
refuse(RgCompletion *call)
{
	RgProblem	problem = rg_completion_answer_problem(call);
	bool		by_key = call->status == 401 || call->status == 403;

	rg_completion_fail(call, problem.status < 500 ? RG_COUNT_COMPLETIONS_REFUSED :
					   RG_COUNT_COMPLETIONS_FAILED, &problem,
					   by_key ? "it refuses the key" : NULL);
}

/* The client of RG_SHAPE_EVENTS has its head only now. */
static bool
pass_whole(RgCompletion *call, const RgCompletionChunk *chunk)
{
	if (call->order.shape == RG_SHAPE_OPENAI)
		return true;
	if (call->order.shape == RG_SHAPE_EVENTS && call->conn != NULL && !rg_completion_begin_stream(call))
		return true;
	return rg_completion_pass(call, chunk->text, chunk);
}

static void
end_whole(RgCompletion *call)
{
	RgCompletionChunk chunk;
	bool		passed;

	if (!rg_completion_whole_read(rg_growing_slice(&call->body), &chunk))
	{
		break_off(call, "its answer is no JSON object");
		fail(call, CURLE_WEIRD_SERVER_REPLY);
		return;
	}
	call->whole = !chunk.failed;
	note_chunk(call, &chunk);
	passed = !chunk.failed && pass_whole(call, &chunk);
	rg_completion_chunk_free(&chunk);
	if (passed)
		rg_completion_finish(call);
	else
		fail(call, CURLE_WEIRD_SERVER_REPLY);
}

/* Some providers end a stream without [DONE]; none ends one without a reason. */
static void
end_stream(RgCompletion *call)
{
	if (call->finish_reason[0] != '\0')
		rg_completion_finish(call);
	else
	{
		break_off(call, "it ended before its end");
		fail(call, CURLE_WEIRD_SERVER_REPLY);
	}
}

void
rg_completion_on_done(RgTransfer *transfer, CURLcode code)
{
	RgCompletion *call = (RgCompletion *) transfer;

	if (call->ended)
		rg_proxy_loop_remove(transfer);
	else if (call->headed && !rg_completion_accepted(call) && call->reason == NULL)
		refuse(call);
	else if (code != CURLE_OK || call->reason != NULL || !call->headed)
		fail(call, code);
	else if (call->events)
		end_stream(call);
	else
		end_whole(call);
}
