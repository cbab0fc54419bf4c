/*
 * utf8.h
 *		UTF-8, as RFC 3629 defines it: no overlong forms, no surrogates,
 *		nothing above U+10FFFF.
 *
 * Pure C: shared by the extension, the gateway, unit tests and fuzzers.
 */
#ifndef RG_UTF8_H
#define RG_UTF8_H

#include "slice.h"

/* Is the text valid UTF-8?  A NUL byte is valid here. */
extern bool rg_utf8_valid(RgSlice text);

/* The number of code points in valid UTF-8. */
extern size_t rg_utf8_length(RgSlice text);

/* Bytes of the first character of valid UTF-8 that is not empty. */
extern size_t rg_utf8_first(RgSlice text);

/*
 * The largest length <= len at which the text does not end inside a
 * character: for cutting messages to size.
 */
extern size_t rg_utf8_trim(const char *text, size_t len);

#endif
