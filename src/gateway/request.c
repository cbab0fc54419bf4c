/*
 * request.c
 *		What is done with a request; request.h has the contract.
 *
 * Order: framing (http1.c), request id, target, host, method, headers,
 * preflights and redirects (edge.c), size, body, and then either an answer
 * from memory or the database.  Every refusal before the database is made
 * here.
 */
#include "request.h"

#include "clock.h"
#include "config.h"
#include "deny.h"
#include "edge.h"
#include "health.h"
#include "metrics_endpoint.h"
#include "represent.h"
#include "response.h"
#include "session_config.h"
#include "target.h"
#include "utf8.h"
#include "worker.h"

#define READY_TIMEOUT INT64_C(2000000)

static const RgSlice none = {NULL, 0};

/* The headers that the database may need, as it knows them. */
static const char *const forwarded[] = {
	"authorization", "cookie", "content-type", "origin", "referer", "sec-fetch-site",
	"x-csrf-token", "x-api-key", "idempotency-key", "if-none-match",
	"last-event-id", "user-agent", "range", "if-range"
};

static void
refuse(RgConn *conn, const RgExchange *exchange, int status, RgSlice code,
	   const char *detail)
{
	RgProblem	problem = {
		.status = status,.code = code,.detail = {detail, strlen(detail)}
	};

	rg_respond_problem(conn, exchange, &problem, none, none);
}

static RgExchange *
begin_exchange(RgConn *conn, const RgHttpHead *head)
{
	RgExchange *exchange = &conn->worker->exchange;

	rg_exchange_begin(exchange, conn, head);
	return exchange;
}

static bool
is_known_method(RgSlice method)
{
	static const char *const known[] = {
		"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"
	};

	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
		if (rg_slice_is(method, known[i]))
			return true;
	return false;
}

static bool
is_read(const RgExchange *exchange)
{
	return exchange->head_only || rg_slice_is(exchange->method, "GET");
}

/* Its number in the list of headers to forward, or -1. */
static int
find_forwarded(RgSlice name)
{
	for (size_t i = 0; i < sizeof forwarded / sizeof forwarded[0]; i++)
		if (rg_http_name_is(name, forwarded[i]))
			return i;
	return -1;
}

/*
 * Each at most once: which of two Authorization headers counts is a question
 * that two programs may answer differently.  Returns why not, or NULL.
 */
static const char *
forward_headers(const RgHttpHead *head, RgRequest *request)
{
	unsigned	seen = 0;

	request->nheaders = 0;
	for (int i = 0; i < head->nheaders; i++)
	{
		const RgHeader *header = &head->headers[i];
		RgHeader   *copy;
		int			which = find_forwarded(header->name);

		if (which < 0)
			continue;
		if (seen & 1u << which)
			return "a header that may come once has come twice";
		if (!rg_utf8_valid(header->value))
			return "a header's value is not UTF-8";
		seen |= 1u << which;
		copy = &request->headers[request->nheaders++];
		copy->name = rg_slice(forwarded[which], header->name.len);
		copy->value = header->value;
	}
	return NULL;
}

static void
fill_request(const RgExchange *exchange, const RgTarget *target, RgRequest *request)
{
	request->method = exchange->method;
	request->path = target->path;
	request->query = target->query;
	memcpy(request->client_ip, exchange->client.bytes, sizeof request->client_ip);
	request->request_id = rg_exchange_id(exchange);
	request->body = none;
}

/* Reads the head into the worker's request; false when it has been answered. */
static bool
check_head(RgConn *conn, const RgHttpHead *head, RgExchange *exchange)
{
	RgRequest  *request = &conn->worker->request;
	RgTarget	target;
	const char *why;

	if (!rg_target_split(head->method, head->target, &target))
	{
		exchange->path = none;
		exchange->keep_alive = false;
		refuse(conn, exchange, 400, RG_SLICE("malformed_target"), target.error);
		return false;
	}
	exchange->path = target.path;
	if (!rg_config_host_allowed(conn->worker->config, head->host))
		refuse(conn, exchange, 421, RG_SLICE("unknown_host"), "no such host is served here");
	else if (!is_known_method(head->method))
		refuse(conn, exchange, 501, RG_SLICE("unknown_method"), "the method is not known here");
	else if ((why = forward_headers(head, request)) != NULL)
	{
		exchange->keep_alive = false;
		refuse(conn, exchange, 400, RG_SLICE("malformed_header"), why);
	}
	else
	{
		fill_request(exchange, &target, request);
		rg_edge_add_headers(conn, head, exchange, request);
		rg_session_config_tell(conn->worker->config, exchange->secure, request);
		exchange->sent_token = rg_request_header(request, "authorization").data != NULL;
		rg_represent_accepts(exchange, request, head);
		return !rg_edge_answer(conn, head, exchange);
	}
	return false;
}

