/*
 * uuid.h
 *		UUIDs of user ids (RFC 9562), and new ones for token ids.
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

/* A random version 4 uuid. */
extern void rg_uuid_random(uint8_t uuid[16]);

#endif
