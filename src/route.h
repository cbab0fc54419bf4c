/*
 * route.h
 *		The table route, as a backend keeps it, and the search for the route of
 *		a request.
 */
#ifndef RG_ROUTE_H
#define RG_ROUTE_H

#include "access/htup.h"
#include "access/tupdesc.h"

#include "json_out.h"
#include "slice.h"

#define RG_ROUTE_MAX_SEGMENTS 16	/* variables of a path */
#define RG_ROUTE_MAX_QUOTAS 4
#define RG_ROUTE_ALL_BUDGETS "all"

typedef enum RgAuth
{
	RG_AUTH_NONE,
	RG_AUTH_OPTIONAL,
	RG_AUTH_ANONYMOUS,			/* an anonymous identity, or a better one */
	RG_AUTH_USER,
	RG_AUTH_ADMIN,				/* a token or an API key, of role admin */
	RG_AUTH_API_KEY				/* an API key, or a user with a workspace */
} RgAuth;

/* May, or must, a request name itself so that it is carried out once? */
typedef enum RgIdempotency
{
	RG_IDEMPOTENCY_NONE,
	RG_IDEMPOTENCY_OPTIONAL,
	RG_IDEMPOTENCY_REQUIRED
} RgIdempotency;

/* What the gateway is to do after serve(), as the statement's row says. */
typedef enum RgOrder
{
	RG_ORDER_NONE,				/* send the answer */
	RG_ORDER_STREAM,			/* send the events of a stream */
	RG_ORDER_PROXY,				/* let an upstream answer */
	RG_ORDER_COMPLETION			/* let a language model answer */
} RgOrder;

struct RgRoutePlan;

/* A row of relay_guard.route. */
typedef struct RgRoute
{
	int64		id;
	const char *method;
	const char *path;
	const char *query;
	RgAuth		auth;
	int			nscopes;
	char	  **scopes;
	const char *parameters;		/* JSON */
	const char *request_body;	/* JSON; NULL when there is none */
	int			nrates;
	char	  **rates;
	int			nquotas;
	char	  **quotas;
	const char *budget;			/* a policy's name or RG_ROUTE_ALL_BUDGETS;
								 * NULL: none */
	int			max_body;
	RgIdempotency idempotency;
	bool		slow;
	int			cache_seconds;	/* 0: not kept */
	int			ncache_tags;
	char	  **cache_tags;
	const char *upstream;		/* NULL but with RG_ORDER_PROXY */
	const char *shape;			/* NULL but with RG_ORDER_COMPLETION */
	RgOrder		order;
	RgJsonResult result;		/* with an order: RG_JSON_ROW, or of a
								 * completion RG_JSON_VALUE */
	const char *result_key;		/* NULL: none */
	int			status;
	int			nkeys;
	char	  **keyset;
	char	  **keyset_start;	/* NULL: the first page starts from NULLs */
	bool		custom_plan;
	int			max_response;
	Oid			run_as;
	const char *search_path;

	struct RgRoutePlan *plan;	/* made when first needed: route_plan.c */
} RgRoute;

typedef struct RgRouteMatch
{
	RgRoute    *route;			/* NULL: no route of that method */
	bool		path_known;		/* some method has a route there */
	RgSlice		values[RG_ROUTE_MAX_SEGMENTS];	/* of the path's variables,
												 * raw */
} RgRouteMatch;

/* Registers the cache; called from _PG_init. */
extern void rg_route_init(void);

/*
 * Finds the route of a request; HEAD is served by GET's.  Everything in match
 * stays until the end of the transaction.
 */
extern void rg_route_find(RgSlice method, RgSlice path, RgRouteMatch *match);

/* The methods of a path for the header Allow: "GET, HEAD, POST" (palloc'd). */
extern char *rg_route_allow(RgSlice path);

/* Fills route from a row; strings are copied into the current context. */
extern void rg_route_read(RgRoute *route, const Datum *values, const bool *nulls);

#endif
