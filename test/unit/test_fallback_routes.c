/*
 * test_fallback_routes.c
 *		Which requests pass while the database is away.
 */
#include <stdlib.h>

#include "gateway/fallback_routes.h"
#include "gateway/order_json.h"
#include "tap.h"

#define ORDER "\"order\":{\"kind\":\"proxy\",\"cookies\":false,\"public\":false,\"headers\":[\"x-relay-fallback\",\"1\"]," \
	"\"upstream\":\"app\",\"url\":\"http://h\",\"prefix\":\"/app\",\"connect_ms\":1,\"answer_ms\":1,\"idle_ms\":1,\"max_response\":0}"
#define OPEN(method, path, own, head) "{\"method\":\"" method "\",\"path\":\"" path "\",\"max_body\":10,\"own\":" own \
	",\"head\":" head ",\"rate\":1,\"burst\":10,\"base\":\"/base\",\"strip\":1," ORDER "}"
#define CLOSED(method, path) "{\"method\":\"" method "\",\"path\":\"" path "\",\"max_body\":10}"

static const char list[] =
"[" OPEN("GET", "/app/{rest...}", "true", "true") "," CLOSED("POST", "/app/{rest...}") ","
CLOSED("GET", "/app/admin") "," CLOSED("GET", "/app/{id}/secret") ","
OPEN("GET", "/app/head/only", "false", "true") "," OPEN("GET", "/app/get/only", "true", "false") ","
OPEN("POST", "/app/form", "true", "false") "]";

static RgFallbackRoutes *routes;

static void
passes(const char *method, const char *path, bool expected)
{
	const RgFallbackRoute *route = rg_fallback_route_find(routes, rg_slice_of(method), rg_slice_of(path));

	ok((route != NULL) == expected, "%s %s %s", method, path, expected ? "passes" : "does not pass");
}

static void
malformed(const char *text)
{
	ok(rg_fallback_routes_read(rg_slice_of(text)) == NULL, "malformed: %.60s", text);
}

static void
test_order(void)
{
	RgProxyOrder order;
	const RgFallbackRoute *route = rg_fallback_route_find(routes, RG_SLICE("GET"), RG_SLICE("/app/a%2Fb"));
	const char *name;
	const char *value;

	ok(rg_fallback_order(route, RG_SLICE("/app/a%2Fb"), RG_SLICE("x=1"), &order), "an order is made");
	ok(strcmp(order.target, "/base/a%2Fb?x=1") == 0, "of the path below the base");
	ok(rg_order_header(order.json, 0, &name, &value) && strcmp(name, "x-relay-fallback") == 0 &&
	   !rg_order_header(order.json, 1, &name, &value) && !order.cookies && !order.public,
	   "with no header but the one that says so");
	rg_fallback_routes_free(routes);
	ok(strcmp(order.url, "http://h") == 0, "it outlives the list");
	rg_proxy_order_free(&order);
}

int
main(void)
{
	routes = rg_fallback_routes_read(rg_slice_of(list));
	ok(routes != NULL, "a list is read");
	passes("GET", "/app/", true);
	passes("GET", "/app/x/y", true);
	passes("HEAD", "/app/x", true);
	passes("POST", "/app/x", false);
	passes("DELETE", "/app/x", false);
	passes("GET", "/app", false);
	passes("GET", "/other", false);
	passes("GET", "/app/admin", false);
	passes("HEAD", "/app/admin", false);
	passes("GET", "/app/%61dmin", false);
	passes("GET", "/app/7/secret", false);
	passes("GET", "/app/7/secre", true);
	passes("HEAD", "/app/head/only", true);
	passes("GET", "/app/head/only", false);
	passes("GET", "/app/get/only", true);
	passes("HEAD", "/app/get/only", false);
	passes("POST", "/app/form", true);
	test_order();
	malformed("");
	malformed("{}");
	malformed("[1]");
	malformed("[{\"method\":\"GET\"}]");
	malformed("[{\"method\":\"GET\",\"path\":\"/\",\"order\":{}}]");
	malformed("[{\"method\":\"GET\",\"path\":\"/\",\"max_body\":1,\"own\":true,\"head\":true,\"rate\":0,"
			  "\"burst\":1,\"base\":\"\",\"strip\":0,\"order\":{}}]");
	return done();
}
