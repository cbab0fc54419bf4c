/*
 * proxy.c
 *		Requests that an upstream answers; proxy.h has the contract.
 */
#include "proxy.h"

#include <stdlib.h>

#include "clock.h"
#include "conn_stream.h"
#include "header_lines.h"
#include "log.h"
#include "proxy_transfer.h"
#include "response.h"
#include "worker.h"

#define LEFT 499				/* in the log alone: the client did not wait */

static const RgConfig *config;
static bool ready = false;
static RgProxy *proxies = NULL;
static int64_t count = 0;

static void
on_free(RgTransfer *transfer)
{
	RgProxy    *proxy = (RgProxy *) transfer;

	if (proxy->previous != NULL)
		proxy->previous->next = proxy->next;
	else
		proxies = proxy->next;
	if (proxy->next != NULL)
		proxy->next->previous = proxy->previous;
	count--;
	curl_easy_cleanup(transfer->curl);
	curl_slist_free_all(proxy->lines);
	rg_proxy_order_free(&proxy->order);
	rg_job_bytes_free(&proxy->bytes);
	free(proxy->route);
	free(proxy->head);
	free(proxy);
}

static void
log_failure(const RgProxy *proxy, const char *what)
{
	char		request_id[RG_REQUEST_ID_MAX + 1];

	rg_log(RG_LOG_WARNING, "an upstream failed",
		   "request_id", rg_exchange_id_text(&proxy->exchange, request_id),
		   "upstream", proxy->order.upstream, "error", what, NULL);
}

/* What the client is told of a failure; the log tells the rest. */
static RgProblem
problem_of(CURLcode code)
{
	RgProblem	problem = {.status = 502};

	switch (code)
	{
		case CURLE_COULDNT_RESOLVE_HOST:
		case CURLE_COULDNT_CONNECT:
		case CURLE_OPERATION_TIMEDOUT:
			problem.code = RG_SLICE("upstream_unreachable");
			problem.detail = RG_SLICE("the application behind this path cannot be reached just now");
			break;
		case CURLE_PEER_FAILED_VERIFICATION:
		case CURLE_SSL_CONNECT_ERROR:
		case CURLE_SSL_CACERT_BADFILE:
			problem.code = RG_SLICE("upstream_untrusted");
			problem.detail = RG_SLICE("the application behind this path has not shown that it is the one");
			break;
		default:
			problem.code = RG_SLICE("upstream_failed");
			problem.detail = RG_SLICE("the application behind this path did not answer properly; "
									  "whether the request was carried out is unknown");
	}
	return problem;
}

/* The client is told, while it can be, or sees its answer cut off. */
static void
fail(RgProxy *proxy, RgProblem problem)
{
	RgConn	   *conn = proxy->conn;
	bool		streaming = proxy->streaming;
	RgSlice		none = {NULL, 0};

	proxy->conn = NULL;
	proxy->streaming = false;
	if (conn != NULL && streaming)
		rg_conn_stream_end(conn, false);
	else if (conn != NULL)
	{
		conn->proxy = NULL;
		rg_respond_problem(conn, &proxy->exchange, &problem, rg_slice_of(proxy->route), none);
	}
	rg_proxy_loop_remove(&proxy->transfer);
}

static void
finish(RgProxy *proxy)
{
	RgConn	   *conn = proxy->conn;

	proxy->conn = NULL;
	proxy->streaming = false;
	if (conn != NULL)
		rg_conn_stream_end(conn, true);
	rg_proxy_loop_remove(&proxy->transfer);
}

/* Nothing has been asked yet, so any method may be. */
static void
take_fresh_connection(RgProxy *proxy)
{
	proxy->unclean = false;
	curl_easy_setopt(proxy->transfer.curl, CURLOPT_FRESH_CONNECT, 1L);
	rg_proxy_loop_restart(&proxy->transfer);
}

static void
on_done(RgTransfer *transfer, CURLcode code)
{
	RgProxy    *proxy = (RgProxy *) transfer;
	bool		whole = code == CURLE_OK && proxy->reason == NULL && proxy->headed;

	if (proxy->unclean)
	{
		take_fresh_connection(proxy);
		return;
	}
	if (whole && (proxy->streaming || proxy->conn == NULL))
	{
		finish(proxy);
		return;
	}
	if (proxy->conn != NULL)
		log_failure(proxy, proxy->reason != NULL ? proxy->reason :
					*proxy->error != '\0' ? proxy->error : curl_easy_strerror(code));
	fail(proxy, problem_of(proxy->reason != NULL ? CURLE_WEIRD_SERVER_REPLY : code));
}

static const RgTransferCalls calls = {on_done, on_free};

void
rg_proxy_init(RgWorker *worker)
{
	config = worker->config;
	ready = rg_proxy_loop_init(worker->base);
	if (!ready)
		rg_log(RG_LOG_WARNING, "no memory for requests to upstreams", NULL);
}

