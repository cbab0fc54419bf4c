/*
 * completion_shape.h
 *		A completion as clients get it: OpenAI's chunks, one JSON object, or events.
 *
 * Pure C: needs no server, no event loop.
 */
#ifndef RG_COMPLETION_SHAPE_H
#define RG_COMPLETION_SHAPE_H

#include "completion_chunk.h"
#include "json_text.h"

typedef enum RgCompletionShape
{
	RG_SHAPE_OPENAI,			/* as OpenAI answers */
	RG_SHAPE_REPLY,				/* {"reply", "model", "finish_reason",
								 * "usage"} */
	RG_SHAPE_EVENTS				/* message_chunk …, usage, done; or error */
} RgCompletionShape;

/* False when there is no shape of that name. */
extern bool rg_completion_shape_named(const char *name, RgCompletionShape *shape)
			__attribute__((warn_unused_result));

/* What a completion came to. */
typedef struct RgCompletionEnd
{
	RgSlice		model;
	RgSlice		finish_reason;	/* absent: null */
	RgCompletionUsage usage;	/* as it is charged */
} RgCompletionEnd;

/* An event that has no id: of OpenAI's, whose data is what says everything. */
extern void rg_completion_put_data(RgText *text, RgSlice data);

/* OpenAI's error, in a stream: {"error":{"message","type","param","code"}}. */
extern void rg_completion_put_openai_error(RgText *text, RgSlice code, RgSlice message);

extern void rg_completion_put_reply(RgText *text, RgSlice reply, const RgCompletionEnd *end);

/* The data of events: {"text"}, {"input_tokens","output_tokens"}, {"finish_reason","model"}, {"code","message"}. */
extern void rg_completion_put_text(RgText *text, RgSlice piece);
extern void rg_completion_put_usage(RgText *text, const RgCompletionUsage *usage);
extern void rg_completion_put_done(RgText *text, const RgCompletionEnd *end);
extern void rg_completion_put_error(RgText *text, RgSlice code, RgSlice message);

/* Takes up to max bytes off, never a part of a character. */
extern RgSlice rg_completion_take_piece(RgSlice *rest, size_t max);

/* Puts what stands between the quotes of an element of an array's text (PostgreSQL's). */
extern void rg_completion_put_element(RgText *text, RgSlice value);

#endif
