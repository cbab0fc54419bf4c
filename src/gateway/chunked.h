/*
 * chunked.h
 *		Bodies in chunked coding (RFC 9112, 7.1), read strictly.
 *
 * Pure C: needs no server, no event loop.
 */
#ifndef RG_CHUNKED_H
#define RG_CHUNKED_H

#include <stdint.h>

#include "slice.h"

#define RG_CHUNK_MAX_DIGITS		8
#define RG_CHUNK_MAX_EXTENSIONS 256 /* bytes, of a chunk */
#define RG_CHUNK_MAX_TRAILERS	2048	/* bytes; they are dropped */

typedef enum RgChunkState
{
	RG_CHUNK_SIZE,
	RG_CHUNK_EXTENSION,
	RG_CHUNK_SIZE_LF,
	RG_CHUNK_DATA,
	RG_CHUNK_DATA_CR,
	RG_CHUNK_DATA_LF,
	RG_CHUNK_TRAILER_NAME,
	RG_CHUNK_TRAILER_VALUE,
	RG_CHUNK_TRAILER_LF,
	RG_CHUNK_LAST_LF,
	RG_CHUNK_END
} RgChunkState;

/* Where a body stands; all zeros at its start. */
typedef struct RgChunked
{
	RgChunkState state;
	int			digits;			/* of this chunk's size */
	bool		named;			/* this trailer has the start of a name */
	uint32_t	left;			/* bytes of this chunk still to come */
	uint32_t	extensions;		/* bytes so far, of this chunk */
	uint32_t	trailers;		/* bytes so far */
	const char *error;			/* when refused: why, for people */
} RgChunked;

/*
 * Reads from *input, which moves on past what was read.  Returns 1 with a
 * run of the body's bytes in *data (pointing into the input), 0 when the input
 * is used up or, with chunked->state RG_CHUNK_END, the body is complete; a
 * negative HTTP status when it is refused.  However the bytes are cut into
 * calls, body and verdict are the same.
 */
extern int	rg_chunked_next(RgChunked *chunked, RgSlice *input, RgSlice *data)
			__attribute__((warn_unused_result));

#endif
