/*
 * completion.c
 *		Requests that a language model answers; completion.h has the contract.
 */
#include "completion.h"

#include <sodium.h>
#include <stdlib.h>

#include "clock.h"
#include "completion_call.h"
#include "completion_settle.h"
#include "conn_stream.h"
#include "header_lines.h"
#include "log.h"
#include "response.h"
#include "worker.h"

#define LEFT 499				/* in the log alone: the client did not wait */
#define LIFETIME INT64_C(3600000000)

static RgWorker *worker;
static RgCompletion *calls = NULL;
static int64_t count = 0;

static void
on_free(RgTransfer *transfer)
{
	rg_completion_clean_up((RgCompletion *) transfer);
}

static const RgTransferCalls transfer_calls = {rg_completion_on_done, on_free};

void
rg_completion_init(RgWorker *own)
{
	worker = own;
	rg_settle_init(&own->writes);
}

/*
 * The end
 */

static void
log_failure(const RgCompletion *call, const char *reason)
{
	char		request_id[RG_REQUEST_ID_MAX + 1];
	char		status[16] = "";
	RgText		text = {status, sizeof status - 1, 0};

	if (call->headed)
		rg_text_number(&text, call->status);
	rg_log(RG_LOG_WARNING, "a provider failed",
		   "request_id", rg_exchange_id_text(&call->exchange, request_id),
		   "upstream", call->order.upstream, "reservation", call->order.reservation,
		   "status", call->headed ? status : NULL, "error", reason, NULL);
}

/* Once: whatever follows has no say any more. */
static bool
end(RgCompletion *call, RgMetricCounter outcome)
{
	if (call->ended)
		return false;
	call->ended = true;
	rg_metrics_count(outcome, 1);
	rg_completion_charge(call);
	if (call->transfer.curl != NULL)
		rg_proxy_loop_remove(&call->transfer);
	return true;
}

void
rg_completion_finish(RgCompletion *call)
{
	if (end(call, RG_COUNT_COMPLETIONS_FINISHED))
		rg_completion_end_well(call);
}

void
rg_completion_fail(RgCompletion *call, RgMetricCounter outcome, RgProblem *problem,
				   const char *reason)
{
	if (!end(call, outcome))
		return;
	log_failure(call, reason);
	rg_completion_end_badly(call, problem);
}

static void
log_left(const RgExchange *exchange, RgSlice route)
{
	RgResponse	response = {.status = LEFT,.route = route};

	rg_response_log(exchange, &response, 0);
}

/*
 * Of an answer as a whole the rest is waited for: it costs all the same.  So is the usage
 * of a stream that has said why it ends, for whoever leaves just then would not pay for
 * what the model has thought unseen.
 */
void
rg_completion_left(RgCompletion *call)
{
	RgProblem	problem = {
		.status = LEFT,.code = RG_SLICE("client_left"),
		.detail = RG_SLICE("the client left, and the model was stopped")
	};

	bool		stops = call->order.stream && call->finish_reason[0] == '\0';

	if ((stops || !call->asked) && end(call, RG_COUNT_COMPLETIONS_LEFT))
		rg_completion_end_badly(call, &problem);
}

void
rg_completion_gone(RgConn *conn)
{
	RgCompletion *call = conn->completion;

	if (call == NULL)
		return;
	conn->completion = NULL;
	call->conn = NULL;
	log_left(&call->exchange, call->route);
	rg_completion_left(call);
}

/*
 * The beginning
 */

/* serve()'s lines, but for those that depend on what the provider answers. */
static RgSlice
put_own_lines(char *at, RgSlice lines)
{
	static const char *const later[] = {"content-type", "cache-control", NULL};
	RgText		own = {at, lines.len, 0};

	rg_header_lines_put(&own, lines, later, false);
	return rg_slice(own.data, own.len);
}

static RgSlice
put_text(char **at, RgSlice text)
{
	RgSlice		copy = {*at, text.len};

	if (text.len > 0)
		memcpy(*at, text.data, text.len);
	*at += text.len;
	return copy;
}

/* The reply's bytes and the request's do not outlive the start. */
static bool
keep_texts(RgCompletion *call, RgSlice route, RgSlice lines)
{
	const RgExchange *exchange = &call->exchange;
	char	   *at = malloc(exchange->method.len + exchange->path.len + route.len + lines.len + 1);

	call->texts = at;
	if (at == NULL)
		return false;
	call->exchange.method = put_text(&at, exchange->method);
	call->exchange.path = put_text(&at, exchange->path);
	call->route = put_text(&at, route);
	call->own = put_own_lines(at, lines);
	return true;
}

static void
list_call(RgCompletion *call)
{
	call->next = calls;
	if (calls != NULL)
		calls->previous = call;
	calls = call;
	count++;
}

static void
set_times(RgCompletion *call)
{
	int64_t		now = rg_now();

	call->limit = now + call->order.answer_ms * 1000;
	call->until = now + LIFETIME;
	call->lease_until = now + call->order.lease_ms * 1000;
	call->extend_at = now + call->order.lease_ms * 500;
}

