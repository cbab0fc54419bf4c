/*
 * provider_order.h
 *		What a provider is to be asked for, as serve() orders it.
 *
 * Pure C: needs no server, no event loop.
 */
#ifndef RG_PROVIDER_ORDER_H
#define RG_PROVIDER_ORDER_H

#include "completion_shape.h"
#include "sse_text.h"

#define RG_RESERVATION_LEN 36

/* The strings belong to json. */
typedef struct RgProviderOrder
{
	struct json_t *json;
	const char *upstream;
	const char *url;			/* "https://host:port" */
	const char *target;			/* for the request line */
	const char *model;
	const char *reservation;	/* a UUID */
	RgSlice		body;			/* of the request */
	RgCompletionShape shape;
	bool		stream;			/* the provider answers by a stream */
	bool		usage_asked;	/* the client wants its chunk of usage */
	int64_t		connect_ms;
	int64_t		answer_ms;
	int64_t		idle_ms;
	int64_t		max_response;	/* bytes; 0: as many as the gateway takes */
	int64_t		lease_ms;		/* of the reservation */
	int64_t		input_tokens;	/* as they are estimated */
	int64_t		max_output_tokens;
	int64_t		events;			/* the stream of events of RG_SHAPE_EVENTS */
	char		token[RG_SSE_TOKEN_LEN + 1];	/* and what appends to it */
} RgProviderOrder;

/*
 * Reads an order.  False when it is none, or has in it what could end a line of a
 * request; then there is nothing to free.
 */
extern bool rg_provider_order_read(RgSlice text, RgProviderOrder *order)
			__attribute__((warn_unused_result));

/* Whether a text holds what one of the headers does: the key, say. */
extern bool rg_provider_order_tells(const RgProviderOrder *order, RgSlice text);

/* The request has been sent: its body, which may be long, is not kept any more. */
extern void rg_provider_order_drop_body(RgProviderOrder *order);

/* Wipes the headers, which are how the provider knows us. */
extern void rg_provider_order_free(RgProviderOrder *order);

#endif
