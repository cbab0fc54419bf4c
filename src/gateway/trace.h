/*
 * trace.h
 *		Trace Context (W3C): the trace that a request is a part of.
 *
 * A traceparent that is right to the letter is continued under a span of our
 * own; any other is not there, and a new trace begins.  The tracestate of others
 * is handed on as it is, but for what is malformed or too much.
 *
 * Pure C: needs no server, no event loop.
 */
#ifndef RG_TRACE_H
#define RG_TRACE_H

#include "slice.h"

#define RG_TRACE_ID_LEN 32
#define RG_SPAN_ID_LEN 16
#define RG_TRACEPARENT_LEN 55
#define RG_TRACESTATE_MEMBERS 32
#define RG_TRACESTATE_MAX 512	/* bytes that are handed on */

/* All of it lower-case hexadecimal. */
typedef struct RgTrace
{
	char		trace_id[RG_TRACE_ID_LEN];
	char		span_id[RG_SPAN_ID_LEN];	/* ours, the parent of what
											 * follows */
	char		flags[2];
	bool		continued;		/* somebody else's trace, not one of ours */
} RgTrace;

/* Reads a traceparent; span_id is then the sender's. */
extern bool rg_traceparent_parse(RgSlice text, RgTrace *trace)
			__attribute__((warn_unused_result));

/* Continues the trace, or begins one where parent is absent or wrong. */
extern void rg_trace_begin(RgSlice parent, RgTrace *trace);

/* Writes the traceparent for what we call. */
extern void rg_traceparent_write(const RgTrace *trace, char out[RG_TRACEPARENT_LEN]);

/* What has been gathered of one or more tracestate lines. */
typedef struct RgTraceState
{
	int			members;
	bool		malformed;
	bool		full;			/* a member had no room: those behind it
								 * neither */
	size_t		len;
	char		text[RG_TRACESTATE_MAX];
} RgTraceState;

/*
 * Adds a line's members, as many as fit as a whole, empty ones left out.  A
 * malformed member, a key that comes twice or more than RG_TRACESTATE_MEMBERS
 * spoil all of it.
 */
extern void rg_tracestate_add(RgTraceState *state, RgSlice line);

/* The value to hand on; absent when there is none, or it is malformed. */
static inline RgSlice
rg_tracestate_value(const RgTraceState *state)
{
	return state->malformed || state->len == 0 ? rg_slice(NULL, 0)
		: rg_slice(state->text, state->len);
}

#endif
