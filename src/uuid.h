/*
 * uuid.h
 *		UUIDs of user ids (RFC 9562), and new ones: of token ids and of
 *		reservations.
 *
 * Pure C.
 */
#ifndef RG_UUID_H
#define RG_UUID_H

#include <stdint.h>

#include "slice.h"

#define RG_UUID_TEXT_LEN 36

/*
 * The uuid of a user id: the id itself where that is a uuid in canonical form
 * (lower case, 8-4-4-4-12) and not of version 5, else the version 5 uuid of it.
 * Only that counts, so that no two user ids have the same uuid.  False when the
 * hash could not be computed (out of memory).
 */
extern bool rg_uuid_of(RgSlice user_id, uint8_t uuid[16])
			__attribute__((warn_unused_result));

/* Writes the canonical form, without a NUL. */
extern void rg_uuid_text(const uint8_t uuid[16], char out[RG_UUID_TEXT_LEN]);

/*
 * A version 7 uuid of a time in milliseconds since 1970 (0 to 2^48 - 1); what
 * else it holds is random, so that knowing one says nothing of another.
 */
extern void rg_uuid_v7(int64_t unix_ms, uint8_t uuid[16]);

/* The time of a version 7 uuid; -1 for any other. */
extern int64_t rg_uuid_v7_time(const uint8_t uuid[16]);

/* A random version 4 uuid. */
extern void rg_uuid_random(uint8_t uuid[16]);

#endif
