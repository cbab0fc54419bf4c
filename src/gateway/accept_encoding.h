/*
 * accept_encoding.h
 *		What a client says about compressed answers (RFC 9110, section 12.5.3).
 *
 * Pure C.
 */
#ifndef RG_ACCEPT_ENCODING_H
#define RG_ACCEPT_ENCODING_H

#include "slice.h"

/*
 * Does the client take gzip, and not prefer the bytes as they are?  A header
 * that is not there asks for nothing; a weight that is none counts as 0.
 */
extern bool rg_accepts_gzip(RgSlice accept_encoding);

#endif
