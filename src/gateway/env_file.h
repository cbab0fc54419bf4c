/*
 * env_file.h
 *		A file of NAME=value lines, as systemd and Docker read them.
 */
#ifndef RG_ENV_FILE_H
#define RG_ENV_FILE_H

#include <stdbool.h>
#include <stdio.h>

typedef struct RgEnvFile
{
	char	   *text;			/* its lines, each cut at '=' and line end */
	int			count;
	const char **names;
	const char **values;
} RgEnvFile;

/*
 * Reads a file of at most 1 MiB; blank lines and lines that start with # are
 * skipped, quotes around a value are taken off.  False, with errno set, when
 * it cannot be read, or EINVAL for a line without '='.
 */
extern bool rg_env_file_read(const char *path, RgEnvFile *file)
			__attribute__((warn_unused_result));

extern void rg_env_file_free(RgEnvFile *file);

/* The value of that name, or NULL; the last one counts. */
extern const char *rg_env_file_get(const RgEnvFile *file, const char *name);

/*
 * Reads the file that RELAY_CONFIG names, if it names one.  False, with the
 * reason written to errors, when it cannot be read.
 */
extern bool rg_env_file_configured(RgEnvFile *file, FILE *errors)
			__attribute__((warn_unused_result));

/* What the environment says, or else the file; NULL when absent or empty. */
extern const char *rg_env_setting(const RgEnvFile *file, const char *name);

#endif