static void
answer_allow(RgConn *conn, const RgExchange *exchange, int status, RgSlice allow)
{
	RgProblem	problem = {
		.status = status,.code = RG_SLICE("method_not_allowed"),
		.detail = RG_SLICE("only GET and HEAD are allowed here")
	};
	RgResponse	response = {.status = status,.headers = allow};

	if (status == 204)
		rg_respond(conn, exchange, &response);
	else
		rg_respond_problem(conn, exchange, &problem, exchange->path, allow);
}

static void
answer_file(RgConn *conn, const RgExchange *exchange, RgStaticFile *file)
{
	RgSlice		if_none_match = rg_request_header(&conn->worker->request, "if-none-match");
	RgResponse	response = {
		.status = 200,.headers = file->headers,
		.route = {file->path, strlen(file->path)},.cacheable = true
	};

	rg_represent_file(exchange, file, if_none_match, &response);
	rg_respond(conn, exchange, &response);
}

/* For paths that are read only; true when the method has been dealt with. */
static bool
answer_other_method(RgConn *conn, const RgExchange *exchange)
{
	if (is_read(exchange))
		return false;
	answer_allow(conn, exchange, rg_slice_is(exchange->method, "OPTIONS") ? 204 : 405,
				 RG_SLICE("Allow: GET, HEAD, OPTIONS\r\n"));
	return true;
}

static void
submit(RgConn *conn, RgJob *job)
{
	RgWorker   *worker = conn->worker;
	int64_t		timeout = worker->config->request_timeout;

	if (job->kind == RG_JOB_READY && timeout > READY_TIMEOUT)
		timeout = READY_TIMEOUT;
	job->safe = is_read(&job->exchange);
	job->deadline = rg_now() + timeout;
	rg_conn_wait(conn, job);
	rg_lane_submit(job->safe ? &worker->reads : &worker->writes, job);
}

static void
refuse_memory(RgConn *conn, const RgExchange *exchange)
{
	refuse(conn, exchange, 503, RG_SLICE("unavailable"),
		   "too many requests are being received");
}

/* The frame outlives the bytes that were read, and so does the head, if there is one. */
static RgJob *
make_job(RgConn *conn, const RgExchange *exchange, const RgRequest *request, RgSlice head)
{
	RgJob	   *job = rg_job_new(RG_JOB_SERVE, exchange);

	if (job != NULL && rg_job_set_frame(job, request) &&
		(head.len == 0 || rg_job_keep_head(job, head)))
		return job;
	refuse_memory(conn, exchange);
	if (job != NULL)
		rg_job_free(job);
	return NULL;
}

static void
ask_ready(RgConn *conn, const RgExchange *exchange)
{
	/*
	 * the frame is not sent, but holds the path for the log; the head is gone
	 * already when there was a body
	 */
	RgJob	   *job = make_job(conn, exchange, &conn->worker->request, none);

	if (job == NULL)
		return;
	job->kind = RG_JOB_READY;
	submit(conn, job);
}

