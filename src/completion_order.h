/*
 * completion_order.h
 *		What the gateway is to ask a provider of language models for.
 *
 * An order is the JSON object {"kind":"completion", "upstream", "url", "target",
 * "connect_ms", "answer_ms", "idle_ms", "max_response", "public", "shape", "stream",
 * "usage_asked", "model", "reservation", "input_tokens", "max_output_tokens",
 * "lease_ms", "events": {"number", "token"}, "headers": ["name", "value", ...],
 * "body"}.
 *
 * target is the request line's, max_response in bytes and never 0.  stream is whether
 * the provider streams, as body says to it; usage_asked whether the client wants the
 * usage in the stream.  input_tokens is the estimate of the input and
 * max_output_tokens what all answers together may have: that is reserved, until
 * lease_ms from now.  events is there for shape events alone.  headers are those of
 * upstream_order.h; body is a text, the provider's request.
 */
#ifndef RG_COMPLETION_ORDER_H
#define RG_COMPLETION_ORDER_H

#include "answer.h"
#include "context.h"

/* Defines relay_guard.completion_grace; called from _PG_init. */
extern void rg_completion_init(void);

/*
 * Makes the answer an order: its body, what the route's statement made, is the
 * provider's request.  What it costs at most is reserved for whoever asks; the header
 * X-Completion-ID names the reservation.  Error RG422 for a request or a model that
 * will not do, RG429 where a budget has no room, RG503 where the model's provider is
 * no upstream: all that the statement did is undone.
 */
extern void rg_completion_order(const RgRequest *request, const RgIdentity *identity,
								RgAnswer *answer);

#endif
