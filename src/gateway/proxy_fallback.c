/*
 * proxy_fallback.c
 *		Routes that stay open while the database is away; proxy_fallback.h has
 *		the contract.
 */
#include "proxy_fallback.h"

#include <stdio.h>

#include "address_bucket.h"
#include "ask.h"
#include "clock.h"
#include "fallback_routes.h"
#include "log.h"
#include "proxy.h"
#include "response.h"
#include "upstream_target.h"
#include "worker.h"

#define SECOND INT64_C(1000000)
#define INTERVAL (3 * SECOND)
#define TIMEOUT (5 * SECOND)

static RgAddressBuckets *buckets;
static RgFallbackRoutes *routes = NULL; /* NULL: none are known */
static bool asking = false;
static int64_t asked = 0;
static int64_t passed = 0;		/* when the last one passed so */

bool
rg_proxy_fallback_share(void)
{
	buckets = rg_address_buckets_new();
	return buckets != NULL;
}

/* No answer changes nothing. */
static void
take_routes(void *arg, const PGresult *result)
{
	RgFallbackRoutes *newer;

	(void) arg;
	asking = false;
	if (result == NULL || PQresultStatus(result) != PGRES_TUPLES_OK || PQntuples(result) != 1 ||
		PQgetisnull(result, 0, 0))
		return;
	newer = rg_fallback_routes_read(rg_slice(PQgetvalue(result, 0, 0), PQgetlength(result, 0, 0)));
	if (newer == NULL)
	{
		rg_log(RG_LOG_ERROR, "the list of routes that stay open is malformed", NULL);
		return;
	}
	rg_fallback_routes_free(routes);
	routes = newer;
}

void
rg_proxy_fallback_tick(RgWorker *worker)
{
	int64_t		now = rg_now();

	if (worker->draining || asking || (asked != 0 && now - asked < INTERVAL))
		return;
	asked = now;
	asking = true;				/* the answer may be there at once */
	if (!rg_ask(&worker->reads, TIMEOUT, "SELECT relay_guard.proxy_fallback()", 0, NULL,
				take_routes, NULL))
		asking = false;
}

/*
 * Only where the database cannot be reached.  Requests that wait too long for it,
 * or that it works at for too long, somebody may have brought about: to get around
 * the limits must not be that easy.
 */
static bool
is_away(const RgJob *job, RgOutcome outcome)
{
	return outcome == RG_DATABASE_DOWN || (outcome == RG_DATABASE_LOST && job->safe);
}

static bool
refuse(RgConn *conn, const RgJob *job, const RgFallbackRoute *route, int status, RgSlice code,
	   const char *detail)
{
	RgProblem	problem = {.status = status,.code = code,.detail = rg_slice_of(detail)};

	rg_respond_problem(conn, &job->exchange, &problem, rg_slice_of(route->path), rg_slice(NULL, 0));
	return false;
}

static bool
check_request(RgConn *conn, const RgJob *job, const RgFallbackRoute *route, const RgRequest *request)
{
	const char *reason = rg_upstream_path_refusal(request->path);

	if (reason == NULL && job->safe && request->body.len > 0)
		reason = "GET and HEAD have no body here";
	if (reason != NULL)
		return refuse(conn, job, route, 400, RG_SLICE("malformed_target"), reason);
	if ((int64_t) request->body.len > route->max_body)
		return refuse(conn, job, route, 413, RG_SLICE("body_too_large"),
					  "the body is larger than this path takes");
	return true;
}

static bool
take_token(RgConn *conn, const RgJob *job, const RgFallbackRoute *route, const RgProxyOrder *order)
{
	int64_t		wait = rg_address_bucket_take(buckets, rg_slice_of(order->upstream),
											  &job->exchange.client, route->rate, route->burst,
											  rg_now());
	RgProblem	problem = {
		.status = 429,.code = RG_SLICE("rate_limited"),
		.detail = RG_SLICE("too many requests from this address")
	};
	char		line[64];
	int			len;

	if (wait == 0)
		return true;
	len = snprintf(line, sizeof line, "Retry-After: %lld\r\n", (long long) ((wait + SECOND - 1) / SECOND));
	rg_respond_problem(conn, &job->exchange, &problem, rg_slice_of(route->path), rg_slice(line, len));
	return false;
}

static void
note_passage(void)
{
	int64_t		now = rg_now();

	if (passed == 0 || now - passed > 60 * SECOND)
		rg_log(RG_LOG_WARNING, "the database is away: requests pass to upstreams without an identity",
			   NULL);
	passed = now;
}

static void
pass(RgConn *conn, RgJob *job, const RgFallbackRoute *route, const RgRequest *request)
{
	RgProxyOrder order;

	if (!check_request(conn, job, route, request))
		return;
	if (!rg_fallback_order(route, request->path, request->query, &order))
	{
		refuse(conn, job, route, 500, RG_SLICE("internal"), NULL);
		return;
	}
	if (take_token(conn, job, route, &order))
	{
		note_passage();
		rg_proxy_start_order(conn, job, &order, rg_slice_of(route->path), rg_slice(NULL, 0));
	}
	rg_proxy_order_free(&order);
}

bool
rg_proxy_fallback(RgConn *conn, RgJob *job, RgOutcome outcome)
{
	const RgFallbackRoute *route;
	RgRequest	request;

	if (conn == NULL || routes == NULL || job->kind != RG_JOB_SERVE || !is_away(job, outcome) ||
		!rg_request_parse(rg_slice(job->frame, job->len), &request))
		return false;
	route = rg_fallback_route_find(routes, request.method, request.path);
	if (route == NULL)
		return false;
	pass(conn, job, route, &request);
	return true;
}
