/*
 * metrics_endpoint.c
 *		/metrics on a listener of its own; metrics_endpoint.h has the contract.
 */
#include "metrics_endpoint.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <unistd.h>

#include "ask.h"
#include "log.h"
#include "metrics_page.h"
#include "response.h"
#include "target.h"
#include "worker.h"

#define MAX_CONNS 16			/* of a worker */
#define DATABASE_TIMEOUT INT64_C(2000000)	/* readers wait 10 s by default */

/* One that waits for the database. */
typedef struct Scrape
{
	struct Scrape *next;
	RgConn	   *conn;			/* NULL: its reader has left */
	RgExchange	exchange;
} Scrape;

static const RgSlice none = {NULL, 0};

static int	listener = -1;		/* -1: there is none */
static struct event accept_event;
static bool accepting = false;
static int	conns = 0;
static Scrape *scrapes = NULL;

static bool
is_off(const RgConfig *config)
{
	return config->metrics_listen.len == 0;
}

bool
rg_metrics_open(const RgConfig *config)
{
	return is_off(config) || rg_listen_open(&config->metrics_listen, 1, &listener);
}

void
rg_metrics_close(const RgConfig *config)
{
	if (listener >= 0)
		rg_listen_close(&config->metrics_listen, 1, &listener);
}

/* Out of descriptors: in a second it is tried again. */
static bool
accept_one(RgWorker *worker)
{
	struct sockaddr_storage peer = {.ss_family = AF_UNIX};
	socklen_t	len = sizeof peer;
	int			fd = accept4(listener, (struct sockaddr *) &peer, &len,
							 SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd >= 0 && conns < MAX_CONNS)
		conns += rg_conn_new_metrics(worker, fd, (const struct sockaddr *) &peer);
	else if (fd >= 0)
		close(fd);
	else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
		rg_metrics_stop();
	return fd >= 0;
}

static void
on_accept(evutil_socket_t fd, short what, void *arg)
{
	(void) fd;
	(void) what;
	for (int i = 0; i < MAX_CONNS; i++)
		if (!accept_one(arg))
			break;
}

void
rg_metrics_start(RgWorker *worker)
{
	if (listener < 0 || accepting || worker->draining)
		return;
	event_assign(&accept_event, worker->base, listener, EV_READ | EV_PERSIST, on_accept, worker);
	accepting = event_add(&accept_event, NULL) == 0;
}

void
rg_metrics_stop(void)
{
	if (accepting)
		event_del(&accept_event);
	accepting = false;
}

void
rg_metrics_conn_gone(RgConn *conn)
{
	conns--;
	for (Scrape *scrape = scrapes; scrape != NULL; scrape = scrape->next)
		if (scrape->conn == conn)
			scrape->conn = NULL;
}

static void
publish_lane(const RgLane *lane, int64_t *states)
{
	for (int i = 0; i < lane->count; i++)
	{
		const RgPg *pg = &lane->pgs[i];

		states[pg->state == RG_PG_DOWN ? 0 : pg->state != RG_PG_READY ? 1 : pg->inflight == 0 ? 2 : 3]++;
	}
}

/* A worker that only finishes what it has does not count any more. */
static void
publish(const RgWorker *worker)
{
	static const RgMetricGauge classes[RG_CONN_LISTS] = {
		[RG_CONN_IDLE] = RG_GAUGE_CONNS_IDLE,
		[RG_CONN_IN_HANDSHAKE] = RG_GAUGE_CONNS_IN_HANDSHAKE,
		[RG_CONN_IN_HEAD] = RG_GAUGE_CONNS_IN_HEAD,
		[RG_CONN_IN_BODY] = RG_GAUGE_CONNS_IN_BODY,
		[RG_CONN_IN_WRITE] = RG_GAUGE_CONNS_IN_WRITE,
		[RG_CONN_LINGERING] = RG_GAUGE_CONNS_LINGERING,
		[RG_CONN_IN_DATABASE] = RG_GAUGE_CONNS_IN_DATABASE,
		[RG_CONN_STREAMING] = RG_GAUGE_STREAMS,
	};
	int64_t		states[4] = {0};

	for (int class = 0; class < RG_CONN_LISTS; class++)
		rg_metrics_set(classes[class], worker->lists[class].count);
	publish_lane(&worker->reads, states);
	publish_lane(&worker->writes, states);
	publish_lane(&worker->slow, states);
	for (int i = 0; i < 4; i++)
		rg_metrics_set(RG_GAUGE_PGS_DOWN + i, states[i]);
	rg_metrics_set(RG_GAUGE_QUEUED, worker->reads.queued + worker->writes.queued + worker->slow.queued);
	rg_metrics_set(RG_GAUGE_LOG_BROKEN, !rg_access_log_healthy());
}

