/*
 * crypt.h
 *		Values sealed into envelopes under the key ring, bound to their place.
 */
#ifndef RG_CRYPT_H
#define RG_CRYPT_H

#include "plaintext.h"

/* The DETAIL, that is code, of the RG404 for a value that does not open. */
#define RG_CODE_DOES_NOT_OPEN "value_does_not_open"

/* The encoding of the parts (aad.h), which are text of the server; palloc'd. */
extern RgSlice rg_crypt_aad(RgSlice *parts, int count);

/* Seals a value under the primary key into a palloc'd envelope. */
extern bytea *rg_crypt_seal(RgPlaintext kind, Datum value, RgSlice aad);

/*
 * Opens an envelope into a palloc'd value of that kind.  False when it is not
 * authentic under that AAD, or no envelope at all.  A key that the ring does
 * not have, a retired one and an unknown version are errors that name it: data
 * must not vanish because a ring is the wrong one.
 */
extern bool rg_crypt_open(RgPlaintext kind, RgSlice envelope, RgSlice aad, Datum *value)
			__attribute__((warn_unused_result));

/* Whether it opens, as above; the value is not made. */
extern bool rg_crypt_opens(RgSlice envelope, RgSlice aad);

/*
 * The key of an envelope, of which the first RG_ENVELOPE_OVERHEAD bytes will do:
 * ids are positive integers in SQL.  0 when the bytes are no envelope.
 */
extern int32 rg_crypt_key_id(RgSlice value);

#endif
