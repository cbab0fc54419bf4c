/*
 * random.h
 *		Random bytes at the price of a copy.
 *
 * Pure C.
 */
#ifndef RG_RANDOM_H
#define RG_RANDOM_H

#include <stddef.h>

/*
 * Fills out with bytes of the kernel's generator, drawn 512 at a time: a
 * system call for every nonce costs more than the cipher.  A buffer is never
 * shared across fork(), and used bytes are wiped.  len is at most 512.
 */
extern void rg_random(void *out, size_t len);

#endif