void
rg_metrics_second(RgWorker *worker)
{
	rg_metrics_tick();
	publish(worker);
	rg_metrics_start(worker);
}

static void
refuse(RgConn *conn, const RgExchange *exchange, int status, RgSlice code, RgSlice detail,
	   RgSlice headers)
{
	RgProblem	problem = {.status = status,.code = code,.detail = detail};

	rg_respond_problem(conn, exchange, &problem, none, headers);
}

static void
answer_other_method(RgConn *conn, const RgExchange *exchange)
{
	static const RgSlice allow = {"Allow: GET, HEAD, OPTIONS\r\n", 27};
	RgResponse	response = {.status = 204,.headers = allow};

	if (rg_slice_is(exchange->method, "OPTIONS"))
		rg_respond(conn, exchange, &response);
	else
		refuse(conn, exchange, 405, RG_SLICE("method_not_allowed"),
			   RG_SLICE("only GET and HEAD are allowed here"), allow);
}

static void
answer(RgConn *conn, const RgExchange *exchange, const PGresult *database)
{
	RgResponse	response = {
		.status = 200,.route = RG_SLICE("/metrics"),
		.headers = RG_SLICE("Content-Type: " RG_METRIC_TYPE "\r\n")
	};
	char	   *page;

	publish(conn->worker);
	page = rg_metrics_page(rg_metrics_shared(), database, &response.body.len);
	response.body.data = page;
	if (page != NULL)
		rg_respond(conn, exchange, &response);
	else
		refuse(conn, exchange, 503, RG_SLICE("unavailable"),
			   RG_SLICE("there is no memory for the metrics"), none);
	free(page);
}

static void
unlink_scrape(Scrape *scrape)
{
	Scrape	  **place = &scrapes;

	while (*place != scrape)
		place = &(*place)->next;
	*place = scrape->next;
}

static void
on_database(void *arg, const PGresult *result)
{
	Scrape	   *scrape = arg;
	RgConn	   *conn = scrape->conn;

	unlink_scrape(scrape);
	if (conn != NULL)
	{
		scrape->exchange.keep_alive &= !conn->worker->draining;
		answer(conn, &scrape->exchange, result);
	}
	free(scrape);
}

static Scrape *
new_scrape(RgConn *conn, const RgExchange *exchange)
{
	Scrape	   *scrape = malloc(sizeof *scrape);

	if (scrape == NULL)
		return NULL;
	scrape->conn = conn;
	scrape->exchange = *exchange;
	scrape->next = scrapes;
	scrapes = scrape;
	return scrape;
}

/* With what the database has to say, if it says it in time. */
static void
ask_database(RgConn *conn, const RgExchange *exchange)
{
	Scrape	   *scrape = new_scrape(conn, exchange);

	if (scrape == NULL)
	{
		answer(conn, exchange, NULL);
		return;
	}
	rg_conn_wait(conn, NULL);
	if (!rg_ask(&conn->worker->reads, DATABASE_TIMEOUT, RG_METRICS_QUERY, 0, NULL, on_database, scrape))
		on_database(scrape, NULL);
}

void
rg_metrics_request(RgConn *conn, const RgHttpHead *head, RgExchange *exchange)
{
	RgTarget	target;

	if (!rg_target_split(head->method, head->target, &target))
	{
		exchange->path = none;
		exchange->keep_alive = false;
		refuse(conn, exchange, 400, RG_SLICE("malformed_target"), rg_slice_of(target.error), none);
		return;
	}
	/* these outlive the request's bytes, and a scrape keeps them */
	exchange->path = RG_SLICE("/metrics");
	exchange->method = exchange->head_only ? RG_SLICE("HEAD") :
		rg_slice_is(head->method, "GET") ? RG_SLICE("GET") : head->method;
	if (!rg_slice_is(target.path, "/metrics"))
	{
		exchange->path = target.path;
		refuse(conn, exchange, 404, RG_SLICE("route_not_found"),
			   RG_SLICE("only /metrics is served here"), none);
	}
	else if (!exchange->head_only && !rg_slice_is(exchange->method, "GET"))
		answer_other_method(conn, exchange);
	else if (head->chunked || head->content_length > 0)
		refuse(conn, exchange, 413, RG_SLICE("body_too_large"),
			   RG_SLICE("no body is taken here"), none);
	else
		ask_database(conn, exchange);
}