/* NULL when memory is used up; else the order is its own. */
static RgCompletion *
new_call(RgConn *conn, const RgJob *job, const RgReply *reply, RgProviderOrder *order)
{
	RgCompletion *call = calloc(1, sizeof *call);

	if (call == NULL)
		return NULL;
	call->exchange = job->exchange;
	call->order = *order;
	if (!keep_texts(call, reply->route, reply->headers))
	{
		free(call);
		return NULL;
	}
	memset(order, 0, sizeof *order);
	call->worker = worker;
	call->transfer.calls = &transfer_calls;
	call->conn = conn;
	if (conn != NULL)
		conn->completion = call;
	set_times(call);
	list_call(call);
	rg_completion_open(call);
	return call;
}

/* Before anything was asked. */
static void
refuse(RgCompletion *call)
{
	RgProblem	problem = {
		.status = 503,.code = RG_SLICE("upstream_busy"),
		.detail = RG_SLICE("too many requests are with the provider of the model")
	};

	rg_completion_fail(call, RG_COUNT_COMPLETIONS_REFUSED, &problem, "too many completions are under way");
}

static void
start(RgCompletion *call)
{
	if (call->conn == NULL)
	{
		log_left(&call->exchange, call->route);
		rg_completion_left(call);
	}
	else if (count > worker->config->completion_limit ||
			 (worker->draining && call->order.stream))
		refuse(call);
	else if (rg_completion_set_up(call, worker->config->proxy_ca_file))
		rg_proxy_loop_add(&call->transfer);
	else
		rg_completion_on_done(&call->transfer, CURLE_OUT_OF_MEMORY);
}

static void
answer_internal(RgConn *conn, const RgJob *job, RgSlice route, const char *why)
{
	RgProblem	problem = {.status = 500,.code = RG_SLICE("internal")};

	rg_log(RG_LOG_ERROR, why, NULL);
	rg_respond_problem(conn, &job->exchange, &problem, route, rg_slice(NULL, 0));
}

/* One that ended its side has left, as it has while the provider works. */
static RgConn *
who_waits(RgConn *conn)
{
	if (conn == NULL || !conn->ended)
		return conn;
	rg_conn_close(conn);
	return NULL;
}

/* NULL where that cannot be, which is told. */
static RgCompletion *
take_order(RgConn *conn, const RgJob *job, const RgReply *reply)
{
	RgProviderOrder order;
	bool		valid = rg_provider_order_read(reply->order, &order);
	RgCompletion *call;

	sodium_memzero((char *) reply->order.data, reply->order.len);
	if (!valid)
	{
		answer_internal(conn, job, reply->route, "the database's order to ask a provider is malformed");
		return NULL;
	}
	call = new_call(who_waits(conn), job, reply, &order);
	if (call == NULL)
		answer_internal(conn, job, reply->route, "no memory for a completion");
	rg_provider_order_free(&order);
	return call;
}

void
rg_completion_start(RgConn *conn, const RgJob *job, const RgReply *reply)
{
	RgCompletion *call = take_order(conn, job, reply);

	if (call != NULL)
		start(call);
}

void
rg_completion_drop(const RgJob *job, const RgReply *reply)
{
	RgCompletion *call = take_order(NULL, job, reply);

	if (call != NULL)
		rg_completion_left(call);
}

/*
 * Going on
 */

static void
free_call(RgCompletion *call)
{
	if (call->previous != NULL)
		call->previous->next = call->next;
	else
		calls = call->next;
	if (call->next != NULL)
		call->next->previous = call->previous;
	count--;
	rg_completion_clean_up(call);
	rg_completion_events_free(&call->kept);
	rg_provider_order_free(&call->order);
	rg_sse_parser_free(&call->parser);
	rg_growing_free(&call->body);
	rg_growing_free(&call->reply);
	free(call->texts);
	free(call);
}

static bool
is_over(const RgCompletion *call)
{
	return call->ended && call->transfer.curl == NULL && call->conn == NULL && !call->extending &&
		rg_completion_events_done(&call->kept);
}

/* The client's own limit runs while it is waited for. */
static void
expire(RgCompletion *call, int64_t now)
{
	RgProblem	problem = rg_completion_timeout_problem();

	if (call->ended || ((call->paused || now < call->limit) && now < call->until))
		return;
	rg_completion_fail(call, RG_COUNT_COMPLETIONS_FAILED, &problem,
					   call->headed ? "nothing more came in time" : "it did not answer in time");
}

void
rg_completion_tick(int64_t now)
{
	RgCompletion *next;

	rg_settle_tick(now);
	for (RgCompletion *call = calls; call != NULL; call = next)
	{
		next = call->next;
		expire(call, now);
		rg_completion_lease_tick(call, now);
		rg_completion_client_tick(call, now);
		if (is_over(call))
			free_call(call);
	}
}

void
rg_completion_drain(void)
{
	RgProblem	problem = {
		.status = 503,.code = RG_SLICE("unavailable"),
		.detail = RG_SLICE("the gateway is being stopped, and the model was")
	};

	for (RgCompletion *call = calls; call != NULL; call = call->next)
		if (call->order.stream)
			rg_completion_fail(call, RG_COUNT_COMPLETIONS_FAILED, &problem, "the gateway is being stopped");
}

bool
rg_completion_idle(void)
{
	return calls == NULL && rg_settle_pending() == 0;
}
