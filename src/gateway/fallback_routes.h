/*
 * fallback_routes.h
 *		The routes, as the gateway knows them while the database is away.
 *
 * Pure C: needs no server, no event loop.
 */
#ifndef RG_FALLBACK_ROUTES_H
#define RG_FALLBACK_ROUTES_H

#include "proxy_order.h"

/* The strings belong to the list. */
typedef struct RgFallbackRoute
{
	const char *method;
	const char *path;			/* the template */
	bool		open;			/* of any other, all that follows is 0 */
	bool		own;			/* its method */
	bool		head;			/* and, of GET, HEAD */
	int64_t		max_body;
	double		rate;			/* tokens a second */
	int			burst;
	const char *base;
	int			strip;			/* segments of the path */
	struct json_t *order;		/* without its target */
} RgFallbackRoute;

typedef struct RgFallbackRoutes RgFallbackRoutes;

/* Reads what relay_guard.proxy_fallback() returns; NULL when it is malformed. */
extern RgFallbackRoutes *rg_fallback_routes_read(RgSlice text)
			__attribute__((warn_unused_result));

extern void rg_fallback_routes_free(RgFallbackRoutes *routes);

/*
 * The open route of a request, as serve() would find it; NULL when the one that
 * serve() would find stays closed, or there is none.
 */
extern const RgFallbackRoute *rg_fallback_route_find(const RgFallbackRoutes *routes,
													 RgSlice method, RgSlice path);

/* The order for a path that rg_upstream_path_refusal() does not refuse. */
extern bool rg_fallback_order(const RgFallbackRoute *route, RgSlice path, RgSlice query,
							  RgProxyOrder *order)
			__attribute__((warn_unused_result));

#endif
