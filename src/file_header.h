/*
 * file_header.h
 *		What an answer that is a file says of it.
 *
 * A file's type and name may be whatever somebody has uploaded: neither ends a header
 * line, and no type makes a browser run what stands in the file.
 *
 * Pure C: shared by the extension, the gateway, unit tests and fuzzers.
 */
#ifndef RG_FILE_HEADER_H
#define RG_FILE_HEADER_H

#include "json_text.h"

#define RG_FILE_TYPE_MAX 255	/* bytes of a media type */
#define RG_FILE_NAME_MAX 255	/* bytes of a name; more are cut off */
#define RG_FILE_DISPOSITION_MAX (4 * RG_FILE_NAME_MAX + 96)

/* A media type of RFC 9110, "text/plain; charset=utf-8"? */
extern bool rg_file_type_valid(RgSlice type);

/* May a browser show it?  What is not known to be inert is to be saved. */
extern bool rg_file_type_inert(RgSlice type);

/*
 * Puts the line Content-Disposition (RFC 6266), the name, which is UTF-8, as ASCII and,
 * where that is not all of it, as RFC 8187 has it.  Slashes, control characters and those
 * that turn the direction of writing are underscores.  Nothing for a file that is inert
 * and has no name.
 */
extern void rg_file_disposition_put(RgText *text, bool inert, RgSlice name);

#endif
