/*
 * byte_range.h
 *		The header Range (RFC 9110, 14.2), of one range of bytes.
 *
 * Pure C.
 */
#ifndef RG_BYTE_RANGE_H
#define RG_BYTE_RANGE_H

#include "slice.h"

typedef enum RgRangeVerdict
{
	RG_RANGE_ALL,				/* none was asked for, or none that is served */
	RG_RANGE_PART,
	RG_RANGE_BEYOND				/* it begins behind the end: 416 */
} RgRangeVerdict;

typedef struct RgByteRange
{
	size_t		first;
	size_t		len;			/* at least 1 */
} RgByteRange;

/*
 * Which bytes of so many the header asks for.  Several ranges, other units and what is
 * malformed ask for all of them, as they may.
 */
extern RgRangeVerdict rg_byte_range(RgSlice header, size_t size, RgByteRange *range);

#endif
