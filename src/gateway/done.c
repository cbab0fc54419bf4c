/*
 * done.c
 *		What the database made of a request becomes the response.
 */
#include "completion.h"
#include "db_error.h"
#include "deny.h"
#include "health.h"
#include "keys.h"
#include "log.h"
#include "metrics.h"
#include "proxy.h"
#include "proxy_fallback.h"
#include "rate_lines.h"
#include "represent.h"
#include "response.h"
#include "request.h"
#include "sse.h"
#include "webhook.h"
#include "worker.h"

static const RgSlice none = {NULL, 0};

/* What the client is told where there is no result. */
static const struct
{
	int			status;
	RgSlice		code;
	RgSlice		detail;
}			outcomes[] =

{
#define SAY(literal) {(literal), sizeof(literal) - 1}
	[RG_QUEUE_FULL] = {503, SAY("overloaded"), SAY("too many requests are waiting")},
	[RG_QUEUE_EXPIRED] = {503, SAY("overloaded"), SAY("the request waited too long for its turn")},
	[RG_DATABASE_EXPIRED] = {504, SAY("timeout"),
	SAY("the database did not answer in time; a change may still be carried out")},
	[RG_DATABASE_DOWN] = {503, SAY("unavailable"), SAY("the database cannot be reached just now")},
	[RG_DATABASE_LOST] = {503, SAY("outcome_unknown"),
	SAY("the connection to the database was lost; whether the request was carried out is unknown")},
};

static void
answer_outcome(RgConn *conn, const RgExchange *exchange, RgOutcome outcome)
{
	RgProblem	problem = {
		.status = outcomes[outcome].status,.code = outcomes[outcome].code,
		.detail = outcomes[outcome].detail
	};

	rg_metrics_count(RG_COUNT_QUEUE_FULL + (outcome - RG_QUEUE_FULL), 1);
	rg_respond_problem(conn, exchange, &problem, none, none);
}

static void
answer_internal(RgConn *conn, const RgExchange *exchange)
{
	RgProblem	problem = {.status = 500,.code = RG_SLICE("internal")};

	rg_respond_problem(conn, exchange, &problem, none, none);
}

/* The log learns everything, whatever the client is told. */
static void
log_error(const RgExchange *exchange, const RgDbError *error, RgLogLevel level)
{
	char		request_id[RG_REQUEST_ID_MAX + 1];

	rg_log(level, "the database refused a request", "request_id", rg_exchange_id_text(exchange, request_id),
		   "sqlstate", error->sqlstate, "error", error->message, "detail", error->detail,
		   "hint", error->hint, "context", error->context, NULL);
}

/*
 * The lines about limits that serve() gives a refusal.  The errors of other
 * classes name a constraint there, which is not for clients.
 */
static RgSlice
error_headers(const RgDbError *error)
{
	RgSlice		lines = rg_slice_of(error->headers);
	RgReplyTraits traits;

	if (error->sqlstate == NULL || strncmp(error->sqlstate, "RG", 2) != 0 ||
		!rg_reply_traits(lines, &traits) || traits.cache_control)
		return none;
	return lines;
}

/* serve() puts the template there; a type's name, say of a commit's error, is none. */
static RgSlice
error_route(const PGresult *result)
{
	RgSlice		name = rg_slice_of(PQresultErrorField(result, PG_DIAG_DATATYPE_NAME));

	return name.len > 0 && name.data[0] == '/' ? name : none;
}

static void
answer_error(RgConn *conn, const RgExchange *exchange, const PGresult *result)
{
	RgDbError	error = {
		.sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE),
		.message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY),
		.detail = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL),
		.hint = PQresultErrorField(result, PG_DIAG_MESSAGE_HINT),
		.context = PQresultErrorField(result, PG_DIAG_CONTEXT),
		.headers = PQresultErrorField(result, PG_DIAG_CONSTRAINT_NAME),
	};
	RgProblem	problem = {0};
	bool		expected = rg_db_error_problem(&error, &problem);

	/* that a statement ended with its client is no fault */
	log_error(exchange, &error, expected || conn == NULL ? RG_LOG_INFO : RG_LOG_ERROR);
	rg_respond_problem(conn, exchange, &problem, error_route(result), error_headers(&error));
}

/* Orders start with what they are: {"kind":"…" */
static bool
is_order(const RgReply *reply, const char *kind)
{
	RgSlice		rest = reply->order;
	const size_t start = strlen("{\"kind\":\"");

	return rest.len > start + strlen(kind) && memcmp(rest.data, "{\"kind\":\"", start) == 0 &&
		memcmp(rest.data + start, kind, strlen(kind)) == 0 && rest.data[start + strlen(kind)] == '"';
}

