/*
 * header_lines.h
 *		Header lines as serve() hands them over: "name: value", each ended by CRLF.
 *
 * Pure C: shared by the gateway, unit tests and fuzzers.
 */
#ifndef RG_HEADER_LINES_H
#define RG_HEADER_LINES_H

#include "frame.h"
#include "json_text.h"

/*
 * Takes one line off; the value is as it stands behind the colon.  False, and
 * nothing is taken, when it is no header, or could be two.
 */
extern bool rg_header_line_take(RgSlice *lines, RgHeader *header)
			__attribute__((warn_unused_result));

/* Puts those lines whose names are listed, in lower case and ended by NULL, or the others. */
extern void rg_header_lines_put(RgText *text, RgSlice lines, const char *const *names, bool listed);

#endif