/* The template, and serve()'s lines but for Cache-Control, which is decided later. */
static bool
keep_texts(RgProxy *proxy, RgSlice route, RgSlice lines)
{
	static const char *const later[] = {"cache-control", NULL};
	RgText		own = {.cap = lines.len};

	proxy->route = malloc(route.len + 1 + lines.len);
	if (proxy->route == NULL)
		return false;
	memcpy(proxy->route, route.data, route.len);
	proxy->route[route.len] = '\0';
	own.data = proxy->route + route.len + 1;
	rg_header_lines_put(&own, lines, later, false);
	proxy->own = rg_slice(own.data, own.len);
	return true;
}

static void
refuse(RgConn *conn, const RgExchange *exchange, RgSlice route)
{
	RgProblem	problem = {
		.status = 503,.code = RG_SLICE("upstream_busy"),
		.detail = RG_SLICE("too many requests are with the application behind this path")
	};

	rg_respond_problem(conn, exchange, &problem, route, rg_slice(NULL, 0));
}

static RgProxy *
new_proxy(RgConn *conn, RgJob *job, RgProxyOrder *order)
{
	RgProxy    *proxy = calloc(1, sizeof *proxy);

	if (proxy == NULL)
		return NULL;
	proxy->exchange = job->exchange;
	proxy->bytes = rg_job_take_bytes(job);
	proxy->order = *order;
	memset(order, 0, sizeof *order);
	proxy->transfer.calls = &calls;
	proxy->conn = conn;
	conn->proxy = proxy;
	proxy->limit = rg_now() + proxy->order.answer_ms * 1000;
	proxy->next = proxies;
	if (proxies != NULL)
		proxies->previous = proxy;
	proxies = proxy;
	count++;
	return proxy;
}

static void
log_left(const RgExchange *exchange, RgSlice route)
{
	RgResponse	response = {.status = LEFT,.route = route};

	rg_response_log(exchange, &response, 0);
}

void
rg_proxy_start_order(RgConn *conn, RgJob *job, RgProxyOrder *order, RgSlice route, RgSlice headers)
{
	RgProxy    *proxy = NULL;

	if (conn != NULL && conn->ended)	/* as it is while the upstream works */
	{
		rg_conn_close(conn);
		conn = NULL;
	}
	if (conn == NULL)
		log_left(&job->exchange, route);
	else if (!ready || count >= config->proxy_limit ||
			 (proxy = new_proxy(conn, job, order)) == NULL)
		refuse(conn, &job->exchange, route);
	rg_proxy_order_free(order);
	if (proxy == NULL)
		return;
	if (keep_texts(proxy, route, headers) && rg_proxy_set_up(proxy, config->proxy_ca_file))
		rg_proxy_loop_add(&proxy->transfer);
	else
		on_done(&proxy->transfer, CURLE_OUT_OF_MEMORY);
}

void
rg_proxy_start(RgConn *conn, RgJob *job, const RgReply *reply)
{
	RgProxyOrder order;
	RgProblem	problem = {.status = 500,.code = RG_SLICE("internal")};

	if (rg_proxy_order_read(reply->order, &order))
	{
		rg_proxy_start_order(conn, job, &order, reply->route, reply->headers);
		return;
	}
	rg_log(RG_LOG_ERROR, "the database's order to ask an upstream is malformed", NULL);
	rg_respond_problem(conn, &job->exchange, &problem, reply->route, rg_slice(NULL, 0));
}

void
rg_proxy_gone(RgConn *conn)
{
	RgProxy    *proxy = conn->proxy;

	if (proxy == NULL)
		return;
	conn->proxy = NULL;
	proxy->conn = NULL;
	log_left(&proxy->exchange, rg_slice_of(proxy->route));
	rg_proxy_loop_remove(&proxy->transfer);
}

/* Its client's own limit runs while it waits for the client. */
static void
expire(RgProxy *proxy)
{
	RgProblem	problem = {
		.status = 504,.code = RG_SLICE("upstream_timeout"),
		.detail = RG_SLICE("the application behind this path did not answer in time; "
						   "a change may still be carried out")
	};

	if (proxy->conn != NULL)
		log_failure(proxy, proxy->headed ? "nothing more came in time" : "it did not answer in time");
	fail(proxy, problem);
}

void
rg_proxy_tick(int64_t now)
{
	RgProxy    *next;

	for (RgProxy *proxy = proxies; proxy != NULL; proxy = next)
	{
		next = proxy->next;
		if (!proxy->paused && proxy->limit <= now)
			expire(proxy);
	}
}

void
rg_proxy_drain(void)
{
	RgProxy    *next;
	RgProblem	problem = {.status = 503,.code = RG_SLICE("unavailable")};

	for (RgProxy *proxy = proxies; proxy != NULL; proxy = next)
	{
		next = proxy->next;
		if (proxy->event_stream && proxy->streaming)
			fail(proxy, problem);
	}
}
