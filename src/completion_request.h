/*
 * completion_request.h
 *		What a provider of language models is asked for: a request of OpenAI's chat
 *		completions, read, estimated and written anew.
 *
 * The estimate of its input leans upwards, and is what is reserved; what is charged
 * is what the provider counts.  It is a third, rounded up, of the bytes of
 *
 *	all texts and numbers of the messages, and of tools, functions and response_format as JSON,
 *
 * and 4 for each message; a part of type image_url counts 3000 whatever it holds, one
 * of type input_audio or file 3000 and a thirty-second of the bytes of its texts.
 * Some models count up to 50000 for an image whose detail is not low, and what a file
 * comes to only its reader knows: that is hidden, and reserved as well, as far as the
 * model takes so much.
 *
 * Pure C: shared by the extension and unit tests.
 */
#ifndef RG_COMPLETION_REQUEST_H
#define RG_COMPLETION_REQUEST_H

#include <stdint.h>

#include "json_text.h"
#include "slice.h"
#include "violation.h"

#define RG_COMPLETION_MAX_ANSWERS 128

struct json_t;

typedef struct RgCompletionRequest
{
	struct json_t *json;
	RgSlice		text;			/* the caller's: stays as long as this */
	const char *model;			/* NULL: none is named */
	int64_t		input_tokens;	/* estimated */
	int64_t		hidden_tokens;	/* that images and files may hold beyond that */
	int64_t		max_output;		/* tokens of each answer; 0: not said */
	int			answers;
	bool		stream;
	bool		usage_asked;	/* the client wants it in the stream */
} RgCompletionRequest;

/* What is asked for in the end. */
typedef struct RgCompletionTerms
{
	const char *model;
	int64_t		max_output;
	bool		stream;
	RgSlice		user;			/* visible ASCII */
} RgCompletionTerms;

/*
 * Reads a request, a JSON object within the bounds of json_body.h.  The caller frees
 * it.  False when it is refused, with nothing to free; the violation says why.
 */
extern bool rg_completion_read(RgSlice text, RgCompletionRequest *request, RgViolation *violation)
			__attribute__((warn_unused_result));

extern void rg_completion_free(RgCompletionRequest *request);

/*
 * Puts it anew: members that the terms say in their words, stream_options so that
 * the provider tells the usage, neither user nor safety_identifier of the client;
 * all others to the byte.
 */
extern void rg_completion_put(RgText *text, const RgCompletionRequest *request,
							  const RgCompletionTerms *terms);

#endif
