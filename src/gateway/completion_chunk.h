/*
 * completion_chunk.h
 *		What a provider says of a completion (OpenAI's chat completions): chunks of
 *		a stream, whole answers, and refusals.
 *
 * Pure C: needs no server, no event loop.
 */
#ifndef RG_COMPLETION_CHUNK_H
#define RG_COMPLETION_CHUNK_H

#include <stdint.h>

#include "slice.h"

struct json_t;

#define RG_COMPLETION_MAX_TOKENS INT64_C(1000000000)	/* no call has as many */
#define RG_COMPLETION_MAX_MESSAGE 300	/* characters of a provider's refusal */

typedef struct RgCompletionUsage
{
	bool		known;
	int64_t		input;			/* tokens */
	int64_t		output;
} RgCompletionUsage;

/* The slices belong to json. */
typedef struct RgCompletionChunk
{
	struct json_t *json;
	RgSlice		text;			/* of the first choice; absent: none */
	RgSlice		finish_reason;	/* of the first choice; absent: it goes on */
	RgCompletionUsage usage;
	size_t		produced;		/* bytes that the model made, in all choices */
	bool		choices;		/* false: there is nothing but usage */
	bool		failed;			/* it is an error in a chunk's place */
} RgCompletionChunk;

/*
 * Read a chunk of a stream ("delta") and a whole answer ("message").  False when
 * that is no JSON object, or one of more values than any answer has; then there is
 * nothing to free.
 */
extern bool rg_completion_chunk_read(RgSlice text, RgCompletionChunk *chunk)
			__attribute__((warn_unused_result));
extern bool rg_completion_whole_read(RgSlice text, RgCompletionChunk *chunk)
			__attribute__((warn_unused_result));

extern void rg_completion_chunk_free(RgCompletionChunk *chunk);

/*
 * The message of a refusal, {"error":{"message":…}}, made fit for a problem's detail:
 * up to RG_COMPLETION_MAX_MESSAGE characters, with a space for each control
 * character.  Returns its length, 0 for none.
 */
extern size_t rg_completion_message(RgSlice body,
									char message[4 * RG_COMPLETION_MAX_MESSAGE]);

/*
 * Tokens that so many bytes of output have at most, by and large: no tokenizer
 * makes fewer than three bytes of one out of ordinary text.
 */
extern int64_t rg_completion_estimate(size_t bytes);

#endif
