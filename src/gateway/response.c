/*
 * response.c
 *		Answers; response.h has the contract.
 *
 * Head and body, if that is small, are put together in one buffer and leave
 * with one system call.
 */
#include "response.h"

#include <stdlib.h>

#include "clock.h"
#include "http1.h"
#include "json_text.h"
#include "log.h"
#include "metrics.h"
#include "rate_lines.h"

#define BUFFER 32768
#define SMALL_BODY 8192			/* copied behind the head */

/* Lines of every answer, and of those by TLS in production. */
static char common_lines[2][RG_SECURITY_HEADERS_MAX + 64];
static RgSlice common[2];

/* Lines for pages of allowed origins, by RgExchange.cors; none for the others. */
static RgSlice cors_lines[RG_CORS_MAX_ORIGINS + 1];

static void
init_common(const RgConfig *config, bool secure)
{
	RgText		text = {common_lines[secure], sizeof common_lines[secure], 0};

	rg_security_headers_put(&text, &config->security,
							secure && config->environment == RG_PRODUCTION);
	if (config->cors.count > 0)
		rg_text_put(&text, RG_SLICE("Vary: Origin\r\n"));
	common[secure] = rg_slice(common_lines[secure], text.len);
}

/* Without memory for them, pages do not get them. */
static void
init_cors(const RgCors *cors, int number)
{
	RgText		counted = {NULL, 0, 0};
	RgText		text;

	rg_cors_put(&counted, cors, number);
	text.data = malloc(counted.len);
	text.cap = text.data ? counted.len : 0;
	text.len = 0;
	rg_cors_put(&text, cors, number);
	cors_lines[number] = rg_slice(text.data, text.cap);
}

void
rg_response_init(const RgConfig *config)
{
	init_common(config, false);
	init_common(config, true);
	for (int number = 1; number <= config->cors.count; number++)
		init_cors(&config->cors, number);
}

static bool
has_body(int status)
{
	return status >= 200 && status != 204 && status != 304;
}

bool
rg_response_has_body(const RgExchange *exchange, int status)
{
	return has_body(status) && !exchange->head_only;
}

static void
put_status(RgText *head, int status)
{
	const char *title = rg_status_title(status);

	rg_text_put(head, RG_SLICE("HTTP/1.1 "));
	rg_text_number(head, status);
	rg_text_char(head, ' ');
	rg_text_put(head, rg_slice(title, strlen(title)));
	rg_text_put(head, RG_SLICE("\r\nDate: "));
	rg_text_put(head, rg_http_date());
}

static void
put_connection(RgText *head, const RgExchange *exchange)
{
	if (!exchange->keep_alive)
		rg_text_put(head, RG_SLICE("Connection: close\r\n"));
	else if (exchange->minor == 0)
		rg_text_put(head, RG_SLICE("Connection: keep-alive\r\n"));
}

static void
put_length(RgText *head, const RgExchange *exchange, int64_t content_length)
{
	if (content_length >= 0)
	{
		rg_text_put(head, RG_SLICE("Content-Length: "));
		rg_text_number(head, content_length);
		rg_text_put(head, RG_SLICE("\r\n"));
	}
	else if (exchange->minor > 0)
		rg_text_put(head, RG_SLICE("Transfer-Encoding: chunked\r\n"));
}

void
rg_response_head(RgText *head, const RgExchange *exchange, const RgResponse *response,
				 int64_t content_length)
{
	put_status(head, response->status);
	rg_text_put(head, RG_SLICE("\r\nX-Request-ID: "));
	rg_text_put(head, rg_exchange_id(exchange));
	rg_text_put(head, RG_SLICE("\r\n"));
	rg_text_put(head, common[exchange->secure]);
	rg_text_put(head, cors_lines[exchange->cors]);
	rg_text_put(head, response->headers);
	rg_text_put(head, response->lines);
	if (!response->cacheable)
		rg_text_put(head, RG_SLICE("Cache-Control: no-store\r\n"));
	put_connection(head, exchange);
	if (has_body(response->status))
		put_length(head, exchange, content_length);
	rg_text_put(head, RG_SLICE("\r\n"));
}

static void
send_response(RgConn *conn, RgText *head, RgSlice body)
{
	struct iovec pieces[2] = {{head->data, 0}, {(void *) body.data, 0}};

	if (body.len <= SMALL_BODY && body.len <= head->cap - head->len)
	{
		rg_text_put(head, body);
		body.len = 0;
	}
	pieces[0].iov_len = head->len;
	pieces[1].iov_len = body.len;
	rg_conn_send(conn, pieces, body.len > 0 ? 2 : 1);
}

