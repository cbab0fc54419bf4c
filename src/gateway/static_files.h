/*
 * static_files.h
 *		The pages under WEB_ROOT, held in memory.
 *
 * They are read once, at start, so a request only looks up a name: there is
 * no path to walk out of the folder with.
 */
#ifndef RG_STATIC_FILES_H
#define RG_STATIC_FILES_H

#include "content.h"

#define RG_STATIC_MAX_FILES 1024
#define RG_STATIC_MAX_BYTES (64 << 20)	/* all files together */

typedef struct RgStaticFile
{
	char	   *path;			/* as in a request: "/style.css" */
	const char *type;			/* Content-Type */
	RgContent	content;
	RgSlice		headers;		/* complete lines, without the ETag */
} RgStaticFile;

typedef struct RgStaticFiles
{
	int			count;
	size_t		bytes;
	RgStaticFile *list;			/* sorted by path */
} RgStaticFiles;

/*
 * Reads the folder and those within it.  What starts with a dot, is no plain
 * file (a link, say) or is beyond the bounds is left out, and said so in the
 * log.  index.html of a folder is also its path with a slash at the end.
 */
extern void rg_static_load(const char *root, RgStaticFiles *files);

/* The file of that path, or NULL. */
extern RgStaticFile *rg_static_find(const RgStaticFiles *files, RgSlice path);

/* Does an If-None-Match header name that ETag, or anything ("*")? */
extern bool rg_etag_matches(RgSlice if_none_match, RgSlice etag);

#endif
