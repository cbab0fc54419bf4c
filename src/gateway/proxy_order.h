/*
 * proxy_order.h
 *		What an upstream is to be asked for, as serve() orders it.
 *
 * Pure C: needs no server, no event loop.
 */
#ifndef RG_PROXY_ORDER_H
#define RG_PROXY_ORDER_H

#include <stdint.h>

#include "slice.h"

struct json_t;

/* The strings belong to json. */
typedef struct RgProxyOrder
{
	struct json_t *json;
	const char *upstream;
	const char *url;			/* "https://host:port" */
	const char *target;			/* for the request line */
	const char *prefix;			/* what the target lacks; "" for nothing */
	int64_t		connect_ms;
	int64_t		answer_ms;
	int64_t		idle_ms;
	int64_t		max_response;	/* bytes; 0: any */
	bool		cookies;
	bool		public;			/* no identity goes along */
} RgProxyOrder;

/*
 * Reads an order (src/upstream_order.h).  False when it is none, or has in it
 * what could end a line of a request; then there is nothing to free.
 */
extern bool rg_proxy_order_read(RgSlice text, RgProxyOrder *order)
			__attribute__((warn_unused_result));

/* The same of a value that has been read; takes it over, whatever comes of it. */
extern bool rg_proxy_order_take(struct json_t *json, RgProxyOrder *order)
			__attribute__((warn_unused_result));

extern void rg_proxy_order_free(RgProxyOrder *order);

#endif
