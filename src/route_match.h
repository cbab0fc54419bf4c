/*
 * route_match.h
 *		Comparing the path of a request with a route's template.
 *
 * Pure C.
 */
#ifndef RG_ROUTE_MATCH_H
#define RG_ROUTE_MATCH_H

#include "slice.h"

/* Whether a template has variables. */
extern bool rg_template_is_pattern(const char *path);

/*
 * Whether a raw path (percent escapes and all) is one of the template, segment
 * by segment.  A variable takes one segment that is not empty; values gets
 * them, still escaped, in order, at most max.  A literal is compared with the
 * segment's decoding.
 */
extern bool rg_template_match(const char *path, RgSlice raw, RgSlice *values, int max);

#endif
