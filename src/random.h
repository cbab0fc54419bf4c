/*
 * random.h
 *		Random bytes at the price of a copy.
 *
 * Pure C; for one thread of a process.
 */
#ifndef RG_RANDOM_H
#define RG_RANDOM_H

#include <stddef.h>

#define RG_RANDOM_BUFFER 1024

/*
 * Fills out with random bytes, made RG_RANDOM_BUFFER at a time of a fresh seed
 * from the kernel (ChaCha20): a system call for every nonce costs more than the
 * cipher.  A child process never draws what its parent had drawn ahead, and used
 * bytes are wiped.
 */
extern void rg_random(void *out, size_t len);

#endif
