/*
 * upstream_order.h
 *		What the gateway is to ask an upstream for, signed.
 *
 * An order is the JSON object {"kind":"proxy", "upstream", "url", "target",
 * "prefix", "connect_ms", "answer_ms", "idle_ms", "max_response", "cookies",
 * "public", "headers": ["x-relay-...", "value", ...]}.  target is the request
 * line's; the headers are all that tell the upstream who asks, their last one
 * is x-relay-signature:
 *
 *	v1=<hex> of HMAC-SHA-256 under the secret's text, one for each secret that is
 *	valid, separated by spaces, over
 *
 *	"relay-v1" LF method LF target LF (name ":" value LF)*
 *
 * with the other headers sorted by name.  Values are visible ASCII, percent-
 * encoded, but for spaces between scopes.
 */
#ifndef RG_UPSTREAM_ORDER_H
#define RG_UPSTREAM_ORDER_H

#include "answer.h"
#include "context.h"

/*
 * Makes the answer an order: its body, the row of the route's statement, becomes
 * the context that is signed.  Refuses what no upstream may get.
 */
extern void rg_upstream_order(const RgRequest *request, const RgIdentity *identity,
							  RgAnswer *answer);

#endif
