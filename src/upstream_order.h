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
 *
 * To an upstream of auth bearer there goes one header alone, authorization, with its
 * secret.
 */
#ifndef RG_UPSTREAM_ORDER_H
#define RG_UPSTREAM_ORDER_H

#include "answer.h"
#include "context.h"
#include "upstream.h"

/*
 * Appends the headers of a request to an upstream, as elements of a JSON array: of
 * auth signature for that method, target, body, client and id of the request, of
 * that identity, with the context (data NULL: none); of auth bearer its secret, which
 * makes the order one that only the gateway may read.  Error RG503 where the upstream
 * has no secret.
 */
extern void rg_upstream_headers(const RgUpstream *upstream, const RgRequest *request,
								const RgIdentity *identity, RgSlice target, RgSlice context,
								RgAnswer *answer, StringInfo headers);

/*
 * Makes the answer an order: its body, the row of the route's statement, becomes
 * the context that is signed.  Refuses what no upstream may get.
 */
extern void rg_upstream_order(const RgRequest *request, const RgIdentity *identity,
							  RgAnswer *answer);

#endif
