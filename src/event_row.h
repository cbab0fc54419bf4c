/*
 * event_row.h
 *		What a route of result stream says of the stream to follow.
 *
 * Pure C.
 */
#ifndef RG_EVENT_ROW_H
#define RG_EVENT_ROW_H

#include <stdint.h>

#include "slice.h"

#define RG_EVENT_STREAM_MAX 255 /* bytes of a stream's name */

typedef struct RgEventRow
{
	char		stream[RG_EVENT_STREAM_MAX + 1];	/* empty: SQL NULL */
	bool		has_after;
	int64_t		after;			/* the event that the client has seen last */
} RgEventRow;

/*
 * Reads the row, a JSON object with "stream", a string or null, and perhaps
 * "after", an integer or null.  False when it is not like that.
 */
extern bool rg_event_row_parse(RgSlice json, RgEventRow *row)
			__attribute__((warn_unused_result));

/* An id as Last-Event-ID has it: 1 to 18 digits. */
extern bool rg_event_id_parse(RgSlice text, int64_t *id)
			__attribute__((warn_unused_result));

#endif
