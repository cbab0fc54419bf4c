/*
 * order_json.h
 *		What every order of serve() to ask another server has: where, and with
 *		which headers.
 *
 * Pure C: needs no server, no event loop.
 */
#ifndef RG_ORDER_JSON_H
#define RG_ORDER_JSON_H

#include <stdbool.h>

struct json_t;

/* Whether that is http:// or https:// and visible ASCII. */
extern bool rg_order_url_valid(const char *url);

/* Whether that may stand in a request line: visible ASCII from a slash on. */
extern bool rg_order_target_valid(const char *target);

/* The order's headers in turn, from index 0 on; false after the last. */
extern bool rg_order_header(const struct json_t *order, int index,
							const char **name, const char **value);

/*
 * Whether they are pairs of strings that end no line of a request, and only such as
 * tell who asks (x-relay-…) or that this may (authorization).
 */
extern bool rg_order_headers_valid(const struct json_t *order);

#endif