/* Answers from memory where that can be; false when the database must. */
static bool
answer_here(RgConn *conn, const RgExchange *exchange)
{
	RgStaticFile *file;

	if (rg_slice_is(exchange->path, "*"))
	{
		answer_allow(conn, exchange, 204,
					 RG_SLICE("Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n"));
		return true;
	}
	if (rg_is_health_path(exchange->path))
	{
		if (!answer_other_method(conn, exchange))
			rg_respond_health(conn, exchange);
		return true;
	}
	if (rg_slice_is(exchange->path, "/ready"))
	{
		if (!answer_other_method(conn, exchange))
			ask_ready(conn, exchange);
		return true;
	}
	file = rg_static_find(&conn->worker->files, exchange->path);
	if (file == NULL)
		return rg_deny_answer(conn, exchange, &conn->worker->request);
	if (!answer_other_method(conn, exchange))
		answer_file(conn, exchange, file);
	return true;
}

static void
handle_without_body(RgConn *conn, const RgExchange *exchange)
{
	RgHeldBody *held = NULL;
	RgJob	   *job;

	if (answer_here(conn, exchange))
		return;
	if (is_read(exchange))
		held = rg_represent_offer(&conn->worker->request);
	job = make_job(conn, exchange, &conn->worker->request, conn->worker->head.text);
	if (job == NULL)
	{
		rg_held_body_release(held);
		return;
	}
	job->held = held;
	submit(conn, job);
}

static void
invite_body(RgConn *conn)
{
	static char invitation[] = "HTTP/1.1 100 Continue\r\n\r\n";
	struct iovec piece = {invitation, sizeof invitation - 1};

	rg_conn_send(conn, &piece, 1);
}

static void
receive_body(RgConn *conn, const RgHttpHead *head, RgExchange *exchange, bool body_there)
{
	RgJob	   *job;

	if (head->content_length > conn->worker->config->max_body)
	{
		exchange->keep_alive = false;
		refuse(conn, exchange, 413, RG_SLICE("body_too_large"), "the body is too large");
		return;
	}
	exchange->keep_alive = false;	/* should the next step fail */
	job = make_job(conn, exchange, &conn->worker->request, conn->worker->head.text);
	if (job == NULL)
		return;
	job->exchange.keep_alive = head->keep_alive && !conn->worker->draining;
	job->body_left = head->content_length;
	rg_conn_read_body(conn, job);
	if (head->expects_continue && !body_there)
		invite_body(conn);
}

void
rg_request_head(RgConn *conn, const RgHttpHead *head, bool body_there)
{
	RgExchange *exchange = begin_exchange(conn, head);
	bool		has_body = head->chunked || head->content_length > 0;
	bool		keep_alive = exchange->keep_alive;

	/* a refusal leaves the body unread, and then no next request can follow */
	exchange->keep_alive = keep_alive && !has_body;
	if (conn->metrics)
	{
		rg_metrics_request(conn, head, exchange);
		return;
	}
	if (!check_head(conn, head, exchange))
		return;
	if (has_body)
		receive_body(conn, head, exchange, body_there);
	else
		handle_without_body(conn, exchange);
}

void
rg_request_body(RgConn *conn)
{
	RgJob	   *job = conn->job;
	RgWorker   *worker = conn->worker;

	conn->job = NULL;
	conn->state = RG_CONN_WAIT;
	if (!rg_request_parse(rg_slice(job->frame, job->len), &worker->request))
		refuse(conn, &job->exchange, 400, RG_SLICE("malformed_request"),
			   "the request cannot be read");
	else if (!answer_here(conn, &job->exchange))
	{
		submit(conn, job);
		return;
	}
	rg_job_free(job);
}

void
rg_request_malformed(RgConn *conn, const RgHttpHead *head, int status)
{
	RgExchange *exchange = begin_exchange(conn, head);

	/*
	 * the head is not to be trusted: of its headers only what the answer is
	 * made with
	 */
	exchange->method = exchange->path = RG_SLICE("");
	exchange->minor = 1;
	exchange->keep_alive = exchange->head_only = false;
	refuse(conn, exchange, status, RG_SLICE("malformed_request"), head->error);
}

void
rg_request_bad_body(RgConn *conn, int status, const char *why)
{
	RgJob	   *job = conn->job;

	conn->job = NULL;
	job->exchange.keep_alive = false;
	refuse(conn, &job->exchange, status, status == 413 ? RG_SLICE("body_too_large") :
		   status == 503 ? RG_SLICE("unavailable") : RG_SLICE("malformed_body"), why);
	rg_job_free(job);
}
