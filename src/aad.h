/*
 * aad.h
 *		The encoding of additional authenticated data: no two lists of parts have
 *		the same.
 *
 * The count of the parts, then each part's length and its bytes; count and
 * lengths are 32 bits, big-endian.  An absent part (NULL in SQL) has the length
 * 0xFFFFFFFF and no bytes.
 *
 * Pure C.
 */
#ifndef RG_AAD_H
#define RG_AAD_H

#include <stdint.h>

#include "slice.h"

/* The length of the encoding; every part is shorter than 4 GiB. */
extern size_t rg_aad_length(const RgSlice *parts, size_t count);

/* Writes it to out, which holds rg_aad_length() bytes. */
extern void rg_aad_write(const RgSlice *parts, size_t count, uint8_t *out);

#endif
