/*
 * id_ranges.h
 *		A set of 64-bit ids that are mostly neighbours, collected in any order.
 *
 * It takes memory for its ranges, not for its ids: a constant times the most
 * that it had at any time.
 */
#ifndef RG_ID_RANGES_H
#define RG_ID_RANGES_H

#include "lib/stringinfo.h"

/* first to last, both included */
typedef struct RgIdRange
{
	int64		first;
	int64		last;
} RgIdRange;

/* Made empty by zeros; in the memory context of the first id. */
typedef struct RgIdRanges
{
	RgIdRange  *ranges;
	Size		count;
	Size		room;
} RgIdRanges;

extern void rg_id_ranges_add(RgIdRanges *set, int64 id);

/* Appends the set as int8multirange prints it. */
extern void rg_id_ranges_print(RgIdRanges *set, StringInfo out);

#endif
