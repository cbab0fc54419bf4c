/*
 * response_header.h
 *		Which header lines a route's statement may add to an answer.
 *
 * Pure C: shared by the extension and unit tests.
 */
#ifndef RG_RESPONSE_HEADER_H
#define RG_RESPONSE_HEADER_H

#include "slice.h"

/*
 * Whether an application may set a header of that name.  What frames an answer,
 * what keeps browsers safe, what proxies act upon and what this server says by
 * itself is not among them: only those that are known to be harmless are, and
 * names beginning with X- that nobody else gives a meaning to.
 */
extern bool rg_response_header_allowed(RgSlice name);

/* Whether it can stand in a header line: printable ASCII, no blanks around it. */
extern bool rg_response_header_value_valid(RgSlice value);

#endif
