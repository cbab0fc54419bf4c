/*
 * json_body.h
 *		Reading a JSON body within bounds.
 *
 * What this accepts, PostgreSQL's jsonb accepts as well.
 *
 * Pure C: shared by the extension, unit tests and fuzzers.
 */
#ifndef RG_JSON_BODY_H
#define RG_JSON_BODY_H

#include "slice.h"
#include "violation.h"

#define RG_JSON_MAX_DEPTH 64
#define RG_JSON_MAX_VALUES 200000

struct json_t;

/*
 * Parses a body: any JSON value, no member twice, no \u0000, integers of 64
 * bits, other numbers of binary64's range, depth and number of values bounded
 * before anything is allocated.  The caller calls json_decref().  NULL when it
 * is refused; the violation gives the line and column, never the text.
 */
extern struct json_t *rg_json_parse(RgSlice text, RgViolation *violation)
			__attribute__((warn_unused_result));

/*
 * Is the text no deeper than that, made of no more values, and without numbers out
 * of range?  It need not be JSON; whatever it is, a parser opens no more than what is
 * counted.
 */
extern bool rg_json_bounded(RgSlice text, size_t most_values);

/*
 * Walks the members of the object that text is, which rg_json_parse() has
 * accepted: *offset starts at 0; *value becomes the text of the next member's
 * value, in the order of the document.  False after the last.
 *
 * Values go to SQL as this very text, since printing what was parsed would
 * turn 0.1 into 0.10000000000000001.
 */
extern bool rg_json_next_member(RgSlice text, size_t *offset, RgSlice *value);

#endif
