/*
 * keyring_file.h
 *		Changing the file of a key ring, so that whoever reads it meanwhile, and
 *		whatever breaks off meanwhile, finds the former ring or the new one.
 *
 * All here say on stderr why they fail.
 */
#ifndef RG_KEYRING_FILE_H
#define RG_KEYRING_FILE_H

#include <sys/stat.h>

#include "ring_text.h"

/* A ring file that is locked against others who change it, and its content. */
typedef struct RgKeyringFile
{
	const char *path;
	int			fd;				/* -1: closed */
	struct stat status;
	RgRingText	text;
} RgKeyringFile;

/* Reads the ring as it is now; NULL with the error. */
extern RgRing *rg_keyring_file_parse(const char *path, char *error, size_t error_size)
			__attribute__((warn_unused_result));

/* Opens, locks and reads the file, waiting for others for half a minute. */
extern bool rg_keyring_file_open(RgKeyringFile *file, const char *path)
			__attribute__((warn_unused_result));

/*
 * Replaces the file's content; mode and owner stay.  One that stays as it is
 * keeps its time as well, so that nobody reads it again.
 */
extern bool rg_keyring_file_replace(const RgKeyringFile *file, const RgRingText *text)
			__attribute__((warn_unused_result));

extern void rg_keyring_file_close(RgKeyringFile *file);

/* Makes a file, mode 0600, that must not be there yet. */
extern bool rg_keyring_file_create(const char *path, const RgRingText *text)
			__attribute__((warn_unused_result));

/* The same of a text that need not be a ring; says nothing, errno tells. */
extern bool rg_keyring_file_publish(const char *path, const RgRingText *text)
			__attribute__((warn_unused_result));

/* Whether what is written there stays in memory. */
extern bool rg_keyring_file_in_memory(const char *path);

/* Says that something cannot be done with the file, and why; false. */
extern bool rg_keyring_file_fail(const char *path, const char *what, const char *why);

#endif
