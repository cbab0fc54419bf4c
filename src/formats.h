/*
 * formats.h
 *		The formats of schema.h, as checks of a text.
 *
 * Pure C: shared by the extension, unit tests and fuzzers.
 */
#ifndef RG_FORMATS_H
#define RG_FORMATS_H

#include "slice.h"

typedef struct RgFormat
{
	const char *name;			/* as in "format": "uuid" */
	bool		(*check) (RgSlice text);
	const char *what;			/* "must be <what>" */
	const char *example;
} RgFormat;

/* The format of that name; NULL for one that is not checked. */
extern const RgFormat *rg_format_find(const char *name);

extern bool rg_format_uuid(RgSlice text);
extern bool rg_format_date(RgSlice text);
extern bool rg_format_time(RgSlice text);
extern bool rg_format_date_time(RgSlice text);
extern bool rg_format_email(RgSlice text);
extern bool rg_format_uri(RgSlice text);

#endif
