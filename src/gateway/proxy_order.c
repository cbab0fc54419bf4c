/*
 * proxy_order.c
 *		Orders of serve() to the proxy; proxy_order.h has the contract.
 */
#include "proxy_order.h"

#include <jansson.h>

#include "order_json.h"

static bool
check(const RgProxyOrder *order)
{
	return rg_order_url_valid(order->url) && rg_order_target_valid(order->target) &&
		(*order->prefix == '\0' || rg_order_target_valid(order->prefix)) &&
		order->connect_ms > 0 && order->answer_ms > 0 && order->idle_ms > 0 &&
		order->max_response >= 0 && rg_order_headers_valid(order->json);
}

static bool
unpack(RgProxyOrder *order)
{
	const char *kind;
	json_int_t	connect_ms,
				answer_ms,
				idle_ms,
				max_response;
	int			cookies,
				public;

	if (json_unpack(order->json, "{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:b, s:b}",
					"kind", &kind, "upstream", &order->upstream, "url", &order->url,
					"target", &order->target, "prefix", &order->prefix,
					"connect_ms", &connect_ms, "answer_ms", &answer_ms, "idle_ms", &idle_ms,
					"max_response", &max_response, "cookies", &cookies, "public", &public) != 0 ||
		strcmp(kind, "proxy") != 0)
		return false;
	order->connect_ms = connect_ms;
	order->answer_ms = answer_ms;
	order->idle_ms = idle_ms;
	order->max_response = max_response;
	order->cookies = cookies;
	order->public = public;
	return true;
}

bool
rg_proxy_order_read(RgSlice text, RgProxyOrder *order)
{
	return rg_proxy_order_take(json_loadb(text.data, text.len, JSON_REJECT_DUPLICATES, NULL), order);
}

bool
rg_proxy_order_take(json_t *json, RgProxyOrder *order)
{
	memset(order, 0, sizeof *order);
	order->json = json;
	if (order->json != NULL && unpack(order) && check(order))
		return true;
	rg_proxy_order_free(order);
	return false;
}

void
rg_proxy_order_free(RgProxyOrder *order)
{
	json_decref(order->json);
	order->json = NULL;
}
