/*
 * ring_file.h
 *		Reading the file of a key ring.
 *
 * Pure C: shared by the extension, the gateway and unit tests.
 */
#ifndef RG_RING_FILE_H
#define RG_RING_FILE_H

#include <sys/stat.h>

#include "ring_text.h"

/*
 * Opens a file that is fit to hold keys: a regular one and no symbolic link, of
 * this process's user or root's, which nobody else may read (root's own, its
 * group may), of at most 64 kB.  Root opens anybody's.  -1 otherwise; problem
 * then says why.
 */
extern int	rg_ring_file_open(const char *path, struct stat *status,
							  char *problem, size_t problem_size)
			__attribute__((warn_unused_result));

/* The same, to be written as well. */
extern int	rg_ring_file_open_to_write(const char *path, struct stat *status,
									   char *problem, size_t problem_size)
			__attribute__((warn_unused_result));

/* Reads what was opened; false with the problem. */
extern bool rg_ring_file_read(int fd, const struct stat *status, RgRingText *text,
							  char *problem, size_t problem_size)
			__attribute__((warn_unused_result));

/*
 * Whether these are one file in one condition: written, replaced or given other
 * rights it is another.
 */
extern bool rg_ring_file_same(const struct stat *a, const struct stat *b);

#endif
