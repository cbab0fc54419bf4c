/*
 * opened.h
 *		Values that were opened a moment ago, for whoever opens them again.
 *
 * A view that decrypts asks opens() whether a row is there, and then
 * opened_text() or its like for the value: to compare is cheaper than to decrypt.
 */
#ifndef RG_OPENED_H
#define RG_OPENED_H

#include "slice.h"

/* Keeps a copy until it is taken or the transaction ends; not of long values. */
extern void rg_opened_keep(RgSlice envelope, RgSlice aad, RgSlice plaintext);

/*
 * Writes what the very same envelope held under the same AAD, that is
 * RG_ENVELOPE_OVERHEAD bytes less, and forgets it.  False when it was not kept,
 * or the key ring has changed since.
 */
extern bool rg_opened_take(RgSlice envelope, RgSlice aad, uint8 *plaintext)
			__attribute__((warn_unused_result));

#endif
