/*
 * content.h
 *		Bytes that are sent more than once: their ETag, and themselves compressed.
 */
#ifndef RG_CONTENT_H
#define RG_CONTENT_H

#include <stdint.h>

#include "slice.h"

#define RG_ETAG_SIZE 36			/* with quotes, "-gz" not included, and NUL */

typedef struct RgContent
{
	RgSlice		body;			/* somebody else's */
	char		etag[RG_ETAG_SIZE]; /* of its bytes, strong */
	bool		lasting;		/* gzip is kept once it was made */
	bool		useless;		/* it was tried */
	RgSlice		gzip;			/* data NULL: not made; malloc'ed */
} RgContent;

/* Hashes the body, for its ETag. */
extern void rg_content_init(RgContent *content, RgSlice body, bool lasting);

/* Frees what was compressed. */
extern void rg_content_free(RgContent *content);

/*
 * The body compressed; data NULL where that is useless or there is no time for
 * it.  Stays until the next call, or as long as lasting content does.
 */
extern RgSlice rg_content_gzip(RgContent *content);

#endif
