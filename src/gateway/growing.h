/*
 * growing.h
 *		Bytes that come bit by bit, and are to stand together.
 *
 * Pure C: needs no server, no event loop.
 */
#ifndef RG_GROWING_H
#define RG_GROWING_H

#include "slice.h"

/* All zero: empty.  data is not NUL-terminated. */
typedef struct RgGrowing
{
	char	   *data;
	size_t		len;
	size_t		cap;
} RgGrowing;

/* Appends; false, and nothing is, when they would be more than max, or memory is used up. */
extern bool rg_growing_append(RgGrowing *growing, RgSlice more, size_t max)
			__attribute__((warn_unused_result));

extern void rg_growing_free(RgGrowing *growing);

static inline RgSlice
rg_growing_slice(const RgGrowing *growing)
{
	return rg_slice(growing->data, growing->len);
}

#endif