static void
count_response(const RgExchange *exchange, const RgResponse *response, int64_t total_us)
{
	RgAnswered	answered = {
		.method = exchange->method,.route = response->route,.body = response->body,
		.status = response->status,.total_us = total_us
	};

	if (!exchange->metrics)
		rg_metrics_answered(&answered);
}

void
rg_response_log(const RgExchange *exchange, const RgResponse *response, size_t bytes)
{
	int64_t		total_us = rg_now() - exchange->started;
	RgAccess	access = {
		.request_id = rg_exchange_id(exchange),
		.method = exchange->method,
		.route = response->route,
		.path = exchange->path,
		.trace_id = {exchange->trace.trace_id, RG_TRACE_ID_LEN},
		.span_id = {exchange->trace.span_id, RG_SPAN_ID_LEN},
		.client = {exchange->client_text, strlen(exchange->client_text)},
		.status = response->status,
		.bytes = bytes,
		.queued_us = exchange->queued_us,
		.database_us = exchange->database_us,
		.total_us = total_us,
	};

	rg_access_log(&access);
	count_response(exchange, response, total_us);
}

static void
answer_headers_too_long(RgConn *conn, const RgExchange *exchange, RgSlice route)
{
	RgProblem	problem = {.status = 500,.code = RG_SLICE("internal")};

	rg_log(RG_LOG_ERROR, "the headers of an answer are too long", NULL);
	rg_respond_problem(conn, exchange, &problem, route, rg_slice(NULL, 0));
}

void
rg_respond(RgConn *conn, const RgExchange *exchange, const RgResponse *response)
{
	static char buffer[BUFFER];
	RgText		head = {buffer, sizeof buffer, 0};
	RgSlice		body = response->body;

	if (!rg_response_has_body(exchange, response->status))
		body.len = 0;
	rg_response_head(&head, exchange, response, response->body.len);
	if (head.len > head.cap)
	{
		answer_headers_too_long(conn, exchange, response->route);
		return;
	}
	if (conn != NULL)
		send_response(conn, &head, body);
	rg_response_log(exchange, response, body.len);
	if (conn != NULL)
		rg_conn_answered(conn, exchange->keep_alive);
}

static void
put_problem_headers(RgText *headers, const RgExchange *exchange, const RgProblem *problem)
{
	rg_text_put(headers, RG_SLICE("Content-Type: "));
	rg_text_put(headers, rg_slice_of(rg_problem_type(problem)));
	rg_text_put(headers, RG_SLICE("\r\nCache-Control: no-store\r\n"));
	if (problem->status == 401)
		rg_text_put(headers, exchange->sent_token ?
					RG_SLICE("WWW-Authenticate: Bearer realm=\"relay\", error=\"invalid_token\"\r\n") :
					RG_SLICE("WWW-Authenticate: Bearer realm=\"relay\"\r\n"));
	if (problem->status == 503)
		rg_text_put(headers, RG_SLICE("Retry-After: 1\r\n"));
}

/*
 * A problem that has no room, since somebody raised an error with a very long
 * text, goes without its texts.
 */
static RgSlice
make_body(char *buffer, size_t size, RgProblem *problem)
{
	size_t		len = rg_problem_json(buffer, size, problem);

	if (len > size)
	{
		problem->detail = problem->suggestion = problem->extra = rg_slice(NULL, 0);
		problem->instance = problem->pointer = problem->detail;
		len = rg_problem_json(buffer, size, problem);
	}
	return rg_slice(buffer, len > size ? 0 : len);
}

void
rg_respond_problem(RgConn *conn, const RgExchange *exchange, RgProblem *problem,
				   RgSlice route, RgSlice headers)
{
	static char body[65536];
	char		lines[RG_RATE_LINES_MAX + 1024];
	RgText		text = {lines, sizeof lines, 0};
	RgResponse	response = {.status = problem->status,.route = route};

	if (exchange->path.len > 0)
		problem->instance = exchange->path;
	problem->request_id = rg_exchange_id(exchange);
	problem->openai = exchange->openai;
	put_problem_headers(&text, exchange, problem);
	rg_text_put(&text, headers);
	response.cacheable = text.len <= text.cap;
	response.headers = rg_slice(lines, response.cacheable ? text.len : 0);
	response.body = make_body(body, sizeof body, problem);
	rg_respond(conn, exchange, &response);
}
