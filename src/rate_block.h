/*
 * rate_block.h
 *		The limits of a refusal, as a reply frame carries them.
 *
 * One after the other: uint8 length, name, uint8 flags (1: denied, 2: by
 * address), and as int64, big-endian, quota, window, limit, remaining, wait.  None
 * of them is a quota.
 *
 * Pure C: shared by the extension, the gateway, unit tests and fuzzers.
 */
#ifndef RG_RATE_BLOCK_H
#define RG_RATE_BLOCK_H

#include "rate_lines.h"

#define RG_RATE_BLOCK_MAX (RG_RATE_LIMITS_MAX * (RG_RATE_NAME_MAX + 2 + 5 * 8))

/* Writes the block to out, which holds RG_RATE_BLOCK_MAX; returns its length. */
extern size_t rg_rate_block_write(const RgRateLimit *limits, int count, char *out);

/*
 * Reads a block; names point into it.  Returns how many limits there are, or
 * -1 when it is none, or holds a name or a number that no policy has.
 */
extern int	rg_rate_block_read(RgSlice block, RgRateLimit limits[RG_RATE_LIMITS_MAX])
			__attribute__((warn_unused_result));

#endif
