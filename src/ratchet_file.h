/*
 * ratchet_file.h
 *		The file that a ratchet stands in.
 *
 * It must be fit to hold keys, as ring_file.h says, and be writable.  It is
 * written in place, so that the former key is overwritten where it stood;
 * file systems that copy on write and flash memory keep it all the same.
 *
 * On failure problem says why, without a byte of a key.
 *
 * Pure C: shared by the extension, the gateway and unit tests.
 */
#ifndef RG_RATCHET_FILE_H
#define RG_RATCHET_FILE_H

#include "ratchet.h"

/* The ratchet as it is now; the caller wipes it. */
extern bool rg_ratchet_file_read(const char *path, RgRatchet *ratchet,
								 char *problem, size_t problem_size)
			__attribute__((warn_unused_result));

/*
 * Advances the file to that step, and is on disk when it returns.  A file that
 * is there or further stays as it is.
 */
extern bool rg_ratchet_file_advance(const char *path, int64_t step,
									char *problem, size_t problem_size)
			__attribute__((warn_unused_result));

#endif
