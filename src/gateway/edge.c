/*
 * edge.c
 *		Preflights, redirects to https, and internal headers; edge.h has the
 *		contract.
 */
#include "edge.h"

#include "origin.h"
#include "response.h"
#include "worker.h"

static const RgSlice none = {NULL, 0};

static bool
has_header(const RgHttpHead *head, const char *name)
{
	for (int i = 0; i < head->nheaders; i++)
		if (rg_http_name_is(head->headers[i].name, name))
			return true;
	return false;
}

static bool
is_preflight(const RgHttpHead *head)
{
	return rg_slice_is(head->method, "OPTIONS") && has_header(head, "origin") &&
		has_header(head, "access-control-request-method");
}

static void
answer_preflight(RgConn *conn, const RgExchange *exchange)
{
	char		lines[2048];
	RgText		text = {lines, sizeof lines, 0};
	RgResponse	response = {.status = 204};

	rg_cors_put_preflight(&text, rg_slice_of(conn->worker->config->cors_headers));
	response.headers = rg_slice(lines, text.len);
	rg_respond(conn, exchange, &response);
}

static void
refuse_preflight(RgConn *conn, const RgExchange *exchange)
{
	RgProblem	problem = {
		.status = 403,
		.code = RG_SLICE("origin_not_allowed"),
		.detail = RG_SLICE("pages of that origin may not use this")
	};

	rg_respond_problem(conn, exchange, &problem, none, none);
}

/* Whoever asks these asks from within, where there is no https. */
static bool
is_probe(RgSlice path)
{
	return rg_slice_is(path, "/ready") || rg_slice_is(path, "/_stcore/health");
}

static bool
must_redirect(const RgConn *conn, const RgExchange *exchange)
{
	return !exchange->secure && conn->worker->config->environment == RG_PRODUCTION &&
		!is_probe(exchange->path) && !rg_slice_is(exchange->path, "*");
}

/* A client of HTTP/1.0 that names no host cannot be told where to go. */
static void
require_https(RgConn *conn, const RgExchange *exchange)
{
	RgProblem	problem = {
		.status = 400,
		.code = RG_SLICE("https_required"),
		.detail = RG_SLICE("this is served by https only")
	};

	rg_respond_problem(conn, exchange, &problem, none, none);
}

/*
 * To the host that was asked for, which is no address of a third party's making:
 * http1.c lets nothing but a name and a port pass, ALLOWED_HOSTS has been asked,
 * and the target, which starts with a slash, follows the host's end.
 */
static void
redirect(RgConn *conn, const RgHttpHead *head, const RgExchange *exchange)
{
	static char lines[RG_HTTP_MAX_TARGET + RG_ORIGIN_MAX + 64];
	RgText		text = {lines, sizeof lines, 0};
	RgResponse	response = {.status = 307};

	rg_text_put(&text, RG_SLICE("Location: "));
	rg_origin_put_https(&text, head->host, conn->worker->config->https_port);
	rg_text_put(&text, head->target);
	rg_text_put(&text, RG_SLICE("\r\n"));
	response.headers = rg_slice(lines, text.len);
	rg_respond(conn, exchange, &response);
}

bool
rg_edge_answer(RgConn *conn, const RgHttpHead *head, const RgExchange *exchange)
{
	if (is_preflight(head))
	{
		if (exchange->cors > 0)
			answer_preflight(conn, exchange);
		else
			refuse_preflight(conn, exchange);
		return true;
	}
	if (!must_redirect(conn, exchange))
		return false;
	if (head->host.data == NULL)
		require_https(conn, exchange);
	else
		redirect(conn, head, exchange);
	return true;
}

static void
add_header(RgRequest *request, RgSlice name, RgSlice value)
{
	RgHeader   *header;

	if (request->nheaders == RG_FRAME_MAX_HEADERS || value.len == 0)
		return;
	header = &request->headers[request->nheaders++];
	header->name = name;
	header->value = value;
}

static RgSlice
tracestate_of(const RgHttpHead *head)
{
	static RgTraceState state;

	memset(&state, 0, offsetof(RgTraceState, text));
	for (int i = 0; i < head->nheaders; i++)
		if (rg_http_name_is(head->headers[i].name, "tracestate"))
			rg_tracestate_add(&state, head->headers[i].value);
	return rg_tracestate_value(&state);
}

/* A trace that begins here is nobody's yet. */
static void
add_trace(const RgHttpHead *head, const RgExchange *exchange, RgRequest *request)
{
	static char parent[RG_TRACEPARENT_LEN];

	if (!exchange->trace.continued)
		return;
	rg_traceparent_write(&exchange->trace, parent);
	add_header(request, RG_SLICE("traceparent"), rg_slice(parent, sizeof parent));
	add_header(request, RG_SLICE("tracestate"), tracestate_of(head));
}

static void
add_origin(const RgHttpHead *head, const RgExchange *exchange, RgRequest *request)
{
	static char origin[RG_ORIGIN_MAX];
	RgText		text = {origin, sizeof origin, 0};

	rg_origin_put(&text, exchange->secure, head->host);
	add_header(request, RG_SLICE("x-relay-origin"), rg_slice(origin, text.len));
}

static bool
is_safe(const RgExchange *exchange)
{
	return exchange->head_only || rg_slice_is(exchange->method, "GET") ||
		rg_slice_is(exchange->method, "OPTIONS");
}

void
rg_edge_add_headers(const RgConn *conn, const RgHttpHead *head,
					const RgExchange *exchange, RgRequest *request)
{
	add_trace(head, exchange, request);
	if (is_safe(exchange))
		return;
	if (head->host.data != NULL)
		add_origin(head, exchange, request);
	if (rg_cors_named(&conn->worker->config->cors, exchange->cors))
		add_header(request, RG_SLICE("x-relay-cors"), RG_SLICE("1"));
}
