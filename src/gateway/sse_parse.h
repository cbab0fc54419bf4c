/*
 * sse_parse.h
 *		Server-sent events out of bytes as they come (WHATWG HTML, "Interpreting an
 *		event stream").
 *
 * However the bytes are cut, the events are the same.  Comments and the fields id
 * and retry mean nothing here; an event without data is none, and neither is one
 * whose blank line has not come.
 *
 * Pure C: needs no server, no event loop.
 */
#ifndef RG_SSE_PARSE_H
#define RG_SSE_PARSE_H

#include "growing.h"

#define RG_SSE_MAX_LINE 1048576 /* bytes of a line, and of an event's data */
#define RG_SSE_MAX_NAME 64		/* of an event's name; longer ones are cut */

/* All zero before the first byte. */
typedef struct RgSseParser
{
	RgGrowing	line;			/* without its end */
	RgGrowing	data;			/* a LF behind each line of it */
	char		name[RG_SSE_MAX_NAME];
	size_t		name_len;
	bool		begun;			/* the first line has been looked at */
	bool		after_cr;		/* a LF would belong to the line's end before */
	bool		given;			/* data and name are of an event that was
								 * taken */
} RgSseParser;

typedef struct RgSseEvent
{
	RgSlice		name;			/* absent: "message" */
	RgSlice		data;			/* lines joined by LF */
} RgSseEvent;

typedef enum RgSseTaken
{
	RG_SSE_MORE,				/* the bytes are used up, and make no event */
	RG_SSE_EVENT,
	RG_SSE_BAD					/* a line or its data are too long, or memory
								 * is used up */
} RgSseTaken;

/*
 * Takes bytes off until there is an event, whose slices are good until the next
 * call.  After RG_SSE_BAD only freeing makes sense.
 */
extern RgSseTaken rg_sse_take(RgSseParser *parser, RgSlice *bytes, RgSseEvent *event)
			__attribute__((warn_unused_result));

extern void rg_sse_parser_free(RgSseParser *parser);

#endif
