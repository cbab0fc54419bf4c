/*
 * sse_text.h
 *		Events as text/event-stream spells them, and the order to send a stream's.
 *
 * Pure C: needs no server, no event loop.
 */
#ifndef RG_SSE_TEXT_H
#define RG_SSE_TEXT_H

#include <stdint.h>

#include "json_text.h"

#define RG_SSE_TOKEN_LEN 36

/* What serve() orders: a stream, what reads it, and the event seen last. */
typedef struct RgSseOrder
{
	int64_t		number;
	int64_t		after;
	char		token[RG_SSE_TOKEN_LEN + 1];
} RgSseOrder;

/* False when that is no such order. */
extern bool rg_sse_order_parse(RgSlice json, RgSseOrder *order)
			__attribute__((warn_unused_result));

/*
 * Writes an event: id: and event: where there are such, and data: once for each
 * line, whichever of CR LF, CR and LF ends them.  The name has no line ends.
 */
extern void rg_sse_event(RgText *text, RgSlice id, RgSlice event, RgSlice data);

#endif
