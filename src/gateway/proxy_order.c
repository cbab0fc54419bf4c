/*
 * proxy_order.c
 *		Orders of serve() to the proxy; proxy_order.h has the contract.
 */
#include "proxy_order.h"

#include <jansson.h>

#include "http1.h"

static bool
is_visible(const char *text, char least)
{
	for (; *text != '\0'; text++)
		if (*text < least || *text > '~')
			return false;
	return true;
}

bool
rg_proxy_target_valid(const char *target)
{
	return *target == '/' && is_visible(target, '!') && strchr(target, '#') == NULL;
}

static bool
is_url(const char *url)
{
	return (strncmp(url, "http://", 7) == 0 || strncmp(url, "https://", 8) == 0) &&
		is_visible(url, '!');
}

/* What tells the upstream who asks, or that this may. */
static bool
is_header(const char *name, const char *value)
{
	bool		known = strncmp(name, "x-relay-", 8) == 0 || strcmp(name, "authorization") == 0;

	return known && is_visible(name, '!') &&
		strchr(name, ':') == NULL && *value != '\0' && is_visible(value, ' ');
}

bool
rg_proxy_order_header(const RgProxyOrder *order, int index, const char **name, const char **value)
{
	json_t	   *headers = json_object_get(order->json, "headers");

	*name = json_string_value(json_array_get(headers, 2 * index));
	*value = json_string_value(json_array_get(headers, 2 * index + 1));
	return *name != NULL && *value != NULL;
}

static bool
check_headers(const RgProxyOrder *order)
{
	json_t	   *headers = json_object_get(order->json, "headers");
	const char *name;
	const char *value;

	for (size_t i = 0; i < json_array_size(headers) / 2; i++)
		if (!rg_proxy_order_header(order, i, &name, &value) || !is_header(name, value))
			return false;
	return json_array_size(headers) % 2 == 0;
}

static bool
check(const RgProxyOrder *order)
{
	return is_url(order->url) && rg_proxy_target_valid(order->target) &&
		(*order->prefix == '\0' || rg_proxy_target_valid(order->prefix)) &&
		order->connect_ms > 0 && order->answer_ms > 0 && order->idle_ms > 0 &&
		order->max_response >= 0 && check_headers(order);
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
