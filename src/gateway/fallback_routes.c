/*
 * fallback_routes.c
 *		The routes, as the gateway knows them while the database is away;
 *		fallback_routes.h has the contract.
 */
#include "fallback_routes.h"

#include <jansson.h>
#include <stdlib.h>

#include "address_bucket.h"
#include "route_match.h"
#include "upstream_target.h"

#define MAX_SEGMENTS 16

struct RgFallbackRoutes
{
	json_t	   *json;			/* owns the strings */
	size_t		count;
	RgFallbackRoute routes[];
};

static bool
is_sane(const RgFallbackRoute *route)
{
	return route->rate >= RG_BUCKET_MIN_RATE && route->rate <= RG_BUCKET_MAX_RATE &&
		route->burst >= 1 && route->burst <= RG_BUCKET_MAX_BURST &&
		route->strip >= 0 && route->max_body >= 0;
}

/* Those that are closed have a method and a path only. */
static bool
read_route(json_t *json, RgFallbackRoute *route)
{
	json_int_t	max_body = 0;
	int			own = 0;
	int			head = 0;

	if (json_unpack(json, "{s:s, s:s}", "method", &route->method, "path", &route->path) != 0)
		return false;
	route->open = json_object_get(json, "order") != NULL;
	if (!route->open)
		return true;
	if (json_unpack(json, "{s:I, s:b, s:b, s:F, s:i, s:s, s:i, s:o}", "max_body", &max_body,
					"own", &own, "head", &head, "rate", &route->rate, "burst", &route->burst,
					"base", &route->base, "strip", &route->strip, "order", &route->order) != 0)
		return false;
	route->max_body = max_body;
	route->own = own;
	route->head = head;
	return is_sane(route);
}

static int
compare(const void *a, const void *b)
{
	const RgFallbackRoute *left = a;
	const RgFallbackRoute *right = b;

	return rg_template_compare(left->path, right->path);
}

static bool
read_routes(RgFallbackRoutes *routes)
{
	size_t		i;
	json_t	   *route;

	json_array_foreach(routes->json, i, route)
		if (!read_route(route, &routes->routes[i]))
		return false;
	qsort(routes->routes, routes->count, sizeof routes->routes[0], compare);
	return true;
}

RgFallbackRoutes *
rg_fallback_routes_read(RgSlice text)
{
	json_t	   *json = json_loadb(text.data, text.len, JSON_REJECT_DUPLICATES, NULL);
	size_t		count = json_array_size(json);
	RgFallbackRoutes *routes = json_is_array(json) ?
	calloc(1, sizeof *routes + count * sizeof routes->routes[0]) : NULL;

	if (routes == NULL)
	{
		json_decref(json);
		return NULL;
	}
	routes->json = json;
	routes->count = count;
	if (read_routes(routes))
		return routes;
	rg_fallback_routes_free(routes);
	return NULL;
}

void
rg_fallback_routes_free(RgFallbackRoutes *routes)
{
	if (routes == NULL)
		return;
	json_decref(routes->json);
	free(routes);
}

static bool
serves(const RgFallbackRoute *route, RgSlice method)
{
	return rg_slice_is(method, route->method) ||
		(rg_slice_is(method, "HEAD") && strcmp(route->method, "GET") == 0);
}

/* A route of GET has two methods, and either may stay open alone. */
static bool
is_open(const RgFallbackRoute *route, RgSlice method)
{
	return route->open && (rg_slice_is(method, "HEAD") ? route->head : route->own);
}

const RgFallbackRoute *
rg_fallback_route_find(const RgFallbackRoutes *routes, RgSlice method, RgSlice path)
{
	RgSlice		values[MAX_SEGMENTS];

	for (size_t i = 0; i < routes->count; i++)
	{
		const RgFallbackRoute *route = &routes->routes[i];

		if (serves(route, method) && rg_template_match(route->path, path, values, MAX_SEGMENTS))
			return is_open(route, method) ? route : NULL;
	}
	return NULL;
}

bool
rg_fallback_order(const RgFallbackRoute *route, RgSlice path, RgSlice query, RgProxyOrder *order)
{
	char		target[32768];
	RgText		text = {target, sizeof target, 0};
	json_t	   *json = json_copy(route->order);

	rg_upstream_target_put(&text, rg_slice(route->base, strlen(route->base)), path, route->strip, query);
	if (text.len > text.cap ||
		json_object_set_new(json, "target", json_stringn(target, text.len)) != 0)
	{
		json_decref(json);
		return false;
	}
	return rg_proxy_order_take(json, order);
}
