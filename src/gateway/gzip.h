/*
 * gzip.h
 *		Compressing bodies, within bounds of time and memory.
 *
 * The event loop waits while a body is compressed: bodies beyond
 * RG_GZIP_MAX go as they are, and so do all while the worker has spent more than
 * a quarter of its time on it lately.  Nothing depends on an answer being
 * compressed.
 */
#ifndef RG_GZIP_H
#define RG_GZIP_H

#include <stdint.h>

#include "slice.h"

#define RG_GZIP_MIN 1024		/* bytes; less is not worth it */
#define RG_GZIP_MAX (1 << 20)

typedef enum RgGzipOutcome
{
	RG_GZIP_DONE,
	RG_GZIP_USELESS,			/* it does not get smaller, or may not be
								 * tried */
	RG_GZIP_LATER				/* no time or memory now */
} RgGzipOutcome;

/*
 * Compresses; what comes out stays until the next call.
 */
extern RgGzipOutcome rg_gzip(RgSlice body, RgSlice *out)
			__attribute__((warn_unused_result));

/* Is text of that Content-Type worth compressing? */
extern bool rg_gzip_type(RgSlice content_type);

#endif
