/*
 * pattern.h
 *		Regular expressions of schemas: POSIX extended ones, without what
 *		means something else in JavaScript.
 *
 * Pure C: shared by the extension, unit tests and fuzzers.
 */
#ifndef RG_PATTERN_H
#define RG_PATTERN_H

#include <regex.h>

#include "slice.h"

/*
 * Compiles a pattern, for regfree().  NULL, or what is wrong with it; then
 * there is nothing to free.
 */
extern const char *rg_pattern_compile(regex_t *pattern, const char *text)
			__attribute__((warn_unused_result));

/*
 * Does the pattern match anywhere in the text, which holds no NUL?  Not when
 * memory is out, so that nothing passes unchecked.
 */
extern bool rg_pattern_matches(const regex_t *pattern, RgSlice text);

#endif