static void
answer_malformed(RgConn *conn, const RgExchange *exchange)
{
	rg_log(RG_LOG_ERROR, "the database's reply is malformed", NULL);
	answer_internal(conn, exchange);
}

/* What was asked for begins behind the end of the file. */
static void
answer_beyond(RgConn *conn, const RgExchange *exchange, const RgReply *reply, size_t size)
{
	static char lines[RG_RATE_LINES_MAX + 512];
	RgText		text = {lines, sizeof lines, 0};
	RgProblem	problem = {
		.status = 416,.code = RG_SLICE("range_not_satisfiable"),
		.detail = RG_SLICE("the file ends before that range begins")
	};

	rg_text_put(&text, RG_SLICE("Content-Range: bytes */"));
	rg_text_number(&text, size);
	rg_text_put(&text, RG_SLICE("\r\n"));
	rg_reply_put_other_lines(&text, reply->headers);
	rg_respond_problem(conn, exchange, &problem, reply->route,
					   rg_slice(lines, text.len <= text.cap ? text.len : 0));
}

static void
send_reply(RgConn *conn, RgJob *job, const RgReply *reply, const RgReplyTraits *traits)
{
	RgResponse	response = {
		.status = reply->status,.headers = reply->headers,.body = reply->body,
		.route = reply->route,.cacheable = traits->cache_control
	};

	if (!rg_represent_reply(job, reply, traits, &response))
		answer_malformed(conn, &job->exchange);
	else if (response.status == 416)
		answer_beyond(conn, &job->exchange, reply, response.body.len);
	else
		rg_respond(conn, &job->exchange, &response);
}

static void
answer_reply(RgConn *conn, RgJob *job, RgSlice frame)
{
	RgReply		reply;
	RgReplyTraits traits;

	if (!rg_reply_parse(frame, &reply) || reply.status < 200 ||
		!rg_reply_traits(reply.headers, &traits))
	{
		answer_malformed(conn, &job->exchange);
		return;
	}
	rg_deny_note(job, &reply);
	if (reply.signals & RG_SIGNAL_UNKNOWN_KEY)
		rg_keys_want();
	if (reply.signals & RG_SIGNAL_WEBHOOK)
		rg_webhook_want();
	if (is_order(&reply, "proxy"))
		rg_proxy_start(conn, job, &reply);
	else if (is_order(&reply, "completion"))
		rg_completion_start(conn, job, &reply);
	else if (is_order(&reply, "stream"))
		rg_stream_start(conn, job, &reply);
	else
		send_reply(conn, job, &reply, &traits);
}

static void
answer_result(RgConn *conn, RgJob *job)
{
	const PGresult *result = job->result;
	RgSlice		frame = rg_job_value(job);

	if (frame.data != NULL)
		answer_reply(conn, job, frame);
	else if (PQresultStatus(result) == PGRES_FATAL_ERROR)
		answer_error(conn, &job->exchange, result);
	else
		answer_malformed(conn, &job->exchange);
}

/* A client that has left cannot be told how ready we are. */
static void
answer_ready(RgConn *conn, const RgJob *job, RgOutcome outcome)
{
	if (conn != NULL)
		rg_respond_ready(conn, &job->exchange, conn->worker,
						 outcome == RG_FINISHED ? rg_job_value(job).data : NULL);
}

void
rg_request_done(RgJob *job, RgOutcome outcome)
{
	RgConn	   *conn = job->conn;

	job->conn = NULL;
	if (conn != NULL)
	{
		conn->job = NULL;
		job->exchange.keep_alive &= !conn->worker->draining;
	}
	if (job->kind == RG_JOB_ASK)
		job->ask.done(job->ask.arg, outcome == RG_FINISHED ? job->result : NULL);
	else if (job->kind == RG_JOB_READY)
		answer_ready(conn, job, outcome);
	else if (outcome == RG_FINISHED)
		answer_result(conn, job);
	else if (!rg_proxy_fallback(conn, job, outcome))
		answer_outcome(conn, &job->exchange, outcome);
}

void
rg_request_late(RgJob *job)
{
	RgSlice		frame = job->kind == RG_JOB_SERVE ? rg_job_value(job) : none;
	RgReply		reply;

	if (frame.data != NULL && rg_reply_parse(frame, &reply) && is_order(&reply, "completion"))
		rg_completion_drop(job, &reply);
}
